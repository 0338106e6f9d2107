/* books: writing the books and the dead letters. Private to staging; reading is in state.h.
 * Threads: as struct state. */
#pragma once
#include "staging/state.h"

/* A transaction of its own, or the caller's where one is open. */
bool state_tx_begin(struct state *s, bool *ret_own, struct err *err);
bool state_tx_end(struct state *s, bool own, bool ok, struct err *err); /* commits, or rolls back when not ok */
/* Adds every counter of d, modulo 2^64. Within the caller's transaction. */
bool books_sum(struct state *s, struct span source, const struct books *d, struct err *err);
/* alone: the entry gave no row. A letter of the same entry, table and item is replaced. */
bool dead_put(struct state *s, const struct dead_letter *d, bool alone, struct err *err);
