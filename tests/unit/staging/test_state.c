/* state.db: books, dead letters, transforms, secrets, runs. */
#include "faulty.h"
#include "staging/books.h"
#include "staging/state.h"
#include <check.h>

static struct scratch_dir dir;
static struct state state;

static void setup(void)
{
    struct err err;
    scratch_dir_make(&dir);
    ck_assert_msg(state_open(&state, dir.path, false, &err), "%s", err.msg);
}

static void teardown(void)
{
    state_close(&state);
    scratch_dir_remove(&dir);
}

#define ok(call) ck_assert_msg((call), "%s", err.msg)

START_TEST(a_transform_draws_its_ordinal)
{
    static const uint64_t fingerprints[] = {1, 1, 2, 2, 1, UINT64_MAX};
    static const uint64_t ordinals[] = {0, 0, 1, 1, 2, 3};
    struct err err;
    for (size_t i = 0; i < 6; i++) {
        struct source_config s = {.name = "acme", .fingerprint = fingerprints[i]};
        struct source_config other = {.name = "other", .fingerprint = 9};
        uint64_t ordinal = 99;
        ok(state_transform(&state, &s, &ordinal, &err));
        ck_assert_uint_eq(ordinal, ordinals[i]);
        ok(state_transform(&state, &other, &ordinal, &err));
        ck_assert_uint_eq(ordinal, 0);
    }
}
END_TEST

START_TEST(an_absent_file_reads_as_empty)
{
    struct scratch_dir empty;
    struct state s;
    struct books b = {.received = 5};
    struct err err;
    uint64_t next;
    char path[300];
    scratch_dir_make(&empty);
    ok(state_open(&s, empty.path, true, &err));
    ok(state_books(&s, SPAN_LIT("acme"), &b, &err));
    ck_assert_uint_eq(b.received, 0);
    ok(state_position(&s, SPAN_LIT("events"), &next, &err));
    ck_assert_uint_eq(next, 1);
    state_close(&s);
    (void)snprintf(path, sizeof(path), "%s/state.db", empty.path);
    ck_assert_int_ne(access(path, F_OK), 0);
    scratch_dir_remove(&empty);
}
END_TEST

START_TEST(a_newer_file_is_refused)
{
    struct state s;
    struct err err;
    ok(db_exec(&state.db, "PRAGMA user_version = 1000", &err));
    for (int readonly = 0; readonly < 2; readonly++) {
        ck_assert(!state_open(&s, dir.path, readonly, &err));
        ck_assert_int_eq(err.cls, ERR_CONFIG);
        ck_assert_msg(strstr(err.msg, "newer"), "%s", err.msg);
    }
}
END_TEST

START_TEST(the_books_add_up)
{
    struct state reader;
    struct books b, delta = {.received = 10, .handshake = 1, .rejected = 2, .duplicate = 3, .journalled = 4, .staged = 77};
    struct err err;
    uint64_t mark;
    ok(state_books_mark(&state, &mark, &err));
    ck_assert_uint_eq(mark, 0);
    ok(state_books_add(&state, SPAN_LIT("acme"), &delta, 4, &err));
    ok(state_books_add(&state, SPAN_LIT("acme"), &delta, 8, &err));
    ok(state_books_add(&state, SPAN_LIT("acme"), &delta, 6, &err));
    ok(state_open(&reader, dir.path, true, &err));
    ok(state_books(&reader, SPAN_LIT("acme"), &b, &err));
    ck_assert_uint_eq(b.received, 30);
    ck_assert_uint_eq(b.handshake, 3);
    ck_assert_uint_eq(b.rejected, 6);
    ck_assert_uint_eq(b.duplicate, 9);
    ck_assert_uint_eq(b.journalled, 12);
    ck_assert_uint_eq(b.staged, 0); /* not the door's */
    ok(state_books_mark(&reader, &mark, &err));
    ck_assert_uint_eq(mark, 8);
    state_close(&reader);
}
END_TEST

START_TEST(several_sources_join_one_transaction)
{
    struct books b, delta = {.received = 1};
    struct err err;
    uint64_t mark;
    ok(db_begin(&state.db, &err));
    ok(state_books_add(&state, SPAN_LIT("a"), &delta, 5, &err));
    ok(state_books_add(&state, SPAN_LIT("b"), &delta, 5, &err));
    db_rollback(&state.db);
    ok(state_books(&state, SPAN_LIT("a"), &b, &err));
    ck_assert_uint_eq(b.received, 0);
    ok(state_books_mark(&state, &mark, &err));
    ck_assert_uint_eq(mark, 0);
}
END_TEST

static bool gather_letter(void *ctx, const struct dead_letter *d)
{
    buf_addf(ctx, "%.*s %.*s/%llu %.*s %.*s;", SPAN_ARG(d->source), SPAN_ARG(d->table), (unsigned long long)d->item,
             SPAN_ARG(d->entry), SPAN_ARG(d->reason));
    return true;
}

static void put_letter(const char *source, const char *entry, uint64_t item, const char *reason)
{
    struct err err;
    struct dead_letter d = {.source = span_of(source), .table = SPAN_LIT("t"), .entry = span_of(entry), .item = item,
                            .reason = span_of(reason), .at_us = 1};
    ok(dead_put(&state, &d, true, &err));
}

START_TEST(a_letter_is_kept_once)
{
    struct buf out = {0};
    struct err err;
    uint64_t n;
    put_letter("acme", "n/events/1", 0, "first");
    put_letter("acme", "n/events/1", 1, "other item");
    put_letter("acme", "n/events/1", 0, "again");
    put_letter("b", "n/events/2", 0, "b's");
    ok(state_dead_each(&state, SPAN_LIT("acme"), 10, gather_letter, &out, &err));
    ck_assert_str_eq(buf_z(&out), "acme t/0 n/events/1 again;acme t/1 n/events/1 other item;");
    buf_clear(&out);
    ok(state_dead_each(&state, (struct span){0}, 1, gather_letter, &out, &err));
    ck_assert_str_eq(buf_z(&out), "acme t/0 n/events/1 again;");
    ok(state_dead_count(&state, (struct span){0}, &n, &err));
    ck_assert_uint_eq(n, 3);
    ok(state_dead_drop(&state, SPAN_LIT("b"), 1, &n, &err)); /* another source's letter */
    ck_assert_uint_eq(n, 0);
    ok(state_dead_drop(&state, SPAN_LIT("acme"), 1, &n, &err));
    ck_assert_uint_eq(n, 1);
    ok(state_dead_drop(&state, SPAN_LIT("acme"), 0, &n, &err));
    ck_assert_uint_eq(n, 1);
    ok(state_dead_count(&state, SPAN_LIT("b"), &n, &err));
    ck_assert_uint_eq(n, 1);
    buf_release(&out);
}
END_TEST

static bool gather_secret(void *ctx, const struct secret_seen *s)
{
    buf_addf(ctx, "%.*s %.*s %llu %llu;", SPAN_ARG(s->source), SPAN_ARG(s->id), (unsigned long long)s->first_us,
             (unsigned long long)s->last_used_us);
    return true;
}

START_TEST(secrets_keep_first_and_last)
{
    struct buf out = {0};
    struct err err;
    ok(state_secret_seen(&state, SPAN_LIT("acme"), SPAN_LIT("7c1e9a"), 100, 0, &err));
    ok(state_secret_seen(&state, SPAN_LIT("acme"), SPAN_LIT("7c1e9a"), 200, 300, &err));
    ok(state_secret_seen(&state, SPAN_LIT("acme"), SPAN_LIT("7c1e9a"), 150, 250, &err));
    ok(state_secret_seen(&state, SPAN_LIT("b"), SPAN_LIT("000000"), 1, 2, &err));
    ok(state_secret_each(&state, SPAN_LIT("acme"), gather_secret, &out, &err));
    ck_assert_str_eq(buf_z(&out), "acme 7c1e9a 100 300;");
    buf_release(&out);
}
END_TEST

static bool gather_run(void *ctx, const struct run_record *r)
{
    buf_addf(ctx, "%.*s/%.*s %.*s;", SPAN_ARG(r->table), SPAN_ARG(r->run), SPAN_ARG(r->status));
    return true;
}

START_TEST(runs_and_their_watermark)
{
    struct buf text = {0}, mark = {0};
    struct run_record back;
    struct err err;
    bool found = true;
    struct run_record r = {.run = SPAN_LIT("r1"), .source = SPAN_LIT("acme"), .table = SPAN_LIT("orders"), .started_us = 10,
                           .status = SPAN_LIT("running"), .pages = 3, .rows = UINT64_C(1) << 40, .last_seq = 7};
    ok(state_run_get(&state, r.source, r.table, (struct span){0}, &back, &text, &found, &err));
    ck_assert(!found);
    ok(state_run_put(&state, &r, &err));
    ok(state_watermark(&state, r.source, r.table, &mark, &found, &err));
    ck_assert(!found);
    r.status = SPAN_LIT("completed");
    r.watermark = SPAN_LIT("2026-05-01");
    r.finished_us = 20;
    ok(state_run_put(&state, &r, &err));
    r.run = SPAN_LIT("r2");
    r.started_us = 30;
    r.finished_us = 0;
    r.status = SPAN_LIT("failed");
    r.error = SPAN_LIT("HTTP 500");
    r.watermark = (struct span){NULL, 0};
    ok(state_run_put(&state, &r, &err));
    ok(state_watermark(&state, r.source, r.table, &mark, &found, &err));
    ck_assert(found);
    ck_assert_str_eq(buf_z(&mark), "2026-05-01");
    ok(state_run_get(&state, r.source, r.table, (struct span){0}, &back, &text, &found, &err));
    ck_assert(found && span_eqz(back.run, "r2") && span_eqz(back.error, "HTTP 500"));
    ok(state_run_get(&state, r.source, r.table, SPAN_LIT("r1"), &back, &text, &found, &err));
    ck_assert(found && span_eqz(back.status, "completed") && back.rows == UINT64_C(1) << 40 && back.last_seq == 7);
    buf_clear(&text);
    ok(state_runs_each(&state, (struct span){0}, 10, gather_run, &text, &err));
    ck_assert_str_eq(buf_z(&text), "orders/r2 failed;orders/r1 completed;");
    ok(state_runs_forget(&state, 21, &err));
    buf_clear(&text);
    ok(state_runs_each(&state, SPAN_LIT("acme"), 10, gather_run, &text, &err));
    ck_assert_str_eq(buf_z(&text), "orders/r2 failed;");
    ok(state_watermark_drop(&state, r.source, r.table, &err));
    ok(state_watermark(&state, r.source, r.table, &mark, &found, &err));
    ck_assert(!found);
    buf_release(&text);
    buf_release(&mark);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state");
    TCase *tc = tcase_create("state.db");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_transform_draws_its_ordinal);
    tcase_add_test(tc, an_absent_file_reads_as_empty);
    tcase_add_test(tc, a_newer_file_is_refused);
    tcase_add_test(tc, the_books_add_up);
    tcase_add_test(tc, several_sources_join_one_transaction);
    tcase_add_test(tc, a_letter_is_kept_once);
    tcase_add_test(tc, secrets_keep_first_and_last);
    tcase_add_test(tc, runs_and_their_watermark);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
