/* buf: an owned, growing byte buffer with a maximum from its creation and a sticky error.
 *
 * Append as often as you like, then check buf_ok once: after the maximum or the memory is
 * exceeded every append is a no-op and the buffer says so. The bytes are always followed by a NUL
 * that n does not count (buf_z).
 * Threads: belongs to its owner. Life: buf_init -> append* -> buf_release (accepts a zeroed buf). */
#pragma once
#include "core/span.h"
#include <stdarg.h>
#include <stdint.h>

struct buf {
    char *p;
    size_t n;    /* bytes used */
    size_t cap;  /* bytes allocated */
    size_t max;  /* bytes never exceeded; 0 means BUF_MAX_DEFAULT */
    bool failed; /* sticky */
};

#define BUF_MAX_DEFAULT ((size_t)256 << 20)

void buf_init(struct buf *b, size_t bytes_max);
void buf_release(struct buf *b);            /* frees and zeroes, keeps max */
void buf_wipe(struct buf *b);               /* the same for what held a secret: overwritten before it is freed */
void buf_clear(struct buf *b);              /* n = 0, keeps memory, clears the sticky error */
bool buf_reserve(struct buf *b, size_t more); /* room for `more` bytes; false: sticky error */
void buf_add_grow(struct buf *b, const void *p, size_t n); /* buf_add's slow half */
static inline void buf_add(struct buf *b, const void *p, size_t n)
{
    if (b->failed || b->cap - b->n <= n) { /* the NUL has its place too */
        buf_add_grow(b, p, n);
        return;
    }
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}
static inline void buf_adds(struct buf *b, struct span s)
{
    buf_add(b, s.p, s.n);
}
void buf_addz(struct buf *b, const char *z);
static inline void buf_addc(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *b, const char *fmt, va_list ap);
void buf_add_u8(struct buf *b, uint8_t v);  /* fixed-width little-endian integers */
void buf_add_u32(struct buf *b, uint32_t v);
void buf_add_u64(struct buf *b, uint64_t v);
static inline bool buf_ok(const struct buf *b)
{
    return !b->failed;
}
static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->p ? b->p : "", b->n};
}
const char *buf_z(struct buf *b);           /* NUL-terminated view; "" when empty */
char *buf_take(struct buf *b, size_t *ret_n); /* hands the malloc'ed bytes over (NUL-terminated), never
                                               NULL unless failed; the buf is empty afterwards */
