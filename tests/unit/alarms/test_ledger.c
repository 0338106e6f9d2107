/* Alarms in state.db: once each way, in order, and what is posted is what was raised. */
#include "alarms/ledger.h"
#include "alarms/post.h"
#include "core/json.h"
#include "tests/unit/check_main.h"
#include <string.h>

static char dir[CHECK_DIR_MAX];
static struct state state;
static struct err err;

static void open_state(void)
{
    ck_assert_msg(state_open(&state, dir, false, &err), "%s", err.msg);
}

static void set_up(void)
{
    err = (struct err){0};
    check_dir_make(dir);
    open_state();
}

static void tear_down(void)
{
    state_close(&state);
    check_dir_remove(dir);
}

static struct alarm silent(const char *source, const char *cause, uint64_t at)
{
    return (struct alarm){SPAN_LIT("silent"), span_of(source), {"", 0}, span_of(cause), SPAN_LIT("look"), at, 0};
}

static bool raise_it(const char *source, const char *cause, uint64_t at, const char *message)
{
    struct alarm a = silent(source, cause, at);
    bool is_new = false;
    ck_assert_msg(ledger_raise(&state, &a, message, &is_new, &err), "%s", err.msg);
    return is_new;
}

static bool clear_it(const char *source, uint64_t at, const char *message)
{
    struct alarm a = silent(source, "over", 0);
    bool was = false;
    ck_assert_msg(ledger_clear(&state, &a, at, message, &was, &err), "%s", err.msg);
    return was;
}

static char seen[400];

static bool gather(void *ctx, const struct alarm *a)
{
    size_t n = strlen(seen);
    (void)ctx;
    (void)snprintf(seen + n, sizeof seen - n, "%.*s:%.*s@%llu-%llu;", SPAN_ARG(a->source), SPAN_ARG(a->cause),
                   (unsigned long long)a->raised_us, (unsigned long long)a->cleared_us);
    return true;
}

static const char *all(bool standing)
{
    seen[0] = 0;
    ck_assert(ledger_each(&state, standing, gather, NULL, &err));
    return seen;
}

START_TEST(raised_once_and_cleared_once)
{
    set_up();
    ck_assert(raise_it("a", "first", 10, "m1"));
    ck_assert(!raise_it("a", "second", 20, "m2"));
    ck_assert(raise_it("b", "other", 15, NULL));
    state_close(&state);
    open_state();
    ck_assert(!raise_it("a", "third", 30, "m3"));
    ck_assert_str_eq(all(true), "b:other@15-0;a:third@10-0;");
    ck_assert(clear_it("a", 40, "m4"));
    ck_assert(!clear_it("a", 50, "m5"));
    ck_assert(!clear_it("c", 50, "m6"));
    ck_assert_str_eq(all(true), "b:other@15-0;");
    ck_assert_str_eq(all(false), "b:other@15-0;a:third@10-40;");
    ck_assert(raise_it("a", "again", 60, NULL));
    ck_assert_str_eq(all(true), "a:again@60-0;b:other@15-0;");
    tear_down();
}
END_TEST

START_TEST(posts_wait_in_their_order)
{
    struct buf text;
    struct post p;
    struct posts_waiting w;
    bool found;
    set_up();
    buf_init(&text, 1 << 16);
    ck_assert(ledger_post(&state, &p, &text, &found, &err) && !found);
    ck_assert(ledger_waiting(&state, &w, &err) && w.n == 0 && w.tries == 0);
    ck_assert(raise_it("a", "first", 10, "m1"));
    ck_assert(clear_it("a", 40, "m2"));
    ck_assert(ledger_post(&state, &p, &text, &found, &err) && found);
    ck_assert(span_eqz(p.message, "m1") && !p.alarm.cleared_us && p.alarm.raised_us == 10 && span_eqz(p.alarm.cause, "first"));
    ck_assert(ledger_not_posted(&state, p.id, "no route", &err) && ledger_not_posted(&state, p.id, "answered 500", &err));
    state_close(&state);
    open_state();
    ck_assert(ledger_waiting(&state, &w, &err) && w.n == 2 && w.oldest_us == 10 && w.tries == 2);
    ck_assert_str_eq(w.error, "answered 500");
    ck_assert(ledger_post(&state, &p, &text, &found, &err) && found && p.tries == 2 && span_eqz(p.message, "m1"));
    ck_assert(ledger_posted(&state, p.id, &err));
    ck_assert(ledger_post(&state, &p, &text, &found, &err) && found && p.tries == 0);
    ck_assert(span_eqz(p.message, "m2") && p.alarm.cleared_us == 40 && p.alarm.raised_us == 10 && span_eqz(p.alarm.cause, "over"));
    ck_assert(ledger_posted(&state, p.id, &err) && ledger_waiting(&state, &w, &err) && w.n == 0);
    buf_release(&text);
    tear_down();
}
END_TEST

START_TEST(bodies_are_json_whatever_is_in_them)
{
    struct post p = {.alarm = silent("a", "2 < 3 & \"x\" > y\n*", 1700000000000000), .at_us = 1700000000000000};
    struct buf body;
    struct json j;
    buf_init(&body, 1 << 16);
    post_write(&body, &p, "n1", true);
    ck_assert_msg(json_parse(buf_span(&body), &j, &err), "%s", buf_z(&body));
    ck_assert_ptr_nonnull(strstr(buf_z(&body), "2 &lt; 3 &amp; \\\"x\\\" &gt; y\\n*"));
    ck_assert_ptr_nonnull(strstr(buf_z(&body), "2023-11-14T22:13:20Z, node n1"));
    for (int cleared = 0; cleared < 2; cleared++) {
        buf_clear(&body);
        p.alarm.cleared_us = cleared ? p.at_us + 1 : 0;
        post_write(&body, &p, "n1", false);
        ck_assert_msg(json_parse(buf_span(&body), &j, &err), "%s", buf_z(&body));
        struct json data = json_get(j, SPAN_LIT("data"));
        ck_assert(span_eqz(json_inner(json_get(j, SPAN_LIT("type"))), cleared ? "sluice.alarm.cleared" : "sluice.alarm.raised"));
        ck_assert(span_eqz(json_inner(json_get(data, SPAN_LIT("node"))), "n1"));
        ck_assert_int_eq(json_get(data, SPAN_LIT("cleared_at")).type == JSON_STRING, cleared);
    }
    buf_release(&body);
}
END_TEST

static void take(void *ctx, const struct registration *r)
{
    (void)snprintf(ctx, 200, "%.*s|%.*s|%llu|%d", SPAN_ARG(r->cause), SPAN_ARG(r->next), (unsigned long long)r->checked_us, r->broken);
}

START_TEST(memory_and_registration_are_kept)
{
    struct buf text;
    char got[200] = "nothing";
    set_up();
    buf_init(&text, 4096);
    ck_assert(ledger_memory(&state, SPAN_LIT("a"), &text, &err) && text.n == 0);
    ck_assert(ledger_remember(&state, SPAN_LIT("a"), SPAN_LIT("one"), &err) && ledger_remember(&state, SPAN_LIT("a"), SPAN_LIT("two"), &err));
    ck_assert(ledger_memory(&state, SPAN_LIT("a"), &text, &err) && span_eqz(buf_span(&text), "two"));
    ck_assert(state_registration_get(&state, SPAN_LIT("a"), take, got, &err));
    ck_assert_str_eq(got, "nothing");
    struct registration r = {SPAN_LIT("a"), SPAN_LIT("disabled"), SPAN_LIT("do this"), 7, true};
    ck_assert(state_registration_put(&state, &r, &err) && state_registration_get(&state, SPAN_LIT("a"), take, got, &err));
    ck_assert_str_eq(got, "disabled|do this|7|1");
    buf_release(&text);
    tear_down();
}
END_TEST

CHECK_SUITE("ledger", t)
{
    tcase_add_test(t, raised_once_and_cleared_once);
    tcase_add_test(t, posts_wait_in_their_order);
    tcase_add_test(t, bodies_are_json_whatever_is_in_them);
    tcase_add_test(t, memory_and_registration_are_kept);
}
