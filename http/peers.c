#include "http/peers.h"
#include "core/codec.h"
#include "core/mem.h"
#include <pthread.h>
#include <stdlib.h>

#define PLACES_MAX ((size_t)1 << 17)

struct peer {
    struct peer *next;
    struct address group;
    uint32_t open;
};
struct peers {
    pthread_mutex_t lock;
    struct peer **chains; /* guarded by lock */
    size_t mask;
    uint32_t most;
    uint64_t salt;
};

struct peers *peers_new(uint32_t most, size_t places, uint64_t salt)
{
    struct peers *p = mem_alloc(sizeof *p);
    size_t n = 64;
    while (n < places && n < PLACES_MAX)
        n *= 2;
    *p = (struct peers){.chains = mem_alloc(n * sizeof(struct peer *)), .mask = n - 1, .most = most, .salt = salt};
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

void peers_free(struct peers **at)
{
    struct peers *p = *at;
    if (!p)
        return;
    for (size_t i = 0; i <= p->mask; i++)
        for (struct peer *e = p->chains[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    free(p->chains);
    pthread_mutex_destroy(&p->lock);
    free(p);
    *at = NULL;
}

/* Where the pointer to it is, or to NULL at the chain's end. */
static struct peer **find_locked(struct peers *p, const struct address *group)
{
    uint64_t h = hash64_seeded(span_make(group->b, sizeof group->b), p->salt);
    struct peer **at = &p->chains[h & p->mask];
    while (*at && memcmp(&(*at)->group, group, sizeof *group) != 0)
        at = &(*at)->next;
    return at;
}

bool peers_full(struct peers *p, const struct address *a)
{
    struct address group = address_group(a);
    if (!p->most)
        return false;
    pthread_mutex_lock(&p->lock);
    const struct peer *e = *find_locked(p, &group);
    bool full = e && e->open >= p->most;
    pthread_mutex_unlock(&p->lock);
    return full;
}

static bool enter(struct peers *p, const struct address *a, uint32_t most)
{
    struct address group = address_group(a);
    pthread_mutex_lock(&p->lock);
    struct peer **at = find_locked(p, &group);
    if (!*at && (*at = calloc(1, sizeof **at)))
        (*at)->group = group;
    bool in = *at && (*at)->open < most;
    if (in)
        (*at)->open++;
    pthread_mutex_unlock(&p->lock);
    return in;
}

bool peers_enter(struct peers *p, const struct address *a)
{
    return p->most && enter(p, a, UINT32_MAX);
}

bool peers_try(struct peers *p, const struct address *a)
{
    return p->most && enter(p, a, p->most);
}

void peers_leave(struct peers *p, const struct address *a)
{
    struct address group = address_group(a);
    pthread_mutex_lock(&p->lock);
    struct peer **at = find_locked(p, &group), *e = *at;
    if (e && --e->open == 0) {
        *at = e->next;
        free(e);
    }
    pthread_mutex_unlock(&p->lock);
}

uint32_t peers_most(const struct peers *p)
{
    return p->most;
}
