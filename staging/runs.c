/* Runs and watermarks of the puller, and the secrets' metadata. */
#include "staging/books.h"

bool state_secret_seen(struct state *s, struct span source, struct span id, uint64_t first_us, uint64_t last_used_us,
                       struct err *err)
{
    return db_run(&s->db, err,
                  "INSERT INTO secrets(source, id, first_us, last_used_us) VALUES(?, ?, ?, ?)"
                  " ON CONFLICT(source, id) DO UPDATE SET first_us = min(first_us, excluded.first_us),"
                  " last_used_us = max(last_used_us, excluded.last_used_us)",
                  "SSuu", source, id, first_us, last_used_us);
}

bool state_secret_each(struct state *s, struct span source, bool (*each)(void *ctx, const struct secret_seen *seen), void *ctx,
                       struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    if (!db_prepare(&s->db, &st,
                    "SELECT source, id, first_us, last_used_us FROM secrets WHERE ?1 = '' OR source = ?1"
                    " ORDER BY source, first_us, id",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source.p ? source : SPAN_LIT(""));
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct secret_seen seen = {
            .source = db_col(st, 0),
            .id = db_col(st, 1),
            .first_us = (uint64_t)sqlite3_column_int64(st, 2),
            .last_used_us = (uint64_t)sqlite3_column_int64(st, 3),
        };
        if (!each(ctx, &seen))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

static struct span text_or_empty(struct span s)
{
    return s.p ? s : SPAN_LIT("");
}

bool state_run_put(struct state *s, const struct run_record *r, struct err *err)
{
    bool own;
    struct span table = text_or_empty(r->table);
    if (!state_tx_begin(s, &own, err))
        return false;
    bool ok = db_run(&s->db, err,
                     "INSERT OR REPLACE INTO runs(source, tbl, run, started_us, finished_us, pages, rows, status, last_seq,"
                     " error, watermark, from_us, to_us, page_us, waiting, wait_until_us, cause)"
                     " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     "SSSuuuuSuSSuuuSuS", r->source, table, r->run, r->started_us, r->finished_us, r->pages, r->rows,
                     text_or_empty(r->status), r->last_seq, text_or_empty(r->error), text_or_empty(r->watermark), r->from_us,
                     r->to_us, r->page_us, text_or_empty(r->waiting), r->wait_until_us, text_or_empty(r->cause));
    if (ok && r->watermark.n)
        ok = db_run(&s->db, err, "INSERT OR REPLACE INTO watermarks(source, tbl, value) VALUES(?, ?, ?)", "SSS", r->source,
                    table, r->watermark);
    return state_tx_end(s, own, ok, err);
}

#define RUN_COLUMNS \
    "run, source, tbl, started_us, finished_us, pages, rows, status, last_seq, error, watermark, from_us, to_us, page_us, " \
    "waiting, wait_until_us, cause"

static struct run_record run_of(sqlite3_stmt *st)
{
    return (struct run_record){
        .run = db_col(st, 0),
        .source = db_col(st, 1),
        .table = db_col(st, 2),
        .started_us = (uint64_t)sqlite3_column_int64(st, 3),
        .finished_us = (uint64_t)sqlite3_column_int64(st, 4),
        .pages = (uint64_t)sqlite3_column_int64(st, 5),
        .rows = (uint64_t)sqlite3_column_int64(st, 6),
        .status = db_col(st, 7),
        .last_seq = (uint64_t)sqlite3_column_int64(st, 8),
        .error = db_col(st, 9),
        .watermark = db_col(st, 10),
        .from_us = (uint64_t)sqlite3_column_int64(st, 11),
        .to_us = (uint64_t)sqlite3_column_int64(st, 12),
        .page_us = (uint64_t)sqlite3_column_int64(st, 13),
        .waiting = db_col(st, 14),
        .wait_until_us = (uint64_t)sqlite3_column_int64(st, 15),
        .cause = db_col(st, 16),
    };
}

/* Copies the record's texts to `text`, which is given its size first so that it does not move. */
static bool keep_texts(struct run_record *r, struct buf *text)
{
    struct span *const spans[] = {&r->run, &r->source, &r->table, &r->status, &r->error, &r->watermark, &r->waiting, &r->cause};
    size_t n = sizeof(spans) / sizeof(spans[0]), bytes = 1;
    for (size_t i = 0; i < n; i++)
        bytes += spans[i]->n;
    buf_clear(text);
    if (!buf_reserve(text, bytes))
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t at = text->n;
        buf_adds(text, *spans[i]);
        *spans[i] = (struct span){text->p + at, spans[i]->n};
    }
    return buf_ok(text);
}

bool state_run_get(struct state *s, struct span source, struct span table, struct span run, struct run_record *ret,
                   struct buf *text, bool *ret_found, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    struct run_record r;
    if (!db_prepare(&s->db, &st,
                    "SELECT " RUN_COLUMNS " FROM runs WHERE source = ?1 AND tbl = ?2 AND (?3 = '' OR run = ?3)"
                    " ORDER BY started_us DESC, run DESC LIMIT 1",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "SSS", source, text_or_empty(table), text_or_empty(run)) &&
              db_step(&s->db, st, &row, err);
    if (ok && row) {
        r = run_of(st);
        if (keep_texts(&r, text))
            *ret = r;
        else
            ok = err_set(err, ERR_NOMEM, "out of memory for a run's texts");
    }
    sqlite3_finalize(st);
    if (ok)
        *ret_found = row;
    return ok;
}

bool state_runs_each(struct state *s, struct span source, int64_t limit, bool (*each)(void *ctx, const struct run_record *r),
                     void *ctx, struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    if (!db_prepare(&s->db, &st,
                    "SELECT " RUN_COLUMNS " FROM runs WHERE ?1 = '' OR source = ?1 ORDER BY started_us DESC, run DESC LIMIT ?2",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "Si", text_or_empty(source), limit);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct run_record r = run_of(st);
        if (!each(ctx, &r))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

bool state_pulled_each(struct state *s, struct span source, void (*each)(void *ctx, struct span table, uint64_t finished_us),
                       void *ctx, struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    if (!db_prepare(&s->db, &st,
                    "SELECT tbl, max(finished_us) FROM runs WHERE source = ? AND status = 'completed' GROUP BY tbl ORDER BY tbl",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row)
        each(ctx, db_col(st, 0), (uint64_t)sqlite3_column_int64(st, 1));
    sqlite3_finalize(st);
    return ok;
}

bool state_runs_forget(struct state *s, uint64_t before_us, struct err *err)
{
    return db_run(&s->db, err, "DELETE FROM runs WHERE finished_us > 0 AND finished_us < ?", "u", before_us);
}

bool state_watermark(struct state *s, struct span source, struct span table, struct buf *out, bool *ret_found, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    if (!db_prepare(&s->db, &st, "SELECT value FROM watermarks WHERE source = ? AND tbl = ?", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "SS", source, text_or_empty(table)) && db_step(&s->db, st, &row, err);
    if (ok && row)
        buf_adds(out, db_col(st, 0));
    sqlite3_finalize(st);
    if (ok && !buf_ok(out))
        ok = err_set(err, ERR_NOMEM, "out of memory for a watermark");
    if (ok)
        *ret_found = row;
    return ok;
}

bool state_watermark_drop(struct state *s, struct span source, struct span table, struct err *err)
{
    return db_run(&s->db, err, "DELETE FROM watermarks WHERE source = ? AND tbl = ?", "SS", source, text_or_empty(table));
}

/* ---- what was found at providers ---- */

bool state_registration_put(struct state *s, const struct registration *r, struct err *err)
{
    return db_run(&s->db, err,
                  "INSERT OR REPLACE INTO registrations(source, checked_us, cause, next, broken) VALUES(?, ?, ?, ?, ?)", "SuSSi",
                  r->source, r->checked_us, text_or_empty(r->cause), text_or_empty(r->next), (int64_t)r->broken);
}

bool state_registration_get(struct state *s, struct span source, void (*got)(void *ctx, const struct registration *r), void *ctx,
                            struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    if (!db_prepare(&s->db, &st, "SELECT checked_us, cause, next, broken FROM registrations WHERE source = ?", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source) && db_step(&s->db, st, &row, err);
    if (ok && row) {
        struct registration r = {.source = source,
                                 .checked_us = (uint64_t)sqlite3_column_int64(st, 0),
                                 .cause = db_col(st, 1),
                                 .next = db_col(st, 2),
                                 .broken = sqlite3_column_int(st, 3) != 0};
        got(ctx, &r);
    }
    sqlite3_finalize(st);
    return ok;
}
