/* json_scan: the loops that core/json*.c spend their time in. Private to them.
 *
 * Text is looked at sixteen bytes at a time where there is SSE2, else eight, where so many are left before `end`. In each mask
 * of the eight the lowest set bit is exact; a borrow can only raise false bits above a true one, and those are never read.
 * Threads: pure functions. */
#pragma once
#include "core/json.h"
#if defined(JSON_WIDE)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#define SCAN_ONES UINT64_C(0x0101010101010101)
#define SCAN_HIGHS UINT64_C(0x8080808080808080)

static inline uint64_t scan_load(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline uint64_t scan_equal(uint64_t v, unsigned char c)
{
    uint64_t x = v ^ (SCAN_ONES * c);
    return (x - SCAN_ONES) & ~x & SCAN_HIGHS;
}

static inline const char *scan_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

#ifdef __SSE2__
static inline __m128i scan_load16(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline unsigned scan_quotes16(__m128i v)
{
    __m128i found = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(found);
}
#endif

/* The first quote or backslash; `end` when there is none. */
static inline const char *scan_quote(const char *p, const char *end)
{
#ifdef JSON_WIDE
    for (; end - p >= 32; p += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
        __m256i quotes = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"')), escapes = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
        unsigned found = (unsigned)_mm256_movemask_epi8(_mm256_or_si256(quotes, escapes));
        if (found)
            return p + __builtin_ctz(found);
    }
#endif
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        unsigned found = scan_quotes16(scan_load16(p));
        if (found)
            return p + __builtin_ctz(found);
    }
#endif
    for (; end - p >= 8; p += 8) {
        uint64_t v = scan_load(p), found = scan_equal(v, '"') | scan_equal(v, '\\');
        if (found)
            return p + (__builtin_ctzll(found) >> 3);
    }
    while (p < end && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* The first byte that a string's text cannot simply hold: quote, backslash, control, or not ASCII. */
static inline const char *scan_special(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i v = scan_load16(p); /* signed: what is not ASCII is below a space, too */
        unsigned found = scan_quotes16(v) | (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)));
        if (found)
            return p + __builtin_ctz(found);
    }
#endif
    for (; end - p >= 8; p += 8) {
        uint64_t v = scan_load(p), control = (v - SCAN_ONES * 0x20) & ~v;
        uint64_t found = (control | v) & SCAN_HIGHS;
        found |= scan_equal(v, '"') | scan_equal(v, '\\');
        if (found)
            return p + (__builtin_ctzll(found) >> 3);
    }
    while (p < end && (signed char)*p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* Behind the closing quote of the proven string whose opening quote is at p. */
static inline const char *scan_string(const char *p, const char *end)
{
    p = scan_quote(p + 1, end);
    while (*p == '\\')
        p = scan_quote(p + 2, end);
    return p + 1;
}

/* Length of the well-formed UTF-8 sequence at p < end (RFC 3629); 0: there is none. */
static inline size_t scan_utf8(const char *z, const char *end)
{
    const unsigned char *p = (const unsigned char *)z;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if ((size_t)(end - z) < n || (p[1] & 0xc0) != 0x80)
        return 0;
    /* Overlong forms, surrogates, and what is above U+10FFFF show in the second byte. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Whether a string's inner text means `want`; allocates nothing, so it cannot fail. Nearly every key that is another differs in
 * its first byte, and no escape is shorter than what it means. */
bool json_inner_means(struct span inner, struct span want);
static inline bool json_inner_is(struct span inner, struct span want)
{
    if (inner.n < want.n || (want.n && *inner.p != *want.p && *inner.p != '\\'))
        return false;
    return json_inner_means(inner, want);
}
