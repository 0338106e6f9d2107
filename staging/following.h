/* following: the configured sources with their transforms, as a sink's thread has them, and how they are replaced while it works.
 *
 * Whoever reloads offers a configuration before the door takes anything for it; the sink looks for one before it transforms an
 * entry that it read, so no entry meets an older source than the one it was taken for. A source that is taken out stays here
 * with its last configuration: what was accepted for it becomes rows. So each offer is taken, in their order, also those that a
 * later one followed at once.
 * Threads: following_offer from any, the rest the sink's. Life: following_open -> … -> following_release.
 * Private to staging. */
#pragma once
#include "staging/cut.h"
#include <stdatomic.h>

struct offer {
    struct offer *next;
    const struct config *config; /* held */
};
struct following {
    struct staged_source *sources; /* those of the configuration, then those that it has no more */
    size_t n;
    _Atomic(struct offer *) offered; /* the newest first */
    struct offer *waiting;           /* the oldest first: taken from there, and not adopted yet */
};
bool following_open(struct following *f, struct state *state, const struct config *c, struct err *err);
void following_release(struct following *f);
void following_offer(struct following *f, const struct config *c);
static inline bool following_offered(const struct following *f)
{
    return f->waiting || atomic_load(&((struct following *)(uintptr_t)f)->offered) != NULL;
}
/* Takes what is offered. Nobody may have a source of before any more. *ret_config: the new one, held by the caller from now on;
 * NULL: nothing was offered. On failure what could not be adopted stands as offered. */
bool following_adopt(struct following *f, struct state *state, const struct config **ret_config, struct err *err);
/* NULL: never had such a source. */
const struct staged_source *following_find(const struct following *f, struct span name);
