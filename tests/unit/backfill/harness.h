/* harness: a data directory, a source with a manifest, a provider, and a clock that only moves when somebody sleeps.
 * For the tests of the puller. */
#pragma once
#include "backfill/backfill.h"
#include "core/clock.h"
#include "provider.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/stat.h>

#define SECOND UINT64_C(1000000)
#define NOW UINT64_C(1767225600000000) /* 2026-01-01 */
#define TOKEN "sk_test_planted_token_4711"

#define MANIFEST_HEAD \
    "sluice: 1\n" \
    "name: acme\n" \
    "title: Acme\n" \
    "config: {api_key: {secret: true}}\n" \
    "verify: {v1: {algorithm: hmac-sha256, signature: {header: X-Signature, encoding: hex}, signed: \"{body}\"}}\n" \
    "event: {id: body.id, type: body.type, time: {from: body.created, unit: s}, object: body.data.object}\n"
#define MANIFEST_API(page, more) \
    "api:\n" \
    "  base: https://api.acme.example\n" \
    "  auth: {bearer: config.api_key}\n" \
    "  page: " page "\n" more
#define PAGE_BY_ID "{records: body.data, size: {query: limit, max: 2}, next: {query: after, value: record.id, more: body.more}}"
#define PAGE_BY_LINK "{records: body, size: {query: limit, max: 2}, next: {link: next}}"

struct world {
    char dir[64], secret_file[96], base[64], journal_dir[96];
    struct io io;             /* posix files, a clock of its own */
    struct io_world_ops clock;
    struct io journal_io;     /* breaks on demand */
    struct io_file_ops journal_files;
    int writes_left;          /* of the journal, before every further one fails; -1: no limit */
    uint64_t now_us, slept_us;
    struct journal *journal;
    struct report report;
    struct manifest *manifest;
    struct config_value values[2];
    struct source_config source;
    struct config config;
    struct provider provider;
    atomic_bool stop;
    uint64_t pages, stop_after; /* pages told by progress; the stop flag is set at stop_after, 0: never */
    struct pull_progress last;
    char waits[400];          /* the words of all waits, each followed by ';' */
};

static inline struct world *world_of(const struct io *io)
{
    return io->ctx;
}

static inline uint64_t world_now(const struct io *io)
{
    return NOW + world_of(io)->now_us;
}

static inline uint64_t world_monotonic(const struct io *io)
{
    return world_of(io)->now_us;
}

static inline void world_sleep(const struct io *io, uint64_t us)
{
    world_of(io)->now_us += us;
    world_of(io)->slept_us += us;
}

static inline ssize_t world_write(const struct io *io, int fd, const void *p, size_t n, uint64_t offset)
{
    struct world *w = world_of(io);
    if (w->writes_left == 0)
        return -EIO;
    w->writes_left -= w->writes_left > 0;
    return io_posix()->file->pwrite(io_posix(), fd, p, n, offset);
}

static inline void world_journal(struct world *w)
{
    struct err err = {0};
    struct journal_opts o = {.io = &w->journal_io, .dir = w->journal_dir, .name = "n", .segment_bytes = 1 << 20,
                             .bytes_max = 1 << 28, .entry_bytes_max = 66 << 20};
    ck_assert_msg(journal_open(&o, &w->journal, &err), "%s", err.msg);
}

static inline void world_manifest(struct world *w, const char *yaml)
{
    manifest_free(&w->manifest);
    w->manifest = manifest_parse("acme.yaml", span_of(yaml), &w->report);
    ck_assert_msg(w->manifest != NULL, "%s", buf_z(&w->report.text));
    w->source.manifest = w->manifest;
}

static inline void world_open(struct world *w, const char *yaml, void (*answer)(struct provider *, const char *, struct reply *),
                              void *ctx)
{
    memset(w, 0, sizeof *w);
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(w->dir, sizeof w->dir, "%.40s/backfill.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    (void)snprintf(w->journal_dir, sizeof w->journal_dir, "%s/journal", w->dir);
    (void)snprintf(w->secret_file, sizeof w->secret_file, "%s/../%s.key", w->dir, strrchr(w->dir, '/') + 1);
    int fd = open(w->secret_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, TOKEN, strlen(TOKEN)), (ssize_t)strlen(TOKEN));
    close(fd);
    w->writes_left = -1;
    w->io = *io_posix();
    w->io.ctx = w;
    w->clock = *w->io.world;
    w->clock.now_us = world_now;
    w->clock.monotonic_us = world_monotonic;
    w->clock.sleep_us = world_sleep;
    w->io.world = &w->clock;
    w->journal_io = *io_posix();
    w->journal_io.ctx = w;
    w->journal_files = *w->journal_io.file;
    w->journal_files.pwrite = world_write;
    w->journal_io.file = &w->journal_files;
    report_init(&w->report);
    provider_start(&w->provider, answer, ctx);
    (void)snprintf(w->base, sizeof w->base, "http://127.0.0.1:%u", w->provider.port);
    w->values[0] = (struct config_value){.name = "api_key", .secret = true, .ref = {.kind = SECRET_FILE, .at = w->secret_file}};
    w->source = (struct source_config){.name = "acme", .all_tables = true, .values = w->values, .n_values = 1, .base_url = w->base};
    w->config = (struct config){.sources = &w->source, .n_sources = 1, .data_dir = w->dir};
    world_manifest(w, yaml);
    world_journal(w);
    (void)setenv("NO_PROXY", "127.0.0.1", 1);
}

static inline int world_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void world_close(struct world *w)
{
    provider_stop(&w->provider);
    journal_close(&w->journal);
    manifest_free(&w->manifest);
    report_release(&w->report);
    (void)unlink(w->secret_file);
    (void)nftw(w->dir, world_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

/* What a new process finds. */
static inline void world_reopen(struct world *w)
{
    journal_close(&w->journal);
    world_journal(w);
    w->stop = false;
}

static inline void world_tell(void *ctx, const struct pull_progress *p)
{
    struct world *w = ctx;
    size_t n = strlen(w->waits);
    w->last = *p;
    if (p->waiting) {
        (void)snprintf(w->waits + n, sizeof w->waits - n, "%s;", p->waiting);
        return;
    }
    w->pages = p->pages;
    if (w->stop_after && w->pages >= w->stop_after)
        w->stop = true;
}

static inline struct backfill_opts world_opts(struct world *w)
{
    return (struct backfill_opts){.config = &w->config, .source = &w->source, .journal = w->journal, .data_dir = w->dir, .io = &w->io,
                                  .stop = &w->stop, .progress = world_tell, .progress_ctx = w};
}

static inline struct backfill_result world_pull(const struct backfill_opts *o)
{
    struct backfill_result r = {0};
    struct err err = {0};
    ck_assert_msg(backfill_run(o, &r, &err), "%s", err.msg);
    return r;
}

/* Pulls to the end and asserts that it is one. */
static inline struct backfill_result world_pull_all(struct world *w)
{
    struct backfill_opts o = world_opts(w);
    struct backfill_result r = world_pull(&o);
    ck_assert_msg(r.end == RUN_COMPLETED, "%s", r.why.msg);
    return r;
}

/* As after a kill: the state says that the run goes on, and knows nothing of its pages. */
static inline void world_stale_state(struct world *w)
{
    struct db db = {0};
    struct err err = {0};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/state.db", w->dir);
    ck_assert_msg(db_open(&db, path, &err), "%s", err.msg);
    ck_assert_msg(db_run(&db, &err, "UPDATE runs SET status = 'running', finished_us = 0, last_seq = 0, pages = 0, rows = 0", ""),
                  "%s", err.msg);
    ck_assert_msg(db_run(&db, &err, "DELETE FROM watermarks", ""), "%s", err.msg);
    db_close(&db);
}

/* Calls each for all entries of lane backfill. */
static inline size_t world_entries(struct world *w, void (*each)(void *ctx, const struct entry *e), void *ctx)
{
    struct reader *r = reader_open(journal_lane(w->journal, LANE_BACKFILL), 1);
    struct entry e;
    struct err err = {0};
    bool any = true;
    size_t n = 0;
    while (any) {
        ck_assert_msg(reader_next(r, &e, &any, NULL, &err), "%s", err.msg);
        if (any && each)
            each(ctx, &e);
        n += any;
    }
    reader_close(&r);
    return n;
}

/* The newest run of a table. */
static inline void world_run(struct world *w, const char *table, char status[16], char error[800])
{
    struct state s;
    struct run_record r;
    struct buf text;
    struct err err = {0};
    bool found = false;
    buf_init(&text, 0);
    ck_assert_msg(state_open(&s, w->dir, false, &err), "%s", err.msg);
    ck_assert(state_run_get(&s, SPAN_LIT("acme"), span_of(table), (struct span){NULL, 0}, &r, &text, &found, &err) && found);
    (void)snprintf(status, 16, "%.*s", SPAN_ARG(r.status));
    if (error)
        (void)snprintf(error, 800, "%.*s", SPAN_ARG(r.error));
    state_close(&s);
    buf_release(&text);
}

static inline int run_suite(const char *name, const TTest *const *tests, size_t n)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 120);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
