#include "staging/replay.h"
#include "core/codec.h"
#include "core/mem.h"
#include "staging/archive.h"
#include "staging/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define OUTPUTS_MAX 192
#define LETTERS_MAX 4096
#define SEGMENT_MAX (UINT64_C(16) << 30)

struct replaying {
    struct stager *s;
    const struct replay_opts *o;
    struct replay_counts *n;
    struct err *err;
    struct cut *cut;
    char node[80], lane[120]; /* of the cut's entries; as objects' names say them */
    struct buf keys;          /* of the archive, NUL-ended */
    uint64_t beyond;          /* of our own node everything below came from the archive */
    char dir[4200];
};

/* ---- entries ---- */
static bool flush(struct replaying *r)
{
    struct stager *s = r->s;
    struct cut *c = r->cut;
    bool ok = true;
    if (c && c->n_outputs)
        ok = stager_store_cut(s, c, c->first, c->last, r->err) && ledger_replayed_range(&s->state, c, stager_now(s), r->err);
    if (ok && c && c->n_outputs && s->o.published)
        s->o.published(s->o.published_ctx);
    cut_free(&r->cut);
    return ok;
}

static bool full(const struct replaying *r)
{
    const struct cut *c = r->cut;
    return c->largest >= r->s->o.config->cut_bytes || c->n_outputs >= OUTPUTS_MAX || cut_letters(c) >= LETTERS_MAX;
}

/* Entries of different nodes have the same sequences: the name's lane tells them apart, as it tells one replay from another. */
static bool open_cut(struct replaying *r, const struct entry *e)
{
    uint64_t nodes = 0;
    struct buf name = {0};
    (void)snprintf(r->node, sizeof(r->node), "%.*s", SPAN_ARG(e->node));
    buf_addf(&name, "%s %016llx", r->node, (unsigned long long)r->o->selection);
    nodes = hash64(buf_span(&name));
    buf_release(&name);
    (void)snprintf(r->lane, sizeof(r->lane), "replay-%s-%016llx", lane_name(r->o->lane), (unsigned long long)nodes);
    r->cut = cut_new(r->s->o.store, journal_node(r->s->o.journal), r->lane, r->err);
    if (!r->cut)
        return false;
    r->cut->replay = true;
    r->cut->gzip = r->s->o.config->objects.gzip;
    return true;
}

static bool take_entry(struct replaying *r, const struct entry *e)
{
    struct transform_result result;
    if (e->received_us < r->o->from_us || e->received_us >= r->o->to_us || !r->o->wanted(r->o->ctx, e))
        return true;
    const struct staged_source *source = stager_source(r->s, e->source);
    if (!source) {
        r->n->strangers++;
        return true;
    }
    r->n->entries++;
    if (r->o->dry_run)
        return true;
    if (r->cut && !span_eqz(e->node, r->node) && !flush(r))
        return false;
    if (!r->cut && !open_cut(r, e))
        return false;
    if (!cut_entry(r->cut, source, e, stager_now(r->s), &result, r->err))
        return false;
    r->n->rows += result.rows;
    r->n->failed += result.dead && !result.rows;
    return !full(r) || flush(r);
}

static bool read_lane(struct replaying *r, struct lane *lane, uint64_t from)
{
    struct reader *reader = reader_open(lane, from);
    struct entry e;
    uint64_t damage = 0;
    bool any = true, ok = true;
    while (ok && any) {
        ok = reader_next(reader, &e, &any, &damage, r->err);
        r->n->damage += damage;
        damage = 0;
        if (ok && any)
            ok = take_entry(r, &e);
    }
    reader_close(&reader);
    return ok;
}

/* ---- the archive ---- */
static bool list_one(void *ctx, const char *key)
{
    struct replaying *r = ctx;
    struct archive_name n;
    if (!archive_name_parse(span_of(key), &n))
        return true;
    if (span_eqz(n.node, journal_node(r->s->o.journal)) && n.last + 1 > r->beyond)
        r->beyond = n.last + 1;
    if (n.until_us >= r->o->from_us && n.from_us < r->o->to_us)
        buf_add(&r->keys, key, strlen(key) + 1);
    return buf_ok(&r->keys);
}

struct writing {
    const struct io *io;
    int fd;
    uint64_t n;
};

static bool write_piece(void *ctx, struct span bytes, struct err *err)
{
    struct writing *w = ctx;
    w->n += bytes.n;
    if (w->n > SEGMENT_MAX)
        return err_set(err, ERR_INPUT, "the segment is larger than any that was written");
    return io_write_all(w->io, w->fd, bytes.p, bytes.n, err);
}

static bool download(struct replaying *r, const char *key, const char *path)
{
    const struct io *io = r->s->o.io;
    struct writing w = {.io = io, .fd = io->file->open(io, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (w.fd < 0)
        return err_set(r->err, ERR_DURABLE, "cannot create %s: %s", path, strerror(-w.fd));
    bool ok = object_bytes(r->s->o.store, key, write_piece, &w, r->err);
    (void)io->file->close(io, w.fd);
    return ok;
}

/* A journal of this one segment, only to be read. */
static bool read_segment(struct replaying *r, const char *key)
{
    const struct io *io = r->s->o.io;
    struct archive_name n;
    char path[4400];
    struct journal *journal = NULL;
    (void)archive_name_parse(span_of(key), &n);
    (void)snprintf(path, sizeof(path), "%s/%s/%020llu.seg", r->dir, lane_name(r->o->lane), (unsigned long long)n.first);
    struct journal_opts o = {.io = io, .dir = r->dir, .name = "archive", .segment_bytes = UINT64_C(1) << 30,
                             .bytes_max = UINT64_MAX, .entry_bytes_max = UINT32_C(1) << 30, .readonly = true};
    bool ok = download(r, key, path) && journal_open(&o, &journal, r->err) &&
              read_lane(r, journal_lane(journal, r->o->lane), n.first);
    if (journal)
        journal_close(&journal);
    (void)io->dir->unlink(io, path);
    r->n->segments++;
    return ok || err_prefix(r->err, "%s", key);
}

static void remove_name(void *ctx, const char *name)
{
    buf_add(ctx, name, strlen(name) + 1);
}

/* Left by a replay that was killed. */
static void empty_folder(struct replaying *r, const char *dir)
{
    const struct io *io = r->s->o.io;
    struct buf names = {0}, path = {0};
    (void)io->dir->list(io, dir, remove_name, &names);
    for (size_t i = 0; i < names.n; i += strlen(names.p + i) + 1) {
        buf_clear(&path);
        buf_addf(&path, "%s/%s", dir, names.p + i);
        (void)io->dir->unlink(io, buf_z(&path));
    }
    buf_release(&names);
    buf_release(&path);
}

static bool read_archive(struct replaying *r)
{
    char prefix[80], folder[4300];
    struct store *store = r->s->o.store;
    (void)snprintf(prefix, sizeof(prefix), ARCHIVE_PREFIX "%s/", lane_name(r->o->lane));
    if (!store->ops->list(store, prefix, list_one, r, r->err))
        return false;
    if (!buf_ok(&r->keys))
        return err_set(r->err, ERR_NOMEM, "out of memory for a list of segments");
    (void)snprintf(folder, sizeof(folder), "%s/%s", r->dir, lane_name(r->o->lane));
    if (r->keys.n && !io_mkdirs(r->s->o.io, folder, 0700, r->err))
        return false;
    empty_folder(r, folder);
    bool ok = true;
    for (size_t i = 0; ok && i < r->keys.n; i += strlen(r->keys.p + i) + 1)
        ok = read_segment(r, r->keys.p + i);
    return ok;
}

/* One replay at a time: they share a folder. Held as long as the descriptor. */
static int lock_replay(struct replaying *r)
{
    char path[4300];
    (void)snprintf(path, sizeof(path), "%s/replay.lock", r->s->o.data_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    (void)err_set(r->err, ERR_CONFIG, "another replay is under way in this data directory");
    return -1;
}

bool stager_replay(struct stager *s, const struct replay_opts *o, struct replay_counts *ret, struct err *err)
{
    struct replay_counts counts = {0};
    struct replaying r = {.s = s, .o = o, .n = &counts, .err = err};
    (void)snprintf(r.dir, sizeof(r.dir), "%.4000s/replay", s->o.data_dir);
    int lock = lock_replay(&r);
    if (lock < 0)
        return false;
    pthread_mutex_lock(&s->work);
    bool ok = read_archive(&r) && read_lane(&r, journal_lane(s->o.journal, o->lane), r.beyond) && flush(&r);
    pthread_mutex_unlock(&s->work);
    cut_free(&r.cut);
    buf_release(&r.keys);
    close(lock);
    if (ok)
        *ret = counts;
    return ok;
}
