/* backfill: the resumable puller. Reads a table's list API page by page; each page and the cursor that follows it are one
 * journal entry, so resuming reads the last durable page of the run.
 *
 * Promise: killed at any instant it continues from its last durable page; no row lost, none doubled in the table.
 * Retries: 429/503 with Retry-After, 5xx and broken connections with backoff and full jitter, a bounded budget; then
 * the run stops as `limited` or `failed`, resumable.
 * Threads: one backfill runs in its caller's thread; stop flag from any. Memory: one page. */
#pragma once
#include "config/config.h"
#include "journal/journal.h"
#include "staging/state.h"
#include <stdatomic.h>

enum run_end {
    RUN_COMPLETED,
    RUN_STOPPED, /* resumable: Ctrl-C, --max-rows */
    RUN_LIMITED, /* rate limit, resumable */
    RUN_FAILED   /* resumable once the cause is gone */
};

struct pull_progress { /* of one table, told after each page and each wait */
    struct span table;
    uint64_t pages, rows;
    uint64_t started_us;
    uint64_t oldest_us;      /* how far back the partition or order field is, 0: unknown */
    unsigned permille;       /* of the time that is to be read, as far as the list's order tells; 0: unknown */
    const char *waiting;     /* NULL, or "rate limit", "retrying after 500" */
    uint64_t wait_until_us;
    bool done, resumed;
    unsigned retries, limits; /* so far */
};
struct backfill_opts {
    const struct config *config;
    const struct source_config *source;
    struct journal *journal;
    const char *data_dir;
    const struct io *io;
    const struct span *tables; /* none: all that have a list API, parents first, then the feed */
    size_t n_tables;
    bool full;               /* ignore watermarks */
    uint64_t from_us, to_us; /* window of the partition/since field, 0: open */
    uint64_t max_rows;       /* 0: all */
    bool dry_run;            /* fetch one page of each table, journal nothing, tell what would be pulled */
    uint64_t backoff_us_base; /* first pause before another try; 0: 500 ms */
    const atomic_bool *stop;
    void (*progress)(void *ctx, const struct pull_progress *p);
    void *progress_ctx;
};
struct backfill_result {
    enum run_end end;
    uint64_t pages, rows, tables_done, tables_failed, tables_paused, retries, limits;
    struct err why; /* of the first table that did not complete */
    uint64_t skipped; /* parents whose list of children was gone (404) */
    char note[240];   /* what to know of tables that did complete (a cap, skipped parents); "" */
};
/* false only for failures that concern the whole (journal, state, configuration). */
bool backfill_run(const struct backfill_opts *o, struct backfill_result *ret, struct err *err);
