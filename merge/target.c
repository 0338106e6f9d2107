/* target: transactions, the list of merged objects and the counts of the SQLite target. */
#include "merge/sqlite.h"
#include <stdio.h>
#include <stdlib.h>

#define REJECTED_ROWS_MAX 1000
#define OPENINGS_KEPT 1000

static struct sqlite_target *self(struct target *t)
{
    return (struct sqlite_target *)t;
}

bool db_ok(struct sqlite_target *t, int code, struct err *err)
{
    if (code == SQLITE_OK)
        return true;
    enum err_class cls = code == SQLITE_NOMEM ? ERR_NOMEM : ERR_BUG;
    return err_set(err, cls, "a value could not be bound: %s", sqlite3_errmsg(t->db.handle));
}

static void forget_tabs(struct sqlite_target *t)
{
    while (t->tabs) {
        struct tab *tab = t->tabs;
        t->tabs = tab->next;
        tab_free(tab);
    }
}

static bool target_begin(struct target *base, struct err *err)
{
    struct sqlite_target *t = self(base);
    if (!db_begin(&t->db, err))
        return false;
    t->in_transaction = true;
    t->merged = false;
    return true;
}

static bool target_apply(struct target *base, const struct source_config *s, const struct table_rule *table,
                         const struct row *row, struct applied_row *ret, struct err *err)
{
    struct sqlite_target *t = self(base);
    struct tab *tab;
    struct applied_row applied;
    t->refused = false;
    if (!tab_of(t, s, table, &tab, err) || !row_apply(t, tab, row, &applied, err)) {
        if (!t->refused && err && err->cls == ERR_INPUT)
            err->cls = ERR_DURABLE; /* of a damaged file, not of the row */
        return false;
    }
    switch (applied.what) {
    case APPLIED_INSERTED:
        tab->counts.inserted++;
        break;
    case APPLIED_UPDATED:
        tab->counts.updated++;
        break;
    case APPLIED_DELETED:
        tab->counts.deleted++;
        break;
    case APPLIED_KEPT_OUT:
        tab->counts.kept_out++;
        break;
    }
    tab->counts.missed += applied.missed;
    *ret = applied;
    return true;
}

static bool target_is_merged(struct target *base, const char *object, bool *ret, struct err *err)
{
    struct sqlite_target *t = self(base);
    bool row = false;
    if (!t->is_merged && !db_prepare(&t->db, &t->is_merged, "SELECT 1 FROM _sluice_inputs WHERE object = ?", err))
        return false;
    bool ok = db_bind(&t->db, t->is_merged, err, "s", object) && db_step(&t->db, t->is_merged, &row, err);
    sqlite3_reset(t->is_merged);
    if (ok)
        *ret = row;
    return ok;
}

static bool record_rejections(struct sqlite_target *t, const struct merged_object *o, const char *at, struct err *err)
{
    for (size_t i = 0; i < o->n_rejections; i++) {
        if (!db_run(&t->db, err, "INSERT INTO _sluice_rejected (object, line, reason, at) VALUES (?, ?, ?, ?)", "suss",
                    o->object, o->rejections[i].line, o->rejections[i].reason, at))
            return false;
    }
    return !o->n_rejections ||
           db_run(&t->db, err, "DELETE FROM _sluice_rejected WHERE id <= (SELECT max(id) FROM _sluice_rejected) - ?", "i",
                  (int64_t)REJECTED_ROWS_MAX);
}

static bool target_merged(struct target *base, const struct merged_object *o, struct err *err)
{
    struct sqlite_target *t = self(base);
    char at[CLOCK_TEXT_MAX];
    clock_iso_us(o->at_us, at);
    t->merged = true;
    return db_run(&t->db, err, "INSERT INTO _sluice_inputs VALUES (?, ?, ?)", "sus", o->object, o->rows, at) &&
           db_run(&t->db, err,
                  "INSERT INTO _sluice_counts (source, \"table\", objects, rows, rejected) VALUES (?, ?, 1, ?, ?)"
                  " ON CONFLICT DO UPDATE SET objects = objects + 1, rows = rows + excluded.rows,"
                  " rejected = rejected + excluded.rejected",
                  "SSuu", o->source, o->table, o->rows, o->rejected) &&
           record_rejections(t, o, at, err);
}

static bool flush_counts(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    const struct merge_counts *c = &tab->counts;
    if (!tab->dirty)
        return true;
    if (!db_run(&t->db, err,
                "INSERT INTO _sluice_counts (source, \"table\", inserted, updated, deleted, kept_out, missed, live, dead,"
                " newest_us, first_event_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET inserted = inserted + excluded.inserted, updated = updated + excluded.updated,"
                " deleted = deleted + excluded.deleted, kept_out = kept_out + excluded.kept_out,"
                " missed = missed + excluded.missed, live = live + excluded.live, dead = dead + excluded.dead,"
                " newest_us = max(newest_us, excluded.newest_us), first_event_at = excluded.first_event_at",
                "ssuuuuiiius", tab->source->name, tab->rule->name, c->inserted, c->updated, c->deleted, c->kept_out,
                (int64_t)c->missed - tab->late, tab->live, tab->dead, tab->newest_us, tab->first_event))
        return false;
    tab->counts = (struct merge_counts){0};
    tab->late = tab->live = tab->dead = 0;
    tab->dirty = false;
    return true;
}

static bool draw_opening(struct sqlite_target *t, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    if (!db_prepare(&t->db, &st, "SELECT lower(hex(randomblob(8)))", err))
        return false;
    bool ok = db_step(&t->db, st, &row, err);
    if (ok && row)
        snprintf(t->opening_id, sizeof t->opening_id, "%.*s", SPAN_ARG(db_col(st, 0)));
    sqlite3_finalize(st);
    return ok;
}

/* Every state of the target has a name: this opening of it, and the number of the commit. So others can tell whether it still
 * holds what they once saw in it. Where our row is gone, objects were taken from the list of inputs: then it goes on under
 * another name. */
static bool note_commit(struct sqlite_target *t, struct err *err)
{
    if (!t->merged)
        return true;
    if (!db_run(&t->db, err, "UPDATE _sluice_openings SET commits = commits + 1 WHERE id = ?", "s", t->opening_id))
        return false;
    if (sqlite3_changes(t->db.handle))
        return true;
    return draw_opening(t, err) &&
           db_run(&t->db, err, "INSERT INTO _sluice_openings (id, commits) VALUES (?, 1)", "s", t->opening_id) &&
           db_run(&t->db, err, "DELETE FROM _sluice_openings WHERE n <= (SELECT max(n) FROM _sluice_openings) - ?", "i",
                  (int64_t)OPENINGS_KEPT);
}

static bool target_commit(struct target *base, struct err *err)
{
    struct sqlite_target *t = self(base);
    for (struct tab *tab = t->tabs; tab; tab = tab->next) {
        if (!tab_refresh(t, tab, err) || !flush_counts(t, tab, err))
            return false;
    }
    if (!note_commit(t, err) || !db_commit(&t->db, err))
        return false;
    t->in_transaction = false;
    return true;
}

static void target_rollback(struct target *base)
{
    struct sqlite_target *t = self(base);
    forget_tabs(t); /* their columns and counts may not be there any more */
    if (t->in_transaction)
        db_rollback(&t->db);
    t->in_transaction = false;
}

static void target_close(struct target **base)
{
    if (!*base)
        return;
    struct sqlite_target *t = self(*base);
    target_rollback(*base);
    sqlite3_finalize(t->is_merged);
    db_close(&t->db);
    buf_release(&t->scratch);
    buf_release(&t->name);
    buf_release(&t->more);
    buf_release(&t->sql);
    free(t->surplus);
    for (int s = 0; s < SLOT_COUNT; s++)
        buf_release(&t->regs[s].version);
    free(t);
    *base = NULL;
}

static bool target_clear(struct target *base, const struct source_config *s, const struct table_rule *rule, struct err *err)
{
    struct sqlite_target *t = self(base);
    struct tab *tab;
    forget_tabs(t); /* their statements hold the table */
    return schema_drop(t, s, rule, err) && tab_of(t, s, rule, &tab, err);
}

static const struct target_ops sqlite_ops = {
    .begin = target_begin,
    .apply = target_apply,
    .is_merged = target_is_merged,
    .merged = target_merged,
    .clear = target_clear,
    .commit = target_commit,
    .rollback = target_rollback,
    .close = target_close,
};

bool target_open_sqlite(const char *path, struct target **ret, struct err *err)
{
    struct sqlite_target *t = calloc(1, sizeof(*t));
    if (!t)
        return err_set(err, ERR_NOMEM, "out of memory for the target %s", path);
    t->base.ops = &sqlite_ops;
    struct target *base = &t->base;
    if (!db_open(&t->db, path, err)) {
        target_close(&base);
        return false;
    }
    t->in_transaction = true;
    if (!db_exec(&t->db, "PRAGMA cache_size = -16384; PRAGMA journal_size_limit = 67108864", err) || !db_begin(&t->db, err) ||
        !schema_open(&t->db, err) || !db_commit(&t->db, err)) {
        target_close(&base);
        return err_prefix(err, "target %s", path);
    }
    t->in_transaction = false;
    *ret = base;
    return true;
}
