/* run: one table's pull, from its first page or from its last durable one to its end. Private to backfill/.
 *
 * Invariants
 *  1. A page and the cursor that follows it are one journal entry. The next page is asked for only when that entry is durable.
 *  2. The cursor of the run's last durable entry, and nothing else, says where the run stands; what state.db says is a cache.
 *  3. A watermark moves only when the run is complete, and never beyond the provider's time at which the run began: what changed
 *     while it was read is read again by the next run.
 *
 *   next_level: leaf page ──more──▶ leaf page … ──no more──▶ parent's next record
 *               ──none left──▶ parent's next page ──none──▶ complete
 */
#pragma once
#include "backfill/backfill.h"
#include "backfill/cursor.h"
#include "backfill/fetch.h"
#include "backfill/hide.h"
#include "staging/controls.h"

struct parent_page { /* the current page of a parent level, kept in memory */
    struct buf body;
    struct json records;
    bool loaded;
};
struct run {
    const struct backfill_opts *o;
    const struct table_rule *levels[LEVELS_MAX]; /* parents first, the table last; NULL as the last: the feed */
    struct cursor cursor;
    struct parent_page parents[LEVELS_MAX];
    struct fetcher *fetcher;
    struct state *state;
    const struct scope_pair *config;
    size_t n_config;
    char id[48];
    struct hide hide;
    uint64_t since_us;        /* incremental: ask from here, overlap taken off; 0: everything */
    uint64_t to_us;           /* only what is before; 0: open */
    uint64_t skipped;         /* parents that had no such list any more */
    struct pull_progress progress;
    struct fetch_watch watch;
    struct fetched page;
    uint64_t last_seq;
    uint64_t page_us;         /* when the last page came, or this process began */
    bool journalled_last;
    struct since_rule since;  /* the manifest's, as the operator changed it */
    char *since_query;        /* owned by this */
    struct table_control control;
    uint64_t *rows_left;      /* of --max-rows, shared by the tables; NULL: not limited */
};

/* table NULL: the feed. *ret_end says how it ended; *why when not complete. false: what concerns the whole backfill. */
bool run_table(const struct backfill_opts *o, const struct table_rule *table, struct fetcher *f, struct state *state,
               const struct scope_pair *config, size_t n_config, uint64_t *rows_left, struct backfill_result *sum,
               enum run_end *ret_end, struct err *why, struct err *err);

/* steps.c: one request and its entry. */
enum step_end { STEP_PAGE, STEP_COMPLETE, STEP_STOPPED, STEP_LIMITED, STEP_FAILED, STEP_BROKEN /* *err: the whole */ };
enum step_end run_step(struct run *r, struct err *err);
/* Finds the records in a parent's page whose body is in place. */
bool parent_records(struct run *r, unsigned level, struct err *err);
const struct since_rule *run_since(const struct run *r);
const struct page_rule *run_page_rule(const struct run *r, unsigned level);
bool run_is_leaf(const struct run *r, unsigned level);
struct json run_parent_record(const struct run *r, unsigned level); /* the current one of a parent level */
/* address.c: where the next page of a level is. It may hold a secret: for the request alone. */
bool run_address(const struct run *r, unsigned level, struct buf *url, struct err *err);
const char *run_table_name(const struct run *r); /* "" for the feed */
