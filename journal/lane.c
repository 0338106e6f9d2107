/* A lane: appends on one side, the committer on the other, readers beside both.
 *
 * Invariants
 *  1. Sequences are dense: every acknowledged entry has the sequence after the one acknowledged before it.
 *  2. A ticket completes without error only after an fdatasync that covers all of its bytes returned 0.
 *  3. Bytes are only ever added to the end of the one open segment; no byte that was durable is written with another value.
 *  4. A segment's entries have sequences from its `first` up to, not including, the `first` of the segment behind it. What stands
 *     in it beyond that was refused, and no reader gives it out.
 *  5. After a write or a sync failed, the segment is cut back to its durable end and closed; every waiting ticket fails; the next
 *     entry takes the sequence after the last durable one, in a new segment. A failed sync is never repeated as if it could
 *     succeed.
 *  6. `durable` only grows, and is published after the sync and before the tickets complete: who was told can read.
 *
 *      filling ──swap──▶ committing ──write, sync──▶ durable ──▶ tickets done
 *         ▲                   │ failure
 *         └─ sequences again ─┴──▶ cut back, close ──▶ both batches' tickets fail
 */
#include "journal/lane.h"
#include "core/wait.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const char *lane_name(enum lane_id id)
{
    static const char *const names[LANE_COUNT] = {"events", "backfill"};
    return names[id];
}

void lane_segment_path(const struct lane *l, uint64_t first, char out[PATH_BYTES])
{
    char name[SEGMENT_NAME_MAX];
    segment_name(first, name);
    if (snprintf(out, PATH_BYTES, "%.4300s/%s", l->dir, name) >= PATH_BYTES)
        out[PATH_BYTES - 1] = 0;
}

void lane_add_segment_locked(struct lane *l, const struct segment *s)
{
    if (l->n_segments && l->segments[l->n_segments - 1].first == s->first) {
        l->segments[l->n_segments - 1] = *s; /* an empty one is made anew */
        return;
    }
    if (l->n_segments == l->cap_segments) {
        l->cap_segments = l->cap_segments ? 2 * l->cap_segments : 16;
        l->segments = mem_grow(l->segments, l->cap_segments * sizeof *l->segments);
    }
    l->segments[l->n_segments++] = *s;
}

#define ENTRY_MORE 4096u /* of an entry, beside its body, for the limits */
#define AHEAD_BYTES (LANE_COUNT * ROOM_BYTES)

/* Whether the reserve would be touched: by what the lanes take ahead, and by what waits beyond that. The disk is looked at again
 * when a while has passed, or a part of what may be taken ahead has come in. */
static bool disk_full_locked(struct lane *l, uint64_t bytes)
{
    const struct journal_opts *o = &l->journal->opts;
    uint64_t now = o->io->world->monotonic_us(o->io);
    uint64_t waiting = l->batches[l->filling].bytes.n + (l->committing ? l->taken_bytes : 0) + bytes;
    if (!o->reserve_bytes)
        return false;
    if (!l->looked_us || now - l->looked_us >= SPACE_LOOK_US || l->since_look >= SPACE_LOOK_BYTES) {
        int64_t left = o->io->dir->free_bytes(o->io, l->dir);
        l->looked_us = now;
        l->left = left < 0 ? UINT64_MAX : (uint64_t)left;
        l->since_look = 0;
    }
    return l->left < o->reserve_bytes + (waiting > AHEAD_BYTES ? waiting : AHEAD_BYTES);
}

/* Looks at the limits, at the disk now and then. */
static bool has_room_locked(struct lane *l, uint64_t bytes, struct err *err)
{
    const struct journal_opts *o = &l->journal->opts;
    uint64_t total = 0;
    for (int i = 0; i < LANE_COUNT; i++)
        total += atomic_load(&l->journal->lanes[i].total_bytes);
    if (disk_full_locked(l, bytes))
        return err_set(err, ERR_FULL, "the disk has less than the reserve of %llu bytes free",
                       (unsigned long long)o->reserve_bytes);
    if (o->bytes_max && total + l->batches[l->filling].bytes.n + bytes > o->bytes_max)
        return err_set(err, ERR_FULL, "the journal has reached its limit of %llu bytes", (unsigned long long)o->bytes_max);
    return true;
}

static bool encode_locked(struct lane *l, struct batch *b, const struct entry *e, struct err *err)
{
    static const char blank[ENTRY_HEAD];
    size_t start = b->bytes.n;
    buf_add(&b->bytes, blank, ENTRY_HEAD);
    entry_encode(e, &b->bytes);
    size_t whole = b->bytes.n - start;
    bool large = l->journal->opts.entry_bytes_max && whole > l->journal->opts.entry_bytes_max;
    if (buf_ok(&b->bytes) && !large) {
        entry_head_encode(b->bytes.p + start, whole, l->next_seq, e->received_us, l->journal->salt);
        return true;
    }
    bool full = !buf_ok(&b->bytes);
    b->bytes.failed = false;
    b->bytes.n = start;
    if (large)
        return err_set(err, ERR_INPUT, "an entry of %zu bytes is larger than the journal takes (%u)", whole,
                       l->journal->opts.entry_bytes_max);
    return err_set(err, ERR_FULL, full && start ? "the disk does not keep up with what is coming in" : "no memory for an entry");
}

/* `alone`: the batch with this one ticket is the caller's to commit (*ret_mine), where that is possible. */
static bool append(struct lane *l, const struct entry *e, struct ticket *t, bool alone, struct batch **ret_mine, struct err *err)
{
    pthread_mutex_lock(&l->lock);
    struct batch *b = &l->batches[l->filling];
    uint64_t bytes = e->message.body.n + ENTRY_MORE;
    bool ok = !l->closing || err_set(err, ERR_DURABLE, "the journal is closing");
    if (ok) {
        ok = has_room_locked(l, bytes, err);
        l->refused_bytes = ok ? 0 : bytes;
    }
    ok = ok && encode_locked(l, b, e, err);
    if (ok) {
        l->since_look += bytes;
        if (b->last < b->first)
            b->first = l->next_seq;
        b->last = t->seq = l->next_seq++;
        t->next = NULL;
        *b->tail = t;
        b->tail = &t->next;
        if (alone && !l->committing && b->head == t)
            *ret_mine = lane_take_batch_locked(l);
        else if (!l->committing)
            pthread_cond_signal(&l->work);
    }
    pthread_mutex_unlock(&l->lock);
    return ok;
}

bool lane_append(struct lane *l, const struct entry *e, struct ticket *t, struct err *err)
{
    return append(l, e, t, false, NULL, err);
}

bool lane_append_alone(struct lane *l, const struct entry *e, struct ticket *t, struct err *err)
{
    struct batch *mine = NULL;
    bool ok = append(l, e, t, true, &mine, err);
    if (mine)
        lane_commit_batch(l, mine);
    return ok;
}

bool lane_trouble(struct lane *l, char *ret_words, size_t n)
{
    const struct io *io = l->journal->opts.io;
    struct err err = {0};
    pthread_mutex_lock(&l->lock);
    bool bad = l->failure.cls != ERR_NONE && io->world->monotonic_us(io) - l->failed_us < LANE_FAILING_US;
    if (bad)
        err = l->failure;
    else
        bad = !has_room_locked(l, l->refused_bytes > LANE_ROOM ? l->refused_bytes : LANE_ROOM, &err);
    pthread_mutex_unlock(&l->lock);
    if (bad)
        snprintf(ret_words, n, "%s", err.msg);
    return bad;
}

void lane_listen(struct lane *l, const struct lane_listener *listener)
{
    pthread_mutex_lock(&l->lock);
    l->listener = listener ? *listener : (struct lane_listener){0};
    pthread_mutex_unlock(&l->lock);
}

struct waiter {
    struct ticket ticket;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done, ok;
    struct err err;
};

static void wake_waiter(struct ticket *t, const struct err *err)
{
    struct waiter *w = (struct waiter *)(void *)t; /* the ticket is its first member */
    pthread_mutex_lock(&w->lock);
    w->ok = !err;
    if (err)
        w->err = *err;
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

bool lane_append_wait(struct lane *l, const struct entry *e, uint64_t *ret_seq, struct err *err)
{
    struct waiter w = {.ticket = {.done = wake_waiter}, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    if (!lane_append(l, e, &w.ticket, err))
        return false;
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.cond);
    if (!w.ok) {
        if (err)
            *err = w.err;
        return false;
    }
    if (ret_seq)
        *ret_seq = w.ticket.seq;
    return true;
}

uint64_t lane_first(const struct lane *cl)
{
    struct lane *l = (struct lane *)(uintptr_t)cl;
    pthread_mutex_lock(&l->lock);
    uint64_t first = l->n_segments ? l->segments[0].first : atomic_load(&l->durable) + 1; /* not next_seq: it runs ahead */
    pthread_mutex_unlock(&l->lock);
    return first;
}

uint64_t lane_durable(const struct lane *l)
{
    return atomic_load(&((struct lane *)(uintptr_t)l)->durable);
}

bool lane_wait(struct lane *l, uint64_t seq, uint64_t timeout_us)
{
    struct timespec until = wait_until(timeout_us);
    pthread_mutex_lock(&l->lock);
    int rc = 0;
    while (atomic_load(&l->durable) <= seq && !l->closing && rc == 0)
        rc = pthread_cond_timedwait(&l->durable_moved, &l->lock, &until);
    pthread_mutex_unlock(&l->lock);
    return atomic_load(&l->durable) > seq;
}

bool lane_remove(struct lane *l, uint64_t seq, uint64_t before_us, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    bool removed = false;
    for (;;) {
        char path[PATH_BYTES];
        pthread_mutex_lock(&l->lock);
        /* All entries of a segment are older than the segment behind it. */
        bool go = l->n_segments > 1 && l->segments[1].first <= seq && l->segments[1].created_us <= before_us;
        struct segment s = go ? l->segments[0] : (struct segment){0};
        if (go)
            l->segments[0].going = true;
        pthread_mutex_unlock(&l->lock);
        if (!go)
            break;
        lane_segment_path(l, s.first, path);
        int rc = io->dir->unlink(io, path);
        if (rc < 0 && rc != -ENOENT) {
            pthread_mutex_lock(&l->lock);
            l->segments[0].going = false;
            pthread_mutex_unlock(&l->lock);
            errno = -rc;
            return err_sys(err, ERR_DURABLE, "cannot remove %s", path);
        }
        pthread_mutex_lock(&l->lock);
        l->n_segments--;
        memmove(l->segments, l->segments + 1, l->n_segments * sizeof *l->segments);
        atomic_fetch_sub(&l->total_bytes, s.bytes);
        pthread_mutex_unlock(&l->lock);
        removed = true;
    }
    int rc = removed ? io->dir->sync(io, l->dir) : 0;
    errno = -rc;
    return rc < 0 ? err_sys(err, ERR_DURABLE, "cannot sync %s", l->dir) : true;
}
