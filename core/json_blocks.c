/* Proven text 64 bytes a turn: masks of quotes, backslashes, brackets and white space, a bit a byte; what lies between quotes
 * is found by a running exclusive or over the quotes' mask. What is left at the end is looked at in a copy, filled up with
 * spaces. */
#include "core/json_loops.h"
#include "core/json_scan.h"
#ifdef JSON_WIDE
#include <immintrin.h>
#endif

#define BLOCK 64

#if defined(JSON_WIDE)
struct bytes {
    __m256i v[2];
};

static inline struct bytes load(const char *p)
{
    return (struct bytes){{_mm256_loadu_si256((const __m256i *)(const void *)p),
                           _mm256_loadu_si256((const __m256i *)(const void *)(p + 32))}};
}

static inline uint64_t mask_of(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

static inline uint64_t equal(struct bytes b, char c)
{
    __m256i want = _mm256_set1_epi8(c);
    return mask_of(_mm256_cmpeq_epi8(b.v[0], want), _mm256_cmpeq_epi8(b.v[1], want));
}

static inline uint64_t at_most(struct bytes b, char c)
{
    __m256i most = _mm256_set1_epi8(c);
    return mask_of(_mm256_cmpeq_epi8(_mm256_min_epu8(b.v[0], most), b.v[0]),
                   _mm256_cmpeq_epi8(_mm256_min_epu8(b.v[1], most), b.v[1]));
}

static inline struct bytes fold(struct bytes b)
{
    __m256i bit = _mm256_set1_epi8(0x20);
    return (struct bytes){{_mm256_or_si256(b.v[0], bit), _mm256_or_si256(b.v[1], bit)}};
}

static inline uint64_t running_xor(uint64_t v)
{
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)v), _mm_set1_epi8(-1), 0));
}
#else
#ifdef __SSE2__
struct bytes {
    __m128i v[4];
};

static inline struct bytes load(const char *p)
{
    return (struct bytes){{scan_load16(p), scan_load16(p + 16), scan_load16(p + 32), scan_load16(p + 48)}};
}

static inline uint64_t equal(struct bytes b, char c)
{
    uint64_t mask = 0;
    for (int i = 0; i < 4; i++)
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(b.v[i], _mm_set1_epi8(c))) << (16 * i);
    return mask;
}

static inline uint64_t at_most(struct bytes b, char c)
{
    uint64_t mask = 0;
    for (int i = 0; i < 4; i++) {
        __m128i less = _mm_min_epu8(b.v[i], _mm_set1_epi8(c));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(less, b.v[i])) << (16 * i);
    }
    return mask;
}

static inline struct bytes fold(struct bytes b)
{
    for (int i = 0; i < 4; i++)
        b.v[i] = _mm_or_si128(b.v[i], _mm_set1_epi8(0x20));
    return b;
}
#else
struct bytes {
    uint64_t v[8];
};

static inline struct bytes load(const char *p)
{
    struct bytes b;
    for (int i = 0; i < 8; i++)
        b.v[i] = scan_load(p + 8 * i);
    return b;
}

/* The highest bit of each byte, as eight bits. */
static inline uint64_t gather(uint64_t highs)
{
    return ((highs & SCAN_HIGHS) >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

static inline uint64_t at_most(struct bytes b, char c)
{
    uint64_t mask = 0;
    for (int i = 0; i < 8; i++) /* c is below 0x7f: a sum does not reach the next byte */
        mask |= gather(~(((b.v[i] & ~SCAN_HIGHS) + SCAN_ONES * (0x7fU - (unsigned char)c)) | b.v[i])) << (8 * i);
    return mask;
}

static inline uint64_t equal(struct bytes b, char c)
{
    for (int i = 0; i < 8; i++)
        b.v[i] ^= SCAN_ONES * (unsigned char)c;
    return at_most(b, 0);
}

static inline struct bytes fold(struct bytes b)
{
    for (int i = 0; i < 8; i++)
        b.v[i] |= SCAN_ONES * 0x20;
    return b;
}
#endif

static inline uint64_t running_xor(uint64_t v)
{
    for (int shift = 1; shift < 64; shift *= 2)
        v ^= v << shift;
    return v;
}
#endif

struct strings { /* what a block leaves to the next one */
    uint64_t inside;  /* all ones: it begins inside a string */
    uint64_t escaped; /* 1: its first byte is escaped */
};

/* The bytes behind a backslash that is not escaped itself. Rare, so one at a time. */
static uint64_t find_escaped(uint64_t backslashes, uint64_t *first)
{
    uint64_t escaped = *first, left = backslashes & ~escaped;
    *first = 0;
    while (left) {
        unsigned at = (unsigned)__builtin_ctzll(left);
        if (at == 63) {
            *first = 1;
            break;
        }
        escaped |= UINT64_C(1) << (at + 1);
        left &= ~(UINT64_C(3) << at);
    }
    return escaped;
}

/* The bytes of strings, the opening quotes among them, the closing ones not. */
static inline uint64_t find_strings(struct strings *s, struct bytes b)
{
    uint64_t quotes = equal(b, '"'), backslashes = equal(b, '\\');
    if (backslashes | s->escaped)
        quotes &= ~find_escaped(backslashes, &s->escaped);
    uint64_t inside = running_xor(quotes) ^ s->inside;
    s->inside = 0 - (inside >> 63);
    return inside;
}

static inline struct bytes load_last(const char *p, const char *end)
{
    char last[BLOCK];
    memset(last, ' ', sizeof last);
    memcpy(last, p, (size_t)(end - p));
    return load(last);
}

/* Behind the bracket that brings *depth down to nothing, as a place in the block; 0: it is not in this block. */
static inline unsigned skip_block(struct strings *s, size_t *depth, struct bytes b)
{
    uint64_t outside = ~find_strings(s, b);
    struct bytes folded = fold(b); /* [ becomes {, ] becomes }, and nothing else does */
    uint64_t opens = equal(folded, '{') & outside, closes = equal(folded, '}') & outside;
#ifdef JSON_WIDE
    size_t most = (size_t)__builtin_popcountll(closes);
    if (*depth > most) {
        *depth += (size_t)__builtin_popcountll(opens) - most;
        return 0;
    }
#endif
    for (uint64_t both = opens | closes; both; both &= both - 1) {
        uint64_t bit = both & (0 - both);
        if (opens & bit)
            ++*depth;
        else if (--*depth == 0)
            return (unsigned)__builtin_ctzll(bit) + 1;
    }
    return 0;
}

const char *JSON_NAME(json_skip)(const char *p, const char *end)
{
    struct strings s = {0};
    size_t depth = 1;
    unsigned found = 0;
    for (p++; end - p >= BLOCK; p += BLOCK) {
        found = skip_block(&s, &depth, load(p));
        if (found)
            return p + found;
    }
    return p + skip_block(&s, &depth, load_last(p, end));
}

static inline unsigned first_bit(uint64_t v) /* none: behind the block */
{
    return v ? (unsigned)__builtin_ctzll(v) : BLOCK;
}

/* Copies the bytes at p that `keep` says, run by run. Reads and writes up to 63 bytes more than there are. */
static inline char *keep_runs(char *out, const char *p, uint64_t keep)
{
    uint64_t begins = keep & ~(keep << 1), ends = ~keep & keep << 1;
    for (; begins; begins &= begins - 1, ends &= ends - 1) {
        unsigned from = first_bit(begins), n = first_bit(ends) - from;
        memcpy(out, p + from, 16);
        if (n > 16) {
            memcpy(out + 16, p + from + 16, 16);
            if (n > 32)
                memcpy(out + 32, p + from + 32, 32);
        }
        out += n;
    }
    return out;
}

size_t JSON_NAME(json_squeeze)(char *out, const char *p, const char *end)
{
    struct strings s = {0};
    const char *from = out;
    for (; end - p >= 2 * BLOCK; p += BLOCK) {
        struct bytes b = load(p);
        uint64_t inside = find_strings(&s, b);
        out = keep_runs(out, p, ~at_most(b, ' ') | inside);
    }
    char last[4 * BLOCK];
    memset(last, ' ', sizeof last);
    memcpy(last, p, (size_t)(end - p));
    for (p = last; p < last + 2 * BLOCK; p += BLOCK) {
        struct bytes b = load(p);
        uint64_t inside = find_strings(&s, b);
        out = keep_runs(out, p, ~at_most(b, ' ') | inside);
    }
    return (size_t)(out - from);
}
