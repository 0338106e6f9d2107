/* schema: the tables of the target: ours, and for each table in use the registers and the public view.
 *
 * Parameters of `insert` and `update`: 1 account, 2… the key, then the fixed columns in the order of enum fixed, then the
 * data columns, then (update) the row's id. `find` reads what registers.c asks for; `read` the columns READ_… . */
#include "merge/sqlite.h"
#include "merge/tables.h"
#include <stdio.h>
#include <stdlib.h>

static const char *const fixed_names[F_COUNT] = {
    [F_SHAPE] = "_sluice_shape",          [F_VERSION] = "_sluice_version",   [F_OBSERVED] = "_sluice_observed_at",
    [F_RECEIVED] = "_sluice_received_at", [F_ENTRY] = "_sluice_entry",       [F_EVENT_ID] = "_sluice_event_id",
    [F_ORIGIN] = "_sluice_origin",        [F_LIVE] = "_sluice_live",         [F_DELETED_AT] = "_sluice_deleted_at",
    [F_CONTENT] = "_sluice_content",      [F_MORE] = "_sluice_more",
};

int fixed_param(const struct tab *tab, enum fixed f)
{
    return (int)(2 + tab->n_keys + f);
}

int column_param(const struct tab *tab, size_t column)
{
    return (int)(2 + tab->n_keys + F_COUNT + (column - tab->n_keys));
}

int id_param(const struct tab *tab)
{
    return (int)(2 + tab->n + F_COUNT);
}

bool schema_open(struct db *db, struct err *err)
{
    int64_t format;
    if (!db_exec(db,
                 "CREATE TABLE IF NOT EXISTS _sluice_meta (version INTEGER NOT NULL);"
                 "INSERT INTO _sluice_meta SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM _sluice_meta);"
                 "CREATE TABLE IF NOT EXISTS _sluice_inputs (object TEXT PRIMARY KEY, rows INTEGER NOT NULL,"
                 " merged_at TEXT NOT NULL) WITHOUT ROWID;"
                 "CREATE TABLE IF NOT EXISTS _sluice_openings (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
                 " commits INTEGER NOT NULL);"
                 "CREATE TRIGGER IF NOT EXISTS _sluice_inputs_lost AFTER DELETE ON _sluice_inputs"
                 " BEGIN DELETE FROM _sluice_openings; END;"
                 "CREATE TABLE IF NOT EXISTS _sluice_tables (source TEXT NOT NULL, \"table\" TEXT NOT NULL,"
                 " physical TEXT NOT NULL COLLATE NOCASE UNIQUE, key TEXT NOT NULL, accounts TEXT NOT NULL,"
                 " more INTEGER NOT NULL, PRIMARY KEY (source, \"table\")) WITHOUT ROWID;"
                 "CREATE TABLE IF NOT EXISTS _sluice_columns (physical TEXT NOT NULL, name BLOB NOT NULL,"
                 " \"column\" TEXT NOT NULL, PRIMARY KEY (physical, name)) WITHOUT ROWID;"
                 "CREATE TABLE IF NOT EXISTS _sluice_counts (source TEXT NOT NULL, \"table\" TEXT NOT NULL,"
                 " objects INTEGER NOT NULL DEFAULT 0, rows INTEGER NOT NULL DEFAULT 0,"
                 " inserted INTEGER NOT NULL DEFAULT 0, updated INTEGER NOT NULL DEFAULT 0,"
                 " deleted INTEGER NOT NULL DEFAULT 0, kept_out INTEGER NOT NULL DEFAULT 0,"
                 " missed INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,"
                 " live INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,"
                 " newest_us INTEGER NOT NULL DEFAULT 0, first_event_at TEXT NOT NULL DEFAULT '',"
                 " PRIMARY KEY (source, \"table\")) WITHOUT ROWID;"
                 "CREATE TABLE IF NOT EXISTS _sluice_missed (source TEXT NOT NULL, \"table\" TEXT NOT NULL,"
                 " account TEXT NOT NULL, key TEXT NOT NULL, entry TEXT NOT NULL, observed_at TEXT NOT NULL,"
                 " content INTEGER NOT NULL, PRIMARY KEY (source, \"table\", account, key)) WITHOUT ROWID;"
                 "CREATE TABLE IF NOT EXISTS _sluice_rejected (id INTEGER PRIMARY KEY, object TEXT NOT NULL,"
                 " line INTEGER NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL);",
                 err) ||
        !db_int(db, &format, 0, err, "SELECT version FROM _sluice_meta", ""))
        return false;
    if (format != TARGET_FORMAT)
        return err_set(err, ERR_CONFIG, "the target has format %lld, this version of sluice writes %d: upgrade sluice",
                       (long long)format, TARGET_FORMAT);
    return true;
}

/* Either may not be there. */
static bool drop_object(struct sqlite_target *t, const char *kind, const char *name, struct err *err)
{
    buf_clear(&t->sql);
    buf_addf(&t->sql, "DROP %s IF EXISTS ", kind);
    sql_name(&t->sql, name);
    return buf_ok(&t->sql) ? db_exec(&t->db, buf_z(&t->sql), err)
                           : err_set(err, ERR_NOMEM, "out of memory for dropping %s", name);
}

bool schema_drop(struct sqlite_target *t, const struct source_config *s, const struct table_rule *rule, struct err *err)
{
    char physical[1024] = "";
    sqlite3_stmt *st;
    bool row = false;
    if (!db_prepare(&t->db, &st, "SELECT physical FROM _sluice_tables WHERE source = ? AND \"table\" = ?", err))
        return false;
    bool ok = db_bind(&t->db, st, err, "ss", s->name, rule->name) && db_step(&t->db, st, &row, err);
    if (ok && row)
        snprintf(physical, sizeof physical, "%.*s", SPAN_ARG(db_col(st, 0)));
    sqlite3_finalize(st);
    if (!ok || !row)
        return ok;
    const char *public = strncmp(physical, "_sluice_", 8) == 0 ? physical + 8 : "";
    return drop_object(t, "VIEW", public, err) && drop_object(t, "TABLE", physical, err) &&
           db_run(&t->db, err, "DELETE FROM _sluice_columns WHERE physical = ?", "s", physical) &&
           db_run(&t->db, err, "DELETE FROM _sluice_tables WHERE physical = ?", "s", physical) &&
           db_run(&t->db, err, "DELETE FROM _sluice_missed WHERE source = ? AND \"table\" = ?", "ss", s->name, rule->name) &&
           db_run(&t->db, err,
                  "UPDATE _sluice_counts SET live = 0, dead = 0, newest_us = 0, first_event_at = '' WHERE source = ? AND "
                  "\"table\" = ?",
                  "ss", s->name, rule->name);
}

static void key_words(const struct table_rule *rule, struct buf *out)
{
    for (size_t i = 0; i < rule->n_key; i++) {
        buf_addc(out, i ? ',' : '[');
        json_write_string(out, span_of(rule->key[i]));
    }
    buf_addc(out, ']');
}

/* Of the key: the columns that every statement names. */
static void add_key_names(const struct tab *tab, struct buf *sql)
{
    buf_addz(sql, "_sluice_account");
    for (size_t i = 0; i < tab->n_keys; i++) {
        buf_addc(sql, ',');
        sql_name(sql, tab->columns[i].physical);
    }
}

/* No column has a declared type, so SQLite keeps every value as it is bound: 1 and "1" stay two keys. */
static bool create_table(struct sqlite_target *t, struct tab *tab, struct span key, struct err *err)
{
    struct buf *sql = &t->sql;
    buf_clear(sql);
    buf_addz(sql, "CREATE TABLE ");
    sql_name(sql, tab->physical);
    buf_addz(sql, " (_sluice_row INTEGER PRIMARY KEY, _sluice_account NOT NULL");
    for (size_t i = 0; i < tab->n_keys; i++) {
        buf_addz(sql, ", ");
        sql_name(sql, tab->columns[i].physical);
        buf_addz(sql, " NOT NULL");
    }
    for (int f = 0; f < F_COUNT; f++)
        buf_addf(sql, ", %s", fixed_names[f]);
    buf_addz(sql, ", UNIQUE (");
    add_key_names(tab, sql);
    buf_addz(sql, ", _sluice_shape))");
    if (!buf_ok(sql))
        return err_set(err, ERR_NOMEM, "out of memory for the table %s", tab->public);
    return db_exec(&t->db, buf_z(sql), err) &&
           db_run(&t->db, err, "INSERT INTO _sluice_tables VALUES (?, ?, ?, ?, ?, 0)", "sssSs", tab->source->name,
                  tab->rule->name, tab->physical, key, tab->source->accounts_many ? "many" : "one");
}

static bool load_columns(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    sqlite3_stmt *st;
    bool row, ok = true;
    if (!db_prepare(&t->db, &st, "SELECT name, \"column\" FROM _sluice_columns WHERE physical = ? ORDER BY name", err))
        return false;
    ok = db_bind(&t->db, st, err, "s", tab->physical);
    while (ok && (ok = db_step(&t->db, st, &row, err)) && row) {
        const char *physical = (const char *)sqlite3_column_text(st, 1);
        ok = tab_add_column(tab, db_col(st, 0), physical, false, err);
    }
    sqlite3_finalize(st);
    return ok;
}

/* What was written when the table was made must still hold, else its rows would be of two kinds. */
static bool check_table(const struct tab *tab, struct span key_then, struct span accounts_then, struct span key_now,
                        struct err *err)
{
    if (!span_eq(key_then, key_now))
        return err_set(err, ERR_CONFIG,
                       "table %s was merged with the primary key %.*s, the manifest says %.*s now: build it anew",
                       tab->public, SPAN_ARG(key_then), SPAN_ARG(key_now));
    if (span_eqz(accounts_then, "many") != tab->source->accounts_many)
        return err_set(err, ERR_CONFIG,
                       "table %s was merged with `accounts: %.*s`, the configuration says %s now: build it anew, or set it back",
                       tab->public, SPAN_ARG(accounts_then), tab->source->accounts_many ? "many" : "one");
    return true;
}

static bool load_table(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    sqlite3_stmt *st;
    struct buf key = {0};
    bool there = false, ok;
    key_words(tab->rule, &key);
    if (!buf_ok(&key) ||
        !db_prepare(&t->db, &st, "SELECT key, accounts, more FROM _sluice_tables WHERE source = ? AND \"table\" = ?", err)) {
        buf_release(&key);
        return false;
    }
    ok = db_bind(&t->db, st, err, "ss", tab->source->name, tab->rule->name) && db_step(&t->db, st, &there, err);
    if (ok && there) {
        tab->more = sqlite3_column_int(st, 2) != 0;
        ok = check_table(tab, db_col(st, 0), db_col(st, 1), buf_span(&key), err);
    }
    sqlite3_finalize(st);
    if (ok && there)
        ok = load_columns(t, tab, err);
    else if (ok)
        ok = create_table(t, tab, buf_span(&key), err);
    buf_release(&key);
    return ok;
}

static bool load_counts(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    if (!db_prepare(&t->db, &st, "SELECT first_event_at FROM _sluice_counts WHERE source = ? AND \"table\" = ?", err))
        return false;
    bool ok = db_bind(&t->db, st, err, "ss", tab->source->name, tab->rule->name) && db_step(&t->db, st, &row, err);
    struct span at = ok && row ? db_col(st, 0) : (struct span){NULL, 0};
    if (at.n && at.n < sizeof(tab->first_event))
        memcpy(tab->first_event, at.p, at.n);
    sqlite3_finalize(st);
    int64_t listed = 0;
    ok = ok && db_int(&t->db, &listed, 0, err, "SELECT count(*) FROM _sluice_missed WHERE source = ? AND \"table\" = ?", "ss",
                      tab->source->name, tab->rule->name);
    tab->missed_listed = (uint64_t)listed;
    return ok;
}

static struct tab *tab_new(const struct source_config *s, const struct table_rule *rule)
{
    struct tab *tab = calloc(1, sizeof(*tab));
    struct buf name = {0};
    if (!tab)
        return NULL;
    tab->source = s;
    tab->rule = rule;
    buf_addz(&name, "_sluice_");
    table_public_name(span_of(s->name), span_of(rule->name), &name);
    tab->physical = buf_ok(&name) ? strdup(buf_z(&name)) : NULL;
    tab->public = buf_ok(&name) ? strdup(buf_z(&name) + 8) : NULL;
    buf_release(&name);
    if (tab->physical && tab->public)
        return tab;
    tab_free(tab);
    return NULL;
}

static bool tab_load(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    for (size_t i = 0; i < tab->rule->n_key; i++) {
        if (!tab_add_column(tab, span_of(tab->rule->key[i]), NULL, true, err))
            return false;
        tab->n_keys = tab->n;
    }
    tab->stale = true;
    return load_table(t, tab, err) && load_counts(t, tab, err) && tab_refresh(t, tab, err);
}

bool tab_of(struct sqlite_target *t, const struct source_config *s, const struct table_rule *rule, struct tab **ret,
            struct err *err)
{
    struct tab **at = &t->tabs;
    for (; *at; at = &(*at)->next) {
        struct tab *tab = *at;
        if (tab->source != s || tab->rule != rule)
            continue;
        if (at != &t->tabs) { /* rows of one table come in a row: keep it in front */
            *at = tab->next;
            tab->next = t->tabs;
            t->tabs = tab;
        }
        *ret = tab;
        return true;
    }
    struct tab *tab = tab_new(s, rule);
    if (!tab)
        return err_set(err, ERR_NOMEM, "out of memory for the table %s of %s", rule->name, s->name);
    if (!tab_load(t, tab, err)) {
        tab_free(tab);
        return false;
    }
    tab->next = t->tabs;
    t->tabs = tab;
    *ret = tab;
    return true;
}

bool tab_alter(struct sqlite_target *t, struct tab *tab, const char *physical, struct err *err)
{
    const struct column *c = &tab->columns[tab->n - 1];
    buf_clear(&t->sql);
    buf_addz(&t->sql, "ALTER TABLE ");
    sql_name(&t->sql, tab->physical);
    buf_addz(&t->sql, " ADD COLUMN ");
    sql_name(&t->sql, physical);
    tab->stale = true;
    if (!buf_ok(&t->sql))
        return err_set(err, ERR_NOMEM, "out of memory for the columns of %s", tab->public);
    return db_exec(&t->db, buf_z(&t->sql), err) &&
           db_run(&t->db, err, "INSERT INTO _sluice_columns VALUES (?, ?, ?)", "sBs", tab->physical, span_make(c->name, c->n),
                  physical);
}

bool tab_note_more(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    if (tab->more)
        return true;
    tab->more = true;
    tab->stale = true;
    return db_run(&t->db, err, "UPDATE _sluice_tables SET more = 1 WHERE physical = ?", "s", tab->physical);
}

/* ---- statements ---- */

static bool prepare(struct sqlite_target *t, sqlite3_stmt **st, struct err *err)
{
    sqlite3_finalize(*st);
    *st = NULL;
    if (!buf_ok(&t->sql))
        return err_set(err, ERR_NOMEM, "out of memory for a statement");
    return db_prepare(&t->db, st, buf_z(&t->sql), err);
}

static void add_where_key(const struct tab *tab, struct buf *sql)
{
    buf_addz(sql, " WHERE _sluice_account = ?1");
    for (size_t i = 0; i < tab->n_keys; i++) {
        buf_addz(sql, " AND ");
        sql_name(sql, tab->columns[i].physical);
        buf_addf(sql, " = ?%zu", i + 2);
    }
}

static bool prepare_fixed(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    struct buf *sql = &t->sql;
    buf_clear(sql);
    buf_addz(sql, "SELECT _sluice_shape, _sluice_row, _sluice_version, _sluice_observed_at, _sluice_live,"
                  " _sluice_deleted_at, _sluice_content FROM ");
    sql_name(sql, tab->physical);
    add_where_key(tab, sql);
    if (!prepare(t, &tab->find, err))
        return false;
    buf_clear(sql);
    buf_addz(sql, "UPDATE ");
    sql_name(sql, tab->physical);
    buf_addz(sql, " SET _sluice_live = ?1, _sluice_deleted_at = ?2 WHERE _sluice_row = ?3");
    return prepare(t, &tab->mark, err);
}

static bool prepare_insert(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    struct buf *sql = &t->sql;
    buf_clear(sql);
    buf_addz(sql, "INSERT INTO ");
    sql_name(sql, tab->physical);
    buf_addz(sql, " (");
    add_key_names(tab, sql);
    for (int f = 0; f < F_COUNT; f++)
        buf_addf(sql, ",%s", fixed_names[f]);
    for (size_t i = tab->n_keys; i < tab->n; i++) {
        buf_addc(sql, ',');
        sql_name(sql, tab->columns[i].physical);
    }
    buf_addz(sql, ") VALUES (?1");
    for (int i = 2; i < id_param(tab); i++)
        buf_addf(sql, ",?%d", i);
    buf_addc(sql, ')');
    return prepare(t, &tab->insert, err);
}

static bool prepare_update(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    struct buf *sql = &t->sql;
    buf_clear(sql);
    buf_addz(sql, "UPDATE ");
    sql_name(sql, tab->physical);
    for (int f = F_VERSION; f < F_COUNT; f++)
        buf_addf(sql, "%s%s = ?%d", f == F_VERSION ? " SET " : ", ", fixed_names[f], fixed_param(tab, (enum fixed)f));
    for (size_t i = tab->n_keys; i < tab->n; i++) {
        buf_addz(sql, ", ");
        sql_name(sql, tab->columns[i].physical);
        buf_addf(sql, " = ?%d", column_param(tab, i));
    }
    buf_addf(sql, " WHERE _sluice_row = ?%d", id_param(tab));
    return prepare(t, &tab->update, err);
}

static bool prepare_read(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    for (size_t k = 0; k < SHAPE_COUNT; k++) {
        struct buf *sql = &t->sql;
        buf_clear(sql);
        buf_addz(sql, "SELECT _sluice_entry, _sluice_event_id, _sluice_origin, _sluice_received_at, _sluice_more");
        for (size_t i = tab->n_keys; i < tab->n; i++) {
            buf_addc(sql, ',');
            sql_name(sql, tab->columns[i].physical);
        }
        buf_addz(sql, " FROM ");
        sql_name(sql, tab->physical);
        buf_addz(sql, " WHERE _sluice_row = ?1");
        if (!prepare(t, &tab->read[k], err))
            return false;
    }
    return true;
}

/* ---- the view ---- */

static bool view_sql(const struct tab *tab, struct buf *sql, struct err *err)
{
    const struct table_config *tc = source_table_config(tab->source, span_of(tab->rule->name));
    bool flag = tc && tc->flag_deletes;
    char **names;
    size_t *order;
    if (!tab_public_names(tab, &names, err))
        return false;
    if (!tab_by_name(tab, &order, err)) {
        names_free(names, tab->n - tab->n_keys);
        return false;
    }
    buf_clear(sql);
    buf_addz(sql, "CREATE VIEW ");
    sql_name(sql, tab->public);
    buf_addz(sql, " AS SELECT ");
    for (size_t i = 0; i < tab->n_keys; i++) {
        buf_addz(sql, i ? ", " : "");
        sql_name(sql, tab->columns[i].physical);
    }
    for (size_t i = 0; i < tab->n - tab->n_keys; i++) {
        buf_addz(sql, ", ");
        sql_name(sql, tab->columns[order[i]].physical);
        buf_addz(sql, " AS ");
        sql_name(sql, names[order[i] - tab->n_keys]);
    }
    names_free(names, tab->n - tab->n_keys);
    free(order);
    buf_addz(sql, tab->more ? ", _sluice_more" : "");
    buf_addz(sql, tab->source->accounts_many ? ", _sluice_account" : "");
    buf_addz(sql, flag ? ", _sluice_deleted_at" : "");
    buf_addz(sql, " FROM ");
    sql_name(sql, tab->physical);
    buf_addz(sql, " WHERE _sluice_live = 1");
    buf_addz(sql, flag ? " OR _sluice_deleted_at IS NOT NULL" : "");
    return buf_ok(sql) || err_set(err, ERR_NOMEM, "out of memory for the view %s", tab->public);
}

static bool refresh_view(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    int64_t same;
    if (!view_sql(tab, &t->sql, err) ||
        !db_int(&t->db, &same, 0, err, "SELECT sql = ? FROM sqlite_schema WHERE type = 'view' AND name = ?", "Ss",
                buf_span(&t->sql), tab->public))
        return false;
    if (same)
        return true;
    struct buf drop = {0};
    buf_addz(&drop, "DROP VIEW IF EXISTS ");
    sql_name(&drop, tab->public);
    bool ok = buf_ok(&drop) && db_exec(&t->db, buf_z(&drop), err) && db_exec(&t->db, buf_z(&t->sql), err);
    buf_release(&drop);
    return ok;
}

bool tab_refresh(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    if (!tab->stale)
        return true;
    if (!prepare_fixed(t, tab, err) || !prepare_insert(t, tab, err) || !prepare_update(t, tab, err) ||
        !prepare_read(t, tab, err) || !refresh_view(t, tab, err))
        return false;
    tab->stale = false;
    return true;
}
