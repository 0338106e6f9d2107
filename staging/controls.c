#include "staging/controls.h"
#include "core/clock.h"
#include "core/json.h"
#include <stdio.h>

static const char *const order_names[] = {"pause", "resume", "cancel", "pull", "reset", "drop", "set"};

const char *table_order_name(enum table_order o)
{
    return order_names[o];
}

bool table_order_of(struct span name, enum table_order *ret)
{
    for (size_t i = 0; i < sizeof order_names / sizeof order_names[0]; i++) {
        if (span_eqz(name, order_names[i])) {
            *ret = (enum table_order)i;
            return true;
        }
    }
    return false;
}

#define COLUMNS "paused, mode, field, cancelled_us, pull_us, clear"

static void take(sqlite3_stmt *st, int at, struct table_control *ret)
{
    *ret = (struct table_control){.paused = sqlite3_column_int(st, at) != 0,
                                  .cancelled_us = (uint64_t)sqlite3_column_int64(st, at + 3),
                                  .pull_us = (uint64_t)sqlite3_column_int64(st, at + 4),
                                  .clear = sqlite3_column_int(st, at + 5) != 0};
    snprintf(ret->mode, sizeof ret->mode, "%.*s", SPAN_ARG(db_col(st, at + 1)));
    snprintf(ret->field, sizeof ret->field, "%.*s", SPAN_ARG(db_col(st, at + 2)));
}

bool controls_read(struct state *s, struct span source, struct span table, struct table_control *ret, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    int64_t there;
    *ret = (struct table_control){0};
    if (!db_int(&s->db, &there, 0, err, "SELECT count(*) FROM sqlite_schema WHERE name = 'controls'", ""))
        return false;
    if (!there) /* nothing was ever written */
        return true;
    if (!db_prepare(&s->db, &st, "SELECT " COLUMNS " FROM controls WHERE source = ? AND tbl = ?", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "SS", source, table) && db_step(&s->db, st, &row, err);
    if (ok && row)
        take(st, 0, ret);
    sqlite3_finalize(st);
    return ok;
}

bool controls_each(struct state *s, bool (*each)(void *ctx, struct span source, struct span table, const struct table_control *c),
                   void *ctx, struct err *err)
{
    sqlite3_stmt *st;
    bool row, ok = true;
    int64_t there;
    if (!db_int(&s->db, &there, 0, err, "SELECT count(*) FROM sqlite_schema WHERE name = 'controls'", ""))
        return false;
    if (!there)
        return true;
    if (!db_prepare(&s->db, &st, "SELECT source, tbl, " COLUMNS " FROM controls ORDER BY source, tbl", err))
        return false;
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct table_control c;
        take(st, 2, &c);
        if (!each(ctx, db_col(st, 0), db_col(st, 1), &c))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

void control_write(struct buf *out, const struct table_control *c)
{
    buf_addf(out, "{\"paused\":%s,\"mode\":", c->paused ? "true" : "false");
    json_write_string(out, span_of(c->mode));
    buf_addz(out, ",\"incremental\":");
    json_write_string(out, span_of(c->field));
    json_add_time(out, "cancelled_at", c->cancelled_us);
    json_add_time(out, "pull_ordered_at", c->pull_us);
    buf_addf(out, ",\"clearing\":%s}", c->clear ? "true" : "false");
}

/* ---- orders ---- */

static void change(const struct control_order *o, struct table_control *c)
{
    switch (o->order) {
    case ORDER_PAUSE:
        c->paused = true;
        break;
    case ORDER_RESUME:
        c->paused = false;
        break;
    case ORDER_CANCEL:
        c->cancelled_us = o->now_us;
        c->pull_us = 0;
        break;
    case ORDER_PULL:
        c->pull_us = o->now_us;
        break;
    case ORDER_RESET:
        c->cancelled_us = c->pull_us = o->now_us;
        c->clear = true;
        break;
    case ORDER_DROP:
        c->clear = true;
        break;
    case ORDER_SET:
        if (o->mode)
            snprintf(c->mode, sizeof c->mode, "%s", o->mode);
        if (o->field)
            snprintf(c->field, sizeof c->field, "%s", o->field);
        break;
    }
}

static bool write_one(struct state *s, const struct control_order *o, const struct table_control *before,
                      const struct table_control *after, struct err *err)
{
    /* A watermark speaks of the field that was asked by. */
    bool begins_anew = o->order == ORDER_RESET || strcmp(before->field, after->field) != 0;
    return db_run(&s->db, err,
                  "INSERT INTO controls(source, tbl, " COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
                  "ON CONFLICT(source, tbl) DO UPDATE SET paused = ?3, mode = ?4, field = ?5, cancelled_us = ?6, pull_us = ?7, "
                  "clear = ?8",
                  "SSissuui", o->source, o->table, (int64_t)after->paused, after->mode, after->field, after->cancelled_us,
                  after->pull_us, (int64_t)after->clear) &&
           (!begins_anew ||
            state_watermark_drop(s, o->source, span_eqz(o->table, "events") ? SPAN_LIT("") : o->table, err)); /* the feed's */
}

bool audit_add(struct state *s, const struct audit_record *r, struct err *err)
{
    return db_run(&s->db, err, "INSERT INTO audit(at_us, who, what, source, tbl, before, after) VALUES(?, ?, ?, ?, ?, ?, ?)",
                  "uSSSSSS", r->at_us, r->who, r->what, r->source, r->table, r->before, r->after) &&
           db_run(&s->db, err, "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", "i", (int64_t)AUDIT_KEPT);
}

static bool trail(struct state *s, const struct control_order *o, const struct table_control *before,
                  const struct table_control *after, struct err *err)
{
    struct buf was, is;
    buf_init(&was, 4096);
    buf_init(&is, 4096);
    control_write(&was, before);
    control_write(&is, after);
    struct audit_record r = {.at_us = o->now_us,
                             .who = span_of(o->who),
                             .what = span_of(order_names[o->order]),
                             .source = o->source,
                             .table = o->table,
                             .before = buf_span(&was),
                             .after = buf_span(&is)};
    bool ok = audit_add(s, &r, err);
    buf_release(&was);
    buf_release(&is);
    return ok;
}

bool controls_order(struct state *s, const struct control_order *o, struct table_control *ret, struct err *err)
{
    struct table_control before;
    if (!db_begin(&s->db, err))
        return false;
    bool ok = controls_read(s, o->source, o->table, &before, err);
    *ret = before;
    change(o, ret);
    ok = ok && write_one(s, o, &before, ret, err) && trail(s, o, &before, ret, err) && db_commit(&s->db, err);
    if (!ok)
        db_rollback(&s->db);
    return ok;
}

bool controls_pulled(struct state *s, struct span source, struct span table, uint64_t pull_us, struct err *err)
{
    return db_run(&s->db, err, "UPDATE controls SET pull_us = 0 WHERE source = ? AND tbl = ? AND pull_us = ?", "SSu", source,
                  table, pull_us);
}

bool controls_cleared(struct state *s, struct span source, struct span table, struct err *err)
{
    return db_run(&s->db, err, "UPDATE controls SET clear = 0 WHERE source = ? AND tbl = ?", "SS", source, table);
}

/* ---- the trail ---- */

bool audit_each(struct state *s, struct span source, struct span table, int64_t limit,
                bool (*each)(void *ctx, const struct audit_record *r), void *ctx, struct err *err)
{
    sqlite3_stmt *st;
    bool row, ok;
    int64_t there;
    if (!db_int(&s->db, &there, 0, err, "SELECT count(*) FROM sqlite_schema WHERE name = 'audit'", ""))
        return false;
    if (!there)
        return true;
    if (!db_prepare(&s->db, &st,
                    "SELECT id, at_us, who, what, source, tbl, before, after FROM audit WHERE (?1 = '' OR source = ?1) AND "
                    "(?2 = '' OR tbl = ?2) ORDER BY id DESC LIMIT ?3",
                    err))
        return false;
    ok = db_bind(&s->db, st, err, "SSi", source, table, limit);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct audit_record r = {sqlite3_column_int64(st, 0), (uint64_t)sqlite3_column_int64(st, 1),
                                 db_col(st, 2),               db_col(st, 3),
                                 db_col(st, 4),               db_col(st, 5),
                                 db_col(st, 6),               db_col(st, 7)};
        if (!each(ctx, &r))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

void audit_write(struct buf *out, const struct audit_record *r)
{
    char at[CLOCK_TEXT_MAX];
    clock_iso_us(r->at_us, at);
    buf_addf(out, "{\"id\":%lld,\"at\":\"%s\",\"who\":", (long long)r->id, at);
    json_write_string(out, r->who);
    buf_addz(out, ",\"what\":");
    json_write_string(out, r->what);
    buf_addz(out, ",\"source\":");
    json_write_string(out, r->source);
    buf_addz(out, ",\"table\":");
    json_write_string(out, r->table);
    buf_addf(out, ",\"before\":%.*s,\"after\":%.*s}", SPAN_ARG(r->before.n ? r->before : SPAN_LIT("null")),
             SPAN_ARG(r->after.n ? r->after : SPAN_LIT("null")));
}
