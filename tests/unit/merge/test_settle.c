/* What is settled is never more than what the target holds: rows waiting and rows merged are the same as if every object were looked
 * up, whatever happens to the target in between, wherever settling was interrupted. */
#include "../check_main.h"
#include "../staging/world.h"
#include "merge/account.h"
#include "merge/merge.h"
#include "staging/compact.h"
#include "staging/settled.h"

static struct world w;
static char target[400];
static unsigned loaded;

static void setup(void)
{
    world_open(&w);
    (void)snprintf(target, sizeof target, "%s/tables.db", w.dir.path);
    w.config.merge_db = target;
    loaded = 0;
}

static void teardown(void)
{
    world_close(&w);
}

static void stage(unsigned n)
{
    struct err err;
    for (unsigned end = loaded + n; loaded < end; loaded++)
        world_load(&w, loaded);
    struct stager *s = world_stager(&w);
    ck_assert_msg(stager_drain(s, &err), "%s", err.msg);
    stager_free(&s);
}

static struct merger *opened(void)
{
    struct merger_opts o = {.config = &w.config, .store = w.store, .io = io_posix(), .data_dir = w.dir.path};
    struct merger *m;
    struct err err;
    ck_assert_msg(merger_new(&o, &m, &err), "%s", err.msg);
    return m;
}

static void pass(struct merger *m)
{
    struct merge_counts counts = {0};
    struct err err;
    ck_assert_msg(merger_pass(m, (struct span){0}, (struct span){0}, &counts, &err), "%s", err.msg);
}

static void merge(void)
{
    struct merger *m = opened();
    pass(m);
    merger_free(&m);
}

static void settle(void)
{
    struct tables tables;
    struct state state;
    struct err err;
    ck_assert_msg(state_open(&state, w.dir.path, false, &err) && tables_open(&tables, &w.config, &err), "%s", err.msg);
    ck_assert_msg(account_settle(&tables, &state, &err), "%s", err.msg);
    tables_close(&tables);
    state_close(&state);
}

static bool count_one(void *ctx, const struct staged_object *o)
{
    (void)o;
    ++*(unsigned *)ctx;
    return true;
}

static unsigned unsettled(void)
{
    struct state state;
    struct err err;
    unsigned n = 0;
    ck_assert_msg(state_open(&state, w.dir.path, true, &err), "%s", err.msg);
    ck_assert(state_unsettled_each(&state, SPAN_LIT("acme"), (struct span){0}, false, count_one, &n, &err));
    state_close(&state);
    return n;
}

/* Every published object looked up, a joined one by its parts. */
static uint64_t looked_up(void)
{
    struct state state;
    struct err err;
    int64_t rows;
    char sql[500];
    ck_assert_msg(state_open(&state, w.dir.path, false, &err), "%s", err.msg);
    bool there = access(target, F_OK) == 0;
    (void)snprintf(sql, sizeof sql, "ATTACH '%s' AS target", target);
    ck_assert_msg(!there || db_exec(&state.db, sql, &err), "%s", err.msg);
    ck_assert_msg(db_int(&state.db, &rows, 0, &err,
                         there ? "SELECT sum(rows - (SELECT coalesce(sum(j.rows), 0) FROM joins j WHERE j.object = key AND j.part IN"
                                 " (SELECT object FROM target._sluice_inputs))) FROM objects WHERE published = 1 AND source = 'acme'"
                                 " AND key NOT IN (SELECT object FROM target._sluice_inputs)"
                               : "SELECT sum(rows) FROM objects WHERE published = 1 AND source = 'acme'",
                         ""), "%s", err.msg);
    state_close(&state);
    return (uint64_t)rows;
}

/* The books balance, and tell of what waits what looking everything up tells; returns it. */
static uint64_t balanced(const char *when)
{
    struct tables tables;
    struct state state;
    struct books books;
    uint64_t waiting, merged, oldest_us;
    struct err err;
    ck_assert_msg(state_open(&state, w.dir.path, true, &err) && tables_open(&tables, &w.config, &err), "%s", err.msg);
    ck_assert(state_books(&state, SPAN_LIT("acme"), &books, &err));
    ck_assert_msg(account_rows(&tables, &state, SPAN_LIT("acme"), &waiting, &merged, &err), "%s: %s", when, err.msg);
    ck_assert(account_oldest(&tables, &state, SPAN_LIT("acme"), (struct span){0}, &oldest_us, &err));
    tables_close(&tables);
    state_close(&state);
    ck_assert_msg(waiting == looked_up(), "%s: %llu rows wait, %llu are not in the target", when, (unsigned long long)waiting,
                  (unsigned long long)looked_up());
    ck_assert_msg(books.rows_staged == merged + waiting, "%s: %llu staged, %llu merged, %llu waiting", when,
                  (unsigned long long)books.rows_staged, (unsigned long long)merged, (unsigned long long)waiting);
    ck_assert_msg((oldest_us != 0) == (waiting != 0), "%s", when);
    return waiting;
}

#define QUIET_US (UINT64_C(1000) * 1000000)

/* Steps of joining until there is nothing to do; what was joined stays beside its parts. */
static void join_steps(void)
{
    struct err err;
    struct stager *s = world_stager(&w);
    for (bool worked = true; worked;) {
        worked = false;
        ck_assert_msg(compact_step(s, &worked, &err), "%s", err.msg);
    }
    stager_free(&s);
}

static void join(void)
{
    w.config.objects.compact_us = QUIET_US;
    w.faulty.ahead_us += 3 * QUIET_US;
    join_steps();
}

/* The parts go, too. */
static void join_all(void)
{
    join();
    join();
}

static void copy(const char *from, const char *to)
{
    char command[900];
    (void)snprintf(command, sizeof command, "rm -f '%s-wal' '%s-shm' && cp '%s' '%s'", to, to, from, to);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(what_is_merged_is_looked_at_once)
{
    settle(); /* neither a target nor anything in the books */
    stage(30);
    settle();
    ck_assert_uint_gt(balanced("nothing is merged"), 0);
    unsigned n = unsettled();
    merge();
    ck_assert_uint_eq(balanced("merged"), 0);
    ck_assert_uint_eq(unsettled(), n);
    settle();
    ck_assert_uint_eq(unsettled(), 0);
    ck_assert_uint_eq(balanced("settled"), 0);
    stage(30);
    settle();
    n = unsettled();
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_gt(balanced("more was staged"), 0);
    merge();
    ck_assert_uint_eq(balanced("and merged"), 0);
    settle();
    ck_assert_uint_eq(unsettled(), 0);
    ck_assert_uint_eq(balanced("and settled"), 0);
}
END_TEST

/* 0: looked at when it is back; 1: after it went on by itself for more commits than it lacks; 2: settled at once; 3: both. The copy is taken while
 * the merger that goes on has the target open, so that both are of one opening. */
START_TEST(an_older_target_is_put_back)
{
    char older[400], full[400];
    (void)snprintf(older, sizeof older, "%s/older.db", w.dir.path);
    (void)snprintf(full, sizeof full, "%s/full.db", w.dir.path);
    struct merger *m = opened();
    stage(20);
    pass(m);
    struct db db;
    struct err err;
    ck_assert(db_open(&db, target, &err) && db_exec(&db, "PRAGMA wal_checkpoint(TRUNCATE)", &err));
    db_close(&db);
    copy(target, older);
    for (int i = 0; i < 3; i++) {
        stage(20);
        pass(m);
    }
    merger_free(&m);
    settle();
    ck_assert_uint_eq(unsettled(), 0);
    copy(target, full);
    copy(older, target);
    if (_i != 1)
        ck_assert_uint_gt(balanced("it is back"), 0);
    if (_i >= 2) {
        settle();
        ck_assert_uint_gt(unsettled(), 0);
        ck_assert_uint_gt(balanced("and what is in it was settled"), 0);
    }
    if (_i % 2) {
        for (int i = 0; i < 5; i++) {
            stage(20);
            merge();
            (void)balanced("it went on");
        }
    }
    merge();
    ck_assert_uint_eq(balanced("merged"), 0);
    settle();
    ck_assert_uint_eq(unsettled(), 0);
    ck_assert_uint_eq(balanced("settled"), 0);
    copy(full, target); /* and the newer one again */
    (void)balanced("the other one is back");
    settle();
    (void)balanced("and was settled");
    merge();
    ck_assert_uint_eq(balanced("in the end"), 0);
}
END_TEST

/* Objects are taken from the list of what is merged, with their rows: 0: by a program that is not the merger; 1: while one has the
 * target open, and goes on. 2: the target goes as a whole. */
START_TEST(a_table_is_reset)
{
    stage(30);
    struct merger *m = opened();
    pass(m);
    settle();
    ck_assert_uint_eq(unsettled(), 0);
    if (_i == 1)
        stage(9);
    else
        merger_free(&m);
    struct db db;
    struct err err;
    if (_i == 2) {
        ck_assert_int_eq(unlink(target), 0);
    } else {
        ck_assert(db_open(&db, target, &err));
        ck_assert_msg(db_exec(&db, "BEGIN IMMEDIATE;"
                                   "UPDATE _sluice_counts SET objects = 0, rows = 0 WHERE \"table\" = 'orders';"
                                   "DELETE FROM _sluice_inputs WHERE object LIKE 'acme/orders/%'; COMMIT", &err), "%s", err.msg);
        db_close(&db);
    }
    ck_assert_uint_gt(balanced("reset"), 0);
    if (_i == 1) {
        pass(m);
        (void)balanced("merged again");
        merger_free(&m);
    }
    settle();
    (void)balanced("settled");
    merge();
    settle();
    ck_assert_uint_eq(balanced("in the end"), 0);
    ck_assert_uint_eq(unsettled(), 0);
}
END_TEST

struct stop {
    uint64_t left;
};

static int stop_it(void *ctx)
{
    struct stop *s = ctx;
    return s->left-- == 0;
}

/* Many objects of one row in the books and in the target, so that settling takes several transactions. */
static void fill(unsigned n)
{
    struct state state;
    struct err err;
    char sql[1400];
    stage(3);
    merge();
    ck_assert_msg(state_open(&state, w.dir.path, false, &err), "%s", err.msg);
    (void)snprintf(sql, sizeof sql,
                   "ATTACH '%s' AS target; BEGIN IMMEDIATE;"
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u) INSERT INTO objects"
                   " SELECT 'acme/orders/x' || i, 'acme', 'orders', 'events', 1, 1, 1, 1, i, 1, 0 FROM n;"
                   "INSERT INTO target._sluice_inputs SELECT key, 1, '' FROM objects WHERE key LIKE 'acme/orders/x%%' AND at_us %% 5;"
                   "UPDATE target._sluice_counts SET rows = rows + (SELECT count(*) FROM objects WHERE key LIKE 'acme/orders/x%%'"
                   " AND at_us %% 5) WHERE \"table\" = 'orders';"
                   "UPDATE books SET rows_staged = rows_staged + %u WHERE source = 'acme'; COMMIT", target, n, n);
    ck_assert_msg(db_exec(&state.db, sql, &err), "%s", err.msg);
    state_close(&state);
}

START_TEST(settling_is_interrupted)
{
    uint64_t seed = check_seed();
    fill(5000);
    uint64_t waits = balanced("before");
    bool ended = false;
    for (uint64_t at = check_random(&seed) % 50; !ended; at += at / 3 + 1 + check_random(&seed) % 40) {
        struct tables tables;
        struct state state;
        struct err err;
        struct stop stop = {at};
        ck_assert_msg(state_open(&state, w.dir.path, false, &err) && tables_open(&tables, &w.config, &err), "%s", err.msg);
        ck_assert(db_exec(&state.db, "UPDATE objects SET settled = 0; DELETE FROM settled", &err));
        sqlite3_progress_handler(state.db.handle, 50, stop_it, &stop);
        ended = account_settle(&tables, &state, &err);
        tables_close(&tables);
        state_close(&state);
        ck_assert_uint_eq(balanced("after an interruption"), waits);
    }
    ck_assert_uint_eq(unsettled(), 1000);
}
END_TEST

static void step_back(struct db *db, int to)
{
    /* What leads from one version to the one before. */
    static const char *const back[] = {
        "DROP INDEX objects_unsettled; DROP INDEX objects_unpublished; DROP TABLE settled; ALTER TABLE objects DROP COLUMN settled;"
        "PRAGMA user_version = 1",
        "DROP TABLE resend; CREATE TABLE dead_0(id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, tbl TEXT NOT NULL,"
        "  entry TEXT NOT NULL, item INTEGER NOT NULL, reason TEXT NOT NULL, at_us INTEGER NOT NULL, alone INTEGER NOT NULL,"
        "  UNIQUE(entry, tbl, item));"
        "INSERT INTO dead_0 SELECT id, source, tbl, entry, item, reason, at_us, alone FROM dead; DROP TABLE dead;"
        "ALTER TABLE dead_0 RENAME TO dead; CREATE INDEX dead_by_source ON dead(source, id); PRAGMA user_version = 2",
        "DROP TABLE joins; DROP INDEX objects_retired; DROP INDEX objects_unpublished;"
        "CREATE INDEX objects_unpublished ON objects(source) WHERE published <> 1; PRAGMA user_version = 3",
        "DROP TABLE endpoints; DROP TABLE rotations; PRAGMA user_version = 4",
        "DROP TABLE controls; DROP TABLE audit; PRAGMA user_version = 5",
        "DROP TABLE registrations; DROP TABLE alarms; DROP TABLE posts; DROP TABLE rhythms;"
        "ALTER TABLE runs DROP COLUMN page_us; ALTER TABLE runs DROP COLUMN waiting; ALTER TABLE runs DROP COLUMN wait_until_us;"
        "ALTER TABLE runs DROP COLUMN cause; PRAGMA user_version = 6",
    };
    struct err err;
    for (int version = 7; version > to; version--)
        ck_assert_msg(db_exec(db, back[version - 2], &err), "to %d: %s", version - 1, err.msg);
}

/* _i: from this version. */
START_TEST(a_file_of_an_earlier_version_is_brought_up)
{
    struct state state;
    struct err err;
    uint64_t before = 0, after = 0;
    stage(18);
    merge();
    ck_assert(state_open(&state, w.dir.path, false, &err));
    ck_assert(state_dead_count(&state, (struct span){0}, &before, &err));
    ck_assert_uint_gt(before, 0);
    step_back(&state.db, _i);
    state_close(&state);
    ck_assert(!state_open(&state, w.dir.path, true, &err));
    ck_assert_msg(strstr(err.msg, "sluice serve"), "%s", err.msg);
    settle();
    ck_assert_uint_eq(unsettled(), 0);
    ck_assert_uint_eq(balanced("brought up"), 0);
    stage(18);
    join();
    merge();
    ck_assert_uint_eq(balanced("and went on"), 0);
    ck_assert(state_open(&state, w.dir.path, true, &err) && state_dead_count(&state, (struct span){0}, &after, &err));
    ck_assert_uint_eq(after, 2 * before);
    state_close(&state);
}
END_TEST

/* ---- joined objects ---- */

static unsigned count(const char *where)
{
    struct state state;
    struct err err;
    int64_t n;
    char sql[300];
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM objects WHERE %s", where);
    ck_assert_msg(state_open(&state, w.dir.path, true, &err), "%s", err.msg);
    ck_assert_msg(db_int(&state.db, &n, 0, &err, sql, ""), "%s", err.msg);
    state_close(&state);
    return (unsigned)n;
}

/* A part counts no more, whether it was settled or not; its joined object counts by the parts that were not merged. */
START_TEST(parts_were_settled)
{
    stage(30);
    merge();
    settle();
    stage(30); /* of the same folders: half of each group is settled, half of it waits */
    uint64_t waits = balanced("staged");
    ck_assert_uint_gt(waits, 0);
    join();
    ck_assert_uint_gt(count("lane GLOB 'joined-*' AND published = 1"), 0);
    ck_assert_uint_gt(count("published = 3 AND settled = 1"), 0);
    ck_assert_uint_eq(balanced("joined"), waits);
    settle();
    ck_assert_uint_eq(count("lane GLOB 'joined-*' AND settled = 1"), 0);
    ck_assert_uint_eq(balanced("joined, and settled"), waits);
    join_all();
    ck_assert_uint_eq(count("published = 3"), 0);
    ck_assert_uint_gt(count("published = 4"), 0);
    ck_assert_uint_eq(balanced("parts removed"), waits);
    merge();
    ck_assert_uint_eq(balanced("merged"), 0);
    settle();
    ck_assert_uint_eq(unsettled(), 0);
    ck_assert_uint_eq(count("lane GLOB 'joined-*' AND published = 1 AND settled = 0"), 0);
    ck_assert_uint_eq(balanced("settled"), 0);
    if (_i) { /* a target made anew has the joined objects alone */
        ck_assert_int_eq(unlink(target), 0);
        waits = balanced("no target");
        merge();
        ck_assert_uint_eq(balanced("merged anew"), 0);
        settle();
        ck_assert_uint_eq(unsettled(), 0);
        ck_assert_uint_gt(waits, 0);
    }
}
END_TEST

/* A part that waits keeps its age when it is joined; one that was merged has none. */
START_TEST(a_joined_object_is_as_old_as_what_waits_in_it)
{
    struct tables tables;
    struct state state;
    struct err err;
    uint64_t before = 0, after = 0;
    stage(30);
    if (_i)
        merge();
    w.faulty.ahead_us += QUIET_US;
    stage(30);
    for (int i = 0; i < 2; i++) {
        ck_assert(state_open(&state, w.dir.path, true, &err) && tables_open(&tables, &w.config, &err));
        ck_assert(account_oldest(&tables, &state, SPAN_LIT("acme"), SPAN_LIT("orders"), i ? &after : &before, &err));
        tables_close(&tables);
        state_close(&state);
        if (!i)
            join();
    }
    ck_assert_uint_gt(count("lane GLOB 'joined-*' AND published = 1"), 0);
    ck_assert_uint_gt(before, 0);
    ck_assert_uint_eq(before, after);
}
END_TEST

static struct stager *joiner(void)
{
    w.config.objects.compact_us = QUIET_US;
    w.faulty.ahead_us += 3 * QUIET_US;
    return world_stager(&w);
}

/* Staged, merged in part, joined; the n-th operation of the store (0) or of state.db (1) fails, and the program ends there. */
static bool join_until(unsigned n, bool database)
{
    struct err err;
    struct stop stop = {n};
    bool worked = true, ok = true;
    struct stager *s = joiner();
    if (database)
        sqlite3_progress_handler(s->state.db.handle, 20, stop_it, &stop);
    else
        faulty_fail_at(&w.faulty, n, false, -EIO);
    while (ok && worked) {
        worked = false;
        ok = compact_step(s, &worked, &err);
    }
    stager_free(&s);
    faulty_heal(&w.faulty);
    return ok;
}

START_TEST(joining_ends_anywhere)
{
    bool ended = false;
    for (unsigned n = 1; !ended; n += n / 8 + 1) {
        if (n > 1) {
            teardown();
            setup();
        }
        for (int i = 0; i < 3; i++) {
            stage(9);
            if (i < 2)
                merge();
            if (!i)
                settle();
        }
        uint64_t waits = balanced("staged");
        ended = join_until(n, _i);
        ck_assert_uint_eq(balanced("after the end"), waits);
        if (n % 2) { /* what was switched is merged before it is published */
            merge();
            (void)balanced("merged after the end");
            settle();
            (void)balanced("settled after the end");
        }
        w.config.objects.compact_us = n % 3 ? QUIET_US : 0; /* what is half done is brought to its end all the same */
        join_steps();
        ck_assert_uint_eq(count("published NOT IN (1, 3, 4)"), 0);
        (void)balanced("brought to its end");
        merge();
        ck_assert_uint_eq(balanced("and merged"), 0);
        /* What was merged before it was published is settled with the target's next commit. */
        stage(3);
        merge();
        settle();
        ck_assert_uint_eq(balanced("and settled"), 0);
        ck_assert_uint_eq(unsettled(), 0);
        ck_assert_uint_lt(n, 20000);
    }
}
END_TEST

#define BACKUPS 3
/* Staging, merging, settling, joining one step at a time, targets of any earlier time put back, in any order. */
START_TEST(any_order)
{
    uint64_t seed = check_seed() + (uint64_t)_i;
    char backups[BACKUPS][400];
    bool there[BACKUPS] = {false};
    for (int i = 0; i < BACKUPS; i++)
        (void)snprintf(backups[i], sizeof backups[i], "%s/backup%d.db", w.dir.path, i);
    stage(9);
    merge();
    for (int i = 0; i < 60; i++) {
        char when[80];
        unsigned what = (unsigned)(check_random(&seed) % 10), which = (unsigned)(check_random(&seed) % BACKUPS);
        if (what < 2) {
            stage(3 + (unsigned)(check_random(&seed) % 9));
        } else if (what < 4) {
            merge();
        } else if (what < 6) {
            settle();
        } else if (what < 8) {
            struct err err;
            bool worked = false;
            struct stager *s = joiner();
            ck_assert_msg(compact_step(s, &worked, &err), "%s", err.msg);
            stager_free(&s);
        } else if (what == 8) {
            copy(target, backups[which]);
            there[which] = true;
        } else if (there[which]) {
            copy(backups[which], target);
        }
        (void)snprintf(when, sizeof when, "operation %d, of kind %u", i, what);
        (void)balanced(when);
    }
    join_all();
    (void)balanced("joined");
    merge();
    ck_assert_uint_eq(balanced("merged"), 0);
    settle();
    ck_assert_uint_eq(balanced("settled"), 0);
    ck_assert_uint_eq(unsettled(), 0);
}
END_TEST

CHECK_SUITE("merge settle", t)
{
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_merged_is_looked_at_once);
    tcase_add_loop_test(t, an_older_target_is_put_back, 0, 4);
    tcase_add_loop_test(t, a_table_is_reset, 0, 3);
    tcase_add_test(t, settling_is_interrupted);
    tcase_add_loop_test(t, a_file_of_an_earlier_version_is_brought_up, 1, 6);
    tcase_add_loop_test(t, parts_were_settled, 0, 2);
    tcase_add_loop_test(t, a_joined_object_is_as_old_as_what_waits_in_it, 0, 2);
    tcase_add_loop_test(t, joining_ends_anywhere, 0, 2);
    tcase_add_loop_test(t, any_order, 0, 6);
}
