/* Readers go forward from segment to segment, beside appends, and step over damage. */
#include "core/pulse.h"
#include "journal/lane.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

struct reader {
    struct lane *lane;
    uint64_t seq;     /* the next one wanted */
    struct window window;
    bool open;
    struct segment segment; /* a copy of the open one */
    uint64_t behind;  /* `first` of the segment behind it, UINT64_MAX: none yet */
    uint64_t offset;
    uint64_t bytes;   /* of the entry before it, that was given out last */
    struct http_header headers[ENTRY_HEADERS_MAX];
};

struct reader *reader_open(struct lane *l, uint64_t seq)
{
    struct reader *r = mem_alloc(sizeof *r);
    r->lane = l;
    r->seq = seq ? seq : 1;
    return r;
}

static void leave_segment(struct reader *r)
{
    if (!r->open)
        return;
    const struct io *io = r->lane->journal->opts.io;
    io->file->close(io, r->window.fd);
    window_release(&r->window);
    r->open = false;
}

void reader_close(struct reader **at)
{
    if (!*at)
        return;
    leave_segment(*at);
    free(*at);
    *at = NULL;
}

/* The segment that holds r->seq, or the first one where that is older than all; false: there is none. Fills r->behind too. */
static bool choose_segment(struct reader *r, struct segment *ret)
{
    struct lane *l = r->lane;
    bool any = false;
    pthread_mutex_lock(&l->lock);
    for (size_t i = l->n_segments; i-- > 0;) {
        if (l->segments[i].first > r->seq && i > 0)
            continue;
        if (l->segments[i].going && i + 1 < l->n_segments)
            i++; /* there always is one behind it */
        *ret = l->segments[i];
        r->behind = i + 1 < l->n_segments ? l->segments[i + 1].first : UINT64_MAX;
        any = true;
        break;
    }
    pthread_mutex_unlock(&l->lock);
    return any;
}

/* *ret_any false: no segment. A segment that was removed meanwhile is looked for again. */
static bool enter_segment(struct reader *r, bool *ret_any, struct err *err)
{
    const struct io *io = r->lane->journal->opts.io;
    for (int tries = 0;; tries++) {
        char path[PATH_BYTES];
        *ret_any = choose_segment(r, &r->segment);
        if (!*ret_any)
            return true;
        lane_segment_path(r->lane, r->segment.first, path);
        int fd = io->file->open(io, path, O_RDONLY | O_DIRECT, 0); /* it is read once, and was not written through the cache */
        if (fd == -EINVAL)
            fd = io->file->open(io, path, O_RDONLY, 0);
        if (fd == -ENOENT && tries < 100)
            continue;
        if (fd < 0) {
            errno = -fd;
            return err_sys(err, ERR_INPUT, "cannot open %s", path);
        }
        window_init(&r->window, io, fd, r->segment.salt);
        r->open = true;
        r->offset = tally_offset(&r->lane->tally, r->segment.first, r->seq, SEGMENT_HEAD);
        r->window.limit = 0; /* looked at before it is used */
        if (r->seq < r->segment.first)
            r->seq = r->segment.first;
        return true;
    }
}

/* How far the segment is durable now: what lies behind is still being written. */
static void look_at_end(struct reader *r)
{
    struct lane *l = r->lane;
    pthread_mutex_lock(&l->lock);
    for (size_t i = l->n_segments; i-- > 0;) {
        if (l->segments[i].first == r->segment.first) {
            r->window.limit = l->segments[i].bytes;
            break;
        }
    }
    pthread_mutex_unlock(&l->lock);
}

/* Whether the reader stands before the end of its segment: nothing of the segment behind it is wanted yet. */
static bool segment_over(struct reader *r)
{
    struct lane *l = r->lane;
    if (r->behind == UINT64_MAX) {
        pthread_mutex_lock(&l->lock);
        for (size_t i = l->n_segments; i-- > 0 && l->segments[i].first > r->segment.first;)
            r->behind = l->segments[i].first;
        pthread_mutex_unlock(&l->lock);
    }
    return r->seq >= r->behind;
}

static bool decode(struct reader *r, const struct found_entry *found, struct entry *ret)
{
    struct entry e = {.seq = found->head.seq,
                      .received_us = found->head.received_us,
                      .node = span_of(r->segment.node),
                      .lane = span_of(lane_name(r->lane->id))};
    if (!entry_decode((struct span){found->fields, found->head.length}, r->headers, &e, NULL))
        return false;
    *ret = e;
    return true;
}

/* Goes on behind the damage, if meanwhile there is more of the segment; else behind the segment: the damage took the rest of what
 * is durable. */
static void skip_rest(struct reader *r, uint64_t durable)
{
    uint64_t limit = r->window.limit;
    look_at_end(r);
    if (r->window.limit > limit)
        return;
    r->seq = segment_over(r) || r->behind != UINT64_MAX ? r->behind : durable + 1;
    leave_segment(r);
}

static void count_damage(struct reader *r, uint64_t bytes, uint64_t *ret_damage)
{
    atomic_fetch_add(&r->lane->damaged_bytes, bytes);
    if (ret_damage)
        *ret_damage += bytes;
}

void reader_place(const struct reader *r, uint64_t *ret_segment, uint64_t *ret_offset, uint64_t *ret_bytes)
{
    *ret_segment = r->segment.first;
    *ret_offset = r->offset - r->bytes;
    *ret_bytes = r->bytes;
}

bool reader_next(struct reader *r, struct entry *ret, bool *ret_any, uint64_t *ret_damage, struct err *err)
{
    if (ret_damage)
        *ret_damage = 0;
    pulse_beat();
    for (;;) {
        uint64_t durable = lane_durable(r->lane);
        bool any = true;
        *ret_any = false;
        if (r->seq > durable)
            return true;
        if (!r->open && !enter_segment(r, &any, err))
            return false;
        if (!any || r->seq > durable)
            return true;
        if (segment_over(r)) {
            leave_segment(r);
            continue;
        }
        if (r->offset >= r->window.limit)
            look_at_end(r);
        enum found found;
        struct found_entry e;
        if (!segment_find(&r->window, r->offset, &found, &e, err))
            return false;
        if (e.skipped)
            count_damage(r, e.skipped, ret_damage);
        if (found != FOUND_ENTRY) {
            skip_rest(r, durable);
            continue;
        }
        r->bytes = ENTRY_HEAD + e.head.length;
        r->offset = e.offset + r->bytes;
        if (e.head.seq < r->seq)
            continue;
        r->seq = e.head.seq; /* later than asked for, where damage took what was */
        if (segment_over(r)) {
            r->seq = r->behind; /* this one was refused, and with it all that follow here */
            continue;
        }
        r->seq++;
        *ret_any = decode(r, &e, ret);
        if (*ret_any)
            return true;
        count_damage(r, ENTRY_HEAD + e.head.length, ret_damage);
    }
}
