#include "sources/path.h"
#include <check.h>

/* Paths, templates and conditions, compiled and judged over one request and one answer. */

static const char body_text[] =
    "{\"id\":\"evt_1\",\"n\":12345678901234567890,\"ok\":true,\"none\":null,\"price\":1.50,\"a\":{\"b\":{\"c\":\"d\\u0065ep\"}},"
    "\"items\":[{\"id\":1},{\"id\":2}],\"odd.name\":\"dots\",\"type\":\"order.paid\"}";
static const struct http_header headers[] = {
    {{"X-Id", 4}, {"id 1", 4}},
    {{"x-empty", 7}, {"", 0}},
};
static const struct http_message message = {
    .method = {"POST", 4},
    .url = {"/in/acme?token=a%2Bb+c&hub.challenge=x&empty&token=second", 57},
    .headers = headers,
    .n_headers = 2,
    .body = {body_text, sizeof(body_text) - 1},
};
static const struct scope_pair config[] = {{{"live", 4}, {"true", 4}}, {{"type", 4}, {"order.paid", 10}}};
static const struct scope_pair signature[] = {{{"t", 1}, {"123", 3}}};
static const struct scope_pair words[] = {{{"since", 5}, {"99", 2}}, {{"table.scope", 11}, {"read", 4}}};
static const char *const parents[] = {"customers", NULL};

struct world {
    struct arena *arena;
    struct report report;
    struct yaml *yaml;
    struct scope_parent parent;
    struct scope scope;
    struct buf out;
};

static void world_open(struct world *w, const char *yaml)
{
    struct err err;
    *w = (struct world){.arena = arena_new()};
    report_init(&w->report);
    buf_init(&w->out, 0);
    w->yaml = yaml_parse("p.yaml", span_of(yaml), &w->report);
    ck_assert_msg(w->yaml, "%s", buf_z(&w->report.text));
    w->parent.name = SPAN_LIT("customers");
    ck_assert(json_parse(SPAN_LIT("{\"id\":\"cus_1\"}"), &w->parent.record, &err));
    ck_assert(json_parse(message.body, &w->scope.body, &err));
    w->scope.event = w->scope.body;
    w->scope.object = json_get(w->scope.body, SPAN_LIT("a"));
    w->scope.message = &message;
    w->scope.secret = SPAN_LIT("s3cret");
    w->scope.time = SPAN_LIT("0123");
    w->scope.config = config;
    w->scope.n_config = 2;
    w->scope.signature = signature;
    w->scope.n_signature = 1;
    w->scope.words = words;
    w->scope.n_words = 2;
    w->scope.parents = &w->parent;
    w->scope.n_parents = 1;
}

static void world_close(struct world *w)
{
    yaml_free(&w->yaml);
    arena_free(&w->arena);
    report_release(&w->report);
    buf_release(&w->out);
}

static const struct {
    const char *path, *text; /* NULL: absent, or null */
} paths[] = {
    {"body.id", "evt_1"},
    {"body.n", "12345678901234567890"},
    {"body.price", "1.50"},
    {"body.ok", "true"},
    {"body.none", NULL},
    {"body.a.b.c", "deep"},
    {"body.a.b", "{\"c\":\"d\\u0065ep\"}"},
    {"body.a.x.c", NULL},
    {"body.id.x", NULL},
    {"body[\"odd.name\"]", "dots"},
    {"body.items", "[{\"id\":1},{\"id\":2}]"},
    {"body.items.1.id", "2"},
    {"body.items.2.id", NULL},
    {"header.X-Id", "id 1"},
    {"header.x-id", "id 1"},
    {"header.X-Empty", ""},
    {"header.X-None", NULL},
    {"query.token", "a+b c"},
    {"query[\"hub.challenge\"]", "x"},
    {"query.empty", ""},
    {"query.none", NULL},
    {"method", "POST"},
    {"config.live", "true"},
    {"config.none", NULL},
    {"secret", "s3cret"},
    {"signature.t", "123"},
    {"time", "0123"},
    {"event.id", "evt_1"},
    {"object.b.c", "deep"},
    {"record.id", NULL},
    {"item", NULL},
    {"customers.id", "cus_1"},
    {"body.x or body.id", "evt_1"},
    {"header.X-None or query.token", "a+b c"},
    {"query.none or query.token or body.id", "a+b c"},
    {"body.x or body.y", NULL},
    {"body.none or body.id", NULL}, /* null is there */
};

START_TEST(path_gives_the_text)
{
    struct world w;
    struct path p;
    world_open(&w, "a: b\n");
    const struct yaml_node *at = yaml_root(w.yaml);
    ck_assert_msg(path_compile(w.arena, at, span_of(paths[_i].path), parents, &p, &w.report), "%s", buf_z(&w.report.text));
    ck_assert_str_eq(p.text, paths[_i].path);
    buf_addz(&w.out, "before ");
    bool there = path_text(&p, &w.scope, &w.out);
    ck_assert_msg(there == (paths[_i].text != NULL), "%s gave '%s'", paths[_i].path, buf_z(&w.out));
    if (there)
        ck_assert_str_eq(buf_z(&w.out) + 7, paths[_i].text);
    world_close(&w);
}
END_TEST

START_TEST(path_with_brackets_gives_the_list)
{
    struct world w;
    struct path p;
    world_open(&w, "a: b\n");
    ck_assert(path_compile(w.arena, yaml_root(w.yaml), SPAN_LIT("body.items[].id"), NULL, &p, &w.report));
    ck_assert(p.n_steps == 2 && p.steps[0].each && !p.steps[1].each && !p.root_each);
    struct value v = path_eval(&p, &w.scope, &w.out);
    ck_assert(v.kind == VALUE_JSON && v.json.type == JSON_ARRAY);
    ck_assert(path_compile(w.arena, yaml_root(w.yaml), SPAN_LIT("body[]"), NULL, &p, &w.report));
    ck_assert(p.n_steps == 0 && p.root_each);
    world_close(&w);
}
END_TEST

START_TEST(form_fields_are_decoded)
{
    struct world w;
    struct path p;
    struct http_message form = {.body = SPAN_LIT("a=1&b%5B%5D=x+y%21&a=2&bad=%zz")};
    struct err err;
    struct template t;
    world_open(&w, "a: b\n");
    w.scope = (struct scope){.message = &form};
    ck_assert(path_compile(w.arena, yaml_root(w.yaml), SPAN_LIT("form[\"b[]\"]"), NULL, &p, &w.report));
    ck_assert(path_text(&p, &w.scope, &w.out));
    ck_assert_str_eq(buf_z(&w.out), "x y!");
    buf_clear(&w.out);
    ck_assert(path_compile(w.arena, yaml_root(w.yaml), SPAN_LIT("form.bad"), NULL, &p, &w.report));
    ck_assert(!path_text(&p, &w.scope, &w.out));
    form.body = SPAN_LIT("b=2&a=1&a=0&c");
    ck_assert(template_compile(w.arena, yaml_root(w.yaml), SPAN_LIT("{form|sorted}"), NULL, &t, &w.report));
    buf_clear(&w.out);
    ck_assert(template_render(&t, &w.scope, &w.out, &err));
    ck_assert_str_eq(buf_z(&w.out), "a1a0b2c"); /* equal names keep their order */
    world_close(&w);
}
END_TEST

static const struct {
    const char *template, *text; /* NULL: fails, naming `absent` */
    const char *absent;
} templates[] = {
    {"plain", "plain", NULL},
    {"{time}.{header.X-Id}", "0123.id 1", NULL},
    {"v0:{signature.t}:", "v0:123:", NULL},
    {"{{{body.id}}}", "{evt_1}", NULL},
    {"a{{b}}c", "a{b}c", NULL},
    {"{body.x?}-{body.id}", "-evt_1", NULL},
    {"{body.x}", NULL, "body.x is absent"},
    {"{header.X-None}", NULL, "header.X-None is absent"},
    {"{body.none}", NULL, "body.none is absent"},
    {"{body.none?}", "", NULL},
    {"{body.id|hex}", "6576745f31", NULL},
    {"{body.id|sha256|hex}", "7d4e5a76eae6d8c165410ac19fe6756521ba86ed96752d0126b1953b155af052", NULL},
    {"{body.id|crc32}", "3869339981", NULL},
    {"{query.token|percent}", "a%2Bb%20c", NULL},
    {"{body.x?|hex}", "", NULL},
    {"/v1/{customers.id}/x", "/v1/cus_1/x", NULL},
    {"{since} {table.scope}", "99 read", NULL},
    {"{header.X-None or header.X-Id}", "id 1", NULL},
    {"{body}", body_text, NULL},
};

START_TEST(template_renders)
{
    struct world w;
    struct template t;
    struct err err;
    world_open(&w, "a: b\n");
    struct span text = span_of(templates[_i].template);
    ck_assert_msg(template_compile(w.arena, yaml_root(w.yaml), text, parents, &t, &w.report), "%s", buf_z(&w.report.text));
    ck_assert_str_eq(t.text, templates[_i].template);
    bool ok = template_render(&t, &w.scope, &w.out, &err);
    if (templates[_i].text) {
        ck_assert_msg(ok, "%s", err.msg);
        ck_assert_str_eq(buf_z(&w.out), templates[_i].text);
    } else {
        ck_assert(!ok && err.cls == ERR_INPUT);
        ck_assert_str_eq(err.msg, templates[_i].absent);
    }
    world_close(&w);
}
END_TEST

START_TEST(body_is_rendered_as_received)
{
    static const char raw[] = {'\xff', 0, '{', '\r'};
    struct http_message m = {.body = {raw, sizeof(raw)}};
    struct world w;
    struct template t;
    struct err err;
    world_open(&w, "a: b\n");
    w.scope = (struct scope){.message = &m};
    ck_assert(template_compile(w.arena, yaml_root(w.yaml), SPAN_LIT("{body}|{body|hex}"), NULL, &t, &w.report));
    ck_assert(template_render(&t, &w.scope, &w.out, &err));
    ck_assert_uint_eq(w.out.n, 4 + 1 + 8);
    ck_assert_mem_eq(w.out.p, raw, 4);
    ck_assert_mem_eq(w.out.p + 4, "|ff007b0d", 9);
    world_close(&w);
}
END_TEST

static const struct {
    const char *map;
    bool holds;
} conditions[] = {
    {"{body.type: order.paid}", true},
    {"{body.type: order.sent}", false},
    {"{body.type: \"order.*\"}", true},
    {"{body.type: [order.sent, order.paid]}", true},
    {"{body.type: [order.sent, order.lost]}", false},
    {"{body.ok: true}", true},
    {"{body.ok: \"true\"}", true},
    {"{body.ok: false}", false},
    {"{body.n: 12345678901234567890}", true},
    {"{body.id: present}", true},
    {"{body.id: \"present\"}", false}, /* in quotes it is a value */
    {"{body.x: present}", false},
    {"{body.x: absent}", true},
    {"{body.none: present}", true},
    {"{body.none: absent}", false},
    {"{body.none: \"*\"}", false},
    {"{body.x: \"*\"}", false},
    {"{body.ok: config.live}", true},
    {"{body.type: config.type}", true},
    {"{body.id: config.type}", false},
    {"{body.id: config.none}", false},
    {"{body.id: evt_1, body.type: order.paid}", true},
    {"{body.id: evt_1, body.type: order.sent}", false},
    {"{header.x-id: id 1}", true},
    {"{header.X-Empty: present}", true},
    {"{query.token: a+b c}", true},
    {"{body.x or body.id: evt_1}", true},
};

START_TEST(condition_is_judged)
{
    struct world w;
    struct condition *c = NULL;
    size_t n = 0;
    world_open(&w, conditions[_i].map);
    ck_assert_msg(conditions_compile(w.arena, yaml_root(w.yaml), parents, &c, &n, &w.report), "%s", buf_z(&w.report.text));
    ck_assert_msg(conditions_hold(c, n, &w.scope) == conditions[_i].holds, "%s", conditions[_i].map);
    world_close(&w);
}
END_TEST

START_TEST(no_condition_holds)
{
    struct scope empty = {0};
    ck_assert(conditions_hold(NULL, 0, &empty));
}
END_TEST

static const struct {
    const char *pattern, *text;
    bool match;
} globs[] = {
    {"", "", true},           {"", "a", false},       {"*", "", true},          {"*", "abc", true},
    {"a*", "abc", true},      {"a*c", "abc", true},   {"a*c", "abcd", false},   {"*b*", "abc", true},
    {"a**c", "ac", true},     {"*.created", "x.y.created", true},               {"a*b*c", "aXbYbZc", true},
    {"order.*", "order", false},                      {"?", "a", false},        {"a", "A", false},
    {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false},
};

START_TEST(glob_matches)
{
    ck_assert(glob_match(span_of(globs[_i].pattern), span_of(globs[_i].text)) == globs[_i].match);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("path");
    TCase *t = tcase_create("path");
    tcase_add_loop_test(t, path_gives_the_text, 0, sizeof(paths) / sizeof(paths[0]));
    tcase_add_test(t, path_with_brackets_gives_the_list);
    tcase_add_test(t, form_fields_are_decoded);
    tcase_add_loop_test(t, template_renders, 0, sizeof(templates) / sizeof(templates[0]));
    tcase_add_test(t, body_is_rendered_as_received);
    tcase_add_loop_test(t, condition_is_judged, 0, sizeof(conditions) / sizeof(conditions[0]));
    tcase_add_test(t, no_condition_holds);
    tcase_add_loop_test(t, glob_matches, 0, sizeof(globs) / sizeof(globs[0]));
    suite_add_tcase(s, t);
    SRunner *run = srunner_create(s);
    srunner_run_all(run, CK_NORMAL);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed ? 1 : 0;
}
