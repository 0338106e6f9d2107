/* trace: where an entry stands in staging. Threads: as struct state. */
#pragma once
#include "staging/state.h"

enum staged_stand { STAND_WAITING, STAND_STAGED, STAND_IGNORED, STAND_DEAD };
/* Is the lane's position past seq; which published objects' ranges hold it (an object of the range need not hold a row of this
 * entry: of the tables that it could be in, these are all). STAND_DEAD: it gave dead letters and no row. */
bool trace_entry(struct state *s, struct span source, struct span lane, uint64_t seq, enum staged_stand *ret,
                 bool (*each)(void *ctx, const struct staged_object *o), void *ctx, struct err *err);
