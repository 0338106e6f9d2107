#include "staging/state.h"
#include <stdio.h>

#define SCHEMA_VERSION 7

static const char schema[] =
    "CREATE TABLE transforms(source TEXT NOT NULL, ordinal INTEGER NOT NULL, fingerprint TEXT NOT NULL,"
    "  PRIMARY KEY(source, ordinal)) WITHOUT ROWID;"
    "CREATE TABLE positions(sink TEXT NOT NULL, lane TEXT NOT NULL, next INTEGER NOT NULL, lost INTEGER NOT NULL,"
    "  PRIMARY KEY(sink, lane)) WITHOUT ROWID;"
    "CREATE TABLE cuts(lane TEXT NOT NULL PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE objects(key TEXT NOT NULL PRIMARY KEY, source TEXT NOT NULL, tbl TEXT NOT NULL, lane TEXT NOT NULL,"
    "  first INTEGER NOT NULL, last INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    "  at_us INTEGER NOT NULL, published INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX objects_by_lane ON objects(lane, first);"
    "CREATE INDEX objects_by_time ON objects(source, tbl, at_us);"
    "CREATE TABLE ignored(lane TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, seqs BLOB NOT NULL,"
    "  PRIMARY KEY(lane, first)) WITHOUT ROWID;"
    "CREATE TABLE dead(id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, tbl TEXT NOT NULL,"
    "  entry TEXT NOT NULL, item INTEGER NOT NULL, reason TEXT NOT NULL, at_us INTEGER NOT NULL,"
    "  alone INTEGER NOT NULL, UNIQUE(entry, tbl, item));"
    "CREATE INDEX dead_by_source ON dead(source, id);"
    "CREATE TABLE books(source TEXT NOT NULL PRIMARY KEY, received INTEGER NOT NULL, handshake INTEGER NOT NULL,"
    "  rejected INTEGER NOT NULL, duplicate INTEGER NOT NULL, journalled INTEGER NOT NULL, pages INTEGER NOT NULL,"
    "  staged INTEGER NOT NULL, ignored INTEGER NOT NULL, dead INTEGER NOT NULL, rows_staged INTEGER NOT NULL,"
    "  rows_dead INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE marks(name TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE secrets(source TEXT NOT NULL, id TEXT NOT NULL, first_us INTEGER NOT NULL,"
    "  last_used_us INTEGER NOT NULL, PRIMARY KEY(source, id)) WITHOUT ROWID;"
    "CREATE TABLE runs(source TEXT NOT NULL, tbl TEXT NOT NULL, run TEXT NOT NULL, started_us INTEGER NOT NULL,"
    "  finished_us INTEGER NOT NULL, pages INTEGER NOT NULL, rows INTEGER NOT NULL, status TEXT NOT NULL,"
    "  last_seq INTEGER NOT NULL, error TEXT NOT NULL, watermark TEXT NOT NULL, from_us INTEGER NOT NULL,"
    "  to_us INTEGER NOT NULL, PRIMARY KEY(source, tbl, run)) WITHOUT ROWID;"
    "CREATE INDEX runs_by_time ON runs(source, started_us);"
    "CREATE TABLE watermarks(source TEXT NOT NULL, tbl TEXT NOT NULL, value TEXT NOT NULL,"
    "  PRIMARY KEY(source, tbl)) WITHOUT ROWID;"
    "PRAGMA user_version = 1;";

/* From one version to the next; a new file goes all the way. */
static const char *const steps[SCHEMA_VERSION] = {
    schema,
    "ALTER TABLE objects ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE settled(opening TEXT NOT NULL, commits INTEGER NOT NULL);"
    "CREATE INDEX objects_unsettled ON objects(source, tbl, at_us) WHERE published = 1 AND settled = 0;"
    "CREATE INDEX objects_unpublished ON objects(source) WHERE published <> 1;"
    "PRAGMA user_version = 2;",
    /* letters are of a sink */
    "ALTER TABLE dead RENAME TO dead_2;"
    "DROP INDEX dead_by_source;"
    "CREATE TABLE dead(id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, tbl TEXT NOT NULL,"
    "  entry TEXT NOT NULL, item INTEGER NOT NULL, reason TEXT NOT NULL, at_us INTEGER NOT NULL,"
    "  alone INTEGER NOT NULL, sink TEXT NOT NULL DEFAULT 'objects', UNIQUE(sink, entry, tbl, item));"
    "CREATE INDEX dead_by_source ON dead(source, id);"
    "INSERT INTO dead SELECT id, source, tbl, entry, item, reason, at_us, alone, 'objects' FROM dead_2;"
    "DROP TABLE dead_2;"
    "CREATE TABLE resend(id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, entry TEXT NOT NULL, lane TEXT NOT NULL,"
    "  seq INTEGER NOT NULL);"
    "PRAGMA user_version = 3;",
    /* objects may be parts of joined ones: published 3 and 4 (compact.h), which account has no need of */
    "CREATE TABLE joins(part TEXT NOT NULL PRIMARY KEY, object TEXT NOT NULL, rows INTEGER NOT NULL, at_us INTEGER NOT NULL)"
    "  WITHOUT ROWID;"
    "CREATE INDEX joins_by_object ON joins(object);"
    "DROP INDEX objects_unpublished;"
    "CREATE INDEX objects_unpublished ON objects(source) WHERE published IN (0, 2);"
    "CREATE INDEX objects_retired ON objects(source) WHERE published = 3;"
    "PRAGMA user_version = 4;",
    /* endpoints at providers, and what a rotation has done so far */
    "CREATE TABLE endpoints(source TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, url TEXT NOT NULL, secret TEXT NOT NULL,"
    "  at_us INTEGER NOT NULL, PRIMARY KEY(source, id, type)) WITHOUT ROWID;"
    "CREATE TABLE rotations(source TEXT NOT NULL PRIMARY KEY, phase TEXT NOT NULL, old_secret TEXT NOT NULL,"
    "  new_secret TEXT NOT NULL, old_endpoint TEXT NOT NULL, new_endpoint TEXT NOT NULL, began_us INTEGER NOT NULL,"
    "  moved_us INTEGER NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version = 5;",
    /* what operators ordered, and the trail of it (controls.h) */
    "CREATE TABLE controls(source TEXT NOT NULL, tbl TEXT NOT NULL, paused INTEGER NOT NULL, mode TEXT NOT NULL,"
    "  field TEXT NOT NULL, cancelled_us INTEGER NOT NULL, pull_us INTEGER NOT NULL, clear INTEGER NOT NULL,"
    "  PRIMARY KEY(source, tbl)) WITHOUT ROWID;"
    "CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,"
    "  source TEXT NOT NULL, tbl TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL);"
    "PRAGMA user_version = 6;",
    /* what a run waits for and why it ended; what was found at providers; alarms, what is posted of them, rhythms (alarms/) */
    "ALTER TABLE runs ADD COLUMN page_us INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runs ADD COLUMN waiting TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE runs ADD COLUMN wait_until_us INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runs ADD COLUMN cause TEXT NOT NULL DEFAULT '';"
    "CREATE TABLE registrations(source TEXT NOT NULL PRIMARY KEY, checked_us INTEGER NOT NULL, cause TEXT NOT NULL,"
    "  next TEXT NOT NULL, broken INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE alarms(kind TEXT NOT NULL, source TEXT NOT NULL, subject TEXT NOT NULL, raised_us INTEGER NOT NULL,"
    "  cleared_us INTEGER NOT NULL, cause TEXT NOT NULL, next TEXT NOT NULL, PRIMARY KEY(kind, source, subject)) WITHOUT ROWID;"
    "CREATE TABLE posts(id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL,"
    "  subject TEXT NOT NULL, cleared INTEGER NOT NULL, at_us INTEGER NOT NULL, raised_us INTEGER NOT NULL, cause TEXT NOT NULL,"
    "  next TEXT NOT NULL, tries INTEGER NOT NULL, error TEXT NOT NULL);"
    "CREATE TABLE rhythms(source TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version = 7;",
};

static bool make_schema(struct state *s, struct err *err)
{
    int64_t version;
    if (!db_begin(&s->db, err))
        return false;
    bool ok = db_int(&s->db, &version, 0, err, "PRAGMA user_version", "");
    for (; ok && version < SCHEMA_VERSION; version++)
        ok = db_exec(&s->db, steps[version], err);
    if (ok)
        ok = db_commit(&s->db, err);
    if (!ok)
        db_rollback(&s->db);
    return ok;
}

/* Before the first write there is no file; readers then see an empty state. */
static bool open_empty(struct state *s, struct err *err)
{
    if (sqlite3_open(":memory:", &s->db.handle) == SQLITE_OK)
        return true;
    (void)err_set(err, ERR_NOMEM, "cannot open an empty state: %s", sqlite3_errmsg(s->db.handle));
    db_close(&s->db);
    return false;
}

static bool open_file(struct state *s, const char *path, bool readonly, struct err *err)
{
    if (!readonly)
        return db_open(&s->db, path, err);
    if (!db_exists(path))
        return open_empty(s, err);
    return db_open_readonly(&s->db, path, err);
}

bool state_open(struct state *s, const char *data_dir, bool readonly, struct err *err)
{
    int64_t version;
    struct buf path = {0};
    *s = (struct state){0};
    buf_addf(&path, "%s/state.db", data_dir);
    if (!buf_ok(&path))
        return err_set(err, ERR_NOMEM, "out of memory for the path of state.db");
    bool ok = open_file(s, buf_z(&path), readonly, err) && db_int(&s->db, &version, 0, err, "PRAGMA user_version", "");
    if (ok && version > SCHEMA_VERSION)
        ok = err_set(err, ERR_CONFIG,
                     "%s is of version %lld, this program knows versions up to %d: it was written by a newer one",
                     buf_z(&path), (long long)version, SCHEMA_VERSION);
    if (ok && version == 0 && readonly) { /* a file whose first writer died before its schema */
        db_close(&s->db);
        ok = open_empty(s, err);
    }
    if (ok && readonly && version > 0 && version < SCHEMA_VERSION)
        ok = err_set(err, ERR_CONFIG, "%s is of version %lld, of an earlier program: `sluice serve`, or a command that writes, "
                     "brings it to version %d", buf_z(&path), (long long)version, SCHEMA_VERSION);
    else if (ok && version < SCHEMA_VERSION)
        ok = make_schema(s, err);
    buf_release(&path);
    if (!ok)
        db_close(&s->db);
    return ok;
}

void state_close(struct state *s)
{
    db_close(&s->db);
}

static bool draw_ordinal(struct state *s, const struct source_config *source, uint64_t *ret, struct err *err)
{
    char fingerprint[17];
    int64_t latest, same = 0;
    struct span name = span_of(source->name);
    (void)snprintf(fingerprint, sizeof(fingerprint), "%016llx", (unsigned long long)source->fingerprint);
    if (!db_int(&s->db, &latest, -1, err, "SELECT max(ordinal) FROM transforms WHERE source = ?", "S", name) ||
        !db_int(&s->db, &same, 0, err, "SELECT fingerprint = ? FROM transforms WHERE source = ? AND ordinal = ?", "sSi",
                fingerprint, name, latest))
        return false;
    if (!same) {
        latest++;
        if (!db_run(&s->db, err, "INSERT INTO transforms(source, ordinal, fingerprint) VALUES(?, ?, ?)", "Sis", name, latest,
                    fingerprint))
            return false;
    }
    *ret = (uint64_t)latest;
    return true;
}

bool state_transform(struct state *s, const struct source_config *source, uint64_t *ret_ordinal, struct err *err)
{
    uint64_t ordinal = 0;
    if (!db_begin(&s->db, err))
        return false;
    if (!draw_ordinal(s, source, &ordinal, err) || !db_commit(&s->db, err)) {
        db_rollback(&s->db);
        return false;
    }
    *ret_ordinal = ordinal;
    return true;
}

static bool get_u64(struct state *s, uint64_t *ret, int64_t missing, struct err *err, const char *sql, struct span a)
{
    int64_t v;
    if (!db_int(&s->db, &v, missing, err, sql, "S", a))
        return false;
    *ret = (uint64_t)v;
    return true;
}

bool state_position(struct state *s, struct span lane, uint64_t *ret_next, struct err *err)
{
    return get_u64(s, ret_next, 1, err, "SELECT next FROM positions WHERE sink = 'objects' AND lane = ?", lane);
}

bool state_lost(struct state *s, struct span lane, uint64_t *ret, struct err *err)
{
    return get_u64(s, ret, 0, err, "SELECT lost FROM positions WHERE sink = 'objects' AND lane = ?", lane);
}

struct staged_object state_object_of(sqlite3_stmt *st)
{
    return (struct staged_object){
        .key = db_col(st, 0),
        .rows = (uint64_t)sqlite3_column_int64(st, 1),
        .bytes = (uint64_t)sqlite3_column_int64(st, 2),
        .at_us = (uint64_t)sqlite3_column_int64(st, 3),
    };
}

bool state_objects_rows(struct state *s, struct span source, struct span table, uint64_t since_us, uint64_t *ret,
                        struct err *err)
{
    int64_t v;
    if (!db_int(&s->db, &v, 0, err,
                "SELECT sum(rows) FROM objects WHERE published = 1 AND (?1 = '' OR source = ?1) AND (?2 = '' OR tbl = ?2)"
                " AND at_us >= ?3",
                "SSu", source.p ? source : SPAN_LIT(""), table.p ? table : SPAN_LIT(""), since_us))
        return false;
    *ret = (uint64_t)v;
    return true;
}

bool state_rows_since(struct state *s, struct span source, struct span table, uint64_t since_us, uint64_t *ret, struct err *err)
{
    int64_t v;
    if (!db_int(&s->db, &v, 0, err,
                "SELECT sum(rows) FROM objects WHERE source = ? AND tbl = ? AND at_us >= ? AND published IN (1, 3, 4) AND"
                " NOT EXISTS (SELECT 1 FROM joins WHERE object = key)",
                "SSu", source, table, since_us))
        return false;
    *ret = (uint64_t)v;
    return true;
}
