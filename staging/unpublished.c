#include "staging/unpublished.h"

bool state_unpublished_each(struct state *s, struct span source, bool (*each)(void *ctx, struct span key), void *ctx,
                            struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    /* As objects_unpublished has it. */
    if (!db_prepare(&s->db, &st, "SELECT key FROM objects WHERE published IN (0, 2) AND source = ?", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        if (!each(ctx, db_col(st, 0)))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

bool state_parts_each(struct state *s, struct span joined, bool (*each)(void *ctx, const struct staged_object *part), void *ctx,
                      struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    if (!db_prepare(&s->db, &st,
                    "SELECT j.part, j.rows, coalesce(o.at_us, 0) FROM joins j LEFT JOIN objects o ON o.key = j.part"
                    " WHERE j.object = ?",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", joined);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct staged_object part = {
            .key = db_col(st, 0),
            .rows = (uint64_t)sqlite3_column_int64(st, 1),
            .at_us = (uint64_t)sqlite3_column_int64(st, 2),
        };
        if (!each(ctx, &part))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}
