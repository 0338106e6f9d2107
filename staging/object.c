/* Names and lines of staged objects. */
#include "core/pulse.h"
#include "staging/store.h"
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define OUT_BYTES ((size_t)128 << 10)

static const char *const suffixes[] = {".ndjson.zst", ".ndjson.gz"}; /* [gzip] */

void object_name_write(struct buf *out, const struct object_name *n)
{
    buf_addf(out, "%.*s/%.*s/dt=%.*s/%.*s.%.*s.%020llu-%020llu.%.*s%s", SPAN_ARG(n->source), SPAN_ARG(n->table),
             SPAN_ARG(n->date), SPAN_ARG(n->node), SPAN_ARG(n->lane), (unsigned long long)n->first,
             (unsigned long long)n->last, SPAN_ARG(n->transform), suffixes[n->gzip]);
}

/* Cuts what follows the last `c` off *s. */
static bool cut_last(struct span *s, char c, struct span *ret)
{
    for (size_t i = s->n; i-- > 0;) {
        if (s->p[i] == c) {
            *ret = span_skip(*s, i + 1);
            s->n = i;
            return true;
        }
    }
    return false;
}

static bool seq_of(struct span s, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.n != 20)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(s.p[i] - '0');
        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return true;
}

static bool cut_suffix(struct span *file, bool gzip)
{
    size_t n = strlen(suffixes[gzip]);
    if (file->n < n || memcmp(file->p + file->n - n, suffixes[gzip], n) != 0)
        return false;
    file->n -= n;
    return true;
}

bool object_name_parse(struct span key, struct object_name *ret)
{
    struct object_name n;
    struct span rest, file, range, last;
    n.source = span_cut(key, '/', &rest);
    n.table = span_cut(rest, '/', &rest);
    n.date = span_cut(rest, '/', &file);
    if (!file.p || !span_starts(n.date, SPAN_LIT("dt=")) || n.date.n != strlen("dt=2026-01-01") || !n.source.n || !n.table.n)
        return false;
    n.date = span_skip(n.date, 3);
    n.gzip = cut_suffix(&file, true);
    if ((!n.gzip && !cut_suffix(&file, false)) || !cut_last(&file, '.', &n.transform) || !cut_last(&file, '.', &range) ||
        !cut_last(&file, '.', &n.lane))
        return false;
    n.node = file;
    struct span first = span_cut(range, '-', &last);
    if (!last.p || !seq_of(first, &n.first) || !seq_of(last, &n.last) || !n.node.n || !n.lane.n || !n.transform.n)
        return false;
    *ret = n;
    return true;
}

struct unpacking {
    const char *key;
    bool (*piece)(void *ctx, struct span bytes, struct err *err);
    void *ctx;
    struct err *err;
    ZSTD_DCtx *dctx;
    z_stream *gzip; /* the one, or the other */
    char *out;
    bool failed;
    bool open; /* within a frame or member */
};

static bool damaged(struct unpacking *u, const char *why)
{
    u->failed = !err_set(u->err, ERR_INPUT, "%s is damaged: %s", u->key, why);
    return false;
}

static bool give(struct unpacking *u, size_t n)
{
    pulse_beat();
    u->failed = !u->piece(u->ctx, (struct span){u->out, n}, u->err);
    return !u->failed;
}

static bool zstd_piece(void *ctx, struct span bytes)
{
    struct unpacking *u = ctx;
    ZSTD_inBuffer in = {bytes.p, bytes.n, 0};
    bool full = false;
    while (in.pos < in.size || full) {
        ZSTD_outBuffer out = {u->out, OUT_BYTES, 0};
        size_t rc = ZSTD_decompressStream(u->dctx, &out, &in);
        if (ZSTD_isError(rc))
            return damaged(u, ZSTD_getErrorName(rc));
        u->open = rc != 0;
        full = out.pos == out.size && rc != 0;
        if (!give(u, out.pos))
            return false;
    }
    return true;
}

static bool gzip_piece(void *ctx, struct span bytes)
{
    struct unpacking *u = ctx;
    z_stream *z = u->gzip;
    bool full = false;
    z->next_in = (Bytef *)(uintptr_t)bytes.p;
    z->avail_in = (uInt)bytes.n; /* of a store's piece */
    while (z->avail_in || full) {
        z->next_out = (Bytef *)u->out;
        z->avail_out = (uInt)OUT_BYTES;
        int rc = inflate(z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return damaged(u, z->msg ? z->msg : "no gzip");
        u->open = rc != Z_STREAM_END;
        full = !z->avail_out && u->open;
        if (!give(u, OUT_BYTES - z->avail_out))
            return false;
        if (!u->open && inflateReset(z) != Z_OK) /* another member may follow */
            return damaged(u, "no gzip");
    }
    return true;
}

static bool ends_with(const char *key, const char *suffix)
{
    size_t n = strlen(key), m = strlen(suffix);
    return n >= m && strcmp(key + n - m, suffix) == 0;
}

bool object_bytes(struct store *s, const char *key, bool (*piece)(void *ctx, struct span bytes, struct err *err), void *ctx,
                  struct err *err)
{
    struct unpacking u = {.key = key, .piece = piece, .ctx = ctx, .err = err};
    z_stream gzip = {0};
    bool gz = ends_with(key, ".gz");
    u.out = malloc(OUT_BYTES);
    if (!gz)
        u.dctx = ZSTD_createDCtx();
    else if (inflateInit2(&gzip, 15 + 16) == Z_OK)
        u.gzip = &gzip;
    bool ok = (u.dctx || u.gzip) && u.out;
    if (!ok)
        (void)err_set(err, ERR_NOMEM, "out of memory to read %s", key);
    ok = ok && s->ops->read(s, key, gz ? gzip_piece : zstd_piece, &u, err) && !u.failed;
    if (ok && u.open)
        ok = err_set(err, ERR_INPUT, "%s is damaged: it ends in the middle of a block", key);
    ZSTD_freeDCtx(u.dctx);
    if (u.gzip)
        (void)inflateEnd(u.gzip);
    free(u.out);
    return ok;
}

struct lines {
    const char *key;
    bool (*line)(void *ctx, struct span line, struct err *err);
    void *ctx;
    struct buf partial; /* the beginning of a line */
};

static bool too_long(const struct lines *l, struct err *err)
{
    return err_set(err, ERR_INPUT, "%s: a line is longer than %zu bytes", l->key, LINE_BYTES_MAX);
}

static bool give_lines(void *ctx, struct span s, struct err *err)
{
    struct lines *l = ctx;
    while (s.n) {
        const char *end = memchr(s.p, '\n', s.n);
        if (!end) {
            buf_adds(&l->partial, s);
            return buf_ok(&l->partial) || too_long(l, err);
        }
        struct span one = {s.p, (size_t)(end - s.p)};
        s = span_skip(s, one.n + 1);
        if (l->partial.n) {
            buf_adds(&l->partial, one);
            one = buf_span(&l->partial);
        }
        if (!buf_ok(&l->partial))
            return too_long(l, err);
        if (!l->line(l->ctx, one, err))
            return false;
        buf_clear(&l->partial);
    }
    return true;
}

bool object_lines(struct store *s, const char *key, bool (*line)(void *ctx, struct span line, struct err *err), void *ctx,
                  struct err *err)
{
    struct lines l = {.key = key, .line = line, .ctx = ctx};
    buf_init(&l.partial, LINE_BYTES_MAX);
    bool ok = object_bytes(s, key, give_lines, &l, err);
    if (ok && l.partial.n)
        ok = err_set(err, ERR_INPUT, "%s is damaged: it ends in the middle of a line", key);
    buf_release(&l.partial);
    return ok;
}
