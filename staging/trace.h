/* trace: where an entry stands in staging. Threads: as struct state. */
#pragma once
#include "staging/state.h"

enum staged_stand { STAND_WAITING, STAND_STAGED, STAND_IGNORED, STAND_DEAD };
struct staged_object {
    struct span key; /* of the store */
    uint64_t rows;
};
/* Is the lane's position past seq; which recorded objects' ranges hold it. */
bool trace_entry(struct state *s, struct span source, struct span lane, uint64_t seq, enum staged_stand *ret,
                 bool (*each)(void *ctx, const struct staged_object *o), void *ctx, struct err *err);
