/* archive: segments of the journal as objects, for as long as the store keeps them. Private to staging, but for its names.
 *
 *   _archive/<lane>/<node>.<lane>.<first>-<last>.<from>-<until>.seg.zst
 *
 * holds the bytes of one sealed segment (docs/formats.md), compressed; sequences have 20 digits, from and until are the
 * microseconds between which its entries were received. A segment stays in the journal until its object is there; a store that is
 * down fills the journal, and nothing is lost. Names and bytes follow from the segment, so that a repetition changes nothing.
 * Threads: as the stager's. */
#pragma once
#include "journal/journal.h"
#include "staging/state.h"
#include "staging/store.h"

#define ARCHIVE_PREFIX "_archive/"

struct archive_name {
    struct span node, lane;
    uint64_t first, last, from_us, until_us;
};
void archive_name_write(struct buf *out, const struct archive_name *n);
bool archive_name_parse(struct span key, struct archive_name *ret); /* borrows key */

struct archiving {
    struct store *store;
    struct state *state;
    const char *node;
    struct lane *lane;
    const char *name; /* the lane's */
    uint64_t *next;   /* the lowest sequence that is not archived; 0: loaded from state.db */
};
/* Archives one segment that was not. *ret_any false: there was none. */
bool archive_next(struct archiving *a, bool *ret_any, struct err *err);
/* The lowest sequence of the lane that is not archived. */
bool archive_position(struct state *s, const char *lane, uint64_t *ret, struct err *err);
