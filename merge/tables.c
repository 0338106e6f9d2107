#include "merge/tables.h"
#include "core/clock.h"
#include "merge/cell.h"
#include <errno.h>
#include <unistd.h>

bool tables_open(struct tables *t, const struct config *c, struct err *err)
{
    int64_t made;
    *t = (struct tables){.config = c};
    if (!c->merge_db || (access(c->merge_db, F_OK) != 0 && errno == ENOENT)) {
        t->absent = true;
        return true;
    }
    if (!db_open_readonly(&t->db, c->merge_db, err))
        return false;
    if (!db_int(&t->db, &made, 0, err, "SELECT count(*) FROM sqlite_schema WHERE name = '_sluice_meta'", "")) {
        db_close(&t->db);
        return err_prefix(err, "target %s", c->merge_db);
    }
    t->absent = made == 0;
    return true;
}

void tables_close(struct tables *t)
{
    db_close(&t->db);
}

void table_public_name(struct span source, struct span table, struct buf *out)
{
    buf_adds(out, source);
    buf_addc(out, '_');
    buf_adds(out, table);
}

static bool count_facts(struct tables *t, sqlite3_stmt *st, const struct source_config *s, const struct table_rule *table,
                        struct table_facts *f, struct err *err)
{
    bool row;
    if (!db_bind(&t->db, st, err, "ss", s->name, table->name) || !db_step(&t->db, st, &row, err))
        return false;
    if (!row)
        return true;
    uint64_t *const to[] = {&f->rows, &f->deleted_keys, &f->newest_us, &f->counts.objects, &f->counts.rows,
                            &f->counts.inserted, &f->counts.updated, &f->counts.deleted, &f->counts.kept_out,
                            &f->counts.missed, &f->counts.rejected};
    for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++)
        *to[i] = (uint64_t)sqlite3_column_int64(st, (int)i);
    return true;
}

bool tables_facts(struct tables *t, const struct source_config *s, const struct table_rule *table, struct table_facts *ret,
                  struct err *err)
{
    struct table_facts f = {0};
    sqlite3_stmt *st;
    int64_t there;
    if (t->absent) {
        *ret = f;
        return true;
    }
    if (!db_int(&t->db, &there, 0, err, "SELECT count(*) FROM _sluice_tables WHERE source = ? AND \"table\" = ?", "ss", s->name,
                table->name) ||
        !db_prepare(&t->db, &st,
                    "SELECT live, dead, newest_us, objects, rows, inserted, updated, deleted, kept_out, missed, rejected"
                    " FROM _sluice_counts WHERE source = ? AND \"table\" = ?",
                    err))
        return false;
    f.exists = there > 0;
    bool ok = count_facts(t, st, s, table, &f, err);
    sqlite3_finalize(st);
    if (ok)
        *ret = f;
    return ok;
}

bool tables_rows_merged(struct tables *t, struct span source, uint64_t *ret, struct err *err)
{
    int64_t rows = 0;
    if (!t->absent && !db_int(&t->db, &rows, 0, err, "SELECT sum(rows) FROM _sluice_counts WHERE source = ?", "S", source))
        return false;
    *ret = (uint64_t)rows;
    return true;
}

/* ---- missed events ---- */

bool tables_missed(struct tables *t, struct span source, struct span table, int64_t limit,
                   bool (*each)(void *ctx, const struct missed_row *m), void *ctx, struct err *err)
{
    sqlite3_stmt *st;
    bool row, ok;
    if (t->absent)
        return true;
    if (!db_prepare(&t->db, &st,
                    "SELECT source, \"table\", account, key, entry, observed_at FROM _sluice_missed"
                    " WHERE (?1 = '' OR source = ?1) AND (?2 = '' OR \"table\" = ?2) ORDER BY observed_at DESC, entry LIMIT ?3",
                    err))
        return false;
    ok = db_bind(&t->db, st, err, "SSi", source, table, limit);
    while (ok && (ok = db_step(&t->db, st, &row, err)) && row) {
        struct missed_row m = {db_col(st, 0), db_col(st, 1), db_col(st, 2), db_col(st, 3), db_col(st, 4), db_col(st, 5)};
        if (!each(ctx, &m))
            break;
    }
    sqlite3_finalize(st);
    return ok;
}

/* ---- rows ---- */

/* The view's columns of the newest live rows, by the physical table, since a view does not show when a row came. */
static bool head_sql(struct tables *t, struct span public, struct buf *sql, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false, ok;
    if (!db_prepare(&t->db, &st, "SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ?", err))
        return false;
    ok = db_bind(&t->db, st, err, "S", public) && db_step(&t->db, st, &row, err);
    if (ok && row) {
        struct span text = db_col(st, 0);
        const char *select = text.n ? memmem(text.p, text.n, " AS SELECT ", 11) : NULL;
        if (select) {
            buf_adds(sql, span_make(select + 4, (size_t)(text.p + text.n - select - 4)));
            buf_addz(sql, " ORDER BY _sluice_received_at DESC, _sluice_version DESC LIMIT ?");
        }
    }
    sqlite3_finalize(st);
    return ok && (buf_ok(sql) || err_set(err, ERR_NOMEM, "out of memory for a statement"));
}

static bool write_rows(struct tables *t, sqlite3_stmt *st, bool (*each)(void *ctx, struct span row_json), void *ctx,
                       struct err *err)
{
    struct buf out = {0};
    bool row, ok = true;
    while (ok && (ok = db_step(&t->db, st, &row, err)) && row) {
        buf_clear(&out);
        for (int i = 0; i < sqlite3_column_count(st); i++) {
            buf_addc(&out, i ? ',' : '{');
            json_write_string(&out, span_of(sqlite3_column_name(st, i)));
            buf_addc(&out, ':');
            column_write_json(&out, st, i);
        }
        buf_addc(&out, '}');
        if (!buf_ok(&out))
            ok = err_set(err, ERR_NOMEM, "out of memory for a row");
        else if (!each(ctx, buf_span(&out)))
            break;
    }
    buf_release(&out);
    return ok;
}

bool tables_head(struct tables *t, const struct source_config *s, const struct table_rule *table, int64_t limit,
                 bool (*each)(void *ctx, struct span row_json), void *ctx, struct err *err)
{
    struct buf name = {0}, sql = {0};
    sqlite3_stmt *st = NULL;
    if (t->absent)
        return true;
    table_public_name(span_of(s->name), span_of(table->name), &name);
    bool ok = head_sql(t, buf_span(&name), &sql, err);
    if (ok && sql.n)
        ok = db_prepare(&t->db, &st, buf_z(&sql), err) && db_bind(&t->db, st, err, "i", limit) &&
             write_rows(t, st, each, ctx, err);
    sqlite3_finalize(st);
    buf_release(&name);
    buf_release(&sql);
    return ok;
}
