#include "journal/writer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)512 << 10)

#define SMALL_BYTES ((size_t)64 << 10)       /* of an append: below, room is filled with zeros */
#define SMALL_ROOM_BYTES (UINT64_C(1) << 20) /* taken ahead for such ones */
#define FILL_BYTES ((size_t)128 << 10)

static size_t align_up(size_t n)
{
    return (n + WRITE_ALIGN - 1) & ~(WRITE_ALIGN - 1);
}

static bool fail(struct err *err, int rc, const char *what)
{
    errno = -rc;
    return err_sys(err, ERR_DURABLE, "cannot %s", what);
}

bool writer_init(struct writer *w, const struct io *io, uint64_t segment_bytes, struct err *err)
{
    *w = (struct writer){.io = io, .fd = -1, .segment_bytes = segment_bytes};
    w->block = aligned_alloc(WRITE_ALIGN, BLOCK_BYTES + FILL_BYTES);
    w->zeros = w->block ? w->block + BLOCK_BYTES : NULL;
    return w->block || err_set(err, ERR_NOMEM, "no memory for the journal's writer");
}

void writer_release(struct writer *w)
{
    writer_close(w);
    free(w->block);
    w->block = NULL;
}

/* Whole blocks at a place that is one's beginning. */
static int put_blocks(struct writer *w, const char *p, size_t n, uint64_t offset)
{
    for (bool again = true; n;) {
        ssize_t k = w->io->file->pwrite(w->io, w->fd, p, n, offset);
        if (k == -EINTR)
            continue;
        if (k < 0)
            return (int)k;
        size_t whole = (size_t)k & ~(WRITE_ALIGN - 1); /* goes on where a block begins */
        if (!whole && !again)
            return -ENOSPC;
        again = whole > 0;
        p += whole;
        n -= whole;
        offset += whole;
    }
    return 0;
}

/* The first write to a block has to be entered in the file system's own journal with its sync; one to a block of zeros has not.
 * That halves the time of a small commit, and would only double the bytes of large ones. */
static void fill_room(struct writer *w, uint64_t from, uint64_t upto)
{
    memset(w->zeros, 0, FILL_BYTES);
    for (; from + FILL_BYTES <= upto; from += FILL_BYTES)
        if (put_blocks(w, w->zeros, FILL_BYTES, from) < 0)
            return; /* what is written next will tell */
}

/* Room for what is to be written. Where it cannot be had ahead, the write itself will tell. */
static void take_room(struct writer *w, uint64_t upto, bool small)
{
    if (upto <= w->allocated)
        return;
    uint64_t from = w->allocated, more = small ? SMALL_ROOM_BYTES : ROOM_BYTES;
    uint64_t left = w->segment_bytes > upto ? align_up(w->segment_bytes - upto) : 0;
    uint64_t n = align_up(upto - from) + (more < left ? more : left);
    int rc = w->io->file->allocate(w->io, w->fd, from, n);
    if (rc == -EOPNOTSUPP || rc == -ENOSYS)
        w->allocated = UINT64_MAX;
    if (rc < 0)
        return;
    w->allocated += n;
    if (small)
        fill_room(w, align_up(from), w->allocated);
}

static int append(struct writer *w, struct span bytes)
{
    uint64_t at = w->written - w->tail;
    size_t have = w->tail;
    take_room(w, w->written + bytes.n + WRITE_ALIGN, bytes.n < SMALL_BYTES);
    for (struct span left = bytes; left.n;) {
        size_t n = left.n < BLOCK_BYTES - have ? left.n : BLOCK_BYTES - have;
        memcpy(w->block + have, left.p, n);
        left = span_skip(left, n);
        have += n;
        size_t whole = align_up(have);
        memset(w->block + have, 0, whole - have);
        if (left.n && have < BLOCK_BYTES)
            continue;
        int rc = put_blocks(w, w->block, whole, at);
        if (rc < 0)
            return rc;
        size_t full = have & ~(WRITE_ALIGN - 1);
        memmove(w->block, w->block + full, have - full);
        at += full;
        have -= full;
    }
    w->written += bytes.n;
    w->tail = have;
    return 0;
}

bool writer_append(struct writer *w, struct span bytes, struct err *err)
{
    int rc = append(w, bytes);
    return rc == 0 || fail(err, rc, "write");
}

int writer_sync(struct writer *w)
{
    int rc = w->io->file->sync(w->io, w->fd);
    if (rc == 0)
        w->end = w->written;
    return rc;
}

static int begin(struct writer *w, const char *path, struct span head, int how)
{
    w->fd = w->io->file->open(w->io, path, O_RDWR | O_CREAT | O_TRUNC | how, 0600);
    w->end = w->written = w->allocated = 0;
    w->tail = 0;
    int rc = w->fd < 0 ? w->fd : append(w, head);
    if (rc == 0)
        rc = writer_sync(w);
    if (rc < 0 && w->fd >= 0)
        w->io->file->close(w->io, w->fd);
    if (rc < 0)
        w->fd = -1;
    return rc;
}

bool writer_begin(struct writer *w, const char *path, struct span head, struct err *err)
{
    int rc = begin(w, path, head, O_DIRECT);
    if (rc == -EINVAL) /* a file system that knows no way past the page cache */
        rc = begin(w, path, head, 0);
    return rc == 0 || fail(err, rc, "create");
}

void writer_close(struct writer *w)
{
    if (w->fd < 0)
        return;
    (void)w->io->file->truncate(w->io, w->fd, w->end);
    w->io->file->close(w->io, w->fd);
    w->fd = -1;
}

void writer_cut(struct writer *w)
{
    if (w->fd < 0)
        return;
    if (w->io->file->truncate(w->io, w->fd, w->end) == 0)
        w->io->file->sync(w->io, w->fd);
    w->io->file->close(w->io, w->fd);
    w->fd = -1;
}
