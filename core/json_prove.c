/* The proof: one walk over the text that shows it well-formed. Open containers are a stack of bits, so no input makes it
 * recurse. A step takes the place where it begins and gives the one behind it, or NULL where it failed. */
#include "core/json_loops.h"
#include "core/json_scan.h"
#ifdef JSON_WIDE
#include <immintrin.h>
#endif

struct walk {
    const char *begin, *end;
    struct json_proof *proof;
    uint32_t innermost; /* container of the list */
    unsigned depth;
    bool in_object;                              /* the innermost */
    uint64_t objects[(JSON_DEPTH_MAX + 63) / 64]; /* a bit a level */
};

__attribute__((cold, noinline)) static const char *expected(struct walk *w, const char *at, const char *what)
{
    w->proof->at = at;
    w->proof->what = what;
    return NULL;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static inline const char *spaces_one_by_one(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static const char *spaces(const char *p, const char *end)
{
#if defined(JSON_WIDE)
    /* What the table has for a byte's lower half is the byte itself. */
    const __m128i half = _mm_setr_epi8(' ', 0, 0, 0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0);
    const __m256i table = _mm256_broadcastsi128_si256(half);
    for (; end - p >= 32; p += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
        unsigned other = ~(unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), v));
        if (other)
            return p + __builtin_ctz(other);
    }
#elif defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        __m128i v = scan_load16(p);
        __m128i plain = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\n')));
        __m128i rare = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\t')));
        unsigned other = 0xffff & ~(unsigned)_mm_movemask_epi8(_mm_or_si128(plain, rare));
        if (other)
            return p + __builtin_ctz(other);
    }
#endif
    return spaces_one_by_one(p, end);
}

/* Between tokens there is nothing, one space, or the end of a line and a run of spaces. */
static inline const char *space(const char *p, const char *end)
{
    if (p < end && (unsigned char)*p > ' ')
        return p;
    if (end - p > 1 && *p == ' ' && (unsigned char)p[1] > ' ')
        return p + 1;
    return spaces(p, end);
}

static const char *prove_escape(struct walk *w, const char *p)
{
    if (w->end - p < 2)
        return expected(w, p, "the rest of an escape");
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        for (int i = 2; i < 6; i++)
            if (w->end - p <= i || !is_hex(p[i]))
                return expected(w, p, "four hex digits after \\u");
        return p + 6;
    default:
        return expected(w, p, "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    }
}

/* What ends plain text: a quote, a backslash, a control character, or a byte that is not ASCII. */
#ifdef JSON_WIDE
#define WIDTH 32
static inline unsigned marks(const char *p)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p); /* signed: what is not ASCII is below a space, too */
    const __m256i *m = (const __m256i *)(const void *)json_marks;
    __m256i quotes = _mm256_cmpeq_epi8(v, m[0]), escapes = _mm256_cmpeq_epi8(v, m[1]), others = _mm256_cmpgt_epi8(m[2], v);
    return (unsigned)_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quotes, escapes), others));
}
#elif defined(__SSE2__)
#define WIDTH 16
static inline unsigned marks(const char *p)
{
    __m128i v = scan_load16(p);
    __m128i quotes = _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), escapes = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i others = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, escapes), others));
}
#endif

/* From anywhere in a string. */
static const char *prove_special(struct walk *w, const char *p)
{
    for (;;) {
        p = scan_special(p, w->end);
        if (p == w->end)
            return expected(w, p, "the end of a string");
        if (*p == '"')
            return p + 1;
        if (*p == '\\') {
            p = prove_escape(w, p);
            if (!p)
                return NULL;
            continue;
        }
        if ((unsigned char)*p < 0x20)
            return expected(w, p, "no control character in a string");
        do {
            size_t n = scan_utf8(p, w->end);
            if (!n)
                return expected(w, p, "well-formed UTF-8");
            p += n;
        } while (p < w->end && (unsigned char)*p >= 0x80);
    }
}

/* p: behind the opening quote. */
static inline const char *prove_string(struct walk *w, const char *p, const char *end)
{
#ifdef WIDTH
    for (; end - p >= WIDTH; p += WIDTH) {
        unsigned found = marks(p);
        if (!found)
            continue;
        p += __builtin_ctz(found);
        if (*p == '"')
            return p + 1;
        break;
    }
#endif
    return prove_special(w, p);
}

static inline const char *digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

static const char *prove_number(struct walk *w, const char *p)
{
    const char *end = w->end, *from;
    if (*p == '-')
        p++;
    from = p;
    p = p < end && *p == '0' ? p + 1 : digits(p, end);
    if (p == from)
        return expected(w, p, "a digit");
    if (p < end && *p == '.') {
        from = ++p;
        p = digits(p, end);
        if (p == from)
            return expected(w, p, "a digit after the point");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        from = p;
        p = digits(p, end);
        if (p == from)
            return expected(w, p, "a digit in the exponent");
    }
    return p;
}

static inline const char *prove_word(struct walk *w, const char *p, const char *word, size_t n)
{
    return (size_t)(w->end - p) >= n && memcmp(p, word, n) == 0 ? p + n : expected(w, p, "a value");
}

static const char *prove_scalar(struct walk *w, const char *p)
{
    switch (*p) {
    case 't':
        return prove_word(w, p, "true", 4);
    case 'f':
        return prove_word(w, p, "false", 5);
    case 'n':
        return prove_word(w, p, "null", 4);
    default:
        return *p == '-' || is_digit(*p) ? prove_number(w, p) : expected(w, p, "a value");
    }
}

/* A key and its colon. */
static inline const char *prove_key(struct walk *w, const char *p, const char *end)
{
    if (p == end || *p != '"')
        return expected(w, p, "a key in quotes");
    p = prove_string(w, p + 1, end);
    if (!p)
        return NULL;
    if (p < end && *p != ':')
        p = spaces(p, end);
    if (p == end || *p != ':')
        return expected(w, p, "a colon");
    return space(p + 1, end);
}

/* A text of more containers than the list has room for has none listed: the last place is written again and again. */
static void note_open(struct walk *w, const char *p)
{
    struct json_proof *f = w->proof;
    f->containers[f->n] = (struct json_container){.from = (uint32_t)(p - w->begin), .parent = w->innermost};
    w->innermost = f->n;
    f->n += f->n + 1 < f->max;
}

static void note_close(struct walk *w, const char *p)
{
    struct json_container *c = &w->proof->containers[w->innermost];
    c->end = (uint32_t)(p - w->begin);
    c->after = w->proof->n;
    w->innermost = c->parent;
}

/* An opening bracket. *ret_empty: what it opens is closed next. */
static const char *prove_open(struct walk *w, const char *p, bool *ret_empty)
{
    if (w->depth == JSON_DEPTH_MAX)
        return expected(w, p, "at most " ERR_STR(JSON_DEPTH_MAX) " levels");
    w->in_object = *p == '{';
    uint64_t *bits = &w->objects[w->depth / 64], bit = UINT64_C(1) << (w->depth % 64);
    *bits = w->in_object ? *bits | bit : *bits & ~bit;
    w->depth++;
    if (w->proof->containers)
        note_open(w, p);
    p = space(p + 1, w->end);
    *ret_empty = p < w->end && *p == (w->in_object ? '}' : ']');
    return p;
}

/* After a value, at no comma: closes containers, and steps over the comma behind the last of them. */
static const char *prove_close(struct walk *w, const char *p)
{
    while (w->depth) {
        p = space(p, w->end);
        if (p < w->end && *p == ',')
            return space(p + 1, w->end);
        if (p == w->end || *p != (w->in_object ? '}' : ']'))
            return expected(w, p, w->in_object ? "a comma or }" : "a comma or ]");
        p++;
        if (w->proof->containers)
            note_close(w, p);
        w->depth--;
        unsigned level = w->depth ? w->depth - 1 : 0;
        w->in_object = w->objects[level / 64] >> (level % 64) & 1;
    }
    return p;
}

/* In each turn a value, with its key where it is a member's, and what stands between it and the next one. */
bool JSON_NAME(json_prove)(const char *p, const char *end, struct json_proof *proof)
{
    struct walk w = {.begin = p, .end = end, .proof = proof};
    do {
        bool whole = true;
        if (w.in_object) {
            p = prove_key(&w, p, end);
            if (!p)
                break;
        }
        if (p == end)
            p = expected(&w, p, "a value");
        else if (*p == '"')
            p = prove_string(&w, p + 1, end);
        else if (*p == '{' || *p == '[')
            p = prove_open(&w, p, &whole);
        else
            p = prove_scalar(&w, p);
        if (!p || !whole)
            continue;
        if (p < end && *p == ',' && w.depth) {
            p = space(p + 1, end);
            continue;
        }
        p = prove_close(&w, p);
        if (!w.depth)
            break;
    } while (p);
    proof->end = p;
    return p != NULL;
}
