#include "server/seen.h"
#include "core/mem.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS ((size_t)SEEN_GENERATION * 2)

struct mark {
    struct hash128 key;
    uint64_t until_us; /* 0: empty */
    uint64_t seq;
};
struct generation {
    struct mark *marks; /* SLOTS */
    size_t n;
};
struct seen {
    pthread_mutex_t lock;
    struct generation young, old;
};

struct seen *seen_new(void)
{
    struct seen *s = mem_alloc(sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->young.marks = mem_alloc(SLOTS * sizeof(struct mark));
    s->old.marks = mem_alloc(SLOTS * sizeof(struct mark));
    return s;
}

void seen_free(struct seen **s)
{
    if (!*s)
        return;
    pthread_mutex_destroy(&(*s)->lock);
    free((*s)->young.marks);
    free((*s)->old.marks);
    free(*s);
    *s = NULL;
}

/* The key's slot, or the empty one where it would go: half of the slots are always empty. */
static struct mark *slot_of(const struct generation *g, struct hash128 key)
{
    size_t i = (size_t)key.lo & (SLOTS - 1);
    while (g->marks[i].until_us && (g->marks[i].key.lo != key.lo || g->marks[i].key.hi != key.hi))
        i = (i + 1) & (SLOTS - 1);
    return &g->marks[i];
}

void seen_add(struct seen *s, struct hash128 key, uint64_t until_us, uint64_t seq)
{
    pthread_mutex_lock(&s->lock);
    struct mark *m = slot_of(&s->young, key);
    if (!m->until_us && s->young.n == SEEN_GENERATION) {
        struct generation empty = s->old;
        memset(empty.marks, 0, SLOTS * sizeof *empty.marks);
        empty.n = 0;
        s->old = s->young;
        s->young = empty;
        m = slot_of(&s->young, key);
    }
    s->young.n += !m->until_us;
    m->key = key;
    m->seq = seq;
    if (until_us > m->until_us)
        m->until_us = until_us;
    pthread_mutex_unlock(&s->lock);
}

bool seen_has(struct seen *s, struct hash128 key, uint64_t now_us, uint64_t *ret_seq)
{
    pthread_mutex_lock(&s->lock);
    const struct mark *young = slot_of(&s->young, key), *old = slot_of(&s->old, key);
    const struct mark *m = now_us < young->until_us ? young : old;
    bool has = now_us < m->until_us;
    *ret_seq = m->seq;
    pthread_mutex_unlock(&s->lock);
    return has;
}
