/* deliveries: the last deliveries of each source: when, what became of it, how large, how long it took, and its entry.
 *
 * A ring of `keep_max` places for each source, in memory. Noting one is an addition and six plain stores, without a lock and
 * without memory of its own: what an event's id and type are stands in its entry, and is read from the journal by who looks.
 * The files, <data_dir>/deliveries/<source>.json (mode 0600, a JSON list, the oldest first), are written as those of rejected
 * requests are (server/rejected.h): as a whole, atomically, paced by DELIVERIES_BYTES_PER_S. A crash loses what was not written
 * yet from the list; the events themselves are in the journal. At the start the files are read back; one that cannot be read is
 * told and replaced.
 * Threads: deliveries_note and deliveries_newest from any; deliveries_write and deliveries_add from one at a time.
 * Life: deliveries_open -> deliveries_add* -> … -> deliveries_close (writes nothing). */
#pragma once
#include "server/server.h"

#define DELIVERIES_BYTES_PER_S ((uint64_t)64 << 10)
#define DELIVERIES_FILE_MAX ((size_t)64 << 20)

struct deliveries;
struct deliveries *deliveries_open(const struct io *io, const char *data_dir, size_t room, uint32_t keep_max);
void deliveries_close(struct deliveries **d);
/* The source of this slot; nothing where it is there already. Slots come in their order. */
void deliveries_add(struct deliveries *d, size_t slot, const char *name, struct buf *warnings);
void deliveries_note(struct deliveries *d, size_t slot, const struct delivery_mark *m);
size_t deliveries_newest(const struct deliveries *d, size_t slot, struct delivery_mark *ret, size_t max);
/* Writes the files that are due (all: those that changed). On failure goes on with the others; they are tried again. */
bool deliveries_write(struct deliveries *d, bool all, struct err *err);
/* The newest first, from the file, without a server. A file that is not there reads as an empty list. */
bool deliveries_read_file(const struct io *io, const char *data_dir, const char *source, struct delivery_mark *ret, size_t max,
                          size_t *ret_n, struct err *err);
