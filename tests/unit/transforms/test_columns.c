/* Column rules: what is dropped is gone wherever it hides, what is not touched stays as received. */
#include "harness.h"

#define HEAD \
    "sluice: 1\n" \
    "name: acme\n" \
    "title: Acme\n" \
    "config:\n" \
    "  region: {help: region}\n" \
    "verify:\n" \
    "  v1:\n" \
    "    algorithm: hmac-sha256\n" \
    "    signature: {header: X-Signature, encoding: hex}\n" \
    "    signed: \"{body}\"\n" \
    "event: {type: body.type, object: body.o}\n" \
    "tables:\n" \
    "  t: {key: id, types: \"*\", columns: {"


static const struct {
    const char *rules, *object, *expected; /* of the row; %s-free */
} cases[] = {
    {"a: drop", "{\"id\":1,\"a\":{\"b\":2},\"c\":3.00}", "{\"id\":1,\"c\":3.00}"},
    {"a: drop", "{\"a\":1,\"id\":2}", "{\"id\":2}"},
    {"a: drop", "{\"id\":1}", "{\"id\":1}"},
    {"a: drop", "{\"id\":1,\"\\u0061\":9,\"a\":8}", "{\"id\":1}"},
    {"customer.email: drop", "{\"id\":1,\"customer\":{\"email\":\"x\", \"n\":[ 1, 2 ], \"e\\\"\":0}}",
     "{\"id\":1,\"customer\":{\"n\":[ 1, 2 ],\"e\\\"\":0}}"},
    {"customer.email: drop", "{\"id\":1,\"customer\":{\"email\":\"x\"}}", "{\"id\":1,\"customer\":{}}"},
    {"customer.email: drop", "{\"id\":1,\"customer\":[{\"email\":1,\"k\":2},[{\"email\":3}],4]}",
     "{\"id\":1,\"customer\":[{\"k\":2},[{}],4]}"},
    {"customer.email: drop, customer.a.b: drop", "{\"id\":1,\"customer\":{\"a\":{\"b\":1,\"c\":2},\"email\":5,\"z\":0}}",
     "{\"id\":1,\"customer\":{\"a\":{\"c\":2},\"z\":0}}"},
    {"customer.email: drop", "{\"id\":1,\"customer\":\"cus_1\"}", "{\"id\":1,\"customer\":\"cus_1\"}"},
    {"a: b", "{\"id\":1,\"a\":12345678901234567890}", "{\"id\":1,\"b\":12345678901234567890}"},
    {"a: b", "{\"id\":1,\"a\":2,\"b\":3}", "{\"id\":1,\"b\":2}"},
    {"a: b", "{\"id\":1,\"b\":3}", "{\"id\":1,\"b\":3}"},
    {"customer.id: customer_id", "{\"id\":1,\"customer\":{\"id\":\"c\",\"x\":1}}",
     "{\"id\":1,\"customer\":{\"x\":1},\"customer_id\":\"c\"}"},
    {"kind: {constant: order}", "{\"id\":1,\"kind\":2}", "{\"id\":1,\"kind\":\"order\"}"},
    {"kind: {from: body.type}", "{\"id\":1}", "{\"id\":1,\"kind\":\"x\"}"},
    {"kind: {from: body.absent}", "{\"id\":1,\"kind\":2}", "{\"id\":1,\"kind\":2}"},
    {"kind: {from: header.X-Kind}", "{\"id\":1}", "{\"id\":1,\"kind\":\"h \\\"q\\\"\"}"},
    {"region: {from: config.region}", "{\"id\":1}", "{\"id\":1,\"region\":\"eu\"}"},
};

static void run_case(struct world *w, const char *rules, const char *object)
{
    static const struct http_header headers[] = {{SPAN_LIT("x-kind"), SPAN_LIT("h \"q\"")}};
    char yaml[1024], body[1024];
    w->values[0] = (struct config_value){.name = "region", .text = "eu"};
    w->source.n_values = 1;
    (void)snprintf(yaml, sizeof(yaml), HEAD "%s}}\n", rules);
    (void)snprintf(body, sizeof(body), "{\"type\":\"x\",\"o\":%s}", object);
    world_open(w, yaml);
    struct entry e = event_entry(body);
    e.message.headers = headers;
    e.message.n_headers = 1;
    world_run(w, &e);
}

START_TEST(rules_touch_what_they_name)
{
    struct world w = {0};
    struct buf scratch = {0};
    run_case(&w, cases[_i].rules, cases[_i].object);
    struct row r = world_row(&w, "t", 0, &scratch);
    ck_assert_msg(span_eqz(r.row, cases[_i].expected), "%s on %s: %.*s, not %s", cases[_i].rules, cases[_i].object,
                  SPAN_ARG(r.row), cases[_i].expected);
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

/* Large objects to which columns are only added: %s is a long text in each. */
static const struct {
    const char *object, *expected;
} large[] = {
    {"{\"id\":1,\"pad\":\"%s\"}", "{\"id\":1,\"pad\":\"%s\",\"kind\":\"x\",\"by\":2}"},
    {"{\"id\":1,\"pad\":[ \"%s\" ]}", "{\"id\":1,\"pad\":[ \"%s\" ],\"kind\":\"x\",\"by\":2}"},
    {"{\"id\":1,\"pad\":\"%s\" }", "{\"id\":1,\"pad\":\"%s\",\"kind\":\"x\",\"by\":2}"},
    {"{\"id\":1, \"pad\":\"%s\"}", "{\"id\":1,\"pad\":\"%s\",\"kind\":\"x\",\"by\":2}"},
    {"{\"id\":1,\"pad\": \"%s\"}", "{\"id\":1,\"pad\":\"%s\",\"kind\":\"x\",\"by\":2}"},
    {"{\"id\":1,\"by\":3,\"pad\":\"%s\"}", "{\"id\":1,\"pad\":\"%s\",\"kind\":\"x\",\"by\":2}"},
    {"{\"id\":1,\"pad\":\"%s\",\"\\u006bind\":{}}", "{\"id\":1,\"pad\":\"%s\",\"kind\":\"x\",\"by\":2}"},
    {"{\"id\":1,\"pad\":\"%s\",\"id\":1}", "{\"id\":1,\"pad\":\"%s\",\"id\":1,\"kind\":\"x\",\"by\":2}"},
};

START_TEST(columns_join_a_large_object)
{
    struct world w = {0};
    struct buf scratch = {0};
    char pad[301], object[600], expected[600];
    memset(pad, 'p', sizeof(pad) - 1);
    pad[sizeof(pad) - 1] = 0;
    const char *at = strstr(large[_i].object, "%s"), *there = strstr(large[_i].expected, "%s");
    (void)snprintf(object, sizeof(object), "%.*s%s%s", (int)(at - large[_i].object), large[_i].object, pad, at + 2);
    (void)snprintf(expected, sizeof(expected), "%.*s%s%s", (int)(there - large[_i].expected), large[_i].expected, pad, there + 2);
    run_case(&w, "kind: {from: body.type}, by: {constant: 2}", object);
    struct row r = world_row(&w, "t", 0, &scratch);
    ck_assert_msg(span_eqz(r.row, expected), "%s: %.*s", object, SPAN_ARG(r.row));
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

START_TEST(a_hash_is_of_the_text)
{
    struct world w = {0};
    struct buf scratch = {0};
    run_case(&w, "a: hash, b.c: hash", "{\"id\":1,\"a\":\"ab\\u0063\",\"b\":[{\"c\":42},{\"c\":null},{\"c\":{\"x\": 1}}]}");
    ck_span(world_row(&w, "t", 0, &scratch).row,
            "{\"id\":1,\"a\":\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\","
            "\"b\":[{\"c\":\"sha256:73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049\"},{\"c\":null},"
            "{\"c\":\"sha256:5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22\"}]}");
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

START_TEST(the_users_rules_come_last)
{
    struct world w = {0};
    struct buf scratch = {0};
    static struct span email[] = {SPAN_LIT("mail")}, body[] = {SPAN_LIT("body")};
    struct column_rule rule = {.from = "mail", .steps = email, .n_steps = 1, .action = COLUMN_DROP};
    struct column_rule drop_body = {.from = "body", .steps = body, .n_steps = 1, .action = COLUMN_DROP};
    w.tables[0] = (struct table_config){.name = "t", .columns = &rule, .n_columns = 1};
    w.tables[1] = (struct table_config){.name = "events", .columns = &drop_body, .n_columns = 1};
    w.source.n_tables = 2;
    run_case(&w, "email: mail", "{\"id\":1,\"email\":\"plain@example.org\",\"x\":2}");
    ck_span(world_row(&w, "t", 0, &scratch).row, "{\"id\":1,\"x\":2}");
    ck_assert_ptr_null(strstr(buf_z(&w.lines), "plain@example.org"));
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

START_TEST(a_key_may_be_a_renamed_column)
{
    struct world w = {0};
    struct buf scratch = {0};
    run_case(&w, "number: id", "{\"number\":77}");
    ck_span(world_row(&w, "t", 0, &scratch).key, "{\"id\":77}");
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

static const char form[] =
    "sluice: 1\n"
    "name: acme\n"
    "title: Acme\n"
    "verify:\n"
    "  v1:\n"
    "    algorithm: hmac-sha256\n"
    "    signature: {header: X-Signature, encoding: hex}\n"
    "    signed: \"{body}\"\n"
    "event: {format: form, type: form.Status}\n"
    "tables:\n"
    "  messages: {when: {form.Sid: present}, object: form, key: sid, columns: {Sid: sid, Status: status},"
    " lacks: {push: others}}\n";

START_TEST(a_form_is_an_object_of_texts)
{
    struct world w = {0};
    struct buf scratch = {0};
    world_open(&w, form);
    world_event(&w, "Sid=SM+1&Status=sent&To=%2B49&Empty=&Alone");
    struct row r = world_row(&w, "messages", 0, &scratch);
    ck_span(r.key, "{\"sid\":\"SM 1\"}");
    ck_assert_int_eq(r.shape, SHAPE_PUSH);
    ck_span(r.row, "{\"To\":\"+49\",\"Empty\":\"\",\"Alone\":\"\",\"sid\":\"SM 1\",\"status\":\"sent\"}");
    ck_span(r.event_type, "sent");
    world_event(&w, "Other=1");
    ck_assert_uint_eq(world_rows(&w, "messages"), 0);
    world_event(&w, "Sid=%zz");
    ck_assert_msg(strstr(buf_z(&w.dead), "the body is no form"), "%s", buf_z(&w.dead));
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("columns");
    TCase *tc = tcase_create("rules");
    tcase_add_loop_test(tc, rules_touch_what_they_name, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_loop_test(tc, columns_join_a_large_object, 0, sizeof(large) / sizeof(large[0]));
    tcase_add_test(tc, a_hash_is_of_the_text);
    tcase_add_test(tc, the_users_rules_come_last);
    tcase_add_test(tc, a_key_may_be_a_renamed_column);
    tcase_add_test(tc, a_form_is_an_object_of_texts);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
