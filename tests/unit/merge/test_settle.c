/* What is settled is never more than what the target holds: rows waiting and rows merged are the same as if every object were looked
 * up, whatever happens to the target in between, wherever settling was interrupted. */
#include "../check_main.h"
#include "../staging/world.h"
#include "merge/account.h"
#include "merge/merge.h"
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

/* Every published object looked up. */
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
                         there ? "SELECT sum(rows) FROM objects WHERE published = 1 AND source = 'acme' AND key NOT IN"
                                 " (SELECT object FROM target._sluice_inputs)"
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

START_TEST(a_file_of_the_first_version_is_brought_up)
{
    struct state state;
    struct err err;
    stage(20);
    merge();
    ck_assert(state_open(&state, w.dir.path, false, &err));
    ck_assert_msg(db_exec(&state.db, "DROP INDEX objects_unsettled; DROP INDEX objects_unpublished; DROP TABLE settled;"
                                     "ALTER TABLE objects DROP COLUMN settled; PRAGMA user_version = 1", &err), "%s", err.msg);
    state_close(&state);
    ck_assert(!state_open(&state, w.dir.path, true, &err));
    ck_assert_msg(strstr(err.msg, "sluice serve"), "%s", err.msg);
    settle();
    ck_assert_uint_eq(unsettled(), 0);
    ck_assert_uint_eq(balanced("brought up"), 0);
}
END_TEST

CHECK_SUITE("merge settle", t)
{
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_merged_is_looked_at_once);
    tcase_add_loop_test(t, an_older_target_is_put_back, 0, 4);
    tcase_add_loop_test(t, a_table_is_reset, 0, 3);
    tcase_add_test(t, settling_is_interrupted);
    tcase_add_test(t, a_file_of_the_first_version_is_brought_up);
}
