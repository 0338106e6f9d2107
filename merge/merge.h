/* merge: staged objects -> one correct table per resource (SQLite now), as a pure function of the set of rows.
 *
 * Per key and shape one upsert register (the highest version), per key one tombstone register (the highest tombstone
 * version). The row is there when the upsert was observed later than the tombstone; on a tie it is gone. The guard
 * compares against what is stored, so batches, restarts and repetition do not matter. Which objects are merged is
 * recorded in the target in the same transaction as their rows. docs/merge.md is the whole story.
 *
 * A line that cannot be parsed or applied is counted `rejected`, kept in _sluice_rejected, and stops nobody. An object
 * that cannot be read, and a table whose key or accounts changed, is left for the next pass; the pass does what else
 * there is and then fails with the first such error. Objects of tables that are not in use are left alone.
 * Threads: one merger per target at a time (it holds the lock file `<target>.lock`); merger_pass and merger_run in one
 * thread; merger_wake, merger_stop and merger_trouble from any.
 * Life: merger_new -> merger_pass* | merger_run -> merger_free. */
#pragma once
#include "config/config.h"
#include "merge/target.h"
#include "staging/store.h"

struct merger;
struct merger_opts {
    const struct config *config;
    struct store *store;
    const struct io *io;
    const char *data_dir; /* where state.db is: merger_run settles its books (merge/account.h); NULL: nobody's */
    bool (*gives_way)(void *ctx); /* while it says true, merger_run waits between transactions, some seconds; may be NULL */
    void *gives_way_ctx;
};
struct merge_counts {
    uint64_t objects, rows;       /* read */
    uint64_t inserted, updated, deleted; /* keys that appeared, changed, went */
    uint64_t kept_out;            /* rows older than what is stored, repeated, or of no effect on what is shown */
    uint64_t missed;              /* page rows that were newer than, and different from, what the events told while the
                                     webhook was active: events that never came */
    uint64_t rejected;            /* rows the target could not take (_sluice_rejected tells which and why) */
};
/* Makes the target's folder and file. ERR_TRANSIENT names the merger that holds the target. */
bool merger_new(const struct merger_opts *o, struct merger **ret, struct err *err);
void merger_free(struct merger **m);
/* Merges every staged object not merged yet; of one source and table where not empty. Adds to *counts what was committed,
 * also when it fails. ERR_STOPPED after merger_stop. */
bool merger_pass(struct merger *m, struct span source, struct span table, struct merge_counts *counts, struct err *err);
/* Follows until stopped: a pass every merge.every, at once when woken. Failures are retried with backoff. */
void merger_run(struct merger *m);
/* Settles the books of data_dir now. */
bool merger_settle(struct merger *m, struct err *err);
/* From its next pass on with this configuration, which it holds. ERR_CONFIG: two tables would have one name. Any thread. */
bool merger_follow(struct merger *m, const struct config *c, struct err *err);
void merger_wake(struct merger *m);
void merger_stop(struct merger *m);
/* The last failure's words and since when, or false: healthy. */
bool merger_trouble(struct merger *m, char *ret_words, size_t n, uint64_t *ret_since_us);
