/* Simulated months: silence is told when it is one, and never when it is not. */
#include "alarms/rhythm.h"
#include "tests/unit/check_main.h"
#include <math.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define LEARN (7 * DAY)
#define BEGIN (UINT64_C(20000) * DAY) /* some Thursday */

static uint64_t seed;

static double uniform(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(seed >> 11) + 0.5) / 9007199254740992.0;
}

static uint64_t poisson(double mean)
{
    if (mean > 50) { /* a normal one is near enough */
        double n = mean + sqrt(mean) * sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
        return n > 0 ? (uint64_t)n : 0;
    }
    uint64_t n = 0;
    for (double p = uniform(), end = exp(-mean); p > end; p *= uniform())
        n++;
    return n;
}

struct traffic { /* events an hour */
    const char *name;
    double day, night, weekend; /* night: 20 to 6 h; weekend: a factor */
    double clump;               /* events that come at once */
    unsigned bound_h;           /* told by day after at most so many hours of silence, once it knows the hours */
};
static const struct traffic kinds[] = {
    {"steady, some a second", 7200, 7200, 1, 1, 1},
    {"one a minute", 60, 60, 1, 1, 2},
    {"one an hour", 1, 1, 1, 1, 60},
    {"day and night", 600, 20, 1, 1, 2},
    {"hardly any at night", 120, 0.5, 1, 1, 6},
    {"nights and week-ends off", 300, 0, 0, 1, 4},
    {"slow by day, none at night", 4, 0, 1, 1, 60},
    {"few a day", 0.3, 0.1, 1, 1, 400},
    {"batches of a thousand", 2000, 500, 0.5, 1000, 60},
};

static double rate_at(const struct traffic *t, uint64_t now)
{
    uint64_t hour = now / HOUR % 24, weekday = (now / DAY + 4) % 7; /* 0: Sunday */
    double rate = hour >= 6 && hour < 20 ? t->day : t->night;
    return weekday == 0 || weekday == 6 ? rate * t->weekend : rate;
}

static uint64_t usual, longest;

static bool look(struct rhythm *r, const struct traffic *t, uint64_t now, uint64_t step, bool dead)
{
    uint64_t n = dead ? 0 : poisson(rate_at(t, now) * (double)step / (double)HOUR / t->clump) * (uint64_t)t->clump;
    bool was = rhythm_is_silent(r, LEARN, &usual, &longest);
    rhythm_look(r, now, n, was);
    return rhythm_is_silent(r, LEARN, &usual, &longest);
}

/* A year of each, and no false alarm. */
START_TEST(no_false_alarm_in_a_year)
{
    const struct traffic *t = &kinds[_i];
    for (uint64_t s = 1; s <= 2; s++) {
        struct rhythm r = {0};
        seed = s * 1000003 + (uint64_t)_i;
        for (uint64_t now = BEGIN; now < BEGIN + 365 * DAY; now += MINUTE)
            ck_assert_msg(!look(&r, t, now, MINUTE, false), "%s: a false alarm on day %llu, seed %llu: quiet %llu s, longest %llu s", t->name,
                          (unsigned long long)((now - BEGIN) / DAY), (unsigned long long)s, (unsigned long long)(r.quiet_us / SECOND),
                          (unsigned long long)(longest / SECOND));
    }
}
END_TEST

/* It goes silent on a weekday at noon, after six weeks. */
START_TEST(silence_is_told_in_time)
{
    const struct traffic *t = &kinds[_i];
    for (uint64_t s = 1; s <= 2; s++) {
        struct rhythm r = {0};
        seed = s * 7919 + (uint64_t)_i;
        uint64_t end = BEGIN + 46 * DAY + 12 * HOUR, now = BEGIN;
        for (; now < end; now += MINUTE)
            (void)look(&r, t, now, MINUTE, false);
        while (!look(&r, t, now, MINUTE, true) && now < end + 60 * DAY)
            now += MINUTE;
        ck_assert_msg(now - end <= t->bound_h * HOUR, "%s: told after %.1f h", t->name, (double)(now - end) / (double)HOUR);
        ck_assert_uint_gt(now - end, usual); /* and not at once */
    }
}
END_TEST

/* By the longest gap alone, before it knows the hours: four times the longest. */
START_TEST(a_steady_source_is_known_after_a_week)
{
    struct rhythm r = {0};
    seed = 5;
    uint64_t now = BEGIN;
    for (; now < BEGIN + 8 * DAY; now += 10 * SECOND)
        (void)look(&r, &kinds[1], now, 10 * SECOND, false);
    uint64_t end = now;
    while (!look(&r, &kinds[1], now, 10 * SECOND, true))
        now += 10 * SECOND;
    ck_assert_uint_le(now - end, 60 * usual);
    ck_assert_uint_le(now - end, SILENT_TIMES * longest + MINUTE);
    ck_assert_uint_ge(usual, 55 * SECOND);
    ck_assert_uint_le(usual, 65 * SECOND);
}
END_TEST

START_TEST(too_few_events_are_no_rhythm)
{
    struct rhythm r = {0};
    for (uint64_t now = BEGIN; now < BEGIN + 365 * DAY; now += MINUTE) { /* ten days apart: eight gaps or so in the memory */
        rhythm_look(&r, now, now < BEGIN + 180 * DAY && (now - BEGIN) % (4 * DAY) == 0, false);
        ck_assert(!rhythm_is_silent(&r, LEARN, &usual, &longest));
    }
    r = (struct rhythm){0}; /* many, but for less than `learn` */
    for (uint64_t now = BEGIN; now < BEGIN + 6 * DAY; now += MINUTE) {
        rhythm_look(&r, now, now < BEGIN + DAY, false);
        ck_assert(!rhythm_is_silent(&r, LEARN, &usual, &longest));
    }
}
END_TEST

/* Down for days, then up: that was not the source's silence. And what is kept is kept over each restart. */
START_TEST(a_restart_forgets_nothing_and_invents_nothing)
{
    struct rhythm r = {0};
    struct buf text;
    seed = 9;
    uint64_t now = BEGIN;
    for (; now < BEGIN + 20 * DAY; now += MINUTE)
        (void)look(&r, &kinds[1], now, MINUTE, false);
    buf_init(&text, 1 << 16);
    rhythm_write(&r, &text);
    struct rhythm back = {0};
    ck_assert(rhythm_read(buf_span(&text), &back));
    ck_assert_uint_eq(back.watched_us, r.watched_us);
    ck_assert_uint_eq(back.weeks[2].gap_us, r.weeks[2].gap_us);
    now += 3 * DAY;
    ck_assert(!look(&back, &kinds[1], now, MINUTE, true));
    for (uint64_t end = now + 3 * MINUTE; now < end; now += MINUTE)
        ck_assert(!look(&back, &kinds[1], now, MINUTE, true));
    while (!look(&back, &kinds[1], now, MINUTE, true)) {
        now += MINUTE;
        ck_assert_uint_lt(now, BEGIN + 24 * DAY);
        buf_clear(&text);
        rhythm_write(&back, &text);
        ck_assert(rhythm_read(buf_span(&text), &back)); /* a restart a minute */
    }
    buf_release(&text);
}
END_TEST

/* An outage of a day is told once; the next one, a week later, is told about as soon as the first. */
START_TEST(an_outage_does_not_hide_the_next)
{
    struct rhythm r = {0};
    uint64_t now = BEGIN, told[2] = {0};
    seed = 11;
    for (int i = 0; i < 2; i++) {
        for (uint64_t end = now + 9 * DAY; now < end; now += MINUTE)
            ck_assert(!look(&r, &kinds[1], now, MINUTE, false));
        uint64_t begin = now;
        for (uint64_t end = now + DAY; now < end; now += MINUTE)
            if (look(&r, &kinds[1], now, MINUTE, true) && !told[i])
                told[i] = now - begin;
        ck_assert_uint_gt(told[i], 0);
    }
    ck_assert_uint_lt(told[1], 2 * told[0]);
}
END_TEST

/* From one a minute to one an hour for good: false alarms, but ever fewer. */
START_TEST(a_slower_rhythm_is_understood)
{
    struct rhythm r = {0};
    uint64_t now = BEGIN;
    unsigned raised[2] = {0};
    bool was = false;
    seed = 13;
    for (; now < BEGIN + 9 * DAY; now += MINUTE)
        (void)look(&r, &kinds[1], now, MINUTE, false);
    for (; now < BEGIN + 69 * DAY; now += MINUTE) {
        bool is = look(&r, &kinds[2], now, MINUTE, false);
        raised[now > BEGIN + 39 * DAY] += is && !was;
        was = is;
    }
    ck_assert_uint_le(raised[0], 20);
    ck_assert_uint_eq(raised[1], 0);
}
END_TEST

START_TEST(another_form_is_not_read)
{
    static const char *const bad[] = {"", "2 1 2 3", "1 1 2", "1 x", "1 -1 0 0 0 0 0 0 0"};
    struct rhythm r = {.watched_us = 7};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert(!rhythm_read(span_of(bad[i]), &r));
    ck_assert_uint_eq(r.watched_us, 7);
}
END_TEST

CHECK_SUITE("rhythm", t)
{
    tcase_add_loop_test(t, no_false_alarm_in_a_year, 0, CHECK_ROWS(kinds));
    tcase_add_loop_test(t, silence_is_told_in_time, 0, CHECK_ROWS(kinds));
    tcase_add_test(t, a_steady_source_is_known_after_a_week);
    tcase_add_test(t, too_few_events_are_no_rhythm);
    tcase_add_test(t, a_restart_forgets_nothing_and_invents_nothing);
    tcase_add_test(t, an_outage_does_not_hide_the_next);
    tcase_add_test(t, a_slower_rhythm_is_understood);
    tcase_add_test(t, another_form_is_not_read);
}
