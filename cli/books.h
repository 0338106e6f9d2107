/* books: the account of every request, entry and row of a source, at one moment.
 *
 *   received   = handshake + rejected + duplicate + journalled              (requests at the door, none in flight)
 *   journalled + pages = staged + ignored + dead + waiting + damaged        (entries)
 *   rows staged = rows merged + rows waiting                                (rows)
 * The left and the right sides are counted by different hands: the door's atomics and the journal on the left, the stager's and
 * the merge's transactions on the right; `waiting` is counted by the journal (lane_count).
 * Threads: as the instance. */
#pragma once
#include "cli/instance.h"

struct source_books {
    struct books door;
    uint64_t entries_waiting, damaged;
    uint64_t oldest_waiting_us; /* when the oldest of what waits was received, 0: nothing does */
    uint64_t rows_merged, rows_waiting;
    bool balanced;
};
/* Fills one for each configured source, in order. */
bool books_read(struct instance *in, struct source_books *ret, struct err *err);
