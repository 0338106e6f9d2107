/* What was registered at providers, and how far the rotation of a secret is. */
#include "staging/state.h"
#include <stdio.h>

bool state_endpoint_put(struct state *s, const struct endpoint_record *e, struct err *err)
{
    return db_run(&s->db, err,
                  "INSERT INTO endpoints(source, id, type, url, secret, at_us) VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(source, id, "
                  "type)"
                  " DO UPDATE SET url = excluded.url, secret = excluded.secret",
                  "SSSSSu", e->source, e->id, e->type.p ? e->type : SPAN_LIT(""), e->url,
                  e->secret.p ? e->secret : SPAN_LIT(""), e->at_us);
}

bool state_endpoint_secret(struct state *s, struct span source, struct span secret, struct err *err)
{
    return db_run(&s->db, err, "UPDATE endpoints SET secret = ? WHERE source = ?", "SS", secret, source);
}

bool state_endpoint_drop(struct state *s, struct span source, struct span id, struct err *err)
{
    return db_run(&s->db, err, "DELETE FROM endpoints WHERE source = ? AND id = ?", "SS", source, id);
}

bool state_endpoint_each(struct state *s, struct span source, void (*each)(void *ctx, const struct endpoint_record *e), void *ctx,
                         struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    if (!db_prepare(&s->db, &st, "SELECT source, id, type, url, secret, at_us FROM endpoints WHERE source = ? ORDER BY at_us, id",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct endpoint_record e = {.source = db_col(st, 0),
                                    .id = db_col(st, 1),
                                    .type = db_col(st, 2),
                                    .url = db_col(st, 3),
                                    .secret = db_col(st, 4),
                                    .at_us = (uint64_t)sqlite3_column_int64(st, 5)};
        each(ctx, &e);
    }
    sqlite3_finalize(st);
    return ok;
}

bool state_rotation_put(struct state *s, struct span source, const struct rotation_record *r, struct err *err)
{
    if (!r->phase[0])
        return db_run(&s->db, err, "DELETE FROM rotations WHERE source = ?", "S", source);
    return db_run(&s->db, err,
                  "INSERT OR REPLACE INTO rotations(source, phase, old_secret, new_secret, old_endpoint, new_endpoint, began_us,"
                  " moved_us) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                  "SSSSSSuu", source, span_of(r->phase), span_of(r->old_secret), span_of(r->new_secret), span_of(r->old_endpoint),
                  span_of(r->new_endpoint), r->began_us, r->moved_us);
}

static void take(char *out, size_t size, struct span text)
{
    snprintf(out, size, "%.*s", SPAN_ARG(text));
}

bool state_rotation_get(struct state *s, struct span source, struct rotation_record *ret, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    struct rotation_record r = {0};
    if (!db_prepare(&s->db, &st,
                    "SELECT phase, old_secret, new_secret, old_endpoint, new_endpoint, began_us, moved_us FROM rotations"
                    " WHERE source = ?",
                    err))
        return false;
    bool ok = db_bind(&s->db, st, err, "S", source) && db_step(&s->db, st, &row, err);
    if (ok && row) {
        take(r.phase, sizeof r.phase, db_col(st, 0));
        take(r.old_secret, sizeof r.old_secret, db_col(st, 1));
        take(r.new_secret, sizeof r.new_secret, db_col(st, 2));
        take(r.old_endpoint, sizeof r.old_endpoint, db_col(st, 3));
        take(r.new_endpoint, sizeof r.new_endpoint, db_col(st, 4));
        r.began_us = (uint64_t)sqlite3_column_int64(st, 5);
        r.moved_us = (uint64_t)sqlite3_column_int64(st, 6);
    }
    sqlite3_finalize(st);
    if (ok)
        *ret = r;
    return ok;
}
