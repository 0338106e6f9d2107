/* What stands: each alarm is raised once and cleared once, in state.db first. */
#include "cli/lookout_internal.h"
#include <stdio.h>
#include <stdlib.h>

static void standing_free(struct standing *s)
{
    free(s->source);
    free(s->subject);
    free(s->cause);
}

static struct standing *standing_find(struct lookout *w, enum alarm_kind kind, const char *source, const char *subject)
{
    for (size_t i = 0; i < w->n_standing; i++) {
        struct standing *s = &w->standing[i];
        if (s->kind == kind && strcmp(s->source, source) == 0 && strcmp(s->subject, subject) == 0)
            return s;
    }
    return NULL;
}

static struct standing *standing_add(struct lookout *w, enum alarm_kind kind, struct span source, struct span subject,
                                     struct span cause)
{
    w->standing = mem_grow(w->standing, (w->n_standing + 1) * sizeof *w->standing);
    struct standing *s = &w->standing[w->n_standing++];
    *s = (struct standing){.kind = kind,
                           .source = mem_dup_span(source),
                           .subject = mem_dup_span(subject),
                           .cause = mem_dup_span(cause),
                           .marked = true};
    return s;
}

static bool load_standing(void *ctx, const struct alarm *a)
{
    struct lookout *w = ctx;
    for (int k = 0; k < ALARM_KINDS; k++)
        if (span_eqz(a->kind, alarm_kind_name((enum alarm_kind)k)))
            standing_add(w, (enum alarm_kind)k, a->source, a->subject, a->cause);
    return true;
}

bool lookout_load_standing(struct lookout *w, struct err *err)
{
    return ledger_each(w->state, true, load_standing, w, err);
}

bool lookout_stands(struct lookout *w, enum alarm_kind kind, const char *source, const char *subject)
{
    return standing_find(w, kind, source, subject) != NULL;
}

void lookout_standing_free(struct lookout *w)
{
    for (size_t i = 0; i < w->n_standing; i++)
        standing_free(&w->standing[i]);
    free(w->standing);
}

/* The id of a message: NULL where nothing is posted. */
static const char *new_message(struct lookout *w, char out[40])
{
    unsigned char random[12] = {0};
    struct buf hex;
    if (!w->in->config->alarms_post.at)
        return NULL;
    buf_init(&hex, 64);
    w->io->world->random(w->io, random, sizeof random);
    hex_encode(&hex, span_make(random, sizeof random));
    snprintf(out, 40, "alarm_%s", buf_z(&hex));
    buf_release(&hex);
    return out;
}

/* It is so: raised, unless it stands; then only other words count. */
bool lookout_raise(struct lookout *w, enum alarm_kind kind, const char *source, const char *subject, const char *cause,
                 const char *next, struct err *err)
{
    struct standing *s = standing_find(w, kind, source, subject);
    const struct watched *of = lookout_find(w, source);
    char message[40];
    bool is_new = false;
    if (s)
        s->marked = true;
    if (s && (kind != ALARM_DRIFT || strcmp(s->cause, cause) == 0)) /* numbers that grow are no news */
        return true;
    struct alarm a = {span_of(alarm_kind_name(kind)), span_of(source), span_of(subject), span_of(cause), span_of(next),
                      w->now_us, 0};
    if ((of && !lookout_remember(w, of, err)) || !ledger_raise(w->state, &a, new_message(w, message), &is_new, err))
        return false;
    if (!s)
        s = standing_add(w, kind, a.source, a.subject, a.cause);
    free(s->cause);
    s->cause = mem_dup(cause);
    log_warn(is_new ? "an alarm is raised" : "an alarm has other words", "kind=%s source=%s subject=%s cause=\"%s\" next=\"%s\"",
             alarm_kind_name(kind), source, subject, cause, next);
    return true;
}

static bool clear_alarm(struct lookout *w, struct standing *s, struct err *err)
{
    static const char *const over[ALARM_KINDS] = {
        "deliveries come again", "deliveries are verified again", "the endpoint is as it was registered",
        "the old secret verifies nothing any more, or is at its end", "the sink has caught up"};
    struct alarm a = {span_of(alarm_kind_name(s->kind)), span_of(s->source), span_of(s->subject), span_of(over[s->kind]),
                      {"", 0}, 0, 0};
    struct watched *of = lookout_find(w, s->source);
    char message[40];
    bool was = false, missed = s->kind == ALARM_SILENT || s->kind == ALARM_REJECTING || s->kind == ALARM_DRIFT;
    if (missed && of && !lookout_catch_up(w, of, over[s->kind], err)) /* first: a crash in between orders it once more */
        return false;
    if ((of && !lookout_remember(w, of, err)) || !ledger_clear(w->state, &a, w->now_us, new_message(w, message), &was, err))
        return false;
    log_info("an alarm is cleared", "kind=%s source=%s subject=%s", alarm_kind_name(s->kind), s->source, s->subject);
    return true;
}

static bool is_fast(enum alarm_kind k)
{
    return k == ALARM_SILENT || k == ALARM_REJECTING;
}

/* What stands and was not found so at this look is over. */
bool lookout_sweep(struct lookout *w, struct err *err)
{
    size_t kept = 0;
    bool ok = true;
    for (size_t i = 0; i < w->n_standing; i++) {
        struct standing *s = &w->standing[i];
        bool over = ok && !s->marked && (w->slow || is_fast(s->kind));
        ok = ok && (!over || clear_alarm(w, s, err));
        if (over && ok) {
            standing_free(s);
            continue;
        }
        s->marked = s->marked && !w->slow && !is_fast(s->kind); /* it has to be found anew */
        w->standing[kept++] = *s;
    }
    w->n_standing = kept;
    return ok;
}
