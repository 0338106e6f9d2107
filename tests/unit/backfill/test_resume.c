/* Whole pulls, and pulls that end in the middle: every row once, no page asked for twice. */
#include "lists.h"

static const char by_id[] = MANIFEST_HEAD MANIFEST_API(PAGE_BY_ID, "") "tables: {rows: {key: id, path: /rows}}\n";
static const char by_link[] = MANIFEST_HEAD MANIFEST_API(PAGE_BY_LINK, "") "tables: {rows: {key: id, path: /linked}}\n";
static const char nested[] = MANIFEST_HEAD MANIFEST_API(PAGE_BY_ID, "") "tables:\n"
    "  rows: {key: id, path: /rows, keep: {record.skip: \"false\"}}\n"
    "  lines: {key: [row, id], for_each: rows, path: \"/rows/{rows.id}/lines\", carry: {row: rows.id}}\n";

START_TEST(three_pages)
{
    static const char *const yamls[] = {by_id, by_link};
    for (size_t i = 0; i < 2; i++) {
        struct lists l = {.n = 5};
        struct world w;
        struct gathered g;
        char status[16];
        world_open(&w, yamls[i], answer_lists, &l);
        struct backfill_result r = world_pull_all(&w);
        ck_assert_uint_eq(r.pages, 3);
        ck_assert_uint_eq(r.rows, 5);
        ck_assert_uint_eq(r.tables_done, 1);
        ck_assert_uint_eq(w.provider.n_asked, 3);
        ck_assert_str_eq(w.provider.authorization, "Bearer " TOKEN);
        ck_assert_str_eq(w.provider.agent, "sluice/" SLUICE_VERSION);
        gathered_init(&g, "rows");
        ck_assert_uint_eq(world_entries(&w, gather, &g), 3);
        ck_assert_str_eq(buf_z(&g.ids), "r1 r2 r3 r4 r5 ");
        ck_assert_uint_eq(g.lasts, 1);
        world_run(&w, "rows", status, NULL);
        ck_assert_str_eq(status, "completed");
        ck_assert(w.last.done && w.last.rows == 5);
        gathered_release(&g);
        world_close(&w);
    }
}
END_TEST

static struct entry only; /* its numbers */

static void take_times(void *ctx, const struct entry *e)
{
    (void)ctx;
    only = *e;
}

START_TEST(a_page_is_as_old_as_the_provider_says)
{
    static const struct {
        const char *date;
        uint64_t observed_us;
    } rows[] = {
        {"Wed, 31 Dec 2025 23:59:00 GMT", NOW - 65 * SECOND},
        {"Thu, 01 Jan 2026 00:00:00 GMT", NOW - 5 * SECOND},
        {"Thu, 01 Jan 2026 00:04:00 GMT", NOW + 235 * SECOND},
        {"Sat, 01 Jan 2028 00:00:00 GMT", NOW - 5 * SECOND}, /* a clock far ahead is not believed */
        {"yesterday", NOW - 5 * SECOND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lists l = {.n = 1};
        struct world w;
        world_open(&w, by_id, answer_lists, &l);
        w.provider.date = rows[i].date;
        world_pull_all(&w);
        ck_assert_uint_eq(world_entries(&w, take_times, NULL), 1);
        ck_assert_uint_eq(only.received_us, NOW);
        ck_assert_msg(only.observed_us == rows[i].observed_us, "row %zu: %lld s from now", i,
                      (long long)(only.observed_us - NOW) / 1000000);
        world_close(&w);
    }
}
END_TEST

/* Stops after every page k; goes on in a "new process"; sometimes the state has forgotten what the journal knows. */
static void stop_and_go_on(const char *yaml, const struct lists *lists, const char *table, const char *ids, size_t requests)
{
    for (unsigned stale = 0; stale < 2; stale++) {
        for (unsigned k = 1; k <= requests; k++) {
            struct lists l = *lists;
            struct world w;
            unsigned turns = 0;
            world_open(&w, yaml, answer_lists, &l);
            for (;;) {
                struct span name = span_of(table);
                struct backfill_opts o = world_opts(&w);
                o.tables = &name;
                o.n_tables = 1;
                w.stop_after = k;
                struct backfill_result r = world_pull(&o);
                if (r.end == RUN_COMPLETED)
                    break;
                ck_assert_msg(r.end == RUN_STOPPED, "k=%u: %s", k, r.why.msg);
                ck_assert_msg(++turns <= requests, "k=%u: no progress", k);
                if (stale)
                    world_stale_state(&w);
                world_reopen(&w);
            }
            struct gathered g;
            gathered_init(&g, table);
            size_t entries = world_entries(&w, gather, &g);
            ck_assert_msg(strcmp(buf_z(&g.ids), ids) == 0, "k=%u stale=%u: %s", k, stale, buf_z(&g.ids));
            ck_assert_msg(w.provider.n_asked == requests, "k=%u stale=%u: %zu requests", k, stale, w.provider.n_asked);
            ck_assert_msg(entries <= requests && g.lasts <= 1, "k=%u", k);
            gathered_release(&g);
            world_close(&w);
        }
    }
}

START_TEST(a_run_goes_on_from_every_page)
{
    struct lists l = {.n = 9};
    stop_and_go_on(by_id, &l, "rows", "r1 r2 r3 r4 r5 r6 r7 r8 r9 ", 5);
    stop_and_go_on(by_link, &l, "rows", "r1 r2 r3 r4 r5 r6 r7 r8 r9 ", 5);
}
END_TEST

START_TEST(a_nested_run_goes_on_from_every_page)
{
    /* 3 pages of parents; their children need 1, 2, 1, 1 (404) and 1 pages; r6 is kept out by `keep`. */
    struct lists l = {.n = 6, .children = {1, 3, 0, 99, 2, 5}, .secret_row = 6};
    stop_and_go_on(nested, &l, "lines", "x1_1 x2_1 x2_2 x2_3 x5_1 x5_2 ", 9);
}
END_TEST

START_TEST(a_child_knows_its_parent)
{
    struct lists l = {.n = 3, .children = {1, 3, 1}};
    struct world w;
    struct gathered g;
    struct span name = SPAN_LIT("lines");
    world_open(&w, nested, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    o.tables = &name;
    o.n_tables = 1;
    struct backfill_result r = world_pull(&o);
    ck_assert_msg(r.end == RUN_COMPLETED, "%s", r.why.msg);
    gathered_init(&g, "lines");
    world_entries(&w, gather, &g);
    ck_assert_str_eq(buf_z(&g.parents), "r1 r2 r2 r3 ");
    ck_assert_uint_eq(g.lasts, 1);
    gathered_release(&g);
    assert_ids(&w, "rows", "r1 r2 r3 "); /* the parents' pages are rows, too */
    world_close(&w);
}
END_TEST

START_TEST(a_finished_run_is_not_read_again)
{
    /* Killed between the last page and the word of it. */
    struct lists l = {.n = 3};
    struct world w;
    char status[16];
    world_open(&w, by_id, answer_lists, &l);
    world_pull_all(&w);
    world_stale_state(&w);
    world_reopen(&w);
    world_pull_all(&w);
    ck_assert_uint_eq(w.provider.n_asked, 2);
    world_run(&w, "rows", status, NULL);
    ck_assert_str_eq(status, "completed");
    world_pull_all(&w); /* and now a new run */
    ck_assert_uint_eq(w.provider.n_asked, 4);
    world_close(&w);
}
END_TEST

START_TEST(max_rows_stops_after_a_page)
{
    struct lists l = {.n = 9};
    struct world w;
    world_open(&w, by_id, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    o.max_rows = 3;
    struct backfill_result r = world_pull(&o);
    ck_assert_int_eq(r.end, RUN_STOPPED);
    ck_assert_uint_eq(r.rows, 4);
    world_pull_all(&w);
    ck_assert_uint_eq(w.provider.n_asked, 5);
    assert_ids(&w, "rows", "r1 r2 r3 r4 r5 r6 r7 r8 r9 ");
    world_close(&w);
}
END_TEST

START_TEST(a_dry_run_leaves_nothing_behind)
{
    struct lists l = {.n = 9};
    struct world w;
    world_open(&w, by_id, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    o.max_rows = 3;
    world_pull(&o); /* a run that stands at page 2 */
    o.max_rows = 0;
    o.dry_run = true;
    struct backfill_result r = world_pull(&o);
    ck_assert_int_eq(r.end, RUN_COMPLETED);
    ck_assert_uint_eq(r.pages, 1);
    ck_assert_uint_eq(w.provider.n_asked, 3);
    ck_assert_ptr_null(strstr(w.provider.asked[2], "after"));
    ck_assert_uint_eq(world_entries(&w, NULL, NULL), 2);
    world_pull_all(&w);
    ck_assert_uint_eq(w.provider.n_asked, 6);
    world_close(&w);
}
END_TEST

START_TEST(a_journal_that_fails_costs_no_page)
{
    for (int writes = 0; writes < 4; writes++) {
        struct lists l = {.n = 9};
        struct world w;
        struct err err = {0};
        struct backfill_result r;
        world_open(&w, by_id, answer_lists, &l);
        struct backfill_opts o = world_opts(&w);
        w.writes_left = writes + 1; /* the first begins the segment */
        ck_assert(!backfill_run(&o, &r, &err));
        ck_assert_msg(err.cls == ERR_DURABLE && err.msg[0], "%d %s", err.cls, err.msg);
        w.writes_left = -1;
        world_reopen(&w);
        world_pull_all(&w);
        assert_ids(&w, "rows", "r1 r2 r3 r4 r5 r6 r7 r8 r9 ");
        ck_assert_uint_eq(w.provider.n_asked, 6); /* only the page that was not stored is asked for again */
        world_close(&w);
    }
}
END_TEST

START_TEST(one_at_a_time)
{
    struct lists l = {.n = 3};
    struct world w;
    struct err err = {0};
    struct backfill_result r;
    char path[128];
    world_open(&w, by_id, answer_lists, &l);
    (void)snprintf(path, sizeof path, "%s/backfill-acme.lock", w.dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    struct backfill_opts o = world_opts(&w);
    ck_assert(!backfill_run(&o, &r, &err));
    ck_assert_msg(strstr(err.msg, "acme") && strstr(err.msg, "running"), "%s", err.msg);
    ck_assert_uint_eq(w.provider.n_asked, 0);
    close(fd);
    world_pull_all(&w);
    world_close(&w);
}
END_TEST

START_TEST(names_that_are_none)
{
    struct lists l = {.n = 3};
    struct world w;
    struct err err = {0};
    struct backfill_result r;
    struct span name = SPAN_LIT("nowhere");
    world_open(&w, by_id, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    o.tables = &name;
    o.n_tables = 1;
    ck_assert(!backfill_run(&o, &r, &err));
    ck_assert(err.cls == ERR_CONFIG && strstr(err.msg, "nowhere"));
    world_close(&w);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {three_pages, a_page_is_as_old_as_the_provider_says, a_run_goes_on_from_every_page,
                                  a_nested_run_goes_on_from_every_page, a_child_knows_its_parent, a_finished_run_is_not_read_again,
                                  max_rows_stops_after_a_page, a_dry_run_leaves_nothing_behind, a_journal_that_fails_costs_no_page,
                                  one_at_a_time, names_that_are_none};
    return run_suite("resume", tests, sizeof tests / sizeof *tests);
}
