/* The books, and the letters of the dead. */
#include "staging/books.h"

bool state_tx_begin(struct state *s, bool *ret_own, struct err *err)
{
    *ret_own = sqlite3_get_autocommit(s->db.handle) != 0;
    return !*ret_own || db_begin(&s->db, err);
}

bool state_tx_end(struct state *s, bool own, bool ok, struct err *err)
{
    if (!own)
        return ok;
    ok = ok && db_commit(&s->db, err);
    if (!ok)
        db_rollback(&s->db);
    return ok;
}

bool state_books(struct state *s, struct span source, struct books *ret, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    struct books b = {0};
    uint64_t *const fields[] = {&b.received, &b.handshake, &b.rejected, &b.duplicate, &b.journalled, &b.pages,
                                &b.staged,   &b.ignored,   &b.dead,     &b.rows_staged, &b.rows_dead};
    if (!db_prepare(&s->db, &st,
                    "SELECT received, handshake, rejected, duplicate, journalled, pages, staged, ignored, dead,"
                    " rows_staged, rows_dead FROM books WHERE source = ?",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source) && db_step(&s->db, st, &row, err);
    for (int i = 0; ok && row && i < (int)(sizeof(fields) / sizeof(fields[0])); i++)
        *fields[i] = (uint64_t)sqlite3_column_int64(st, i);
    sqlite3_finalize(st);
    if (ok)
        *ret = b;
    return ok;
}

/* Counters are added modulo 2^64, so that a difference below zero is subtracted. */
bool books_sum(struct state *s, struct span source, const struct books *d, struct err *err)
{
    return db_run(&s->db, err,
                  "INSERT INTO books(source, received, handshake, rejected, duplicate, journalled, pages, staged, ignored,"
                  " dead, rows_staged, rows_dead) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                  " ON CONFLICT(source) DO UPDATE SET received = received + excluded.received,"
                  " handshake = handshake + excluded.handshake, rejected = rejected + excluded.rejected,"
                  " duplicate = duplicate + excluded.duplicate, journalled = journalled + excluded.journalled,"
                  " pages = pages + excluded.pages, staged = staged + excluded.staged, ignored = ignored + excluded.ignored,"
                  " dead = dead + excluded.dead, rows_staged = rows_staged + excluded.rows_staged,"
                  " rows_dead = rows_dead + excluded.rows_dead",
                  "Suuuuuuuuuuu", source, d->received, d->handshake, d->rejected, d->duplicate, d->journalled, d->pages,
                  d->staged, d->ignored, d->dead, d->rows_staged, d->rows_dead);
}

bool state_books_add(struct state *s, struct span source, const struct books *delta, uint64_t upto_events_seq, struct err *err)
{
    bool own;
    struct books door = *delta;
    door.staged = door.ignored = door.dead = door.rows_staged = door.rows_dead = 0;
    if (!state_tx_begin(s, &own, err))
        return false;
    bool ok = books_sum(s, source, &door, err) &&
              db_run(&s->db, err,
                     "INSERT INTO marks(name, seq) VALUES('events', ?) ON CONFLICT(name) DO UPDATE SET seq = excluded.seq"
                     " WHERE excluded.seq > seq",
                     "u", upto_events_seq);
    return state_tx_end(s, own, ok, err);
}

bool state_books_mark(struct state *s, uint64_t *ret_seq, struct err *err)
{
    int64_t v;
    if (!db_int(&s->db, &v, 0, err, "SELECT seq FROM marks WHERE name = 'events'", ""))
        return false;
    *ret_seq = (uint64_t)v;
    return true;
}

bool dead_put(struct state *s, const struct dead_letter *d, bool alone, struct err *err)
{
    return db_run(&s->db, err,
                  "INSERT INTO dead(source, tbl, entry, item, reason, at_us, alone, sink) VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
                  " ON CONFLICT(sink, entry, tbl, item) DO UPDATE SET reason = excluded.reason, at_us = excluded.at_us,"
                  " alone = excluded.alone",
                  "SSSuSuiS", d->source, d->table.p ? d->table : SPAN_LIT(""), d->entry, d->item, d->reason, d->at_us,
                  (int64_t)alone, d->sink.p ? d->sink : SPAN_LIT("objects"));
}

bool state_dead_each(struct state *s, struct span source, int64_t limit, bool (*each)(void *ctx, const struct dead_letter *d),
                     void *ctx, struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    if (!db_prepare(&s->db, &st,
                    "SELECT id, source, tbl, entry, item, reason, at_us, sink FROM dead WHERE ?1 = '' OR source = ?1"
                    " ORDER BY id LIMIT ?2",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "Si", source.p ? source : SPAN_LIT(""), limit);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct dead_letter d = {
            .id = sqlite3_column_int64(st, 0),
            .source = db_col(st, 1),
            .table = db_col(st, 2),
            .entry = db_col(st, 3),
            .item = (uint64_t)sqlite3_column_int64(st, 4),
            .reason = db_col(st, 5),
            .at_us = (uint64_t)sqlite3_column_int64(st, 6),
            .sink = db_col(st, 7),
        };
        if (!each(ctx, &d))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

bool state_dead_count(struct state *s, struct span source, uint64_t *ret, struct err *err)
{
    int64_t v;
    if (!db_int(&s->db, &v, 0, err, "SELECT count(*) FROM dead WHERE ?1 = '' OR source = ?1", "S",
                source.p ? source : SPAN_LIT("")))
        return false;
    *ret = (uint64_t)v;
    return true;
}

bool state_dead_tables(struct state *s, struct span source, bool (*each)(void *ctx, const struct dead_sum *d), void *ctx,
                       struct err *err)
{
    sqlite3_stmt *st;
    bool row;
    /* Beside max() the other columns are those of the row that has it. */
    if (!db_prepare(&s->db, &st, "SELECT tbl, count(*), max(id), reason FROM dead WHERE source = ? GROUP BY tbl", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct dead_sum d = {db_col(st, 0), db_col(st, 3), (uint64_t)sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2)};
        if (!each(ctx, &d))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

bool state_dead_drop(struct state *s, struct span source, int64_t id, uint64_t *ret, struct err *err)
{
    if (!db_run(&s->db, err, "DELETE FROM dead WHERE source = ?1 AND (?2 = 0 OR id = ?2)", "Si", source, id))
        return false;
    *ret = (uint64_t)sqlite3_changes64(s->db.handle);
    return true;
}
