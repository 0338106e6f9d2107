/* settled: objects that are known to be merged, so that whoever sets staged rows against merged ones looks at the others alone.
 *
 * An object is settled together with the moment of the target in which it was found merged: an opening of the target and how many
 * commits it had then (_sluice_openings, docs/merge.md). A target that has not come to that moment (an older one put back, a new
 * one, one whose list of merged objects lost something) makes all of it void: then every object counts as not settled.
 * Threads: as struct state. */
#pragma once
#include "staging/state.h"

#define OPENING_MAX 40
struct target_moment {
    char opening[OPENING_MAX]; /* "": none yet */
    uint64_t commits;
};
/* The moment up to which objects are settled. */
bool state_settled(struct state *s, struct target_moment *ret, struct err *err);
/* Published objects, oldest first: those that are not settled, or `all`. Empty `source`: of all; empty `table`: of all. */
bool state_unsettled_each(struct state *s, struct span source, struct span table, bool all,
                          bool (*each)(void *ctx, const struct staged_object *o), void *ctx, struct err *err);
/* Within the caller's transaction: settles one; moves the moment; makes all of it void. */
bool state_settle(struct state *s, struct span key, struct err *err);
bool state_settled_at(struct state *s, const struct target_moment *m, struct err *err);
bool state_settled_void(struct state *s, struct err *err);
