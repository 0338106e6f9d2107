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

/* Returns whether the n-th operation was reached. */
static bool round_of(struct world *w, unsigned n, bool changes)
{
    struct err err;
    uint64_t waiting;
    world_manifest(w, MANIFEST_A);
    struct stager *s = world_stager(w);
    faulty_fail_at(&w->faulty, n, false, -EIO);
    (void)stager_drain(s, &err);
    bool reached = w->faulty.failed > 0;
    stager_free(&s);
    faulty_heal(&w->faulty);
    balanced(w, n, "after the failure", &waiting);
    merge_all(w);
    balanced(w, n, "merged after the failure", &waiting);
    if (changes)
        world_manifest(w, MANIFEST_B);
    drain_all(w);
    balanced(w, n, "after the repetition", &waiting);
    merge_all(w);
    balanced(w, n, "in the end", &waiting);
    ck_assert_uint_eq(waiting, 0);
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
        reached = round_of(&w, n, _i);
        world_close(&w);
        ck_assert_uint_lt(n, 500);
    }
}
END_TEST

CHECK_SUITE("merge account", t)
{
    tcase_add_loop_test(t, rows_balance_whatever_fails, 0, 2);
}
