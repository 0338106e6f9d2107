/* target: what a merge writes into, as a table of operations; SQLite is the first.
 *
 * One transaction holds the rows of some objects and the fact that these objects are merged.
 * Threads: one thread. Life: target_open -> (begin, apply*, merged*, commit)* -> target_close. */
#pragma once
#include "config/config.h"
#include "transforms/row.h"

struct target;
enum applied { APPLIED_INSERTED, APPLIED_UPDATED, APPLIED_DELETED, APPLIED_KEPT_OUT };
struct applied_row {
    enum applied what;
    bool missed; /* a page told something newer and different from what events had told */
};
struct target_ops {
    bool (*begin)(struct target *t, struct err *err);
    bool (*apply)(struct target *t, const struct source_config *s, const struct table_rule *table, const struct row *row,
                  struct applied_row *ret, struct err *err);
    bool (*is_merged)(struct target *t, const char *object, bool *ret, struct err *err);
    bool (*merged)(struct target *t, const char *object, uint64_t rows, struct err *err);
    bool (*commit)(struct target *t, struct err *err);
    void (*rollback)(struct target *t);
    void (*close)(struct target **t);
};
struct target {
    const struct target_ops *ops;
};
bool target_open_sqlite(const char *path, struct target **ret, struct err *err);
