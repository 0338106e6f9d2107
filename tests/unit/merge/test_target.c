/* What rows do to a table, case by case. */
#include "harness.h"

#define UP(ver, obs, json) {ROW_UPSERT, SHAPE_FULL, ORIGIN_WEBHOOK, "{\"id\":1}", ver, obs, json, NULL, "e"}
#define DEL(ver, obs) {ROW_DELETE, SHAPE_FULL, ORIGIN_WEBHOOK, "{\"id\":1}", ver, obs, NULL, NULL, "e"}
#define PAGE(ver, obs, json) {ROW_UPSERT, SHAPE_FULL, ORIGIN_BACKFILL, "{\"id\":1}", ver, obs, json, NULL, NULL}
#define SHAPED(shape, ver, obs, json) {ROW_UPSERT, shape, ORIGIN_BACKFILL, "{\"id\":1}", ver, obs, json, NULL, NULL}

static const struct scenario {
    const char *name;
    struct put puts[6];
    enum applied what[6];
    const char *expected; /* select * from acme_orders */
} scenarios[] = {
    {"a row comes", {UP("5", 5, "{\"id\":1,\"a\":1}")}, {APPLIED_INSERTED}, "{\"id\":1,\"a\":1}\n"},
    {"a newer one wins",
     {UP("5", 5, "{\"id\":1,\"a\":1}"), UP("6", 6, "{\"id\":1,\"a\":2}")},
     {APPLIED_INSERTED, APPLIED_UPDATED},
     "{\"id\":1,\"a\":2}\n"},
    {"an older one is kept out, its columns are there",
     {UP("5", 5, "{\"id\":1,\"a\":1}"), UP("4", 6, "{\"id\":1,\"b\":2}")},
     {APPLIED_INSERTED, APPLIED_KEPT_OUT},
     "{\"id\":1,\"a\":1,\"b\":null}\n"},
    {"the same again changes nothing",
     {UP("5", 5, "{\"id\":1,\"a\":1}"), UP("5", 5, "{\"id\":1,\"a\":1}")},
     {APPLIED_INSERTED, APPLIED_KEPT_OUT},
     "{\"id\":1,\"a\":1}\n"},
    {"a longer version is newer than its prefix",
     {UP("5", 5, "{\"id\":1,\"a\":1}"), UP("5 ", 5, "{\"id\":1,\"a\":2}")},
     {APPLIED_INSERTED, APPLIED_UPDATED},
     "{\"id\":1,\"a\":2}\n"},
    {"absent within a shape is gone",
     {UP("5", 5, "{\"id\":1,\"a\":1,\"b\":2}"), UP("6", 6, "{\"id\":1,\"b\":3}")},
     {APPLIED_INSERTED, APPLIED_UPDATED},
     "{\"id\":1,\"a\":null,\"b\":3}\n"},
    {"a delete removes", {UP("5", 5, "{\"id\":1}"), DEL("6", 6)}, {APPLIED_INSERTED, APPLIED_DELETED}, ""},
    {"a tie of delete and row is gone", {UP("5", 5, "{\"id\":1}"), DEL("5", 5)}, {APPLIED_INSERTED, APPLIED_DELETED}, ""},
    {"the same, the other way round", {DEL("5", 5), UP("5", 5, "{\"id\":1}")}, {APPLIED_KEPT_OUT, APPLIED_KEPT_OUT}, ""},
    {"an old delete changes nothing",
     {UP("5", 5, "{\"id\":1}"), DEL("4", 4)},
     {APPLIED_INSERTED, APPLIED_KEPT_OUT},
     "{\"id\":1}\n"},
    {"a stale page cannot resurrect",
     {UP("5", 5, "{\"id\":1}"), DEL("6", 6), PAGE("55", 6, "{\"id\":1}"), PAGE("54", 5, "{\"id\":1}")},
     {APPLIED_INSERTED, APPLIED_DELETED, APPLIED_KEPT_OUT, APPLIED_KEPT_OUT},
     ""},
    {"a newer create is there",
     {UP("5", 5, "{\"id\":1,\"a\":1}"), DEL("6", 6), UP("7", 7, "{\"id\":1,\"a\":2}")},
     {APPLIED_INSERTED, APPLIED_DELETED, APPLIED_INSERTED},
     "{\"id\":1,\"a\":2}\n"},
    {"of two deletes the newer stays",
     {DEL("6", 6), DEL("4", 4), UP("5", 5, "{\"id\":1}"), UP("7", 7, "{\"id\":1}")},
     {APPLIED_KEPT_OUT, APPLIED_KEPT_OUT, APPLIED_KEPT_OUT, APPLIED_INSERTED},
     "{\"id\":1}\n"},
    {"the provider's version goes before the observation, and the delete looks at the observation",
     {UP("5", 9, "{\"id\":1}"), DEL("8", 8), UP("6", 7, "{\"id\":1}")},
     {APPLIED_INSERTED, APPLIED_KEPT_OUT, APPLIED_DELETED},
     ""},
    {"each column comes from the newest shape that carries it",
     {SHAPED(SHAPE_FULL, "5", 5, "{\"id\":1,\"a\":1,\"merged\":true}"), SHAPED(SHAPE_PULL, "6", 6, "{\"id\":1,\"a\":2}")},
     {APPLIED_INSERTED, APPLIED_UPDATED},
     "{\"id\":1,\"a\":2,\"merged\":1}\n"},
    {"what a shape does not carry is not taken from it",
     {SHAPED(SHAPE_PULL, "6", 6, "{\"id\":1,\"a\":2,\"merged\":false}"),
      SHAPED(SHAPE_FULL, "5", 5, "{\"id\":1,\"a\":1,\"merged\":true}")},
     {APPLIED_INSERTED, APPLIED_UPDATED},
     "{\"id\":1,\"a\":2,\"merged\":1}\n"},
    {"NULL from a shape that carries the column is NULL",
     {SHAPED(SHAPE_FULL, "5", 5, "{\"id\":1,\"a\":1,\"merged\":true}"), SHAPED(SHAPE_PULL, "6", 6, "{\"id\":1}")},
     {APPLIED_INSERTED, APPLIED_UPDATED},
     "{\"id\":1,\"a\":null,\"merged\":1}\n"},
    {"a delete between two shapes leaves the later one alone",
     {SHAPED(SHAPE_FULL, "5", 5, "{\"id\":1,\"a\":1,\"merged\":true}"), SHAPED(SHAPE_PULL, "7", 7, "{\"id\":1,\"a\":2}"),
      DEL("6", 6)},
     {APPLIED_INSERTED, APPLIED_UPDATED, APPLIED_UPDATED},
     "{\"id\":1,\"a\":2,\"merged\":null}\n"},
    {"a delete after both shapes removes the row",
     {SHAPED(SHAPE_FULL, "5", 5, "{\"id\":1,\"a\":1}"), SHAPED(SHAPE_PULL, "7", 7, "{\"id\":1,\"a\":2}"), DEL("7", 7),
      SHAPED(SHAPE_PULL, "8", 8, "{\"id\":1,\"a\":3}")},
     {APPLIED_INSERTED, APPLIED_UPDATED, APPLIED_DELETED, APPLIED_INSERTED},
     "{\"id\":1,\"a\":3}\n"},
};

static const char *const pull_lacks[] = {"merged", NULL};

START_TEST(scenario)
{
    const struct scenario *s = &scenarios[_i];
    struct world w;
    world_init(&w);
    w.rule.lacks_pull = (struct lacks_rule){LACKS_LIST, (const char **)(uintptr_t)pull_lacks};
    world_open(&w);
    for (size_t i = 0; i < 6 && s->puts[i].key; i++)
        ck_assert_msg(world_put(&w, &s->puts[i]) == s->what[i], "%s: row %zu did %d", s->name, i, (int)w.last.what);
    expect(&w, "SELECT * FROM acme_orders", s->expected);
    ck_assert_int_eq(number(&w, "SELECT live FROM _sluice_counts"), *s->expected ? 1 : 0);
    ck_assert_int_eq(number(&w, "SELECT count(*) FROM _sluice_acme_orders WHERE _sluice_live = 1"), *s->expected ? 1 : 0);
    world_done(&w);
}
END_TEST

START_TEST(keys_keep_their_type)
{
    struct world w;
    world_init(&w);
    w.key[1] = "part";
    w.rule.n_key = 2;
    world_open(&w);
    static const char *const keys[] = {"{\"id\":1,\"part\":\"x\"}", "{\"id\":\"1\",\"part\":\"x\"}", "{\"id\":1.0,\"part\":\"x\"}",
                                       "{\"id\":\"01\",\"part\":\"x\"}", "{\"id\":1.5,\"part\":\"\"}"};
    for (size_t i = 0; i < 5; i++) {
        char version[2] = {(char)('1' + i), '\0'}, json[64];
        snprintf(json, sizeof(json), "{\"id\":\"ignored\",\"n\":%zu}", i);
        world_put(&w, &(struct put){.key = keys[i], .version = version, .observed = 1, .row = json});
    }
    expect(&w, "SELECT * FROM acme_orders ORDER BY typeof(id), id",
           "{\"id\":1,\"part\":\"x\",\"n\":2}\n{\"id\":1.5,\"part\":\"\",\"n\":4}\n"
           "{\"id\":\"01\",\"part\":\"x\",\"n\":3}\n{\"id\":\"1\",\"part\":\"x\",\"n\":1}\n");
    world_done(&w);
}
END_TEST

START_TEST(columns_keep_the_providers_spelling)
{
    struct world w;
    world_init(&w);
    world_open(&w);
    world_put(&w, &(struct put)UP("1", 1, "{\"id\":1,\"z\":1,\"a\\\"b\":2,\"select\":3,\"caf\\u00e9 \xe2\x98\x95\":4,\"rowid\":5,"
                                          "\"createdAt\":6,\"oid\":7,\"_rowid_\":8,\"'; DROP TABLE x\":9}"));
    expect(&w, "SELECT * FROM acme_orders",
           "{\"id\":1,\"'; DROP TABLE x\":9,\"_rowid_\":8,\"a\\\"b\":2,\"caf\xc3\xa9 \xe2\x98\x95\":4,\"createdAt\":6,\"oid\":7,"
           "\"rowid\":5,\"select\":3,\"z\":1}\n");
    world_done(&w);
}
END_TEST

/* Of names that differ by case alone the first in byte order keeps its spelling, whichever came first. */
START_TEST(case_clash_is_settled_by_the_names)
{
    char expected[256];
    snprintf(expected, sizeof(expected), "{\"id\":1,\"ID_%04llx\":9,\"Name\":2,\"name_%04llx\":1}\n",
             (unsigned long long)(hash64(SPAN_LIT("ID")) >> 48), (unsigned long long)(hash64(SPAN_LIT("name")) >> 48));
    for (int order = 0; order < 2; order++) {
        struct world w;
        world_init(&w);
        world_open(&w);
        world_put(&w, &(struct put)UP("1", 1, order ? "{\"name\":0}" : "{\"Name\":0,\"ID\":0}"));
        world_put(&w, &(struct put)UP("2", 2, "{\"id\":1,\"name\":1,\"Name\":2,\"ID\":9}"));
        expect(&w, "SELECT * FROM acme_orders", expected);
        world_done(&w);
    }
}
END_TEST

START_TEST(reserved_and_impossible_names_get_a_suffix)
{
    struct world w;
    struct buf row = {0};
    world_init(&w);
    world_open(&w);
    buf_addz(&row, "{\"\":1,\"_sluice_live\":0,\"_SLUICE_x\":3,\"a\\u0000b\":4,\"");
    for (int i = 0; i < 5000; i++)
        buf_addc(&row, 'n');
    buf_addz(&row, "\":5}");
    world_put(&w, &(struct put)UP("1", 1, buf_z(&row)));
    world_put(&w, &(struct put)UP("2", 2, buf_z(&row)));
    ck_assert_int_eq(number(&w, "SELECT count(*) FROM pragma_table_info('acme_orders')"), 6);
    ck_assert_int_eq(number(&w, "SELECT count(*) FROM acme_orders"), 1);
    ck_assert_int_eq(number(&w, "SELECT count(*) FROM pragma_table_info('acme_orders') WHERE name GLOB '_sluice_live_*'"), 1);
    ck_assert_int_eq(number(&w, "SELECT count(*) FROM pragma_table_info('acme_orders') WHERE name GLOB 'a_b_*'"), 1);
    ck_assert_int_eq(number(&w, "SELECT max(length(name)) FROM pragma_table_info('acme_orders')"), 205);
    buf_release(&row);
    world_done(&w);
}
END_TEST

START_TEST(of_doubled_members_the_last_counts)
{
    struct world w;
    world_init(&w);
    world_open(&w);
    world_put(&w, &(struct put)UP("1", 1, "{\"a\":1,\"\\u0061\":2,\"b\":3,\"a\":4}"));
    expect(&w, "SELECT * FROM acme_orders", "{\"id\":1,\"a\":4,\"b\":3}\n");
    world_done(&w);
}
END_TEST

/* Beyond the columns that a table may have, members go to _sluice_more, also in a composed row. */
START_TEST(surplus_goes_to_more)
{
    struct world w;
    struct buf row = {0};
    world_init(&w);
    w.rule.lacks_pull = (struct lacks_rule){LACKS_LIST, (const char **)(uintptr_t)pull_lacks};
    world_open(&w);
    for (int i = 0; i < 1500; i++)
        buf_addf(&row, "%c\"c%04d\":%d", i ? ',' : '{', i, i);
    buf_addz(&row, "}");
    world_put(&w, &(struct put)UP("1", 1, buf_z(&row)));
    expect(&w, "SELECT count(*) AS n FROM pragma_table_info('acme_orders')", "{\"n\":1501}\n");
    world_put(&w, &(struct put)UP("2", 2, "{\"c0007\":1,\"z\":[1],\"y\":1.0,\"merged\":\"m\",\"y\":\"q\\\"\"}"));
    expect(&w, "SELECT c0007, c0008, _sluice_more FROM acme_orders",
           "{\"c0007\":1,\"c0008\":null,\"_sluice_more\":\"{\\\"merged\\\":\\\"m\\\",\\\"y\\\":\\\"q\\\\\\\"\\\",\\\"z\\\":[1]}\"}\n");
    world_put(&w, &(struct put)SHAPED(SHAPE_PULL, "3", 3, "{\"c0008\":5,\"x\":1,\"merged\":\"no\"}"));
    expect(&w, "SELECT c0007, c0008, _sluice_more FROM acme_orders",
           "{\"c0007\":null,\"c0008\":5,\"_sluice_more\":\"{\\\"merged\\\":\\\"m\\\",\\\"x\\\":1}\"}\n");
    buf_release(&row);
    world_done(&w);
}
END_TEST

START_TEST(accounts_are_part_of_the_key_where_there_are_many)
{
    for (int many = 0; many < 2; many++) {
        struct world w;
        world_init(&w);
        w.source.accounts_many = many;
        world_open(&w);
        world_put(&w, &(struct put){.key = "{\"id\":1}", .version = "1", .row = "{\"a\":1}", .account = "x"});
        world_put(&w, &(struct put){.key = "{\"id\":1}", .version = "2", .row = "{\"a\":2}", .account = "y"});
        world_put(&w, &(struct put){.key = "{\"id\":1}", .version = "3", .row = "{\"a\":3}"});
        expect(&w, "SELECT * FROM acme_orders ORDER BY a",
               many ? "{\"id\":1,\"a\":1,\"_sluice_account\":\"x\"}\n{\"id\":1,\"a\":2,\"_sluice_account\":\"y\"}\n"
                      "{\"id\":1,\"a\":3,\"_sluice_account\":\"\"}\n"
                    : "{\"id\":1,\"a\":3}\n");
        world_done(&w);
    }
}
END_TEST

START_TEST(flagged_deletes_stay_with_their_time)
{
    struct world w;
    world_init(&w);
    w.rule.lacks_pull = (struct lacks_rule){LACKS_LIST, (const char **)(uintptr_t)pull_lacks};
    w.table_config.flag_deletes = true;
    w.source.tables = &w.table_config;
    w.source.n_tables = 1;
    world_open(&w);
    world_put(&w, &(struct put)DEL("5", 60));
    expect(&w, "SELECT * FROM acme_orders", "");
    world_put(&w, &(struct put)UP("3", 3, "{\"a\":1}"));
    expect(&w, "SELECT * FROM acme_orders", "{\"id\":1,\"a\":1,\"_sluice_deleted_at\":\"2023-11-14T22:14:20.000000Z\"}\n");
    world_put(&w, &(struct put)DEL("6", 61));
    expect(&w, "SELECT _sluice_deleted_at AS at FROM acme_orders", "{\"at\":\"2023-11-14T22:14:21.000000Z\"}\n");
    world_put(&w, &(struct put)SHAPED(SHAPE_PULL, "2", 2, "{\"a\":2,\"b\":1}"));
    expect(&w, "SELECT * FROM acme_orders",
           "{\"id\":1,\"a\":1,\"b\":null,\"_sluice_deleted_at\":\"2023-11-14T22:14:21.000000Z\"}\n");
    world_put(&w, &(struct put)UP("7", 62, "{\"a\":3}"));
    expect(&w, "SELECT * FROM acme_orders", "{\"id\":1,\"a\":3,\"b\":null,\"_sluice_deleted_at\":null}\n");
    ck_assert_int_eq(number(&w, "SELECT dead FROM _sluice_counts"), 0);
    /* Without the flag the same file shows live rows alone. */
    world_close(&w);
    w.source.n_tables = 0;
    world_open(&w);
    world_put(&w, &(struct put)DEL("8", 63));
    expect(&w, "SELECT * FROM acme_orders", "");
    ck_assert_int_eq(number(&w, "SELECT dead FROM _sluice_counts"), 1);
    world_done(&w);
}
END_TEST

START_TEST(what_cannot_be_taken_is_refused_and_leaves_nothing)
{
    static const struct put bad[] = {
        {.key = "[]", .version = "1", .row = "{}"},
        {.key = "{\"other\":1}", .version = "1", .row = "{}"},
        {.key = "{\"id\":null}", .version = "1", .row = "{}"},
        {.key = "{\"id\":1}", .version = "", .row = "{}"},
        {.key = "{\"id\":1}", .version = "1", .row = "[]"},
    };
    struct world w;
    world_init(&w);
    world_open(&w);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        world_begin(&w);
        ck_assert(!world_try(&w, &bad[i], &err));
        ck_assert_int_eq(err.cls, ERR_INPUT);
        ck_assert(err.msg[0]);
        ck_assert(world_try(&w, &(struct put)UP("1", 1, "{\"id\":1,\"a\":1}"), &err));
        world_commit(&w);
    }
    expect(&w, "SELECT * FROM acme_orders", "{\"id\":1,\"a\":1}\n");
    ck_assert_int_eq(number(&w, "SELECT count(*) FROM _sluice_acme_orders"), 1);
    world_done(&w);
}
END_TEST

START_TEST(without_commit_nothing_is_there)
{
    struct world w;
    struct err err = {0};
    bool merged = true;
    struct merged_object o = {.object = "acme/orders/x", .source = SPAN_LIT("acme"), .table = SPAN_LIT("orders"), .rows = 1};
    world_init(&w);
    world_open(&w);
    world_put(&w, &(struct put)UP("1", 1, "{\"a\":1}"));
    for (int how = 0; how < 2; how++) {
        world_begin(&w);
        ck_assert(world_try(&w, &(struct put)UP("2", 2, "{\"a\":2,\"fresh\":1}"), &err));
        ck_assert_msg(w.target->ops->merged(w.target, &o, &err), "%s", err.msg);
        if (how) {
            world_close(&w);
            world_open(&w);
        } else {
            w.target->ops->rollback(w.target);
        }
        ck_assert(w.target->ops->is_merged(w.target, o.object, &merged, &err));
        ck_assert(!merged);
        expect(&w, "SELECT * FROM acme_orders", "{\"id\":1,\"a\":1}\n");
        ck_assert_int_eq(number(&w, "SELECT updated FROM _sluice_counts"), 0);
    }
    world_begin(&w);
    ck_assert(world_try(&w, &(struct put)UP("2", 2, "{\"a\":2,\"fresh\":1}"), &err));
    ck_assert(w.target->ops->merged(w.target, &o, &err));
    world_commit(&w);
    ck_assert(w.target->ops->is_merged(w.target, o.object, &merged, &err));
    ck_assert(merged);
    expect(&w, "SELECT * FROM acme_orders", "{\"id\":1,\"a\":2,\"fresh\":1}\n");
    world_begin(&w);
    ck_assert(!w.target->ops->merged(w.target, &o, &err)); /* an object is merged once */
    world_done(&w);
}
END_TEST

START_TEST(a_changed_key_or_accounts_is_told)
{
    struct world w;
    struct err err = {0};
    world_init(&w);
    world_open(&w);
    world_put(&w, &(struct put)UP("1", 1, "{\"a\":1}"));
    world_close(&w);
    world_open(&w);
    w.key[0] = "number";
    world_begin(&w);
    ck_assert(!world_try(&w, &(struct put){.key = "{\"number\":1}", .version = "1", .row = "{}"}, &err));
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.msg, "[\"number\"]"));
    w.target->ops->rollback(w.target);
    w.key[0] = "id";
    w.source.accounts_many = true;
    world_begin(&w);
    ck_assert(!world_try(&w, &(struct put)UP("2", 2, "{}"), &err));
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    world_done(&w);
}
END_TEST

/* ---- missed events ---- */

START_TEST(a_page_that_contradicts_the_events_is_a_missed_event)
{
    static const struct {
        struct put put;
        bool missed, late;
    } steps[] = {
        {PAGE("0", 0, "{\"a\":0}"), false, false}, /* nothing is known */
        {PAGE("05", 1, "{\"a\":9}"), false, false}, /* the webhook was not seen yet */
        {UP("1", 2, "{\"a\":1}"), false, false},
        {PAGE("2", 3, "{\"a\":1}"), false, false}, /* the same, only newer */
        {PAGE("3", 4, "{\"a\":2}"), true, false},
        {PAGE("4", 5, "{\"a\":2}"), false, false},
        {PAGE("40", 5, "{\"b\":7}"), false, false}, /* what only one door tells is no contradiction */
        {PAGE("41", 5, "{\"a\":2}"), false, false},
        {UP("15", 3, "{\"a\":2}"), false, true}, /* it came after all */
        {UP("15", 3, "{\"a\":2}"), false, false},
        {PAGE("5", 6, "{\"a\":3}"), true, false},
        {UP("6", 7, "{\"a\":4}"), false, false},
        {PAGE("55", 6, "{\"a\":5}"), false, false}, /* older than the event */
        {DEL("7", 8), false, false},
        {PAGE("8", 9, "{\"a\":6}"), false, false}, /* deleted, and there again: not judged */
    };
    struct world w;
    world_init(&w);
    world_open(&w);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        world_put(&w, &steps[i].put);
        ck_assert_msg(w.last.missed == steps[i].missed && w.last.told_late == steps[i].late, "step %zu: missed %d, late %d", i,
                      w.last.missed, w.last.told_late);
    }
    ck_assert_int_eq(number(&w, "SELECT missed FROM _sluice_counts"), 1);
    expect(&w, "SELECT key, entry FROM _sluice_missed", "{\"key\":\"{\\\"id\\\":1}\",\"entry\":\"n/events/1\"}\n");
    world_done(&w);
}
END_TEST

START_TEST(a_record_made_while_the_webhook_was_active_is_missed)
{
    static const struct {
        const char *created;
        bool missed;
    } cases[] = {{"1700000050", false}, {"1700000150", true}, {"1700000150000", true}, {"\"2023-11-14T22:16:00Z\"", true},
                 {"\"2023-11-14T22:13:30Z\"", false}, {"null", false}, {"\"soon\"", false}};
    for (int off = 0; off < 2; off++) {
        struct world w;
        world_init(&w);
        w.rule.partition = "created";
        w.source.webhook_off = off;
        world_open(&w);
        world_put(&w, &(struct put){ROW_UPSERT, SHAPE_FULL, ORIGIN_WEBHOOK, "{\"id\":0}", "1", 100, "{}", NULL, "e"});
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            char key[32], row[64];
            snprintf(key, sizeof(key), "{\"id\":%zu}", i + 1);
            snprintf(row, sizeof(row), "{\"created\":%s}", cases[i].created);
            world_put(&w, &(struct put){ROW_UPSERT, SHAPE_FULL, ORIGIN_BACKFILL, key, "1", 200, row, NULL, NULL});
            ck_assert_msg(w.last.missed == (cases[i].missed && !off), "%s", cases[i].created);
        }
        world_done(&w);
    }
}
END_TEST

static TCase *make(void)
{
    TCase *tc = tcase_create("target");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, scenario, 0, sizeof(scenarios) / sizeof(scenarios[0]));
    tcase_add_test(tc, keys_keep_their_type);
    tcase_add_test(tc, columns_keep_the_providers_spelling);
    tcase_add_test(tc, case_clash_is_settled_by_the_names);
    tcase_add_test(tc, reserved_and_impossible_names_get_a_suffix);
    tcase_add_test(tc, of_doubled_members_the_last_counts);
    tcase_add_test(tc, surplus_goes_to_more);
    tcase_add_test(tc, accounts_are_part_of_the_key_where_there_are_many);
    tcase_add_test(tc, flagged_deletes_stay_with_their_time);
    tcase_add_test(tc, what_cannot_be_taken_is_refused_and_leaves_nothing);
    tcase_add_test(tc, without_commit_nothing_is_there);
    tcase_add_test(tc, a_changed_key_or_accounts_is_told);
    tcase_add_test(tc, a_page_that_contradicts_the_events_is_a_missed_event);
    tcase_add_test(tc, a_record_made_while_the_webhook_was_active_is_missed);
    return tc;
}

int main(void)
{
    return run_suite(make);
}
