/* Staged objects into the table: each once, the bad ones aside, one merger at a time. */
#include "staged.h"
#include "core/log.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static const struct put first[] = {
    {.key = "{\"id\":1}", .version = "1", .observed = 1, .row = "{\"id\":1,\"a\":1}"},
    {.key = "{\"id\":2}", .version = "1", .observed = 1, .row = "{\"id\":2,\"a\":1}"},
};
static const struct put second[] = {
    {.key = "{\"id\":1}", .version = "2", .observed = 2, .row = "{\"id\":1,\"a\":2}"},
    {.op = ROW_DELETE, .key = "{\"id\":2}", .version = "2", .observed = 2},
    {.key = "{\"id\":1}", .version = "0", .observed = 0, .row = "{\"id\":1,\"a\":0}"},
};

START_TEST(objects_are_merged_once)
{
    struct staged s;
    staged_init(&s);
    staged_start(&s);
    staged_pass_ok(&s);
    ck_assert_uint_eq(s.counts.objects, 0);
    staged_rows(&s, "events", 1, first, 2);
    staged_rows(&s, "events", 11, second, 3);
    staged_pass_ok(&s);
    ck_assert_uint_eq(s.counts.objects, 2);
    ck_assert_uint_eq(s.counts.rows, 5);
    ck_assert_uint_eq(s.counts.inserted, 2);
    ck_assert_uint_eq(s.counts.updated, 1);
    ck_assert_uint_eq(s.counts.deleted, 1);
    ck_assert_uint_eq(s.counts.kept_out, 1);
    expect(&s.w, "SELECT * FROM acme_orders", "{\"id\":1,\"a\":2}\n");
    staged_pass_ok(&s);
    ck_assert_uint_eq(s.counts.objects, 0);
    merger_free(&s.merger);
    staged_start(&s);
    staged_pass_ok(&s);
    ck_assert_uint_eq(s.counts.objects, 0);
    expect(&s.w, "SELECT objects, rows FROM _sluice_counts", "{\"objects\":2,\"rows\":5}\n");
    staged_done(&s);
}
END_TEST

START_TEST(a_bad_line_stops_nobody)
{
    struct staged s;
    struct buf text = {0};
    char key[STORE_KEY_MAX];
    staged_init(&s);
    staged_start(&s);
    struct row good = row_of(&s.w, &first[0]), other = row_of(&s.w, &first[1]), keyless = row_of(&s.w, &first[1]);
    other.table = SPAN_LIT("customers");
    keyless.key = SPAN_LIT("{\"number\":1}");
    buf_addz(&text, "{\"format\":1}\nno json\n");
    row_write(&text, &other);
    row_write(&text, &keyless);
    row_write(&text, &good);
    object_key("orders", "events", 1, key);
    staged_write(&s, key, buf_span(&text), 0);
    staged_pass_ok(&s);
    ck_assert_uint_eq(s.counts.rows, 5);
    ck_assert_uint_eq(s.counts.rejected, 4);
    ck_assert_uint_eq(s.counts.inserted, 1);
    expect(&s.w, "SELECT id FROM acme_orders", "{\"id\":1}\n");
    ck_assert_int_eq(number(&s.w, "SELECT rejected FROM _sluice_counts"), 4);
    ck_assert_int_eq(number(&s.w, "SELECT count(*) FROM _sluice_rejected WHERE object = (SELECT object FROM _sluice_inputs)"), 4);
    expect(&s.w, "SELECT line FROM _sluice_rejected WHERE reason LIKE '%customers%'", "{\"line\":3}\n");
    buf_release(&text);
    staged_done(&s);
}
END_TEST

START_TEST(a_damaged_object_waits_and_the_others_go_on)
{
    struct staged s;
    struct err err = {0};
    struct buf text = {0};
    char key[STORE_KEY_MAX];
    staged_init(&s);
    staged_start(&s);
    struct row row = row_of(&s.w, &first[1]);
    row_write(&text, &row);
    object_key("orders", "events", 11, key);
    staged_write(&s, key, buf_span(&text), 3);
    staged_rows(&s, "events", 1, first, 1);
    staged_rows(&s, "events", 21, second, 1);
    for (int pass = 0; pass < 2; pass++) {
        ck_assert(!staged_pass(&s, &err));
        ck_assert_ptr_nonnull(strstr(err.msg, key));
        ck_assert_uint_eq(s.counts.objects, pass ? 0 : 2);
        expect(&s.w, "SELECT * FROM acme_orders", "{\"id\":1,\"a\":2}\n");
    }
    staged_write(&s, key, buf_span(&text), 0);
    staged_pass_ok(&s);
    ck_assert_int_eq(number(&s.w, "SELECT count(*) FROM acme_orders"), 2);
    buf_release(&text);
    staged_done(&s);
}
END_TEST

START_TEST(tables_not_in_use_are_left_alone)
{
    struct staged s;
    char key[STORE_KEY_MAX];
    staged_init(&s);
    staged_start(&s);
    object_key("refunds", "events", 1, key);
    staged_write(&s, key, SPAN_LIT("{}\n"), 0);
    staged_write(&s, "acme/orders/dt=2023-11-14/README", SPAN_LIT("hello"), 0);
    staged_rows(&s, "events", 1, first, 1);
    struct err err = {0};
    ck_assert(merger_pass(s.merger, SPAN_LIT("other"), (struct span){NULL, 0}, &s.counts, &err));
    ck_assert(merger_pass(s.merger, SPAN_LIT("acme"), SPAN_LIT("events"), &s.counts, &err));
    ck_assert_int_eq(number(&s.w, "SELECT count(*) FROM _sluice_inputs"), 0);
    ck_assert(merger_pass(s.merger, SPAN_LIT("acme"), SPAN_LIT("orders"), &s.counts, &err));
    staged_pass_ok(&s);
    ck_assert_int_eq(number(&s.w, "SELECT count(*) FROM _sluice_inputs"), 1);
    staged_done(&s);
}
END_TEST

START_TEST(the_second_merger_is_told_who_is_first)
{
    struct staged s;
    struct merger *other = NULL;
    struct err err = {0};
    char pid[32];
    staged_init(&s);
    staged_start(&s);
    struct merger_opts o = {.config = &s.config, .store = s.store, .io = io_posix()};
    ck_assert(!merger_new(&o, &other, &err));
    ck_assert_int_eq(err.cls, ERR_TRANSIENT);
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    ck_assert_msg(strstr(err.msg, pid) != NULL, "%s", err.msg);
    merger_free(&s.merger);
    staged_start(&s);
    staged_done(&s);
}
END_TEST

START_TEST(two_tables_of_one_name_are_refused)
{
    struct staged s;
    struct err err = {0};
    staged_init(&s);
    struct table_rule rules[2] = {s.w.rule, s.w.rule};
    rules[1].name = "us_orders";
    struct source_config sources[2] = {s.w.source, s.w.source};
    s.w.manifest.tables = rules;
    s.w.manifest.n_tables = 2;
    sources[1].name = "acme_us";
    s.config.sources = sources;
    s.config.n_sources = 2;
    struct merger_opts o = {.config = &s.config, .store = s.store, .io = io_posix()};
    ck_assert(!merger_new(&o, &s.merger, &err));
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.msg, "acme_us_orders"));
    staged_done(&s);
}
END_TEST

/* A table that has to be built anew waits; the others go on. */
START_TEST(a_table_whose_key_changed_waits_alone)
{
    struct staged s;
    struct err err = {0};
    char key[STORE_KEY_MAX];
    struct buf text = {0};
    staged_init(&s);
    const char *refund_key[] = {"id", NULL};
    struct table_rule rules[2] = {s.w.rule, s.w.rule};
    rules[1].name = "refunds";
    rules[1].key = refund_key;
    s.w.manifest.tables = rules;
    s.w.manifest.n_tables = 2;
    staged_start(&s);
    staged_rows(&s, "events", 1, first, 2);
    staged_pass_ok(&s);
    merger_free(&s.merger);
    s.w.key[0] = "number";
    staged_start(&s);
    staged_rows(&s, "events", 11, second, 3);
    struct row row = row_of(&s.w, &first[0]);
    row.table = SPAN_LIT("refunds");
    row_write(&text, &row);
    object_key("refunds", "events", 1, key);
    staged_write(&s, key, buf_span(&text), 0);
    ck_assert(!staged_pass(&s, &err));
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.msg, "acme_orders"));
    ck_assert_uint_eq(s.counts.objects, 1);
    ck_assert_int_eq(number(&s.w, "SELECT count(*) FROM acme_refunds"), 1);
    ck_assert_int_eq(number(&s.w, "SELECT count(*) FROM _sluice_inputs"), 2);
    buf_release(&text);
    staged_done(&s);
}
END_TEST

/* ---- killed at any instant ---- */

#define KILL_OBJECTS 5
#define KILL_ROWS 7000

static void write_history(struct staged *s)
{
    struct buf text = {0};
    char name[STORE_KEY_MAX], key[32], version[16], json[64];
    for (unsigned o = 0; o < KILL_OBJECTS; o++) {
        buf_clear(&text);
        for (unsigned i = 0; i < KILL_ROWS; i++) {
            unsigned n = o * KILL_ROWS + i;
            snprintf(key, sizeof(key), "{\"id\":%u}", n * 7919u % 900u);
            snprintf(version, sizeof(version), "%08u", n * 2654435761u % 99991u);
            snprintf(json, sizeof(json), "{\"n\":%u,\"o%u\":1}", n, o);
            struct put p = {.op = n % 11 ? ROW_UPSERT : ROW_DELETE, .key = key, .version = version,
                            .observed = (int)(n % 977), .row = n % 11 ? json : NULL};
            struct row row = row_of(&s->w, &p);
            row_write(&text, &row);
        }
        object_key("orders", "events", o * 10 + 1, name);
        staged_write(s, name, buf_span(&text), 0);
    }
    buf_release(&text);
}

static void merge_until_killed(struct staged *s, unsigned after_us)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct merger_opts o = {.config = &s->config, .store = s->store, .io = io_posix()};
        struct merge_counts counts = {0};
        bool ok = merger_new(&o, &s->merger, NULL) && merger_pass(s->merger, (struct span){NULL, 0}, (struct span){NULL, 0}, &counts, NULL);
        _exit(ok ? 0 : 1);
    }
    int status;
    usleep(after_us);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
}

static void dump_all(const struct staged *s, struct buf *out)
{
    query(&s->w, "SELECT * FROM acme_orders ORDER BY id", out);
    query(&s->w, "SELECT _sluice_shape, id, _sluice_version, _sluice_live, _sluice_deleted_at FROM _sluice_acme_orders ORDER BY 2, 1",
          out);
    query(&s->w, "SELECT objects, rows, inserted - deleted AS live, inserted + updated + deleted + kept_out AS all_rows"
                 " FROM _sluice_counts", out);
}

START_TEST(a_killed_merge_is_made_good)
{
    struct staged s;
    struct buf expected = {0}, got = {0};
    staged_init(&s);
    write_history(&s);
    staged_start(&s);
    staged_pass_ok(&s);
    dump_all(&s, &expected);
    merger_free(&s.merger);
    world_wipe(&s.w);
    for (unsigned round = 0; round < 12; round++)
        merge_until_killed(&s, 20000 + round * 90000);
    staged_start(&s);
    staged_pass_ok(&s);
    dump_all(&s, &got);
    ck_assert_str_eq(buf_z(&got), buf_z(&expected));
    buf_release(&expected);
    buf_release(&got);
    staged_done(&s);
}
END_TEST

static void *follow(void *ctx)
{
    merger_run(ctx);
    return NULL;
}

static bool comes_true(const struct staged *s, const char *sql, int64_t expected)
{
    for (int i = 0; i < 500; i++) {
        if (number(&s->w, sql) == expected)
            return true;
        usleep(10000);
    }
    return false;
}

START_TEST(following_takes_what_comes_and_tells_trouble)
{
    struct staged s;
    pthread_t thread;
    char words[200] = "", key[STORE_KEY_MAX];
    uint64_t since = 0;
    staged_init(&s);
    s.config.merge_every_us = 60 * SECOND;
    staged_start(&s);
    ck_assert_int_eq(pthread_create(&thread, NULL, follow, s.merger), 0);
    staged_rows(&s, "events", 1, first, 2);
    merger_wake(s.merger);
    ck_assert(comes_true(&s, "SELECT count(*) FROM _sluice_inputs", 1));
    ck_assert(!merger_trouble(s.merger, words, sizeof(words), &since));
    object_key("orders", "events", 11, key);
    staged_write(&s, key, SPAN_LIT("{\"format\":1}\n"), 2);
    merger_wake(s.merger);
    for (int i = 0; i < 500 && !merger_trouble(s.merger, words, sizeof(words), &since); i++)
        usleep(10000);
    ck_assert_ptr_nonnull(strstr(words, key));
    ck_assert_uint_gt(since, 0);
    staged_rows(&s, "events", 11, second, 3); /* whole again: retried without being woken */
    ck_assert(comes_true(&s, "SELECT count(*) FROM _sluice_inputs", 2));
    for (int i = 0; i < 500 && merger_trouble(s.merger, words, sizeof(words), &since); i++)
        usleep(10000);
    ck_assert(!merger_trouble(s.merger, words, sizeof(words), &since));
    merger_stop(s.merger);
    pthread_join(thread, NULL);
    struct err err = {0};
    staged_rows(&s, "events", 21, first, 2);
    ck_assert(!staged_pass(&s, &err));
    ck_assert_int_eq(err.cls, ERR_STOPPED);
    expect(&s.w, "SELECT * FROM acme_orders", "{\"id\":1,\"a\":2}\n");
    staged_done(&s);
}
END_TEST

/* More than one batch of the list, more than one transaction. */
START_TEST(many_small_objects)
{
    struct staged s;
    char key[32], row[64];
    staged_init(&s);
    staged_start(&s);
    for (unsigned i = 0; i < 4200; i++) {
        snprintf(key, sizeof(key), "{\"id\":%u}", i % 100);
        snprintf(row, sizeof(row), "{\"n\":%u}", i);
        char version[16];
        snprintf(version, sizeof(version), "%08u", i);
        struct put p = {.key = key, .version = version, .observed = 1, .row = row};
        staged_rows(&s, i % 2 ? "events" : "backfill", i * 10 + 1, &p, 1);
    }
    staged_pass_ok(&s);
    ck_assert_uint_eq(s.counts.objects, 4200);
    ck_assert_int_eq(number(&s.w, "SELECT count(*) FROM acme_orders"), 100);
    ck_assert_int_eq(number(&s.w, "SELECT min(n) FROM acme_orders"), 4100);
    staged_done(&s);
}
END_TEST

static TCase *make(void)
{
    TCase *tc = tcase_create("merger");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, objects_are_merged_once);
    tcase_add_test(tc, a_bad_line_stops_nobody);
    tcase_add_test(tc, a_damaged_object_waits_and_the_others_go_on);
    tcase_add_test(tc, tables_not_in_use_are_left_alone);
    tcase_add_test(tc, the_second_merger_is_told_who_is_first);
    tcase_add_test(tc, two_tables_of_one_name_are_refused);
    tcase_add_test(tc, a_table_whose_key_changed_waits_alone);
    tcase_add_test(tc, a_killed_merge_is_made_good);
    tcase_add_test(tc, following_takes_what_comes_and_tells_trouble);
    tcase_add_test(tc, many_small_objects);
    return tc;
}

int main(void)
{
    return run_suite(make);
}
