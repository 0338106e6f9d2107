/* tables: reading merged tables for people: list, head, explain, and the merge's books.
 * A target that does not exist yet reads as one without tables.
 * Threads: own read-only connection per call's struct. Life: tables_open -> … -> tables_close. */
#pragma once
#include "config/config.h"
#include "core/db.h"
#include "merge/merge.h"
#include "staging/store.h"

struct tables {
    struct db db;
    bool absent; /* no target file yet: every table is empty */
    const struct config *config;
};
bool tables_open(struct tables *t, const struct config *c, struct err *err);
void tables_close(struct tables *t);

struct table_facts {
    bool exists;
    uint64_t rows, deleted_keys;     /* keys that are there; keys that were deleted and are gone */
    uint64_t newest_us;              /* receive time of the newest merged row, 0: none */
    struct merge_counts counts;      /* since the target was made */
};
bool tables_facts(struct tables *t, const struct source_config *s, const struct table_rule *table, struct table_facts *ret,
                  struct err *err);
/* Public name of a table in SQL: <source>_<table>. Appends. */
void table_public_name(struct span source, struct span table, struct buf *out);

/* Rows merged (all outcomes) of a source since the target was made; merge/account.h sets them against the staged ones. */
bool tables_rows_merged(struct tables *t, struct span source, uint64_t *ret, struct err *err);

/* ---- missed events ---- */
struct missed_row {
    struct span source, table, account, key, entry, observed_at; /* of the page that told it; key is JSON */
};
/* Newest first; the list is bounded (MISSED_LISTED_MAX by table), the count in table_facts is not. */
bool tables_missed(struct tables *t, struct span source, struct span table, int64_t limit,
                   bool (*each)(void *ctx, const struct missed_row *m), void *ctx, struct err *err);

/* ---- rows ---- */
/* Calls each with a JSON object per live row, newest first by receive time, at most limit. */
bool tables_head(struct tables *t, const struct source_config *s, const struct table_rule *table, int64_t limit,
                 bool (*each)(void *ctx, struct span row_json), void *ctx, struct err *err);
/* One candidate state of a key, from the staged objects. */
struct candidate {
    struct row row;
    bool holds;          /* it is the register that the row (or its absence) comes from */
    const char *why;     /* "newest", "older version than …", "older than the delete of …", … */
    const char *object;
};
/* key: JSON object, or the plain value of a single-column key. Oldest first by version, tombstones last. Scans the table's
 * staged objects; of a key with very many states only the newest are told. */
bool tables_explain(struct tables *t, struct store *store, const struct source_config *s, const struct table_rule *table,
                    struct span key, bool (*each)(void *ctx, const struct candidate *c), void *ctx, struct err *err);
