/* What a lane finds when it opens: its segments, and what the last process left at the end of the newest.
 *
 * Only the newest segment can hold a torn write: those before it were closed after a successful sync. So it alone is read
 * through: bytes at its very end that are no entry are cut off; bytes that are no entry but have entries behind them are
 * damage, copied aside and left where they are, for readers to step over. Older segments are looked at by readers and by
 * `events check`. */
#include "journal/lane.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

struct listing {
    uint64_t *firsts;
    size_t n, cap;
};

static void take_name(void *ctx, const char *name)
{
    struct listing *list = ctx;
    uint64_t first;
    if (!segment_name_parse(name, &first))
        return;
    if (list->n == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        list->firsts = mem_grow(list->firsts, list->cap * sizeof *list->firsts);
    }
    list->firsts[list->n++] = first;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool lane_quarantine(struct lane *l, uint64_t first, int fd, uint64_t offset, uint64_t n, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    char path[PATH_BYTES], name[SEGMENT_NAME_MAX];
    segment_name(first, name);
    if (snprintf(path, sizeof path, "%.4200s/%s.%llu.bad", l->dir, name, (unsigned long long)offset) >= (int)sizeof path)
        return err_set(err, ERR_INPUT, "the path of %s is too long", l->dir);
    struct window w;
    window_init(&w, io, fd, 0); /* copied, not judged */
    const char *p = NULL;
    bool cut = false, ok = window_get(&w, offset, (size_t)n, &p, &cut, err);
    size_t have = cut ? window_have(&w, offset) : (size_t)n;
    ok = ok && io_write_file_atomic(io, path, 0600, (struct span){p, have}, err);
    window_release(&w);
    return ok;
}

static bool damage(struct lane *l, uint64_t first, int fd, uint64_t offset, uint64_t n, struct err *err)
{
    atomic_fetch_add(&l->damaged_bytes, n);
    atomic_fetch_add(&l->quarantined, 1);
    return l->journal->opts.readonly || lane_quarantine(l, first, fd, offset, n, err);
}

/* Reads the newest segment through. *ret_end: behind its last good entry; *ret_last: that entry's sequence. */
static bool scan_newest(struct lane *l, int fd, const struct segment *s, uint64_t *ret_end, uint64_t *ret_last,
                        uint64_t *ret_torn, struct err *err)
{
    struct window w;
    uint64_t offset = SEGMENT_HEAD;
    bool ok = true;
    *ret_end = offset;
    *ret_last = s->first - 1;
    *ret_torn = 0;
    window_init(&w, l->journal->opts.io, fd, s->salt);
    for (;;) {
        enum found found;
        struct found_entry e;
        ok = segment_find(&w, offset, &found, &e, err);
        if (!ok || found == FOUND_END)
            break;
        if (found == FOUND_DAMAGE) {
            *ret_torn = e.skipped;
            break;
        }
        if (e.skipped)
            ok = damage(l, s->first, fd, offset, e.skipped, err);
        offset = e.offset + ENTRY_HEAD + e.head.length;
        *ret_end = offset;
        if (e.head.seq > *ret_last)
            *ret_last = e.head.seq;
        if (!ok)
            break;
    }
    window_release(&w);
    return ok;
}

/* Cuts what is too long, and makes the rest durable: a process that died between a write and its sync, or whose sync failed,
 * left entries that only the kernel's memory has, and in the second case no sync would write them any more. They are given out
 * from now on, so they must not go. A segment that is not too long was closed in order. */
static bool settle_tail(struct lane *l, const char *path, uint64_t end, bool longer, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    int fd = io->file->open(io, path, O_RDWR, 0);
    int rc = fd < 0 ? fd : longer ? io->file->truncate(io, fd, end) : io->file->sync(io, fd);
    bool ok = rc < 0 || !longer || io_write_again(io, fd, end, err) || err_prefix(err, "%s", path);
    if (fd >= 0)
        io->file->close(io, fd);
    errno = -rc;
    return rc < 0 ? err_sys(err, ERR_DURABLE, "cannot %s %s", longer ? "cut the torn end of" : "sync", path) : ok;
}

static bool repair_newest(struct lane *l, int fd, const char *path, uint64_t size, struct segment *s, struct err *err)
{
    uint64_t torn, last;
    if (!scan_newest(l, fd, s, &s->bytes, &last, &torn, err))
        return false;
    atomic_fetch_add(&l->torn_bytes, torn);
    /* Room that was taken ahead goes with what is torn. */
    bool longer = size > s->bytes;
    if (!l->journal->opts.readonly && (longer || s->bytes > SEGMENT_HEAD) && !settle_tail(l, path, s->bytes, longer, err))
        return false;
    l->next_seq = last + 1;
    return true;
}

/* Not even a whole head, or nothing but the room that was taken before the head is written. */
static bool is_torn_head(const struct io *io, int fd, uint64_t size)
{
    static const char zeros[4096];
    char block[sizeof zeros];
    if (size <= SEGMENT_HEAD)
        return true;
    for (uint64_t at = 0; at < size; at += sizeof block) {
        size_t n = size - at < sizeof block ? (size_t)(size - at) : sizeof block;
        if (io->file->pread(io, fd, block, n, at) != (ssize_t)n || memcmp(block, zeros, n) != 0)
            return false;
    }
    return true;
}

/* The newest file's creation was torn: nothing in it was ever acknowledged. */
static bool remove_torn(struct lane *l, const char *path, uint64_t size, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    atomic_fetch_add(&l->torn_bytes, size < SEGMENT_HEAD ? size : SEGMENT_HEAD);
    if (l->journal->opts.readonly)
        return true;
    int rc = io->dir->unlink(io, path);
    if (rc == 0)
        rc = io->dir->sync(io, l->dir);
    errno = -rc;
    return rc < 0 ? err_sys(err, ERR_DURABLE, "cannot remove the torn %s", path) : true;
}

/* A damaged head says nothing of the entries behind it, which carry their own checksums: they stay readable. */
static bool replace_head(struct lane *l, uint64_t first, int fd, struct segment_head *h, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    *h = (struct segment_head){.first = first, .created_us = io->world->now_us(io), .salt = l->journal->salt};
    snprintf(h->node, sizeof h->node, "%s", l->journal->node);
    return damage(l, first, fd, 0, SEGMENT_HEAD, err);
}

/* A segment that was closed while its room could not be given back, or whose end was not yet durable when the power went. */
static bool trim_older(struct lane *l, int fd, const char *path, uint64_t size, struct segment *s, struct err *err)
{
    static const char zeros[512];
    char last[512];
    const struct io *io = l->journal->opts.io;
    uint64_t end, sequence, torn;
    if (l->journal->opts.readonly || size < SEGMENT_HEAD + sizeof last ||
        io->file->pread(io, fd, last, sizeof last, size - sizeof last) != (ssize_t)sizeof last ||
        memcmp(last, zeros, sizeof last) != 0)
        return true;
    if (!scan_newest(l, fd, s, &end, &sequence, &torn, err))
        return false;
    if (torn || end == size)
        return true;
    s->bytes = end;
    return settle_tail(l, path, end, true, err);
}

static bool open_segment(struct lane *l, uint64_t first, bool newest, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    char path[PATH_BYTES], head[SEGMENT_HEAD];
    struct segment_head h;
    lane_segment_path(l, first, path);
    int fd = io->file->open(io, path, O_RDONLY, 0);
    if (fd < 0) {
        errno = -fd;
        return err_sys(err, ERR_INPUT, "cannot open %s", path);
    }
    int64_t size = io->file->size(io, fd);
    ssize_t n = io->file->pread(io, fd, head, sizeof head, 0);
    bool ok = true, whole = n == (ssize_t)sizeof head && segment_head_decode(head, &h);
    if (size < 0 || n < 0) {
        errno = (int)(size < 0 ? -size : -n);
        ok = err_sys(err, ERR_INPUT, "cannot read %s", path);
    } else if (newest && !whole && is_torn_head(io, fd, (uint64_t)size)) {
        ok = remove_torn(l, path, (uint64_t)size, err);
    } else if ((whole && h.first == first) || replace_head(l, first, fd, &h, err)) {
        struct segment s = {.first = first, .created_us = h.created_us, .salt = h.salt, .bytes = (uint64_t)size};
        memcpy(s.node, h.node, sizeof s.node);
        ok = newest ? repair_newest(l, fd, path, (uint64_t)size, &s, err)
                    : trim_older(l, fd, path, (uint64_t)size, &s, err);
        if (ok) {
            lane_add_segment_locked(l, &s);
            atomic_fetch_add(&l->total_bytes, s.bytes);
        }
    } else {
        ok = false;
    }
    io->file->close(io, fd);
    return ok;
}

bool lane_recover(struct lane *l, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    struct listing list = {0};
    int rc = io->dir->list(io, l->dir, take_name, &list);
    bool ok = rc >= 0 || (rc == -ENOENT && l->journal->opts.readonly);
    if (!ok) {
        errno = -rc;
        err_sys(err, ERR_INPUT, "cannot list %s", l->dir);
    }
    if (list.n)
        qsort(list.firsts, list.n, sizeof *list.firsts, by_value);
    l->next_seq = 1;
    for (size_t i = 0; ok && i < list.n; i++) {
        size_t before = l->n_segments;
        ok = open_segment(l, list.firsts[i], i + 1 == list.n, err);
        /* The newest was removed: the one before it is read through in its place. What it holds from the removed one's first on
         * was refused (invariant 4 of lane.c). */
        if (ok && i + 1 == list.n && l->n_segments == before && before) {
            uint64_t first = l->segments[before - 1].first;
            atomic_fetch_sub(&l->total_bytes, l->segments[before - 1].bytes);
            l->n_segments--;
            ok = open_segment(l, first, true, err);
            l->next_seq = list.firsts[i];
        }
    }
    free(list.firsts);
    atomic_store(&l->durable, l->next_seq - 1);
    return ok;
}
