/* sinks: how far each sink of the configuration is behind the journal, and where it writes to. Threads: as the instance. */
#pragma once
#include "cli/instance.h"
#include "staging/sinks.h"

#define SINKS_MAX 2
/* Names of the configuration's sinks; returns how many there are. */
size_t sinks_configured(const struct config *c, const char *ret[SINKS_MAX]);
/* The lowest sequence of the lane that it has not taken. */
bool sink_next(struct instance *in, const char *sink, enum lane_id lane, uint64_t *ret, struct err *err);
/* Entries of both lanes that it has not taken. */
bool sink_behind(struct instance *in, const char *sink, uint64_t *ret, struct err *err);
/* When the oldest of them was received; 0: it has all. */
bool sink_oldest(struct instance *in, const char *sink, uint64_t *ret_us, struct err *err);
/* What keeps it, of a running server; false: nothing, or none runs. */
bool sink_trouble(const struct instance *in, const char *sink, char *ret_words, size_t n, uint64_t *ret_since_us);
/* As the configuration has it: s3://bucket/prefix, file://folder, brokers. */
void sink_place(const struct config *c, const char *sink, char *ret, size_t n);
