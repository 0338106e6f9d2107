#include "cli/status_table.h"
#include "core/clock.h"
#include "core/json.h"
#include "merge/account.h"
#include "staging/controls.h"

#define DAY_US (UINT64_C(86400) * 1000000)

struct reading {
    struct instance *in;
    const struct source_config *source;
    struct state *state;
    struct tables tables;
    struct table_status *now; /* that is filled */
};

static bool take_pull(void *ctx, const struct table_pull *p)
{
    struct reading *r = ctx;
    r->now->pull = *p;
    r->now->pulls = true;
    return true;
}

static bool take_dead(void *ctx, const struct dead_sum *d)
{
    struct reading *r = ctx;
    if (span_eqz(d->table, r->now->table->name))
        r->now->dead = d->n;
    return true;
}

static enum health judge(const struct reading *r, const struct table_status *t)
{
    char cause[640], next[NEXT_MAX];
    bool bad = false, any = t->pulls && pull_finding(r->in, &t->pull, &bad, cause, sizeof cause, next, sizeof next);
    if (any && bad)
        return HEALTH_FAILING;
    return any || t->dead || t->paused || t->facts.counts.rejected ? HEALTH_DEGRADED : HEALTH_HEALTHY;
}

static bool read_table(struct reading *r, struct table_status *t, struct err *err)
{
    struct span source = span_of(r->source->name), name = span_of(t->table->name);
    struct table_control control;
    r->now = t;
    if (!controls_read(r->state, source, name, &control, err) || !pulls_each(r->in, r->source, t->table, take_pull, r, err) ||
        !state_dead_tables(r->state, source, take_dead, r, err) ||
        !tables_facts(&r->tables, r->source, t->table, &t->facts, err) ||
        !state_rows_since(r->state, source, name, r->in->io->world->now_us(r->in->io) - DAY_US, &t->rows_day, err) ||
        !account_oldest(&r->tables, r->state, source, name, &t->merge_oldest_us, err))
        return false;
    t->paused = control.paused;
    t->health = judge(r, t);
    return true;
}

bool table_status_each(struct instance *in, const struct source_config *s,
                       bool (*each)(void *ctx, const struct table_status *t), void *ctx, struct err *err)
{
    struct reading r = {.in = in, .source = s};
    if (!instance_state(in, &r.state, err) || !tables_open(&r.tables, in->config, err))
        return false;
    bool ok = true, go = true;
    for (size_t i = 0; ok && go && i <= s->manifest->n_tables; i++) {
        struct table_status t = {.table = i < s->manifest->n_tables ? &s->manifest->tables[i] : &manifest_events_table};
        if (!source_has_table(s, span_of(t.table->name)))
            continue;
        ok = read_table(&r, &t, err);
        go = ok && each(ctx, &t);
    }
    tables_close(&r.tables);
    return ok;
}

/* ---- for people ---- */

static uint64_t age(uint64_t then, uint64_t now)
{
    return then && then < now ? now - then : 0;
}

void table_status_head(const struct command_io *io)
{
    fprintf(io->out, "%-22s %-9s %-13s %-12s %12s %-20s %-10s %12s %10s %8s %8s %6s %7s\n", "TABLE", "HEALTH", "PULL", "LAST RUN",
            "PULLED", "WATERMARK", "NEXT RUN", "ROWS", "ROWS/24H", "STAGING", "MERGE", "DEAD", "MISSED");
}

void table_status_line(const struct command_io *io, const struct table_status *t, uint64_t staged_us, uint64_t now)
{
    const struct table_pull *p = &t->pull;
    char last[CLOCK_TEXT_MAX] = "-", mark[CLOCK_TEXT_MAX] = "-", due[CLOCK_TEXT_MAX + 4] = "-", lag[2][CLOCK_TEXT_MAX], n[5][32];
    uint64_t last_us = p->finished_us ? p->finished_us : p->started_us;
    if (t->pulls && last_us)
        clock_ago(last_us, now, last);
    if (p->watermark_us)
        clock_iso_s(p->watermark_us, mark);
    if (p->next_us)
        snprintf(due, sizeof due, p->next_us > now ? "in %s" : "now", clock_span(p->next_us - now, lag[0]));
    const char *pull = !t->pulls ? "push only" : p->stuck ? "stuck" : p->interrupted ? "interrupted" : p->status;
    fprintf(io->out, "%-22s %-9s %-13s %-12s %12s %-20s %-10s %12s %10s %8s %8s %6s %7s\n", t->table->name,
            health_name(t->health), t->paused ? "paused" : *pull ? pull : "never", last, thousands(p->rows, n[0]), mark, due,
            thousands(t->facts.rows, n[1]), thousands(t->rows_day, n[2]), clock_span(age(staged_us, now), lag[0]),
            clock_span(age(t->merge_oldest_us, now), lag[1]), thousands(t->dead, n[3]), thousands(t->facts.counts.missed, n[4]));
}

/* ---- for programs ---- */

static void add_pull(struct buf *b, const struct table_pull *p)
{
    buf_addf(b, ",\"pull\":{\"status\":\"%s\",\"stuck\":%s,\"interrupted\":%s", p->status[0] ? p->status : "never",
             p->stuck ? "true" : "false", p->interrupted ? "true" : "false");
    json_add_time(b, "started_at", p->started_us);
    json_add_time(b, "finished_at", p->finished_us);
    json_add_time(b, "last_page_at", p->page_us);
    json_add_count(b, "pages", p->pages);
    json_add_count(b, "rows", p->rows);
    json_add_time(b, "watermark", p->watermark_us);
    json_add_time(b, "next_at", p->next_us);
    json_add_text(b, "waiting", p->waiting);
    json_add_text(b, "cause", p->cause);
    json_add_text(b, "error", p->error);
    buf_addc(b, '}');
}

void table_status_json(struct buf *b, const struct table_status *t, uint64_t staged_us, uint64_t now)
{
    buf_addf(b, "{\"table\":\"%s\",\"health\":\"%s\",\"paused\":%s", t->table->name, health_name(t->health),
             t->paused ? "true" : "false");
    if (t->pulls)
        add_pull(b, &t->pull);
    else
        buf_addz(b, ",\"pull\":null");
    json_add_count(b, "rows", t->facts.rows);
    json_add_count(b, "rows_24h", t->rows_day);
    json_add_count(b, "staging_lag_seconds", age(staged_us, now) / 1000000);
    json_add_count(b, "merge_lag_seconds", age(t->merge_oldest_us, now) / 1000000);
    json_add_count(b, "dead", t->dead);
    json_add_count(b, "missed", t->facts.counts.missed);
    buf_addc(b, '}');
}
