/* Secrets: reading them, their ids, what warns of them; and no literal one in any message, wherever it was written. */
#include "harness.h"
#include <fcntl.h>
#include <unistd.h>

START_TEST(read_from_files)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *secret, *wrong; /* one of them NULL */
    } rows[] = {
        {"abc", 3, "abc", NULL},       {"abc\n", 4, "abc", NULL}, {"abc\r\n\n", 6, "abc", NULL}, {" a b \n", 6, " a b ", NULL},
        {"a\nb\n", 4, "a\nb", NULL},   {"", 0, NULL, " is empty"}, {"\n\r\n", 3, NULL, " is empty"},
    };
    struct world w;
    char path[1024], *secret = NULL;
    size_t n = 0;
    world_open(&w);
    struct secret_ref ref = {.kind = SECRET_FILE, .at = world_path(&w, "s", path)};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        world_write(&w, "s", rows[i].bytes);
        bool ok = secret_read(&ref, &secret, &n, &err);
        ck_assert_int_eq(ok, rows[i].secret != NULL);
        if (ok)
            ck_assert(n == strlen(rows[i].secret) && memcmp(secret, rows[i].secret, n + 1) == 0);
        else
            ck_assert(err.cls == ERR_CONFIG && strstr(err.msg, rows[i].wrong) && strstr(err.msg, path));
        secret_free(&secret, n);
        ck_assert_ptr_null(secret);
    }
    world_close(&w);
}
END_TEST

START_TEST(what_is_no_secret_file)
{
    struct world w;
    struct err err = {0};
    char path[1024], *secret = NULL, *big = malloc(65538);
    size_t n = 7;
    world_open(&w);
    struct secret_ref ref = {.kind = SECRET_FILE, .at = world_path(&w, "s", path)};
    ck_assert(!secret_read(&ref, &secret, &n, &err));
    ck_assert(err.cls == ERR_CONFIG && strstr(err.msg, "No such file") && strstr(err.msg, path));
    ck_assert_int_eq(mkfifo(path, 0600), 0); /* nobody writes to it: reading must not wait */
    ck_assert(!secret_read(&ref, &secret, &n, &err));
    ck_assert_ptr_nonnull(strstr(err.msg, "a device or a pipe, not a file"));
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert(!secret_read(&ref, &secret, &n, &err));
    ck_assert_ptr_nonnull(strstr(err.msg, "a folder"));
    rmdir(path);
    memset(big, 'x', 65537);
    big[65537] = 0;
    world_write(&w, "s", big);
    ck_assert(!secret_read(&ref, &secret, &n, &err));
    ck_assert_ptr_nonnull(strstr(err.msg, "larger than 64 KiB"));
    ck_assert(secret == NULL && n == 7);
    big[65536] = 0;
    world_write(&w, "s", big);
    ck_assert(secret_read(&ref, &secret, &n, &err));
    ck_assert_uint_eq(n, 65536);
    secret_free(&secret, n);
    free(big);
    world_close(&w);
}
END_TEST

START_TEST(read_from_the_environment)
{
    struct secret_ref ref = {.kind = SECRET_ENV, .at = "SLUICE_T_SECRET"};
    struct err err = {0};
    char *secret = NULL;
    size_t n = 0;
    unsetenv("SLUICE_T_SECRET");
    ck_assert(!secret_read(&ref, &secret, &n, &err));
    ck_assert_str_eq(err.msg, "the environment variable SLUICE_T_SECRET is not set");
    setenv("SLUICE_T_SECRET", "", 1);
    ck_assert(!secret_read(&ref, &secret, &n, &err));
    ck_assert_str_eq(err.msg, "the environment variable SLUICE_T_SECRET is empty");
    setenv("SLUICE_T_SECRET", "abc", 1);
    ck_assert(secret_read(&ref, &secret, &n, &err) && n == 3);
    ck_assert_str_eq(secret, "abc");
    ck_assert(!secret_is_open(&ref));
    secret_free(&secret, n);
}
END_TEST

START_TEST(ids_are_of_the_secret_alone)
{
    char id[SECRET_ID_MAX];
    secret_id(SPAN_LIT("abc"), id);
    ck_assert_str_eq(id, "721163"); /* printf 'sluice secret abc' | sha256sum */
    secret_id(SPAN_LIT("abd"), id);
    ck_assert_str_ne(id, "721163");
}
END_TEST

START_TEST(open_files_are_told)
{
    static const struct {
        mode_t mode;
        bool open;
    } rows[] = {{0600, false}, {0400, false}, {0700, false}, {0640, true}, {0604, true}, {0620, true}, {0644, true}, {0440, true}};
    struct world w;
    char path[1024];
    world_open(&w);
    world_write(&w, "s", "abc");
    struct secret_ref ref = {.kind = SECRET_FILE, .at = world_path(&w, "s", path)};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_int_eq(chmod(path, rows[i].mode), 0);
        ck_assert_msg(secret_is_open(&ref) == rows[i].open, "%o", (unsigned)rows[i].mode);
    }
    /* A volume's file: another's, and ours by the group. */
    ck_assert_int_eq(chmod(path, 0440), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 1, getegid()), 0);
        ck_assert(!secret_is_open(&ref));
        ck_assert_int_eq(chmod(path, 0460), 0);
        ck_assert(secret_is_open(&ref));
    }
    world_close(&w);
}
END_TEST

START_TEST(pairs_hold_what_secrets_refer_to)
{
    struct world w;
    struct err err = {0};
    struct scope_pair *pairs = NULL;
    size_t n = 0;
    world_open(&w);
    const struct config *c = world_good(&w, "sources: {stripe: {config: {api_key: {file: ./k}, api_version: v1}}}\n");
    ck_assert(!config_pairs(&c->sources[0], &pairs, &n, &err));
    ck_assert_int_eq(strncmp(err.msg, "stripe.config.api_key: ", 23), 0);
    ck_assert_ptr_null(pairs);
    world_write(&w, "k", "sk_live_1\n");
    ck_assert_msg(config_pairs(&c->sources[0], &pairs, &n, &err), "%s", err.msg);
    ck_assert_uint_eq(n, 3);
    ck_assert(span_eqz(pairs[0].name, "api_key") && span_eqz(pairs[0].value, "sk_live_1"));
    ck_assert(span_eqz(pairs[1].name, "api_version") && span_eqz(pairs[1].value, "v1"));
    ck_assert(span_eqz(pairs[2].name, "live") && span_eqz(pairs[2].value, "true"));
    config_pairs_free(&pairs, n);
    ck_assert_ptr_null(pairs);
    world_close(&w);
}
END_TEST

/* %s is the planted secret. Each is refused. */
static const char *const planted[] = {
    "sources: {demo: {secrets: [%s]}}\n",
    "sources: {demo: {secrets: %s}}\n",
    "sources: {demo: {secrets: [\"%s\"], webhok: off}}\n",
    "sources:\n  demo: {secrets: [{fil: %s}], tables: [x]}\n",
    "sources:\n  demo: {secrets: [{%s: }], tables: [x]}\n",
    "sources:\n  demo: {secrets: [{%s: {a: b}}], tables: [x]}\n",
    "sources:\n  demo: {secrets: {%s: 1}, tables: [x]}\n",
    "sources:\n  demo: {secrets: [[%s]], tables: [x]}\n",
    "sources:\n  demo: {secrts: [%s]}\n",
    "sources:\n  demo: {secret: {value: [{deep: %s}]}}\n",
    "sources:\n  demo: {secrts: {%s: %s}}\n",
    "sources:\n  demo: %s\n",
    "sources: %s\n",
    "sources: [%s]\n",
    "sources:\n  demo: {config: {api_key: %s}, tables: [x]}\n",
    "sources:\n  demo: {config: {api_key: [%s]}, tables: [x]}\n",
    "sources:\n  demo: {config: {api_key: {%s: 1}}, tables: [x]}\n",
    "sources:\n  demo: {config: {api_kye: %s}, tables: [x]}\n",
    "sources:\n  demo: {config: {api_key: |\n    %s\n    second line\n  }, tables: [x]}\n",
    "sources:\n  demo:\n    config:\n      api_key: |\n        %s\n",
    "sources:\n  demo:\n    config:\n      api_key: \"%s\n        more\"\n",
    "sources:\n  demo: {config: %s, tables: [x]}\n",
    "sources:\n  nobody: {secrets: [%s]}\n",
    "sources:\n  nobody: {config: {key: %s}}\n",
    "sources:\n  stripe: {config: {api_version: v, live: 7, api_key: %s}}\n",
    "token: %s\nsources: {demo: }\n",
    "admin: {token: %s, listen: nowhere}\nsources: {demo: }\n",
    "admin: {token: {%s: }, listen: nowhere}\nsources: {demo: }\n",
    "limits: %s\nsources: {demo: }\n",
    /* no tree */
    "sources: {demo: {secrets: [%s]\n",
    "sources: {demo: {secrets: [%s], secrets: []}}\n",
    "sources:\n  demo: {secrets: [%s], secrets: []}\n",
    "sources:\n  demo:\n    secrets: [&a %s]\n",
    "sources:\n  demo:\n    secrets: [!x %s]\n",
    "sources:\n  demo:\n    secrets: [{file: *a}, '%s']\n",
    "sources:\n  demo: {config: {api_key: \"%s}}\n",
    "sources:\n  demo:\n    config:\n      api_key: %s: x\n",
    "sources:\n  demo:\n\tconfig: {api_key: %s}\n",
    "---\nsources: {demo: {secrets: [%s]}}\n--- %s\n",
    "sources: {demo: {secrets: [{env: A-%s}]}}\n",
};

static void plant(struct world *w, const char *pattern, const char *secret)
{
    struct buf text;
    buf_init(&text, 0);
    for (const char *p = pattern, *at; *p; p = at + 2) {
        at = strstr(p, "%s");
        buf_add(&text, p, at ? (size_t)(at - p) : strlen(p));
        if (!at)
            break;
        buf_addz(&text, secret);
    }
    ck_assert_msg(!world_load(w, buf_z(&text)), "loaded:\n%s", buf_z(&text));
    ck_assert_msg(w->report.count > 0, "%s", w->err.msg);
    ck_assert_msg(!strstr(buf_z(&w->report.text), secret), "the secret of\n%sis told:\n%s", buf_z(&text), buf_z(&w->report.text));
    ck_assert_msg(!strstr(w->err.msg, secret), "the secret is told: %s", w->err.msg);
    world_write(w, "inc.yaml", buf_z(&text)); /* the same in an included file */
    ck_assert(!world_load(w, "sources: {x: {manifest: demo}}\ninclude: inc.yaml\n"));
    ck_assert_msg(!strstr(buf_z(&w->report.text), secret), "the secret of\n%sis told:\n%s", buf_z(&text), buf_z(&w->report.text));
    buf_release(&text);
}

START_TEST(no_literal_secret_in_a_message)
{
    static const char *const secrets[] = {"hunter2", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "sk_live_51Hxyz", "correct-horse_battery",
                                          "8f742231b10e8888abcd99yyyzzz85a5"};
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < sizeof(planted) / sizeof(planted[0]); i++)
        for (size_t k = 0; k < sizeof(secrets) / sizeof(secrets[0]); k++)
            plant(&w, planted[i], secrets[k]);
    world_close(&w);
}
END_TEST

/* What begins like a provider's credential is refused wherever it stands, and never repeated. */
START_TEST(credentials_anywhere)
{
    static const char *const places[] = {
        "listen: %s\nsources: {demo: }\n",
        "%s: 1\nsources: {demo: }\n",
        "sources: {%s: }\n",
        "sources: {demo: {manifest: %s}}\n",
        "sources: {demo: {verification: %s}}\n",
        "sources: {demo: {tables: [%s]}}\n",
        "sources: {demo: {tables: {%s: {}}}}\n",
        "sources: {demo: {secrets: [{file: %s}]}}\n",
        "sources: {demo: {secrets: [{env: %s}]}}\n",
        "sources: {acme: {manifest: generic, verify: {a: {key: %s}}}}\n",
        "sources: {stripe: {config: {api_version: %s}}}\n",
        "include: %s\nsources: {demo: }\n",
    };
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        plant(&w, places[i], "whsec_abcdef");
        plant(&w, places[i], "xoxb-12-ab");
    }
    ck_assert(!world_load(&w, "listen: sk_test_1\nlistn: 2\n"));
    ck_assert_str_eq(world_said(&w), "sluice.yaml:1:9: this looks like a secret; none is written into the file: write {file: "
                                     "./secrets/name} or {env: NAME}\n");
    world_close(&w);
}
END_TEST

/* The rest of a line stays readable: only what could be a secret is starred. */
START_TEST(messages_still_show_their_lines)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        {"sources: {demo: {secrets: [hunter2], tables: [x]}}\n", "    1 | sources: {demo: {secrets: [*******], tables: [x]}}\n"},
        {"sources: {demo: {secrets: [{file: ./s}], tables: [x]}}\n", "    1 | sources: {demo: {secrets: [{file: ./s}], tables: [x]}}\n"},
        {"sources: {stripe: {config: {api_version: v, live: 7, api_key: k}}}\n",
         "    1 | sources: {stripe: {config: {api_version: v, live: 7, api_key: *}}}\n"},
        {"sources: {demo: {secrets: [{env: A}], secrets: []}}\n", "    1 | sources: {demo: {secrets: [{env: *}], secrets: []}}\n"},
        {"sources: {demo: {webhook: off}, demo: }\n", "    1 | sources: {demo: {webhook: ***}, demo: }\n"},
    };
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert(!world_load(&w, rows[i].text));
        ck_assert_msg(strstr(world_said(&w), rows[i].shown) != NULL, "expected %ssaid %s", rows[i].shown, world_said(&w));
    }
    world_close(&w);
}
END_TEST

START_TEST(risks_are_warned_of)
{
    static const struct {
        const char *text, *warned; /* NULL: nothing at all */
    } rows[] = {
        {"public_url: https://h\nsources: {demo: {secrets: [{file: ./s}], config: {api_key: {file: ./s}}}}\n", NULL},
        {"sources: {demo: {webhook: off}}\n", NULL},
        {"sources: {demo: {secrets: [{file: ./s}]}}\n",
         "! no public_url: where providers are to post to is not known; write public_url: https://…\n"},
        {"sources: {demo: }\n",
         "! demo: no secret is named: every delivery will be answered 503; write secrets: [{file: ./secrets/demo}]\n"},
        {"sources: {demo: {verification: none}}\n", "! demo: verification: none: whoever reaches the endpoint can write rows\n"},
        {"sources: {demo: {secrets: [{file: ./s, retire_at: 2020-01-02T00:00:00Z}]}}\n",
         "retired on 2020-01-02: it verifies nothing any more; leave it out\n"},
        {"sources: {demo: {secrets: [{file: ./s, retire_at: 2020-01-02T00:00:00Z}]}}\n", "! demo: no secret that is still in use: every"},
        {"sources: {demo: {secrets: [{file: ./missing}]}}\n", "missing: No such file or directory\n"},
        {"sources: {demo: {secrets: [{file: ./open}]}}\n", "! demo: others can read or change "},
        {"sources: {demo: {secrets: [{env: SLUICE_T_UNSET}]}}\n", "! demo: the environment variable SLUICE_T_UNSET is not set\n"},
        {"sources: {stripe: {secrets: [{file: ./s}], config: {api_version: v, api_key: {file: ./s}}}}\n",
         " holds does not look like one: it does not match ^[sr]k_(live|test)_\n"},
        {"sources: {demo: {config: {api_key: {file: ./open}}}}\n", "! demo: config.api_key: others can read or change "},
        {"admin: {listen: \"127.0.0.1:9\"}\nsources: {demo: }\n", "! admin: no token_file: whoever reaches 127.0.0.1:9 may read it\n"},
        {"admin: {listen: \"0.0.0.0:9\", token_file: ./open}\nsources: {demo: }\n", "! admin.token_file: others can read or change "},
        {"admin: {listen: \"[::1]:9\"}\nsources: {demo: }\n", "! admin: no token_file: whoever reaches ::1:9 may read it\n"},
        {"admin: {listen: \"127.1.2.3:9\"}\nsources: {demo: }\n", "! admin: no token_file: whoever reaches 127.1.2.3:9 may read it\n"},
        {"admin: {listen: \"localhost:9\"}\nsources: {demo: }\n", "! admin: no token_file: whoever reaches localhost:9 may read it\n"},
        {"tls: {cert: ./s, key: ./open}\nsources: {demo: }\n", "! tls.key: others can read or change "},
        {"tls: {cert: ./s, key: ./missing}\nsources: {demo: }\n", "! tls.key: cannot read "},
        {"tls: {cert: ./missing, key: ./s}\nsources: {demo: }\n", "! tls.cert: cannot read "},
        {"proxies: [0.0.0.0/0]\nsources: {demo: }\n", "! proxies: everybody is a proxy"},
        {"proxies: [10.0.0.0/8, \"::/0\"]\nsources: {demo: }\n", "! proxies: everybody is a proxy"},
        {"retention: {runs: 1d}\nsources: {demo: }\n", "! retention.runs: read, but nothing in this version acts on it\n"},
        {"sources: {a: {manifest: generic, secrets: [{file: ./s}], verify: {v: {algorithm: hmac-sha1, signature: {header: X-S, encoding: "
         "base64}, signed: \"{url}{body}\"}}}}\n",
         "! a: its signatures cover the URL, and there is no public_url: behind a proxy none will match\n"},
    };
    struct world w;
    char path[1024];
    world_open(&w);
    world_write(&w, "s", "planted-content");
    world_write(&w, "open", "planted-content");
    ck_assert_int_eq(chmod(world_path(&w, "open", path), 0644), 0);
    unsetenv("SLUICE_T_UNSET");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct config *c = world_good(&w, rows[i].text);
        config_warnings(c, &w.report);
        const char *said = world_said(&w);
        ck_assert_msg(!strstr(said, "planted-content"), "%s", said);
        if (rows[i].warned)
            ck_assert_msg(strstr(said, rows[i].warned) != NULL, "of\n%sexpected %s\nsaid %s", rows[i].text, rows[i].warned, said);
        else
            ck_assert_msg(!*said, "of\n%ssaid %s", rows[i].text, said);
    }
    world_close(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config secret");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 240);
    suite_add_tcase(s, t);
    tcase_add_test(t, read_from_files);
    tcase_add_test(t, what_is_no_secret_file);
    tcase_add_test(t, read_from_the_environment);
    tcase_add_test(t, ids_are_of_the_secret_alone);
    tcase_add_test(t, open_files_are_told);
    tcase_add_test(t, pairs_hold_what_secrets_refer_to);
    tcase_add_test(t, no_literal_secret_in_a_message);
    tcase_add_test(t, credentials_anywhere);
    tcase_add_test(t, messages_still_show_their_lines);
    tcase_add_test(t, risks_are_warned_of);
    return run(s);
}
