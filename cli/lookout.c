#include "cli/reload.h"
#include "cli/lookout_internal.h"
#include "core/thread.h"
#include "staging/controls.h"
#include <math.h>
#include <stdlib.h>

#define LOOK_US SECOND
#define SLOW_US (10 * SECOND) /* what is read from state.db and the journal */
#define STOP_LOOK_US 50000
#define DOWN_US (30 * SECOND)   /* a downtime that is caught up from: longer than two times SLOW_US */
#define AGAIN_FIRST_US (10 * SECOND) /* after a pull that failed */
#define AGAIN_US (900 * SECOND) /* a log is pulled again while events are missed */

/* ---- what is known of a source ---- */

bool lookout_remember(struct lookout *w, const struct watched *s, struct err *err)
{
    struct buf text;
    buf_init(&text, 1 << 16);
    rhythm_write(&s->rhythm, &text);
    share_write(&s->share, &text);
    bool ok = ledger_remember(w->state, span_of(s->name), buf_span(&text), err);
    buf_release(&text);
    return ok;
}

struct watched *lookout_find(struct lookout *w, const char *source)
{
    for (size_t i = 0; i < w->n_sources; i++)
        if (strcmp(w->sources[i]->name, source) == 0)
            return w->sources[i];
    return NULL;
}

/* What is kept of it; and what a downtime asks for. */
static bool load_source(struct lookout *w, struct watched *of, struct err *err)
{
    struct buf text;
    struct span rest;
    buf_init(&text, 1 << 16);
    bool ok = ledger_memory(w->state, span_of(of->name), &text, err);
    struct span first = ok ? span_cut(buf_span(&text), '\n', &rest) : (struct span){NULL, 0};
    if (first.n && (!rhythm_read(first, &of->rhythm) || !share_read(rest, &of->share)))
        log_warn("what was known of a source's rhythm cannot be read, and is learnt anew", "source=%s", of->name);
    buf_release(&text);
    if (ok && of->rhythm.looked_us && of->rhythm.looked_us + DOWN_US < w->now_us)
        ok = lookout_catch_up(w, of, "a downtime", err);
    return ok;
}

static struct watched *take_source(struct lookout *w, const char *name, struct err *err)
{
    struct watched *of = lookout_find(w, name);
    if (of)
        return of;
    of = mem_alloc(sizeof *of);
    of->name = mem_dup(name);
    if (!load_source(w, of, err)) {
        free(of->name);
        free(of);
        return NULL;
    }
    pthread_mutex_lock(&w->lock);
    w->sources = mem_grow(w->sources, (w->n_sources + 1) * sizeof *w->sources);
    w->sources[w->n_sources++] = of;
    pthread_mutex_unlock(&w->lock);
    return of;
}

static void count(struct lookout *w, struct watched *of, const struct source_counts *c)
{
    uint64_t good = c->by_outcome[OUT_ACCEPTED] + c->by_outcome[OUT_DUPLICATE] + c->by_outcome[OUT_HANDSHAKE], bad = 0;
    uint64_t unavailable = c->by_outcome[OUT_UNAVAILABLE];
    /* Who sends what we refuse is not silent; but what strangers send, who know of no signature, is no sign of life. */
    uint64_t sent = good + unavailable + c->by_outcome[OUT_CANNOT_JUDGE] + c->by_outcome[OUT_BAD_SIGNATURE] +
                    c->by_outcome[OUT_EXPIRED];
    for (int o = OUT_BAD_SIGNATURE; o <= OUT_MALFORMED; o++)
        bad += c->by_outcome[o];
    double seconds = w->looked_us && w->now_us > w->looked_us ? (double)(w->now_us - w->looked_us) / (double)SECOND : 1;
    double keep = exp2(-seconds / 30);
    pthread_mutex_lock(&w->lock);
    of->per_second = of->per_second * keep + (double)(good - of->good) / seconds * (1 - keep);
    rhythm_look(&of->rhythm, w->now_us, sent - of->sent, of->silent);
    share_look(&of->share, w->now_us, good - of->good, bad - of->bad);
    of->silent = rhythm_is_silent(&of->rhythm, w->in->config->alarms_learn_us, &of->usual_us, &of->longest_us);
    of->unstored = of->unstored || unavailable > of->unavailable;
    of->good = good;
    of->bad = bad;
    of->sent = sent;
    of->unavailable = unavailable;
    pthread_mutex_unlock(&w->lock);
}

/* ---- catching up ---- */

bool lookout_catch_up(struct lookout *w, struct watched *of, const char *why, struct err *err)
{
    const struct config *c = w->in->config;
    const struct source_config *s = config_source(c, span_of(of->name));
    struct control_order o = {.order = ORDER_PULL,
                              .source = span_of(of->name),
                              .table = span_of(manifest_events_table.name),
                              .who = "serve:catch_up",
                              .now_us = w->now_us};
    struct table_control now;
    if (!c->catch_up || !s || s->webhook_off || !s->manifest->api.present || !s->manifest->feed.present)
        return true;
    if (!controls_read(w->state, o.source, o.table, &now, err))
        return false;
    of->caught_up_us = w->now_us;
    of->tries += !of->tries;
    if (now.pull_us) /* ordered already */
        return true;
    log_info("catching up from the provider's log", "source=%s after=\"%s\"", of->name, why);
    return controls_order(w->state, &o, &now, err);
}

bool lookout_catch_up_again(struct lookout *w, struct watched *of, const char *why, struct err *err)
{
    return w->now_us < of->caught_up_us + AGAIN_US || lookout_catch_up(w, of, why, err);
}

/* A pull that was ordered and did not come to its end is ordered again, ever later. */
static bool see_caught_up(struct lookout *w, struct watched *of, struct err *err)
{
    uint64_t pause = AGAIN_FIRST_US << (of->tries < 7 ? of->tries - 1 : 6);
    struct span source = span_of(of->name);
    struct table_control now;
    struct run_record run;
    struct buf text;
    bool found = false;
    if (w->now_us < of->caught_up_us + (pause < AGAIN_US ? pause : AGAIN_US))
        return true;
    if (!controls_read(w->state, source, span_of(manifest_events_table.name), &now, err))
        return false;
    if (now.pull_us || now.paused)
        return true;
    buf_init(&text, 1 << 18);
    bool ok = state_run_get(w->state, source, SPAN_LIT(""), SPAN_LIT(""), &run, &text, &found, err);
    bool done = ok && found && span_eqz(run.status, "completed") && run.finished_us >= of->caught_up_us;
    buf_release(&text);
    if (!ok)
        return false;
    if (done) {
        of->tries = 0;
        return true;
    }
    of->tries++;
    return lookout_catch_up(w, of, "a try that failed", err);
}

/* ---- looking ---- */

static bool look_at_source(struct lookout *w, const struct source_config *s, struct err *err)
{
    struct source_counts counts;
    struct watched *of = take_source(w, s->name, err);
    if (!of)
        return false;
    if (!server_counts(w->live->server, span_of(s->name), &counts))
        return true;
    count(w, of, &counts);
    bool ok = judge_rhythm(w, s, of, err);
    if (!ok || !w->slow)
        return ok;
    char words[8];
    ok = (!of->tries || see_caught_up(w, of, err)) && judge_registration(w, of, err) && judge_secrets(w, s, err);
    if (ok && of->unstored && !lane_trouble(journal_lane(w->live->journal, LANE_EVENTS), words, sizeof words)) {
        of->unstored = false;
        ok = lookout_catch_up(w, of, "deliveries that could not be stored", err);
    }
    return ok;
}

static bool remember_all(struct lookout *w, struct err *err)
{
    if (!db_begin(&w->state->db, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < w->n_sources; i++)
        ok = lookout_remember(w, w->sources[i], err);
    ok = ok && db_commit(&w->state->db, err);
    if (!ok)
        db_rollback(&w->state->db);
    return ok;
}

/* ---- the thread ---- */

static bool look(struct lookout *w, struct instance *in, struct err *err)
{
    w->in = in;
    if (!instance_state(in, &w->state, err))
        return false;
    w->now_us = w->io->world->now_us(w->io);
    w->slow = !w->slow_us || w->now_us < w->slow_us || w->now_us - w->slow_us >= SLOW_US;
    if (!w->loaded && !lookout_load_standing(w, err))
        return false;
    w->loaded = true;
    bool ok = true;
    for (size_t i = 0; ok && i < in->config->n_sources; i++)
        ok = look_at_source(w, &in->config->sources[i], err);
    ok = ok && (!w->slow || judge_unshipped(w, err)) && lookout_sweep(w, err) && (!w->slow || remember_all(w, err));
    w->looked_us = w->now_us;
    if (ok && w->slow)
        w->slow_us = w->now_us;
    return ok && lookout_post(w, err);
}

/* The instance borrows the connection that is kept; after a failure it closes it, and the next look opens another. */
static bool look_with_kept(struct lookout *w, struct instance *in, struct err *err)
{
    in->state = w->kept;
    in->state_open = w->keeps;
    bool ok = look(w, in, err);
    w->keeps = ok && in->state_open;
    w->kept = in->state;
    in->state_open = in->state_open && !w->keeps;
    return ok;
}

static void *run(void *arg)
{
    static struct log_limit limit;
    struct lookout *w = arg;
    thread_name("lookout");
    for (bool last = false; !last;) {
        struct instance in;
        struct err err = {0};
        last = w->stop;
        w->slow_us = last ? 0 : w->slow_us; /* what is known goes to state.db */
        bool open = instance_open(&in, NULL, w->io, w->live, false, &err), ok = open && look_with_kept(w, &in, &err);
        if (!ok)
            log_limited(&limit, LOG_WARN, "alarms could not be looked after; tried again", "error=\"%s\"", err.msg);
        if (open)
            instance_close(&in);
        for (uint64_t t = 0; t < LOOK_US && !w->stop; t += STOP_LOOK_US)
            w->io->world->sleep_us(w->io, STOP_LOOK_US);
    }
    if (w->keeps)
        state_close(&w->kept);
    w->keeps = false;
    return NULL;
}

bool lookout_start(const struct io *io, const struct live *live, struct lookout **ret, struct err *err)
{
    struct lookout *w = mem_alloc(sizeof *w);
    w->io = io;
    w->live = live;
    w->poster = poster_new(io, journal_node(live->journal), &w->stop);
    pthread_mutex_init(&w->lock, NULL);
    *ret = w;
    w->runs = thread_start(&w->thread, run, w);
    return w->runs || err_set(err, ERR_NOMEM, "cannot start the thread of alarms");
}

void lookout_stop(struct lookout *w)
{
    if (!w || !w->runs)
        return;
    w->stop = true;
    pthread_join(w->thread, NULL);
    w->runs = false;
}

void lookout_free(struct lookout **at)
{
    struct lookout *w = *at;
    if (!w)
        return;
    *at = NULL;
    for (size_t i = 0; i < w->n_sources; i++) {
        free(w->sources[i]->name);
        free(w->sources[i]);
    }
    lookout_standing_free(w);
    free(w->sources);
    poster_free(&w->poster);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

bool lookout_source(struct lookout *w, const char *source, struct lookout_source *ret)
{
    pthread_mutex_lock(&w->lock);
    const struct watched *of = lookout_find(w, source);
    if (of)
        *ret = (struct lookout_source){of->per_second, of->rhythm.quiet_us, of->usual_us, of->silent};
    pthread_mutex_unlock(&w->lock);
    return of != NULL;
}

void lookout_posts(struct lookout *w, struct lookout_posts *ret)
{
    *ret = (struct lookout_posts){w->taken, w->failed, w->given_up};
}
