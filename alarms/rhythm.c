#include "alarms/rhythm.h"
#include <stdio.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000)
#define HOUR (3600 * SECOND)
#define WEEK (RHYTHM_HOURS * HOUR)
#define NEWEST 0.25 /* least weight of the newest week's hour */
#define FORM "1"

static struct rhythm_week *week_of(struct rhythm *r, uint64_t now_us)
{
    uint64_t number = now_us / WEEK;
    struct rhythm_week *w = &r->weeks[number % RHYTHM_WEEKS];
    if (w->number != number)
        *w = (struct rhythm_week){.number = number};
    return w;
}

static bool is_recent(const struct rhythm *r, const struct rhythm_week *w)
{
    return w->number + RHYTHM_WEEKS > r->looked_us / WEEK;
}

/* What the hour surely has; 0: it is not known. */
static double least_rate(const struct rhythm *r, uint64_t hour)
{
    double least = -1;
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t h = (hour + RHYTHM_HOURS - 1 + i) % RHYTHM_HOURS;
        if (r->seen[h] < 2)
            return 0;
        least = least < 0 || r->rate[h] < least ? r->rate[h] : least;
    }
    return least;
}

/* An hour of which half was not watched tells nothing. */
static void settle_hour(struct rhythm *r)
{
    uint64_t h = r->hour % RHYTHM_HOURS;
    if (r->hour_watched_us >= HOUR / 2) {
        double rate = (double)r->hour_events * (double)HOUR / (double)r->hour_watched_us;
        double weight = 1.0 / (r->seen[h] + 1.0);
        r->rate[h] += (weight > NEWEST ? weight : NEWEST) * (rate - r->rate[h]);
        r->seen[h] += r->seen[h] < 255;
    }
    r->hour_events = r->hour_watched_us = 0;
}

static void take_time(struct rhythm *r, uint64_t now_us)
{
    uint64_t dt = now_us - r->looked_us, hour = now_us / HOUR;
    if (hour != r->hour)
        settle_hour(r);
    r->hour = hour;
    r->hour_watched_us += dt;
    r->watched_us += dt;
    week_of(r, now_us)->watched_us += dt;
    if (!r->began)
        return;
    r->quiet_us += dt;
    r->expected += least_rate(r, hour) * (double)dt / (double)HOUR;
}

/* The longest gap and the most expected events of the last weeks, and how many gaps there were. */
static void longest(const struct rhythm *r, struct rhythm_week *ret)
{
    *ret = (struct rhythm_week){0};
    for (size_t i = 0; i < RHYTHM_WEEKS; i++) {
        const struct rhythm_week *w = &r->weeks[i];
        if (!is_recent(r, w))
            continue;
        ret->gap_us = w->gap_us > ret->gap_us ? w->gap_us : ret->gap_us;
        ret->gap_expected = w->gap_expected > ret->gap_expected ? w->gap_expected : ret->gap_expected;
        ret->gaps += w->gaps;
        ret->measured += w->measured;
        ret->events += w->events;
        ret->watched_us += w->watched_us;
    }
}

static void end_gap(struct rhythm *r, uint64_t now_us, bool silent)
{
    struct rhythm_week *w = week_of(r, now_us), all;
    uint64_t gap = r->quiet_us;
    double expected = r->expected;
    if (silent) {
        longest(r, &all);
        gap = gap < all.gap_us + all.gap_us / 2 ? gap : all.gap_us + all.gap_us / 2;
        double most = all.gap_expected * 1.5, least = (double)SILENT_EVENTS / SILENT_TIMES;
        most = most > least ? most : least;
        expected = expected < most ? expected : most;
    }
    w->gap_us = gap > w->gap_us ? gap : w->gap_us;
    w->gap_expected = expected > w->gap_expected ? expected : w->gap_expected;
    w->gaps++;
    w->measured += r->seen[r->hour % RHYTHM_HOURS] >= 2;
}

void rhythm_look(struct rhythm *r, uint64_t now_us, uint64_t events, bool silent)
{
    bool watched = r->looked_us && now_us >= r->looked_us && now_us - r->looked_us <= RHYTHM_LOOK_US_MAX;
    if (!watched) {
        settle_hour(r);
        r->hour = now_us / HOUR;
        r->looked_us = now_us;
    }
    take_time(r, now_us);
    r->looked_us = now_us;
    if (!events)
        return;
    if (r->began)
        end_gap(r, now_us, silent);
    r->began = true;
    r->quiet_us = 0;
    r->expected = 0;
    r->hour_events += events;
    week_of(r, now_us)->events += events;
}

bool rhythm_is_silent(const struct rhythm *r, uint64_t learn_us, uint64_t *ret_usual_us, uint64_t *ret_longest_us)
{
    struct rhythm_week all;
    longest(r, &all);
    *ret_usual_us = all.events ? all.watched_us / all.events : 0;
    *ret_longest_us = all.gap_us;
    if (r->watched_us < learn_us || all.gaps < RHYTHM_GAPS)
        return false;
    if (r->quiet_us > SILENT_TIMES * all.gap_us)
        return true;
    double most = SILENT_TIMES * all.gap_expected;
    return r->watched_us >= 3 * learn_us && r->watched_us >= 3 * WEEK && all.measured >= RHYTHM_GAPS &&
           r->expected > (most > SILENT_EVENTS ? most : SILENT_EVENTS);
}

/* ---- as text ---- */

void rhythm_write(const struct rhythm *r, struct buf *out)
{
    buf_addf(out, FORM " %llu %llu %llu %.6g %d %llu %llu %llu", (unsigned long long)r->watched_us,
             (unsigned long long)r->looked_us, (unsigned long long)r->quiet_us, r->expected, r->began,
             (unsigned long long)r->hour, (unsigned long long)r->hour_events, (unsigned long long)r->hour_watched_us);
    for (size_t i = 0; i < RHYTHM_WEEKS; i++) {
        const struct rhythm_week *w = &r->weeks[i];
        buf_addf(out, " %llu %llu %.6g %llu %llu %llu %llu", (unsigned long long)w->number, (unsigned long long)w->gap_us,
                 w->gap_expected, (unsigned long long)w->gaps, (unsigned long long)w->measured, (unsigned long long)w->events,
                 (unsigned long long)w->watched_us);
    }
    for (size_t i = 0; i < RHYTHM_HOURS; i++)
        buf_addf(out, " %.4g %u", r->rate[i], r->seen[i]);
    buf_addc(out, '\n');
}

struct numbers {
    struct span rest;
    bool ok;
};

static double real(struct numbers *n)
{
    char text[40], *end;
    struct span word = span_cut(n->rest, ' ', &n->rest);
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(word));
    double v = strtod(text, &end);
    n->ok = n->ok && word.n && word.n < sizeof text && !*end && v >= 0 && v < 1e18;
    return n->ok ? v : 0;
}

static uint64_t whole(struct numbers *n)
{
    char text[40], *end;
    struct span word = span_cut(n->rest, ' ', &n->rest);
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(word));
    uint64_t v = strtoull(text, &end, 10);
    n->ok = n->ok && word.n && word.n < sizeof text && !*end && text[0] != '-';
    return n->ok ? v : 0;
}

bool rhythm_read(struct span text, struct rhythm *ret)
{
    struct rhythm r = {0};
    struct numbers n = {text, true};
    while (n.rest.n && n.rest.p[n.rest.n - 1] == '\n')
        n.rest.n--;
    if (!span_eqz(span_cut(n.rest, ' ', &n.rest), FORM))
        return false;
    r.watched_us = whole(&n);
    r.looked_us = whole(&n);
    r.quiet_us = whole(&n);
    r.expected = real(&n);
    r.began = whole(&n) != 0;
    r.hour = whole(&n);
    r.hour_events = whole(&n);
    r.hour_watched_us = whole(&n);
    for (size_t i = 0; i < RHYTHM_WEEKS; i++) {
        struct rhythm_week *w = &r.weeks[i];
        w->number = whole(&n);
        w->gap_us = whole(&n);
        w->gap_expected = real(&n);
        w->gaps = whole(&n);
        w->measured = whole(&n);
        w->events = whole(&n);
        w->watched_us = whole(&n);
    }
    for (size_t i = 0; i < RHYTHM_HOURS; i++) {
        r.rate[i] = real(&n);
        uint64_t seen = whole(&n);
        n.ok = n.ok && seen <= 255;
        r.seen[i] = (uint8_t)seen;
    }
    if (!n.ok || n.rest.n)
        return false;
    *ret = r;
    return true;
}
