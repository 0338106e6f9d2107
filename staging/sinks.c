#include "staging/sinks.h"
#include "staging/books.h"

bool sink_position(struct state *s, const char *sink, const char *lane, uint64_t *ret_next, struct err *err)
{
    int64_t v;
    if (!db_int(&s->db, &v, 1, err, "SELECT next FROM positions WHERE sink = ? AND lane = ?", "ss", sink, lane))
        return false;
    *ret_next = (uint64_t)v;
    return true;
}

bool sink_move(struct state *s, const char *sink, const char *lane, uint64_t next, uint64_t lost, struct err *err)
{
    return db_run(&s->db, err,
                  "INSERT INTO positions(sink, lane, next, lost) VALUES(?, ?, ?, ?)"
                  " ON CONFLICT(sink, lane) DO UPDATE SET next = excluded.next, lost = lost + excluded.lost",
                  "ssuu", sink, lane, next, lost);
}

bool sinks_floor(struct state *s, const struct config *c, const char *lane, uint64_t *ret_next, struct err *err)
{
    uint64_t floor, next;
    int64_t waiting;
    if (!sink_position(s, SINK_OBJECTS, lane, &floor, err))
        return false;
    if (c->kafka.brokers) {
        if (!sink_position(s, SINK_KAFKA, lane, &next, err) ||
            !db_int(&s->db, &waiting, INT64_MAX, err, "SELECT min(seq) FROM resend WHERE sink = ? AND lane = ?", "ss", SINK_KAFKA,
                    lane))
            return false;
        floor = next < floor ? next : floor;
        floor = (uint64_t)waiting < floor ? (uint64_t)waiting : floor;
    }
    *ret_next = floor;
    return true;
}

bool sink_resend(struct state *s, const char *sink, struct span source, struct span entry, struct err *err)
{
    struct span node, lane;
    uint64_t seq;
    bool own;
    if (!entry_id_parse(entry, &node, &lane, &seq))
        return err_set(err, ERR_INPUT, "'%.*s' is no entry's id", SPAN_ARG(entry));
    if (!state_tx_begin(s, &own, err))
        return false;
    bool ok = db_run(&s->db, err, "INSERT INTO resend(sink, entry, lane, seq) VALUES(?, ?, ?, ?)", "sSSu", sink, entry, lane,
                     seq) &&
              db_run(&s->db, err, "DELETE FROM dead WHERE sink = ? AND source = ? AND entry = ?", "sSS", sink, source, entry);
    return state_tx_end(s, own, ok, err);
}

bool sink_resend_next(struct state *s, const char *sink, uint64_t from, uint64_t *ret_id, struct buf *entry, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    if (!db_prepare(&s->db, &st, "SELECT id, entry FROM resend WHERE sink = ? AND id >= ? ORDER BY id LIMIT 1", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "su", sink, from) && db_step(&s->db, st, &row, err);
    if (ok) {
        *ret_id = row ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
        buf_clear(entry);
        if (row)
            buf_adds(entry, db_col(st, 1));
        ok = buf_ok(entry) || err_set(err, ERR_NOMEM, "out of memory for an entry's id");
    }
    sqlite3_finalize(st);
    return ok;
}

bool sink_resent(struct state *s, const char *sink, uint64_t below, struct err *err)
{
    return db_run(&s->db, err, "DELETE FROM resend WHERE sink = ? AND id < ?", "su", sink, below);
}

bool sink_dead(struct state *s, const struct dead_letter *d, struct err *err)
{
    return dead_put(s, d, false, err);
}
