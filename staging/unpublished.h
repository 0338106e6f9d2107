/* unpublished: objects that are not among the published ones, although readers of the store may have seen them: recorded, but not
 * yet written down as published (a crash lies between the two, or this very moment), or withdrawn when their range was repeated
 * under another transform. Threads: as struct state. */
#pragma once
#include "staging/state.h"

bool state_unpublished_each(struct state *s, struct span source, bool (*each)(void *ctx, struct span key), void *ctx,
                            struct err *err);
/* The parts that a published joined object (staging/compact.h) came from, with their rows and when each was published, as far as
 * that is still known (else 0). */
bool state_parts_each(struct state *s, struct span joined, bool (*each)(void *ctx, const struct staged_object *part), void *ctx,
                      struct err *err);
