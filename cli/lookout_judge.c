/* What is so at this look, for which alarms are raised. */
#include "cli/sinks.h"
#include "cli/lookout_internal.h"
#include "core/clock.h"
#include <stdio.h>

#define SECRET_NEAR_US (7 * 86400 * SECOND)

bool judge_rhythm(struct lookout *w, const struct source_config *s, struct watched *of, struct err *err)
{
    char cause[400], next[200], t[3][CLOCK_TEXT_MAX];
    double n = of->share.recent_good + of->share.recent_bad;
    if (of->share.risen) {
        double past = of->share.usual_good + of->share.usual_bad;
        snprintf(cause, sizeof cause, "%.0f of the last %.0f deliveries failed verification; usually %.1f %% do",
                 of->share.recent_bad, n, past > 0 ? 100 * of->share.usual_bad / past : 0);
        snprintf(next, sizeof next, "sluice verify %s --last-rejected", s->name);
        return lookout_raise(w, ALARM_REJECTING, s->name, "", cause, next, err);
    }
    if (!of->silent || s->webhook_off)
        return true;
    snprintf(cause, sizeof cause,
             "silent for %s: usually there is an event each %s, and no gap of the last weeks was longer than %s",
             clock_span(of->rhythm.quiet_us, t[0]), clock_span(of->usual_us, t[1]), clock_span(of->longest_us, t[2]));
    snprintf(next, sizeof next, "is the endpoint enabled at the provider, and does it reach this machine? sluice status %s",
             s->name);
    return lookout_raise(w, ALARM_SILENT, s->name, "", cause, next, err) && lookout_catch_up_again(w, of, "silence", err);
}

struct drift_look {
    struct lookout *w;
    struct watched *of;
    struct err *err;
    bool ok;
};

static void judge_drift(void *ctx, const struct registration *r)
{
    struct drift_look *look = ctx;
    char cause[400], next[200];
    if (!r->cause.n)
        return;
    snprintf(cause, sizeof cause, "at the provider: %.*s", SPAN_ARG(r->cause));
    snprintf(next, sizeof next, "%.*s", SPAN_ARG(r->next));
    look->ok = lookout_raise(look->w, ALARM_DRIFT, look->of->name, "", cause, next, look->err) &&
               lookout_catch_up_again(look->w, look->of, cause, look->err);
}

bool judge_registration(struct lookout *w, struct watched *of, struct err *err)
{
    struct drift_look look = {w, of, err, true};
    return state_registration_get(w->state, span_of(of->name), judge_drift, &look, err) && look.ok;
}

struct use {
    struct span id;
    uint64_t at_us;
};

static bool find_use(void *ctx, const struct secret_seen *seen)
{
    struct use *use = ctx;
    if (span_eq(seen->id, use->id) && seen->last_used_us > use->at_us)
        use->at_us = seen->last_used_us;
    return true;
}

/* A secret whose end is written down is told of a week before; one in its grace, in the last quarter of it. */
static uint64_t near_end(const struct config *c, const struct source_config *s, uint64_t retire_us)
{
    for (size_t i = 0; i < s->n_secrets; i++)
        if (s->secrets[i].retire_at_us == retire_us)
            return SECRET_NEAR_US;
    return c->secret_grace_us / 4;
}

bool judge_secrets(struct lookout *w, const struct source_config *s, struct err *err)
{
    struct held_id held;
    char cause[400], next[200], at[CLOCK_TEXT_MAX], ago[CLOCK_TEXT_MAX], left[CLOCK_TEXT_MAX];
    bool ok = true;
    for (size_t i = 0; ok && server_secret(w->live->server, span_of(s->name), i, &held); i++) {
        uint64_t near = near_end(w->in->config, s, held.retire_us);
        if (!held.retire_us || held.retire_us <= w->now_us || held.retire_us - w->now_us > near)
            continue;
        struct use use = {span_of(held.id), held.last_used_us};
        ok = state_secret_each(w->state, span_of(s->name), find_use, &use, err);
        if (!ok || !use.at_us || use.at_us + near < w->now_us)
            continue;
        clock_iso_s(held.retire_us, at);
        clock_ago(use.at_us, w->now_us, ago);
        snprintf(cause, sizeof cause,
                 "the old secret %s still verifies deliveries, the last %s; it ends in %s, at %s: then they are rejected",
                 held.id, ago, clock_span(held.retire_us - w->now_us, left), at);
        snprintf(next, sizeof next, "let the provider sign with the new one, or retire it later; sluice secret list %s", s->name);
        ok = lookout_raise(w, ALARM_OLD_SECRET, s->name, held.id, cause, next, err);
    }
    return ok;
}

bool judge_unshipped(struct lookout *w, struct err *err)
{
    const struct config *c = w->in->config;
    const char *sinks[SINKS_MAX];
    size_t n = sinks_configured(c, sinks);
    uint64_t most = c->alarms_unshipped_us > 3 * c->cut_age_us ? c->alarms_unshipped_us : 3 * c->cut_age_us;
    for (size_t i = 0; i < n; i++) {
        uint64_t oldest, since;
        char cause[640], words[400] = "", age[CLOCK_TEXT_MAX];
        if (!sink_oldest(w->in, sinks[i], &oldest, err))
            return false;
        bool stands = lookout_stands(w, ALARM_UNSHIPPED, "", sinks[i]);
        if (!oldest || oldest + (stands ? most / 2 : most) > w->now_us)
            continue;
        bool why = sink_trouble(w->in, sinks[i], words, sizeof words, &since);
        snprintf(cause, sizeof cause, "the oldest entry that %s has not taken is %s old%s%s", sinks[i],
                 clock_span(w->now_us - oldest, age), why ? ": " : "", words);
        if (!lookout_raise(w, ALARM_UNSHIPPED, "", sinks[i], cause, "sluice status", err))
            return false;
    }
    return true;
}
