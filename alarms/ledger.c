#include "alarms/ledger.h"
#include <stdio.h>

const char *alarm_kind_name(enum alarm_kind k)
{
    static const char *const names[ALARM_KINDS] = {"silent", "rejecting", "drift", "old_secret", "unshipped"};
    return names[k];
}

#define KEY " kind = ? AND source = ? AND subject = ?"

static bool stands(struct state *s, const struct alarm *a, bool *ret, uint64_t *ret_raised_us, struct err *err)
{
    int64_t raised;
    if (!db_int(&s->db, &raised, 0, err, "SELECT raised_us FROM alarms WHERE cleared_us = 0 AND" KEY, "SSS", a->kind, a->source,
                a->subject))
        return false;
    *ret = raised != 0;
    *ret_raised_us = (uint64_t)raised;
    return true;
}

static bool add_post(struct state *s, const struct alarm *a, uint64_t at_us, uint64_t raised_us, bool cleared,
                     const char *message, struct err *err)
{
    return !message ||
           db_run(&s->db, err,
                  "INSERT INTO posts(message, kind, source, subject, cleared, at_us, raised_us, cause, next, tries, error)"
                  " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')",
                  "sSSSiuuSS", message, a->kind, a->source, a->subject, (int64_t)cleared, at_us, raised_us, a->cause, a->next);
}

bool ledger_raise(struct state *s, const struct alarm *a, const char *message, bool *ret_new, struct err *err)
{
    bool there, ok;
    uint64_t raised_us;
    if (!db_begin(&s->db, err))
        return false;
    ok = stands(s, a, &there, &raised_us, err);
    if (ok && there)
        ok = db_run(&s->db, err, "UPDATE alarms SET cause = ?, next = ? WHERE" KEY, "SSSSS", a->cause, a->next, a->kind,
                    a->source, a->subject);
    else if (ok)
        ok = db_run(&s->db, err,
                    "INSERT OR REPLACE INTO alarms(kind, source, subject, raised_us, cleared_us, cause, next)"
                    " VALUES(?, ?, ?, ?, 0, ?, ?)",
                    "SSSuSS", a->kind, a->source, a->subject, a->raised_us, a->cause, a->next) &&
             add_post(s, a, a->raised_us, a->raised_us, false, message, err);
    ok = ok && db_commit(&s->db, err);
    if (!ok)
        db_rollback(&s->db);
    else
        *ret_new = !there;
    return ok;
}

bool ledger_clear(struct state *s, const struct alarm *a, uint64_t now_us, const char *message, bool *ret_new, struct err *err)
{
    bool there, ok;
    uint64_t raised_us;
    if (!db_begin(&s->db, err))
        return false;
    ok = stands(s, a, &there, &raised_us, err);
    if (ok && there)
        ok = db_run(&s->db, err, "UPDATE alarms SET cleared_us = ? WHERE" KEY, "uSSS", now_us, a->kind, a->source, a->subject) &&
             add_post(s, a, now_us, raised_us, true, message, err);
    ok = ok && db_commit(&s->db, err);
    if (!ok)
        db_rollback(&s->db);
    else
        *ret_new = there;
    return ok;
}

bool ledger_each(struct state *s, bool standing, bool (*each)(void *ctx, const struct alarm *a), void *ctx, struct err *err)
{
    sqlite3_stmt *st;
    bool row;
    if (!db_prepare(&s->db, &st,
                    "SELECT kind, source, subject, cause, next, raised_us, cleared_us FROM alarms WHERE ? = 0 OR cleared_us = 0"
                    " ORDER BY cleared_us > 0, raised_us DESC, kind, source, subject",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "i", (int64_t)standing);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct alarm a = {db_col(st, 0), db_col(st, 1), db_col(st, 2), db_col(st, 3), db_col(st, 4),
                          (uint64_t)sqlite3_column_int64(st, 5), (uint64_t)sqlite3_column_int64(st, 6)};
        if (!each(ctx, &a))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

/* ---- posts ---- */

static bool keep_texts(struct post *p, struct buf *text)
{
    struct span *const spans[] = {&p->alarm.kind, &p->alarm.source, &p->alarm.subject, &p->alarm.cause, &p->alarm.next,
                                  &p->message, &p->error};
    size_t n = sizeof spans / sizeof spans[0], bytes = 1;
    for (size_t i = 0; i < n; i++)
        bytes += spans[i]->n;
    buf_clear(text);
    if (!buf_reserve(text, bytes)) /* so that it does not move */
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t at = text->n;
        buf_adds(text, *spans[i]);
        *spans[i] = (struct span){text->p + at, spans[i]->n};
    }
    return buf_ok(text);
}

bool ledger_post(struct state *s, struct post *ret, struct buf *text, bool *ret_found, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    if (!db_prepare(&s->db, &st,
                    "SELECT id, message, kind, source, subject, cause, next, raised_us, cleared, at_us, tries, error FROM posts"
                    " ORDER BY id LIMIT 1",
                    err))
        return false;
    bool ok = db_step(&s->db, st, &row, err);
    if (ok && row) {
        struct post p = {.id = sqlite3_column_int64(st, 0),
                         .message = db_col(st, 1),
                         .at_us = (uint64_t)sqlite3_column_int64(st, 9),
                         .tries = (uint64_t)sqlite3_column_int64(st, 10),
                         .error = db_col(st, 11)};
        p.alarm = (struct alarm){db_col(st, 2), db_col(st, 3), db_col(st, 4), db_col(st, 5), db_col(st, 6),
                                 (uint64_t)sqlite3_column_int64(st, 7), sqlite3_column_int(st, 8) ? p.at_us : 0};
        ok = keep_texts(&p, text) || err_set(err, ERR_NOMEM, "out of memory for an alarm's texts");
        if (ok)
            *ret = p;
    }
    sqlite3_finalize(st);
    *ret_found = ok && row;
    return ok;
}

bool ledger_posted(struct state *s, int64_t id, struct err *err)
{
    return db_run(&s->db, err, "DELETE FROM posts WHERE id = ?", "i", id);
}

bool ledger_not_posted(struct state *s, int64_t id, const char *why, struct err *err)
{
    return db_run(&s->db, err, "UPDATE posts SET tries = tries + 1, error = ? WHERE id = ?", "si", why, id);
}

bool ledger_waiting(struct state *s, struct posts_waiting *ret, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    *ret = (struct posts_waiting){0};
    if (!db_prepare(&s->db, &st, "SELECT count(*), min(id), at_us, tries, error FROM posts", err)) /* beside min(): of its row */
        return false;
    bool ok = db_step(&s->db, st, &row, err);
    if (ok && row && sqlite3_column_int64(st, 0)) {
        ret->n = (uint64_t)sqlite3_column_int64(st, 0);
        ret->oldest_us = (uint64_t)sqlite3_column_int64(st, 2);
        ret->tries = (uint64_t)sqlite3_column_int64(st, 3);
        (void)snprintf(ret->error, sizeof ret->error, "%.*s", SPAN_ARG(db_col(st, 4)));
    }
    sqlite3_finalize(st);
    return ok;
}

/* ---- memory ---- */

bool ledger_memory(struct state *s, struct span source, struct buf *out, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    buf_clear(out);
    if (!db_prepare(&s->db, &st, "SELECT value FROM rhythms WHERE source = ?", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source) && db_step(&s->db, st, &row, err);
    if (ok && row)
        buf_adds(out, db_col(st, 0));
    sqlite3_finalize(st);
    return ok && (buf_ok(out) || err_set(err, ERR_NOMEM, "out of memory for a rhythm"));
}

bool ledger_remember(struct state *s, struct span source, struct span text, struct err *err)
{
    return db_run(&s->db, err, "INSERT OR REPLACE INTO rhythms(source, value) VALUES(?, ?)", "SS", source, text);
}
