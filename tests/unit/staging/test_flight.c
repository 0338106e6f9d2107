/* What is in flight: the position passes an entry when all before it, itself included, was delivered. */
#include "core/mem.h"
#include "staging/kafka/flight.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

START_TEST(the_lowest_entry_that_is_missing_holds)
{
    struct flight f = {.position = 1};
    uint64_t a = flight_begin(&f);
    ck_assert(!flight_end(&f, 2, 2));
    uint64_t b = flight_begin(&f);
    ck_assert(!flight_end(&f, 3, 1));
    (void)flight_begin(&f);
    ck_assert(!flight_end(&f, 4, 0)); /* no row: it waits for those before it */
    ck_assert(!flight_delivered(&f, b));
    ck_assert(!flight_delivered(&f, a));
    ck_assert_uint_eq(f.position, 1);
    ck_assert(flight_delivered(&f, a));
    ck_assert_uint_eq(f.position, 4);
    (void)flight_begin(&f);
    ck_assert(flight_end(&f, 9, 0)); /* nothing before it: at once, over a gap */
    ck_assert_uint_eq(f.position, 9);
    flight_release(&f);
}
END_TEST

/* Delivered before its number of messages is known. */
START_TEST(a_report_may_come_first)
{
    struct flight f = {.position = 5};
    uint64_t a = flight_begin(&f);
    ck_assert(!flight_delivered(&f, a));
    ck_assert(!flight_delivered(&f, a));
    ck_assert_uint_eq(f.position, 5);
    ck_assert(flight_end(&f, 6, 2));
    ck_assert_uint_eq(f.position, 6);
    flight_release(&f);
}
END_TEST

START_TEST(what_is_given_up_moves_nothing)
{
    struct flight f = {.position = 1};
    uint64_t a = flight_begin(&f);
    (void)flight_end(&f, 2, 1);
    uint64_t b = flight_begin(&f);
    (void)flight_give_up(&f, 3);
    uint64_t again = flight_begin(&f);
    (void)flight_end(&f, 3, 1);
    (void)flight_delivered(&f, a);
    (void)flight_delivered(&f, again);
    ck_assert_uint_eq(f.position, 2); /* its messages are on their way all the same */
    for (int i = 0; i < 3; i++)
        (void)flight_delivered(&f, b);
    ck_assert_uint_eq(f.position, 3);
    flight_release(&f);
}
END_TEST

/* Against a plain count: random entries, deliveries in random order. */
START_TEST(as_a_plain_count_says)
{
    enum { ENTRIES = 5000 };
    static int left[ENTRIES];
    static uint64_t ids[ENTRIES];
    const char *set = getenv("SEED");
    unsigned seed = set ? (unsigned)strtoul(set, NULL, 10) : 7;
    printf("SEED=%u\n", seed);
    struct flight f = {.position = 1};
    int begun = 0, low = 0;
    while (low < ENTRIES) {
        if (begun < ENTRIES && rand_r(&seed) % 3 && flight_has_room(&f)) {
            left[begun] = (int)(rand_r(&seed) % 4);
            ids[begun] = flight_begin(&f);
            (void)flight_end(&f, (uint64_t)begun + 2, left[begun]);
            begun++;
        } else if (begun > low) {
            int i = low + (int)(rand_r(&seed) % (unsigned)(begun - low));
            if (left[i] > 0) {
                left[i]--;
                (void)flight_delivered(&f, ids[i]);
            }
        }
        while (low < begun && left[low] == 0)
            low++;
        ck_assert_uint_eq(f.position, (uint64_t)low + 1);
    }
    flight_release(&f);
}
END_TEST

START_TEST(it_has_an_end)
{
    struct flight f = {.position = 1};
    for (size_t i = 0; i < FLIGHT_MAX; i++) {
        ck_assert(flight_has_room(&f));
        (void)flight_begin(&f);
        (void)flight_end(&f, i + 2, 1);
    }
    ck_assert(!flight_has_room(&f));
    ck_assert(flight_delivered(&f, 0));
    ck_assert(flight_has_room(&f));
    flight_release(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("flight");
    TCase *t = tcase_create("all");
    tcase_add_test(t, the_lowest_entry_that_is_missing_holds);
    tcase_add_test(t, a_report_may_come_first);
    tcase_add_test(t, what_is_given_up_moves_nothing);
    tcase_add_test(t, as_a_plain_count_says);
    tcase_add_test(t, it_has_an_end);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
