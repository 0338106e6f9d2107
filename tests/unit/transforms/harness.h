/* harness: a source made from a manifest's text, its transform, and what came out. For the tests of transforms. */
#pragma once
#include "transforms/transform.h"
#include "transforms/version.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define RECEIVED UINT64_C(1800000000000000) /* 2027-01-15T08:00:00Z */

struct world {
    struct report report;
    struct manifest *manifest;
    struct source_config source;
    struct config_value values[4];
    struct table_config tables[4];
    struct transform *transform;
    struct buf lines, dead;
    struct transform_result result;
    size_t n_rows, n_dead;
};

static bool take_row(void *ctx, const struct row *row, struct err *err)
{
    struct world *w = ctx;
    (void)err;
    row_write(&w->lines, row);
    w->n_rows++;
    return true;
}

static bool take_dead(void *ctx, const struct entry *entry, struct span table, uint64_t item, const char *reason, struct err *err)
{
    struct world *w = ctx;
    (void)entry;
    (void)err;
    buf_addf(&w->dead, "%.*s/%llu: %s\n", SPAN_ARG(table), (unsigned long long)item, reason);
    w->n_dead++;
    return true;
}

/* Fill values and tables before world_open. */
static void world_open(struct world *w, const char *yaml)
{
    struct err err;
    report_init(&w->report);
    w->manifest = manifest_parse("test.yaml", span_of(yaml), &w->report);
    ck_assert_msg(w->manifest != NULL, "%s", buf_z(&w->report.text));
    w->source.name = "acme";
    w->source.manifest = w->manifest;
    w->source.all_tables = true;
    w->source.values = w->values;
    w->source.tables = w->tables;
    w->transform = transform_new(&w->source, 3, &err);
    ck_assert_msg(w->transform != NULL, "%s", err.msg);
}

static void world_close(struct world *w)
{
    transform_free(&w->transform);
    manifest_free(&w->manifest);
    report_release(&w->report);
    buf_release(&w->lines);
    buf_release(&w->dead);
}

static void world_run(struct world *w, const struct entry *e)
{
    const struct transform_sink sink = {w, take_row, take_dead};
    struct err err;
    buf_clear(&w->lines);
    buf_clear(&w->dead);
    w->n_rows = w->n_dead = 0;
    ck_assert_msg(transform_run(w->transform, e, &sink, &w->result, &err), "%s", err.msg);
    ck_assert_uint_eq(w->result.rows, w->n_rows);
    ck_assert_uint_eq(w->result.dead, w->n_dead);
    ck_assert_int_eq(w->result.ignored, !w->n_rows && !w->n_dead);
}

static struct entry event_entry(const char *body)
{
    return (struct entry){
        .kind = ENTRY_EVENT,
        .seq = 7,
        .received_us = RECEIVED,
        .node = SPAN_LIT("n-1"),
        .lane = SPAN_LIT("events"),
        .source = SPAN_LIT("acme"),
        .message = {.method = SPAN_LIT("POST"), .url = SPAN_LIT("/in/acme"), .body = span_of(body)},
    };
}

static struct entry page_entry(const char *table, const char *body)
{
    struct entry e = event_entry(body);
    e.kind = ENTRY_PAGE;
    e.lane = SPAN_LIT("backfill");
    e.table = span_of(table);
    e.message.method = SPAN_LIT("GET");
    e.message.status = 200;
    e.observed_us = RECEIVED - 5000000;
    return e;
}

static inline void world_event(struct world *w, const char *body)
{
    struct entry e = event_entry(body);
    world_run(w, &e);
}

static inline void world_page(struct world *w, const char *table, const char *body)
{
    struct entry e = page_entry(table, body);
    world_run(w, &e);
}

/* The i-th line of that table; fails when there is none. Borrows w->lines and `scratch`. */
static inline struct row world_row(struct world *w, const char *table, size_t i, struct buf *scratch)
{
    struct span rest = buf_span(&w->lines);
    while (rest.n) {
        struct row row;
        struct err err;
        struct span line = span_cut(rest, '\n', &rest);
        ck_assert_msg(row_read(line, &row, scratch, &err), "%s: %.*s", err.msg, SPAN_ARG(line));
        if (span_eqz(row.table, table) && i-- == 0)
            return row;
    }
    ck_abort_msg("no such row of '%s' in:\n%s%s", table, buf_z(&w->lines), buf_z(&w->dead));
    return (struct row){0};
}

static inline size_t world_rows(struct world *w, const char *table)
{
    struct buf scratch = {0};
    size_t n = 0;
    struct span rest = buf_span(&w->lines);
    while (rest.n) {
        struct row row;
        struct err err;
        ck_assert(row_read(span_cut(rest, '\n', &rest), &row, &scratch, &err));
        n += span_eqz(row.table, table);
    }
    buf_release(&scratch);
    return n;
}

#define ck_span(a, z) ck_assert_msg(span_eqz((a), (z)), "'%.*s' is not '%s'", SPAN_ARG(a), (z))

static int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
