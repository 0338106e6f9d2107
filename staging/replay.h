/* replay: entries of the archive and the journal become rows once more.
 *
 * Reads the archived segments of every node whose time touches the window, then what the journal holds beyond them, in that
 * order;
 * what `wanted` takes is run through the present transforms and staged with origin replay, under names that hold `selection`:
 * the same replay twice writes the same objects, two different ones never the same. Rows get the order of their own entry and the
 * present transform's place in it, so that a replay with a newer transform wins and one with the same changes nothing.
 * Dead letters stay as they are: an entry that fails again is counted, `stager_retry_dead` is for those.
 * Memory: as a cut. Disk: one segment at a time, in <data_dir>/replay.
 * Threads: one replay per data directory at a time; beside a running stager. */
#pragma once
#include "staging/stager.h"

struct replay_opts {
    enum lane_id lane;
    uint64_t from_us, to_us; /* received from <= t < to */
    uint64_t selection;      /* a hash of everything that chooses */
    bool (*wanted)(void *ctx, const struct entry *e); /* within the window */
    void *ctx;
    bool dry_run;            /* counts, stages nothing */
};
struct replay_counts {
    uint64_t segments;       /* read from the archive */
    uint64_t entries, rows;  /* chosen; rows 0 in a dry run */
    uint64_t failed, strangers; /* gave no row but a failure; are of sources that are not configured */
    uint64_t damage;         /* bytes that could not be read */
};
bool stager_replay(struct stager *s, const struct replay_opts *o, struct replay_counts *ret, struct err *err);
