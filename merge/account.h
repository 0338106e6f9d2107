/* account: staged rows against merged rows, object by object: the last line of the books.
 * Threads: as struct tables and struct state. */
#pragma once
#include "merge/tables.h"
#include "staging/state.h"

/* Notes in state.db which published objects the target holds, so that the calls below look at the others alone: they tell the
 * same whether that was done or not (staging/settled.h). A transaction for every so many objects. */
bool account_settle(struct tables *t, struct state *s, struct err *err);
/* Whether the target holds this object's rows. */
bool account_is_merged(struct tables *t, struct span object, bool *ret, struct err *err);
/* When the oldest published object of this table that is not merged yet was published; 0: there is none. */
bool account_oldest(struct tables *t, struct state *s, struct span source, struct span table, uint64_t *ret_us, struct err *err);
/* Of one source: rows of published objects that are not merged yet, and rows merged of published objects. What was merged of an
 * object before it was written down as published is not counted until it is; of one that was withdrawn, never: its entries were
 * staged again under another name, and their rows took its rows' place. */
bool account_rows(struct tables *t, struct state *s, struct span source, uint64_t *ret_waiting, uint64_t *ret_merged,
                  struct err *err);
