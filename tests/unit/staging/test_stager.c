/* The stager: whatever fails and whenever it dies, each row is staged once. */
#include "staging/sinks.h"
#include "world.h"
#include <pthread.h>

static struct world w;

static void setup(void)
{
    world_open(&w);
}

static void teardown(void)
{
    world_close(&w);
}

static void drain(struct stager *s)
{
    struct err err;
    ck_assert_msg(stager_drain(s, &err), "%s", err.msg);
}

/* The same entries, cut at other places, give the same rows. */
START_TEST(boundaries_do_not_matter)
{
    static const unsigned cut_every[] = {1, 2, 7, 50, 1000};
    struct stager *s = world_stager(&w);
    for (unsigned i = 0; i < 100; i++) {
        world_load(&w, i);
        if (i % cut_every[_i] == cut_every[_i] - 1)
            drain(s);
    }
    drain(s);
    drain(s);
    stager_free(&s);
    world_check(&w, 0);
}
END_TEST

START_TEST(nothing_to_do_is_done)
{
    struct stager *s = world_stager(&w);
    drain(s);
    stager_free(&s);
    world_check(&w, 0);
}
END_TEST

START_TEST(size_cuts)
{
    struct lines staged;
    char body[60000];
    struct stager *s = world_stager(&w);
    uint64_t random = 88172645463325252u;
    w.config.cut_bytes = 100000;
    for (unsigned i = 0; i < 40; i++) {
        size_t n = (size_t)snprintf(body, sizeof(body), "{\"id\":\"e%u\",\"type\":\"order.new\",\"o\":{\"id\":%u,\"pad\":\"", i, i);
        for (; n < sizeof(body) - 8; n++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            body[n] = "abcdefghijklmnopqrstuvwxyzABCDEF"[random & 31];
        }
        memcpy(body + n, "\"}}", 4);
        world_append(&w, LANE_EVENTS, "acme", body, DAY_ZERO);
    }
    drain(s);
    stager_free(&s);
    world_check(&w, 0);
    ck_assert_uint_gt(world_staged(&w, "events", &staged), 8);
    lines_release(&staged);
}
END_TEST

/* The n-th operation of the store fails, once or for good; then the process "dies"; the next one ends with every row once.
 * With _i & 2 the transform changed in between. */
START_TEST(a_crash_at_every_operation)
{
    bool once = _i & 1, changes = _i & 2;
    for (unsigned i = 0; i < 20; i++)
        world_load(&w, i);
    for (unsigned n = 1;; n++) {
        struct err err;
        world_manifest(&w, MANIFEST_A);
        struct stager *s = world_stager(&w);
        faulty_fail_at(&w.faulty, n, once, n % 2 ? -EIO : -ENOSPC);
        bool ok = stager_drain(s, &err);
        bool reached = w.faulty.failed > 0;
        stager_free(&s);
        faulty_heal(&w.faulty);
        ck_assert(ok == !reached || once);
        if (changes)
            world_manifest(&w, MANIFEST_B);
        s = world_stager(&w);
        drain(s);
        stager_free(&s);
        if (!changes)
            world_check(&w, 0);
        for (enum lane_id l = 0; changes && l < LANE_COUNT; l++) { /* a lane's one cut is of the one or of the other */
            struct lines before, after, staged;
            world_expected(&w, l, 1, &after);
            world_manifest(&w, MANIFEST_A);
            world_expected(&w, l, 0, &before);
            world_manifest(&w, MANIFEST_B);
            (void)world_staged(&w, lane_name(l), &staged);
            ck_assert_msg(lines_equal(&staged, &after) || (ok && lines_equal(&staged, &before)) ||
                              (l == LANE_EVENTS && lines_equal(&staged, &before)),
                          "operation %u, lane %s: %zu rows staged, %zu expected", n, lane_name(l), staged.n, after.n);
            lines_release(&before);
            lines_release(&after);
            lines_release(&staged);
        }
        world_forget(&w);
        if (!reached)
            break;
        ck_assert_uint_lt(n, 2000);
    }
}
END_TEST

static void *run(void *s)
{
    stager_run(s);
    return NULL;
}

static bool wait_for(uint64_t next_events, int tries)
{
    struct err err;
    for (int i = 0; i < tries; i++) {
        struct state state;
        uint64_t next = 0;
        ck_assert_msg(state_open(&state, w.dir.path, true, &err), "%s", err.msg);
        ck_assert_msg(state_position(&state, SPAN_LIT("events"), &next, &err), "%s", err.msg);
        state_close(&state);
        if (next >= next_events)
            return true;
        usleep(5000);
    }
    return false;
}

START_TEST(it_follows_recovers_and_stops)
{
    pthread_t thread;
    char words[200] = "", path[400];
    uint64_t since = 0;
    struct err err;
    (void)snprintf(path, sizeof(path), "%s/%s", w.objects_dir, STORE_PROVISIONAL);
    ck_assert(io_mkdirs(io_posix(), path, 0700, &err));
    (void)snprintf(path, sizeof(path), "%s/%s%s.events.dead", w.objects_dir, STORE_PROVISIONAL, journal_node(w.journal));
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
    struct stager *s = world_stager(&w);
    ck_assert_int_eq(pthread_create(&thread, NULL, run, s), 0);
    for (unsigned i = 0; i < 30; i++)
        world_load(&w, i);
    /* Nothing is due for an hour; the demand cuts what has been read by then. */
    for (int i = 0; i < 400 && !wait_for(1 + w.appended[LANE_EVENTS], 5); i++)
        stager_cut_now(s);
    ck_assert(wait_for(1 + w.appended[LANE_EVENTS], 1));
    stager_stop(s);
    pthread_join(thread, NULL);
    ck_assert(!stager_trouble(s, words, sizeof(words), &since));
    ck_assert_int_ne(access(path, F_OK), 0);
    stager_free(&s);
    world_check(&w, 0);
}
END_TEST

START_TEST(trouble_is_told_and_ends)
{
    pthread_t thread;
    char words[200] = "";
    uint64_t since = 0;
    w.config.cut_age_us = 1;
    for (unsigned i = 0; i < 30; i++)
        world_load(&w, i);
    struct stager *s = world_stager(&w);
    faulty_fail_at(&w.faulty, 1, false, -EIO);
    ck_assert_int_eq(pthread_create(&thread, NULL, run, s), 0);
    for (int i = 0; i < 1000 && !stager_trouble(s, words, sizeof(words), &since); i++)
        usleep(5000);
    ck_assert_msg(stager_trouble(s, words, sizeof(words), &since) && strstr(words, "lane"), "%s", words);
    ck_assert_uint_gt(since, 0);
    faulty_heal(&w.faulty);
    ck_assert(wait_for(1 + w.appended[LANE_EVENTS], 2000));
    for (int i = 0; i < 2000 && stager_trouble(s, words, sizeof(words), &since); i++)
        usleep(5000);
    ck_assert_msg(!stager_trouble(s, words, sizeof(words), &since), "%s", words);
    stager_stop(s);
    pthread_join(thread, NULL);
    stager_free(&s);
    world_check(&w, 0);
}
END_TEST

#define MINUTE_US (UINT64_C(60) * 1000000)

/* 40 entries in three segments, old enough to go after a minute. */
static void append_old(void)
{
    static char body[60000];
    size_t n = (size_t)snprintf(body, sizeof(body), "{\"id\":\"e\",\"type\":\"order.new\",\"o\":{\"id\":1,\"pad\":\"");
    memset(body + n, 'x', sizeof(body) - n);
    memcpy(body + sizeof(body) - 4, "\"}}", 4);
    w.config.retain_raw_us = MINUTE_US;
    for (unsigned i = 0; i < 40; i++)
        world_append(&w, LANE_EVENTS, "acme", body, DAY_ZERO - 2000 * DAY_US);
}

/* Segments go when they are staged and old; never before they are staged. */
START_TEST(what_is_past_is_removed_in_time)
{
    pthread_t thread;
    struct lane *lane = journal_lane(w.journal, LANE_EVENTS);
    append_old();
    struct stager *s = world_stager(&w);
    ck_assert_int_eq(pthread_create(&thread, NULL, run, s), 0);
    w.faulty.ahead_us += UINT64_C(120) * 1000000; /* nothing is staged yet */
    usleep(300000);
    ck_assert_uint_eq(lane_first(lane), 1);
    for (int i = 0; i < 400 && !wait_for(41, 5); i++)
        stager_cut_now(s);
    w.faulty.ahead_us += UINT64_C(120) * 1000000;
    usleep(300000);
    ck_assert_uint_eq(lane_first(lane), 1); /* the books have not counted them yet */
    struct state state;
    struct err err;
    struct books none = {0};
    ck_assert(state_open(&state, w.dir.path, false, &err) && state_books_add(&state, SPAN_LIT("acme"), &none, 20, &err));
    state_close(&state);
    w.faulty.ahead_us += UINT64_C(120) * 1000000;
    for (int i = 0; i < 1000 && lane_first(lane) == 1; i++)
        usleep(5000);
    ck_assert_uint_gt(lane_first(lane), 1);
    ck_assert_uint_le(lane_first(lane), 21);
    stager_stop(s);
    pthread_join(thread, NULL);
    stager_free(&s);
}
END_TEST

/* It is cleaned once a minute. */
static bool removed_from(struct lane *lane, uint64_t seq)
{
    for (int i = 0; i < 200 && lane_first(lane) <= seq; i++) {
        w.faulty.ahead_us += 2 * MINUTE_US;
        usleep(20000);
    }
    return lane_first(lane) > seq;
}

/* Staged is not enough: another sink has to have passed them, and the archive has to have them. */
START_TEST(segments_wait_for_every_sink_and_the_archive)
{
    pthread_t thread;
    char words[400] = "", path[400];
    uint64_t since;
    struct err err;
    struct state state;
    struct books none = {0};
    struct lane *lane = journal_lane(w.journal, LANE_EVENTS);
    ck_assert(io_mkdirs(io_posix(), w.objects_dir, 0700, &err));
    (void)snprintf(path, sizeof(path), "%s/_archive", w.objects_dir); /* where a folder should be */
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
    w.config.objects.archive = true;
    w.config.kafka.brokers = "nowhere:9092";
    append_old();
    struct stager *s = world_stager(&w);
    ck_assert_int_eq(pthread_create(&thread, NULL, run, s), 0);
    for (int i = 0; i < 400 && !wait_for(41, 5); i++)
        stager_cut_now(s);
    ck_assert(state_open(&state, w.dir.path, false, &err) && state_books_add(&state, SPAN_LIT("acme"), &none, 40, &err));
    ck_assert(sink_move(&state, SINK_KAFKA, "events", 41, 0, &err));
    for (int i = 0; i < 20; i++) { /* the trouble stays while the lanes are well */
        w.faulty.ahead_us += 2 * MINUTE_US;
        usleep(20000);
    }
    ck_assert_msg(stager_trouble(s, words, sizeof(words), &since) && strstr(words, "the archive"), "%s", words);
    ck_assert_uint_eq(lane_first(lane), 1);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert(sink_move(&state, SINK_KAFKA, "events", 20, 0, &err));
    ck_assert(removed_from(lane, 1));
    ck_assert(!removed_from(lane, 20));
    ck_assert(!stager_trouble(s, words, sizeof(words), &since));
    ck_assert(sink_move(&state, SINK_KAFKA, "events", 41, 0, &err));
    ck_assert(removed_from(lane, 20));
    state_close(&state);
    stager_stop(s);
    pthread_join(thread, NULL);
    stager_free(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stager");
    TCase *tc = tcase_create("exactly once");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 240);
    tcase_add_loop_test(tc, boundaries_do_not_matter, 0, 5);
    tcase_add_test(tc, nothing_to_do_is_done);
    tcase_add_test(tc, size_cuts);
    tcase_add_loop_test(tc, a_crash_at_every_operation, 0, 4);
    tcase_add_test(tc, it_follows_recovers_and_stops);
    tcase_add_test(tc, trouble_is_told_and_ends);
    tcase_add_test(tc, what_is_past_is_removed_in_time);
    tcase_add_test(tc, segments_wait_for_every_sink_and_the_archive);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
