/* pages: the books' count of pulled pages, taken from the journal itself rather than from the puller's word.
 * Threads: as struct state. */
#pragma once
#include "journal/journal.h"
#include "staging/state.h"

/* Pages of lane backfill above this sequence are not in books.pages yet. */
bool state_pages_mark(struct state *s, uint64_t *ret_seq, struct err *err);
/* Counts what is durable now into books.pages, by source, and moves the mark, in one transaction. Must be called before segments
 * that hold uncounted pages are removed. */
bool state_pages_count(struct state *s, struct journal *j, const struct config *c, struct err *err);
