#include "core/clock.h"
#include "tests/unit/check_main.h"

#define S UINT64_C(1000000)
#define T UINT64_C(1714558272) /* 2024-05-01T10:11:12Z */
#define LAST_S UINT64_C(253402300799) /* 9999-12-31T23:59:59Z */

static const struct {
    const char *text;
    bool ok;
    uint64_t us;
} instants[] = {
    {"1970-01-01T00:00:00Z", true, 0},
    {"2024-05-01T10:11:12Z", true, T *S},
    {"2024-05-01t10:11:12z", true, T *S},
    {"2024-05-01 10:11:12", true, T *S},
    {"2024-05-01T10:11:12.3Z", true, T *S + 300000},
    {"2024-05-01T10:11:12.345678Z", true, T *S + 345678},
    {"2024-05-01T10:11:12.3456789999Z", true, T *S + 345678},
    {"2024-05-01T10:11:12,5Z", true, T *S + 500000},
    {"2024-05-01T12:11:12+02:00", true, T *S},
    {"2024-05-01T12:11:12+0200", true, T *S},
    {"2024-05-01T12:11:12.25+02", true, T *S + 250000},
    {"2024-05-01T04:41:12-05:30", true, T *S},
    {"2024-05-02T00:11:12+14:00", true, T *S},
    {"2024-05-01T10:11Z", true, T *S - 12 * S},
    {"1970-01-01T01:00:00+01:00", true, 0},
    {"2000-02-29T00:00:00Z", true, UINT64_C(951782400) * S},
    {"2024-02-29T23:59:59Z", true, UINT64_C(1709251199) * S},
    {"2100-03-01T00:00:00Z", true, UINT64_C(4107542400) * S},
    {"2016-12-31T23:59:60Z", true, UINT64_C(1483228800) * S},
    {"9999-12-31T23:59:59.999999Z", true, LAST_S *S + 999999},

    {"", false, 0},
    {"2024-05-01", false, 0},
    {"2024-05-01T", false, 0},
    {"2024-05-01T10", false, 0},
    {"2024-05-01T10:11:", false, 0},
    {"2024-05-01T10:11:1Z", false, 0},
    {"2024-05-01T10:11.5Z", false, 0},
    {"2024-05-01T10:11:12.Z", false, 0},
    {"2024-05-01T10:11:12Zx", false, 0},
    {"2024-05-01T10:11:12 Z", false, 0},
    {" 2024-05-01T10:11:12Z", false, 0},
    {"2024-05-01T10:11:12+", false, 0},
    {"2024-05-01T10:11:12+2", false, 0},
    {"2024-05-01T10:11:12+02:", false, 0},
    {"2024-05-01T10:11:12+02:0", false, 0},
    {"2024-05-01T10:11:12+02:60", false, 0},
    {"2024-05-01T10:11:12+24:00", false, 0},
    {"2024-05-01T10:11:12+02:000", false, 0},
    {"2024-5-01T10:11:12Z", false, 0},
    {"2024/05/01T10:11:12Z", false, 0},
    {"2024-05-01X10:11:12Z", false, 0},
    {"2024-00-01T10:11:12Z", false, 0},
    {"2024-13-01T10:11:12Z", false, 0},
    {"2024-05-00T10:11:12Z", false, 0},
    {"2024-04-31T10:11:12Z", false, 0},
    {"2023-02-29T10:11:12Z", false, 0},
    {"2100-02-29T10:11:12Z", false, 0},
    {"2024-05-01T24:00:00Z", false, 0},
    {"2024-05-01T10:60:12Z", false, 0},
    {"2024-05-01T10:11:61Z", false, 0},
    {"1969-12-31T23:59:59Z", false, 0},
    {"1970-01-01T00:59:59+01:00", false, 0},
    {"9999-12-31T23:59:59-00:01", false, 0},
    {"10000-01-01T00:00:00Z", false, 0},
    {"-024-05-01T10:11:12Z", false, 0},
};

START_TEST(iso_instants)
{
    const char *text = instants[_i].text;
    char *exact = malloc(strlen(text) + 1);
    memcpy(exact, text, strlen(text) + 1);
    uint64_t us = 77;
    ck_assert_msg(clock_parse_iso((struct span){exact, strlen(text)}, &us) == instants[_i].ok, "%s", text);
    ck_assert_msg(us == (instants[_i].ok ? instants[_i].us : 77), "%s: %" PRIu64, text, us);
    free(exact);
}
END_TEST

static const struct {
    const char *text;
    bool ok;
    uint64_t s;
} http_dates[] = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", true, 784111777},
    {"Thu, 01 Jan 1970 00:00:00 GMT", true, 0},
    {"Thu, 29 Feb 2024 23:59:59 GMT", true, 1709251199},
    {"Mon, 06 Nov 1994 08:49:37 GMT", true, 784111777}, /* another day's name */
    {"Sun, 06 Nov 1994 08:49:37 UTC", false, 0},
    {"Sun, 06 Nov 1994 08:49:37 gmt", false, 0},
    {"sun, 06 nov 1994 08:49:37 GMT", false, 0},
    {"Xyz, 06 Nov 1994 08:49:37 GMT", false, 0},
    {"unM, 06 Nov 1994 08:49:37 GMT", false, 0},
    {"Sun, 06 ovD 1994 08:49:37 GMT", false, 0},
    {"Sun, 31 Nov 1994 08:49:37 GMT", false, 0},
    {"Sun,  6 Nov 1994 08:49:37 GMT", false, 0},
    {"Sun, 06 Nov 1994 8:49:37 GMT ", false, 0},
    {"Sun, 06 Nov 1994 24:49:37 GMT", false, 0},
    {"Sun, 06 Nov 1969 08:49:37 GMT", false, 0},
    {"Sunday, 06-Nov-94 08:49:37 GMT", false, 0},
    {"Sun Nov  6 08:49:37 1994", false, 0},
    {"", false, 0},
};

START_TEST(http_instants)
{
    uint64_t us = 77;
    ck_assert_msg(clock_parse_http(span_of(http_dates[_i].text), &us) == http_dates[_i].ok, "%s", http_dates[_i].text);
    ck_assert_uint_eq(us, http_dates[_i].ok ? http_dates[_i].s * S : 77);
}
END_TEST

static const struct {
    const char *text;
    char unit;
    bool ok;
    uint64_t us;
} digit_texts[] = {
    {"0", 's', true, 0},
    {"1714558272", 's', true, T *S},
    {"1714558272123", 'm', true, T *S + 123000},
    {"1714558272123456", 'u', true, T *S + 123456},
    {"0000000000000000001", 's', true, S},
    {"9223372036854775807", 'u', true, INT64_MAX},
    {"9223372036854775808", 'u', false, 0},
    {"9223372036854776", 'm', false, 0},
    {"9223372036855", 's', false, 0},
    {"99999999999999999999", 'u', false, 0},
    {"18446744073709551617", 's', false, 0},
    {"", 's', false, 0},
    {"-1", 's', false, 0},
    {"+1", 's', false, 0},
    {" 1", 's', false, 0},
    {"1.5", 's', false, 0},
    {"1e3", 's', false, 0},
};

START_TEST(digits_with_a_unit)
{
    uint64_t us = 77;
    ck_assert_msg(clock_parse_digits(span_of(digit_texts[_i].text), digit_texts[_i].unit, &us) == digit_texts[_i].ok, "%s",
                  digit_texts[_i].text);
    ck_assert_uint_eq(us, digit_texts[_i].ok ? digit_texts[_i].us : 77);
}
END_TEST

START_TEST(texts_of_an_instant)
{
    char out[CLOCK_TEXT_MAX];
    uint64_t us = UINT64_C(784111777) * S + 42;
    clock_iso_us(us, out);
    ck_assert_str_eq(out, "1994-11-06T08:49:37.000042Z");
    clock_iso_s(us, out);
    ck_assert_str_eq(out, "1994-11-06T08:49:37Z");
    clock_date(us, out);
    ck_assert_str_eq(out, "1994-11-06");
    clock_http(us, out);
    ck_assert_str_eq(out, "Sun, 06 Nov 1994 08:49:37 GMT");
    clock_iso_us(UINT64_MAX, out); /* no year that a clock shows, but no harm either */
    ck_assert_uint_lt(strlen(out), CLOCK_TEXT_MAX);
    clock_http(UINT64_MAX, out);
    ck_assert_uint_lt(strlen(out), CLOCK_TEXT_MAX);
}
END_TEST

/* Against the C library, and back. */
static void compare(uint64_t us)
{
    char ours[CLOCK_TEXT_MAX], theirs[64], date[64];
    time_t s = (time_t)(us / S);
    struct tm tm;
    uint64_t back = 0;
    ck_assert_ptr_nonnull(gmtime_r(&s, &tm));
    strftime(theirs, sizeof theirs, "%Y-%m-%dT%H:%M:%SZ", &tm);
    clock_iso_s(us, ours);
    ck_assert_str_eq(ours, theirs);
    ck_assert(clock_parse_iso(span_of(ours), &back) && back == us / S * S);
    clock_iso_us(us, ours);
    ck_assert_uint_eq(strlen(ours), 27);
    ck_assert(clock_parse_iso(span_of(ours), &back) && back == us);
    strftime(theirs, sizeof theirs, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    clock_http(us, ours);
    ck_assert_str_eq(ours, theirs);
    ck_assert(clock_parse_http(span_of(ours), &back) && back == us / S * S);
    strftime(date, sizeof date, "%Y-%m-%d", &tm);
    clock_date(us, ours);
    ck_assert_str_eq(ours, date);
}

START_TEST(random_instants_come_back)
{
    uint64_t state = check_seed();
    for (int i = 0; i < 20000; i++)
        compare(check_random(&state) % ((LAST_S + 1) * S));
    for (uint64_t day = 0; day < 365 * 450; day++) { /* each day's edges past two centuries that skip a leap day */
        uint64_t us = day * 86400 * S;
        char text[CLOCK_TEXT_MAX];
        uint64_t back;
        clock_iso_us(us, text);
        ck_assert(clock_parse_iso(span_of(text), &back) && back == us);
        if (day % 31 == 0 || day % 365 < 2)
            compare(us + 86400 * S - 1);
    }
}
END_TEST

START_TEST(random_offsets_move_the_clock)
{
    uint64_t state = check_seed();
    for (int i = 0; i < 5000; i++) {
        uint64_t s = 86400 + check_random(&state) % (LAST_S - 2 * 86400), back = 0;
        int minutes = (int)(check_random(&state) % 2879) - 1439, away = abs(minutes);
        char local[CLOCK_TEXT_MAX], text[CLOCK_TEXT_MAX];
        clock_iso_s((uint64_t)((int64_t)s + minutes * 60) * S, local);
        snprintf(text, sizeof text, "%.19s%c%02d%s%02d", local, minutes < 0 ? '-' : '+', away / 60, i % 2 ? ":" : "", away % 60);
        ck_assert_msg(clock_parse_iso(span_of(text), &back) && back == s * S, "%s", text);
    }
}
END_TEST

static const struct {
    uint64_t s;
    const char *text;
} ages[] = {
    {0, "0 s ago"},         {3, "3 s ago"},       {119, "119 s ago"}, {120, "2 min ago"}, {7199, "119 min ago"},
    {7200, "2 h ago"},      {172799, "47 h ago"}, {172800, "2 d ago"}, {86400 * 400, "400 d ago"},
};

START_TEST(ages_in_words)
{
    char out[CLOCK_TEXT_MAX];
    clock_ago(T * S - ages[_i].s * S, T * S, out);
    ck_assert_str_eq(out, ages[_i].text);
    clock_ago(T * S + ages[_i].s * S + 1, T * S, out); /* a clock that was set back */
    ck_assert_str_eq(out, "0 s ago");
}
END_TEST

static const struct {
    const char *text;
    bool size, ok;
    uint64_t value;
} amounts[] = {
    {"300ms", false, true, 300000},
    {"60s", false, true, 60 * S},
    {"5m", false, true, 300 * S},
    {"24h", false, true, 86400 * S},
    {"7d", false, true, 604800 * S},
    {"5us", false, true, 5},
    {"5min", false, true, 300 * S},
    {"0s", false, true, 0},
    {"5 s", false, true, 5 * S},
    {"60", false, false, 0},
    {"", false, false, 0},
    {"s", false, false, 0},
    {"1.5s", false, false, 0},
    {"-5s", false, false, 0},
    {"5S", false, false, 0},
    {"5sec", false, false, 0},
    {"5s5", false, false, 0},
    {"1h30m", false, false, 0},
    {"64MiB", false, false, 0},
    {"213503982334601d", false, false, 0},
    {"99999999999999999999s", false, false, 0},
    {"100", true, true, 100},
    {"100B", true, true, 100},
    {"512KiB", true, true, 512 << 10},
    {"64MiB", true, true, 64 << 20},
    {"20GiB", true, true, UINT64_C(20) << 30},
    {"2TiB", true, true, UINT64_C(2) << 40},
    {"5kB", true, true, 5000},
    {"5MB", true, true, 5000000},
    {"64 MiB", true, true, 64 << 20},
    {"18446744073709551609", true, true, UINT64_C(18446744073709551609)},
    {"16777216TiB", true, false, 0},
    {"64mib", true, false, 0},
    {"64M", true, false, 0},
    {"MiB", true, false, 0},
    {"1.5GiB", true, false, 0},
    {"", true, false, 0},
    {"0x10", true, false, 0},
};

START_TEST(amounts_as_configured)
{
    uint64_t v = 77;
    struct span text = span_of(amounts[_i].text);
    bool ok = amounts[_i].size ? clock_parse_size(text, &v) : clock_parse_duration(text, &v);
    ck_assert_msg(ok == amounts[_i].ok, "%s", amounts[_i].text);
    ck_assert_uint_eq(v, ok ? amounts[_i].value : 77);
}
END_TEST

CHECK_SUITE("core clock", t)
{
    tcase_add_loop_test(t, iso_instants, 0, CHECK_ROWS(instants));
    tcase_add_loop_test(t, http_instants, 0, CHECK_ROWS(http_dates));
    tcase_add_loop_test(t, digits_with_a_unit, 0, CHECK_ROWS(digit_texts));
    tcase_add_test(t, texts_of_an_instant);
    tcase_add_test(t, random_instants_come_back);
    tcase_add_test(t, random_offsets_move_the_clock);
    tcase_add_loop_test(t, ages_in_words, 0, CHECK_ROWS(ages));
    tcase_add_loop_test(t, amounts_as_configured, 0, CHECK_ROWS(amounts));
}
