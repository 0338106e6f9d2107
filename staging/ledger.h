/* ledger: the transactions around a cut in state.db. Private to staging.
 *
 *   recorded:  cuts has the lane's range, objects the names that may exist in the store from now on (published 0)
 *   published: objects published 1, position, books, dead letters and ignored entries follow in the same transaction
 *   withdrawn: what the range's earlier transform may have stored, removed from the store by then (published 2)
 * Whatever name of an unpublished range can exist in the store is in objects, so a repetition under other names can
 * remove the earlier ones.
 * Threads: as struct state. */
#pragma once
#include "staging/cut.h"
#include "staging/state.h"

/* A recorded range that was not published. */
bool ledger_pending(struct state *s, const char *lane, uint64_t *ret_first, uint64_t *ret_last, bool *ret_found, struct err *err);
/* Records the sealed cut. Calls stale for each earlier name of this range that the cut does not have. */
bool ledger_record(struct state *s, const struct cut *c, uint64_t first, uint64_t last, struct err *err);
bool ledger_stale(struct state *s, const struct cut *c, uint64_t first, bool (*each)(void *ctx, const char *key, struct err *err),
                  void *ctx, struct err *err);
/* A lane's cut: its position moves to last + 1. */
bool ledger_publish(struct state *s, const struct cut *c, uint64_t first, uint64_t last, uint64_t lost, uint64_t now_us,
                    struct err *err);
/* A replay of one entry: its dead letters are replaced, the books corrected. `entry` is its id. */
bool ledger_replayed(struct state *s, const struct cut *c, struct span source, struct span entry, uint64_t now_us,
                     struct err *err);
/* A replay of many entries: their rows are counted; dead letters stay as they are. */
bool ledger_replayed_range(struct state *s, const struct cut *c, uint64_t now_us, struct err *err);
/* Forgets objects and ignored entries of the lane whose entries are below `first` and old. */
bool ledger_forget(struct state *s, const char *lane, uint64_t first, uint64_t before_us, struct err *err);
