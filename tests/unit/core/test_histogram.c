#include "core/histogram.h"
#include "tests/unit/check_main.h"
#include <pthread.h>

static const struct {
    uint64_t us;
    int bucket;
} places[] = {
    {0, 0}, {1, 0}, {50, 0}, {51, 1}, {100, 1}, {101, 2}, {1000, 4}, {1001, 5}, {10000000, 16}, {10000001, 17}, {UINT64_C(1) << 50, 17},
};

START_TEST(an_observation_is_in_its_bucket)
{
    struct histogram h = {0};
    struct histogram_snapshot s;
    histogram_observe(&h, places[_i].us);
    histogram_snapshot(&h, &s);
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
        ck_assert_uint_eq(s.up_to[i], i >= places[_i].bucket);
    ck_assert_uint_eq(s.count, 1);
    ck_assert_uint_eq(s.sum_us, places[_i].us);
}
END_TEST

START_TEST(bounds_go_from_50_us_to_10_s)
{
    ck_assert_uint_eq(histogram_bounds_us[0], 50);
    ck_assert_uint_eq(histogram_bounds_us[HISTOGRAM_BOUNDS - 1], 10000000);
    for (int i = 1; i < HISTOGRAM_BOUNDS; i++)
        ck_assert_uint_lt(histogram_bounds_us[i - 1], histogram_bounds_us[i]);
}
END_TEST

#define OBSERVED 50000

static void *observe(void *h)
{
    for (uint64_t i = 0; i < OBSERVED; i++)
        histogram_observe(h, i);
    return NULL;
}

START_TEST(threads_lose_nothing)
{
    struct histogram h = {0};
    struct histogram_snapshot s;
    pthread_t threads[4];
    uint64_t before = 0;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, observe, &h), 0);
    for (int k = 0; k < 1000; k++) {
        histogram_snapshot(&h, &s);
        ck_assert_uint_eq(s.up_to[HISTOGRAM_BOUNDS], s.count);
        for (int i = 1; i <= HISTOGRAM_BOUNDS; i++)
            ck_assert_uint_le(s.up_to[i - 1], s.up_to[i]);
        ck_assert_uint_ge(s.count, before);
        before = s.count;
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    histogram_snapshot(&h, &s);
    ck_assert_uint_eq(s.count, 4 * OBSERVED);
    ck_assert_uint_eq(s.sum_us, UINT64_C(4) * OBSERVED * (OBSERVED - 1) / 2);
    ck_assert_uint_eq(s.up_to[0], 4 * 51);
}
END_TEST

CHECK_SUITE("core histogram", t)
{
    tcase_add_loop_test(t, an_observation_is_in_its_bucket, 0, CHECK_ROWS(places));
    tcase_add_test(t, bounds_go_from_50_us_to_10_s);
    tcase_add_test(t, threads_lose_nothing);
}
