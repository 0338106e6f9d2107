/* What a call says: forms and JSON out of a manifest; secrets that schemes can use; the places where they are stored. */
#include "tests/unit/check_main.h"
#include "webhooks/internal.h"
#include "webhooks/vault.h"
#include <string.h>
#include <sys/stat.h>

#define API                                                                                                                        \
    "sluice: 1\nname: acme\nconfig: {org: {required: true}}\n"                                                                     \
    "verify: {x: {algorithm: hmac-sha256, signature: {header: X-Sig, encoding: hex}, signed: \"{body}\"}}\n"                       \
    "api: {base: \"https://a.example\"}\n"                                                                                         \
    "webhook:\n  list: {get: /h, records: body, read: {url: record.url}}\n  flags: {push: push_events, tag: tag_events}\n"

static struct manifest *parse(const char *text)
{
    struct report r;
    report_init(&r);
    struct manifest *m = manifest_parse("acme.yaml", span_of(text), &r);
    ck_assert_msg(m != NULL, "%s", buf_z(&r.text));
    report_release(&r);
    return m;
}

static const struct {
    const char *create;
    const char *types[4];
    bool flags;
    const char *body;
} bodies[] = {
    {"form: {url: \"{url}\", \"e[]\": \"{types}\"}", {"b", "a"}, false, "url=https%3A%2F%2Fh%2Fin%2Fs%3Fa%3D1%262&e[]=a&e[]=b"},
    {"form: {fields: \"{types}\", n: 3}", {"a", "b&c"}, false, "fields=a%2Cb%26c&n=3"},
    {"form: {\"e[]\": \"{types}\", x: y}", {NULL}, true, "x=y&push_events=false&tag_events=false"},
    {"json: {url: \"{url}\", events: \"{types}\", on: true, n: 2, none: null, text: \"true\"}", {"push"}, false,
     "{\"url\":\"https://h/in/s?a=1&2\",\"events\":[\"push\"],\"on\":true,\"n\":2,\"none\":null,\"text\":\"true\"}"},
    {"json: {events: \"{types}\", a: {b: [1, \"{config.org}\", []], c: {}}}", {NULL}, false,
     "{\"a\":{\"b\":[1,\"o\\\"rg\",[]],\"c\":{}}}"},
    {"json: {d: {each: types, item: {type: t, id: \"{type}\"}}, z: \"{type}\"}", {"a", "b"}, false,
     "{\"d\":[{\"type\":\"t\",\"id\":\"a\"},{\"type\":\"t\",\"id\":\"b\"}],\"z\":\"b\"}"},
    {"json: {q: \"{{ a {{ b }} }}\", s: \"{secret}\", u: \"{user}\", p: \"{password}\"}", {NULL}, false,
     "{\"q\":\"{ a { b } }\",\"s\":\"me:pa:ss\",\"u\":\"me\",\"p\":\"pa:ss\"}"},
    {"json: {u: \"{url}\"}", {"tag"}, true, "{\"push_events\":false,\"tag_events\":true,\"u\":\"https://h/in/s?a=1&2\"}"},
};

START_TEST(a_body)
{
    char text[4096];
    struct names types = {0};
    struct buf out, joined;
    struct err err = {0};
    snprintf(text, sizeof text, "%s  create: {post: /h, %s}\n", API, bodies[_i].create);
    struct manifest *m = parse(text);
    buf_init(&out, 1 << 16);
    buf_init(&joined, 1 << 16);
    for (size_t i = 0; bodies[_i].types[i]; i++)
        names_put(&types, span_of(bodies[_i].types[i]));
    for (size_t i = 0; i < types.n; i++)
        buf_addf(&joined, "%s%s", i ? "," : "", types.list[i]);
    struct scope_pair org = {SPAN_LIT("org"), SPAN_LIT("o\"rg")};
    struct call_scope s = {.types = &types};
    s.words[0] = (struct scope_pair){SPAN_LIT("types"), buf_span(&joined)};
    s.words[1] = (struct scope_pair){SPAN_LIT("type"), SPAN_LIT("")};
    s.words[2] = (struct scope_pair){SPAN_LIT("user"), SPAN_LIT("me")};
    s.words[3] = (struct scope_pair){SPAN_LIT("password"), SPAN_LIT("pa:ss")};
    s.scope = (struct scope){.words = s.words, .n_words = 4, .config = &org, .n_config = 1, .secret = SPAN_LIT("me:pa:ss"),
                             .url = SPAN_LIT("https://h/in/s?a=1&2")};
    const struct manage_call *c = &m->webhook.create;
    const struct webhook_rule *flags = bodies[_i].flags ? &m->webhook : NULL;
    bool ok = c->n_form ? body_form(c, flags, &s, &out, &err) : body_json(c, flags, &s, &out, &err);
    ck_assert_msg(ok, "%s", err.msg);
    ck_assert_str_eq(buf_z(&out), bodies[_i].body);
    buf_release(&out);
    buf_release(&joined);
    names_release(&types);
    manifest_free(&m);
}
END_TEST

START_TEST(an_absent_value_is_told)
{
    struct manifest *m = parse(API "  create: {post: /h, json: {a: \"{config.org}\"}}\n");
    static const struct names none;
    struct call_scope s = {.types = &none};
    struct buf out;
    struct err err = {0};
    buf_init(&out, 1 << 16);
    ck_assert(!body_json(&m->webhook.create, NULL, &s, &out, &err));
    ck_assert_ptr_nonnull(strstr(err.msg, "config.org"));
    buf_release(&out);
    manifest_free(&m);
}
END_TEST

START_TEST(sets_of_names)
{
    struct names a = {0}, b = {0};
    names_put(&a, SPAN_LIT("b"));
    names_put(&a, SPAN_LIT("a"));
    names_put(&a, SPAN_LIT("b"));
    ck_assert_uint_eq(a.n, 2);
    ck_assert_str_eq(a.list[0], "a");
    ck_assert(names_have(&a, "b") && !names_have(&a, "c") && !names_equal(&a, &b));
    names_put(&b, SPAN_LIT("a"));
    names_put(&b, SPAN_LIT("b"));
    ck_assert(names_equal(&a, &b));
    names_release(&a);
    names_release(&b);
    names_release(&b);
}
END_TEST

static const struct {
    const char *scheme, *begins;
    size_t n;
} chosen[] = {
    {"{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, signed: \"{body}\"}", "", 64},
    {"{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, key: {encoding: base64, strip: whsec_}, signed: "
     "\"{body}\"}",
     "whsec_", 50},
    {"{algorithm: hmac-sha256, signature: {header: X, encoding: hex}, key: {encoding: hex}, signed: \"{body}\"}", "", 64},
    {"{algorithm: basic}", "sluice:", 71},
    {"{algorithm: token, signature: {header: X}}", "", 64},
};

START_TEST(a_chosen_secret)
{
    char text[2048];
    struct buf a, b;
    struct err err = {0};
    snprintf(text, sizeof text, "sluice: 1\nname: acme\nverify: {x: %s}\n", chosen[_i].scheme);
    struct manifest *m = parse(text);
    buf_init(&a, 1 << 12);
    buf_init(&b, 1 << 12);
    ck_assert(webhooks_choose_secret(m, io_posix(), &a, &err) && webhooks_choose_secret(m, io_posix(), &b, &err));
    ck_assert_uint_eq(a.n, chosen[_i].n);
    ck_assert(span_starts(buf_span(&a), span_of(chosen[_i].begins)) && !span_eq(buf_span(&a), buf_span(&b)));
    buf_release(&a);
    buf_release(&b);
    manifest_free(&m);
}
END_TEST

static void holds(struct vault *v, enum vault_place place, const char *text)
{
    struct buf b;
    struct err err = {0};
    buf_init(&b, 1 << 12);
    ck_assert_msg(vault_read(v, place, &b, &err), "%s", err.msg);
    ck_assert_str_eq(buf_z(&b), text);
    buf_release(&b);
}

START_TEST(a_vault_of_files)
{
    char dir[CHECK_DIR_MAX], path[CHECK_DIR_MAX + 64];
    struct err err = {0};
    struct vault *v = NULL;
    struct stat st;
    check_dir_make(dir);
    snprintf(path, sizeof path, "%s/secrets/acme", dir);
    struct secret_ref ref = {.kind = SECRET_FILE, .at = path};
    struct source_config source = {.name = "acme"};
    struct config config = {0};
    ck_assert(!vault_open(&config, &source, io_posix(), &v, &err)); /* it names no file */
    ck_assert_ptr_nonnull(strstr(err.msg, "./secrets/acme"));
    source.secrets = &ref;
    source.n_secrets = 1;
    ck_assert(vault_open(&config, &source, io_posix(), &v, &err));
    holds(v, VAULT_PRESENT, "");
    ck_assert(vault_promote(v, &err) && vault_drop_next(v, &err)); /* nothing is there */
    ck_assert(vault_write(v, VAULT_PRESENT, SPAN_LIT("one"), &err) && vault_write(v, VAULT_NEXT, SPAN_LIT("two"), &err));
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    holds(v, VAULT_PRESENT, "one");
    holds(v, VAULT_NEXT, "two");
    ck_assert(vault_promote(v, &err));
    holds(v, VAULT_PRESENT, "two");
    holds(v, VAULT_NEXT, "");
    ck_assert(vault_promote(v, &err)); /* again: nothing */
    holds(v, VAULT_PRESENT, "two");
    vault_close(&v);
    check_dir_remove(dir);
}
END_TEST

CHECK_SUITE("webhooks calls", t)
{
    tcase_add_loop_test(t, a_body, 0, CHECK_ROWS(bodies));
    tcase_add_test(t, an_absent_value_is_told);
    tcase_add_test(t, sets_of_names);
    tcase_add_loop_test(t, a_chosen_secret, 0, CHECK_ROWS(chosen));
    tcase_add_test(t, a_vault_of_files);
}
