/* Invariants
 *  1. A position moves only when the transaction that carries it was committed.
 *  2. After an abort everything is read again from the position; nothing of the aborted one is seen by who reads committed.
 *  3. Who was fenced goes on only while Kafka's record is its own. */
#include "staging/kafka/transactions.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/wait.h"
#include <stdio.h>
#include <stdlib.h>

#define ROWS_MAX 20000
#define AGE_US (UINT64_C(200) * 1000)
#define KEEP_US (UINT64_C(6) * 3600 * 1000000) /* brokers forget a group's offsets after days without a commit */
#define CALL_MS 2000
#define READ_MS 5000
#define ADMIN_MS 15000
#define END_US (UINT64_C(3) * 1000000)
#define BACKOFF_US (UINT64_C(200) * 1000)
#define OWNER_MAX 20

struct buried {
    enum track_id track;
    uint64_t seq;
    uint32_t item;
};
struct transactions {
    char owner[OWNER_MAX];     /* of this process, random */
    bool claimed;              /* Kafka's record was ours once */
    bool begun;
    uint64_t rows, entries;    /* of the open transaction */
    uint64_t began_us, committed_us;
    uint64_t careful[TRACK_COUNT]; /* below: every message by itself */
    struct buf buried;             /* struct buried: rows that are letters already */
    rd_kafka_consumer_group_metadata_t *group;
};

struct transactions *transactions_new(const struct kafka_sink *s)
{
    struct transactions *t = mem_alloc(sizeof *t);
    uint64_t random = 0;
    (void)s->o.io->world->random(s->o.io, &random, sizeof random);
    (void)snprintf(t->owner, sizeof t->owner, "%016llx", (unsigned long long)random);
    t->group = rd_kafka_consumer_group_metadata_new(journal_node(s->o.journal));
    return t;
}

void transactions_free(struct transactions **tp)
{
    struct transactions *t = *tp;
    if (!t)
        return;
    rd_kafka_consumer_group_metadata_destroy(t->group);
    buf_release(&t->buried);
    free(t);
    *tp = NULL;
}

/* ---- the record ---- */
static bool parse_record(struct span text, char owner[OWNER_MAX], uint64_t positions[TRACK_COUNT])
{
    unsigned long long v[TRACK_COUNT];
    char copy[256];
    if (text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    if (sscanf(copy, "1 %16s events=%llu backfill=%llu replays=%llu", owner, &v[TRACK_EVENTS], &v[TRACK_BACKFILL],
               &v[TRACK_REPLAY]) != 1 + TRACK_COUNT)
        return false;
    for (int i = 0; i < TRACK_COUNT; i++)
        positions[i] = v[i];
    return true;
}

static rd_kafka_topic_partition_list_t *place(const struct kafka_sink *s)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(list, s->o.config->kafka.positions, 0);
    return list;
}

/* What the brokers refuse for good, librdkafka asks again and again, and tells beside. */
static rd_kafka_resp_err_t told_beside(rd_kafka_t *reader, rd_kafka_resp_err_t why)
{
    rd_kafka_message_t *m;
    while (why == RD_KAFKA_RESP_ERR__TIMED_OUT && (m = rd_kafka_consumer_poll(reader, 0))) {
        if (m->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
            why = m->err;
        rd_kafka_message_destroy(m);
    }
    return why;
}

/* owner "": there is none. */
static bool read_record(struct kafka_sink *s, char owner[OWNER_MAX], uint64_t positions[TRACK_COUNT], struct err *err)
{
    rd_kafka_conf_t *conf;
    char words[512];
    if (!settings_reader(s->o.config, journal_node(s->o.journal), &conf, err))
        return false;
    rd_kafka_t *reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, words, sizeof words);
    if (!reader) {
        rd_kafka_conf_destroy(conf);
        return err_set(err, ERR_CONFIG, "librdkafka says: %s", words);
    }
    rd_kafka_topic_partition_list_t *list = place(s);
    rd_kafka_resp_err_t why = rd_kafka_committed(reader, list, READ_MS);
    const rd_kafka_topic_partition_t *p = &list->elems[0];
    if (!why)
        why = p->err;
    why = told_beside(reader, why);
    bool ok = why == RD_KAFKA_RESP_ERR_NO_ERROR;
    owner[0] = 0;
    if (why == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        (void)err_set(err, ERR_TRANSIENT, "the brokers do not let this user keep the position; grant it: kafka-acls.sh "
                      "--bootstrap-server %s --add --allow-principal User:NAME --operation Read --group %s",
                      s->o.config->kafka.brokers, journal_node(s->o.journal));
    else if (!ok)
        (void)err_set(err, ERR_TRANSIENT, "the position cannot be read from Kafka: %s", rd_kafka_err2str(why));
    else if (p->offset >= 0 && !parse_record((struct span){p->metadata, p->metadata_size}, owner, positions))
        ok = err_set(err, ERR_CONFIG, "the group %s has an offset that is not Sluice's: another program uses its name",
                     journal_node(s->o.journal));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(reader);
    return ok;
}

/* ---- the topic of the positions ---- */
static rd_kafka_resp_err_t topic_there(struct kafka_sink *s)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *t = rd_kafka_topic_new(s->producer->rk, s->o.config->kafka.positions, NULL);
    rd_kafka_resp_err_t why = t ? rd_kafka_metadata(s->producer->rk, 0, t, &md, CALL_MS) : rd_kafka_last_error();
    if (!why) {
        why = md->topic_cnt ? md->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        rd_kafka_metadata_destroy(md);
    }
    if (t)
        rd_kafka_topic_destroy(t);
    return why;
}

static void make_topic(struct kafka_sink *s)
{
    char words[512];
    rd_kafka_t *rk = s->producer->rk;
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(s->o.config->kafka.positions, 1, -1, words, sizeof words);
    if (!topic)
        return;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ADMIN_MS);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
}

static bool need_topic(struct kafka_sink *s, struct err *err)
{
    const struct kafka_config *k = &s->o.config->kafka;
    rd_kafka_resp_err_t why = topic_there(s);
    if (!why)
        return true;
    if (why == RD_KAFKA_RESP_ERR__TRANSPORT || why == RD_KAFKA_RESP_ERR__TIMED_OUT)
        return err_set(err, ERR_TRANSIENT, "the brokers %s do not answer", k->brokers);
    make_topic(s);
    for (int i = 0; why && i < 20 && !atomic_load(&s->stop); i++) {
        s->o.io->world->sleep_us(s->o.io, BACKOFF_US);
        why = topic_there(s);
    }
    return !why || err_set(err, ERR_TRANSIENT, "the topic %s, where transactions keep the position, is not there (%s), and could "
                           "not be made: kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions 1", k->positions,
                           rd_kafka_err2str(why), k->brokers, k->positions);
}

/* ---- calls that may be repeated ---- */
enum outcome { DONE, ABORT, AGAIN, FATAL };

static enum outcome outcome_of(struct kafka_sink *s, rd_kafka_error_t *error, const char *what, struct err *err)
{
    if (!error)
        return DONE;
    enum outcome o = rd_kafka_error_is_fatal(error)              ? FATAL
                     : rd_kafka_error_txn_requires_abort(error)  ? ABORT
                     : rd_kafka_error_is_retriable(error)        ? AGAIN
                                                                 : ABORT;
    rd_kafka_resp_err_t why = rd_kafka_error_code(error);
    const char *node = journal_node(s->o.journal), *brokers = s->o.config->kafka.brokers;
    if (why == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        (void)err_set(err, ERR_TRANSIENT, "the brokers do not let this user use transactions; grant it: kafka-acls.sh "
                      "--bootstrap-server %s --add --allow-principal User:NAME --operation Write --operation Describe "
                      "--transactional-id %s", brokers, node);
    else if (why == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        (void)err_set(err, ERR_TRANSIENT, "the brokers do not let this user keep the position; grant it: kafka-acls.sh "
                      "--bootstrap-server %s --add --allow-principal User:NAME --operation Read --group %s", brokers, node);
    else
        (void)err_set(err, ERR_TRANSIENT, "%s: %s", what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    if (o == FATAL)
        atomic_store(&s->fatal, true);
    return o;
}

static bool may_go_on(struct kafka_sink *s, uint64_t until_us)
{
    return !atomic_load(&s->fatal) && (until_us ? sink_monotonic(s) < until_us : !atomic_load(&s->stop));
}

static void begin_anew(struct kafka_sink *s)
{
    struct transactions *t = s->transactions;
    t->begun = false;
    t->rows = t->entries = 0;
    pthread_mutex_lock(&s->lock);
    s->txn_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    pthread_mutex_unlock(&s->lock);
}

static bool begin(struct kafka_sink *s, struct err *err)
{
    struct transactions *t = s->transactions;
    if (t->begun)
        return true;
    if (outcome_of(s, rd_kafka_begin_transaction(s->producer->rk), "a transaction cannot begin", err) != DONE)
        return false;
    begin_anew(s);
    t->begun = true;
    return true;
}

static void read_again(struct kafka_sink *s)
{
    for (enum track_id i = 0; i < TRACK_COUNT; i++) {
        track_unload(&s->tracks[i]);
        s->tracks[i].at = s->flights[i].position;
    }
}

static void abort_it(struct kafka_sink *s)
{
    struct err ignored;
    enum outcome o = AGAIN;
    while (o == AGAIN && may_go_on(s, 0))
        o = outcome_of(s, rd_kafka_abort_transaction(s->producer->rk, CALL_MS), "abort", &ignored);
    if (o != DONE)
        atomic_store(&s->fatal, true); /* a new producer settles it */
    begin_anew(s);
    read_again(s);
}

static rd_kafka_error_t *send_record(struct kafka_sink *s)
{
    rd_kafka_topic_partition_list_t *list = place(s);
    rd_kafka_topic_partition_t *p = &list->elems[0];
    char text[256];
    int n = snprintf(text, sizeof text, "1 %s events=%llu backfill=%llu replays=%llu", s->transactions->owner,
                     (unsigned long long)s->tracks[TRACK_EVENTS].at, (unsigned long long)s->tracks[TRACK_BACKFILL].at,
                     (unsigned long long)s->tracks[TRACK_REPLAY].at);
    p->offset = (int64_t)s->tracks[TRACK_EVENTS].at;
    p->metadata = mem_dup(text); /* the list's */
    p->metadata_size = (size_t)n;
    rd_kafka_error_t *error = rd_kafka_send_offsets_to_transaction(s->producer->rk, list, s->transactions->group, CALL_MS);
    rd_kafka_topic_partition_list_destroy(list);
    return error;
}

static void committed(struct kafka_sink *s)
{
    struct transactions *t = s->transactions;
    t->committed_us = sink_monotonic(s);
    t->claimed = true;
    begin_anew(s);
    pthread_mutex_lock(&s->lock);
    for (enum track_id i = 0; i < TRACK_COUNT; i++) {
        if (s->flights[i].position == s->tracks[i].at)
            continue;
        s->flights[i].position = s->tracks[i].at;
        track_moved_locked(s, i);
    }
    s->in_trouble = false;
    pthread_mutex_unlock(&s->lock);
    if (!transactions_careful(s))
        buf_clear(&t->buried);
}

/* until_us 0: as long as it takes. false: aborted, or a new producer is needed. */
static bool commit(struct kafka_sink *s, uint64_t until_us, struct err *err)
{
    enum outcome o = AGAIN;
    while (o == AGAIN && may_go_on(s, until_us))
        o = outcome_of(s, send_record(s), "the position cannot be sent", err);
    bool sent = o == DONE;
    o = sent ? AGAIN : o;
    while (sent && o == AGAIN && may_go_on(s, until_us))
        o = outcome_of(s, rd_kafka_commit_transaction(s->producer->rk, CALL_MS), "the transaction cannot be committed", err);
    if (o == DONE) {
        committed(s);
        return true;
    }
    if (o == AGAIN && !until_us && atomic_load(&s->stop))
        (void)err_set(err, ERR_STOPPED, "asked to stop");
    return false;
}

/* ---- the session ---- */
static bool init(struct kafka_sink *s, struct err *err)
{
    enum outcome o = AGAIN;
    while (o == AGAIN && may_go_on(s, 0))
        o = outcome_of(s, rd_kafka_init_transactions(s->producer->rk, CALL_MS), "transactions cannot begin", err);
    if (o == AGAIN)
        return err_set(err, ERR_TRANSIENT, "asked to stop");
    if (o != DONE)
        atomic_store(&s->fatal, true);
    return o == DONE;
}

/* Kafka's record is the truth; state.db's is a cache that may be older, and outlives a record that the brokers forgot. */
static bool take_positions(struct kafka_sink *s, struct err *err)
{
    uint64_t record[TRACK_COUNT] = {1, 1, 1};
    char owner[OWNER_MAX];
    if (!read_record(s, owner, record, err))
        return false;
    for (enum track_id i = 0; i < TRACK_COUNT; i++) {
        struct track *t = &s->tracks[i];
        if (!track_load(s, i, err))
            return false;
        pthread_mutex_lock(&s->lock);
        if (record[i] > s->flights[i].position)
            s->flights[i].position = record[i];
        atomic_store(&s->positions[i], s->flights[i].position);
        pthread_mutex_unlock(&s->lock);
        t->at = s->flights[i].position;
        track_unload(t);
    }
    return true;
}

/* Before a new session fences whoever has the place now. */
static bool still_ours(struct kafka_sink *s, struct err *err)
{
    uint64_t record[TRACK_COUNT];
    char owner[OWNER_MAX];
    if (!s->transactions->claimed)
        return true;
    if (!read_record(s, owner, record, err))
        return false;
    if (!owner[0] || strcmp(owner, s->transactions->owner) == 0)
        return true;
    return err_set(err, ERR_STOPPED, "another process sends to Kafka as this node (%s): two run on the same data or on a copy of "
                   "it; this one has stopped sending, end one of them and restart the other", journal_node(s->o.journal));
}

bool transactions_open(struct kafka_sink *s, struct err *err)
{
    begin_anew(s);
    return need_topic(s, err) && still_ours(s, err) && init(s, err) && take_positions(s, err) && begin(s, err) &&
           commit(s, 0, err);
}

static bool due(const struct kafka_sink *s, bool more)
{
    const struct transactions *t = s->transactions;
    uint64_t now = sink_monotonic(s);
    if (!t->entries)
        return now - t->committed_us >= KEEP_US;
    if (t->rows >= ROWS_MAX || transactions_careful(s) || now - t->began_us >= AGE_US)
        return true;
    return s->o.config->ack_kafka && !more;
}

static void give_up(struct kafka_sink *s)
{
    struct transactions *t = s->transactions;
    pthread_mutex_lock(&s->lock);
    bool large = s->txn_error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    pthread_mutex_unlock(&s->lock);
    for (enum track_id i = 0; large && i < TRACK_COUNT; i++)
        if (s->tracks[i].at + 1 > t->careful[i]) /* also the entry at which it stopped */
            t->careful[i] = s->tracks[i].at + 1;
    abort_it(s);
    if (!large)
        s->failures++;
}

bool transactions_step(struct kafka_sink *s, bool *ret_worked, struct err *err)
{
    struct transactions *t = s->transactions;
    bool ok = begin(s, err), more = false;
    uint64_t now = sink_monotonic(s);
    bool replays = now - s->probed_us >= REPLAYS_US;
    if (replays)
        s->probed_us = now;
    for (enum track_id i = 0; ok && i < TRACK_COUNT; i++) {
        uint64_t n = 0;
        if (i == TRACK_REPLAY && !replays)
            continue;
        ok = track_read(s, i, transactions_careful(s) ? 1 : STEP_ENTRIES, &n, err);
        more = more || n > 0;
    }
    pthread_mutex_lock(&s->lock);
    bool failed = s->txn_error != RD_KAFKA_RESP_ERR_NO_ERROR, large = s->txn_error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    pthread_mutex_unlock(&s->lock);
    if (ok && !failed && due(s, more))
        ok = commit(s, 0, err);
    *ret_worked = ok && more && !failed;
    if (ok && !failed) {
        s->failures = t->entries ? s->failures : 0;
        return true;
    }
    if (atomic_load(&s->stop) || (!ok && err->cls == ERR_STOPPED))
        return true; /* the end settles it */
    if (ok)
        (void)err_set(err, ERR_TRANSIENT, "a message came back");
    if (!atomic_load(&s->fatal))
        give_up(s);
    else
        read_again(s);
    *ret_worked = failed && large;
    return failed; /* its words are told already */
}

void transactions_end(struct kafka_sink *s)
{
    struct transactions *t = s->transactions;
    struct err err;
    pthread_mutex_lock(&s->lock);
    bool bad = s->in_trouble || s->txn_error;
    pthread_mutex_unlock(&s->lock);
    if (t->begun && t->entries && !bad && !s->partial && !atomic_load(&s->fatal))
        (void)commit(s, sink_monotonic(s) + END_US, &err);
}

/* ---- the entries' side ---- */
bool transactions_careful(const struct kafka_sink *s)
{
    for (int i = 0; i < TRACK_COUNT; i++)
        if (s->tracks[i].at < s->transactions->careful[i])
            return true;
    return false;
}

bool transactions_room(const struct kafka_sink *s)
{
    const struct transactions *t = s->transactions;
    return t->rows < ROWS_MAX && !(transactions_careful(s) && t->entries);
}

void transactions_row(struct kafka_sink *s)
{
    s->transactions->rows++;
}

void transactions_entry(struct kafka_sink *s)
{
    if (!s->transactions->entries++)
        s->transactions->began_us = sink_monotonic(s);
}

bool transactions_alone(struct kafka_sink *s, bool *ret_large)
{
    while (rd_kafka_outq_len(s->producer->rk) > 0 && may_go_on(s, 0))
        (void)rd_kafka_flush(s->producer->rk, 100);
    pthread_mutex_lock(&s->lock);
    *ret_large = s->txn_error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    bool ok = s->txn_error == RD_KAFKA_RESP_ERR_NO_ERROR;
    pthread_mutex_unlock(&s->lock);
    return ok && may_go_on(s, 0);
}

bool transactions_buried(const struct kafka_sink *s, enum track_id track, uint64_t seq, uint32_t item)
{
    const struct buf *list = &s->transactions->buried;
    for (size_t i = 0; i < list->n / sizeof(struct buried); i++) {
        const struct buried *b = (const struct buried *)(const void *)list->p + i;
        if (b->track == track && b->seq == seq && b->item == item)
            return true;
    }
    return false;
}

void transactions_bury(struct kafka_sink *s, enum track_id track, uint64_t seq, uint32_t item)
{
    struct buried b = {track, seq, item};
    buf_add(&s->transactions->buried, &b, sizeof b);
}
