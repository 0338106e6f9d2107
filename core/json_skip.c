/* Skipping a proven container: its end is where its depth comes back to nothing, counting the brackets outside of strings.
 *
 * Where there is SSE2, 64 bytes a turn: masks of quotes, backslashes and brackets; what lies between quotes is found by a running
 * exclusive or over the quotes' mask. */
#include "core/json_scan.h"

/* The bytes that a skip over a container stops at. */
static const unsigned char marks[256] = {['"'] = 1, ['{'] = 1, ['['] = 1, ['}'] = 1, [']'] = 1};

/* From a place outside of strings, `depth` containers deep. */
static const char *skip_bytes(const char *p, const char *end, size_t depth)
{
    for (;;) {
        while (!marks[(unsigned char)*p])
            p++;
        if (*p == '"') {
            p = scan_string(p, end);
            continue;
        }
        if (*p == '{' || *p == '[')
            depth++;
        else if (--depth == 0)
            return p + 1;
        p++;
    }
}

#ifdef __SSE2__
struct block { /* a bit a byte */
    uint64_t quotes, backslashes, opens, closes;
};
struct skip {
    size_t depth;
    uint64_t in_string; /* all ones: the block begins inside a string */
    uint64_t escaped;   /* 1: its first byte is escaped */
};

static inline struct block look(const char *p)
{
    struct block b = {0};
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), open = _mm_set1_epi8('{'),
                  close = _mm_set1_epi8('}'), fold = _mm_set1_epi8(0x20);
    for (int i = 0; i < 4; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        __m128i folded = _mm_or_si128(v, fold); /* [ becomes {, ] becomes }, and nothing else does */
        b.quotes |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, quote)) << (16 * i);
        b.backslashes |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, backslash)) << (16 * i);
        b.opens |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(folded, open)) << (16 * i);
        b.closes |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(folded, close)) << (16 * i);
    }
    return b;
}

/* The bytes behind a backslash that is not escaped itself. Rare, so a run at a time. */
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

static inline uint64_t running_xor(uint64_t v)
{
    for (int shift = 1; shift < 64; shift *= 2)
        v ^= v << shift;
    return v;
}

/* NULL: the end is not in this block. */
static inline const char *skip_block(struct skip *s, const char *p)
{
    struct block b = look(p);
    if (b.backslashes | s->escaped)
        b.quotes &= ~find_escaped(b.backslashes, &s->escaped);
    uint64_t inside = running_xor(b.quotes) ^ s->in_string;
    s->in_string = 0 - (inside >> 63);
    b.opens &= ~inside;
    b.closes &= ~inside;
    for (uint64_t both = b.opens | b.closes; both; both &= both - 1) {
        uint64_t bit = both & (0 - both);
        if (b.opens & bit)
            s->depth++;
        else if (--s->depth == 0)
            return p + __builtin_ctzll(bit) + 1;
    }
    return NULL;
}

const char *scan_container(const char *p, const char *end)
{
    struct skip s = {0};
    for (; end - p >= 64; p += 64) {
        const char *found = skip_block(&s, p);
        if (found)
            return found;
    }
    if (s.in_string) { /* to the end of the string that the last block ends in */
        p = scan_quote(p + s.escaped, end);
        while (*p == '\\')
            p = scan_quote(p + 2, end);
        p++;
    }
    return skip_bytes(p, end, s.depth);
}
#else
const char *scan_container(const char *p, const char *end)
{
    return skip_bytes(p, end, 0);
}
#endif
