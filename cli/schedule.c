#include "cli/schedule.h"
#include "backfill/backfill.h"
#include "core/log.h"
#include "core/thread.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_US 250000 /* how often the stop flag and the due times are looked at */

struct schedule {
    const struct config *config;
    const struct io *io;
    const struct live *live;
    pthread_t thread;
    atomic_bool stop;
    uint64_t *next_us; /* by source and table, in the configuration's order; the thread's own */
    size_t n;
};

static size_t count_scheduled(const struct config *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_sources; i++)
        n += c->sources[i].n_tables;
    return n;
}

static void pull(struct schedule *s, const struct source_config *source, const struct table_config *table)
{
    struct span name = span_of(table->name);
    struct backfill_opts o = {.config = s->config,
                              .source = source,
                              .journal = s->live->journal,
                              .data_dir = s->config->data_dir,
                              .io = s->io,
                              .tables = &name,
                              .n_tables = 1,
                              .stop = &s->stop};
    struct backfill_result r = {0};
    struct err err = {0};
    bool ok = backfill_run(&o, &r, &err);
    if (!ok || r.end == RUN_FAILED)
        log_warn("a scheduled pull failed", "source=%s table=%s reason=\"%s\"", source->name, table->name,
                 ok ? r.why.msg : err.msg);
    else
        log_info("pulled", "source=%s table=%s pages=%llu rows=%llu", source->name, table->name,
                 (unsigned long long)r.pages, (unsigned long long)r.rows);
}

static void look(struct schedule *s)
{
    size_t at = 0;
    for (size_t i = 0; i < s->config->n_sources; i++) {
        const struct source_config *source = &s->config->sources[i];
        for (size_t k = 0; k < source->n_tables; k++, at++) {
            const struct table_config *table = &source->tables[k];
            uint64_t now = s->io->world->now_us(s->io);
            if (!table->every_us || now < s->next_us[at] || s->stop)
                continue;
            pull(s, source, table);
            s->next_us[at] = s->io->world->now_us(s->io) + table->every_us;
        }
    }
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

bool schedule_start(const struct config *c, const struct io *io, const struct live *live, struct schedule **ret,
                    struct err *err)
{
    struct schedule *s = mem_alloc(sizeof *s);
    *s = (struct schedule){.config = c, .io = io, .live = live, .n = count_scheduled(c)};
    s->next_us = mem_alloc((s->n + 1) * sizeof *s->next_us);
    if (!thread_start(&s->thread, run, s)) {
        free(s->next_us);
        free(s);
        return err_set(err, ERR_NOMEM, "cannot start the thread of scheduled pulls");
    }
    *ret = s;
    return true;
}

void schedule_stop(struct schedule **at)
{
    struct schedule *s = *at;
    if (!s)
        return;
    *at = NULL;
    s->stop = true;
    pthread_join(s->thread, NULL);
    free(s->next_us);
    free(s);
}
