/* lock: one merger per target at a time, in this process or another.
 * Threads: one. Life: lock_take -> lock_release (accepts {-1}). Private to merge. */
#pragma once
#include "core/err.h"

struct target_lock {
    int fd; /* -1: not held */
};
/* Locks `<db>.lock`. Held by another: ERR_TRANSIENT naming the holder. */
bool lock_take(struct target_lock *l, const char *db, struct err *err);
void lock_release(struct target_lock *l);
