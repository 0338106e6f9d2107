/* The row envelope: what is written is read back; what is wrong is named. */
#include "transforms/row.h"
#include <check.h>
#include <stdlib.h>

static const struct row full = {
    .source = SPAN_LIT("stripe"),
    .account = SPAN_LIT("acct_\"1\"\n"),
    .table = SPAN_LIT("invoices"),
    .key = SPAN_LIT("{\"id\":12345678901234567890}"),
    .version = SPAN_LIT("3a!@ 01"),
    .op = ROW_UPSERT,
    .origin = ORIGIN_REPLAY,
    .shape = SHAPE_PULL,
    .api_version = SPAN_LIT("2026-07-29"),
    .event_id = SPAN_LIT("evt_\xc3\xa9"),
    .event_type = SPAN_LIT("a\tb\\c"),
    .entry = SPAN_LIT("n-1/events/7"),
    .received_us = UINT64_C(1714558272345678),
    .observed_us = UINT64_C(1714558270000000),
    .row = SPAN_LIT("{\"id\": 12345678901234567890, \"x\": [1.00, {\"y\": null}]}"),
};

static void same(const struct row *a, const struct row *b)
{
    ck_assert(span_eq(a->source, b->source));
    ck_assert(span_eq(a->account, b->account));
    ck_assert(span_eq(a->table, b->table));
    ck_assert(span_eq(a->key, b->key));
    ck_assert(span_eq(a->version, b->version));
    ck_assert_int_eq(a->op, b->op);
    ck_assert_int_eq(a->origin, b->origin);
    ck_assert_int_eq(a->shape, b->shape);
    ck_assert(span_eq(a->api_version, b->api_version));
    ck_assert(span_eq(a->event_id, b->event_id));
    ck_assert(span_eq(a->event_type, b->event_type));
    ck_assert(span_eq(a->entry, b->entry));
    ck_assert_uint_eq(a->received_us, b->received_us);
    ck_assert_uint_eq(a->observed_us, b->observed_us);
    ck_assert(span_eq(a->row, b->row));
}

START_TEST(round_trip)
{
    struct buf line = {0}, scratch = {0};
    struct row in = full, out;
    struct err err;
    if (_i & 1) {
        in.op = ROW_DELETE;
        in.row = SPAN_LIT("null");
    }
    if (_i & 2)
        in.account = in.api_version = in.event_id = in.event_type = (struct span){NULL, 0};
    row_write(&line, &in);
    ck_assert(buf_ok(&line));
    ck_assert_int_eq(line.p[line.n - 1], '\n');
    ck_assert_ptr_eq(memchr(line.p, '\n', line.n), line.p + line.n - 1);
    ck_assert_msg(row_read((struct span){line.p, line.n - 1}, &out, &scratch, &err), "%s", err.msg);
    same(&in, &out);
    buf_release(&line);
    buf_release(&scratch);
}
END_TEST

#define HEAD "{\"format\":1,\"source\":\"s\",\"account\":null,\"table\":\"t\",\"key\":{\"id\":1},\"version\":\"v\","
#define TAIL "\"api_version\":null,\"event_id\":null,\"event_type\":null,\"entry\":\"n/events/1\"," TIMES
#define TIMES "\"received_at\":\"2024-05-01T10:11:12.345678Z\",\"observed_at\":\"2024-05-01T10:11:12.345678Z\","
#define WORDS "\"op\":\"upsert\",\"origin\":\"webhook\",\"shape\":\"full\","

static const struct {
    const char *line, *words;
} wrong[] = {
    {"", "row envelope"},
    {"[]", "no JSON object"},
    {"{\"format\":2}", "'format' is '2'"},
    {"{}", "'format'"},
    {"{\"format\":1}", "'source' is absent"},
    {HEAD WORDS "\"api_version\":5," TIMES "\"entry\":\"e\",\"row\":{}}", "'api_version' is of another type"},
    {HEAD "\"op\":\"insert\",\"origin\":\"webhook\",\"shape\":\"full\"," TAIL "\"row\":{}}", "'op' is 'insert', must be one of upsert, delete"},
    {HEAD "\"op\":\"upsert\",\"origin\":\"x\",\"shape\":\"full\"," TAIL "\"row\":{}}", "'origin' is 'x'"},
    {HEAD "\"op\":\"upsert\",\"origin\":\"webhook\",\"shape\":\"x\"," TAIL "\"row\":{}}", "'shape' is 'x'"},
    {HEAD WORDS TAIL "\"row\":null}", "'row' of an upsert"},
    {HEAD WORDS TAIL "\"row\":{},\"key\":3}", "'key' must be an object"},
    {HEAD WORDS "\"entry\":\"e\",\"received_at\":\"yesterday\",\"observed_at\":\"2024-05-01T10:11:12Z\",\"row\":{}}",
     "'received_at' is 'yesterday'"},
};

START_TEST(wrong_lines_are_named)
{
    struct buf scratch = {0};
    struct row out;
    struct err err;
    ck_assert(!row_read(span_of(wrong[_i].line), &out, &scratch, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    ck_assert_msg(strstr(err.msg, wrong[_i].words), "'%s' does not say '%s'", err.msg, wrong[_i].words);
    buf_release(&scratch);
}
END_TEST

START_TEST(members_in_any_order)
{
    struct buf scratch = {0};
    struct row out;
    struct err err;
    const char *line = "{\"row\":{\"a\":1},\"later\":[{}]," TAIL WORDS
                       "\"version\":\"v\",\"key\":{\"id\":1},\"table\":\"t\",\"source\":\"s\",\"format\":1}";
    ck_assert_msg(row_read(span_of(line), &out, &scratch, &err), "%s", err.msg);
    ck_assert(span_eqz(out.row, "{\"a\":1}"));
    ck_assert(span_eqz(out.source, "s"));
    ck_assert_uint_eq(out.account.n, 0);
    buf_release(&scratch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("row");
    TCase *tc = tcase_create("envelope");
    tcase_add_loop_test(tc, round_trip, 0, 4);
    tcase_add_loop_test(tc, wrong_lines_are_named, 0, sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(tc, members_in_any_order);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
