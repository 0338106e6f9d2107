/* The order of a backfill: parents before children, the feed last, one at a time for a source. */
#include "backfill/backfill.h"
#include "backfill/run.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

struct plan {
    const struct table_rule **tables; /* NULL in it: the feed */
    size_t n;
};

static bool planned(const struct plan *p, const struct table_rule *t)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->tables[i] == t)
            return true;
    return false;
}

static bool wanted(const struct backfill_opts *o, const struct table_rule *t)
{
    if (!o->n_tables)
        return t->has_path && source_has_table(o->source, span_of(t->name));
    for (size_t i = 0; i < o->n_tables; i++)
        if (span_eqz(o->tables[i], t->name))
            return true;
    return false;
}

static unsigned depth(const struct manifest *m, const struct table_rule *t)
{
    unsigned n = 0;
    for (; t && t->for_each && n < LEVELS_MAX; n++)
        t = manifest_table(m, span_of(t->for_each));
    return n;
}

static bool check_names(const struct backfill_opts *o, bool *ret_feed, struct err *err)
{
    const struct manifest *m = o->source->manifest;
    *ret_feed = !o->n_tables && m->feed.present;
    for (size_t i = 0; i < o->n_tables; i++) {
        const struct table_rule *t = manifest_table(m, o->tables[i]);
        if (span_eqz(o->tables[i], "events") && m->feed.present)
            *ret_feed = true;
        else if (!t || !t->has_path)
            return err_set(err, ERR_CONFIG, "table %.*s of %s has no list API to pull from",
                           SPAN_ARG(o->tables[i]), o->source->name);
        else if (t->since.sees_creations_only && m->feed.present)
            *ret_feed = true; /* its updates are only there */
    }
    return true;
}

static bool make_plan(const struct backfill_opts *o, struct plan *p, struct err *err)
{
    const struct manifest *m = o->source->manifest;
    bool feed;
    p->tables = mem_alloc((m->n_tables + 1) * sizeof *p->tables);
    if (!check_names(o, &feed, err))
        return false;
    for (unsigned level = 0; level < LEVELS_MAX; level++)
        for (size_t i = 0; i < m->n_tables; i++)
            if (wanted(o, &m->tables[i]) && depth(m, &m->tables[i]) == level && !planned(p, &m->tables[i]))
                p->tables[p->n++] = &m->tables[i];
    if (feed)
        p->tables[p->n++] = NULL;
    if (!p->n)
        return err_set(err, ERR_CONFIG, "nothing to pull: %s has no table in use with a list API", o->source->name);
    return true;
}

#define LOCK_WAIT_US (UINT64_C(15) * 1000000) /* a run that was asked to stop ends with its page */
#define LOCK_LOOK_US 50000

/* One at a time for a source, whoever runs it. One that is just stopping is waited for. */
static int take_lock(const struct backfill_opts *o, struct err *err)
{
    char path[4352];
    snprintf(path, sizeof path, "%s/backfill-%s.lock", o->data_dir, o->source->name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_sys(err, ERR_DURABLE, "cannot open %s", path);
        return -1;
    }
    uint64_t until = o->io->world->monotonic_us(o->io) + LOCK_WAIT_US;
    bool got = flock(fd, LOCK_EX | LOCK_NB) == 0;
    while (!got && o->io->world->monotonic_us(o->io) < until && !(o->stop && *o->stop)) {
        o->io->world->sleep_us(o->io, LOCK_LOOK_US);
        got = flock(fd, LOCK_EX | LOCK_NB) == 0;
    }
    if (!got) {
        close(fd);
        err_set(err, ERR_TRANSIENT, "a backfill of %s is running already; `sluice status %s` shows it",
                o->source->name, o->source->name);
        return -1;
    }
    return fd;
}

static bool is_paused(const struct backfill_opts *o, const struct table_rule *table, struct state *state, struct err *why)
{
    struct table_control c;
    const char *name = table ? table->name : manifest_events_table.name;
    if (o->dry_run || !controls_read(state, span_of(o->source->name), span_of(name), &c, why) || !c.paused)
        return false;
    return !err_set(why, ERR_STOPPED, "%s is paused; `sluice table resume %s %s`", name, o->source->name, name);
}

static bool run_plan(const struct backfill_opts *o, const struct plan *p, struct fetcher *f, struct state *state,
                     const struct scope_pair *config, size_t n_config, struct backfill_result *res, struct err *err)
{
    uint64_t left = o->max_rows;
    for (size_t i = 0; i < p->n; i++) {
        enum run_end end = RUN_FAILED;
        struct err why = {0};
        if (is_paused(o, p->tables[i], state, &why)) {
            res->tables_paused++;
            res->why = res->why.cls ? res->why : why;
            continue;
        }
        if (!run_table(o, p->tables[i], f, state, config, n_config, o->max_rows ? &left : NULL, res, &end, &why, err))
            return false;
        if (end == RUN_COMPLETED) {
            res->tables_done++;
            continue;
        }
        if (res->end == RUN_COMPLETED) {
            res->end = end;
            res->why = why;
        }
        if (end == RUN_STOPPED || end == RUN_LIMITED)
            break;
        res->tables_failed++;
        res->end = RUN_FAILED;
        /* The other tables still get their turn, unless it is the provider that is out of reach, or the key that is wrong. */
        if (why.cls == ERR_TRANSIENT || why.cls == ERR_CONFIG)
            break;
    }
    if (res->tables_paused == p->n) /* nothing was done, and nothing failed */
        res->end = RUN_STOPPED;
    return true;
}

bool backfill_run(const struct backfill_opts *o, struct backfill_result *ret, struct err *err)
{
    struct plan plan = {0};
    struct scope_pair *config = NULL;
    size_t n_config = 0;
    struct fetcher *f = NULL;
    struct state state = {0};
    struct backfill_result res = {.end = RUN_COMPLETED};
    bool opened = false, ok = o->source->manifest->api.present ||
                              err_set(err, ERR_CONFIG, "%s has no list API that this version can pull",
                                      o->source->manifest->title);
    int lock = ok ? take_lock(o, err) : -1;
    ok = ok && lock >= 0 && make_plan(o, &plan, err) && config_pairs(o->source, &config, &n_config, err);
    if (ok) {
        struct scope scope = {.config = config, .n_config = n_config};
        f = fetcher_new(o, &scope, err);
        ok = f != NULL;
    }
    opened = ok && state_open(&state, o->data_dir, false, err);
    ok = opened && run_plan(o, &plan, f, &state, config, n_config, &res, err);
    if (opened)
        state_close(&state);
    fetcher_free(&f);
    config_pairs_free(&config, n_config);
    free(plan.tables);
    if (lock >= 0)
        close(lock);
    if (ok)
        *ret = res;
    return ok;
}
