/* stager: the object sink: a journal consumer that turns entries into staged objects, exactly once.
 *
 * For each lane: read from the committed position, transform, collect rows by (source, table, date). When the cut is
 * large enough or old enough, (1) the range, the transforms' fingerprints and the objects' names are recorded in
 * state.db, (2) the objects are committed to the store, (3) the position, the books and the dead letters are
 * committed in one transaction. A crash between (1) and (3) repeats exactly the recorded range; if a transform
 * changed in between, the objects of the old name go first. A crash before (1) leaves nothing.
 * An entry of a source that the configuration does not have becomes a dead letter, so that it holds nobody up.
 * Memory: bounded by a fixed share for each open (source, table, date), compressed a block at a time.
 * Threads: one stager runs (or drains) per data directory, in one thread; stager_stop, stager_cut_now and stager_trouble from
 * any. Further stagers, made only for stager_retry_dead, may exist beside it.
 * Life: stager_new -> stager_run -> stager_free. */
#pragma once
#include "journal/journal.h"
#include "staging/state.h"
#include "staging/store.h"
#include "transforms/transform.h"

struct stager;
struct stager_opts {
    const struct config *config;
    struct journal *journal;
    struct store *store;
    const char *data_dir;
    const struct io *io;
    void (*published)(void *ctx); /* after each cut: wake the merge; any thread rule of the callee's; may be NULL */
    void *published_ctx;
};
bool stager_new(const struct stager_opts *o, struct stager **ret, struct err *err);
void stager_free(struct stager **s);
/* From now on with this configuration, which it holds: a running stager takes it up before the next entry. Any thread. */
void stager_follow(struct stager *s, const struct config *c);
/* Asks a running stager to cut what it has read, whatever its age. Any thread. */
void stager_cut_now(struct stager *s);
/* Works until everything durable now is staged (cuts at the end whatever its age). */
bool stager_drain(struct stager *s, struct err *err);
/* Follows the journal until stager_stop; failures of store or state are retried with backoff and shown by stager_trouble. */
void stager_run(struct stager *s);
void stager_stop(struct stager *s);
/* Whether stager_run went on since the last call, tried something again included; asked by one thread. */
bool stager_moves(struct stager *s);
/* Much is waiting to be staged: what can wait should leave it the processors. Any thread. */
bool stager_is_busy(const struct stager *s);
/* The last failure's words and since when, or false: healthy. */
bool stager_trouble(struct stager *s, char *ret_words, size_t n, uint64_t *ret_since_us);
/* Runs the dead letter's entry through the transform again (id 0: of every letter of the source); its letters are replaced
 * by those that it gives now, its rows staged under a replay object name. Counts entries: fixed gave no failure any more,
 * still gave some, or is no longer in the journal. */
bool stager_retry_dead(struct stager *s, struct span source, int64_t id, uint64_t *ret_fixed, uint64_t *ret_still,
                       struct err *err);
