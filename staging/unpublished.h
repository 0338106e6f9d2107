/* unpublished: objects that are not among the published ones, although readers of the store may have seen them: recorded, but not
 * yet written down as published (a crash lies between the two, or this very moment), or withdrawn when their range was repeated
 * under another transform. Threads: as struct state. */
#pragma once
#include "staging/state.h"

/* The parts of a joined object (staging/compact.h), with their rows. */
bool state_parts_each(struct state *s, struct span joined, bool (*each)(void *ctx, struct span part, uint64_t rows), void *ctx,
                      struct err *err);
bool state_unpublished_each(struct state *s, struct span source, bool (*each)(void *ctx, struct span key), void *ctx,
                            struct err *err);
