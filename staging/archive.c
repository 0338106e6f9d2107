#include "staging/archive.h"
#include "core/pulse.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#define SUFFIX ".seg.zst"
#define BLOCK ((size_t)256 << 10)
#define LEVEL 1

void archive_name_write(struct buf *out, const struct archive_name *n)
{
    buf_addf(out, ARCHIVE_PREFIX "%.*s/%.*s.%.*s.%020llu-%020llu.%020llu-%020llu" SUFFIX, SPAN_ARG(n->lane), SPAN_ARG(n->node),
             SPAN_ARG(n->lane), (unsigned long long)n->first, (unsigned long long)n->last, (unsigned long long)n->from_us,
             (unsigned long long)n->until_us);
}

static bool take_number(struct span s, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(s.p[i] - '0');
        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return s.n == 20;
}

/* <first>-<last> */
static bool take_pair(struct span s, uint64_t *ret_first, uint64_t *ret_last)
{
    struct span last, first = span_cut(s, '-', &last);
    return last.p && take_number(first, ret_first) && take_number(last, ret_last);
}

bool archive_name_parse(struct span key, struct archive_name *ret)
{
    struct archive_name n;
    struct span rest, lane, pair, times;
    size_t prefix = strlen(ARCHIVE_PREFIX), suffix = strlen(SUFFIX);
    if (!span_starts(key, SPAN_LIT(ARCHIVE_PREFIX)) || key.n < prefix + suffix ||
        memcmp(key.p + key.n - suffix, SUFFIX, suffix) != 0)
        return false;
    key.n -= suffix;
    n.lane = span_cut(span_skip(key, prefix), '/', &rest);
    if (!rest.p)
        return false;
    n.node = span_cut(rest, '.', &rest);
    lane = rest.p ? span_cut(rest, '.', &rest) : (struct span){NULL, 0};
    pair = rest.p ? span_cut(rest, '.', &times) : (struct span){NULL, 0};
    if (!pair.p || !times.p || !n.node.n || !span_eq(lane, n.lane) || !take_pair(pair, &n.first, &n.last) ||
        !take_pair(times, &n.from_us, &n.until_us))
        return false;
    *ret = n;
    return true;
}

static void mark_name(const char *lane, char *to, size_t n)
{
    (void)snprintf(to, n, "archived-%s", lane);
}

bool archive_position(struct state *s, const char *lane, uint64_t *ret, struct err *err)
{
    char mark[60];
    int64_t seq;
    mark_name(lane, mark, sizeof(mark));
    if (!db_int(&s->db, &seq, 1, err, "SELECT seq FROM marks WHERE name = ?", "s", mark))
        return false;
    *ret = seq > 0 ? (uint64_t)seq : 1;
    return true;
}

static bool pack(const struct io *io, int fd, struct store *store, struct store_writer *w, ZSTD_CCtx *z, char *in, char *out,
                 struct err *err)
{
    uint64_t at = 0;
    for (bool last = false; !last;) {
        pulse_beat();
        ssize_t n = io->file->pread(io, fd, in, BLOCK, at);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_INPUT, "cannot read a segment of the journal: %s", strerror((int)-n));
        at += (uint64_t)n;
        last = n == 0;
        ZSTD_inBuffer from = {in, (size_t)n, 0};
        size_t left = 1;
        while (from.pos < from.size || (last && left)) {
            ZSTD_outBuffer to = {out, BLOCK, 0};
            left = ZSTD_compressStream2(z, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
            if (ZSTD_isError(left))
                return err_set(err, ERR_BUG, "zstd: %s", ZSTD_getErrorName(left));
            if (to.pos && !store->ops->write(w, (struct span){out, to.pos}, err))
                return false;
        }
    }
    return true;
}

static bool put_segment(struct archiving *a, const struct sealed_segment *seg, const char *key, struct err *err)
{
    const struct io *io = a->store->io;
    char name[200];
    struct store_writer *w = NULL;
    ZSTD_CCtx *z = ZSTD_createCCtx();
    char *blocks = malloc(2 * BLOCK);
    int fd = io->file->open(io, seg->path, O_RDONLY | O_CLOEXEC, 0);
    (void)snprintf(name, sizeof(name), "%s.archive-%s", a->node, a->name);
    bool ok = (z && blocks) || err_set(err, ERR_NOMEM, "out of memory to archive a segment");
    if (ok && fd < 0)
        ok = err_set(err, ERR_INPUT, "cannot read %s: %s", seg->path, strerror(-fd));
    if (ok) {
        (void)ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, LEVEL);
        (void)ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    }
    ok = ok && a->store->ops->create(a->store, name, &w, err) && pack(io, fd, a->store, w, z, blocks, blocks + BLOCK, err) &&
         a->store->ops->commit(&w, key, err);
    a->store->ops->abort(&w);
    ZSTD_freeCCtx(z);
    free(blocks);
    if (fd >= 0)
        (void)io->file->close(io, fd);
    return ok;
}

bool archive_next(struct archiving *a, bool *ret_any, struct err *err)
{
    struct sealed_segment seg;
    struct buf key = {0};
    char mark[60];
    *ret_any = false;
    if (!*a->next && !archive_position(a->state, a->name, a->next, err))
        return false;
    if (!lane_sealed(a->lane, *a->next, &seg))
        return true;
    struct archive_name n = {.node = span_of(a->node), .lane = span_of(a->name), .first = seg.first, .last = seg.last,
                             .from_us = seg.from_us, .until_us = seg.until_us};
    archive_name_write(&key, &n);
    mark_name(a->name, mark, sizeof(mark));
    bool ok = buf_ok(&key) || err_set(err, ERR_NOMEM, "out of memory for an object's name");
    ok = ok && put_segment(a, &seg, buf_z(&key), err) &&
         db_run(&a->state->db, err,
                "INSERT INTO marks(name, seq) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET seq = excluded.seq", "su", mark,
                seg.last + 1);
    buf_release(&key);
    if (ok) {
        *a->next = seg.last + 1;
        *ret_any = true;
    }
    return ok;
}
