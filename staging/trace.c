#include "staging/trace.h"
#include "staging/cut.h"

/* A dead letter of an entry that gave no row. */
static bool is_dead(struct state *s, struct span source, struct span lane, uint64_t seq, bool *ret, struct err *err)
{
    int64_t n;
    if (!db_int(&s->db, &n, 0, err,
                "SELECT count(*) FROM dead WHERE source = ? AND alone = 1 AND entry LIKE '%/' || ? || '/' || ?", "SSu", source,
                lane, seq))
        return false;
    *ret = n > 0;
    return true;
}

static bool is_ignored(struct state *s, struct span lane, uint64_t seq, bool *ret, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    if (!db_prepare(&s->db, &st,
                    "SELECT first, seqs FROM ignored WHERE lane = ?1 AND first <= ?2 AND last >= ?2 ORDER BY first DESC LIMIT 1",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "Su", lane, seq) && db_step(&s->db, st, &row, err);
    if (ok)
        *ret = row && ignored_holds(db_col(st, 1), (uint64_t)sqlite3_column_int64(st, 0), seq);
    sqlite3_finalize(st);
    return ok;
}

static bool each_object(struct state *s, struct span source, struct span lane, uint64_t seq, bool replays_only, uint64_t *ret_n,
                        bool (*each)(void *ctx, const struct staged_object *o), void *ctx, struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    uint64_t n = 0;
    if (!db_prepare(&s->db, &st,
                    /* STATE_OBJECT_COLUMNS, where a part that was joined is known by the object that has its rows */
                    "SELECT coalesce((SELECT object FROM joins WHERE part = key), key), rows, bytes, at_us FROM objects"
                    " WHERE published IN (1, 3, 4) AND source = ?1"
                    " AND (lane = 'replay-' || ?2 OR (lane = ?2 AND NOT ?4)) AND first <= ?3 AND last >= ?3 ORDER BY at_us, key",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "SSui", source, lane, seq, (int64_t)replays_only);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct staged_object o = state_object_of(st);
        n++;
        if (!each(ctx, &o))
            break;
    }
    sqlite3_finalize(st);
    if (ok)
        *ret_n = n;
    return ok;
}

bool trace_entry(struct state *s, struct span source, struct span lane, uint64_t seq, enum staged_stand *ret,
                 bool (*each)(void *ctx, const struct staged_object *o), void *ctx, struct err *err)
{
    uint64_t next, n = 0;
    bool dead, without_rows;
    if (!state_position(s, lane, &next, err))
        return false;
    if (seq >= next) {
        *ret = STAND_WAITING;
        return true;
    }
    if (!is_dead(s, source, lane, seq, &dead, err) || !is_ignored(s, lane, seq, &without_rows, err))
        return false;
    if (dead) {
        *ret = STAND_DEAD;
        return true;
    }
    /* What gave no row at first may have given some when it was tried again. */
    if (!each_object(s, source, lane, seq, without_rows, &n, each, ctx, err))
        return false;
    *ret = n || !without_rows ? STAND_STAGED : STAND_IGNORED;
    return true;
}
