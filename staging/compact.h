/* compact: joins the small objects of a quiet table and day. Private to staging.
 *
 *   recorded   the joined object's name is in `objects`, published 0
 *   written    it is in the store; no reader takes it yet
 *   switched   the folder's manifest lists it with its parts: readers take it in their stead
 *   published  one transaction: it is published 1, its parts are 3 and in `joins`
 *   removed    later by `compact`, for readers that had listed the parts before: they leave the store, published 4
 * A crash between recorded and switched leaves an object that nobody takes, which the next run removes; one behind switched is
 * published by the next run, from the manifest. Only objects of this node are joined, so nobody else switches them.
 * Threads: as the stager's. */
#pragma once
#include "staging/internal.h"

/* One step of it; where nothing is to be joined (any more), only what a crash left. *ret_worked is only ever set. */
bool compact_step(struct stager *s, bool *ret_worked, struct err *err);
