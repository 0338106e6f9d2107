/* Counting what a lane holds behind a sequence: from the tally, which learns first what it does not know. */
#include "journal/lane.h"
#include <stdlib.h>

/* Reads what is older than all that the tally knows, from seq on. Meanwhile others append and count. */
static bool read_older(struct lane *l, uint64_t seq, struct err *err)
{
    struct tally *t = &l->tally;
    struct stretches older = {0};
    pthread_mutex_lock(&t->lock);
    uint64_t upto = t->from;
    pthread_mutex_unlock(&t->lock);
    if (seq >= upto)
        return true;
    struct reader *r = reader_open(l, seq);
    struct entry e;
    bool ok = true, any = true;
    while (ok && (ok = reader_next(r, &e, &any, NULL, err)) && any && e.seq < upto) {
        struct tally_entry told = {.seq = e.seq, .received_us = e.received_us};
        reader_place(r, &told.segment, &told.offset, &told.bytes);
        pthread_mutex_lock(&t->lock);
        uint32_t source = tally_source_locked(t, e.source);
        pthread_mutex_unlock(&t->lock);
        stretches_add(&older, source, &told);
    }
    reader_close(&r);
    pthread_mutex_lock(&t->lock);
    ok = ok && (tally_prepend_locked(t, &older, seq, upto) || true); /* what was forgotten meanwhile is read by the next look */
    pthread_mutex_unlock(&t->lock);
    stretches_release(&older);
    return ok;
}

struct sum { /* of what is behind one of the sequences */
    char **names;                  /* the tally's, as they were then */
    uint64_t *entries, *oldest_us; /* by the source's place */
    size_t n;
    uint64_t from, upto; /* of a stretch that begins before the sequence: what is to be read; from > upto: nothing */
};

static void add(struct sum *s, uint32_t source, uint64_t entries, uint64_t oldest_us)
{
    s->entries[source] += entries;
    if (!s->oldest_us[source] || oldest_us < s->oldest_us[source])
        s->oldest_us[source] = oldest_us;
}

static void sum_locked(const struct tally *t, uint64_t from, struct sum *ret)
{
    ret->n = t->n_names;
    ret->names = mem_alloc((ret->n + 1) * sizeof *ret->names);
    for (size_t i = 0; i < ret->n; i++)
        ret->names[i] = t->names[i];
    ret->entries = mem_alloc((2 * ret->n + 1) * sizeof *ret->entries);
    ret->oldest_us = ret->entries + ret->n;
    ret->from = 1;
    ret->upto = 0;
    for (size_t i = t->known.n; i-- > 0 && t->known.list[i].last >= from;) {
        const struct stretch *s = &t->known.list[i];
        for (uint32_t k = 0; s->first >= from && k < s->n_counts; k++)
            add(ret, s->counts[k].source, s->counts[k].entries, s->counts[k].oldest_us);
        if (s->first < from) {
            ret->from = from;
            ret->upto = s->last;
        }
    }
}

static bool read_stretch(struct lane *l, struct sum *s, struct err *err)
{
    struct entry e;
    bool ok = true, any = true;
    if (s->from > s->upto)
        return true;
    struct reader *r = reader_open(l, s->from);
    while (ok && (ok = reader_next(r, &e, &any, NULL, err)) && any && e.seq <= s->upto) {
        pthread_mutex_lock(&l->tally.lock);
        uint32_t source = tally_source_locked(&l->tally, e.source);
        pthread_mutex_unlock(&l->tally.lock);
        if (source < s->n)
            add(s, source, 1, e.received_us);
    }
    reader_close(&r);
    return ok;
}

bool lane_count(struct lane *l, const uint64_t from[2], void (*each)(void *ctx, const struct lane_counted *c), void *ctx,
                struct err *err)
{
    struct tally *t = &l->tally;
    struct sum sums[2];
    uint64_t least = from[0] < from[1] ? from[0] : from[1], first = lane_first(l);
    bool known = false, ok = true;
    least = least > first ? least : first; /* what is not there any more is not counted */
    while (ok && !known) {
        pthread_mutex_lock(&t->reading);
        ok = read_older(l, least, err);
        pthread_mutex_unlock(&t->reading);
        pthread_mutex_lock(&t->lock);
        known = ok && t->from <= least;
        for (int i = 0; known && i < 2; i++)
            sum_locked(t, from[i] > first ? from[i] : first, &sums[i]);
        pthread_mutex_unlock(&t->lock);
    }
    if (!ok)
        return false;
    ok = read_stretch(l, &sums[0], err) && read_stretch(l, &sums[1], err);
    for (size_t i = 0; ok && i < sums[0].n; i++) {
        struct lane_counted c = {.source = span_of(sums[0].names[i])};
        for (int k = 0; k < 2; k++) {
            c.entries[k] = sums[k].entries[i];
            c.oldest_us[k] = sums[k].oldest_us[i];
        }
        if (c.entries[0] || c.entries[1])
            each(ctx, &c);
    }
    for (int k = 0; k < 2; k++) {
        free(sums[k].entries);
        free(sums[k].names);
    }
    return ok;
}

void lane_count_forget(struct lane *l, uint64_t seq)
{
    tally_forget(&l->tally, seq);
}
