#include "cli/metrics.h"
#include "alarms/ledger.h"
#include "cli/reload.h"
#include "cli/certificate.h"
#include "cli/exposition.h"
#include "cli/sinks.h"
#include "cli/status.h"
#include "cli/lookout.h"
#include "core/log.h"
#include "merge/account.h"

struct scrape {
    struct instance *in;
    struct buf *out;
    const char *name; /* of the family that is being written */
    uint64_t now_us;
    struct tables tables;
    bool tables_open;
    uint64_t unshipped_us; /* when the first entry that is not staged was received, 0: all are */
    bool unshipped_read;
};

static uint64_t age_us(const struct scrape *s, uint64_t then_us)
{
    return then_us && then_us < s->now_us ? s->now_us - then_us : 0;
}

static bool open_tables(struct scrape *s, struct err *err)
{
    s->tables_open = s->tables_open || tables_open(&s->tables, s->in->config, err);
    return s->tables_open;
}

/* ---- of the door ---- */

static bool add_requests(struct scrape *s, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < s->in->config->n_sources; i++) {
        struct span source = span_of(s->in->config->sources[i].name);
        struct source_counts counts;
        if (!server_counts(s->in->live->server, source, &counts))
            continue;
        for (int o = 0; o < OUT_COUNT; o++) {
            struct label labels[] = {{"source", source}, {"outcome", span_of(outcome_name((enum outcome)o))}, {NULL, {0}}};
            exposition_count(s->out, s->name, labels, counts.by_outcome[o]);
        }
    }
    return true;
}

static bool add_unknown(struct scrape *s, struct err *err)
{
    (void)err;
    exposition_count(s->out, s->name, NULL, server_unknown_source(s->in->live->server));
    return true;
}

static bool add_late(struct scrape *s, struct err *err)
{
    (void)err;
    exposition_count(s->out, s->name, NULL, server_late(s->in->live->server));
    return true;
}

static bool add_verify_times(struct scrape *s, struct err *err)
{
    struct histogram_snapshot verify, request;
    (void)err;
    server_times(s->in->live->server, &verify, &request);
    exposition_histogram(s->out, s->name, &verify);
    return true;
}

static bool add_request_times(struct scrape *s, struct err *err)
{
    struct histogram_snapshot verify, request;
    (void)err;
    server_times(s->in->live->server, &verify, &request);
    exposition_histogram(s->out, s->name, &request);
    return true;
}

struct last_use {
    struct span id;
    uint64_t at_us;
};

static bool find_last_use(void *ctx, const struct secret_seen *seen)
{
    struct last_use *use = ctx;
    if (span_eq(seen->id, use->id))
        use->at_us = seen->last_used_us;
    return true;
}

static bool add_secrets(struct scrape *s, struct err *err)
{
    struct state *state;
    bool ok = instance_state(s->in, &state, err);
    for (size_t i = 0; ok && i < s->in->config->n_sources; i++) {
        struct span source = span_of(s->in->config->sources[i].name);
        struct last_use use = {0};
        struct held_id held;
        for (size_t k = 0; ok && server_secret(s->in->live->server, source, k, &held); k++) {
            struct label labels[] = {{"source", source}, {"id", span_of(held.id)}, {NULL, {0}}};
            use.at_us = held.last_used_us;
            use.id = labels[1].value;
            ok = use.at_us || state_secret_each(state, source, find_last_use, &use, err); /* before the start, or never */
            if (ok)
                exposition_seconds(s->out, s->name, labels, use.at_us);
        }
    }
    return ok;
}

/* ---- of the journal ---- */

static bool add_commit_times(struct scrape *s, struct err *err)
{
    struct histogram_snapshot times;
    (void)err;
    journal_commit_times(s->in->live->journal, &times);
    exposition_histogram(s->out, s->name, &times);
    return true;
}

static bool add_free_bytes(struct scrape *s, struct err *err)
{
    struct journal_stats stats;
    (void)err;
    journal_stats(s->in->live->journal, &stats);
    exposition_count(s->out, s->name, NULL, stats.free_bytes);
    return true;
}

static bool add_bytes(struct scrape *s, struct err *err)
{
    struct journal_stats stats;
    (void)err;
    journal_stats(s->in->live->journal, &stats);
    exposition_count(s->out, s->name, NULL, stats.bytes);
    return true;
}

/* ---- of sinks and tables ---- */

static bool read_unshipped(struct scrape *s, struct err *err)
{
    s->unshipped_read = s->unshipped_read || sink_oldest(s->in, SINK_OBJECTS, &s->unshipped_us, err);
    return s->unshipped_read;
}

static bool add_unshipped(struct scrape *s, struct err *err)
{
    const char *sinks[SINKS_MAX];
    size_t n = sinks_configured(s->in->config, sinks);
    if (!read_unshipped(s, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct label labels[] = {{"sink", span_of(sinks[i])}, {NULL, {0}}};
        uint64_t oldest_us = s->unshipped_us;
        if (i && !sink_oldest(s->in, sinks[i], &oldest_us, err))
            return false;
        exposition_seconds(s->out, s->name, labels, age_us(s, oldest_us));
    }
    return true;
}

static bool add_sink_lag(struct scrape *s, struct err *err)
{
    const char *sinks[SINKS_MAX];
    size_t n = sinks_configured(s->in->config, sinks);
    for (size_t i = 0; i < n; i++) {
        struct label labels[] = {{"sink", span_of(sinks[i])}, {NULL, {0}}};
        uint64_t entries;
        if (!sink_behind(s->in, sinks[i], &entries, err))
            return false;
        exposition_count(s->out, s->name, labels, entries);
    }
    return true;
}

static bool add_sink_trouble(struct scrape *s, struct err *err)
{
    const char *sinks[SINKS_MAX];
    size_t n = sinks_configured(s->in->config, sinks);
    (void)err;
    for (size_t i = 0; i < n; i++) {
        struct label labels[] = {{"sink", span_of(sinks[i])}, {NULL, {0}}};
        char words[8];
        uint64_t since;
        exposition_count(s->out, s->name, labels, !sink_trouble(s->in, sinks[i], words, sizeof words, &since));
    }
    return true;
}

static bool for_tables(struct scrape *s,
                       bool (*each)(struct scrape *s, const struct source_config *source, const struct table_rule *table,
                                    struct err *err),
                       struct err *err)
{
    for (size_t i = 0; i < s->in->config->n_sources; i++) {
        const struct source_config *source = &s->in->config->sources[i];
        for (size_t k = 0; k <= source->manifest->n_tables; k++) {
            const struct table_rule *t = k < source->manifest->n_tables ? &source->manifest->tables[k] : &manifest_events_table;
            if (source_has_table(source, span_of(t->name)) && !each(s, source, t, err))
                return false;
        }
    }
    return true;
}

static bool add_lag(struct scrape *s, const struct source_config *source, const struct table_rule *table, struct err *err)
{
    struct label labels[] = {{"source", span_of(source->name)}, {"table", span_of(table->name)}, {NULL, {0}}};
    uint64_t staged_us = 0, oldest_us = s->unshipped_us;
    if (s->in->config->merge_db && !account_oldest(&s->tables, &s->in->state, labels[0].value, labels[1].value, &staged_us, err))
        return false;
    if (staged_us && (!oldest_us || staged_us < oldest_us))
        oldest_us = staged_us;
    exposition_seconds(s->out, s->name, labels, age_us(s, oldest_us));
    return true;
}

static bool add_lags(struct scrape *s, struct err *err)
{
    /* Unshipped first: what is staged in between is then seen as an object. */
    return read_unshipped(s, err) && open_tables(s, err) && for_tables(s, add_lag, err);
}

static bool add_missed(struct scrape *s, const struct source_config *source, const struct table_rule *table, struct err *err)
{
    struct label labels[] = {{"source", span_of(source->name)}, {"table", span_of(table->name)}, {NULL, {0}}};
    struct table_facts f;
    if (!tables_facts(&s->tables, source, table, &f, err))
        return false;
    exposition_count(s->out, s->name, labels, f.counts.missed);
    return true;
}

static bool add_all_missed(struct scrape *s, struct err *err)
{
    return !s->in->config->merge_db || (open_tables(s, err) && for_tables(s, add_missed, err));
}

/* ---- of sources ---- */

struct pulled {
    struct scrape *scrape;
    struct span source;
};

static void add_pulled(void *ctx, struct span table, uint64_t finished_us)
{
    const struct pulled *p = ctx;
    /* The feed has no name of its own: commands, too, call it by the table that it fills. */
    struct label labels[] = {{"source", p->source}, {"table", table.n ? table : SPAN_LIT("events")}, {NULL, {0}}};
    exposition_seconds(p->scrape->out, p->scrape->name, labels, finished_us);
}

static bool add_pulls(struct scrape *s, struct err *err)
{
    struct state *state;
    bool ok = instance_state(s->in, &state, err);
    for (size_t i = 0; ok && i < s->in->config->n_sources; i++) {
        struct pulled p = {s, span_of(s->in->config->sources[i].name)};
        ok = state_pulled_each(state, p.source, add_pulled, &p, err);
    }
    return ok;
}

static bool add_health(struct scrape *s, struct err *err)
{
    for (size_t i = 0; i < s->in->config->n_sources; i++) {
        const struct source_config *source = &s->in->config->sources[i];
        struct label labels[] = {{"source", span_of(source->name)}, {NULL, {0}}};
        struct source_status status;
        if (!status_look(s->in, source, &status, err))
            return false;
        exposition_count(s->out, s->name, labels, status.health != HEALTH_FAILING);
    }
    return true;
}

static bool add_dead(struct scrape *s, struct err *err)
{
    struct state *state;
    bool ok = instance_state(s->in, &state, err);
    for (size_t i = 0; ok && i < s->in->config->n_sources; i++) {
        struct label labels[] = {{"source", span_of(s->in->config->sources[i].name)}, {NULL, {0}}};
        uint64_t dead;
        ok = state_dead_count(state, labels[0].value, &dead, err);
        if (ok)
            exposition_count(s->out, s->name, labels, dead);
    }
    return ok;
}

/* ---- alarms ---- */

static bool add_alarm(void *ctx, const struct alarm *a)
{
    struct scrape *s = ctx;
    struct label labels[] = {{"kind", a->kind}, {"source", a->source}, {"subject", a->subject}, {NULL, {0}}};
    exposition_count(s->out, s->name, labels, !a->cleared_us);
    return true;
}

static bool add_alarms(struct scrape *s, struct err *err)
{
    struct state *state;
    return instance_state(s->in, &state, err) && ledger_each(state, false, add_alarm, s, err);
}

static bool add_posts(struct scrape *s, struct err *err)
{
    static const char *const results[] = {"taken", "failed", "given_up"};
    struct lookout_posts posts;
    (void)err;
    lookout_posts(s->in->live->lookout, &posts);
    const uint64_t counts[] = {posts.taken, posts.failed, posts.given_up};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct label labels[] = {{"result", span_of(results[i])}, {NULL, {0}}};
        exposition_count(s->out, s->name, labels, counts[i]);
    }
    return true;
}

static bool add_posts_waiting(struct scrape *s, struct err *err)
{
    struct state *state;
    struct posts_waiting posts;
    if (!instance_state(s->in, &state, err) || !ledger_waiting(state, &posts, err))
        return false;
    exposition_count(s->out, s->name, NULL, posts.n);
    return true;
}

/* ---- of the process ---- */

static bool add_build(struct scrape *s, struct err *err)
{
    struct label labels[] = {{"version", SPAN_LIT(SLUICE_VERSION)}, {NULL, {0}}};
    (void)err;
    exposition_count(s->out, s->name, labels, 1);
    return true;
}

static bool add_certificate(struct scrape *s, struct err *err)
{
    uint64_t end;
    if (!s->in->config->tls_cert)
        return true;
    if (!certificate_ends(s->in->config->tls_cert, &end, err))
        return false;
    exposition_seconds(s->out, s->name, NULL, end);
    return true;
}

static bool add_reload(struct scrape *s, struct err *err)
{
    struct reload_state state;
    (void)err;
    reload_state(s->in->live->reload, &state);
    exposition_count(s->out, s->name, NULL, state.ok);
    return true;
}

static const struct family {
    const char *name, *type, *help;
    bool (*add)(struct scrape *s, struct err *err);
} families[] = {
    {"sluice_requests_total", "counter", "Requests to a source since the start, by what became of them.", add_requests},
    {"sluice_unknown_source_total", "counter", "Requests to no source of this configuration (404).", add_unknown},
    {"sluice_late_total", "counter", "Deliveries answered 503 since Kafka did not have them in time (ack: kafka).", add_late},
    {"sluice_request_seconds", "histogram", "Whole requests, from the first byte to the answer.", add_request_times},
    {"sluice_verify_seconds", "histogram", "Verification of signatures.", add_verify_times},
    {"sluice_commit_seconds", "histogram", "Journal commits: write and fdatasync of one batch.", add_commit_times},
    {"sluice_journal_bytes", "gauge", "Size of the journal.", add_bytes},
    {"sluice_journal_free_bytes", "gauge", "Free bytes of the journal's disk.", add_free_bytes},
    {"sluice_oldest_unshipped_seconds", "gauge", "Age of the oldest entry that a sink has not taken; 0: it has all.",
     add_unshipped},
    {"sluice_sink_lag_entries", "gauge", "Entries of the journal that a sink has not taken.", add_sink_lag},
    {"sluice_sink_healthy", "gauge", "0: `sluice status` says what keeps the sink from going on.", add_sink_trouble},
    {"sluice_table_lag_seconds", "gauge", "How long the oldest of what may be missing in a table has waited; 0: nothing is.",
     add_lags},
    {"sluice_missed_events_total", "counter", "Changes that a pull found and no event had told.", add_all_missed},
    {"sluice_last_pull_success_seconds", "gauge", "When a pull of the table last came to its end, in seconds since 1970.",
     add_pulls},
    {"sluice_source_healthy", "gauge", "0: `sluice status` calls the source failing.", add_health},
    {"sluice_dead_letters", "gauge", "Entries that could not become rows.", add_dead},
    {"sluice_secret_last_used_seconds", "gauge", "When a secret last verified a delivery, in seconds since 1970; 0: never.",
     add_secrets},
    {"sluice_alarm", "gauge", "1: the alarm stands; 0: it was raised before.", add_alarms},
    {"sluice_alarm_posts_total", "counter", "Tries to post an alarm, by what became of them.", add_posts},
    {"sluice_alarm_posts_waiting", "gauge", "Alarms that the receiver has not taken yet.", add_posts_waiting},
    {"sluice_certificate_expiry_seconds", "gauge", "When the certificate of tls.cert expires, in seconds since 1970.",
     add_certificate},
    {"sluice_config_reload_ok", "gauge", "0: the last change of the configuration was refused, the one before is in force.",
     add_reload},
    {"sluice_build_info", "gauge", "The version that runs.", add_build},
};

void metrics_write(struct instance *in, struct buf *out)
{
    static struct log_limit limit;
    struct scrape s = {.in = in, .out = out, .now_us = in->io->world->now_us(in->io)};
    uint64_t missing = 0;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const struct family *f = &families[i];
        struct err err = {0};
        s.name = f->name;
        exposition_family(out, f->name, f->type, f->help);
        if (f->add(&s, &err))
            continue;
        missing++;
        log_limited(&limit, LOG_WARN, "a metric could not be read and is left out", "metric=%s error=\"%s\"", f->name, err.msg);
    }
    exposition_family(out, "sluice_metrics_complete", "gauge", "0: something above could not be read and is left out.");
    exposition_count(out, "sluice_metrics_complete", NULL, missing == 0);
    if (s.tables_open)
        tables_close(&s.tables);
}
