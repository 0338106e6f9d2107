/* exposition: the text format of Prometheus, version 0.0.4: families with HELP and TYPE, samples with escaped labels.
 *
 * All samples of a family are written directly behind its head. Values are whole numbers, or seconds from microseconds, so that
 * no locale and no rounding comes between.
 * Threads: as the buffer. */
#pragma once
#include "core/buf.h"
#include "core/histogram.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct label { /* a list of them ends with name NULL; a NULL list has none */
    const char *name;
    struct span value;
};
void exposition_family(struct buf *out, const char *name, const char *type, const char *help);
void exposition_count(struct buf *out, const char *name, const struct label *labels, uint64_t value);
void exposition_seconds(struct buf *out, const char *name, const struct label *labels, uint64_t us);
/* The buckets, the sum and the count, in seconds. */
void exposition_histogram(struct buf *out, const char *name, const struct histogram_snapshot *h);
