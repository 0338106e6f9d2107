/* tally: how many entries of which source each stretch of a lane holds, and where it begins in its segment. So what waits behind
 * a position is counted without reading it, and a reader begins near what it wants. Private to journal/.
 *
 * A stretch is closed by STRETCH_ENTRIES, STRETCH_BYTES or the end of its segment, so to look inside of one costs little. It
 * takes about a hundred bytes, and sixteen for each source in it. The committer adds what it has made durable, from the very
 * bytes that it wrote; what is older than the process is read once, when it is first asked for (lane_count).
 * Threads: any, under `lock`, which is taken before the lane's. Life: tally_init -> … -> tally_release. */
#pragma once
#include "journal/entry.h"
#include <pthread.h>

#define STRETCH_ENTRIES 4096
#define STRETCH_BYTES ((uint64_t)4 << 20)

struct tally_count {
    uint32_t source; /* its place among the names */
    uint32_t entries;
    uint64_t oldest_us;
};
struct stretch {
    uint64_t first, last;     /* sequences; those that are damaged are not counted */
    uint64_t segment, offset; /* the segment's first sequence, where the first entry stands in it */
    uint64_t bytes;
    struct tally_count *counts;
    uint32_t n_counts, cap_counts, entries;
};
struct stretches {
    struct stretch *list;
    size_t n, cap;
};
struct tally {
    pthread_mutex_t lock;
    pthread_mutex_t reading; /* held by who reads what is older; taken before `lock` */
    char **names;            /* of sources; a name stays where it is until the end */
    size_t n_names, last_name;
    struct stretches known;
    uint64_t from, next;     /* `known` covers the sequences from, up to, not including, next */
};
struct tally_entry {
    struct span source;
    uint64_t seq, received_us;
    uint64_t segment, offset, bytes;
};
void tally_init(struct tally *t);
void tally_release(struct tally *t);
void stretches_release(struct stretches *s);
uint32_t tally_source_locked(struct tally *t, struct span name);
void stretches_add(struct stretches *s, uint32_t source, const struct tally_entry *e);
/* What was just made durable; entries come in their order. */
void tally_add_locked(struct tally *t, const struct tally_entry *e);
/* Takes what stretches hold that end where the known ones begin. False: they do not; nothing is taken. */
bool tally_prepend_locked(struct tally *t, struct stretches *older, uint64_t from, uint64_t upto);
void tally_forget(struct tally *t, uint64_t seq);
/* Where in the segment an entry with this sequence, or one before it, stands; `otherwise` where that is not known. */
uint64_t tally_offset(struct tally *t, uint64_t segment, uint64_t seq, uint64_t otherwise);
