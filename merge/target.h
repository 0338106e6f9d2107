/* target: what a merge writes into, as a table of operations; SQLite is the first.
 *
 * One transaction holds the rows of some objects and the fact that these objects are merged.
 * Of `apply`, ERR_INPUT means: this row cannot be taken, nothing of it was written, go on with the next. After any
 * other failure only rollback and close are legal.
 * Threads: one thread. Life: target_open -> (begin, apply*, merged*, commit)* -> target_close. */
#pragma once
#include "config/config.h"
#include "transforms/row.h"

struct target;
enum applied { APPLIED_INSERTED, APPLIED_UPDATED, APPLIED_DELETED, APPLIED_KEPT_OUT };
struct applied_row {
    enum applied what; /* what the public table shows of it */
    bool missed;       /* a page told something newer and different from what events had told */
    bool told_late;    /* an event told what an earlier page row was counted as missed for */
};

#define REJECTIONS_KEPT 20
struct rejection {
    uint64_t line; /* of the object, from 1 */
    char reason[240];
};
struct merged_object {
    const char *object; /* key in the store */
    struct span source, table;
    uint64_t rows;      /* lines read, the rejected ones included */
    uint64_t rejected;
    const struct rejection *rejections; /* the first of them */
    size_t n_rejections;
    uint64_t at_us;
};
struct target_ops {
    bool (*begin)(struct target *t, struct err *err);
    bool (*apply)(struct target *t, const struct source_config *s, const struct table_rule *table, const struct row *row,
                  struct applied_row *ret, struct err *err);
    bool (*is_merged)(struct target *t, const char *object, bool *ret, struct err *err);
    bool (*merged)(struct target *t, const struct merged_object *o, struct err *err);
    /* Within a transaction: the table is as if nothing had been applied to it. What is merged stays known as merged. */
    bool (*clear)(struct target *t, const struct source_config *s, const struct table_rule *table, struct err *err);
    bool (*commit)(struct target *t, struct err *err);
    void (*rollback)(struct target *t);
    void (*close)(struct target **t); /* accepts NULL inside; rolls an open transaction back */
};
struct target {
    const struct target_ops *ops;
};
bool target_open_sqlite(const char *path, struct target **ret, struct err *err);
