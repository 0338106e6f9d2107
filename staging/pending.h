/* pending: objects whose names are recorded but which are not yet written down as published. Readers of the store may see them
 * already: a crash lies between the two, or this very moment. Threads: as struct state. */
#pragma once
#include "staging/state.h"

bool state_pending_each(struct state *s, struct span source, bool (*each)(void *ctx, const struct staged_object *o), void *ctx,
                        struct err *err);
