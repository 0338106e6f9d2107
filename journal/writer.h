/* writer: the open segment's bytes on their way to the disk. Private to journal/.
 *
 * Room is taken ahead in steps, and whole blocks are written past the page cache where the file system allows it: so a sync has
 * little else to write, and a commit costs a fraction of the processor time. The last block is written again with what comes
 * behind it: the bytes that were durable in it are written with the values that they have, so a torn write cannot harm them.
 * Behind the end there are zeros, until the segment is closed.
 * Threads: the lane's committer. Life: writer_init -> (writer_begin -> writer_append, writer_sync … -> writer_close |
 * writer_cut)* -> writer_release. */
#pragma once
#include "core/err.h"
#include "core/io.h"

#define WRITE_ALIGN ((size_t)4096) /* what O_DIRECT wants on any disk */
#define ROOM_BYTES (UINT64_C(4) << 20) /* taken ahead at a time */

struct writer {
    const struct io *io;
    int fd;             /* -1: no segment is open */
    uint64_t end;       /* of what is durable */
    uint64_t written;   /* of what was appended; beyond `end` until the next sync */
    uint64_t segment_bytes;
    uint64_t allocated; /* the file's room; UINT64_MAX: it cannot be taken ahead */
    char *block;        /* begins with the last, partial block */
    char *zeros;        /* behind it, in the same memory */
    size_t tail;        /* bytes of it */
};
/* segment_bytes: no more room is taken ahead than a segment of this size uses. */
bool writer_init(struct writer *w, const struct io *io, uint64_t segment_bytes, struct err *err);
void writer_release(struct writer *w);
/* Creates the file, or empties it; its first bytes and nothing else are durable then (its name is the caller's to sync). */
bool writer_begin(struct writer *w, const char *path, struct span head, struct err *err);
bool writer_append(struct writer *w, struct span bytes, struct err *err);
/* 0: everything appended is durable. A negative errno: nothing more may be appended, writer_cut. */
int writer_sync(struct writer *w);
/* Ends the file behind what is durable and closes it. */
void writer_close(struct writer *w);
/* The same after a failure: durably, as far as that goes. */
void writer_cut(struct writer *w);
