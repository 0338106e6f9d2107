#include "core/clock.h"
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

#define SECOND_US UINT64_C(1000000)
#define YEAR_10000_US (INT64_C(253402300800) * (int64_t)SECOND_US)

/* Days since 1970-01-01 of a civil date (proleptic Gregorian), counted in years that begin in March. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned yoe = (unsigned)(year - era * 400);
    unsigned doy = (153 * (month + (month > 2 ? -3U : 9U)) + 2) / 5 + day - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

struct civil {
    unsigned year, month, day, hour, minute, second, us, weekday;
};

static struct civil civil_of(uint64_t us)
{
    uint64_t s = us / SECOND_US;
    int64_t days = (int64_t)(s / 86400);
    struct civil c = {.us = (unsigned)(us % SECOND_US),
                      .second = (unsigned)(s % 60),
                      .minute = (unsigned)(s / 60 % 60),
                      .hour = (unsigned)(s / 3600 % 24),
                      .weekday = (unsigned)((days + 4) % 7)};
    int64_t z = days + 719468, era = z / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    c.day = doy - (153 * mp + 2) / 5 + 1;
    c.month = mp < 10 ? mp + 3 : mp - 9;
    c.year = (unsigned)((int64_t)yoe + era * 400 + (c.month <= 2));
    return c;
}

static unsigned month_days(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Exactly n digits at *at. */
static bool digits(struct span s, size_t *at, unsigned n, unsigned *ret)
{
    unsigned v = 0;
    if (*at + n > s.n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        char c = s.p[*at + i];
        if (c < '0' || c > '9')
            return false;
        v = v * 10 + (unsigned)(c - '0');
    }
    *at += n;
    *ret = v;
    return true;
}

static bool literal(struct span s, size_t *at, char c)
{
    if (*at >= s.n || s.p[*at] != c)
        return false;
    ++*at;
    return true;
}

static bool valid(const struct civil *c)
{
    return c->year >= 1970 && c->month >= 1 && c->month <= 12 && c->day >= 1 && c->day <= month_days(c->year, c->month) &&
           c->hour <= 23 && c->minute <= 59 && c->second <= 60;
}

static uint64_t instant(const struct civil *c)
{
    uint64_t s = (uint64_t)days_of(c->year, c->month, c->day) * 86400 + c->hour * 3600U + c->minute * 60U + c->second;
    return s * SECOND_US + c->us;
}

static bool fraction(struct span s, size_t *at, unsigned *ret_us)
{
    unsigned scale = 100000, us = 0;
    size_t from = *at;
    for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; ++*at) {
        us += (unsigned)(s.p[*at] - '0') * scale;
        scale /= 10;
    }
    *ret_us = us;
    return *at > from;
}

/* Z, ±hh:mm, ±hhmm, ±hh, or nothing; minutes east of UTC. */
static bool zone(struct span s, size_t *at, int *ret_minutes)
{
    *ret_minutes = 0;
    if (*at == s.n)
        return true;
    char c = s.p[(*at)++];
    if (c == 'Z' || c == 'z')
        return true;
    unsigned hour, minute = 0;
    if ((c != '+' && c != '-') || !digits(s, at, 2, &hour))
        return false;
    bool colon = literal(s, at, ':');
    if ((colon || *at < s.n) && !digits(s, at, 2, &minute))
        return false;
    *ret_minutes = (c == '-' ? -1 : 1) * (int)(hour * 60 + minute);
    return hour <= 23 && minute <= 59;
}

bool clock_parse_iso(struct span s, uint64_t *ret_us)
{
    struct civil c = {0};
    size_t at = 0;
    int minutes;
    if (!digits(s, &at, 4, &c.year) || !literal(s, &at, '-') || !digits(s, &at, 2, &c.month) || !literal(s, &at, '-') ||
        !digits(s, &at, 2, &c.day))
        return false;
    if (!literal(s, &at, 'T') && !literal(s, &at, 't') && !literal(s, &at, ' '))
        return false;
    if (!digits(s, &at, 2, &c.hour) || !literal(s, &at, ':') || !digits(s, &at, 2, &c.minute))
        return false;
    bool seconds = literal(s, &at, ':');
    if (seconds && !digits(s, &at, 2, &c.second))
        return false;
    if (seconds && (literal(s, &at, '.') || literal(s, &at, ',')) && !fraction(s, &at, &c.us))
        return false;
    if (!zone(s, &at, &minutes) || at != s.n || !valid(&c))
        return false;
    int64_t us = (int64_t)instant(&c) - (int64_t)minutes * 60 * (int64_t)SECOND_US;
    if (us < 0 || us >= YEAR_10000_US)
        return false;
    *ret_us = (uint64_t)us;
    return true;
}

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";

/* Which day it is need not be right: the date says it already. */
static bool is_day_name(const char *p)
{
    for (size_t d = 0; d < 7; d++)
        if (memcmp(p, day_names + d * 3, 3) == 0)
            return true;
    return false;
}

bool clock_parse_http(struct span s, uint64_t *ret_us)
{
    struct civil c = {0};
    size_t at = 5;
    if (s.n != 29 || !is_day_name(s.p) || s.p[3] != ',' || s.p[4] != ' ' || !digits(s, &at, 2, &c.day) || !literal(s, &at, ' '))
        return false;
    for (unsigned m = 0; m < 12 && !c.month; m++)
        if (memcmp(s.p + at, month_names + (size_t)m * 3, 3) == 0)
            c.month = m + 1;
    at += 3;
    if (!literal(s, &at, ' ') || !digits(s, &at, 4, &c.year) || !literal(s, &at, ' ') || !digits(s, &at, 2, &c.hour) ||
        !literal(s, &at, ':') || !digits(s, &at, 2, &c.minute) || !literal(s, &at, ':') || !digits(s, &at, 2, &c.second))
        return false;
    if (!span_eqz(span_skip(s, at), " GMT") || !valid(&c))
        return false;
    *ret_us = instant(&c);
    return true;
}

bool clock_parse_digits(struct span s, char unit, uint64_t *ret_us)
{
    uint64_t v = 0, scale = unit == 's' ? SECOND_US : unit == 'm' ? 1000 : 1;
    if (s.n == 0 || s.n > 19)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    if (v > (uint64_t)INT64_MAX / scale)
        return false;
    *ret_us = v * scale;
    return true;
}

/* Every row has such texts, so they are not left to printf. */
static inline char *put_number(char *p, unsigned v, unsigned width, char after)
{
    for (unsigned i = width; i-- > 0; v /= 10)
        p[i] = (char)('0' + v % 10);
    p[width] = after;
    return p + width + 1;
}

static char *put_date(char *p, const struct civil *c, char after)
{
    unsigned width = 4;
    for (unsigned rest = c->year / 10000; rest; rest /= 10)
        width++;
    p = put_number(p, c->year, width, '-');
    p = put_number(p, c->month, 2, '-');
    return put_number(p, c->day, 2, after);
}

static char *put_time(char *p, const struct civil *c, char after)
{
    p = put_number(p, c->hour, 2, ':');
    p = put_number(p, c->minute, 2, ':');
    return put_number(p, c->second, 2, after);
}

void clock_iso_us(uint64_t us, char out[CLOCK_TEXT_MAX])
{
    struct civil c = civil_of(us);
    out = put_time(put_date(out, &c, 'T'), &c, '.');
    *put_number(out, c.us, 6, 'Z') = 0;
}

void clock_iso_s(uint64_t us, char out[CLOCK_TEXT_MAX])
{
    struct civil c = civil_of(us);
    *put_time(put_date(out, &c, 'T'), &c, 'Z') = 0;
}

void clock_date(uint64_t us, char out[CLOCK_TEXT_MAX])
{
    struct civil c = civil_of(us);
    (void)put_date(out, &c, 0);
}

void clock_http(uint64_t us, char out[CLOCK_TEXT_MAX])
{
    struct civil c = civil_of(us);
    snprintf(out, CLOCK_TEXT_MAX, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", day_names + (size_t)c.weekday * 3, c.day,
             month_names + (size_t)(c.month - 1) * 3, c.year, c.hour, c.minute, c.second);
}

const char *clock_span(uint64_t us, char out[CLOCK_TEXT_MAX])
{
    uint64_t s = us / SECOND_US;
    if (s < 120)
        snprintf(out, CLOCK_TEXT_MAX, "%llu s", (unsigned long long)s);
    else if (s < 7200)
        snprintf(out, CLOCK_TEXT_MAX, "%llu min", (unsigned long long)(s / 60));
    else if (s < 172800)
        snprintf(out, CLOCK_TEXT_MAX, "%llu h", (unsigned long long)(s / 3600));
    else
        snprintf(out, CLOCK_TEXT_MAX, "%llu d", (unsigned long long)(s / 86400));
    return out;
}

void clock_ago(uint64_t us, uint64_t now_us, char out[CLOCK_TEXT_MAX])
{
    char span[CLOCK_TEXT_MAX];
    snprintf(out, CLOCK_TEXT_MAX, "%.35s ago", clock_span(now_us > us ? now_us - us : 0, span));
}

struct suffix {
    const char *text;
    uint64_t scale;
};

/* A number, perhaps with a fraction-free unit behind it. */
static bool scaled(struct span s, const struct suffix *units, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
        if (v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    if (i == 0)
        return false;
    struct span unit = span_trim(span_skip(s, i));
    for (; units->text; units++)
        if (span_eqz(unit, units->text)) {
            if (units->scale && v > UINT64_MAX / units->scale)
                return false;
            *ret = v * units->scale;
            return true;
        }
    return false;
}

bool clock_parse_duration(struct span s, uint64_t *ret_us)
{
    static const struct suffix units[] = {{"us", 1},
                                          {"ms", 1000},
                                          {"s", SECOND_US},
                                          {"m", 60 * SECOND_US},
                                          {"min", 60 * SECOND_US},
                                          {"h", 3600 * SECOND_US},
                                          {"d", 86400 * SECOND_US},
                                          {NULL, 0}};
    return scaled(s, units, ret_us);
}

bool clock_parse_size(struct span s, uint64_t *ret_bytes)
{
    static const struct suffix units[] = {{"", 1},
                                          {"B", 1},
                                          {"KiB", 1 << 10},
                                          {"MiB", 1 << 20},
                                          {"GiB", UINT64_C(1) << 30},
                                          {"TiB", UINT64_C(1) << 40},
                                          {"kB", 1000},
                                          {"KB", 1000},
                                          {"MB", 1000000},
                                          {"GB", UINT64_C(1000000000)},
                                          {NULL, 0}};
    return scaled(s, units, ret_bytes);
}
