/* Simulated weeks: a share that rises is told, one that is as always is not. */
#include "alarms/share.h"
#include "tests/unit/check_main.h"
#include <math.h>

#define SECOND UINT64_C(1000000)
#define BEGIN (UINT64_C(1700000000) * SECOND)

static uint64_t random_state;

static uint64_t poisson(double mean)
{
    uint64_t n = 0;
    double end = exp(-mean), p = 1;
    do
        p *= ((double)(check_random(&random_state) >> 11) + 0.5) / 9007199254740992.0;
    while (p > end && ++n);
    return n;
}

static const struct {
    double good, bad; /* a minute */
} kinds[] = {{60, 0}, {60, 0.01}, {60, 3}, {60, 30}, {5, 5}, {0.5, 0.01}, {0, 0.02}, {600, 6}};

START_TEST(no_false_alarm_in_two_months)
{
    struct share s = {0};
    random_state = 77 + (uint64_t)_i;
    bool learnt = false;
    unsigned raised = 0;
    for (uint64_t t = 0; t < 60 * 1440; t++) {
        bool was = s.risen;
        share_look(&s, BEGIN + t * 60 * SECOND, poisson(kinds[_i].good), poisson(kinds[_i].bad));
        learnt = learnt || (t > 1440 && !s.risen); /* what is bad from its first day on is told once */
        raised += learnt && s.risen && !was;
    }
    ck_assert_msg(raised == 0, "%g good, %g bad a minute: %u alarms", kinds[_i].good, kinds[_i].bad, raised);
}
END_TEST

/* From one moment on everything is refused. */
START_TEST(a_wrong_secret_is_told)
{
    struct share s = {0};
    random_state = 5 + (uint64_t)_i;
    uint64_t t = 0, bad = 0;
    for (; t < 10 * 1440; t++)
        share_look(&s, BEGIN + t * 60 * SECOND, poisson(kinds[_i].good), poisson(kinds[_i].bad));
    double rate = kinds[_i].good + kinds[_i].bad;
    if (kinds[_i].bad * 3 > kinds[_i].good) /* more than a quarter is bad always: three times that is no share */
        return;
    for (uint64_t end = t + 1440; !s.risen && t < end; t++) {
        uint64_t n = poisson(rate);
        bad += n;
        share_look(&s, BEGIN + t * 60 * SECOND, 0, n);
    }
    ck_assert_msg(s.risen && (double)bad < 60 + 6 * rate, "told after %llu refused", (unsigned long long)bad);
    for (uint64_t end = t + 240; s.risen && t < end; t++)
        share_look(&s, BEGIN + t * 60 * SECOND, poisson(kinds[_i].good), poisson(kinds[_i].bad));
    ck_assert(!s.risen);
}
END_TEST

START_TEST(five_of_a_new_source_are_told_and_four_are_not)
{
    struct share s = {0};
    share_look(&s, BEGIN, 0, 4);
    ck_assert(!s.risen);
    share_look(&s, BEGIN + SECOND, 0, 1);
    ck_assert(s.risen);
    share_look(&s, BEGIN + 2 * SECOND, 9, 0);
    ck_assert(s.risen);
    share_look(&s, BEGIN + 3 * SECOND, 1, 0);
    ck_assert(s.risen); /* five minutes have not gone by */
    share_look(&s, BEGIN + 305 * SECOND, 0, 0);
    ck_assert(!s.risen);
}
END_TEST

/* The usual share stands still while it is risen, so that it does not become usual. */
START_TEST(a_long_fault_is_one_alarm)
{
    struct share s = {0};
    for (uint64_t t = 0; t < 5 * 1440; t++)
        share_look(&s, BEGIN + t * 60 * SECOND, 10, 0);
    double usual = s.usual_bad;
    for (uint64_t t = 5 * 1440; t < 9 * 1440; t++) {
        share_look(&s, BEGIN + t * 60 * SECOND, 0, 10);
        ck_assert(s.risen || t == 5 * 1440);
    }
    ck_assert(s.usual_bad <= usual + 10);
}
END_TEST

START_TEST(what_is_kept_is_the_same)
{
    struct share s = {0}, back = {0};
    struct buf text;
    buf_init(&text, 4096);
    share_look(&s, BEGIN, 3, 9);
    share_write(&s, &text);
    ck_assert(share_read(buf_span(&text), &back));
    ck_assert(back.risen == s.risen && back.bad_us == s.bad_us && back.looked_us == s.looked_us);
    ck_assert(fabs(back.recent_bad - s.recent_bad) < 1e-3 && fabs(back.usual_good - s.usual_good) < 1e-3);
    ck_assert(!share_read(SPAN_LIT("1 2 3"), &back) && !share_read(SPAN_LIT(""), &back) && !share_read(SPAN_LIT("2 1 1 1 1 1 1 1 0"), &back));
    buf_release(&text);
}
END_TEST

CHECK_SUITE("share", t)
{
    tcase_add_loop_test(t, no_false_alarm_in_two_months, 0, CHECK_ROWS(kinds));
    tcase_add_loop_test(t, a_wrong_secret_is_told, 0, CHECK_ROWS(kinds));
    tcase_add_test(t, five_of_a_new_source_are_told_and_four_are_not);
    tcase_add_test(t, a_long_fault_is_one_alarm);
    tcase_add_test(t, what_is_kept_is_the_same);
}
