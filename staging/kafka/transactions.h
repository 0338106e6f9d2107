/* transactions: rows and position in one Kafka transaction. Private to staging/kafka.
 *
 * The position of all tracks is the metadata of a committed offset: group and transactional id are this node's name, the topic is
 * staging.kafka.positions, which has no messages. It also names the process that wrote it, so that one that was fenced can tell
 * whether another took over, or the brokers only gave up on a transaction that lasted too long.
 *
 *   closed ──transactions_open: init, read, claim──▶ open ──rows──▶ commit ──▶ open
 *                                                     ▲   failure: abort, read again from the position
 * Threads: the sink's. Life: transactions_new -> (open -> step*)* -> transactions_free. */
#pragma once
#include "staging/kafka/internal.h"

struct transactions *transactions_new(const struct kafka_sink *s);
void transactions_free(struct transactions **t);
/* With a new producer. ERR_STOPPED: another process has this node's place, for good. */
bool transactions_open(struct kafka_sink *s, struct err *err);
bool transactions_step(struct kafka_sink *s, bool *ret_worked, struct err *err);
/* Commits what was read, where that is possible soon. */
void transactions_end(struct kafka_sink *s);

/* ---- what the entries' side asks ---- */
bool transactions_room(const struct kafka_sink *s);
void transactions_row(struct kafka_sink *s);
void transactions_entry(struct kafka_sink *s);
/* Every message is looked at by itself, since one is too large for the brokers; *ret_large: this one. */
bool transactions_careful(const struct kafka_sink *s);
bool transactions_alone(struct kafka_sink *s, bool *ret_large);
bool transactions_buried(const struct kafka_sink *s, enum track_id t, uint64_t seq, uint32_t item);
void transactions_bury(struct kafka_sink *s, enum track_id t, uint64_t seq, uint32_t item);
