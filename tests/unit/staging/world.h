/* world: a data directory with a journal of entries, a source, a stager over faulty io; and what should come out.
 * For the tests of the stager. */
#pragma once
#include "faulty.h"
#include "journal/journal.h"
#include "staging/stager.h"
#include "staging/state.h"
#include "staging/trace.h"
#include <check.h>

#define DAY_US (UINT64_C(86400) * 1000000)
#define DAY_ZERO UINT64_C(1798761600000000) /* 2027-01-01 */

#define MANIFEST(extra) \
    "sluice: 1\n" \
    "name: acme\n" \
    "title: Acme\n" \
    "verify:\n" \
    "  v1:\n" \
    "    algorithm: hmac-sha256\n" \
    "    signature: {header: X-Signature, encoding: hex}\n" \
    "    signed: \"{body}\"\n" \
    "event: {id: body.id, type: body.type, object: body.o}\n" \
    "api: {base: \"https://a.example\", page: {records: body.data, size: {query: limit, max: 100}," \
    " next: {query: after, value: record.id, more: body.more}}}\n" \
    "tables:\n" \
    "  orders: {key: id, types: \"order.*\", deleted: order.gone, path: /orders" extra "}\n" \
    "  items: {key: sku, types: \"order.made\", each: \"body.o.items[]\"}\n"
#define MANIFEST_A MANIFEST("")
#define MANIFEST_B MANIFEST(", columns: {made_by: {constant: b}}")
#define MANIFEST_FIXED MANIFEST(", columns: {number: id}")

struct world {
    struct scratch_dir dir;
    char journal_dir[300], objects_dir[300];
    struct faulty faulty; /* of the stager and its store */
    struct journal *journal;
    struct store *store;
    struct report report;
    struct manifest *manifest;
    struct source_config source;
    struct config config;
    uint64_t appended[LANE_COUNT];
    bool may_refuse; /* the journal: what it refuses was not appended */
};

static inline void world_manifest(struct world *w, const char *yaml)
{
    manifest_free(&w->manifest);
    w->manifest = manifest_parse("test.yaml", span_of(yaml), &w->report);
    ck_assert_msg(w->manifest != NULL, "%s", buf_z(&w->report.text));
    w->source.manifest = w->manifest;
    w->source.fingerprint = w->manifest->fingerprint;
}

/* The configuration and what it points to; dir is chosen. */
static inline void world_configure(struct world *w)
{
    report_init(&w->report);
    (void)snprintf(w->journal_dir, sizeof(w->journal_dir), "%s/journal", w->dir.path);
    (void)snprintf(w->objects_dir, sizeof(w->objects_dir), "%s/objects", w->dir.path);
    w->source = (struct source_config){.name = "acme", .all_tables = true};
    w->config = (struct config){.sources = &w->source, .n_sources = 1, .data_dir = w->dir.path, .objects_dir = w->objects_dir,
                                .cut_bytes = 1 << 20, .cut_age_us = 3600 * UINT64_C(1000000), .retain_raw_us = 100000 * DAY_US};
    world_manifest(w, MANIFEST_A);
}

static inline struct journal_opts world_journal(const struct world *w, const struct io *io)
{
    return (struct journal_opts){.io = io, .dir = w->journal_dir, .name = "n", .segment_bytes = 1 << 20, .bytes_max = 1 << 28,
                                 .entry_bytes_max = 1 << 20};
}

static inline void world_open(struct world *w)
{
    struct err err;
    *w = (struct world){0};
    scratch_dir_make(&w->dir);
    faulty_init(&w->faulty);
    world_configure(w);
    struct journal_opts o = world_journal(w, io_posix());
    ck_assert_msg(journal_open(&o, &w->journal, &err), "%s", err.msg);
    ck_assert_msg(store_open_dir(&w->faulty.io, w->objects_dir, &w->store, &err), "%s", err.msg);
}

static inline void world_close(struct world *w)
{
    store_close(&w->store);
    journal_close(&w->journal);
    manifest_free(&w->manifest);
    report_release(&w->report);
    scratch_dir_remove(&w->dir);
}

/* state.db and all objects go: staging begins anew. */
static inline void world_forget(struct world *w)
{
    char path[400];
    static const char *const files[] = {"state.db", "state.db-wal", "state.db-shm"};
    struct err err;
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", w->dir.path, files[i]);
        (void)unlink(path);
    }
    store_close(&w->store);
    scratch_remove(w->objects_dir);
    ck_assert_msg(store_open_dir(&w->faulty.io, w->objects_dir, &w->store, &err), "%s", err.msg);
}

static inline struct stager *world_stager(struct world *w)
{
    struct stager *s;
    struct err err;
    struct stager_opts o = {.config = &w->config, .journal = w->journal, .store = w->store, .data_dir = w->dir.path,
                            .io = &w->faulty.io};
    ck_assert_msg(stager_new(&o, &s, &err), "%s", err.msg);
    return s;
}

static inline uint64_t world_append(struct world *w, enum lane_id lane, const char *source, const char *body, uint64_t received_us)
{
    struct err err;
    uint64_t seq;
    struct entry e = {.kind = lane == LANE_EVENTS ? ENTRY_EVENT : ENTRY_PAGE, .source = span_of(source),
                      .received_us = received_us, .observed_us = received_us - 1000000, .table = SPAN_LIT("orders"),
                      .message = {.method = SPAN_LIT("POST"), .url = SPAN_LIT("/"), .body = span_of(body)}};
    bool ok = lane_append_wait(journal_lane(w->journal, lane), &e, &seq, &err);
    ck_assert_msg(ok || w->may_refuse, "%s", err.msg);
    w->appended[lane] += ok;
    return ok ? seq : 0;
}

/* The i-th entry of a mixed load: rows of two tables, deletes, ignored, dead with and without rows, other sources. */
static inline void world_load(struct world *w, unsigned i)
{
    char body[512];
    uint64_t at = DAY_ZERO + (i % 3) * DAY_US + i;
    switch (i % 9) {
    case 0:
        (void)snprintf(body, sizeof(body), "{\"id\":\"e%u\",\"type\":\"order.made\",\"o\":{\"id\":%u,\"items\":[{\"sku\":%u},{\"sku\":null}]}}", i, i, i);
        break;
    case 1:
        (void)snprintf(body, sizeof(body), "{\"id\":\"e%u\",\"type\":\"order.gone\",\"o\":{\"id\":%u}}", i, i);
        break;
    case 2:
        (void)snprintf(body, sizeof(body), "not json %u", i);
        break;
    case 3:
    case 4:
        (void)snprintf(body, sizeof(body), "{\"more\":false,\"data\":[{\"id\":%u},{\"id\":%u},{\"number\":%u}]}", i, i + 1000, i);
        world_append(w, LANE_BACKFILL, "acme", body, at);
        return;
    case 5:
        world_append(w, LANE_BACKFILL, "acme", "{\"data\":[]}", at);
        return;
    case 6:
        (void)snprintf(body, sizeof(body), "{\"id\":\"e%u\",\"type\":\"order.made\"}", i);
        world_append(w, LANE_EVENTS, "stranger", body, at);
        return;
    default:
        (void)snprintf(body, sizeof(body), "{\"id\":\"e%u\",\"type\":\"other\",\"o\":{\"pad\":\"%0200u\"}}", i, i);
        break;
    }
    world_append(w, LANE_EVENTS, "acme", body, at);
}

struct lines { /* sorted */
    char **p;
    size_t n, cap;
};

static inline void lines_release(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->p[i]);
    free(l->p);
    *l = (struct lines){0};
}

static bool lines_add(void *ctx, struct span line, struct err *err)
{
    struct lines *l = ctx;
    (void)err;
    if (l->n == l->cap) {
        l->cap = 2 * l->cap + 64;
        l->p = realloc(l->p, l->cap * sizeof(*l->p));
        ck_assert_ptr_nonnull(l->p);
    }
    l->p[l->n++] = strndup(line.p, line.n);
    return true;
}

static int lines_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void lines_sort(struct lines *l)
{
    if (l->n)
        qsort(l->p, l->n, sizeof(*l->p), lines_order);
}

struct reading {
    struct world *w;
    const char *lane;
    struct lines *out;
    size_t objects;
};

static bool read_object(void *ctx, const char *key)
{
    struct reading *r = ctx;
    struct object_name n;
    struct err err;
    ck_assert_msg(object_name_parse(span_of(key), &n), "%s", key);
    if (!span_eqz(n.lane, r->lane))
        return true;
    r->objects++;
    ck_assert_msg(object_lines(r->w->store, key, lines_add, r->out, &err), "%s", err.msg);
    return true;
}

/* All rows staged from a lane; returns how many objects hold them. */
static inline size_t world_staged(struct world *w, const char *lane, struct lines *ret)
{
    struct reading r = {.w = w, .lane = lane, .out = ret};
    struct err err;
    *ret = (struct lines){0};
    ck_assert_msg(w->store->ops->list(w->store, "", read_object, &r, &err), "%s", err.msg);
    lines_sort(ret);
    return r.objects;
}

static bool expect_row(void *ctx, const struct row *row, struct err *err)
{
    struct buf line = {0};
    row_write(&line, row);
    bool ok = lines_add(ctx, (struct span){line.p, line.n - 1}, err);
    buf_release(&line);
    return ok;
}

static bool expect_dead(void *ctx, const struct entry *entry, struct span table, uint64_t item, const char *reason, struct err *err)
{
    (void)ctx, (void)entry, (void)table, (void)item, (void)reason, (void)err;
    return true;
}

/* The transform of every entry of a lane, straight. */
static inline void world_expected(struct world *w, enum lane_id lane, uint64_t ordinal, struct lines *ret)
{
    const struct transform_sink sink = {ret, expect_row, expect_dead};
    struct transform_result result;
    struct err err;
    struct entry e;
    bool any = true;
    uint64_t damage;
    *ret = (struct lines){0};
    struct transform *t = transform_new(&w->source, ordinal, &err);
    struct reader *r = reader_open(journal_lane(w->journal, lane), 1);
    ck_assert(t && r);
    while (reader_next(r, &e, &any, &damage, &err) && any) {
        if (span_eqz(e.source, "acme"))
            ck_assert(transform_run(t, &e, &sink, &result, &err));
    }
    ck_assert(!any);
    reader_close(&r);
    transform_free(&t);
    lines_sort(ret);
}

static inline bool lines_equal(const struct lines *a, const struct lines *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        if (strcmp(a->p[i], b->p[i]) != 0)
            return false;
    }
    return a->n == b->n;
}

/* Staged rows of both lanes are what the transform of this ordinal gives, the books agree, nothing is provisional. */
static inline void world_check(struct world *w, uint64_t ordinal)
{
    struct state state;
    struct books acme, stranger;
    struct err err;
    uint64_t rows = 0, recorded, dead, next;
    ck_assert_msg(state_open(&state, w->dir.path, true, &err), "%s", err.msg);
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        struct lines expected, staged;
        world_expected(w, i, ordinal, &expected);
        (void)world_staged(w, lane_name(i), &staged);
        ck_assert_msg(lines_equal(&expected, &staged), "lane %s: %zu rows expected, %zu staged", lane_name(i), expected.n, staged.n);
        rows += staged.n;
        lines_release(&expected);
        lines_release(&staged);
        ck_assert(state_position(&state, span_of(lane_name(i)), &next, &err));
        ck_assert_uint_eq(next, w->appended[i] + 1);
        ck_assert(state_lost(&state, span_of(lane_name(i)), &next, &err));
        ck_assert_uint_eq(next, 0);
    }
    ck_assert(state_books(&state, SPAN_LIT("acme"), &acme, &err) && state_books(&state, SPAN_LIT("stranger"), &stranger, &err));
    ck_assert_uint_eq(acme.rows_staged, rows);
    ck_assert_uint_eq(acme.staged + acme.ignored + acme.dead + stranger.staged + stranger.ignored + stranger.dead,
                      w->appended[LANE_EVENTS] + w->appended[LANE_BACKFILL]);
    ck_assert(state_objects_rows(&state, (struct span){0}, (struct span){0}, 0, &recorded, &err));
    ck_assert_uint_eq(recorded, rows);
    ck_assert(state_dead_count(&state, (struct span){0}, &dead, &err));
    ck_assert_uint_eq(dead, acme.rows_dead + stranger.rows_dead);
    state_close(&state);
}
