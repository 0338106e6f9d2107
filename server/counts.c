#include "server/counts.h"
#include "core/mem.h"
#include <stdlib.h>

static const char *const outcome_names[OUT_COUNT] = {
    "accepted",       "duplicate", "handshake",    "bad_signature", "expired",     "missing_header", "malformed",
    "cannot_judge",   "too_large", "bad_method",   "bad_request",   "unavailable", "aborted",
};

const char *outcome_name(enum outcome o)
{
    return outcome_names[o];
}

bool outcome_rejects(enum outcome o)
{
    return o != OUT_ACCEPTED && o != OUT_DUPLICATE && o != OUT_HANDSHAKE;
}

void counts_init(struct counts *c, size_t room)
{
    *c = (struct counts){.room = room};
    pthread_mutex_init(&c->lock, NULL);
    c->sources = mem_alloc((room + 1) * sizeof *c->sources);
}

void counts_release(struct counts *c)
{
    if (!c->sources)
        return;
    for (size_t i = 0; i < c->n; i++) {
        free(c->sources[i]->name);
        free(c->sources[i]);
    }
    pthread_mutex_destroy(&c->lock);
    free(c->sources);
    c->sources = NULL;
}

bool counts_slot(struct counts *c, const char *name, size_t *ret)
{
    pthread_mutex_lock(&c->lock);
    size_t i = 0, n = c->n;
    while (i < n && strcmp(c->sources[i]->name, name) != 0)
        i++;
    bool ok = i < n || n < c->room;
    if (ok && i == n) {
        c->sources[i] = mem_alloc(sizeof *c->sources[i]);
        c->sources[i]->name = mem_dup(name);
        atomic_store(&c->n, n + 1);
    }
    pthread_mutex_unlock(&c->lock);
    *ret = i;
    return ok;
}

void counts_arrive(struct counts *c, size_t source)
{
    atomic_fetch_add_explicit(&c->sources[source]->in_flight, 1, memory_order_relaxed);
}

static void finish_locked(struct counts *c, size_t source, enum outcome o, uint64_t now_us)
{
    struct source_counts *live = &c->sources[source]->live;
    live->by_outcome[o]++;
    atomic_fetch_sub_explicit(&c->sources[source]->in_flight, 1, memory_order_relaxed);
    if (outcome_rejects(o)) {
        live->last_rejected_us = now_us;
        live->last_rejected = o;
        if (o >= OUT_BAD_SIGNATURE && o <= OUT_MALFORMED) {
            live->refusing_since_us = live->refusing_since_us ? live->refusing_since_us : now_us;
            live->refused_in_row++;
            live->last_refused = o;
        }
    } else {
        live->last_accepted_us = now_us;
        live->refusing_since_us = live->refused_in_row = 0;
    }
}

void counts_finish(struct counts *c, size_t source, enum outcome o, uint64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    finish_locked(c, source, o, now_us);
    pthread_mutex_unlock(&c->lock);
}

void counts_batch_begin(struct counts *c)
{
    pthread_mutex_lock(&c->lock);
}

void counts_stored(struct counts *c, size_t source, uint64_t seq, uint64_t now_us)
{
    finish_locked(c, source, OUT_ACCEPTED, now_us);
    c->mark = seq;
}

void counts_batch_end(struct counts *c)
{
    pthread_mutex_unlock(&c->lock);
}

void counts_live(struct counts *c, size_t source, struct source_counts *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->sources[source]->live;
    pthread_mutex_unlock(&c->lock);
    ret->in_flight = atomic_load(&c->sources[source]->in_flight);
}

void counts_unknown(struct counts *c)
{
    pthread_mutex_lock(&c->lock);
    c->unknown++;
    pthread_mutex_unlock(&c->lock);
}

size_t counts_books(struct counts *c, struct books *ret, uint64_t *ret_mark)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->n;
    for (size_t i = 0; i < n; i++) {
        const struct source_count *s = c->sources[i];
        struct books *b = &ret[i];
        *b = (struct books){.handshake = s->live.by_outcome[OUT_HANDSHAKE],
                            .duplicate = s->live.by_outcome[OUT_DUPLICATE],
                            .journalled = s->live.by_outcome[OUT_ACCEPTED]};
        for (int o = 0; o < OUT_COUNT; o++) {
            b->received += s->live.by_outcome[o];
            if (outcome_rejects((enum outcome)o))
                b->rejected += s->live.by_outcome[o];
        }
    }
    *ret_mark = c->mark;
    pthread_mutex_unlock(&c->lock);
    return n;
}
