#include "cli/reload.h"
#include "core/log.h"
#include "core/thread.h"
#include "core/wait.h"
#include "merge/merge.h"
#include "server/server.h"
#include "staging/kafka_sink.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_US UINT64_C(1000000)
#define AGAIN_US (UINT64_C(5) * 1000000) /* a refused one is read again: its mistake may be in a file that none before named */

struct reload {
    const struct io *io;
    const struct config *first;
    struct live *live;
    pthread_mutex_t one;  /* a change at a time; taken before lock */
    uint64_t taken;       /* the stamp of what was last read, taken or not; guarded by one */
    uint64_t read_us;     /* and when, steadily */
    pthread_mutex_t lock; /* the rest */
    pthread_cond_t cond;
    const struct config *now; /* held */
    struct reload_state state;
    bool stopping, runs;
    pthread_t watcher;
};

void reload_log(const struct config *c)
{
    static const enum log_level levels[] = {LOG_INFO, LOG_DEBUG, LOG_WARN, LOG_ERROR}; /* as the key's words */
    log_open(levels[c->log_level < 4 ? c->log_level : 0], c->log_json);
}

/* ---- what is in force ---- */

const struct config *reload_hold(struct reload *r)
{
    pthread_mutex_lock(&r->lock);
    const struct config *c = config_hold(r->now);
    pthread_mutex_unlock(&r->lock);
    return c;
}

void reload_state(struct reload *r, struct reload_state *ret)
{
    pthread_mutex_lock(&r->lock);
    *ret = r->state;
    pthread_mutex_unlock(&r->lock);
}

static void put(struct reload *r, const struct config *next)
{
    pthread_mutex_lock(&r->lock);
    const struct config *before = r->now;
    r->now = next;
    r->state = (struct reload_state){.ok = true, .at_us = r->io->world->now_us(r->io)};
    pthread_mutex_unlock(&r->lock);
    config_drop(&before);
}

/* quiet: what was told before is not told again. */
static bool refuse(struct reload *r, bool quiet, const struct err *why)
{
    char words[sizeof r->state.words];
    snprintf(words, sizeof words, "%.599s", why->msg);
    pthread_mutex_lock(&r->lock);
    bool known = !r->state.ok && strcmp(words, r->state.words) == 0;
    r->state.ok = false;
    memcpy(r->state.words, words, sizeof words);
    pthread_mutex_unlock(&r->lock);
    if (!quiet || !known)
        log_error("the changed configuration is not taken: the one before stays in force", "file=\"%s\" error=\"%s\"",
                  r->first->file, why->msg);
    return false;
}

/* ---- the files ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static uint64_t stamp_of(const char *path, uint64_t h)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return mix(h, 1);
    h = mix(mix(h, st.st_dev), st.st_ino);
    h = mix(mix(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
    h = mix(mix(h, (uint64_t)st.st_ctim.tv_sec), (uint64_t)st.st_ctim.tv_nsec);
    return mix(h, (uint64_t)st.st_size);
}

/* Differs when one of the files, or what a volume's ..data leads to, is another one than before. */
static uint64_t stamp(const struct config *c)
{
    char path[4200], link[4096];
    uint64_t h = 0;
    for (size_t i = 0; i < c->n_watched; i++)
        h = stamp_of(c->watched[i], h);
    int n = snprintf(path, sizeof path, "%s/..data", c->dir);
    ssize_t m = n > 0 && (size_t)n < sizeof path ? readlink(path, link, sizeof link) : -1;
    for (ssize_t i = 0; i < m; i++)
        h = mix(h, (unsigned char)link[i]);
    return h ? h : 1;
}

/* The first mistakes as one line. */
static void say_mistakes(const struct report *report, struct err *err)
{
    char line[500];
    size_t n = 0;
    struct span text = buf_span(&report->text);
    for (size_t i = 0; i < text.n && n + 4 < sizeof line; i++) {
        if (text.p[i] != '\n')
            line[n++] = text.p[i];
        else if (i + 1 < text.n)
            n += (size_t)snprintf(line + n, sizeof line - n, "; ");
    }
    line[n] = 0;
    err_set(err, ERR_CONFIG, "%s", line);
}

static struct config *read_files(const struct reload *r, struct err *err)
{
    struct report report;
    report_init(&report);
    struct config *c = config_load(r->first->file, &report, err);
    if (!c && report.count)
        say_mistakes(&report, err);
    report_release(&report);
    return c;
}

/* ---- a change ---- */

static void compare(const struct config *a, const struct config *b, struct reload_result *ret)
{
    for (size_t i = 0; i < b->n_sources; i++) {
        const struct source_config *before = config_source(a, span_of(b->sources[i].name));
        ret->added += !before;
        ret->changed += before && !config_same_source(before, &b->sources[i]);
    }
    for (size_t i = 0; i < a->n_sources; i++)
        ret->removed += !config_source(b, span_of(a->sources[i].name));
}

/* Those that make rows know the sources before the door takes the first event for one. */
static bool hand_over(const struct live *live, const struct config *next, struct err *err)
{
    struct door_change *change;
    if (!server_prepare(live->server, next, &change, err))
        return false;
    bool ok = merger_follow(live->merger, next, err);
    if (ok) {
        stager_follow(live->stager, next);
        if (live->kafka)
            kafka_sink_follow(live->kafka, next);
    }
    server_change(live->server, &change, ok);
    return ok;
}

static void tell(const struct reload *r, const struct config *c, const struct reload_result *what)
{
    struct buf warnings;
    buf_init(&warnings, 1 << 16);
    log_info("the configuration was reloaded", "file=\"%s\" sources=%zu added=%u changed=%u removed=%u", c->file, c->n_sources,
             what->added, what->changed, what->removed);
    if (what->kept[0])
        log_warn("these keys changed and need a restart; until then they keep their values", "keys=\"%s\"", what->kept);
    server_warnings(r->live->server, &warnings);
    for (struct span rest = buf_span(&warnings); rest.n;) {
        struct span line = span_cut(rest, '\n', &rest);
        log_warn("of the reloaded configuration", "what=\"%.*s\"", SPAN_ARG(line));
    }
    buf_release(&warnings);
}

static bool same(const struct config *a, const struct config *b)
{
    bool equal = a->digest.lo == b->digest.lo && a->digest.hi == b->digest.hi && a->n_sources == b->n_sources;
    for (size_t i = 0; equal && i < a->n_sources; i++)
        equal = config_same_source(&a->sources[i], &b->sources[i]);
    return equal;
}

/* quiet: what says the same as before is no change. */
static bool reload_one(struct reload *r, bool quiet, struct reload_result *ret, struct err *err)
{
    struct buf kept;
    const struct config *now = reload_hold(r);
    uint64_t before = r->taken = stamp(now);
    r->read_us = r->io->world->monotonic_us(r->io);
    struct config *next = read_files(r, err);
    uint64_t after = next ? stamp(next) : before;
    bool still = stamp(now) == before; /* else it is looked at again: something changed while it was read */
    bool ok = next != NULL;
    buf_init(&kept, 1 << 14);
    if (ok && !(quiet && same(now, next))) {
        config_follow(next, r->first, &kept);
        snprintf(ret->kept, sizeof ret->kept, "%.599s", buf_z(&kept));
        compare(now, next, ret);
        ok = hand_over(r->live, next, err);
        if (ok) {
            r->taken = still ? after : 0;
            reload_log(next);
            put(r, next);
            tell(r, next, ret);
            next = NULL;
        }
    } else if (ok) {
        r->taken = still ? before : 0;
        config_free(&next);
        put(r, config_hold(now)); /* after a mistake that was taken back, too */
    }
    config_free(&next);
    config_drop(&now);
    buf_release(&kept);
    return ok || refuse(r, quiet, err);
}

bool reload_now(struct reload *r, struct reload_result *ret, struct err *err)
{
    *ret = (struct reload_result){0};
    pthread_mutex_lock(&r->one);
    bool ok = reload_one(r, false, ret, err);
    pthread_mutex_unlock(&r->one);
    if (ok)
        server_refresh_secrets(r->live->server);
    return ok;
}

/* ---- watching ---- */

static bool rest(struct reload *r)
{
    struct timespec until = wait_until(LOOK_US);
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping && rc == 0)
        rc = pthread_cond_timedwait(&r->cond, &r->lock, &until);
    bool go = !r->stopping;
    pthread_mutex_unlock(&r->lock);
    return go;
}

static bool was_refused_long_ago(struct reload *r)
{
    struct reload_state state;
    reload_state(r, &state);
    return !state.ok && r->io->world->monotonic_us(r->io) - r->read_us >= AGAIN_US;
}

static void look(struct reload *r, uint64_t *seen)
{
    struct reload_result what = {0};
    struct err err = {0};
    pthread_mutex_lock(&r->one);
    const struct config *now = reload_hold(r);
    uint64_t found = stamp(now);
    config_drop(&now);
    if (found == *seen && (found != r->taken || was_refused_long_ago(r)))
        (void)reload_one(r, true, &what, &err);
    *seen = found;
    pthread_mutex_unlock(&r->one);
}

static void *watch_loop(void *arg)
{
    struct reload *r = arg;
    uint64_t seen = 0;
    thread_name("config");
    while (rest(r))
        look(r, &seen);
    return NULL;
}

/* ---- life ---- */

struct reload *reload_new(const struct config *first, const struct io *io)
{
    struct reload *r = mem_alloc(sizeof *r);
    r->io = io;
    r->first = first;
    r->now = config_hold(first);
    r->state = (struct reload_state){.ok = true, .at_us = io->world->now_us(io)};
    r->taken = stamp(first);
    pthread_mutex_init(&r->one, NULL);
    pthread_mutex_init(&r->lock, NULL);
    wait_cond_init(&r->cond);
    return r;
}

bool reload_start(struct reload *r, struct live *live, struct err *err)
{
    r->live = live;
    r->runs = thread_start(&r->watcher, watch_loop, r);
    return r->runs || err_set(err, ERR_NOMEM, "cannot start the thread that watches the configuration");
}

void reload_stop(struct reload *r)
{
    if (!r || !r->runs)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->cond);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->watcher, NULL);
    r->runs = false;
}

void reload_free(struct reload **at)
{
    struct reload *r = *at;
    if (!r)
        return;
    *at = NULL;
    config_drop(&r->now);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->one);
    free(r);
}
