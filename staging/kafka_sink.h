/* kafka_sink: the Kafka sink: a journal consumer of its own that sends every row to Apache Kafka.
 *
 * One message a row: key (docs/kafka.md), headers, and as value the row envelope that staged objects have, without its newline.
 * The producer is idempotent and waits for all in-sync replicas. A lane's position is the lowest entry of which not every row was
 * delivered; it is written to state.db a few times a second, so what was delivered since is sent again after a kill: at least
 * once. With `transactional`, rows and position are one Kafka transaction: exactly once for who reads committed; state.db's copy
 * is then a cache of what stands in Kafka.
 * Failures: brokers that are down, slow or refuse hold up this sink alone; its entries wait in the journal. A message that the
 * brokers will never take for its size becomes a dead letter of sink `kafka`. Entries without rows for want of a transform are
 * the object sink's letters, and not told here.
 * Memory: librdkafka's queue.buffering.max.kbytes, one entry, and FLIGHT_MAX entries' places.
 * Threads: kafka_sink_run in one thread of the caller, one of its own that takes delivery reports, librdkafka's; everything else
 *          may be called by any thread.
 * Life:    kafka_sink_new -> kafka_sink_listen -> kafka_sink_run … kafka_sink_stop -> kafka_sink_free. */
#pragma once
#include "journal/journal.h"
#include "staging/state.h"

struct kafka_sink;
struct kafka_sink_opts {
    const struct config *config; /* kafka.brokers is set */
    struct journal *journal;
    const char *data_dir;
    const struct io *io;
};
bool kafka_sink_new(const struct kafka_sink_opts *o, struct kafka_sink **ret, struct err *err);
void kafka_sink_free(struct kafka_sink **s);
/* Follows the journal until kafka_sink_stop; then waits a little for what is in flight. */
void kafka_sink_run(struct kafka_sink *s);
void kafka_sink_stop(struct kafka_sink *s);

/* From now on with this configuration's sources, which it holds: taken up before the next entry. Any thread. */
void kafka_sink_follow(struct kafka_sink *s, const struct config *c);

/* The lowest sequence of the lane that is not delivered yet: all in-sync replicas have every row of the entries below it. */
uint64_t kafka_sink_position(const struct kafka_sink *s, enum lane_id lane);
/* Called after the position of lane events advanced, once for each batch of delivery reports, by the thread that takes them or
 * the sink's: no lock is held; it must not block. */
struct kafka_listener {
    void (*delivered)(void *ctx, uint64_t next);
    void *ctx;
};
/* Before kafka_sink_run. */
void kafka_sink_listen(struct kafka_sink *s, const struct kafka_listener *listener);
/* What keeps it from delivering, what to do, and since when; false: nothing. While it is true, what is delivered now may not
 * reach Kafka soon. */
bool kafka_sink_trouble(struct kafka_sink *s, char *ret_words, size_t n, uint64_t *ret_since_us);

/* Whether librdkafka takes the settings together, secrets and certificates included; connects to nobody. ERR_CONFIG. */
bool kafka_settings_check(const struct config *c, struct err *err);
