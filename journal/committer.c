/* Committing: the lane's committer, or a thread that has the lane for itself, writes, syncs and tells. One at a time, to the end
 * of the telling, so that tickets complete in the order of their sequences. See lane.c for what must hold. */
#include "journal/lane.h"
#include "core/thread.h"
#include <errno.h>
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
    struct err why = {0};
    bool ok = writer_begin(&l->writer, path, (struct span){head, sizeof head}, &why);
    int rc = ok ? io->dir->sync(io, l->dir) : 0;
    if (!ok || rc < 0) {
        writer_cut(&l->writer);
        return ok ? fail(err, rc, "sync", l->dir) : err_set(err, ERR_DURABLE, "%s: %s", path, why.msg);
    }
    pthread_mutex_lock(&l->lock);
    lane_add_segment_locked(l, &s);
    pthread_mutex_unlock(&l->lock);
    atomic_fetch_add(&l->total_bytes, SEGMENT_HEAD);
    return true;
}

static bool commit(struct lane *l, struct batch *b, struct err *err)
{
    struct writer *w = &l->writer;
    if (w->fd >= 0 && w->end > SEGMENT_HEAD && w->end + b->bytes.n > l->journal->opts.segment_bytes)
        writer_close(w);
    if (w->fd < 0 && !begin_segment(l, b->first, err))
        return false;
    int rc = 0;
    bool ok = writer_append(w, buf_span(&b->bytes), err) && (rc = writer_sync(w)) == 0;
    if (ok)
        return true;
    /* Invariant 5. Whether the cut works or not, the segment behind it begins with the same sequence: what is left is refused. */
    writer_cut(w);
    return rc < 0 ? fail(err, rc, "sync the journal lane", lane_name(l->id))
                  : err_prefix(err, "journal lane %s", lane_name(l->id));
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

/* The tally takes what it counts from the bytes that are on the disk now. */
static void count_batch_locked(struct lane *l, const struct batch *b)
{
    struct tally_entry e = {.segment = l->segments[l->n_segments - 1].first, .offset = l->writer.end - b->bytes.n};
    for (size_t at = 0; at < b->bytes.n; at += (size_t)e.bytes) {
        struct entry_head head;
        if (!entry_head_decode(b->bytes.p + at, &head))
            break;
        e.bytes = ENTRY_HEAD + head.length;
        e.source = entry_source((struct span){b->bytes.p + at + ENTRY_HEAD, head.length});
        e.seq = head.seq;
        e.received_us = head.received_us;
        tally_add_locked(&l->tally, &e);
        e.offset += e.bytes;
    }
}

static void settle(struct lane *l, struct batch *b, bool ok, const struct err *err)
{
    struct ticket *done, *also = NULL;
    /* What is durable is counted, and what is counted is durable, for whoever looks. */
    pthread_mutex_lock(&l->tally.lock);
    if (ok)
        count_batch_locked(l, b);
    pthread_mutex_lock(&l->lock);
    struct lane_listener listener = l->listener;
    if (ok) {
        l->segments[l->n_segments - 1].bytes = l->writer.end;
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
    pthread_cond_broadcast(&l->durable_moved);
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_unlock(&l->tally.lock);
    if (listener.before)
        listener.before(listener.ctx);
    complete(done, ok ? NULL : err);
    complete(also, err);
    if (listener.after)
        listener.after(listener.ctx);
}

struct batch *lane_take_batch_locked(struct lane *l)
{
    struct batch *b = &l->batches[l->filling];
    l->filling = !l->filling;
    l->committing = true;
    l->taken_bytes = b->bytes.n;
    return b;
}

void lane_commit_batch(struct lane *l, struct batch *b)
{
    const struct io *io = l->journal->opts.io;
    struct err err = {0};
    uint64_t began = io->world->monotonic_us(io);
    bool ok = commit(l, b, &err);
    uint64_t now = io->world->monotonic_us(io);
    atomic_fetch_add(&l->commits, 1);
    atomic_fetch_add(&l->commit_us, now - began);
    histogram_observe(&l->journal->commit_times, now - began);
    settle(l, b, ok, &err);
    pthread_mutex_lock(&l->lock);
    l->committing = false;
    if (l->batches[l->filling].head || l->closing)
        pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
}

/* NULL: closing, and nothing is left. */
static struct batch *next_batch(struct lane *l)
{
    struct batch *b = NULL;
    pthread_mutex_lock(&l->lock);
    while (l->committing || (!l->batches[l->filling].head && !l->closing))
        pthread_cond_wait(&l->work, &l->lock);
    if (l->batches[l->filling].head)
        b = lane_take_batch_locked(l);
    pthread_mutex_unlock(&l->lock);
    return b;
}

void *lane_commit_loop(void *arg)
{
    struct lane *l = arg;
    struct batch *b;
    thread_name(l->id == LANE_EVENTS ? "commit-events" : "commit-backfill");
    while ((b = next_batch(l)))
        lane_commit_batch(l, b);
    writer_close(&l->writer);
    return NULL;
}

bool lane_moves(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    uint64_t commits = atomic_load(&l->commits);
    bool waits = l->committing || l->batches[l->filling].head;
    bool moves = !waits || commits != l->commits_seen;
    l->commits_seen = commits;
    pthread_mutex_unlock(&l->lock);
    return moves;
}
