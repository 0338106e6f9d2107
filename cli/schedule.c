#include "cli/schedule.h"
#include "backfill/backfill.h"
#include "cli/reload.h"
#include "core/log.h"
#include "core/thread.h"
#include "staging/controls.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_US 250000   /* how often the stop flag and the due times are looked at */
#define RETRY_US 1000000 /* how often it is looked whether a failed pull's credentials are others */

struct due { /* of one table */
    char *source, *table;
    uint64_t last_us; /* when it was pulled; 0: it is due */
    bool failed, there; /* there: in the configuration of now */
    struct hash128 credentials; /* when it failed */
};

struct schedule {
    const struct io *io;
    const struct live *live;
    pthread_t thread;
    bool runs;
    atomic_bool stop;
    pthread_mutex_t lock;
    const char *pulling, *pulling_table; /* of the configuration that is used; the thread's own */
    atomic_bool stop_pull;    /* the end of that pull: with the server, or with its source */
    const struct config *now; /* held; the thread's own, as the rest */
    struct due *list;
    size_t n;
    uint64_t looked_us; /* at credentials */
    struct state state; /* where orders stand */
    bool state_open;
};

/* ---- what is due ---- */

static struct due *due_of(struct schedule *s, const char *source, const char *table)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->list[i].source, source) == 0 && strcmp(s->list[i].table, table) == 0)
            return &s->list[i];
    s->list = mem_grow(s->list, (s->n + 1) * sizeof *s->list);
    struct due *d = &s->list[s->n++];
    *d = (struct due){.source = mem_dup(source), .table = mem_dup(table)};
    return d;
}

static void due_free(struct due *d)
{
    free(d->source);
    free(d->table);
}

/* The tables of the configuration of now; those that are gone are forgotten. */
static void follow(struct schedule *s)
{
    size_t kept = 0;
    const struct config *before = s->now;
    s->now = reload_hold(s->live->reload);
    bool other = before != s->now;
    if (before)
        config_drop(&before);
    for (size_t i = 0; other && i < s->n; i++) /* what made it fail may be changed */
        s->list[i].last_us = s->list[i].failed ? 0 : s->list[i].last_us;
    for (size_t i = 0; i < s->n; i++)
        s->list[i].there = false;
    for (size_t i = 0; i < s->now->n_sources; i++)
        for (size_t k = 0; k < s->now->sources[i].n_tables; k++)
            due_of(s, s->now->sources[i].name, s->now->sources[i].tables[k].name)->there = true;
    for (size_t i = 0; i < s->n; i++) {
        if (s->list[i].there)
            s->list[kept++] = s->list[i];
        else
            due_free(&s->list[i]);
    }
    s->n = kept;
}

/* ---- credentials ---- */

static struct hash128 credentials_of(const struct source_config *source)
{
    struct scope_pair *pairs = NULL;
    size_t n = 0;
    struct err err = {0};
    struct hash128 all = {0};
    if (!config_pairs(source, &pairs, &n, &err))
        return all;
    for (size_t i = 0; i < n; i++) {
        struct hash128 one = hash128(pairs[i].value);
        all.lo = all.lo * 31 + one.lo;
        all.hi = all.hi * 31 + one.hi;
    }
    config_pairs_free(&pairs, n);
    return all;
}

/* Once a second: a table that failed is due when its source has other credentials. */
static void look_at_credentials(struct schedule *s)
{
    uint64_t now = s->io->world->monotonic_us(s->io);
    if (now - s->looked_us < RETRY_US)
        return;
    s->looked_us = now;
    for (size_t i = 0; i < s->n; i++) {
        struct due *d = &s->list[i];
        const struct source_config *source = d->failed ? config_source(s->now, span_of(d->source)) : NULL;
        struct hash128 has = source ? credentials_of(source) : d->credentials;
        if (has.lo == d->credentials.lo && has.hi == d->credentials.hi)
            continue;
        log_info("a pull that failed is tried again: its credentials were replaced", "source=%s table=%s", d->source, d->table);
        d->failed = false;
        d->last_us = 0;
    }
}

/* ---- pulling ---- */

/* While a pull runs in the schedule's thread: whether its source is still there, once a page and during waits. */
static void on_progress(void *ctx, const struct pull_progress *p)
{
    struct schedule *s = ctx;
    (void)p;
    const struct config *now = reload_hold(s->live->reload);
    const struct source_config *source = config_source(now, span_of(s->pulling));
    if (!source || !source_has_table(source, span_of(s->pulling_table)))
        s->stop_pull = true;
    config_drop(&now);
}

static void pull(struct schedule *s, const struct source_config *source, const char *table, struct due *d)
{
    struct span name = span_of(table);
    struct backfill_opts o = {.config = s->now,
                              .source = source,
                              .journal = s->live->journal,
                              .data_dir = s->now->data_dir,
                              .io = s->io,
                              .tables = &name,
                              .n_tables = 1,
                              .progress = on_progress,
                              .progress_ctx = s,
                              .stop = &s->stop_pull};
    struct backfill_result r = {0};
    struct err err = {0};
    struct hash128 credentials = credentials_of(source);
    s->pulling = source->name;
    s->pulling_table = table;
    pthread_mutex_lock(&s->lock);
    s->stop_pull = s->stop;
    pthread_mutex_unlock(&s->lock);
    bool ok = backfill_run(&o, &r, &err);
    d->failed = !ok || r.end == RUN_FAILED;
    d->credentials = credentials;
    if (d->failed)
        log_warn("a scheduled pull failed", "source=%s table=%s reason=\"%s\"", source->name, table, ok ? r.why.msg : err.msg);
    else
        log_info("pulled", "source=%s table=%s pages=%llu rows=%llu", source->name, table, (unsigned long long)r.pages,
                 (unsigned long long)r.rows);
}

/* ---- what operators ordered ---- */

static bool open_state(struct schedule *s)
{
    static struct log_limit limit;
    struct err err = {0};
    s->state_open = s->state_open || state_open(&s->state, s->now->data_dir, false, &err);
    if (!s->state_open)
        log_limited(&limit, LOG_WARN, "orders for tables cannot be read; nothing is pulled", "error=\"%s\"", err.msg);
    return s->state_open;
}

static bool read_orders(struct schedule *s, const char *source, const char *table, struct table_control *ret)
{
    struct err err = {0};
    return open_state(s) && controls_read(&s->state, span_of(source), span_of(table), ret, &err);
}

struct ordered { /* the first table whose pull was ordered */
    struct schedule *s;
    const struct source_config *source;
    char table[256];
    uint64_t pull_us;
};

static bool find_ordered(void *ctx, struct span source, struct span table, const struct table_control *c)
{
    struct ordered *o = ctx;
    const struct source_config *s = c->pull_us && !c->paused ? config_source(o->s->now, source) : NULL;
    bool feed = s && span_eqz(table, manifest_events_table.name) && s->manifest->feed.present;
    if (!s || (!feed && !source_has_table(s, table)))
        return true;
    o->source = s;
    o->pull_us = c->pull_us;
    snprintf(o->table, sizeof o->table, "%.*s", SPAN_ARG(table));
    return false;
}

/* One a look: what is stopped by the server's end stands until the next start. */
static void obey(struct schedule *s)
{
    struct ordered o = {.s = s};
    struct err err = {0};
    if (s->stop || !open_state(s) || !controls_each(&s->state, find_ordered, &o, &err) || !o.source)
        return;
    struct due *d = due_of(s, o.source->name, o.table);
    d->there = true;
    pull(s, o.source, o.table, d);
    d->last_us = s->io->world->now_us(s->io);
    if (!s->stop)
        (void)controls_pulled(&s->state, span_of(o.source->name), span_of(o.table), o.pull_us, &err);
}

static void look(struct schedule *s)
{
    follow(s);
    look_at_credentials(s);
    for (size_t i = 0; i < s->now->n_sources; i++) {
        const struct source_config *source = &s->now->sources[i];
        for (size_t k = 0; k < source->n_tables; k++) {
            const struct table_config *table = &source->tables[k];
            struct due *d = due_of(s, source->name, table->name);
            uint64_t now = s->io->world->now_us(s->io);
            struct table_control c = {0};
            if (!table->every_us || (d->last_us && now < d->last_us + table->every_us) || s->stop ||
                !read_orders(s, source->name, table->name, &c) || c.paused || c.pull_us)
                continue;
            pull(s, source, table->name, d);
            d->last_us = s->io->world->now_us(s->io);
        }
    }
    obey(s);
}

static void *run(void *arg)
{
    struct schedule *s = arg;
    while (!s->stop) {
        look(s);
        s->io->world->sleep_us(s->io, LOOK_US);
    }
    return NULL;
}

bool schedule_start(const struct io *io, const struct live *live, struct schedule **ret, struct err *err)
{
    struct schedule *s = mem_alloc(sizeof *s);
    s->io = io;
    s->live = live;
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    s->runs = thread_start(&s->thread, run, s);
    return s->runs || err_set(err, ERR_NOMEM, "cannot start the thread of scheduled pulls");
}

void schedule_stop(struct schedule *s)
{
    if (!s || !s->runs)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = s->stop_pull = true;
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->runs = false;
}

void schedule_free(struct schedule **at)
{
    struct schedule *s = *at;
    if (!s)
        return;
    *at = NULL;
    for (size_t i = 0; i < s->n; i++)
        due_free(&s->list[i]);
    if (s->now)
        config_drop(&s->now);
    if (s->state_open)
        state_close(&s->state);
    free(s->list);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
