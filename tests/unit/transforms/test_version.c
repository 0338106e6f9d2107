/* The order of versions: as text, as the tuple that it stands for. */
#include "core/clock.h"
#include "transforms/version.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define RECEIVED UINT64_C(1800000000000000)

static uint64_t seed_from_environment(void)
{
    const char *z = getenv("SEED");
    uint64_t seed = z ? strtoull(z, NULL, 10) : 20260501;
    printf("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static struct json json_of(const char *text)
{
    struct json v = {0};
    struct err err;
    if (text)
        ck_assert_msg(json_parse(span_of(text), &v, &err), "%s: %s", text, err.msg);
    return v;
}

/* One field, everything else equal. */
static void field_version(struct buf *out, const char *text, enum time_unit unit)
{
    struct json field = json_of(text);
    struct version_parts p = {.fields = &field, .n_fields = 1, .unit = unit, .observed_us = RECEIVED, .received_us = RECEIVED, .came_us = RECEIVED,
                              .node = SPAN_LIT("n-1"), .lane = SPAN_LIT("events")};
    buf_clear(out);
    version_upsert(out, &p);
    ck_assert(buf_ok(out));
}

static int compare(struct span a, struct span b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* Each list ascends strictly. */
static const struct {
    enum time_unit unit;
    const char *values[24];
} ascending[] = {
    {UNIT_NONE, {"null", "-1e400", "-12345678901234567890123", "-10", "-9.5", "-9", "-0.1", "-0.01", "0", "1e-400", "0.01",
                 "0.1", "1", "9", "10", "9007199254740992", "9007199254740993", "12345678901234567890",
                 "12345678901234567891", "1e400", "\"2024-05-01T00:00:00Z\"", "\"a\""}},
    {UNIT_NONE, {"\"2024-05-01T00:00:00Z\"", "\"2024-05-01T03:00:00+02:00\"", "\"2024-05-01T01:00:00.000001Z\"", "\"\"",
                 "\" \"", "\" a\"", "\"!\"", "\"\\\"\"", "\"a\"", "\"a \"", "\"aa\"", "\"b\"", "\"}\"", "\"~\"", "\"~a\"",
                 "\"\\u007f\"", "\"\xc3\xa9\"", "\"\xe4\xb8\xad\"", "\"\xf0\x9f\x98\x80\""}},
    {UNIT_NONE, {"\"9\"", "\"10\"", "\"1.10\"", "\"1.9\""}},
    {UNIT_S, {"null", "1700000000", "1700000000.5", "\"1700000001\"", "\"2024-05-01T00:00:00Z\""}},
    {UNIT_MS, {"1700000000000", "1700000000001", "1700000001000"}},
    {UNIT_ISO8601, {"null", "\"2024-05-01T00:00:00Z\"", "\"2024-05-01T00:00:01Z\""}},
};

START_TEST(fields_ascend)
{
    struct buf a = {0}, b = {0};
    for (size_t i = 0; ascending[_i].values[i]; i++) {
        for (size_t k = 0; ascending[_i].values[k]; k++) {
            field_version(&a, ascending[_i].values[i], ascending[_i].unit);
            field_version(&b, ascending[_i].values[k], ascending[_i].unit);
            int c = compare(buf_span(&a), buf_span(&b));
            ck_assert_msg((c < 0) == (i < k) && (c == 0) == (i == k), "%s against %s: %s | %s", ascending[_i].values[i],
                          ascending[_i].values[k], buf_z(&a), buf_z(&b));
        }
    }
    buf_release(&a);
    buf_release(&b);
}
END_TEST

static const char *const same[][2] = {
    {"1", "1.0"}, {"10", "1e1"}, {"10", "1E+1"}, {"0.5", "5e-1"}, {"-0.050", "-5.0e-2"}, {"0", "-0"}, {"0", "0.000e9"},
    {"1200", "12e2"}, {"7", "\"7\""}, {"7", "\"007\""}, {"\"2024-05-01T02:00:00+02:00\"", "\"2024-05-01T00:00:00.000Z\""},
    {"\"ab\"", "\"\\u0061b\""}, {"null", NULL},
};

START_TEST(spellings_are_equal)
{
    struct buf a = {0}, b = {0};
    field_version(&a, same[_i][0], UNIT_NONE);
    field_version(&b, same[_i][1], UNIT_NONE);
    ck_assert_str_eq(buf_z(&a), buf_z(&b));
    buf_release(&a);
    buf_release(&b);
}
END_TEST

START_TEST(times_ahead_are_clamped)
{
    static const struct {
        uint64_t time, expected;
    } rows[] = {
        {RECEIVED, RECEIVED},
        {RECEIVED - 1, RECEIVED - 1},
        {RECEIVED + CLOCK_AHEAD_US_MAX, RECEIVED + CLOCK_AHEAD_US_MAX},
        {RECEIVED + CLOCK_AHEAD_US_MAX + 1, RECEIVED},
        {UINT64_MAX, RECEIVED},
        {0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_uint_eq(clamp_ahead(rows[i].time, RECEIVED), rows[i].expected);
    struct buf a = {0}, b = {0};
    char iso[CLOCK_TEXT_MAX], text[CLOCK_TEXT_MAX + 2], received[CLOCK_TEXT_MAX + 2];
    clock_iso_us(RECEIVED + 2 * CLOCK_AHEAD_US_MAX, iso);
    (void)snprintf(text, sizeof(text), "\"%s\"", iso);
    clock_iso_us(RECEIVED, iso);
    (void)snprintf(received, sizeof(received), "\"%s\"", iso);
    field_version(&a, text, UNIT_ISO8601);
    field_version(&b, received, UNIT_ISO8601);
    ck_assert_str_eq(buf_z(&a), buf_z(&b));
    buf_release(&a);
    buf_release(&b);
}
END_TEST

/* ---- property: the order of texts is the order of tuples ---- */
struct sample { /* rank of kind, then one of */
    int kind; /* 0 null, 1 number, 2 instant, 3 text */
    __int128 number; /* times 10^8 */
    uint64_t instant;
    char text[16];
    char json[80];
};
struct tuple {
    struct sample fields[2];
    uint64_t observed, received, seq, item, transform;
    unsigned rank;
    bool page;
    const char *node, *lane;
};

static void random_number(struct sample *v, uint64_t *s)
{
    int64_t mantissa = (int64_t)(next_random(s) % 2000) - 1000;
    int exponent = (int)(next_random(s) % 13) - 6;
    v->kind = 1;
    v->number = mantissa;
    for (int i = -8; i < exponent; i++)
        v->number *= 10;
    (void)snprintf(v->json, sizeof(v->json), next_random(s) % 2 ? "%llde%d" : "%lld.00e%d", (long long)mantissa, exponent);
}

static void random_value(struct sample *v, uint64_t *s)
{
    static const char *const pieces[] = {"", "x", "xy", "x ", "x\x01", "x!", "x~", "x\xc3\xa9", "y", "x\"", "x\\"};
    struct buf json = {0};
    char iso[CLOCK_TEXT_MAX];
    *v = (struct sample){0};
    switch (next_random(s) % 4) {
    case 0:
        (void)snprintf(v->json, sizeof(v->json), "null");
        return;
    case 1:
        random_number(v, s);
        return;
    case 2:
        v->kind = 2;
        v->instant = RECEIVED - next_random(s) % 5;
        clock_iso_us(v->instant, iso);
        (void)snprintf(v->json, sizeof(v->json), "\"%s\"", iso);
        return;
    default:
        v->kind = 3;
        (void)snprintf(v->text, sizeof(v->text), "%s%s", pieces[next_random(s) % 11], pieces[next_random(s) % 11]);
        json_write_string(&json, span_of(v->text));
        (void)snprintf(v->json, sizeof(v->json), "%s", buf_z(&json));
        buf_release(&json);
    }
}

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int order_values(const struct sample *a, const struct sample *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == 1)
        return (a->number > b->number) - (a->number < b->number);
    if (a->kind == 2)
        return order(a->instant, b->instant);
    int c = strcmp(a->text, b->text);
    return (c > 0) - (c < 0);
}

static int order_tuples(const struct tuple *a, const struct tuple *b, bool upserts)
{
    int c = 0;
    for (int i = 0; upserts && i < 2 && !c; i++)
        c = order_values(&a->fields[i], &b->fields[i]);
    if (!c)
        c = order(a->observed, b->observed);
    if (!c && upserts)
        c = order(a->rank, b->rank);
    if (!c && upserts)
        c = order(b->page, a->page);
    if (!c)
        c = order(a->received, b->received);
    if (!c)
        c = strcmp(a->node, b->node);
    if (!c)
        c = strcmp(a->lane, b->lane);
    if (!c)
        c = order(a->seq, b->seq);
    if (!c)
        c = order(a->item, b->item);
    if (!c)
        c = order(a->transform, b->transform);
    return (c > 0) - (c < 0);
}

static void random_tuple(struct tuple *t, uint64_t *s)
{
    static const char *const nodes[] = {"a-0", "a-00", "a", "b.c-1"};
    random_value(&t->fields[0], s);
    random_value(&t->fields[1], s);
    t->received = RECEIVED + next_random(s) % 3;
    t->observed = t->received - next_random(s) % 3;
    t->rank = (unsigned)(next_random(s) % 3);
    t->page = next_random(s) % 2;
    t->node = nodes[next_random(s) % 4];
    t->lane = next_random(s) % 2 ? "events" : "backfill";
    t->seq = next_random(s) % 12;
    t->item = next_random(s) % 12;
    t->transform = next_random(s) % 12;
}

static void tuple_version(const struct tuple *t, bool upserts, struct buf *out)
{
    struct json fields[2] = {json_of(t->fields[0].json), json_of(t->fields[1].json)};
    struct version_parts p = {.fields = fields, .n_fields = 2, .observed_us = t->observed, .received_us = t->received, .came_us = t->received,
                              .rank = t->rank, .page = t->page, .node = span_of(t->node), .lane = span_of(t->lane),
                              .seq = t->seq, .item = t->item, .transform = t->transform};
    buf_clear(out);
    if (upserts)
        version_upsert(out, &p);
    else
        version_tombstone(out, &p);
}

START_TEST(order_is_the_tuples)
{
    uint64_t s = seed_from_environment();
    struct buf a = {0}, b = {0};
    for (int i = 0; i < 60000; i++) {
        struct tuple x, y;
        random_tuple(&x, &s);
        random_tuple(&y, &s);
        if (i % 2) { /* differ in the later parts only */
            y.fields[0] = x.fields[0];
            y.fields[1] = x.fields[1];
            y.observed = x.observed;
            y.received = x.received;
        }
        tuple_version(&x, _i == 0, &a);
        tuple_version(&y, _i == 0, &b);
        int c = compare(buf_span(&a), buf_span(&b));
        ck_assert_msg(((c > 0) - (c < 0)) == order_tuples(&x, &y, _i == 0), "%s | %s (%s %s | %s %s)", buf_z(&a), buf_z(&b),
                      x.fields[0].json, x.fields[1].json, y.fields[0].json, y.fields[1].json);
    }
    buf_release(&a);
    buf_release(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("version");
    TCase *tc = tcase_create("order");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, fields_ascend, 0, sizeof(ascending) / sizeof(ascending[0]));
    tcase_add_loop_test(tc, spellings_are_equal, 0, sizeof(same) / sizeof(same[0]));
    tcase_add_test(tc, times_ahead_are_clamped);
    tcase_add_loop_test(tc, order_is_the_tuples, 0, 2);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
