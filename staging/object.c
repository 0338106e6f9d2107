/* Names and lines of staged objects. */
#include "staging/store.h"
#include <stdlib.h>
#include <zstd.h>

#define SUFFIX ".ndjson.zst"

void object_name_write(struct buf *out, const struct object_name *n)
{
    buf_addf(out, "%.*s/%.*s/dt=%.*s/%.*s.%.*s.%020llu-%020llu.%.*s" SUFFIX, SPAN_ARG(n->source), SPAN_ARG(n->table),
             SPAN_ARG(n->date), SPAN_ARG(n->node), SPAN_ARG(n->lane), (unsigned long long)n->first,
             (unsigned long long)n->last, SPAN_ARG(n->transform));
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
    size_t suffix = strlen(SUFFIX);
    if (file.n < suffix || memcmp(file.p + file.n - suffix, SUFFIX, suffix) != 0)
        return false;
    file.n -= suffix;
    if (!cut_last(&file, '.', &n.transform) || !cut_last(&file, '.', &range) || !cut_last(&file, '.', &n.lane))
        return false;
    n.node = file;
    struct span first = span_cut(range, '-', &last);
    if (!last.p || !seq_of(first, &n.first) || !seq_of(last, &n.last) || !n.node.n || !n.lane.n || !n.transform.n)
        return false;
    *ret = n;
    return true;
}

struct lines {
    const char *key;
    bool (*line)(void *ctx, struct span line, struct err *err);
    void *ctx;
    struct err *err;
    ZSTD_DCtx *dctx;
    char *out;
    size_t out_n;
    struct buf partial; /* the beginning of a line */
    bool failed;
    size_t left; /* what zstd still expects: 0 at the end of a frame */
};

static bool give_lines(struct lines *l, struct span s)
{
    while (s.n) {
        const char *end = memchr(s.p, '\n', s.n);
        if (!end) {
            buf_adds(&l->partial, s);
            return buf_ok(&l->partial) ||
                   err_set(l->err, ERR_INPUT, "%s: a line is longer than %zu bytes", l->key, LINE_BYTES_MAX);
        }
        struct span one = {s.p, (size_t)(end - s.p)};
        s = span_skip(s, one.n + 1);
        if (l->partial.n) {
            buf_adds(&l->partial, one);
            one = buf_span(&l->partial);
        }
        if (!buf_ok(&l->partial))
            return err_set(l->err, ERR_INPUT, "%s: a line is longer than %zu bytes", l->key, LINE_BYTES_MAX);
        if (!l->line(l->ctx, one, l->err))
            return false;
        buf_clear(&l->partial);
    }
    return true;
}

static bool decompress_piece(void *ctx, struct span bytes)
{
    struct lines *l = ctx;
    ZSTD_inBuffer in = {bytes.p, bytes.n, 0};
    bool full = false;
    while (in.pos < in.size || full) {
        ZSTD_outBuffer out = {l->out, l->out_n, 0};
        size_t rc = ZSTD_decompressStream(l->dctx, &out, &in);
        if (ZSTD_isError(rc)) {
            l->failed = !err_set(l->err, ERR_INPUT, "%s is damaged: %s", l->key, ZSTD_getErrorName(rc));
            return false;
        }
        l->left = rc;
        full = out.pos == out.size && rc != 0;
        if (!give_lines(l, (struct span){l->out, out.pos})) {
            l->failed = true;
            return false;
        }
    }
    return true;
}

bool object_lines(struct store *s, const char *key, bool (*line)(void *ctx, struct span line, struct err *err), void *ctx,
                  struct err *err)
{
    struct lines l = {.key = key, .line = line, .ctx = ctx, .err = err, .out_n = ZSTD_DStreamOutSize()};
    l.dctx = ZSTD_createDCtx();
    l.out = malloc(l.out_n);
    buf_init(&l.partial, LINE_BYTES_MAX);
    bool ok = l.dctx && l.out;
    if (!ok)
        (void)err_set(err, ERR_NOMEM, "out of memory to read %s", key);
    ok = ok && s->ops->read(s, key, decompress_piece, &l, err) && !l.failed;
    if (ok && (l.left || l.partial.n))
        ok = err_set(err, ERR_INPUT, "%s is damaged: it ends in the middle of a %s", key, l.left ? "block" : "line");
    ZSTD_freeDCtx(l.dctx);
    free(l.out);
    buf_release(&l.partial);
    return ok;
}
