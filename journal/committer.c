/* The committer: the one thread of a lane that writes. See lane.c for what must hold. */
#include "journal/lane.h"
#include "core/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static bool fail(struct err *err, int rc, const char *what, const char *path)
{
    errno = rc < 0 ? -rc : ENOSPC;
    return err_sys(err, ERR_DURABLE, "cannot %s %s", what, path);
}

/* A new segment whose head and name are durable before an entry goes into it. */
static bool begin_segment(struct lane *l, uint64_t first, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    char path[PATH_BYTES], head[SEGMENT_HEAD];
    struct segment s = {
        .first = first, .created_us = io->world->now_us(io), .salt = l->journal->salt, .bytes = SEGMENT_HEAD};
    struct segment_head h = {.first = first, .created_us = s.created_us, .salt = s.salt};
    snprintf(s.node, sizeof s.node, "%s", l->journal->node);
    snprintf(h.node, sizeof h.node, "%s", l->journal->node);
    snprintf(h.lane, sizeof h.lane, "%s", lane_name(l->id));
    segment_head_encode(&h, head);
    lane_segment_path(l, first, path);
    int fd = io->file->open(io, path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if (fd < 0)
        return fail(err, fd, "create", path);
    struct err why = {0};
    bool ok = io_write_all(io, fd, head, sizeof head, &why);
    int rc = ok ? io->file->sync(io, fd) : 0;
    if (ok && rc == 0)
        rc = io->dir->sync(io, l->dir);
    if (!ok || rc < 0) {
        io->file->close(io, fd);
        return ok ? fail(err, rc, "sync", path) : err_set(err, ERR_DURABLE, "%s: %s", path, why.msg);
    }
    pthread_mutex_lock(&l->lock);
    lane_add_segment_locked(l, &s);
    pthread_mutex_unlock(&l->lock);
    atomic_fetch_add(&l->total_bytes, SEGMENT_HEAD);
    l->fd = fd;
    l->end = SEGMENT_HEAD;
    return true;
}

static void close_segment(struct lane *l)
{
    const struct io *io = l->journal->opts.io;
    if (l->fd >= 0)
        io->file->close(io, l->fd);
    l->fd = -1;
}

/* Invariant 5. Whether the cut works or not, the segment behind it begins with the same sequence, so what is left is refused. */
static void poison_segment(struct lane *l)
{
    const struct io *io = l->journal->opts.io;
    if (l->fd < 0)
        return;
    if (io->file->truncate(io, l->fd, l->end) == 0)
        io->file->sync(io, l->fd);
    close_segment(l);
}

static bool commit(struct lane *l, struct batch *b, struct err *err)
{
    const struct io *io = l->journal->opts.io;
    if (l->fd >= 0 && l->end > SEGMENT_HEAD && l->end + b->bytes.n > l->journal->opts.segment_bytes)
        close_segment(l);
    if (l->fd < 0 && !begin_segment(l, b->first, err))
        return false;
    if (!io_write_all(io, l->fd, b->bytes.p, b->bytes.n, err)) {
        poison_segment(l);
        return err_prefix(err, "journal lane %s", lane_name(l->id));
    }
    int rc = io->file->sync(io, l->fd);
    if (rc < 0) {
        poison_segment(l);
        return fail(err, rc, "sync the journal lane", lane_name(l->id));
    }
    l->end += b->bytes.n;
    return true;
}

static struct ticket *take_tickets(struct batch *b)
{
    struct ticket *head = b->head;
    b->head = NULL;
    b->tail = &b->head;
    buf_clear(&b->bytes);
    b->first = 1;
    b->last = 0;
    return head;
}

static void complete(struct ticket *t, const struct err *err)
{
    while (t) {
        struct ticket *next = t->next; /* done may let the ticket go */
        t->done(t, err);
        t = next;
    }
}

static void settle(struct lane *l, struct batch *b, bool ok, const struct err *err)
{
    struct ticket *done, *also = NULL;
    pthread_mutex_lock(&l->lock);
    struct lane_listener listener = l->listener;
    if (ok) {
        l->segments[l->n_segments - 1].bytes = l->end;
        atomic_fetch_add(&l->total_bytes, b->bytes.n);
        atomic_store(&l->durable, b->last);
    } else {
        /* What was appended meanwhile has sequences that would leave a gap: it fails too, and its senders try again. */
        also = take_tickets(&l->batches[l->filling]);
        l->next_seq = atomic_load(&l->durable) + 1;
        l->failed_us = l->journal->opts.io->world->monotonic_us(l->journal->opts.io);
        l->looked_us = 0;
    }
    l->failure = ok ? (struct err){0} : *err;
    done = take_tickets(b);
    l->committing = false;
    pthread_cond_broadcast(&l->durable_moved);
    pthread_mutex_unlock(&l->lock);
    if (listener.before)
        listener.before(listener.ctx);
    complete(done, ok ? NULL : err);
    complete(also, err);
    if (listener.after)
        listener.after(listener.ctx);
}

/* Swaps the batches when there is work; false: closing and nothing left. */
static bool next_batch(struct lane *l, struct batch **ret)
{
    pthread_mutex_lock(&l->lock);
    while (!l->batches[l->filling].head && !l->closing)
        pthread_cond_wait(&l->work, &l->lock);
    bool any = l->batches[l->filling].head != NULL;
    if (any) {
        *ret = &l->batches[l->filling];
        l->filling = !l->filling;
        l->committing = true;
    }
    pthread_mutex_unlock(&l->lock);
    return any;
}

void *lane_commit_loop(void *arg)
{
    struct lane *l = arg;
    const struct io *io = l->journal->opts.io;
    struct batch *b;
    thread_name(l->id == LANE_EVENTS ? "commit-events" : "commit-backfill");
    while (next_batch(l, &b)) {
        struct err err = {0};
        uint64_t began = io->world->monotonic_us(io);
        bool ok = commit(l, b, &err);
        uint64_t now = io->world->monotonic_us(io);
        atomic_fetch_add(&l->commits, 1);
        atomic_fetch_add(&l->commit_us, now - began);
        histogram_observe(&l->journal->commit_times, now - began);
        settle(l, b, ok, &err);
    }
    close_segment(l);
    return NULL;
}
