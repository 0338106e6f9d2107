#include "staging/pending.h"

bool state_pending_each(struct state *s, struct span source, bool (*each)(void *ctx, const struct staged_object *o), void *ctx,
                        struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    if (!db_prepare(&s->db, &st, "SELECT key, rows, bytes, at_us FROM objects WHERE published = 0 AND source = ?", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct staged_object o = {.key = db_col(st, 0),
                                  .rows = (uint64_t)sqlite3_column_int64(st, 1),
                                  .bytes = (uint64_t)sqlite3_column_int64(st, 2),
                                  .at_us = (uint64_t)sqlite3_column_int64(st, 3)};
        if (!each(ctx, &o))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}
