#include "journal/lane.h"
#include "core/thread.h"
#include "core/wait.h"
#include <stdio.h>
#include <stdlib.h>

static bool lane_open(struct journal *j, enum lane_id id, struct err *err)
{
    struct lane *l = &j->lanes[id];
    l->journal = j;
    l->id = id;
    l->writer.fd = -1;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    wait_cond_init(&l->durable_moved);
    tally_init(&l->tally);
    for (int i = 0; i < 2; i++) {
        buf_init(&l->batches[i].bytes, BATCH_BYTES_MAX + j->opts.entry_bytes_max);
        l->batches[i].tail = &l->batches[i].head;
        l->batches[i].first = 1;
    }
    if (snprintf(l->dir, sizeof l->dir, "%.4200s/%s", j->dir, lane_name(id)) >= (int)sizeof l->dir)
        return err_set(err, ERR_CONFIG, "the path %s is too long", j->dir);
    if (!j->opts.readonly && (!io_mkdirs(j->opts.io, l->dir, 0700, err) ||
                              !writer_init(&l->writer, j->opts.io, j->opts.segment_bytes, err)))
        return false;
    bool ok = lane_recover(l, err);
    l->tally.from = l->tally.next = l->next_seq;
    return ok;
}

static bool lane_start(struct lane *l, struct err *err)
{
    l->running = thread_start(&l->committer, lane_commit_loop, l);
    return l->running || err_set(err, ERR_NOMEM, "cannot start the committer of lane %s", lane_name(l->id));
}

static void lane_close(struct lane *l)
{
    if (!l->journal)
        return;
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_cond_broadcast(&l->work);
    pthread_cond_broadcast(&l->durable_moved);
    pthread_mutex_unlock(&l->lock);
    if (l->running)
        pthread_join(l->committer, NULL);
    writer_release(&l->writer);
    for (int i = 0; i < 2; i++)
        buf_release(&l->batches[i].bytes);
    free(l->segments);
    tally_release(&l->tally);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->durable_moved);
    pthread_mutex_destroy(&l->lock);
}

bool journal_open(const struct journal_opts *o, struct journal **ret, struct err *err)
{
    struct journal *j = mem_alloc(sizeof *j);
    j->opts = *o;
    bool ok = snprintf(j->dir, sizeof j->dir, "%s", o->dir) < (int)sizeof j->dir - 64 ||
              err_set(err, ERR_CONFIG, "the path %s is too long", o->dir);
    snprintf(j->name, sizeof j->name, "%s", o->name);
    j->opts.dir = j->dir;
    j->opts.name = j->name;
    ok = ok && (o->readonly || io_mkdirs(o->io, j->dir, 0700, err)) && journal_identity(j, err);
    for (int i = 0; ok && i < LANE_COUNT; i++)
        ok = lane_open(j, (enum lane_id)i, err);
    for (int i = 0; ok && !o->readonly && i < LANE_COUNT; i++)
        ok = lane_start(&j->lanes[i], err);
    if (!ok) {
        journal_close(&j);
        return false;
    }
    *ret = j;
    return true;
}

void journal_close(struct journal **at)
{
    if (!*at)
        return;
    for (int i = 0; i < LANE_COUNT; i++)
        lane_close(&(*at)->lanes[i]);
    free(*at);
    *at = NULL;
}

const char *journal_node(const struct journal *j)
{
    return j->node;
}

struct lane *journal_lane(struct journal *j, enum lane_id id)
{
    return &j->lanes[id];
}

void journal_stats(const struct journal *cj, struct journal_stats *ret)
{
    struct journal *j = (struct journal *)(uintptr_t)cj;
    struct journal_stats s = {0};
    for (int i = 0; i < LANE_COUNT; i++) {
        struct lane *l = &j->lanes[i];
        s.bytes += atomic_load(&l->total_bytes);
        s.damaged_entries_bytes += atomic_load(&l->damaged_bytes);
        s.quarantined += atomic_load(&l->quarantined);
        s.torn_bytes += atomic_load(&l->torn_bytes);
        s.commits += atomic_load(&l->commits);
        s.commit_us += atomic_load(&l->commit_us);
        pthread_mutex_lock(&l->lock);
        s.segments += l->n_segments;
        pthread_mutex_unlock(&l->lock);
    }
    int64_t left = j->opts.io->dir->free_bytes(j->opts.io, j->dir);
    s.free_bytes = left > 0 ? (uint64_t)left : 0;
    *ret = s;
}

void journal_commit_times(const struct journal *j, struct histogram_snapshot *ret)
{
    histogram_snapshot(&j->commit_times, ret);
}
