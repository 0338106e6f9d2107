#include "core/yaml.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct yaml *parse(const char *text, struct report *r)
{
    report_init(r);
    return yaml_parse("f.yaml", span_of(text), r);
}

START_TEST(tree_knows_kinds_texts_and_places)
{
    struct report r;
    struct yaml *y = parse("a: \"x\\ty\"   # remark\n"
                           "é: {q: 'true', s: true, t: , u: ~}\n"
                           "list:\n  - 1\n  - [2, 3]\n"
                           "text: |\n  one\n  two\n",
                           &r);
    ck_assert_msg(y, "%s", buf_z(&r.text));
    const struct yaml_node *root = yaml_root(y);
    ck_assert_int_eq(yaml_kind(root), YAML_MAP);
    ck_assert_uint_eq(yaml_count(root), 4);
    ck_assert(span_eqz(yaml_text(yaml_get(root, "a")), "x\ty"));
    ck_assert(yaml_quoted(yaml_get(root, "a")));
    ck_assert_uint_eq(yaml_col(yaml_get(root, "a")), 4);
    const struct yaml_node *flow = yaml_get(root, "é");
    ck_assert_uint_eq(yaml_line(flow), 2);
    ck_assert_uint_eq(yaml_col(flow), 4);
    ck_assert(yaml_quoted(yaml_get(flow, "q")));
    ck_assert(!yaml_quoted(yaml_get(flow, "s")));
    ck_assert_int_eq(yaml_kind(yaml_get(flow, "t")), YAML_NULL);
    ck_assert_int_eq(yaml_kind(yaml_get(flow, "u")), YAML_NULL);
    ck_assert_ptr_null(yaml_get(flow, "v"));
    const struct yaml_node *list = yaml_get(root, "list");
    ck_assert_int_eq(yaml_kind(list), YAML_LIST);
    ck_assert(span_eqz(yaml_text(yaml_item(list, 0)), "1"));
    ck_assert_ptr_null(yaml_item(list, 2));
    struct buf path;
    buf_init(&path, 0);
    yaml_path(yaml_item(yaml_item(list, 1), 1), &path);
    ck_assert_str_eq(buf_z(&path), "list[1][1]");
    buf_clear(&path);
    yaml_path(yaml_get(flow, "s"), &path);
    ck_assert_str_eq(buf_z(&path), "é.s");
    buf_release(&path);
    ck_assert(span_eqz(yaml_text(yaml_get(root, "text")), "one\ntwo\n"));
    ck_assert(span_eqz(yaml_text(yaml_key(root, 2)), "list"));
    ck_assert_ptr_eq(yaml_value(root, 2), list);
    yaml_free(&y);
    ck_assert_ptr_null(y);
    report_release(&r);
}
END_TEST

START_TEST(empty_file_is_a_null_root)
{
    struct report r;
    struct yaml *y = parse("# nothing\n", &r);
    ck_assert(y);
    ck_assert_int_eq(yaml_kind(yaml_root(y)), YAML_NULL);
    yaml_free(&y);
    report_release(&r);
}
END_TEST

static const struct {
    const char *text, *report; /* the whole report */
} refusals[] = {
    {"a: 1\nb:\n  c: 2\n  c: 3\n",
     "f.yaml:4:3: b.c: the key is there twice, first in line 3\n    4 |   c: 3\n      |   ^\n"},
    {"a: &x 1\n",
     "f.yaml:1:5: anchors are not understood here: write the value out where it is used\n"
     "    1 | a: &x 1\n      |     ^\n"},
    {"a: *x\n", "f.yaml:1:5: aliases are not understood here: write the value out\n    1 | a: *x\n      |     ^\n"},
    {"a: !!str 1\n",
     "f.yaml:1:4: tags are not understood here: write the plain value\n    1 | a: !!str 1\n      |    ^^^^^\n"},
    {"a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document: one file holds one\n    2 | ---\n      | ^^^\n"},
    {"? [a]\n: 1\n", "f.yaml:1:3: a key must be a word\n    1 | ? [a]\n      |   ^\n"},
    {"a: {b: c\nd: e\n",
     "f.yaml:2:2: not valid YAML: missing comma in flow mapping\n    2 | d: e\n      |  ^\n"},
    {"a: \001\n", "f.yaml:1:4: a control character (byte 0x01)\n    1 | a:  \n      |    ^\n"},
    {"a: \xff\n", "f.yaml: not UTF-8\n"},
};

START_TEST(refused_with_the_place)
{
    struct report r;
    struct yaml *y = parse(refusals[_i].text, &r);
    ck_assert_ptr_null(y);
    ck_assert_str_eq(buf_z(&r.text), refusals[_i].report);
    ck_assert_uint_eq(r.count, 1);
    report_release(&r);
}
END_TEST

START_TEST(messages_point_at_values_keys_and_containers)
{
    static const char text[] = "verify:\n  v1: {signature: {encoding: \"hexx\"}}\ntables:\n\torders: 1\n";
    static const char good[] = "verify:\n  v1: {signature: {encoding: \"hexx\"}}\ntables:\n  orders: {kez: é}\n  t:\n";
    struct report r;
    struct yaml *y = parse(text, &r);
    ck_assert_ptr_null(y); /* a tab as indentation */
    report_release(&r);
    y = parse(good, &r);
    ck_assert_msg(y, "%s", buf_z(&r.text));
    const struct yaml_node *root = yaml_root(y);
    const struct yaml_node *tables = yaml_get(root, "tables");
    static const char *const encodings[] = {"hex", "base64", NULL}, *const keys[] = {"key", "kind", NULL};
    report_word(&r, yaml_get(yaml_get(yaml_get(yaml_get(root, "verify"), "v1"), "signature"), "encoding"), encodings);
    report_unknown_keys(&r, yaml_get(tables, "orders"), keys);
    report_at(&r, yaml_get(tables, "orders"), "no `key`");
    report_at(&r, yaml_get(yaml_get(tables, "orders"), "kez"), "bad");
    report_at(&r, yaml_get(tables, "t"), "empty");
    report_word(&r, tables, encodings);
    report_at(&r, root, "no name");
    report_plain(&r, "no %s", "file");
    ck_assert_str_eq(buf_z(&r.text),
                     "f.yaml:2:30: verify.v1.signature.encoding: 'hexx' is not one of hex, base64 (did you mean hex?)\n"
                     "    2 |   v1: {signature: {encoding: \"hexx\"}}\n"
                     "      |                              ^^^^^^\n"
                     "f.yaml:4:12: tables.orders: no such key 'kez' (did you mean key?)\n"
                     "    4 |   orders: {kez: é}\n"
                     "      |            ^^^\n"
                     "f.yaml:4:3: tables.orders: no `key`\n"
                     "    4 |   orders: {kez: é}\n"
                     "      |   ^^^^^^\n"
                     "f.yaml:4:17: tables.orders.kez: bad\n"
                     "    4 |   orders: {kez: é}\n"
                     "      |                 ^\n"
                     "f.yaml:5:3: tables.t: empty\n"
                     "    5 |   t:\n"
                     "      |   ^\n"
                     "f.yaml:3:1: tables: must be one of hex, base64\n"
                     "    3 | tables:\n"
                     "      | ^^^^^^\n"
                     "f.yaml:1:1: no name\n"
                     "    1 | verify:\n"
                     "      | ^\n"
                     "no file\n");
    yaml_free(&y);
    report_release(&r);
}
END_TEST

START_TEST(long_lines_are_cut_around_the_place)
{
    struct buf text;
    buf_init(&text, 0);
    buf_addz(&text, "{");
    for (int i = 0; i < 100; i++)
        buf_addf(&text, "key%03d: v, ", i);
    buf_addz(&text, "last: here, more: ");
    for (int i = 0; i < 300; i++)
        buf_addc(&text, 'x');
    buf_addz(&text, "}\n");
    struct report r;
    struct yaml *y = parse(buf_z(&text), &r);
    ck_assert_msg(y, "%s", buf_z(&r.text));
    report_at(&r, yaml_get(yaml_root(y), "last"), "bad");
    const char *line = strchr(buf_z(&r.text), '\n') + 1;
    const char *marks = strchr(line, '\n') + 1;
    const char *word = strstr(line, "here");
    ck_assert(word && word < marks);
    /* the sign for what was cut is one column wide and three bytes long */
    ck_assert_int_eq(strchr(marks, '^') - marks, word - line - 2);
    ck_assert_str_eq(strchr(marks, '^'), "^^^^\n");
    ck_assert_uint_lt((size_t)(marks - line), 200);
    yaml_free(&y);
    report_release(&r);
    buf_release(&text);
}
END_TEST

START_TEST(hidden_text_is_never_shown)
{
    struct report r;
    struct yaml *y = parse("a: {key: sk_live_é1, tabels: 1}\nb: 2\n", &r);
    static const char *const keys[] = {"key", "tables", NULL};
    ck_assert_msg(y, "%s", buf_z(&r.text));
    const struct yaml_node *a = yaml_get(yaml_root(y), "a");
    yaml_hide(yaml_get(a, "key"));
    report_at(&r, yaml_get(a, "key"), "must not stand here");
    report_unknown_keys(&r, a, keys);
    ck_assert_str_eq(buf_z(&r.text), "f.yaml:1:10: a.key: must not stand here\n"
                                     "    1 | a: {key: **********, tabels: 1}\n"
                                     "      |          ^^^^^^^^^^\n"
                                     "f.yaml:1:22: a: no such key 'tabels' (did you mean tables?)\n"
                                     "    1 | a: {key: **********, tabels: 1}\n"
                                     "      |                      ^^^^^^\n");
    yaml_free(&y);
    report_release(&r);
}
END_TEST

START_TEST(report_is_bounded)
{
    struct buf text;
    buf_init(&text, 0);
    for (int i = 0; i < 40; i++)
        buf_addz(&text, "a: 1\n");
    struct report r;
    struct yaml *y = parse(buf_z(&text), &r);
    ck_assert_ptr_null(y);
    ck_assert_uint_eq(r.count, 39);
    unsigned lines = 0;
    for (const char *p = buf_z(&r.text); (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    ck_assert_uint_eq(lines, REPORT_MAX * 3 + 1);
    report_release(&r);
    buf_release(&text);
}
END_TEST

START_TEST(depth_is_bounded)
{
    char text[4096];
    memset(text, '[', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct report r;
    struct yaml *y = parse(text, &r);
    ck_assert_ptr_null(y);
    ck_assert(strstr(buf_z(&r.text), "deep") != NULL);
    report_release(&r);
}
END_TEST

static const struct {
    const char *word, *near;
} nearest[] = {
    {"tabels", "tables"}, {"TABLES", "tables"}, {"tale", "tables"},  {"verfy", "verify"}, {"hexx", "hex"},
    {"x", NULL},          {"zzzz", NULL},       {"ehx", "hex"},      {"", NULL},          {"base46", "base64"},
    {"vreify", "verify"}, {"nothing", NULL},    {"bas64", "base64"}, {"he", "hex"},
};

START_TEST(nearest_word_forgives_slips)
{
    static const char *const words[] = {"tables", "verify", "hex", "base64", NULL};
    const char *near = nearest_word(span_of(nearest[_i].word), words);
    if (nearest[_i].near)
        ck_assert_str_eq(near ? near : "(none)", nearest[_i].near);
    else
        ck_assert_ptr_null(near);
}
END_TEST

START_TEST(any_bytes_are_judged)
{
    static const char seed_text[] = "sluice: 1\nname: x\nverify:\n  v1: {a: [1, \"b\", 'c'], d: {e: f}}\ntables:\n"
                                    "  t:\n    key: id\n    - x\n";
    const char *env = getenv("SEED");
    unsigned seed = env ? (unsigned)strtoul(env, NULL, 10) : 7;
    printf("SEED=%u\n", seed);
    for (unsigned round = 0; round < 4000; round++) {
        char text[sizeof(seed_text)];
        memcpy(text, seed_text, sizeof(text));
        size_t n = sizeof(text) - 1;
        for (unsigned k = 0; k < 1 + round % 4; k++) {
            static const char bytes[] = "\n\t :-[]{},&*!|>\"'#%@?~x0\\\xc3\xff\r";
            text[(unsigned)rand_r(&seed) % n] = bytes[(unsigned)rand_r(&seed) % (sizeof(bytes) - 1)];
        }
        if (round % 3 == 0)
            n = (unsigned)rand_r(&seed) % n;
        char *exact = malloc(n + 1);
        memcpy(exact, text, n);
        exact[n] = '\0';
        struct report r;
        report_init(&r);
        struct yaml *y = yaml_parse("f.yaml", (struct span){exact, n}, &r);
        ck_assert_msg((y != NULL) == (r.count == 0), "%s", exact);
        yaml_free(&y);
        report_release(&r);
        free(exact);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("yaml");
    TCase *t = tcase_create("yaml");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, tree_knows_kinds_texts_and_places);
    tcase_add_test(t, empty_file_is_a_null_root);
    tcase_add_loop_test(t, refused_with_the_place, 0, sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_test(t, messages_point_at_values_keys_and_containers);
    tcase_add_test(t, long_lines_are_cut_around_the_place);
    tcase_add_test(t, hidden_text_is_never_shown);
    tcase_add_test(t, report_is_bounded);
    tcase_add_test(t, depth_is_bounded);
    tcase_add_loop_test(t, nearest_word_forgives_slips, 0, sizeof(nearest) / sizeof(nearest[0]));
    tcase_add_test(t, any_bytes_are_judged);
    suite_add_tcase(s, t);
    SRunner *run = srunner_create(s);
    srunner_run_all(run, CK_NORMAL);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed ? 1 : 0;
}
