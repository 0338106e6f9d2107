#include "staging/settled.h"
#include <stdio.h>

bool state_settled(struct state *s, struct target_moment *ret, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    *ret = (struct target_moment){0};
    if (!db_prepare(&s->db, &st, "SELECT opening, commits FROM settled", err))
        return false;
    bool ok = db_step(&s->db, st, &row, err);
    if (ok && row) {
        snprintf(ret->opening, sizeof ret->opening, "%.*s", SPAN_ARG(db_col(st, 0)));
        ret->commits = (uint64_t)sqlite3_column_int64(st, 1);
    }
    sqlite3_finalize(st);
    return ok;
}

bool state_unsettled_each(struct state *s, struct span source, struct span table, bool all,
                          bool (*each)(void *ctx, const struct staged_object *o), void *ctx, struct err *err)
{
    /* Each way has its words, so that each finds its index; the numbers of those that are not needed are bound all the same. */
#define COLUMNS "SELECT " STATE_OBJECT_COLUMNS " FROM objects WHERE published = 1"
#define ORDER " ORDER BY at_us, key"
    static const char *const sql[2][3] = {
        {COLUMNS " AND settled = 0 AND ?1 = ?2" ORDER, COLUMNS " AND settled = 0 AND source = ?1 AND ?2 = ?2" ORDER,
         COLUMNS " AND settled = 0 AND source = ?1 AND tbl = ?2" ORDER},
        {COLUMNS " AND ?1 = ?2" ORDER, COLUMNS " AND source = ?1 AND ?2 = ?2" ORDER,
         COLUMNS " AND source = ?1 AND tbl = ?2" ORDER},
    };
#undef COLUMNS
#undef ORDER
    sqlite3_stmt *st;
    bool row = true;
    if (!db_prepare(&s->db, &st, sql[all][!source.n ? 0 : !table.n ? 1 : 2], err))
        return false;
    bool ok = db_bind(&s->db, st, err, "SS", source, table);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct staged_object o = state_object_of(st);
        if (!each(ctx, &o))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

bool state_settle(struct state *s, struct span key, struct err *err)
{
    return db_run(&s->db, err, "UPDATE objects SET settled = 1 WHERE key = ? AND published = 1", "S", key);
}

bool state_settled_at(struct state *s, const struct target_moment *m, struct err *err)
{
    return db_run(&s->db, err, "DELETE FROM settled", "") &&
           db_run(&s->db, err, "INSERT INTO settled(opening, commits) VALUES(?, ?)", "su", m->opening, m->commits);
}

bool state_settled_void(struct state *s, struct err *err)
{
    return db_run(&s->db, err, "UPDATE objects SET settled = 0 WHERE settled = 1", "") &&
           db_run(&s->db, err, "DELETE FROM settled", "");
}
