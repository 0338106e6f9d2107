/* Providers that limit, fail, lie and lead astray. */
#include "lists.h"

#define WITH(more) MANIFEST_HEAD MANIFEST_API(PAGE_BY_ID, more) "tables: {rows: {key: id, path: /rows, scope: Rows}}\n"
static const char plain[] = WITH("");
static const char by_link[] = MANIFEST_HEAD MANIFEST_API(PAGE_BY_LINK, "") "tables: {rows: {key: id, path: /linked}}\n";
#define ALL "r1 r2 r3 r4 r5 "

START_TEST(it_waits_as_asked)
{
    static const struct {
        const char *yaml, *headers;
        unsigned status;
        uint64_t least_s, most_s;
    } rows[] = {
        {plain, "Retry-After: 7\r\n", 429, 7, 8},
        {plain, "Retry-After: Thu, 01 Jan 2026 00:00:42 GMT\r\n", 429, 42, 43},
        {plain, "Retry-After: 3\r\n", 503, 3, 4},
        {plain, NULL, 429, 0, 31},
        {WITH("  rate: {left: header.X-Left, reset: header.X-Reset, unit: epoch}\n"), "X-Left: 0\r\nX-Reset: 1767225660\r\n", 403, 60, 61},
        {WITH("  rate: {left: header.X-Left, reset: header.X-Reset, unit: s}\n"), "X-Left: 0\r\nX-Reset: 20\r\n", 403, 20, 21},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fault fault = {.request = 2, .status = rows[i].status, .headers = rows[i].headers};
        struct lists l = {.n = 5, .faults = &fault, .n_faults = 1};
        struct world w;
        world_open(&w, rows[i].yaml, answer_lists, &l);
        struct backfill_result r = world_pull_all(&w);
        ck_assert_msg(w.slept_us >= rows[i].least_s * SECOND && w.slept_us < rows[i].most_s * SECOND, "row %zu: slept %llu us", i,
                      (unsigned long long)w.slept_us);
        ck_assert_uint_eq(r.limits, 1);
        ck_assert_msg(strstr(w.waits, "rate limit;"), "row %zu: %s", i, w.waits);
        assert_ids(&w, "rows", ALL);
        world_close(&w);
    }
}
END_TEST

START_TEST(a_long_wait_ends_the_run)
{
    struct fault fault = {.request = 2, .status = 429, .headers = "Retry-After: 3600\r\n"};
    struct lists l = {.n = 5, .faults = &fault, .n_faults = 1};
    struct world w;
    char status[16];
    world_open(&w, plain, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    struct backfill_result r = world_pull(&o);
    ck_assert_int_eq(r.end, RUN_LIMITED);
    ck_assert_uint_eq(w.slept_us, 0);
    world_run(&w, "rows", status, NULL);
    ck_assert_str_eq(status, "limited");
    world_pull_all(&w);
    ck_assert_uint_eq(w.provider.n_asked, 4);
    assert_ids(&w, "rows", ALL);
    world_close(&w);
}
END_TEST

START_TEST(endless_limits_end_the_run)
{
    struct fault faults[200];
    for (size_t i = 0; i < 200; i++)
        faults[i] = (struct fault){.request = i + 1, .status = 429, .headers = "Retry-After: 60\r\n"};
    struct lists l = {.n = 5, .faults = faults, .n_faults = 200};
    struct world w;
    world_open(&w, plain, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    ck_assert_int_eq(world_pull(&o).end, RUN_LIMITED);
    ck_assert_uint_le(w.slept_us, 600 * SECOND);
    world_close(&w);
}
END_TEST

START_TEST(what_passes_is_tried_again)
{
    static const struct fault rows[][2] = {
        {{.request = 2, .status = 500, .body = "<html>"}, {.request = 3, .status = 502}},
        {{.request = 2, .cut = true}, {.request = 3, .cut = true}},
        {{.request = 1, .status = 504}, {.request = 2, .cut = true}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lists l = {.n = 5, .faults = rows[i], .n_faults = 2};
        struct world w;
        world_open(&w, plain, answer_lists, &l);
        struct backfill_result r = world_pull_all(&w);
        ck_assert_uint_eq(r.retries, 2);
        ck_assert_uint_eq(w.provider.n_asked, 5);
        ck_assert_uint_le(w.slept_us, 3 * SECOND);
        assert_ids(&w, "rows", ALL);
        world_close(&w);
    }
}
END_TEST

START_TEST(what_does_not_pass_ends_the_run)
{
    struct fault faults[40];
    for (size_t i = 0; i < 40; i++)
        faults[i] = (struct fault){.request = i + 2, .status = 500};
    struct lists l = {.n = 5, .faults = faults, .n_faults = 40};
    struct world w;
    char status[16], error[800];
    world_open(&w, plain, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    struct backfill_result r = world_pull(&o);
    ck_assert_int_eq(r.end, RUN_FAILED);
    ck_assert_uint_eq(r.tables_failed, 1);
    ck_assert_uint_eq(w.provider.n_asked, 1 + 8);
    world_run(&w, "rows", status, error);
    ck_assert_str_eq(status, "failed");
    ck_assert_msg(strstr(error, "500"), "%s", error);
    l.n_faults = 0;
    w.provider.n_asked = 0;
    world_pull_all(&w); /* goes on behind the first page */
    ck_assert_uint_eq(w.provider.n_asked, 2);
    assert_ids(&w, "rows", ALL);
    world_close(&w);
}
END_TEST

START_TEST(failures_have_words)
{
    static const struct {
        const char *yaml;
        struct fault fault;
        const char *words[3];
        size_t requests;
    } rows[] = {
        {WITH("  errors: [{status: 401, cause: auth, say: \"The key was revoked.\"}]\n"), {.status = 401}, {"401", "The key was revoked."}, 1},
        {WITH("  errors: [{status: 403, cause: scope, say: \"The key lacks '{table.scope}'.\"}]\n"), {.status = 403},
         {"403", "The key lacks 'Rows'."}, 1},
        {WITH("  errors: [{when: {body.ok: \"false\"}, cause: auth, say: \"Not allowed.\"}]\n"), {.status = 200, .body = "{\"ok\":false}"},
         {"Not allowed."}, 1},
        {plain, {.status = 404}, {"404"}, 1},
        {plain, {.status = 302, .headers = "Location: https://evil.example/\r\n"}, {"302"}, 1},
        {plain, {.status = 200, .body = "<html>maintenance</html>"}, {"JSON"}, 1},
        {plain, {.status = 200, .body = "{\"rows\":[]}"}, {"body.data"}, 1},
        {plain, {.status = 200, .body = "{\"data\":[],\"more\":true}"}, {"more"}, 1},
        {plain, {.status = 401, .body = "{\"error\":{\"message\":\"Invalid API Key: " TOKEN "\"}}"}, {"401", "Invalid API Key"}, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fault fault = rows[i].fault;
        fault.request = 1;
        struct lists l = {.n = 5, .faults = &fault, .n_faults = 1};
        struct world w;
        char status[16], error[800];
        world_open(&w, rows[i].yaml, answer_lists, &l);
        struct backfill_opts o = world_opts(&w);
        struct backfill_result r = world_pull(&o);
        ck_assert_msg(r.end == RUN_FAILED, "row %zu", i);
        for (size_t k = 0; k < 3 && rows[i].words[k]; k++)
            ck_assert_msg(strstr(r.why.msg, rows[i].words[k]), "row %zu: '%s' lacks '%s'", i, r.why.msg, rows[i].words[k]);
        ck_assert_msg(!strstr(r.why.msg, TOKEN), "row %zu: a secret is shown", i);
        world_run(&w, "rows", status, error);
        ck_assert_msg(!strstr(error, TOKEN), "row %zu: a secret is kept", i);
        ck_assert_uint_eq(w.provider.n_asked, rows[i].requests);
        ck_assert_uint_eq(world_entries(&w, NULL, NULL), 0);
        world_close(&w);
    }
}
END_TEST

START_TEST(a_redirect_at_home_is_followed)
{
    struct fault fault = {.request = 1, .status = 307, .headers = "Location: /rows?limit=2\r\n"};
    struct lists l = {.n = 2, .faults = &fault, .n_faults = 1};
    struct world w;
    world_open(&w, plain, answer_lists, &l);
    world_pull_all(&w);
    assert_ids(&w, "rows", "r1 r2 ");
    world_close(&w);
}
END_TEST

START_TEST(no_key_goes_to_another_origin)
{
    struct lists l = {.n = 5}, none = {0};
    struct provider other;
    struct world w;
    char base[64];
    provider_start(&other, answer_lists, &none);
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u", other.port);
    l.link_to = base;
    world_open(&w, by_link, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    struct backfill_result r = world_pull(&o);
    ck_assert_int_eq(r.end, RUN_FAILED);
    ck_assert_msg(strstr(r.why.msg, "origin"), "%s", r.why.msg);
    ck_assert_uint_eq(other.n_asked, 0);
    struct fault fault = {.request = 2, .status = 302};
    struct buf location;
    buf_init(&location, 0);
    buf_addf(&location, "Location: %s/rows\r\n", base);
    fault.headers = buf_z(&location);
    l.faults = &fault;
    l.n_faults = 1;
    ck_assert_int_eq(world_pull(&o).end, RUN_FAILED);
    ck_assert_uint_eq(other.n_asked, 0);
    buf_release(&location);
    world_close(&w);
    provider_stop(&other);
}
END_TEST

/* Answers that never end: the same cursor, cursors in a ring, empty pages for ever. */
static void answer_loops(struct provider *p, const char *target, struct reply *r)
{
    const int *kind = p->ctx;
    (void)target;
    unsigned n = (unsigned)p->n_asked;
    if (*kind == 2)
        buf_addf(&r->body, "{\"data\":[],\"next\":\"c%u\"}", n);
    else
        buf_addf(&r->body, "{\"data\":[{\"id\":\"r%u\"}],\"next\":\"c%u\"}", n, *kind == 1 ? n % 3 : 7);
}

START_TEST(loops_end)
{
    static const char yaml[] = MANIFEST_HEAD MANIFEST_API("{records: body.data, next: {query: cursor, value: body.next}}", "")
        "tables: {rows: {key: id, path: /rows}}\n";
    for (int kind = 0; kind < 3; kind++) {
        struct world w;
        world_open(&w, yaml, answer_loops, &kind);
        struct backfill_opts o = world_opts(&w);
        struct backfill_result r = world_pull(&o);
        ck_assert_msg(r.end == RUN_FAILED && r.why.msg[0], "kind %d", kind);
        ck_assert_msg(w.provider.n_asked < (kind == 2 ? 200 : 20), "kind %d: %zu requests", kind, w.provider.n_asked);
        world_close(&w);
    }
}
END_TEST

START_TEST(own_pace)
{
    struct lists l = {.n = 9};
    struct world w;
    world_open(&w, WITH("  rate: {per_second: 2}\n"), answer_lists, &l);
    world_pull_all(&w);
    ck_assert(w.slept_us >= 2 * SECOND && w.slept_us < 3 * SECOND); /* 5 requests, 4 pauses */
    world_close(&w);
}
END_TEST

static void stop_in_wait(void *ctx, const struct pull_progress *p)
{
    struct world *w = ctx;
    if (p->waiting)
        w->stop = true;
}

START_TEST(a_wait_can_be_stopped)
{
    struct fault fault = {.request = 2, .status = 429, .headers = "Retry-After: 500\r\n"};
    struct lists l = {.n = 5, .faults = &fault, .n_faults = 1};
    struct world w;
    world_open(&w, plain, answer_lists, &l);
    struct backfill_opts o = world_opts(&w);
    o.progress = stop_in_wait;
    ck_assert_int_eq(world_pull(&o).end, RUN_STOPPED);
    ck_assert_uint_le(w.slept_us, SECOND / 10);
    w.stop = false;
    world_pull_all(&w);
    assert_ids(&w, "rows", ALL);
    world_close(&w);
}
END_TEST

START_TEST(a_parent_cannot_leave_its_path)
{
    /* Ids are the provider's: they may not lead to another call. */
    static const char *const ids[] = {"../../admin", "..", "a?x=1", "a#b", "a b"};
    static const char yaml[] = MANIFEST_HEAD MANIFEST_API("{records: body.data}", "") "tables:\n"
        "  rows: {key: id, path: /rows}\n  lines: {key: id, for_each: rows, path: \"/rows/{rows.id}/lines\"}\n";
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct buf body;
        struct world w;
        struct span name = SPAN_LIT("lines");
        buf_init(&body, 0);
        buf_addf(&body, "{\"data\":[{\"id\":\"%s\"}]}", ids[i]);
        struct fault fault = {.request = 1, .status = 200, .body = buf_z(&body)};
        struct lists l = {.faults = &fault, .n_faults = 1};
        world_open(&w, yaml, answer_lists, &l);
        struct backfill_opts o = world_opts(&w);
        o.tables = &name;
        o.n_tables = 1;
        world_pull(&o);
        const char *target = w.provider.n_asked > 1 ? w.provider.asked[1] : "";
        ck_assert_msg(!target[0] || (strncmp(target, "/rows/", 6) == 0 && strstr(target, "/lines") && !strstr(target, "..") &&
                                     !strchr(target, '?') && !strchr(target, '#')), "%s", target);
        buf_release(&body);
        world_close(&w);
    }
}
END_TEST

static struct world *hunted;
static bool found_secret;

static int hunt(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    struct err err;
    char *p;
    size_t n;
    (void)ftw;
    if (type != FTW_F || !st->st_size)
        return 0;
    ck_assert_msg(io_read_file(io_posix(), path, 1 << 28, &p, &n, &err), "%s", err.msg);
    if (memmem(p, n, TOKEN, strlen(TOKEN)) || memmem(p, n, "cookie_planted", 14))
        found_secret = true;
    free(p);
    return 0;
}

START_TEST(no_secret_is_stored)
{
    /* The key as a header, and as a parameter that comes back in Link. */
    static const char *const yamls[] = {
        plain,
        MANIFEST_HEAD "api:\n  base: https://api.acme.example\n  auth: {header: X-Token, value: config.api_key}\n  page: " PAGE_BY_ID "\n"
                      "tables: {rows: {key: id, path: /rows, query: {token: \"{config.api_key}\"}}}\n",
    };
    for (size_t i = 0; i < 2; i++) {
        struct lists l = {.n = 5};
        struct world w;
        world_open(&w, yamls[i], answer_lists, &l);
        world_pull_all(&w);
        ck_assert(i == 0 || strstr(w.provider.asked[0], TOKEN));
        hunted = &w;
        found_secret = false;
        ck_assert_int_eq(nftw(w.dir, hunt, 16, FTW_PHYS), 0);
        ck_assert_msg(!found_secret, "yaml %zu: a secret is in %s", i, w.dir);
        world_close(&w);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {it_waits_as_asked, a_long_wait_ends_the_run, endless_limits_end_the_run, what_passes_is_tried_again,
                                  what_does_not_pass_ends_the_run, failures_have_words, a_redirect_at_home_is_followed,
                                  no_key_goes_to_another_origin, loops_end, own_pace, a_wait_can_be_stopped,
                                  a_parent_cannot_leave_its_path, no_secret_is_stored};
    return run_suite("trouble", tests, sizeof tests / sizeof *tests);
}
