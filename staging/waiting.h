/* waiting: entries of the journal past the staging positions, counted by source. Reads what waits, so it costs as much as
 * the backlog is long. Threads: as struct state. */
#pragma once
#include "journal/journal.h"
#include "staging/state.h"

struct waiting {
    struct span source;
    uint64_t entries;
    uint64_t oldest_us; /* receive time of the oldest */
};
/* Calls each for every configured source, also with 0 entries, then for sources that only the journal knows. */
bool stager_waiting(struct journal *j, struct state *s, const struct config *c, void (*each)(void *ctx, const struct waiting *w),
                    void *ctx, struct err *err);
