/* What an incremental pull asks for, where it stops, and when its watermark moves. */
#include "lists.h"

#define BY_QUERY(overlap) MANIFEST_HEAD MANIFEST_API(PAGE_BY_ID, "  lag: 5s\n") \
    "tables: {rows: {key: id, path: /rows, order: created asc, since: {query: \"created[gte]\", field: created, unit: s" overlap "}}}\n"
static const char by_stop[] = MANIFEST_HEAD MANIFEST_API(PAGE_BY_ID, "")
    "tables: {rows: {key: id, path: /rows, order: created desc, since: stop}}\n";
static const char by_iso[] = MANIFEST_HEAD MANIFEST_API(PAGE_BY_ID, "")
    "tables: {rows: {key: id, path: /rows, since: {query: since, field: created, unit: iso8601}}}\n";
static const char feed[] = MANIFEST_HEAD MANIFEST_API(PAGE_BY_ID, "  order: created desc\n"
    "  since: {query: created_min, field: created, unit: ms, sees: creations}\n")
    "feed: {path: /events, keep: 30d, since: {query: created_min, field: created, unit: s}}\n"
    "tables: {rows: {key: id, path: /rows}, plain: {key: id, path: /plain, since: none}}\n";

static const char *asked(const struct world *w, size_t i)
{
    return w->provider.asked[i];
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

START_TEST(the_next_run_asks_from_the_watermark)
{
    struct lists l = {.n = 3};
    struct world w;
    char want[80];
    world_open(&w, BY_QUERY(", overlap: 10m"), answer_lists, &l);
    world_pull_all(&w);
    ck_assert(!has(asked(&w, 0), "created"));
    w.provider.n_asked = 0;
    world_pull_all(&w);
    (void)snprintf(want, sizeof want, "created%%5Bgte%%5D=%lu", created_of(&l, 3) - 600);
    ck_assert_msg(has(asked(&w, 0), want), "%s lacks %s", asked(&w, 0), want);
    ck_assert_msg(has(asked(&w, 1), want) && has(asked(&w, 1), "after=r2"), "%s", asked(&w, 1));
    struct backfill_opts o = world_opts(&w);
    o.full = true;
    w.provider.n_asked = 0;
    world_pull(&o);
    ck_assert(!has(asked(&w, 0), "created"));
    world_close(&w);
}
END_TEST

START_TEST(a_watermark_moves_when_the_run_is_complete)
{
    struct lists l = {.n = 9};
    struct world w;
    char status[16];
    world_open(&w, BY_QUERY(""), answer_lists, &l);
    w.stop_after = 2;
    struct backfill_opts o = world_opts(&w);
    ck_assert_int_eq(world_pull(&o).end, RUN_STOPPED);
    world_run(&w, "rows", status, NULL);
    ck_assert_str_eq(status, "paused");
    struct state s;
    struct buf mark;
    struct err err;
    bool found;
    buf_init(&mark, 0);
    ck_assert(state_open(&s, w.dir, false, &err) && state_watermark(&s, SPAN_LIT("acme"), SPAN_LIT("rows"), &mark, &found, &err));
    ck_assert(!found);
    w.stop = false;
    w.stop_after = 0;
    world_pull_all(&w);
    ck_assert(state_watermark(&s, SPAN_LIT("acme"), SPAN_LIT("rows"), &mark, &found, &err) && found);
    state_close(&s);
    buf_release(&mark);
    world_close(&w);
}
END_TEST

START_TEST(a_watermark_is_never_after_the_run_began)
{
    /* Row 3 was made while the run was read, on a clock that says it is day 2. */
    struct lists l = {.n = 3};
    struct world w;
    char want[80];
    world_open(&w, BY_QUERY(""), answer_lists, &l);
    char date[CLOCK_TEXT_MAX];
    clock_http(created_of(&l, 2) * SECOND, date);
    w.provider.date = date;
    world_pull_all(&w);
    w.provider.n_asked = 0;
    world_pull_all(&w);
    (void)snprintf(want, sizeof want, "created%%5Bgte%%5D=%lu", created_of(&l, 2) - 5);
    ck_assert_msg(has(asked(&w, 0), want), "%s lacks %s", asked(&w, 0), want);
    world_close(&w);
}
END_TEST

START_TEST(windows_and_units)
{
    struct lists l = {.n = 2};
    struct world w;
    world_open(&w, by_iso, answer_lists, &l);
    w.source.backfill_from_us = UINT64_C(1700000000000000);
    world_pull_all(&w);
    ck_assert_msg(has(asked(&w, 0), "since=2023-11-14T22%3A13%3A20Z"), "%s", asked(&w, 0));
    struct backfill_opts o = world_opts(&w);
    o.from_us = UINT64_C(1600000000000000);
    w.provider.n_asked = 0;
    world_pull(&o);
    ck_assert_msg(has(asked(&w, 0), "since=2020-09-13T12%3A26%3A40Z"), "%s", asked(&w, 0));
    world_close(&w);
}
END_TEST

START_TEST(another_window_is_another_run)
{
    struct lists l = {.n = 9};
    struct world w;
    world_open(&w, by_iso, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    o.max_rows = 2;
    world_pull(&o);
    o.max_rows = 0;
    o.from_us = UINT64_C(1600000000000000);
    w.provider.n_asked = 0;
    ck_assert_int_eq(world_pull(&o).end, RUN_COMPLETED);
    ck_assert_msg(has(asked(&w, 0), "since=2020") && !has(asked(&w, 0), "after"), "%s", asked(&w, 0));
    world_close(&w);
}
END_TEST

START_TEST(a_window_that_began_late_leaves_the_watermark)
{
    /* What lies before --from was not read: the next run must still ask for it. */
    struct lists l = {.n = 3};
    struct world w;
    world_open(&w, BY_QUERY(""), answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    o.from_us = created_of(&l, 3) * SECOND;
    ck_assert_int_eq(world_pull(&o).end, RUN_COMPLETED);
    w.provider.n_asked = 0;
    world_pull_all(&w);
    ck_assert_msg(!has(asked(&w, 0), "created"), "%s", asked(&w, 0));
    world_close(&w);
}
END_TEST

START_TEST(an_upper_bound_ends_an_ascending_list)
{
    struct lists l = {.n = 9};
    struct world w;
    world_open(&w, BY_QUERY(""), answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    o.to_us = created_of(&l, 3) * SECOND;
    ck_assert_int_eq(world_pull(&o).end, RUN_COMPLETED);
    ck_assert_uint_eq(w.provider.n_asked, 2);
    w.provider.n_asked = 0;
    world_pull_all(&w);
    ck_assert_msg(!has(asked(&w, 0), "created"), "%s", asked(&w, 0)); /* no watermark came of it */
    ck_assert_uint_eq(w.provider.n_asked, 5);
    world_close(&w);
}
END_TEST

START_TEST(newest_first_stops_at_what_is_known)
{
    struct lists l = {.n = 9, .descending = true};
    struct world w;
    world_open(&w, by_stop, answer_lists, &l);
    world_pull_all(&w);
    ck_assert_uint_eq(w.provider.n_asked, 5);
    w.provider.n_asked = 0;
    world_pull_all(&w);
    ck_assert_uint_eq(w.provider.n_asked, 1);
    world_close(&w);
}
END_TEST

START_TEST(each_parent_is_stopped_for_itself)
{
    /* Parent 1 has nothing new; parent 2, added meanwhile, has three pages. */
    struct lists l = {.n = 1, .children = {5, 5}, .descending = true};
    struct world w;
    struct span name = SPAN_LIT("lines");
    world_open(&w, MANIFEST_HEAD MANIFEST_API(PAGE_BY_ID, "") "tables:\n  rows: {key: id, path: /rows}\n"
               "  lines: {key: id, for_each: rows, path: \"/rows/{rows.id}/lines\", order: created desc, since: stop}\n", answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    o.tables = &name;
    o.n_tables = 1;
    o.from_us = created_of(&l, 4) * SECOND; /* rows 1 to 4 are asked for, row 5 is beyond */
    l.n = 2;
    ck_assert_int_eq(world_pull(&o).end, RUN_COMPLETED);
    ck_assert_uint_eq(w.provider.n_asked, 1 + 3 + 3);
    o.from_us = created_of(&l, 2) * SECOND; /* row 3, on the second page, ends each list */
    w.provider.n_asked = 0;
    ck_assert_int_eq(world_pull(&o).end, RUN_COMPLETED);
    ck_assert_uint_eq(w.provider.n_asked, 1 + 2 + 2);
    world_close(&w);
}
END_TEST

START_TEST(the_feed_goes_back_as_far_as_it_is_kept)
{
    struct lists l = {.n = 1};
    struct world w;
    char want[64];
    world_open(&w, feed, answer_lists, &l);
    w.source.backfill_from_us = UINT64_C(1700000000000000);
    world_pull_all(&w);
    ck_assert_uint_eq(w.provider.n_asked, 3);
    ck_assert_msg(has(asked(&w, 0), "/rows?") && has(asked(&w, 0), "created_min=1700000000000"), "%s", asked(&w, 0));
    ck_assert_msg(has(asked(&w, 1), "/plain?") && !has(asked(&w, 1), "created_min"), "%s", asked(&w, 1));
    (void)snprintf(want, sizeof want, "/events?limit=2&created_min=%llu", (unsigned long long)(NOW / SECOND - 30 * 86400));
    ck_assert_msg(has(asked(&w, 2), want), "%s", asked(&w, 2));
    struct gathered g;
    gathered_init(&g, "");
    world_entries(&w, gather, &g);
    ck_assert_uint_eq(g.pages, 1);
    gathered_release(&g);
    world_close(&w);
}
END_TEST

START_TEST(named_tables_bring_the_feed_when_they_need_it)
{
    static const struct {
        const char *name;
        size_t requests;
    } rows[] = {{"rows", 2}, {"plain", 1}, {"events", 1}};
    for (size_t i = 0; i < 3; i++) {
        struct lists l = {.n = 1};
        struct world w;
        struct span name = span_of(rows[i].name);
        world_open(&w, feed, answer_lists, &l);
        struct backfill_opts o = world_opts(&w);
        o.tables = &name;
        o.n_tables = 1;
        ck_assert_int_eq(world_pull(&o).end, RUN_COMPLETED);
        ck_assert_msg(w.provider.n_asked == rows[i].requests, "%s: %zu requests", rows[i].name, w.provider.n_asked);
        world_close(&w);
    }
}
END_TEST

START_TEST(a_cap_ends_the_list_and_leaves_the_watermark)
{
    struct lists l = {.n = 9, .descending = true};
    struct world w;
    world_open(&w, MANIFEST_HEAD MANIFEST_API("{records: body.data, size: {query: limit, max: 2}, cap: 2, next: {query: after, value: record.id, more: body.more}}", "")
               "tables: {rows: {key: id, path: /rows, order: created desc, since: stop}}\n", answer_lists, &l);
    struct backfill_result r = world_pull_all(&w);
    ck_assert_uint_eq(w.provider.n_asked, 2);
    ck_assert_msg(strstr(r.note, "cap"), "%s", r.note);
    w.provider.n_asked = 0;
    world_pull_all(&w);
    ck_assert_uint_eq(w.provider.n_asked, 2);
    world_close(&w);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {the_next_run_asks_from_the_watermark, a_watermark_moves_when_the_run_is_complete,
                                  a_watermark_is_never_after_the_run_began, windows_and_units, another_window_is_another_run,
                                  a_window_that_began_late_leaves_the_watermark, an_upper_bound_ends_an_ascending_list,
                                  newest_first_stops_at_what_is_known, each_parent_is_stopped_for_itself,
                                  the_feed_goes_back_as_far_as_it_is_kept,
                                  named_tables_bring_the_feed_when_they_need_it, a_cap_ends_the_list_and_leaves_the_watermark};
    return run_suite("since", tests, sizeof tests / sizeof *tests);
}
