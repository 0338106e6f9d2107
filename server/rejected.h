/* rejected: the last requests of each source that verification refused, so that `sluice verify SOURCE --last-rejected` can
 * tell a wrong secret from an altered body, a clock or a URL.
 *
 * They are kept in memory, a queue for each source of at most `keep_max` requests and REJECTED_BYTES_MAX bytes, the oldest going
 * first; of a body at most REJECTED_BODY_MAX bytes. What comes in has its credentials blanked already.
 * Keeping one is a copy into one block of memory and a short lock: a flood of forgeries writes nothing. The files,
 * <data_dir>/rejected/<source>.json (mode 0600, a JSON list of records, the newest first: server/record.h), are written by
 * rejected_write, each as a whole and atomically: at once after a quiet time, and then not before the time in which
 * REJECTED_BYTES_PER_S would have written as much, so that a flood costs the disk no more than that. A crash loses what was not
 * written yet, which is evidence, never a delivery.
 * At the start the files are read back; one that cannot be read is told in the warnings and replaced by the next write. With
 * keep_max 0 nothing is kept, and files of an earlier time are removed.
 * Threads: rejected_keep and rejected_newest from any; rejected_write from one at a time. Locks are leaves, one for each source.
 * Life: rejected_open -> … -> rejected_close (writes nothing: call rejected_write with `all` before). */
#pragma once
#include "server/record.h"

#define REJECTED_BODY_MAX ((size_t)64 << 10)
#define REJECTED_BYTES_MAX ((size_t)4 << 20)
#define REJECTED_BYTES_PER_S ((uint64_t)16 << 10)
#define REJECTED_FILE_MAX ((size_t)32 << 20) /* no list of so many bytes is longer as JSON */

struct rejected;
struct rejected_opts {
    const struct io *io;
    const char *data_dir;
    const char *const *names; /* of the sources; copied */
    size_t n_names, room; /* for names that come later, too */
    uint32_t keep_max;
};
/* Never fails: what could not be read is one line each in `warnings`. */
struct rejected *rejected_open(const struct rejected_opts *o, struct buf *warnings);
void rejected_close(struct rejected **r);
/* One more source, whose place is the next one free; nothing where it is there already. By one thread at a time. */
void rejected_add(struct rejected *r, size_t source, const char *name, struct buf *warnings);
bool rejected_keeps(const struct rejected *r); /* whether any is kept at all */
/* Copies the record; a body that is too long is cut, with its length noted. Without memory it is not kept. */
void rejected_keep(struct rejected *r, size_t source, const struct record *record);
/* Writes the files that are due (all: those that changed). On failure goes on with the others; they are tried again. */
bool rejected_write(struct rejected *r, bool all, struct err *err);
/* Appends a JSON list of the newest `max` requests, the newest first, one a line. Returns how many. */
size_t rejected_newest(struct rejected *r, size_t source, size_t max, struct buf *out);
/* The same from the file, without a server. A file that is not there reads as an empty list. */
bool rejected_read_file(const struct io *io, const char *data_dir, const char *source, size_t max, struct buf *out, size_t *ret_n,
                        struct err *err);
