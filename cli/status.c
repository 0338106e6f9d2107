#include "cli/status.h"
#include "core/clock.h"
#include "merge/merge.h"
#include "merge/tables.h"
#include "staging/controls.h"
#include "staging/kafka_sink.h"
#include <stdarg.h>
#include <stdio.h>

#define LAG_US_MAX (UINT64_C(300) * 1000000) /* entries that wait longer make a source degraded */

const char *health_name(enum health h)
{
    static const char *const names[] = {"healthy", "degraded", "failing"};
    return names[h];
}

bool outcome_is_rejection(enum outcome o)
{
    return o != OUT_ACCEPTED && o != OUT_DUPLICATE && o != OUT_HANDSHAKE;
}

static void find(struct source_status *st, bool bad, const char *next, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void find(struct source_status *st, bool bad, const char *next, const char *fmt, ...)
{
    if (bad)
        st->health = HEALTH_FAILING;
    else if (st->health == HEALTH_HEALTHY)
        st->health = HEALTH_DEGRADED;
    if (st->n_findings == FINDINGS_MAX)
        return;
    struct finding *f = &st->findings[st->n_findings++];
    f->bad = bad;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    snprintf(f->next, sizeof f->next, "%s", next);
}

static uint64_t genuine_looking(const struct source_counts *c)
{
    return c->by_outcome[OUT_BAD_SIGNATURE] + c->by_outcome[OUT_EXPIRED] + c->by_outcome[OUT_MISSING_HEADER] +
           c->by_outcome[OUT_MALFORMED];
}

static void look_at_push(const struct config *config, struct source_status *st)
{
    const struct source_config *s = st->source;
    const struct source_counts *c = &st->counts;
    char next[200];
    if (s->webhook_off)
        return;
    if (s->unverified)
        find(st, false, "", "verification: none: anybody who can reach the endpoint can write rows");
    if (!c->can_judge && !s->unverified) {
        snprintf(next, sizeof next, "put the signing secret where sluice.yaml names it (sluice config check)");
        find(st, true, next, "no usable secret: every delivery is answered 503");
        return;
    }
    uint64_t rejected = genuine_looking(c), accepted = c->by_outcome[OUT_ACCEPTED] + c->by_outcome[OUT_DUPLICATE];
    snprintf(next, sizeof next, "sluice verify %s --last-rejected; most often the provider's endpoint has another secret",
             s->name);
    if (rejected && c->last_rejected_us > c->last_accepted_us && (!accepted || rejected > accepted))
        find(st, true, next, "deliveries are being rejected: %llu of %llu since the start, the last as %s",
             (unsigned long long)rejected, (unsigned long long)(rejected + accepted), outcome_name(c->last_rejected));
    else if (rejected && rejected * 2 > accepted)
        find(st, false, next, "%llu of %llu deliveries were rejected, the last as %s", (unsigned long long)rejected,
             (unsigned long long)(rejected + accepted), outcome_name(c->last_rejected));
    if (c->by_outcome[OUT_UNAVAILABLE])
        find(st, false, config->ack_kafka ? "sluice status shows how Kafka gets on; df -h" : "df -h; sluice events check",
             "%llu deliveries were answered 503: they could not be stored%s", (unsigned long long)c->by_outcome[OUT_UNAVAILABLE],
             config->ack_kafka ? ", or the brokers were not there" : "");
}

struct run_look {
    struct source_status *st;
    struct span seen[64]; /* tables whose newest run was looked at */
    size_t n;
};

static bool look_at_run(void *ctx, const struct run_record *r)
{
    struct run_look *look = ctx;
    struct source_status *st = look->st;
    st->runs++;
    uint64_t at = r->finished_us ? r->finished_us : r->started_us;
    if (at > st->last_run_us)
        st->last_run_us = at;
    for (size_t i = 0; i < look->n; i++)
        if (span_eq(look->seen[i], r->table))
            return true; /* an older run of the table */
    if (look->n < 64) {
        const struct table_rule *t = r->table.n ? manifest_table(st->source->manifest, r->table) : NULL;
        look->seen[look->n++] = t ? span_of(t->name) : (struct span){"", 0};
    }
    char next[200];
    snprintf(next, sizeof next, "sluice backfill %s", st->source->name);
    struct span table = r->table.n ? r->table : SPAN_LIT("the feed");
    if (span_eqz(r->status, "failed"))
        find(st, false, next, "the last pull of %.*s failed: %.*s", SPAN_ARG(table), SPAN_ARG(r->error));
    else if (span_eqz(r->status, "limited"))
        find(st, false, next, "the last pull of %.*s stopped at the provider's rate limit; it resumes", SPAN_ARG(table));
    else if (span_eqz(r->status, "running"))
        st->running = true;
    return true;
}

static bool look_at_tables(struct instance *in, struct source_status *st, struct err *err)
{
    struct tables tables;
    if (!tables_open(&tables, in->config, err))
        return false;
    bool ok = true;
    uint64_t rejected = 0;
    const struct manifest *m = st->source->manifest;
    for (size_t i = 0; ok && i <= m->n_tables; i++) {
        const struct table_rule *t = i < m->n_tables ? &m->tables[i] : &manifest_events_table;
        struct table_facts f = {0};
        if (!source_has_table(st->source, span_of(t->name)))
            continue;
        ok = tables_facts(&tables, st->source, t, &f, err);
        st->rows += f.rows;
        st->missed += f.counts.missed;
        rejected += f.counts.rejected;
    }
    tables_close(&tables);
    if (rejected)
        find(st, false, "", "%llu staged rows could not be merged (_sluice_rejected in the target says why)",
             (unsigned long long)rejected);
    return ok;
}

static void look_at_workers(struct instance *in, struct source_status *st)
{
    char words[sizeof(((struct err *)0)->msg)];
    uint64_t since;
    if (!in->live)
        return;
    if (stager_trouble(in->live->stager, words, sizeof words, &since))
        find(st, true, "", "staging does not get on: %s", words);
    if (in->live->kafka && kafka_sink_trouble(in->live->kafka, words, sizeof words, &since))
        find(st, true, "", "Kafka does not get on: %s", words);
    if (in->live->merger && merger_trouble(in->live->merger, words, sizeof words, &since))
        find(st, true, "", "the merge does not get on: %s", words);
}

static bool look_at_order(void *ctx, struct span source, struct span table, const struct table_control *c)
{
    struct source_status *st = ctx;
    char next[200];
    if (!c->paused || !span_eqz(source, st->source->name))
        return true;
    snprintf(next, sizeof next, "sluice table resume %.*s %.*s", SPAN_ARG(source), SPAN_ARG(table));
    find(st, false, next, "%.*s is paused by an operator: what comes in is staged and not merged", SPAN_ARG(table));
    return true;
}

bool status_look(struct instance *in, const struct source_config *s, struct source_status *st, struct err *err)
{
    *st = (struct source_status){.source = s, .live = in->live != NULL};
    struct state *state;
    char next[200];
    if (!instance_state(in, &state, err))
        return false;
    if (in->live) {
        server_counts(in->live->server, span_of(s->name), &st->counts);
        look_at_push(in->config, st);
    }
    look_at_workers(in, st);
    struct run_look look = {.st = st};
    if (!state_runs_each(state, span_of(s->name), 200, look_at_run, &look, err) ||
        !controls_each(state, look_at_order, st, err) || !look_at_tables(in, st, err) ||
        !state_dead_count(state, span_of(s->name), &st->dead, err))
        return false;
    snprintf(next, sizeof next, "sluice dead list %s", s->name);
    if (st->dead)
        find(st, false, next, "%llu dead letters: entries that could not become rows, or rows that a sink could not take",
             (unsigned long long)st->dead);
    return true;
}

bool status_read(struct instance *in, const struct source_config *s, const struct source_books *books,
                 struct source_status *st, struct err *err)
{
    if (!status_look(in, s, st, err))
        return false;
    st->oldest_waiting_us = books->oldest_waiting_us;
    uint64_t now = in->io->world->now_us(in->io);
    if (st->oldest_waiting_us && st->oldest_waiting_us + LAG_US_MAX < now)
        find(st, false, in->live ? "" : "sluice serve, or sluice merge", "the oldest entry has waited for %llu min to be staged",
             (unsigned long long)((now - st->oldest_waiting_us) / 60000000));
    if (books->damaged)
        find(st, true, "sluice events check", "%llu entries of the journal are damaged", (unsigned long long)books->damaged);
    if (!books->balanced)
        find(st, true, "please report this", "the books do not balance");
    return true;
}
