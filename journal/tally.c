#include "journal/tally.h"
#include "core/mem.h"
#include <stdlib.h>
#include <string.h>

void tally_init(struct tally *t)
{
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->reading, NULL);
}

void stretches_release(struct stretches *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->list[i].counts);
    free(s->list);
    *s = (struct stretches){0};
}

void tally_release(struct tally *t)
{
    stretches_release(&t->known);
    for (size_t i = 0; i < t->n_names; i++)
        free(t->names[i]);
    free(t->names);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->reading);
}

uint32_t tally_source_locked(struct tally *t, struct span name)
{
    if (t->n_names && span_eqz(name, t->names[t->last_name]))
        return (uint32_t)t->last_name;
    for (t->last_name = 0; t->last_name < t->n_names; t->last_name++) {
        if (span_eqz(name, t->names[t->last_name]))
            return (uint32_t)t->last_name;
    }
    t->names = mem_grow(t->names, (t->n_names + 1) * sizeof *t->names);
    t->names[t->n_names++] = mem_dup_span(name);
    return (uint32_t)t->last_name;
}

static void count(struct stretch *s, uint32_t source, uint64_t received_us)
{
    for (uint32_t i = 0; i < s->n_counts; i++) {
        struct tally_count *c = &s->counts[i];
        if (c->source != source)
            continue;
        c->entries++;
        c->oldest_us = received_us < c->oldest_us ? received_us : c->oldest_us;
        return;
    }
    if (s->n_counts == s->cap_counts) {
        s->cap_counts = s->cap_counts ? 2 * s->cap_counts : 1;
        s->counts = mem_grow(s->counts, s->cap_counts * sizeof *s->counts);
    }
    s->counts[s->n_counts++] = (struct tally_count){source, 1, received_us};
}

static void grow(struct stretches *s, size_t n)
{
    if (n <= s->cap)
        return;
    s->cap = n > 2 * s->cap ? n : 2 * s->cap;
    s->list = mem_grow(s->list, s->cap * sizeof *s->list);
}

void stretches_add(struct stretches *s, uint32_t source, const struct tally_entry *e)
{
    struct stretch *at = s->n ? &s->list[s->n - 1] : NULL;
    if (!at || at->segment != e->segment || at->entries >= STRETCH_ENTRIES || at->bytes >= STRETCH_BYTES) {
        grow(s, s->n + 1);
        at = &s->list[s->n++];
        *at = (struct stretch){.first = e->seq, .segment = e->segment, .offset = e->offset};
    }
    at->last = e->seq;
    at->bytes += e->bytes;
    at->entries++;
    count(at, source, e->received_us);
}

void tally_add_locked(struct tally *t, const struct tally_entry *e)
{
    stretches_add(&t->known, tally_source_locked(t, e->source), e);
    t->next = e->seq + 1;
}

bool tally_prepend_locked(struct tally *t, struct stretches *older, uint64_t from, uint64_t upto)
{
    if (t->from != upto)
        return false;
    if (older->n) {
        grow(&t->known, t->known.n + older->n);
        memmove(t->known.list + older->n, t->known.list, t->known.n * sizeof *t->known.list);
        memcpy(t->known.list, older->list, older->n * sizeof *older->list);
        t->known.n += older->n;
    }
    free(older->list);
    *older = (struct stretches){0};
    t->from = from;
    return true;
}

void tally_forget(struct tally *t, uint64_t seq)
{
    size_t n = 0;
    pthread_mutex_lock(&t->lock);
    /* The last one stays: entries are added to it. */
    while (n + 1 < t->known.n && t->known.list[n].last < seq)
        free(t->known.list[n++].counts);
    if (n) {
        t->known.n -= n;
        memmove(t->known.list, t->known.list + n, t->known.n * sizeof *t->known.list);
        t->from = t->known.list[0].first;
    }
    pthread_mutex_unlock(&t->lock);
}

uint64_t tally_offset(struct tally *t, uint64_t segment, uint64_t seq, uint64_t otherwise)
{
    pthread_mutex_lock(&t->lock);
    size_t low = 0, high = t->known.n; /* the last stretch that begins at or before seq is below `high` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->known.list[middle].first <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    uint64_t offset = high && t->known.list[high - 1].segment == segment ? t->known.list[high - 1].offset : otherwise;
    pthread_mutex_unlock(&t->lock);
    return offset;
}
