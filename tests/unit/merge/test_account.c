/* The last line of the books: rows staged = rows merged + rows waiting, at every moment a process can die, whether what was
 * stored is merged before it is written down as published, and whether the transform is another one when the range is repeated. */
#include "../check_main.h"
#include "../staging/world.h"
#include "merge/account.h"
#include "merge/merge.h"

static void merge_all(struct world *w)
{
    struct merger_opts o = {.config = &w->config, .store = w->store, .io = io_posix()};
    struct merge_counts counts = {0};
    struct merger *m;
    struct err err;
    ck_assert_msg(merger_new(&o, &m, &err), "%s", err.msg);
    ck_assert_msg(merger_pass(m, (struct span){0}, (struct span){0}, &counts, &err), "%s", err.msg);
    merger_free(&m);
}

static void balanced(struct world *w, unsigned n, const char *when, uint64_t *ret_waiting)
{
    struct tables tables;
    struct state state;
    struct books books;
    uint64_t merged;
    struct err err;
    ck_assert_msg(state_open(&state, w->dir.path, true, &err) && tables_open(&tables, &w->config, &err), "%s", err.msg);
    ck_assert_msg(state_books(&state, SPAN_LIT("acme"), &books, &err), "%s", err.msg);
    ck_assert_msg(account_rows(&tables, &state, SPAN_LIT("acme"), ret_waiting, &merged, &err), "%s", err.msg);
    ck_assert_msg(books.rows_staged == merged + *ret_waiting, "operation %u, %s: %llu staged, %llu merged, %llu waiting", n, when,
                  (unsigned long long)books.rows_staged, (unsigned long long)merged, (unsigned long long)*ret_waiting);
    tables_close(&tables);
    state_close(&state);
}

static void drain_all(struct world *w)
{
    struct stager *s = world_stager(w);
    struct err err;
    ck_assert_msg(stager_drain(s, &err), "%s", err.msg);
    stager_free(&s);
}

/* Every order, and what B's column says of it. */
static void orders_of(struct world *w, struct buf *out)
{
    struct tables tables;
    struct err err;
    sqlite3_stmt *st;
    bool row = false;
    ck_assert_msg(tables_open(&tables, &w->config, &err), "%s", err.msg);
    int64_t has;
    ck_assert_msg(db_int(&tables.db, &has, 0, &err, "SELECT count(*) FROM pragma_table_info('acme_orders') WHERE name = 'made_by'", ""),
                  "%s", err.msg);
    ck_assert_msg(db_prepare(&tables.db, &st,
                             has ? "SELECT id || coalesce(made_by, '') FROM acme_orders ORDER BY id"
                                 : "SELECT id FROM acme_orders ORDER BY id",
                             &err),
                  "%s", err.msg);
    while (db_step(&tables.db, st, &row, &err) && row)
        buf_addf(out, "%s ", (const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    tables_close(&tables);
}

/* The n-th operation fails; what was stored until then is merged. Returns whether that operation was reached. */
static bool try_to_stage(struct world *w, const char *manifest, unsigned n)
{
    struct err err;
    uint64_t waiting;
    world_manifest(w, manifest);
    struct stager *s = world_stager(w);
    faulty_fail_at(&w->faulty, n, false, -EIO);
    (void)stager_drain(s, &err);
    bool reached = w->faulty.failed > 0;
    stager_free(&s);
    faulty_heal(&w->faulty);
    balanced(w, n, "after the failure", &waiting);
    merge_all(w);
    balanced(w, n, "merged after the failure", &waiting);
    return reached;
}

/* What was merged on the way, whatever the transforms, is what the published objects say to a target that begins with them. */
static void as_published(struct world *w, unsigned n)
{
    struct buf ours = {0}, fresh = {0};
    char target[400];
    const char *old = w->config.merge_db;
    orders_of(w, &ours);
    (void)snprintf(target, sizeof(target), "%s/fresh.db", w->dir.path);
    w->config.merge_db = target;
    merge_all(w);
    orders_of(w, &fresh);
    w->config.merge_db = old;
    ck_assert_uint_gt(ours.n, 0);
    ck_assert_msg(strcmp(buf_z(&ours), buf_z(&fresh)) == 0, "operation %u:\n%s\nis not\n%s", n, buf_z(&ours), buf_z(&fresh));
    buf_release(&ours);
    buf_release(&fresh);
}

/* Changed back: the second transform gets as far as the first, or some operations further. */
enum course { STAYS, CHANGES, CHANGES_BACK, COURSES = CHANGES_BACK + 2 };

/* Returns whether the n-th operation was reached. */
static bool round_of(struct world *w, unsigned n, enum course course)
{
    uint64_t waiting;
    bool reached = try_to_stage(w, MANIFEST_A, n);
    if (course >= CHANGES_BACK)
        (void)try_to_stage(w, MANIFEST_B, n + 8 * (unsigned)(course - CHANGES_BACK));
    world_manifest(w, course == CHANGES ? MANIFEST_B : MANIFEST_A);
    drain_all(w);
    balanced(w, n, "after the repetition", &waiting);
    merge_all(w);
    balanced(w, n, "in the end", &waiting);
    ck_assert_uint_eq(waiting, 0);
    as_published(w, n);
    return reached;
}

START_TEST(rows_balance_whatever_fails)
{
    char target[400];
    bool reached = true;
    for (unsigned n = 1; reached; n++) {
        struct world w;
        world_open(&w);
        (void)snprintf(target, sizeof(target), "%s/tables.db", w.dir.path);
        w.config.merge_db = target;
        for (unsigned i = 0; i < 10; i++) /* one of each kind */
            world_load(&w, i);
        reached = round_of(&w, n, (enum course)_i);
        world_close(&w);
        ck_assert_uint_lt(n, 500);
    }
}
END_TEST

CHECK_SUITE("merge account", t)
{
    tcase_add_loop_test(t, rows_balance_whatever_fails, STAYS, COURSES);
}
