/* internal: the Kafka sink's own state, shared by its files. Private to staging/kafka.
 *
 * The sink's thread reads, transforms and produces; the producer's poller takes delivery reports. What both touch is under
 * `lock`, which is never held over a call of librdkafka that may wait.
 * Messages that failed are kept, copied, until the sink's thread sends them again: then nothing new is read, so that the
 * messages of a key keep their order. */
#pragma once
#include "core/buf.h"
#include "staging/kafka/flight.h"
#include "staging/following.h"
#include "staging/kafka_sink.h"
#include "staging/sinks.h"
#include "transforms/transform.h"
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

enum track_id { TRACK_EVENTS, TRACK_BACKFILL, TRACK_REPLAY, TRACK_COUNT }; /* the first ones are the lanes */

struct track { /* what is followed: a lane, or the entries that are sent again */
    const char *name;
    struct lane *lane;     /* NULL: replays */
    struct reader *reader; /* NULL: not opened, or a failure */
    uint64_t at;           /* the lowest sequence that was not read yet */
    uint64_t stored;       /* the position as state.db has it */
    uint64_t lost;         /* not in state.db yet */
    bool loaded;
};

struct failed { /* a message that came back */
    struct failed *next;
    rd_kafka_headers_t *headers; /* owns */
    char *topic, *bytes;         /* own; key, then value */
    size_t key_n, value_n;
    uint64_t tag;
    rd_kafka_resp_err_t why;
};
struct failed_list {
    struct failed *head, **tail;
    size_t n;
};

struct topic {
    const struct source_config *source;
    const char *table; /* the manifest's: compared by its address */
    rd_kafka_topic_t *handle;
};

struct producer {
    rd_kafka_t *rk;
    pthread_t poller;
    atomic_bool stop;
    struct topic *topics;
    size_t n_topics, last_topic;
};

struct kafka_sink {
    struct kafka_sink_opts o;
    struct state state; /* the sink's thread's */
    struct following following;
    struct track tracks[TRACK_COUNT];
    struct producer *producer; /* NULL: none yet */
    struct buf topic, key, value, entry_id;
    uint64_t persisted_us, looked_us, probed_us, moved_us, opened_us; /* monotonic */
    uint64_t delivered_seen;
    bool hurries; /* works as other threads do */
    bool partial; /* an entry was produced in part only */
    bool over;    /* another process has taken this one's place */
    bool persist_failed, step_failed; /* and trouble says so */
    uint64_t retry_us;
    unsigned failures; /* rounds in a row in which messages came back */
    bool holding;      /* messages came back: nothing new is read until all that is in flight was delivered */
    struct transactions *transactions; /* NULL: without */

    atomic_bool stop, fatal;
    _Atomic uint64_t positions[TRACK_COUNT];
    struct kafka_listener listener;
    pthread_mutex_t telling; /* the listener hears of positions in their order; taken before `lock` */

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t moved; /* a delivery report came, or stop */
    struct flight flights[TRACK_COUNT];
    struct failed_list failed;
    bool events_moved;     /* since the listener was told */
    uint64_t delivered;    /* messages, ever */
    rd_kafka_resp_err_t txn_error; /* of a message of the open transaction */
    bool in_trouble;
    enum trouble_kind { TROUBLE_OTHER, TROUBLE_DOWN, TROUBLE_LOGIN } trouble_kind;
    uint64_t trouble_us;
    char trouble[640], reason[256]; /* reason: librdkafka's last words of a connection */
};

#define STEP_ENTRIES 256
#define REPLAYS_US (UINT64_C(1000) * 1000) /* how often it is looked for entries to send again */

/* What a message's opaque says: its place in the flight, its track, its number within the entry. */
#define TAG_ITEMS 22
static inline uint64_t tag_of(enum track_id track, uint64_t id, uint32_t item)
{
    return id << (TAG_ITEMS + 2) | (uint64_t)(item & ((1u << TAG_ITEMS) - 1)) << 2 | (uint64_t)track;
}
static inline enum track_id tag_track(uint64_t tag)
{
    return (enum track_id)(tag & 3);
}
static inline uint32_t tag_item(uint64_t tag)
{
    return (uint32_t)(tag >> 2) & ((1u << TAG_ITEMS) - 1);
}
static inline uint64_t tag_id(uint64_t tag)
{
    return tag >> (TAG_ITEMS + 2);
}

static inline uint64_t sink_monotonic(const struct kafka_sink *s)
{
    return s->o.io->world->monotonic_us(s->o.io);
}

static inline void track_moved_locked(struct kafka_sink *s, enum track_id t)
{
    atomic_store(&s->positions[t], s->flights[t].position);
    s->events_moved = s->events_moved || t == TRACK_EVENTS;
}

/* ---- settings.c ---- */
/* Owns: rd_kafka_conf_destroy, or rd_kafka_new takes it. transactional_id NULL: none. */
bool settings_make(const struct config *c, const char *transactional_id, rd_kafka_conf_t **ret, struct err *err);
/* The same brokers and credentials for reading the position. */
bool settings_reader(const struct config *c, const char *group, rd_kafka_conf_t **ret, struct err *err);

/* ---- producer.c ---- */
bool producer_open(struct kafka_sink *s, struct err *err);
/* What is in flight comes back as failed, but for what is delivered within `wait_ms`. */
void producer_close(struct kafka_sink *s, int wait_ms);
/* Waits until nothing is in flight, at most `wait_ms`; reports that come meanwhile are counted when it returns. */
void producer_flush(struct kafka_sink *s, int wait_ms);
/* Tells the listener, where the position of lane events moved. */
void producer_tell(struct kafka_sink *s);
void producer_forget(struct producer *p); /* the topics: tables that they were for may go */
rd_kafka_topic_t *producer_topic(struct kafka_sink *s, const struct source_config *source, const struct row *row);

/* ---- message.c ---- */
struct message {
    rd_kafka_topic_t *topic;
    struct span key, value;
    rd_kafka_headers_t *headers; /* taken when it is produced */
    uint64_t tag;
};
/* Fills key, value and headers for the row; borrows the sink's buffers until the next call. false: out of memory. */
bool message_make(struct kafka_sink *s, const struct row *row, uint32_t item, struct message *ret, struct err *err);
/* Waits while librdkafka's queue is full. RD_KAFKA_RESP_ERR__IN_PROGRESS: asked to stop meanwhile. The headers are gone only
 * when it returns NO_ERROR. */
rd_kafka_resp_err_t message_produce(struct kafka_sink *s, const struct message *m);

/* ---- failed.c ---- */
void failed_free(struct failed **f);
void failed_add_locked(struct kafka_sink *s, const rd_kafka_message_t *m);
bool failed_any(struct kafka_sink *s);
/* Sends again what came back, once nothing is in flight. *ret_worked false: it is not time yet. */
bool failed_resend(struct kafka_sink *s, bool *ret_worked, struct err *err);
/* A row that is too large for the brokers becomes a dead letter. */
bool failed_bury(struct kafka_sink *s, const struct row *row, const char *topic, size_t bytes, uint32_t item, const char *words,
                 struct err *err);

/* ---- trouble.c ---- */
void trouble_set(struct kafka_sink *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void trouble_clear(struct kafka_sink *s);
/* What librdkafka's own thread reports. */
void trouble_of_error(struct kafka_sink *s, rd_kafka_resp_err_t why, const char *reason);
/* What a message came back with. */
void trouble_of_message_locked(struct kafka_sink *s, rd_kafka_resp_err_t why, const char *topic);

/* ---- entries.c ---- */
/* Positions and readers of a track. */
bool track_load(struct kafka_sink *s, enum track_id id, struct err *err);
void track_unload(struct track *t);
/* Reads a bounded number of entries and produces their rows. *ret_read: how many. */
bool track_read(struct kafka_sink *s, enum track_id id, uint64_t most, uint64_t *ret_read, struct err *err);
bool track_persist(struct kafka_sink *s, struct err *err);
