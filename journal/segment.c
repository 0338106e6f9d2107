#include "journal/segment.h"
#include "journal/writer.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WINDOW_BYTES ((size_t)1 << 20)
#define LENGTH_MAX (UINT32_C(1) << 30)
static const char magic[8] = {'S', 'L', 'U', 'I', 'C', 'E', 'J', '1'};

static void put_le(char *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (char)(unsigned char)(v >> (8 * i));
}

void segment_head_encode(const struct segment_head *h, char out[SEGMENT_HEAD])
{
    memset(out, 0, SEGMENT_HEAD);
    memcpy(out, magic, sizeof magic);
    put_le(out + 8, 1, 4); /* format version */
    put_le(out + 16, h->first, 8);
    put_le(out + 24, h->created_us, 8);
    snprintf(out + 32, NODE_MAX, "%s", h->node);
    snprintf(out + 112, 16, "%s", h->lane);
    put_le(out + 128, h->salt, 8);
    put_le(out + SEGMENT_HEAD - 8, hash64((struct span){out, SEGMENT_HEAD - 8}), 8);
}

bool segment_head_decode(const char in[SEGMENT_HEAD], struct segment_head *ret)
{
    if (memcmp(in, magic, sizeof magic) != 0 || get_le(in + 8, 4) != 1 ||
        get_le(in + SEGMENT_HEAD - 8, 8) != hash64((struct span){in, SEGMENT_HEAD - 8}))
        return false;
    ret->first = get_le(in + 16, 8);
    ret->created_us = get_le(in + 24, 8);
    ret->salt = get_le(in + 128, 8);
    snprintf(ret->node, sizeof ret->node, "%s", in + 32);
    snprintf(ret->lane, sizeof ret->lane, "%s", in + 112);
    return true;
}

void segment_name(uint64_t first, char out[SEGMENT_NAME_MAX])
{
    snprintf(out, SEGMENT_NAME_MAX, "%020llu.seg", (unsigned long long)first);
}

bool segment_name_parse(const char *name, uint64_t *ret_first)
{
    uint64_t v = 0;
    if (strlen(name) != 24 || strcmp(name + 20, ".seg") != 0)
        return false;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(name[i] - '0');
    }
    *ret_first = v;
    return true;
}

void entry_head_encode(char *p, size_t whole, uint64_t seq, uint64_t received_us, uint64_t salt)
{
    put_le(p, ENTRY_MARK, 4);
    put_le(p + 4, whole - ENTRY_HEAD, 4);
    put_le(p + 8, seq, 8);
    put_le(p + 16, received_us, 8);
    put_le(p + 24, 0, 8);
    put_le(p + 24, hash64_seeded((struct span){p, whole}, salt), 8);
}

bool entry_head_decode(const char p[ENTRY_HEAD], struct entry_head *ret)
{
    if (get_le(p, 4) != ENTRY_MARK || get_le(p + 4, 4) > LENGTH_MAX)
        return false;
    ret->length = (uint32_t)get_le(p + 4, 4);
    ret->seq = get_le(p + 8, 8);
    ret->received_us = get_le(p + 16, 8);
    return true;
}

bool entry_checks(const char *p, size_t whole, uint64_t salt)
{
    /* The checksum is taken with its own place as zeros. In the window the bytes are ours: they may be blanked for the moment. */
    char *own = (char *)(uintptr_t)p;
    uint64_t said = get_le(p + 24, 8);
    memset(own + 24, 0, 8);
    bool same = hash64_seeded((struct span){p, whole}, salt) == said;
    put_le(own + 24, said, 8);
    return same;
}

void window_init(struct window *w, const struct io *io, int fd, uint64_t salt)
{
    *w = (struct window){.io = io, .fd = fd, .salt = salt, .limit = UINT64_MAX};
}

void window_release(struct window *w)
{
    free(w->bytes);
    w->bytes = NULL;
    w->n = w->cap = 0;
}

size_t window_have(const struct window *w, uint64_t offset)
{
    return offset >= w->at && offset - w->at < w->n ? w->n - (size_t)(offset - w->at) : 0;
}

static bool make_room(struct window *w, size_t n, struct err *err)
{
    if (n <= w->cap)
        return true;
    free(w->bytes);
    w->bytes = aligned_alloc(WRITE_ALIGN, n);
    w->cap = w->bytes ? n : 0;
    return w->bytes || err_set(err, ERR_NOMEM, "no memory for %zu bytes of the journal", n);
}

/* Whole blocks from w->at on; an end within a block is the file's. */
static bool read_blocks(struct window *w, size_t n, struct err *err)
{
    for (w->n = 0; w->n < n && w->n % WRITE_ALIGN == 0;) {
        ssize_t k = w->io->file->pread(w->io, w->fd, w->bytes + w->n, n - w->n, w->at + w->n);
        if (k == -EINTR)
            continue;
        if (k < 0) {
            errno = (int)-k;
            return err_sys(err, ERR_INPUT, "cannot read a journal segment");
        }
        if (k == 0)
            break;
        w->n += (size_t)k;
    }
    return true;
}

bool window_get(struct window *w, uint64_t offset, size_t n, const char **ret, bool *ret_short, struct err *err)
{
    *ret_short = false;
    if (window_have(w, offset) < n || !n) {
        uint64_t left = w->limit > offset ? w->limit - offset : 0;
        size_t want = n > WINDOW_BYTES ? n : WINDOW_BYTES, ahead = (size_t)(offset % WRITE_ALIGN);
        want = left < want ? (size_t)left : want;
        size_t whole = (ahead + want + WRITE_ALIGN - 1) / WRITE_ALIGN * WRITE_ALIGN;
        w->n = 0;
        w->at = offset - ahead;
        if (!make_room(w, whole + WRITE_ALIGN, err) || (want && !read_blocks(w, whole, err)))
            return false;
        if (w->limit != UINT64_MAX && w->at + w->n > w->limit)
            w->n = w->limit > w->at ? (size_t)(w->limit - w->at) : 0;
        *ret_short = window_have(w, offset) < n;
    }
    *ret = w->bytes + (offset - w->at);
    return true;
}

/* Whether a whole good entry stands at offset. */
static bool entry_at(struct window *w, uint64_t offset, bool *ret_good, bool *ret_end, struct found_entry *e, struct err *err)
{
    const char *p;
    bool cut;
    *ret_good = false;
    if (!window_get(w, offset, ENTRY_HEAD, &p, &cut, err))
        return false;
    *ret_end = cut && window_have(w, offset) == 0;
    if (cut || !entry_head_decode(p, &e->head))
        return true;
    size_t whole = ENTRY_HEAD + e->head.length;
    if (!window_get(w, offset, whole, &p, &cut, err))
        return false;
    *ret_good = !cut && entry_checks(p, whole, w->salt);
    e->fields = p + ENTRY_HEAD;
    e->offset = offset;
    return true;
}

/* The next place at or behind offset where a marker stands, or the end of the file (*ret_end). */
static bool next_mark(struct window *w, uint64_t *offset, bool *ret_end, struct err *err)
{
    static const char mark[4] = {'S', 'L', 'e', '1'};
    for (;;) {
        const char *p;
        bool cut;
        if (!window_get(w, *offset, WINDOW_BYTES, &p, &cut, err))
            return false;
        size_t have = window_have(w, *offset);
        const char *at = have >= 4 ? memmem(p, have, mark, 4) : NULL;
        if (at) {
            *offset += (uint64_t)(at - p);
            *ret_end = false;
            return true;
        }
        *offset += have > 3 ? have - 3 : have;
        if (cut) {
            *offset += have > 3 ? 3 : 0;
            *ret_end = true;
            return true;
        }
    }
}

/* Whether nothing but zeros follows: the room that was taken ahead, or that a lost write left. */
static bool rest_is_zero(struct window *w, uint64_t offset, bool *ret, struct err *err)
{
    static const char zeros[4096];
    *ret = true;
    for (bool cut = false; *ret && !cut;) {
        const char *p;
        if (!window_get(w, offset, WINDOW_BYTES, &p, &cut, err))
            return false;
        size_t have = window_have(w, offset);
        for (size_t i = 0; *ret && i < have; i += sizeof zeros)
            *ret = memcmp(p + i, zeros, have - i < sizeof zeros ? have - i : sizeof zeros) == 0;
        offset += have;
    }
    return true;
}

bool segment_find(struct window *w, uint64_t offset, enum found *ret, struct found_entry *e, struct err *err)
{
    bool good, end;
    uint64_t from = offset;
    if (!entry_at(w, offset, &good, &end, e, err))
        return false;
    bool zero = false;
    if (!good && !end && !rest_is_zero(w, offset, &zero, err))
        return false;
    e->skipped = 0;
    if (zero) {
        *ret = FOUND_END;
        return true;
    }
    while (!good && !end) {
        offset++;
        if (!next_mark(w, &offset, &end, err))
            return false;
        if (!end && !entry_at(w, offset, &good, &end, e, err))
            return false;
    }
    e->skipped = offset - from;
    *ret = good ? FOUND_ENTRY : e->skipped ? FOUND_DAMAGE : FOUND_END;
    return true;
}
