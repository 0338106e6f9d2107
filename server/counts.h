/* counts: what the door did, by source, and the books that follow from it. Private to server/.
 *
 * A request is received when its outcome is known; until then it is in flight. One lock covers the outcomes, so that a
 * snapshot taken at any moment balances: received = handshake + rejected + duplicate + journalled, and `journalled` covers
 * lane events exactly up to `mark`, since the lane completes its tickets in the order of their sequences, without gaps, and
 * nobody but the door appends to it.
 * Threads: any. Life: counts_init -> … -> counts_release. */
#pragma once
#include "server/server.h"
#include <pthread.h>
#include <stdatomic.h>

struct source_count {
    char *name;
    struct source_counts live; /* but in_flight */
    _Atomic uint64_t in_flight;
    struct books written; /* in state.db already, since the start */
};
struct counts {
    pthread_mutex_t lock;
    struct source_count **sources; /* by slot; a source keeps its slot as long as the process lives */
    atomic_size_t n;
    size_t room;
    uint64_t unknown;
    uint64_t mark;
};
void counts_init(struct counts *c, size_t room);
bool counts_slot(struct counts *c, const char *name, size_t *ret); /* a new one where there is none; false: no room */
void counts_release(struct counts *c);
void counts_arrive(struct counts *c, size_t source);
void counts_finish(struct counts *c, size_t source, enum outcome o, uint64_t now_us);
/* Entries of a batch that are durable, in their order: each finishes its request as accepted. */
void counts_batch_begin(struct counts *c);
void counts_stored(struct counts *c, size_t source, uint64_t seq, uint64_t now_us);
void counts_batch_end(struct counts *c);
void counts_live(struct counts *c, size_t source, struct source_counts *ret);
void counts_unknown(struct counts *c);
bool outcome_rejects(enum outcome o);
/* The balanced books since the start, one for each slot, and the mark that `journalled` goes up to. Returns how many; ret has
 * room for all that may be. */
size_t counts_books(struct counts *c, struct books *ret, uint64_t *ret_mark);
