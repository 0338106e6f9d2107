#include "journal/lane.h"
#include <errno.h>
#include <fcntl.h>

static bool check_segment(struct lane *l, const struct segment *s, uint64_t behind, uint64_t durable,
                          void (*each)(void *ctx, const struct damage *d), void *ctx, uint64_t *entries, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    char path[PATH_BYTES], name[SEGMENT_NAME_MAX], head[SEGMENT_HEAD];
    struct segment_head h;
    uint64_t offset = SEGMENT_HEAD, expect = s->first;
    lane_segment_path(l, s->first, path);
    segment_name(s->first, name);
    int fd = io->file->open(io, path, O_RDONLY, 0);
    if (fd == -ENOENT)
        return true; /* removed meanwhile */
    if (fd < 0) {
        errno = -fd;
        return err_sys(err, ERR_INPUT, "cannot open %s", path);
    }
    struct window w;
    window_init(&w, io, fd, s->salt);
    w.limit = s->bytes;
    if (io->file->pread(io, fd, head, sizeof head, 0) != (ssize_t)sizeof head || !segment_head_decode(head, &h))
        each(ctx, &(struct damage){name, 0, SEGMENT_HEAD, "the segment's head is damaged"});
    bool ok = true, told_of_end = false;
    for (;;) {
        enum found found;
        struct found_entry e;
        ok = segment_find(&w, offset, &found, &e, err);
        if (!ok || found == FOUND_END)
            break;
        bool refused = found == FOUND_ENTRY && (e.head.seq >= behind || e.head.seq > durable);
        /* What lies behind the last durable entry is a write under way, or was refused: no damage. */
        if (e.skipped && (found == FOUND_ENTRY || expect <= durable) && expect < behind) {
            each(ctx, &(struct damage){name, offset, e.skipped, "no entry with a good checksum"});
            told_of_end = found == FOUND_DAMAGE;
        }
        if (found == FOUND_DAMAGE || refused)
            break;
        offset = e.offset + ENTRY_HEAD + e.head.length;
        expect = e.head.seq + 1;
        ++*entries;
    }
    if (ok && !told_of_end && expect < behind && (behind != UINT64_MAX || expect <= durable))
        each(ctx, &(struct damage){name, offset, 0, "entries are missing at the segment's end"});
    window_release(&w);
    io->file->close(io, fd);
    return ok;
}

bool lane_check(struct lane *l, void (*each)(void *ctx, const struct damage *d), void *ctx, uint64_t *ret_entries,
                struct err *err)
{
    uint64_t entries = 0;
    for (uint64_t from = 0;;) {
        struct segment s = {0};
        uint64_t behind = UINT64_MAX, durable = lane_durable(l); /* before the segment's end is looked at */
        bool any = false;
        pthread_mutex_lock(&l->lock);
        for (size_t i = 0; i < l->n_segments && !any; i++)
            if (l->segments[i].first >= from) {
                s = l->segments[i];
                behind = i + 1 < l->n_segments ? l->segments[i + 1].first : UINT64_MAX;
                any = true;
            }
        pthread_mutex_unlock(&l->lock);
        if (!any)
            break;
        if (!check_segment(l, &s, behind, durable, each, ctx, &entries, err))
            return false;
        from = s.first + 1;
    }
    *ret_entries = entries;
    return true;
}
