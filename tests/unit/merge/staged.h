/* staged: a store of objects written by hand, and a configuration over them. */
#pragma once
#include "harness.h"
#include "merge/merge.h"
#include "merge/tables.h"
#include <ftw.h>
#include <zstd.h>

struct staged {
    struct world w; /* its target is the merger's */
    char store_dir[160];
    struct store *store;
    struct config config;
    struct merger *merger;
    struct merge_counts counts;
    const struct io *io;
    unsigned written;
};

/* The world is there; the store is in `dir`. */
static inline void staged_configure(struct staged *s, const struct io *io, const char *dir)
{
    struct err err = {0};
    s->merger = NULL;
    s->written = 0;
    s->io = io;
    s->w.manifest.tables = &s->w.rule;
    s->w.manifest.n_tables = 1;
    snprintf(s->store_dir, sizeof(s->store_dir), "%s/objects", dir);
    ck_assert_msg(store_open_dir(io, s->store_dir, &s->store, &err), "%s", err.msg);
    s->config = (struct config){.sources = &s->w.source,
                                .n_sources = 1,
                                .merge_db = s->w.path,
                                .merge_every_us = 10000,
                                .objects_dir = s->store_dir};
}

static inline void staged_init(struct staged *s)
{
    world_init(&s->w);
    staged_configure(s, io_posix(), s->w.dir);
}

static inline void staged_start(struct staged *s)
{
    struct err err = {0};
    struct merger_opts o = {.config = &s->config, .store = s->store, .io = s->io};
    ck_assert_msg(merger_new(&o, &s->merger, &err), "%s", err.msg);
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline void staged_done(struct staged *s)
{
    merger_free(&s->merger);
    store_close(&s->store);
    ck_assert_int_eq(nftw(s->w.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* An object with this text, compressed; cut bytes are left away at its end. */
static inline void staged_write(struct staged *s, const char *key, struct span text, size_t cut)
{
    struct err err = {0};
    struct store_writer *writer;
    size_t cap = ZSTD_compressBound(text.n);
    char *p = malloc(cap);
    ck_assert_ptr_nonnull(p);
    size_t n = ZSTD_compress(p, cap, text.p, text.n, 1);
    ck_assert(!ZSTD_isError(n) && n > cut);
    char name[32];
    snprintf(name, sizeof(name), "w%u", s->written++);
    ck_assert_msg(s->store->ops->create(s->store, name, &writer, &err), "%s", err.msg);
    ck_assert_msg(s->store->ops->write(writer, span_make(p, n - cut), &err), "%s", err.msg);
    ck_assert_msg(s->store->ops->commit(&writer, key, &err), "%s", err.msg);
    free(p);
}

static inline void object_key(const char *table, const char *lane, unsigned first, char out[STORE_KEY_MAX])
{
    snprintf(out, STORE_KEY_MAX, "acme/%s/dt=2023-11-14/n-1.%s.%020u-%020u.00000000.ndjson.zst", table, lane, first, first + 9);
}

static inline void staged_rows(struct staged *s, const char *lane, unsigned first, const struct put *puts, size_t n)
{
    struct buf text = {0};
    char key[STORE_KEY_MAX];
    for (size_t i = 0; i < n; i++) {
        struct row row = row_of(&s->w, &puts[i]);
        row_write(&text, &row);
    }
    object_key(s->w.rule.name, lane, first, key);
    staged_write(s, key, buf_span(&text), 0);
    buf_release(&text);
}

static inline bool staged_pass(struct staged *s, struct err *err)
{
    s->counts = (struct merge_counts){0};
    return merger_pass(s->merger, (struct span){NULL, 0}, (struct span){NULL, 0}, &s->counts, err);
}

static inline void staged_pass_ok(struct staged *s)
{
    struct err err = {0};
    ck_assert_msg(staged_pass(s, &err), "%s", err.msg);
}
