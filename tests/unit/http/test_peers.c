/* Who has how much open: limits, groups, and that nothing stays behind. */
#include "http/peers.h"
#include "tests/unit/check_main.h"
#include <pthread.h>

static struct address at(const char *text)
{
    struct address a;
    ck_assert_msg(address_parse(span_of(text), &a), "%s", text);
    return a;
}

static const struct shared {
    const char *a, *b;
    bool one; /* they share a limit */
} shared[] = {
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "::ffff:192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"2001:db8::1", "2001:db8::2", true},
    {"2001:db8::1", "2001:db8:0:1::1", false},
};

START_TEST(a_limit_is_one_groups)
{
    const struct shared *row = &shared[_i];
    struct address a = at(row->a), b = at(row->b);
    struct peers *p = peers_new(2, 16, 7);
    ck_assert(!peers_full(p, &a));
    ck_assert(peers_enter(p, &a) && !peers_full(p, &b));
    ck_assert(peers_try(p, &a) && peers_full(p, &a));
    ck_assert(!peers_try(p, &a));
    ck_assert_int_eq(peers_full(p, &b), row->one);
    ck_assert_int_eq(peers_try(p, &b), !row->one);
    ck_assert(peers_enter(p, &a)); /* counted, though it is over */
    peers_leave(p, &a);
    ck_assert(peers_full(p, &a));
    peers_leave(p, &a);
    ck_assert(!peers_full(p, &a) && peers_try(p, &a));
    peers_free(&p);
    ck_assert_ptr_null(p);
}
END_TEST

START_TEST(zero_is_no_limit)
{
    struct address a = at("192.0.2.1");
    struct peers *p = peers_new(0, 16, 7);
    for (int i = 0; i < 1000; i++)
        ck_assert(!peers_enter(p, &a) && !peers_full(p, &a));
    peers_free(&p);
}
END_TEST

/* More addresses than chains, entered and left in random order, against plain counters. */
START_TEST(random_comings_and_goings)
{
    enum { N = 500, MOST = 3 };
    uint32_t open[N] = {0};
    uint64_t state = check_seed();
    struct peers *p = peers_new(MOST, 1, state);
    for (int step = 0; step < 100000; step++) {
        uint32_t i = (uint32_t)(check_random(&state) % N);
        struct address a = at("10.0.0.0");
        a.b[14] = (unsigned char)(i >> 8);
        a.b[15] = (unsigned char)i;
        ck_assert_int_eq(peers_full(p, &a), open[i] >= MOST);
        if (check_random(&state) % 2) {
            bool in = peers_try(p, &a);
            ck_assert_int_eq(in, open[i] < MOST);
            open[i] += in;
        } else if (open[i]) {
            peers_leave(p, &a);
            open[i]--;
        }
    }
    peers_free(&p);
}
END_TEST

static void *come_and_go(void *ctx)
{
    struct peers *p = ctx;
    struct address a = at("192.0.2.1");
    for (int i = 0; i < 20000; i++)
        if (peers_try(p, &a))
            peers_leave(p, &a);
    return NULL;
}

START_TEST(threads_leave_nothing)
{
    pthread_t threads[4];
    struct address a = at("192.0.2.1");
    struct peers *p = peers_new(3, 16, 7);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, p), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert(peers_try(p, &a) && peers_try(p, &a) && peers_try(p, &a) && !peers_try(p, &a));
    peers_free(&p);
}
END_TEST

CHECK_SUITE("http peers", t)
{
    tcase_add_loop_test(t, a_limit_is_one_groups, 0, CHECK_ROWS(shared));
    tcase_add_test(t, zero_is_no_limit);
    tcase_add_test(t, random_comings_and_goings);
    tcase_add_test(t, threads_leave_nothing);
}
