#include "cli/status.h"
#include "alarms/ledger.h"
#include "cli/pulls.h"
#include "core/clock.h"
#include "merge/merge.h"
#include "merge/tables.h"
#include "staging/controls.h"
#include "staging/kafka_sink.h"
#include <stdarg.h>
#include <stdio.h>

#define DAY_US (UINT64_C(86400) * 1000000)
#define REFUSED_SOME 3  /* in a row: strangers find an endpoint, too */
#define REFUSED_MANY 10
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

static void look_at_push(struct source_status *st)
{
    const struct source_config *s = st->source;
    const struct source_counts *c = &st->counts;
    char next[NEXT_MAX];
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
    char since[CLOCK_TEXT_MAX];
    clock_iso_s(c->refusing_since_us, since);
    snprintf(next, sizeof next, "sluice verify %s --last-rejected; most often the provider's endpoint has another secret",
             s->name);
    bool many = rejected > accepted || c->refused_in_row >= REFUSED_MANY;
    if (c->refused_in_row && (many || c->refused_in_row >= REFUSED_SOME))
        find(st, many, next, "deliveries are being rejected, all of them since %s: %llu in a row, %llu of %llu in all, as %s%s",
             since, (unsigned long long)c->refused_in_row, (unsigned long long)rejected,
             (unsigned long long)(rejected + accepted), outcome_name(c->last_refused),
             c->last_refused == OUT_BAD_SIGNATURE ? " (signed with another secret, or altered on its way)" : "");
    else if (rejected && rejected * 2 > accepted)
        find(st, false, next, "%llu of %llu deliveries were rejected, the last as %s", (unsigned long long)rejected,
             (unsigned long long)(rejected + accepted), outcome_name(c->last_refused));
}

/* What keeps deliveries from being stored now, by the journal's own words; else that it happened. */
static void look_at_journal(struct instance *in, struct source_status *st)
{
    const struct config *c = in->config;
    uint64_t refused = st->counts.by_outcome[OUT_UNAVAILABLE];
    char words[400], next[NEXT_MAX];
    if (lane_trouble(journal_lane(in->live->journal, LANE_EVENTS), words, sizeof words)) {
        snprintf(next, sizeof next, "make room on the disk of %.150s (df -h); deliveries are then taken again by themselves",
                 c->data_dir);
        find(st, true, next, "deliveries are answered 503, the journal takes nothing: %s", words);
    } else if (refused) {
        find(st, false, c->ack_kafka ? "sluice status shows how Kafka gets on; df -h" : "df -h; sluice events check",
             "%llu deliveries were answered 503: they could not be stored%s", (unsigned long long)refused,
             c->ack_kafka ? ", or the brokers were not there" : "");
    }
}

struct pull_look {
    const struct instance *in;
    struct source_status *st;
    size_t alike; /* tables that failed for what another one's finding says already: the key, the network */
};

static bool look_at_pull(void *ctx, const struct table_pull *p)
{
    struct pull_look *look = ctx;
    struct source_status *st = look->st;
    uint64_t at = p->finished_us ? p->finished_us : p->started_us;
    char cause[640], next[NEXT_MAX];
    bool bad;
    if (!p->status[0])
        return true;
    st->runs++;
    st->last_run_us = at > st->last_run_us ? at : st->last_run_us;
    st->running = st->running || (strcmp(p->status, "running") == 0 && !p->interrupted);
    if (st->next_run_us == 0 || (p->next_us && p->next_us < st->next_run_us))
        st->next_run_us = p->next_us;
    if (!pull_finding(look->in, p, &bad, cause, sizeof cause, next, sizeof next))
        return true;
    bool common = strcmp(p->cause, "auth") == 0 || strcmp(p->cause, "network") == 0;
    if (!common || !look->alike)
        find(st, bad, next, "%s", cause);
    look->alike += common;
    return true;
}

/* day: the rows of the last day, too, which takes a look at each object of it. */
static bool look_at_tables(struct instance *in, struct source_status *st, bool day, struct err *err)
{
    uint64_t day_ago = in->io->world->now_us(in->io) - DAY_US, rows = 0;
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
        ok = tables_facts(&tables, st->source, t, &f, err) &&
             (!day || state_rows_since(&in->state, span_of(st->source->name), span_of(t->name), day_ago, &rows, err));
        st->rows_day += rows;
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

static bool full_disk(const char *words)
{
    return strstr(words, "No space left") || strstr(words, "disk is full");
}

static void look_at_workers(struct instance *in, struct source_status *st)
{
    char words[sizeof(((struct err *)0)->msg)];
    uint64_t since;
    if (!in->live)
        return;
    if (stager_trouble(in->live->stager, words, sizeof words, &since))
        find(st, true, full_disk(words) ? "make room on the disk (df -h); it then goes on by itself" : "",
             "staging does not get on: %s", words);
    if (in->live->kafka && kafka_sink_trouble(in->live->kafka, words, sizeof words, &since))
        find(st, true, "are the brokers running, and does staging.kafka name them rightly? It goes on by itself once they answer",
             "Kafka does not get on: %s", words);
    if (in->live->merger && merger_trouble(in->live->merger, words, sizeof words, &since))
        find(st, true, full_disk(words) ? "make room on the disk (df -h); it then goes on by itself" : "",
             "the merge does not get on: %s", words);
}

struct dead_look {
    uint64_t n;
    int64_t newest;
    char reason[300];
};

static bool look_at_dead(void *ctx, const struct dead_sum *d)
{
    struct dead_look *look = ctx;
    look->n += d->n;
    if (d->newest > look->newest) {
        look->newest = d->newest;
        snprintf(look->reason, sizeof look->reason, "%.*s", SPAN_ARG(d->reason));
    }
    return true;
}

static void look_at_registration(void *ctx, const struct registration *r)
{
    struct source_status *st = ctx;
    char next[NEXT_MAX];
    snprintf(next, sizeof next, "%.*s", SPAN_ARG(r->next));
    st->checked_us = r->checked_us;
    st->drift = r->cause.n > 0;
    st->broken = r->cause.n && r->broken;
    if (r->cause.n)
        find(st, r->broken, next, "at the provider: %.*s", SPAN_ARG(r->cause));
}

/* Alarms that no other finding tells. */
static bool look_at_alarm(void *ctx, const struct alarm *a)
{
    struct source_status *st = ctx;
    char next[NEXT_MAX];
    bool own = span_eqz(a->kind, alarm_kind_name(ALARM_SILENT)) || span_eqz(a->kind, alarm_kind_name(ALARM_OLD_SECRET)) ||
               (span_eqz(a->kind, alarm_kind_name(ALARM_REJECTING)) && st->health == HEALTH_HEALTHY);
    if (!own || !span_eqz(a->source, st->source->name))
        return true;
    snprintf(next, sizeof next, "%.*s", SPAN_ARG(a->next));
    find(st, false, next, "%.*s", SPAN_ARG(a->cause));
    return true;
}

static bool look_at_order(void *ctx, struct span source, struct span table, const struct table_control *c)
{
    struct source_status *st = ctx;
    char next[NEXT_MAX];
    if (!c->paused || !span_eqz(source, st->source->name))
        return true;
    snprintf(next, sizeof next, "sluice table resume %.*s %.*s", SPAN_ARG(source), SPAN_ARG(table));
    find(st, false, next, "%.*s is paused by an operator: what comes in is staged and not merged", SPAN_ARG(table));
    return true;
}

static bool look_at_all(struct instance *in, const struct source_config *s, bool day, struct source_status *st, struct err *err)
{
    *st = (struct source_status){.source = s, .live = in->live != NULL};
    struct state *state;
    char next[NEXT_MAX];
    if (!instance_state(in, &state, err))
        return false;
    if (in->live) {
        server_counts(in->live->server, span_of(s->name), &st->counts);
        look_at_push(st);
        look_at_journal(in, st);
        (void)lookout_source(in->live->lookout, s->name, &st->watched);
    }
    look_at_workers(in, st);
    struct pull_look look = {.in = in, .st = st};
    struct dead_look dead = {0};
    if (!pulls_each(in, s, NULL, look_at_pull, &look, err) ||
        !state_registration_get(state, span_of(s->name), look_at_registration, st, err) ||
        !controls_each(state, look_at_order, st, err) || !ledger_each(state, true, look_at_alarm, st, err) ||
        !look_at_tables(in, st, day, err) ||
        !state_dead_tables(state, span_of(s->name), look_at_dead, &dead, err))
        return false;
    st->dead = dead.n;
    snprintf(next, sizeof next, "sluice dead list %s", s->name);
    if (st->dead)
        find(st, false, next, "%llu dead letters: entries that could not become rows, or rows that a sink could not take; the "
             "last: %s", (unsigned long long)st->dead, dead.reason);
    return true;
}

bool status_look(struct instance *in, const struct source_config *s, struct source_status *st, struct err *err)
{
    return look_at_all(in, s, false, st, err);
}

bool status_read(struct instance *in, const struct source_config *s, const struct source_books *books,
                 struct source_status *st, struct err *err)
{
    if (!look_at_all(in, s, true, st, err))
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
