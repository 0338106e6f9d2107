/* The merged tables for people: head, facts, explain. */
#include "staged.h"

static bool add_line(void *ctx, struct span row)
{
    buf_addf(ctx, "%.*s\n", SPAN_ARG(row));
    return true;
}

static bool add_candidate(void *ctx, const struct candidate *c)
{
    struct buf *out = ctx;
    buf_addf(out, "%s %s %.*s %s: %s\n", c->holds ? "*" : "-", c->row.op == ROW_DELETE ? "delete" : shape_name(c->row.shape),
             SPAN_ARG(c->row.version), c->row.op == ROW_DELETE ? "" : "row", c->why);
    return true;
}

static void expect_explain(struct staged *s, const char *key, const char *expected)
{
    struct tables t;
    struct err err = {0};
    struct buf out = {0};
    ck_assert_msg(tables_open(&t, &s->config, &err), "%s", err.msg);
    ck_assert_msg(tables_explain(&t, s->store, &s->w.source, &s->w.rule, span_of(key), add_candidate, &out, &err), "%s", err.msg);
    ck_assert_str_eq(buf_z(&out), expected);
    tables_close(&t);
    buf_release(&out);
}

START_TEST(no_target_is_an_empty_one)
{
    struct staged s;
    struct tables t;
    struct table_facts f = {.rows = 7};
    struct err err = {0};
    struct buf out = {0};
    uint64_t rows = 7;
    staged_init(&s);
    ck_assert(tables_open(&t, &s.config, &err));
    ck_assert(t.absent);
    ck_assert(tables_facts(&t, &s.w.source, &s.w.rule, &f, &err));
    ck_assert(!f.exists && f.rows == 0);
    ck_assert(tables_head(&t, &s.w.source, &s.w.rule, 10, add_line, &out, &err));
    ck_assert(tables_rows_merged(&t, SPAN_LIT("acme"), &rows, &err));
    ck_assert_uint_eq(rows, 0);
    ck_assert_uint_eq(out.n, 0);
    tables_close(&t);
    staged_done(&s);
}
END_TEST

START_TEST(head_and_facts)
{
    static const struct put puts[] = {
        {.key = "{\"id\":1}", .version = "1", .observed = 1, .row = "{\"id\":1,\"Name\":\"x\\\"y\",\"f\":2.50,\"o\":{\"k\":[1]}}"},
        {.key = "{\"id\":2}", .version = "1", .observed = 3, .row = "{\"name\":true}"},
        {.key = "{\"id\":3}", .version = "1", .observed = 2, .row = "{}"},
        {.op = ROW_DELETE, .key = "{\"id\":3}", .version = "2", .observed = 4},
    };
    struct staged s;
    struct tables t;
    struct table_facts f;
    struct err err = {0};
    struct buf out = {0};
    char expected[256];
    staged_init(&s);
    staged_start(&s);
    staged_rows(&s, "events", 1, puts, 4);
    staged_pass_ok(&s);
    ck_assert(tables_open(&t, &s.config, &err));
    ck_assert_msg(tables_head(&t, &s.w.source, &s.w.rule, 10, add_line, &out, &err), "%s", err.msg);
    unsigned suffix = (unsigned)(hash64(SPAN_LIT("name")) >> 48);
    snprintf(expected, sizeof(expected),
             "{\"id\":2,\"Name\":null,\"f\":null,\"name_%04x\":1,\"o\":null}\n"
             "{\"id\":1,\"Name\":\"x\\\"y\",\"f\":2.5,\"name_%04x\":null,\"o\":\"{\\\"k\\\":[1]}\"}\n",
             suffix, suffix);
    ck_assert_str_eq(buf_z(&out), expected);
    buf_clear(&out);
    ck_assert(tables_head(&t, &s.w.source, &s.w.rule, 1, add_line, &out, &err));
    ck_assert_ptr_eq(strchr(buf_z(&out), '\n'), out.p + out.n - 1);
    ck_assert(tables_facts(&t, &s.w.source, &s.w.rule, &f, &err));
    ck_assert(f.exists);
    ck_assert_uint_eq(f.rows, 2);
    ck_assert_uint_eq(f.deleted_keys, 1);
    ck_assert_uint_eq(f.newest_us, EPOCH + 4 * SECOND);
    ck_assert_uint_eq(f.counts.rows, 4);
    ck_assert_uint_eq(f.counts.inserted, 3);
    uint64_t rows;
    ck_assert(tables_rows_merged(&t, SPAN_LIT("acme"), &rows, &err));
    ck_assert_uint_eq(rows, 4);
    tables_close(&t);
    buf_release(&out);
    staged_done(&s);
}
END_TEST

START_TEST(explain_tells_each_state)
{
    static const struct put puts[] = {
        {.key = "{\"id\":1}", .version = "1", .observed = 1, .row = "{}"},
        {.key = "{\"id\":1}", .version = "3", .observed = 3, .row = "{\"t\":\"\\u00e9\\n\"}"},
        {.key = "{\"id\":\"1\"}", .version = "2", .observed = 2, .row = "{}"},
        {.key = "{\"id\":2}", .version = "9", .observed = 2, .row = "{}"},
        {.op = ROW_DELETE, .key = "{\"id\":2}", .version = "2", .observed = 2},
        {.op = ROW_DELETE, .key = "{\"id\":2}", .version = "1", .observed = 1},
        {.op = ROW_DELETE, .key = "{\"id\":1}", .version = "1", .observed = 2},
        {.key = "{\"id\":3}", .version = "1", .observed = 1, .row = "{}", .shape = SHAPE_PULL},
        {.key = "{\"id\":3}", .version = "2", .observed = 1, .row = "{}", .shape = SHAPE_FULL},
    };
    struct staged s;
    struct tables t;
    struct err err = {0};
    struct buf out = {0};
    staged_init(&s);
    staged_start(&s);
    staged_rows(&s, "events", 1, puts, 9);
    expect_explain(&s, "{\"id\":\"1\"}", "- full 2 row: not merged yet\n");
    staged_pass_ok(&s);
    staged_rows(&s, "backfill", 1, puts + 1, 1);
    expect_explain(&s, "{\"id\":1}",
                   "- full 1 row: older version\n- full 3 row: not merged yet\n* full 3 row: newest\n"
                   "- delete 1 : the row was seen again at 2023-11-14T22:13:23.000000Z\n");
    staged_pass_ok(&s);
    expect_explain(&s, "{ \"id\" : \"1\" }", "* full 2 row: newest\n");
    expect_explain(&s, "2",
                   "- full 9 row: not later than the delete of 2023-11-14T22:13:22.000000Z\n- delete 1 : older version\n"
                   "* delete 2 : newest delete, nothing was observed later\n");
    expect_explain(&s, "3", "* pull 1 row: newest of shape pull\n* full 2 row: newest of shape full\n");
    expect_explain(&s, "4", "");
    ck_assert(tables_open(&t, &s.config, &err));
    ck_assert(!tables_explain(&t, s.store, &s.w.source, &s.w.rule, SPAN_LIT("{\"ID\":1}"), add_candidate, &out, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    ck_assert(!tables_explain(&t, s.store, &s.w.source, &s.w.rule, SPAN_LIT("{id:1}"), add_candidate, &out, &err));
    tables_close(&t);
    buf_release(&out);
    staged_done(&s);
}
END_TEST

static TCase *make(void)
{
    TCase *tc = tcase_create("tables");
    tcase_add_test(tc, no_target_is_an_empty_one);
    tcase_add_test(tc, head_and_facts);
    tcase_add_test(tc, explain_tells_each_state);
    return tc;
}

int main(void)
{
    return run_suite(make);
}
