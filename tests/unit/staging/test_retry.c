/* After the cut: dead letters tried again, where an entry stands, what waits. */
#include "world.h"

static struct world w;

static void setup(void)
{
    world_open(&w);
}

static void teardown(void)
{
    world_close(&w);
}

static void drain(void)
{
    struct err err;
    struct stager *s = world_stager(&w);
    ck_assert_msg(stager_drain(s, &err), "%s", err.msg);
    stager_free(&s);
}

static struct books books(void)
{
    struct state state;
    struct books b;
    struct err err;
    ck_assert(state_open(&state, w.dir.path, true, &err) && state_books(&state, SPAN_LIT("acme"), &b, &err));
    state_close(&state);
    return b;
}

static uint64_t letters(void)
{
    struct state state;
    uint64_t n;
    struct err err;
    ck_assert(state_open(&state, w.dir.path, true, &err) && state_dead_count(&state, SPAN_LIT("acme"), &n, &err));
    state_close(&state);
    return n;
}

/* Of 9 entries: "not json" stays dead, the item without sku stays dead beside its rows, two pages have a record each whose
 * key the fixed manifest finds. */
START_TEST(a_fix_frees_the_letters)
{
    struct err err;
    struct lines staged;
    uint64_t fixed = 0, still = 0;
    for (unsigned i = 0; i < 9; i++)
        world_load(&w, i);
    world_append(&w, LANE_BACKFILL, "acme", "{\"data\":[{\"number\":900}]}", DAY_ZERO);
    drain();
    struct books before = books();
    ck_assert_uint_eq(letters(), 5);
    ck_assert_uint_eq(before.dead, 2);
    world_manifest(&w, MANIFEST_FIXED);
    struct stager *s = world_stager(&w);
    ck_assert_msg(stager_retry_dead(s, SPAN_LIT("acme"), 0, &fixed, &still, &err), "%s", err.msg);
    ck_assert_uint_eq(fixed, 3);
    ck_assert_uint_eq(still, 2);
    ck_assert_uint_eq(letters(), 2);
    ck_assert_uint_eq(world_staged(&w, "replay-backfill", &staged), 3);
    ck_assert_uint_eq(staged.n, 3 + 3 + 1);
    for (size_t i = 0; i < staged.n; i++)
        ck_assert_ptr_nonnull(strstr(staged.p[i], "\"origin\":\"replay\""));
    lines_release(&staged);
    ck_assert_uint_eq(world_staged(&w, "replay-events", &staged), 3); /* events, orders, items */
    struct books after = books();
    ck_assert_uint_eq(after.dead, before.dead - 1);
    ck_assert_uint_eq(after.staged, before.staged + 1);
    ck_assert_uint_eq(after.rows_dead, 2);
    ck_assert_uint_eq(after.rows_staged, before.rows_staged + 7 + staged.n);
    /* Once more: the same objects, counted once. */
    ck_assert(stager_retry_dead(s, SPAN_LIT("acme"), 0, &fixed, &still, &err));
    ck_assert_uint_eq(fixed, 0);
    ck_assert_uint_eq(still, 2);
    ck_assert_uint_eq(books().rows_staged, after.rows_staged);
    ck_assert_uint_eq(books().rows_dead, 2);
    ck_assert(!stager_retry_dead(s, SPAN_LIT("acme"), 12345, &fixed, &still, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    lines_release(&staged);
    stager_free(&s);
}
END_TEST

START_TEST(a_retry_fails_at_every_operation)
{
    for (unsigned i = 0; i < 9; i++)
        world_load(&w, i);
    for (unsigned n = 1;; n++) {
        struct err err;
        struct lines staged;
        uint64_t fixed = 0, still = 0;
        world_manifest(&w, MANIFEST_A);
        drain();
        struct books before = books();
        world_manifest(&w, MANIFEST_FIXED);
        struct stager *s = world_stager(&w);
        faulty_fail_at(&w.faulty, n, _i, -EIO);
        bool ok = stager_retry_dead(s, SPAN_LIT("acme"), 0, &fixed, &still, &err);
        bool reached = w.faulty.failed > 0;
        faulty_heal(&w.faulty);
        stager_free(&s);
        ck_assert(ok || reached);
        s = world_stager(&w);
        ck_assert_msg(stager_retry_dead(s, SPAN_LIT("acme"), 0, &fixed, &still, &err), "%s", err.msg);
        stager_free(&s);
        ck_assert_uint_eq(letters(), 2);
        ck_assert_uint_eq(world_staged(&w, "replay-backfill", &staged), 2);
        ck_assert_uint_eq(staged.n, 6);
        lines_release(&staged);
        ck_assert_uint_eq(books().rows_dead, 2);
        ck_assert_uint_eq(world_staged(&w, "replay-events", &staged), 3);
        ck_assert_uint_eq(books().rows_staged, before.rows_staged + 6 + staged.n);
        lines_release(&staged);
        world_forget(&w);
        if (!reached)
            break;
        ck_assert_uint_lt(n, 1000);
    }
}
END_TEST

static bool gather_object(void *ctx, const struct staged_object *o)
{
    buf_adds(ctx, o->key);
    buf_addc(ctx, '\n');
    return true;
}

static enum staged_stand stand(const char *source, enum lane_id lane, uint64_t seq, struct buf *objects)
{
    struct state state;
    struct err err;
    enum staged_stand ret;
    buf_clear(objects);
    ck_assert_msg(state_open(&state, w.dir.path, true, &err), "%s", err.msg);
    ck_assert_msg(trace_entry(&state, span_of(source), span_of(lane_name(lane)), seq, &ret, gather_object, objects, &err), "%s",
                  err.msg);
    state_close(&state);
    return ret;
}

START_TEST(an_entry_is_traced)
{
    struct buf objects = {0};
    struct err err;
    uint64_t fixed, still;
    uint64_t row = world_append(&w, LANE_EVENTS, "acme", "{\"id\":\"a\",\"type\":\"order.made\",\"o\":{\"id\":1}}", DAY_ZERO);
    uint64_t dead = world_append(&w, LANE_EVENTS, "acme", "nonsense", DAY_ZERO);
    uint64_t stranger = world_append(&w, LANE_EVENTS, "stranger", "{}", DAY_ZERO);
    uint64_t empty = world_append(&w, LANE_BACKFILL, "acme", "{\"data\":[]}", DAY_ZERO);
    uint64_t full = world_append(&w, LANE_BACKFILL, "acme", "{\"data\":[{\"id\":1}]}", DAY_ZERO);
    uint64_t page = world_append(&w, LANE_BACKFILL, "acme", "{\"data\":[{\"number\":1}]}", DAY_ZERO);
    ck_assert_int_eq(stand("acme", LANE_EVENTS, row, &objects), STAND_WAITING);
    drain();
    uint64_t late = world_append(&w, LANE_EVENTS, "acme", "{}", DAY_ZERO);
    ck_assert_int_eq(stand("acme", LANE_EVENTS, row, &objects), STAND_STAGED);
    ck_assert_ptr_nonnull(strstr(buf_z(&objects), "acme/orders/dt=2027-01-01/"));
    ck_assert_ptr_nonnull(strstr(buf_z(&objects), "acme/events/dt=2027-01-01/"));
    ck_assert_int_eq(stand("acme", LANE_EVENTS, dead, &objects), STAND_DEAD);
    ck_assert_int_eq(stand("stranger", LANE_EVENTS, stranger, &objects), STAND_DEAD);
    ck_assert_int_eq(stand("acme", LANE_EVENTS, late, &objects), STAND_WAITING);
    ck_assert_int_eq(stand("acme", LANE_BACKFILL, empty, &objects), STAND_IGNORED);
    ck_assert_uint_eq(objects.n, 0);
    ck_assert_int_eq(stand("acme", LANE_BACKFILL, full, &objects), STAND_STAGED);
    ck_assert_int_eq(stand("acme", LANE_BACKFILL, page, &objects), STAND_DEAD);
    world_manifest(&w, MANIFEST_FIXED);
    struct stager *s = world_stager(&w);
    ck_assert(stager_retry_dead(s, SPAN_LIT("acme"), 0, &fixed, &still, &err));
    stager_free(&s);
    ck_assert_int_eq(stand("acme", LANE_BACKFILL, page, &objects), STAND_STAGED);
    ck_assert_ptr_nonnull(strstr(buf_z(&objects), ".replay-backfill.00000000000000000003-"));
    ck_assert_ptr_null(strstr(buf_z(&objects), ".backfill."));
    buf_release(&objects);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("retry");
    TCase *tc = tcase_create("after the cut");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, a_fix_frees_the_letters);
    tcase_add_loop_test(tc, a_retry_fails_at_every_operation, 0, 2);
    tcase_add_test(tc, an_entry_is_traced);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
