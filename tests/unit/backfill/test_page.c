/* Pagination: from a page to what comes next. */
#include "backfill/page.h"
#include "harness.h"

START_TEST(link_headers)
{
    static const struct {
        const char *header, *rel, *target;
    } rows[] = {
        {"<https://a/x?page=2>; rel=\"next\"", "next", "https://a/x?page=2"},
        {"<https://a/1>; rel=\"prev\", <https://a/3>; rel=\"next\"", "next", "https://a/3"},
        {"<https://a/1>;rel=next", "next", "https://a/1"},
        {"<https://a/1>; REL=\"NEXT\"", "next", "https://a/1"},
        {"<https://a/1>; rel=\"last next\"", "next", "https://a/1"},
        {"<https://a/1>; title=\"a, <https://evil>; rel=next\"; rel=\"last\", <https://a/2>; rel=\"next\"", "next", "https://a/2"},
        {"<https://a/1>; title=\"x; rel=next\"; rel=last", "next", ""},
        {"<https://a/1,2>; rel=\"next\"", "next", "https://a/1,2"},
        {"<https://a/1>; rel=\"nextish\"", "next", ""},
        {"<https://a/1; rel=\"next\"", "next", ""},
        {"https://a/1; rel=\"next\"", "next", ""},
        {"", "next", ""},
        {", ,", "next", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span got = link_target(span_of(rows[i].header), rows[i].rel);
        ck_assert_msg(span_eqz(got, rows[i].target), "row %zu: got '%.*s'", i, SPAN_ARG(got));
    }
}
END_TEST

START_TEST(origins)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"https://a.example/x", "https://a.example/y?z", true},
        {"https://a.example/x", "https://A.EXAMPLE:443/y", true},
        {"http://a.example:80/x", "http://a.example", true},
        {"https://a.example/x", "http://a.example/x", false},
        {"https://a.example/x", "https://b.example/x", false},
        {"https://a.example/x", "https://a.example:8443/x", false},
        {"https://a.example@evil.example/x", "https://a.example/x", false},
        {"https://evil.example/?https://a.example/x", "https://a.example/x", false},
        {"https://a.example.evil.example/x", "https://a.example/x", false},
        {"https://a.example\\@evil.example/", "https://a.example/x", false},
        {"//a.example/x", "https://a.example/x", false},
        {"ftp://a.example/x", "ftp://a.example/x", false},
        {"", "https://a.example/x", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(same_origin(span_of(rows[i].a), span_of(rows[i].b)) == rows[i].same, "row %zu", i);
}
END_TEST

/* One page through a style; `next` is what the following one is asked with. */
static bool turn(const char *page_yaml, const char *body, const char *link, char next[200], bool *ret_more, struct err *err)
{
    char yaml[2000];
    struct report report;
    struct fetched p;
    struct buf out;
    struct json records, record, last = {0};
    struct http_header header = {SPAN_LIT("Link"), span_of(link)};
    (void)snprintf(yaml, sizeof yaml, MANIFEST_HEAD MANIFEST_API("%s", "") "tables: {rows: {key: id, path: /rows}}\n", page_yaml);
    report_init(&report);
    struct manifest *m = manifest_parse("acme.yaml", span_of(yaml), &report);
    ck_assert_msg(m != NULL, "%s", buf_z(&report.text));
    const struct page_rule *rule = &m->tables[0].page;
    fetched_init(&p);
    buf_init(&out, 0);
    ck_assert(json_parse(span_of(body), &p.json, err));
    p.message = (struct http_message){.url = SPAN_LIT("https://a.example/rows"), .headers = &header, .n_headers = link ? 1 : 0,
                                      .body = span_of(body), .status = 200};
    bool ok = page_records(rule, &p, &records, err);
    struct json_iter it = json_iter(ok ? records : (struct json){0});
    while (ok && json_next(&it, NULL, &record))
        last = record;
    ok = ok && pagination_of(rule)->next(rule, &p, last, &out, ret_more, err);
    (void)snprintf(next, 200, "%s", buf_z(&out));
    buf_release(&out);
    fetched_release(&p);
    manifest_free(&m);
    report_release(&report);
    return ok;
}

START_TEST(turning_pages)
{
    static const char by_id[] = PAGE_BY_ID, by_link[] = PAGE_BY_LINK,
                      by_body[] = "{records: body.items, next: {query: cursor, value: body.next}}";
    static const struct {
        const char *page, *body, *link, *next;
        bool ok, more;
    } rows[] = {
        {by_id, "{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"more\":true}", NULL, "b", true, true},
        {by_id, "{\"data\":[{\"id\":1},{\"id\":9007199254740993}],\"more\":true}", NULL, "9007199254740993", true, true},
        {by_id, "{\"data\":[{\"id\":\"a\"}],\"more\":false}", NULL, "", true, false},
        {by_id, "{\"data\":[{\"id\":\"a\"}]}", NULL, "", true, false},
        {by_id, "{\"data\":[],\"more\":false}", NULL, "", true, false},
        {by_id, "{\"data\":[],\"more\":true}", NULL, "", false, false},           /* more, but nothing to ask with */
        {by_id, "{\"data\":[{\"x\":1}],\"more\":true}", NULL, "", false, false},
        {by_id, "{\"list\":[]}", NULL, "", false, false},                         /* no records */
        {by_id, "{\"data\":{}}", NULL, "", false, false},
        {by_body, "{\"items\":[],\"next\":\"n2\"}", NULL, "n2", true, true},
        {by_body, "{\"items\":[{}],\"next\":null}", NULL, "", true, false},
        {by_body, "{\"items\":[{}],\"next\":\"\"}", NULL, "", true, false},
        {by_body, "{\"items\":[{}]}", NULL, "", true, false},
        {by_link, "[]", "<https://a.example/rows?p=2>; rel=\"next\"", "https://a.example/rows?p=2", true, true},
        {by_link, "[]", "</rows?p=2>; rel=\"next\"", "https://a.example/rows?p=2", true, true},
        {by_link, "[]", "<?p=2>; rel=\"next\"", "https://a.example/rows?p=2", true, true},
        {by_link, "[]", "<https://a.example/rows?p=2>; rel=\"prev\"", "", true, false},
        {by_link, "[]", NULL, "", true, false},
        {by_link, "[]", "<https://evil.example/rows?p=2>; rel=\"next\"", "", false, false},
        {by_link, "[]", "<//evil.example/rows?p=2>; rel=\"next\"", "", false, false},
        {by_link, "[]", "<http://a.example/rows?p=2>; rel=\"next\"", "", false, false},
        {by_link, "{}", NULL, "", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        char next[200];
        bool more = false, ok = turn(rows[i].page, rows[i].body, rows[i].link, next, &more, &err);
        ck_assert_msg(ok == rows[i].ok, "row %zu: %s", i, ok ? "was taken" : err.msg);
        if (!ok)
            ck_assert_msg(err.msg[0] != 0, "row %zu", i);
        else
            ck_assert_msg(more == rows[i].more && (!more || strcmp(next, rows[i].next) == 0), "row %zu: '%s'", i, next);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {link_headers, origins, turning_pages};
    return run_suite("page", tests, sizeof tests / sizeof *tests);
}
