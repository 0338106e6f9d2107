/* A good configuration: what its keys become, defaults, variables, includes, fingerprints, the search for the file. */
#include "harness.h"
#include <fcntl.h>

#define SECOND UINT64_C(1000000)
#define MIB (UINT64_C(1) << 20)

static void assert_below(struct world *w, const char *path, const char *rest)
{
    char expected[1024];
    ck_assert_str_eq(path, world_path(w, rest, expected));
}

START_TEST(another_process_may_merge)
{
    struct world w;
    world_open(&w);
    ck_assert_ptr_null(world_good(&w, "sources: {demo: }\nmerge: {target: none}\n")->merge_db);
    world_close(&w);
}
END_TEST

START_TEST(one_source_is_enough)
{
    struct world w;
    world_open(&w);
    const struct config *c = world_good(&w, "sources: {demo: }\n");
    ck_assert_str_eq(c->listen.host, "127.0.0.1");
    ck_assert_uint_eq(c->listen.port, 8080);
    ck_assert_ptr_null(c->admin.host);
    ck_assert_ptr_null(c->admin_token.at);
    ck_assert_ptr_null(c->public_url);
    ck_assert_str_eq(c->dir, w.dir);
    assert_below(&w, c->data_dir, "data");
    assert_below(&w, c->objects_dir, "data/staging");
    assert_below(&w, c->merge_db, "data/tables.db");
    ck_assert_uint_eq(c->cut_bytes, 64 * MIB);
    ck_assert_uint_eq(c->cut_age_us, 60 * SECOND);
    ck_assert_uint_eq(c->merge_every_us, SECOND);
    ck_assert_uint_eq(c->retain_raw_us, 7 * 86400 * SECOND);
    ck_assert_uint_eq(c->rejected_max, 100);
    ck_assert_uint_eq(c->retain_runs_us, 90 * 86400 * SECOND);
    ck_assert_uint_eq(c->journal_max_bytes, 20 * 1024 * MIB);
    ck_assert_uint_eq(c->journal_reserve_bytes, 256 * MIB);
    ck_assert_uint_eq(c->segment_bytes, 64 * MIB);
    ck_assert_uint_eq(c->body_bytes_max, 26 * MIB);
    ck_assert_uint_eq(c->header_bytes_max, 32 * 1024);
    ck_assert_uint_eq(c->connections_max, 4096);
    ck_assert_uint_eq(c->idle_us, 30 * SECOND);
    ck_assert_uint_eq(c->request_us, 60 * SECOND);
    ck_assert_uint_eq(c->head_us, 10 * SECOND);
    ck_assert_uint_eq(c->body_us, 60 * SECOND);
    ck_assert_uint_eq(c->per_address_max, 256);
    ck_assert_uint_eq(c->n_proxies, 0);
    ck_assert_ptr_null(c->tls_cert);
    ck_assert_ptr_null(c->tls_key);
    ck_assert(c->threads >= 1 && c->threads <= 4);
    ck_assert_uint_eq(c->drain_us, 0);
    ck_assert_uint_eq(c->stop_us, 30 * SECOND);
    ck_assert(!c->log_json);
    ck_assert_uint_eq(c->n_idle_keys, 0);
    ck_assert_uint_eq(c->n_sources, 1);
    const struct source_config *s = &c->sources[0];
    ck_assert_str_eq(s->manifest->name, "demo");
    ck_assert(s->all_tables && !s->unverified && !s->webhook_off && !s->accounts_many);
    ck_assert(source_has_table(s, SPAN_LIT("customers")) && source_has_table(s, SPAN_LIT("events")));
    ck_assert_ptr_null(source_table_config(s, SPAN_LIT("customers")));
    world_close(&w);
}
END_TEST

static char *example(void)
{
    char *text;
    size_t n;
    struct err err = {0};
    ck_assert_msg(io_read_file(io_posix(), SLUICE_ROOT "/config/sluice.example.yaml", 1 << 20, &text, &n, &err), "%s", err.msg);
    return text;
}

static void check_example_stripe(struct world *w, const struct source_config *s)
{
    ck_assert_str_eq(s->manifest->name, "stripe");
    ck_assert_uint_eq(s->n_secrets, 2);
    ck_assert_int_eq(s->secrets[0].kind, SECRET_FILE);
    assert_below(w, s->secrets[0].at, "secrets/stripe");
    ck_assert_uint_eq(s->secrets[0].retire_at_us, 0);
    ck_assert_int_eq(s->secrets[1].kind, SECRET_ENV);
    ck_assert_str_eq(s->secrets[1].at, "STRIPE_WHSEC_OLD");
    ck_assert_uint_eq(s->secrets[1].retire_at_us, UINT64_C(1796083200) * SECOND);
    ck_assert_uint_eq(s->n_values, 3);
    ck_assert_str_eq(s->values[0].name, "api_key");
    ck_assert(s->values[0].secret && s->values[0].ref.kind == SECRET_ENV && !s->values[0].text);
    ck_assert_str_eq(s->values[0].ref.at, "STRIPE_API_KEY");
    ck_assert_str_eq(s->values[1].text, "2026-07-29");
    ck_assert_str_eq(s->values[2].text, "true");
    ck_assert_str_eq(s->base_url, "http://127.0.0.1:12111");
    ck_assert_str_eq(s->public_url, "https://stripe.example.com");
    ck_assert(s->accounts_many && !s->webhook_off && !s->unverified && !s->all_tables);
    ck_assert_uint_eq(s->backfill_from_us, UINT64_C(1704067200) * SECOND);
    ck_assert_uint_eq(s->n_tables, 3);
    const struct table_config *t = source_table_config(s, SPAN_LIT("customers"));
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_eq(t->every_us, 3600 * SECOND);
    ck_assert(t->flag_deletes);
    ck_assert_uint_eq(t->n_columns, 3);
    ck_assert_int_eq(t->columns[0].action, COLUMN_HASH);
    ck_assert_str_eq(t->columns[1].from, "address.line1");
    ck_assert_int_eq(t->columns[1].action, COLUMN_DROP);
    ck_assert_uint_eq(t->columns[1].n_steps, 2);
    ck_assert(span_eqz(t->columns[1].steps[0], "address") && span_eqz(t->columns[1].steps[1], "line1"));
    ck_assert_int_eq(t->columns[2].action, COLUMN_RENAME);
    ck_assert_str_eq(t->columns[2].to, "full_name");
    ck_assert(source_has_table(s, SPAN_LIT("events")) && !source_has_table(s, SPAN_LIT("charges")));
}

START_TEST(the_example_says_what_it_says)
{
    struct world w;
    world_open(&w);
    char *text = example();
    unsetenv("SLUICE_LISTEN");
    const struct config *c = world_good(&w, text);
    ck_assert_str_eq(c->listen.host, "127.0.0.1");
    ck_assert_uint_eq(c->listen.port, 8080);
    ck_assert_str_eq(c->admin.host, "127.0.0.1");
    ck_assert_uint_eq(c->admin.port, 9090);
    assert_below(&w, c->admin_token.at, "secrets/admin");
    ck_assert_str_eq(c->public_url, "https://hooks.example.com");
    ck_assert_uint_eq(c->threads, 2);
    ck_assert_uint_eq(c->n_proxies, 2);
    ck_assert_uint_eq(c->proxies[0].bits, 96 + 8);
    ck_assert_uint_eq(c->proxies[1].bits, 128);
    assert_below(&w, c->tls_cert, "tls/cert.pem");
    assert_below(&w, c->tls_key, "tls/key.pem");
    ck_assert_uint_eq(c->n_sources, 3);
    check_example_stripe(&w, config_source(c, SPAN_LIT("stripe")));
    const struct source_config *acme = config_source(c, SPAN_LIT("acme"));
    ck_assert_uint_eq(acme->manifest->n_schemes, 1);
    ck_assert_str_eq(acme->manifest->schemes[0].name, "acme-hmac");
    ck_assert_str_eq(acme->public_url, "https://hooks.example.com");
    ck_assert(config_source(c, SPAN_LIT("lab"))->unverified);
    ck_assert_ptr_null(config_source(c, SPAN_LIT("nobody")));
    setenv("SLUICE_LISTEN", "[::1]:0", 1);
    c = world_good(&w, text);
    ck_assert_str_eq(c->listen.host, "::1");
    ck_assert_uint_eq(c->listen.port, 0);
    unsetenv("SLUICE_LISTEN");
    free(text);
    world_close(&w);
}
END_TEST

START_TEST(variables_stand_in_any_value)
{
    struct world w;
    world_open(&w);
    setenv("T_DIR", "there", 1);
    setenv("T_EMPTY", "", 1);
    setenv("T_TABLE", "invoices", 1);
    const struct config *c = world_good(&w,
        "data_dir: ./a-${T_DIR}-${T_UNSET:-b}${T_EMPTY:-c}${T_UNSET:-}\n"
        "public_url: ${T_UNSET:-}\nadmin: {listen: \"${T_UNSET:-}\", token_file: \"${T_UNSET:-}\"}\n"
        "limits: {body: \"${T_UNSET:-2}MiB\"}\nlog: {format: \"${T_UNSET:-json}\"}\n"
        "sources: {x: {manifest: \"${T_UNSET:-demo}\", webhook: \"${T_UNSET:-off}\", backfill_from: \"${T_UNSET:-2024-01-01}\",\n"
        "  base_url: \"${T_EMPTY:-http://h}\", tables: {\"invoices\": {every: \"${T_UNSET:-5m}\", columns: {a: \"${T_UNSET:-drop}\"}}}}}\n");
    assert_below(&w, c->data_dir, "a-there-bc");
    ck_assert_ptr_null(c->public_url);
    ck_assert_ptr_null(c->admin.host);
    ck_assert_ptr_null(c->admin_token.at);
    ck_assert_uint_eq(c->body_bytes_max, 2 * MIB);
    ck_assert(c->log_json);
    const struct source_config *s = &c->sources[0];
    ck_assert(s->webhook_off && s->backfill_from_us);
    ck_assert_str_eq(s->base_url, "http://h");
    ck_assert_uint_eq(s->tables[0].every_us, 300 * SECOND);
    ck_assert_int_eq(s->tables[0].columns[0].action, COLUMN_DROP);
    c = world_good(&w, "sources: {demo: {tables: [\"${T_TABLE}\"]}}\ndata_dir: /abs/$olute\n");
    ck_assert(source_has_table(&c->sources[0], SPAN_LIT("invoices")) && !source_has_table(&c->sources[0], SPAN_LIT("customers")));
    ck_assert_str_eq(c->data_dir, "/abs/$olute");
    world_close(&w);
}
END_TEST

START_TEST(includes_add_sources)
{
    struct world w;
    char path[1024];
    world_open(&w);
    world_write(&w, "d/a.yaml", "sources: {one: {manifest: demo}}\n");
    world_write(&w, "d/b.yaml", "sources: {two: {manifest: demo, secrets: [{file: ./s}]}}\n");
    world_write(&w, "d/c.yaml", "# nothing\n");
    const struct config *c = world_good(&w, "sources:\ninclude: [d/*.yaml, d/a.yaml, none/*.yaml, ./*.yaml]\n");
    ck_assert_uint_eq(c->n_sources, 2);
    ck_assert_str_eq(c->sources[0].name, "one");
    ck_assert_str_eq(c->sources[1].name, "two");
    assert_below(&w, c->sources[1].secrets[0].at, "s"); /* beside the main file */
    world_write(&w, "d/z.yaml", "sources: {two: {manifest: demo}}\n");
    ck_assert(!world_load(&w, "include: d/*.yaml\n"));
    ck_assert_ptr_nonnull(strstr(world_said(&w), "d/z.yaml:1:11: sources.two: the source is there already, in d/b.yaml:1"));
    ck_assert(!world_load(&w, "include: d/missing.yaml\n"));
    ck_assert_ptr_nonnull(strstr(world_said(&w), "d/missing.yaml is not there"));
    unlink(world_path(&w, "d/z.yaml", path));
    for (int i = 0; i < 70; i++) {
        char name[32];
        snprintf(name, sizeof name, "many/%d.yaml", i);
        world_write(&w, name, "");
    }
    ck_assert(!world_load(&w, "sources: {demo: }\ninclude: many/*\n"));
    ck_assert_ptr_nonnull(strstr(world_said(&w), "more than 63 files"));
    world_close(&w);
}
END_TEST

static uint64_t fingerprint(struct world *w, const char *settings)
{
    char text[1024];
    snprintf(text, sizeof text, "sources: {demo: {%s}}\n", settings);
    return world_good(w, text)->sources[0].fingerprint;
}

START_TEST(fingerprint_names_the_rows)
{
    static const char *const same[] = {"", "secrets: [{file: ./a}]", "webhook: off", "base_url: http://h", "backfill_from: 2024-01-01"};
    static const char *const different[] = {
        "",
        "accounts: many",
        "tables: [customers]",
        "tables: {customers: {columns: {a: drop}}}",
        "tables: {customers: {columns: {a: hash}}}",
        "tables: {customers: {columns: {a: b}}}",
        "tables: {customers: {columns: {b: drop}}}",
        "tables: {customers: {columns: {a: drop, b: drop}}}",
        "tables: {customers: {columns: {a: drop}}, all: }",
        "tables: {customers: {columns: {a: drop}}, invoices: }",
        "tables: {customers: , invoices: {columns: {a: drop}}}",
    };
    struct world w;
    world_open(&w);
    uint64_t first = fingerprint(&w, "");
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        ck_assert_msg(fingerprint(&w, same[i]) == first, "%s", same[i]);
    uint64_t seen[sizeof(different) / sizeof(different[0])];
    for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
        seen[i] = fingerprint(&w, different[i]);
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(seen[i] != seen[k], "%s and %s", different[i], different[k]);
    }
    ck_assert(fingerprint(&w, "tables: [customers, invoices]") == fingerprint(&w, "tables: [invoices, customers]"));
    ck_assert(fingerprint(&w, "tables: {customers: {columns: {a: drop}}}") ==
              fingerprint(&w, "tables: {customers: {columns: {a: drop}, every: 1h, deletes: flag}}"));
    world_close(&w);
}
END_TEST

START_TEST(the_file_is_found)
{
    struct world w;
    struct err err = {0};
    const char *found = NULL;
    char path[1024];
    world_open(&w);
    int back = open(".", O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(chdir(w.dir), 0);
    if (access("/etc/sluice/sluice.yaml", F_OK) != 0) {
        ck_assert(!config_find(NULL, &found, &err));
        ck_assert_ptr_null(found);
        ck_assert_int_eq(err.cls, ERR_CONFIG);
        ck_assert_str_eq(err.msg, "no sluice.yaml here and none in /etc/sluice; `sluice init SOURCE` writes one");
    }
    world_write(&w, "sluice.yaml", "sources: {demo: {tabels: []}}\n");
    ck_assert(config_find(NULL, &found, &err));
    ck_assert_str_eq(found, "sluice.yaml");
    ck_assert(!config_load(NULL, &w.report, &err)); /* named as it was found */
    ck_assert_int_eq(strncmp(buf_z(&w.report.text), "sluice.yaml:1:18: ", 18), 0);
    ck_assert(!config_find("other.yaml", &found, &err));
    ck_assert_str_eq(err.msg, "cannot read other.yaml: No such file or directory");
    world_forget(&w);
    ck_assert(!config_load(world_path(&w, "", path), &w.report, &err)); /* a folder */
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert_uint_eq(w.report.count, 0);
    ck_assert(!config_load("other.yaml", &w.report, NULL));
    ck_assert_int_eq(fchdir(back), 0);
    close(back);
    world_close(&w);
}
END_TEST

START_TEST(delivered_secrets_stand_beside_the_others)
{
    static const char manifest[] = "sluice: 1\nname: hook\nverify: {h: {algorithm: token, signature: {header: X}}}\n"
                                   "handshake: {when: {header.S: present}, verified: false, secret: header.S, answer: {text: a}}\n";
    static const char *const name[] = {"data/secrets/hook/2-b", "data/secrets/hook/1-a"};
    struct world w;
    char path[1024];
    struct report r;
    world_open(&w);
    report_init(&r);
    world_write(&w, "sources/hook.yaml", manifest);
    struct config *c = world_good(&w, "data_dir: data\nsources: {hook: {secrets_until: 2024-05-01}}\n");
    ck_assert_uint_eq(c->sources[0].n_secrets, 0);
    ck_assert_uint_eq(c->sources[0].secrets_until_us, UINT64_C(1714521600) * SECOND);
    config_warnings(c, &r);
    ck_assert_ptr_nonnull(strstr(buf_z(&r.text), "! hook: no secret yet: the first handshake brings one"));
    for (int i = 0; i < 2; i++)
        world_write(&w, name[i], "0123456789abcdef");
    world_write(&w, "data/secrets/hook/3-c.partial", "half");
    world_write(&w, "named", "0123456789abcdefg");
    c = world_good(&w, "data_dir: data\nsources: {hook: {secrets: [{file: named}]}}\n");
    ck_assert_uint_eq(c->sources[0].n_secrets, 3);
    ck_assert_str_eq(c->sources[0].secrets[0].at, world_path(&w, "named", path));
    ck_assert_str_eq(c->sources[0].secrets[1].at, world_path(&w, name[1], path));
    ck_assert_str_eq(c->sources[0].secrets[2].at, world_path(&w, name[0], path));
    c = world_good(&w, "data_dir: data\nsources: {hook: {verification: none}}\n");
    ck_assert_uint_eq(c->sources[0].n_secrets, 0);
    report_release(&r);
    world_close(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config load");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    tcase_add_test(t, one_source_is_enough);
    tcase_add_test(t, another_process_may_merge);
    tcase_add_test(t, the_example_says_what_it_says);
    tcase_add_test(t, variables_stand_in_any_value);
    tcase_add_test(t, includes_add_sources);
    tcase_add_test(t, fingerprint_names_the_rows);
    tcase_add_test(t, the_file_is_found);
    tcase_add_test(t, delivered_secrets_stand_beside_the_others);
    return run(s);
}
