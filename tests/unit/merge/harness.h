/* harness: a source and a table made by hand, rows in a line each, and the target's content as text. */
#pragma once
#include "config/config.h"
#include "core/clock.h"
#include "core/codec.h"
#include "core/db.h"
#include "merge/cell.h"
#include "merge/target.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000)
#define EPOCH (UINT64_C(1700000000) * SECOND)

struct world {
    char dir[128], path[160];
    const char *key[4];
    struct table_rule rule;
    struct manifest manifest;
    struct table_config table_config;
    struct source_config source;
    struct target *target;
    struct applied_row last;
};

struct put {
    enum row_op op;
    enum shape shape;
    enum row_origin origin;
    const char *key, *version;
    int observed; /* seconds after EPOCH */
    const char *row;
    const char *account, *event_id;
};

static inline void world_init(struct world *w)
{
    const char *tmp = getenv("TMPDIR");
    *w = (struct world){0};
    snprintf(w->dir, sizeof(w->dir), "%s/sluice-merge-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/tables.db", w->dir);
    w->key[0] = "id";
    w->rule = (struct table_rule){.name = "orders", .key = w->key, .n_key = 1};
    w->table_config = (struct table_config){.name = "orders"};
    w->manifest = (struct manifest){.name = "acme"};
    w->source = (struct source_config){.name = "acme", .manifest = &w->manifest, .all_tables = true};
}

static inline void world_open(struct world *w)
{
    struct err err = {0};
    ck_assert_msg(target_open_sqlite(w->path, &w->target, &err), "%s", err.msg);
}

static inline void world_close(struct world *w)
{
    if (w->target)
        w->target->ops->close(&w->target);
}

static inline void world_wipe(struct world *w)
{
    const char *const suffixes[] = {"", "-wal", "-shm", "-journal", ".lock"};
    char path[200];
    world_close(w);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", w->path, suffixes[i]);
        (void)unlink(path);
    }
}

static inline void world_done(struct world *w)
{
    world_wipe(w);
    ck_assert_int_eq(rmdir(w->dir), 0);
}

static inline void world_begin(struct world *w)
{
    struct err err = {0};
    ck_assert_msg(w->target->ops->begin(w->target, &err), "%s", err.msg);
}

static inline void world_commit(struct world *w)
{
    struct err err = {0};
    ck_assert_msg(w->target->ops->commit(w->target, &err), "%s", err.msg);
}

static inline struct row row_of(const struct world *w, const struct put *p)
{
    return (struct row){.source = span_of(w->source.name),
                        .account = span_of(p->account),
                        .table = span_of(w->rule.name),
                        .key = span_of(p->key),
                        .version = span_of(p->version),
                        .op = p->op,
                        .origin = p->origin,
                        .shape = p->shape,
                        .event_id = span_of(p->event_id),
                        .entry = SPAN_LIT("n/events/1"),
                        .received_us = EPOCH + (uint64_t)p->observed * SECOND,
                        .observed_us = EPOCH + (uint64_t)p->observed * SECOND,
                        .row = span_of(p->row ? p->row : "null")};
}

static inline bool world_try(struct world *w, const struct put *p, struct err *err)
{
    struct row row = row_of(w, p);
    return w->target->ops->apply(w->target, &w->source, &w->rule, &row, &w->last, err);
}

/* One row in a transaction of its own. */
static inline enum applied world_put(struct world *w, const struct put *p)
{
    struct err err = {0};
    world_begin(w);
    ck_assert_msg(world_try(w, p, &err), "%s", err.msg);
    world_commit(w);
    return w->last.what;
}

static inline void dump_query(struct db *db, const char *sql, struct buf *out)
{
    struct err err = {0};
    sqlite3_stmt *st = NULL;
    bool row;
    ck_assert_msg(db_prepare(db, &st, sql, &err), "%s", err.msg);
    for (;;) {
        ck_assert_msg(db_step(db, st, &row, &err), "%s", err.msg);
        if (!row)
            break;
        for (int i = 0; i < sqlite3_column_count(st); i++) {
            buf_addc(out, i ? ',' : '{');
            json_write_string(out, span_of(sqlite3_column_name(st, i)));
            buf_addc(out, ':');
            column_write_json(out, st, i);
        }
        buf_addz(out, "}\n");
    }
    sqlite3_finalize(st);
}

static inline void query(const struct world *w, const char *sql, struct buf *out)
{
    struct db db;
    struct err err = {0};
    ck_assert_msg(db_open_readonly(&db, w->path, &err), "%s", err.msg);
    dump_query(&db, sql, out);
    db_close(&db);
}

/* The whole answer of a query is `expected`. */
static inline void expect(const struct world *w, const char *sql, const char *expected)
{
    struct buf out = {0};
    query(w, sql, &out);
    ck_assert_str_eq(buf_z(&out), expected);
    buf_release(&out);
}

static inline int64_t number(const struct world *w, const char *sql)
{
    struct db db;
    struct err err = {0};
    int64_t n = 0;
    ck_assert_msg(db_open_readonly(&db, w->path, &err), "%s", err.msg);
    ck_assert_msg(db_int(&db, &n, -1, &err, sql, ""), "%s", err.msg);
    db_close(&db);
    return n;
}

static inline int run_suite(TCase *(*make)(void))
{
    Suite *s = suite_create("merge");
    suite_add_tcase(s, make());
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
