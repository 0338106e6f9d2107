/* Two parts: json_parse walks the text once and proves it well-formed; everything after that skips over values without
 * looking at more than quotes and brackets. Depth is a bit stack, so no input makes the walk recurse. */
#include "core/json.h"
#include <stdlib.h>

/* Whether the walk over a string may pass this byte without looking closer. */
static inline bool plain(char c)
{
    return (signed char)c >= 0x20 && c != '"' && c != '\\';
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), 0: none. */
static size_t utf8_length(const char *z, const char *end)
{
    const unsigned char *p = (const unsigned char *)z;
    size_t left = (size_t)(end - z);
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (left < n || (p[1] & 0xc0) != 0x80)
        return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool utf8_valid(struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    while (p < end) {
        size_t n = utf8_length(p, end);
        if (!n)
            return false;
        p += n;
    }
    return true;
}

/* ---- the proof ---- */

struct walk {
    const char *start, *p, *end;
    const char *what; /* what was expected, once it failed */
    unsigned depth;
    uint64_t in_object[(JSON_DEPTH_MAX + 63) / 64]; /* a bit a level */
};

static bool expected(struct walk *w, const char *what)
{
    w->what = what;
    return false;
}

static bool hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f') || (p[i] >= 'A' && p[i] <= 'F')))
            return false;
    return true;
}

static bool walk_escape(struct walk *w)
{
    if (w->p + 1 >= w->end)
        return expected(w, "the rest of an escape");
    char c = w->p[1];
    if (c == 'u') {
        if (!hex4(w->p + 2, w->end))
            return expected(w, "four hex digits after \\u");
        w->p += 6;
        return true;
    }
    if (!strchr("\"\\/bfnrt", c) || !c)
        return expected(w, "a known escape");
    w->p += 2;
    return true;
}

static bool walk_string(struct walk *w)
{
    w->p++;
    for (;;) {
        while (w->p < w->end && plain(*w->p))
            w->p++;
        if (w->p == w->end)
            return expected(w, "the end of a string");
        if (*w->p == '"') {
            w->p++;
            return true;
        }
        if (*w->p == '\\') {
            if (!walk_escape(w))
                return false;
            continue;
        }
        size_t n = (unsigned char)*w->p >= 0x80 ? utf8_length(w->p, w->end) : 0;
        if (!n)
            return expected(w, (unsigned char)*w->p >= 0x80 ? "well-formed UTF-8" : "no control character in a string");
        w->p += n;
    }
}

static bool walk_digits(struct walk *w)
{
    const char *from = w->p;
    while (w->p < w->end && *w->p >= '0' && *w->p <= '9')
        w->p++;
    return w->p > from;
}

static bool walk_number(struct walk *w)
{
    if (*w->p == '-')
        w->p++;
    if (w->p < w->end && *w->p == '0')
        w->p++;
    else if (!walk_digits(w))
        return expected(w, "a digit");
    if (w->p < w->end && *w->p == '.') {
        w->p++;
        if (!walk_digits(w))
            return expected(w, "a digit after the point");
    }
    if (w->p < w->end && (*w->p == 'e' || *w->p == 'E')) {
        w->p++;
        if (w->p < w->end && (*w->p == '+' || *w->p == '-'))
            w->p++;
        if (!walk_digits(w))
            return expected(w, "a digit in the exponent");
    }
    return true;
}

static bool walk_word(struct walk *w, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(w->end - w->p) < n || memcmp(w->p, word, n) != 0)
        return expected(w, "a value");
    w->p += n;
    return true;
}

/* A scalar, or the opening of a container (*ret_open). */
static bool walk_value(struct walk *w, bool *ret_open)
{
    *ret_open = false;
    if (w->p == w->end)
        return expected(w, "a value");
    switch (*w->p) {
    case '{':
    case '[':
        if (w->depth == JSON_DEPTH_MAX)
            return expected(w, "no deeper nesting");
        if (*w->p == '{')
            w->in_object[w->depth / 64] |= UINT64_C(1) << (w->depth % 64);
        else
            w->in_object[w->depth / 64] &= ~(UINT64_C(1) << (w->depth % 64));
        w->depth++;
        w->p++;
        *ret_open = true;
        return true;
    case '"':
        return walk_string(w);
    case 't':
        return walk_word(w, "true");
    case 'f':
        return walk_word(w, "false");
    case 'n':
        return walk_word(w, "null");
    default:
        return *w->p == '-' || (*w->p >= '0' && *w->p <= '9') ? walk_number(w) : expected(w, "a value");
    }
}

static bool inside_object(const struct walk *w)
{
    unsigned level = w->depth - 1;
    return w->in_object[level / 64] >> (level % 64) & 1;
}

static bool walk_key(struct walk *w)
{
    if (w->p == w->end || *w->p != '"')
        return expected(w, "a key in quotes");
    if (!walk_string(w))
        return false;
    w->p = skip_space(w->p, w->end);
    if (w->p == w->end || *w->p != ':')
        return expected(w, "a colon");
    w->p = skip_space(w->p + 1, w->end);
    return true;
}

/* After a value: closes containers and steps over a comma. *ret_done: the whole text is one value. */
static bool walk_after(struct walk *w, bool *ret_done)
{
    *ret_done = false;
    for (;;) {
        w->p = skip_space(w->p, w->end);
        if (w->depth == 0) {
            *ret_done = true;
            return true;
        }
        bool object = inside_object(w);
        if (w->p == w->end)
            return expected(w, object ? "a comma or }" : "a comma or ]");
        if (*w->p == (object ? '}' : ']')) {
            w->p++;
            w->depth--;
            continue;
        }
        if (*w->p != ',')
            return expected(w, object ? "a comma or }" : "a comma or ]");
        w->p = skip_space(w->p + 1, w->end);
        return object ? walk_key(w) : true;
    }
}

static bool walk_all(struct walk *w)
{
    bool open, done = false;
    w->p = skip_space(w->p, w->end);
    while (!done) {
        if (!walk_value(w, &open))
            return false;
        if (open) {
            w->p = skip_space(w->p, w->end);
            bool object = inside_object(w);
            if (w->p < w->end && *w->p == (object ? '}' : ']')) {
                w->p++;
                w->depth--;
            } else {
                if (object && !walk_key(w))
                    return false;
                continue;
            }
        }
        if (!walk_after(w, &done))
            return false;
    }
    return w->p == w->end ? true : expected(w, "the end");
}

static struct json slice(const char *p, const char *end);

bool json_parse(struct span text, struct json *ret, struct err *err)
{
    struct walk w = {.start = text.p, .p = text.p, .end = text.p + text.n};
    if (!text.n || !walk_all(&w))
        return err_set(err, ERR_INPUT, "not JSON: at byte %zu expected %s", text.n ? (size_t)(w.p - w.start) : 0,
                       text.n ? w.what : "a value");
    *ret = slice(skip_space(text.p, w.end), w.end);
    return true;
}

/* ---- skipping over proven text ---- */

static const char *skip_string(const char *p)
{
    for (p++;; p++) {
        while (*p != '"' && *p != '\\')
            p++;
        if (*p == '"')
            return p + 1;
        p++;
    }
}

static const char *skip_container(const char *p)
{
    unsigned depth = 0;
    for (;;) {
        switch (*p) {
        case '"':
            p = skip_string(p);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return p + 1;
            break;
        default:
            break;
        }
        p++;
    }
}

static struct json slice(const char *p, const char *end)
{
    struct json v = {.raw = {p, 0}};
    const char *q = p;
    switch (*p) {
    case '{':
        v.type = JSON_OBJECT;
        q = skip_container(p);
        break;
    case '[':
        v.type = JSON_ARRAY;
        q = skip_container(p);
        break;
    case '"':
        v.type = JSON_STRING;
        q = skip_string(p);
        break;
    case 't':
        v.type = JSON_TRUE;
        q = p + 4;
        break;
    case 'f':
        v.type = JSON_FALSE;
        q = p + 5;
        break;
    case 'n':
        v.type = JSON_NULL;
        q = p + 4;
        break;
    default:
        v.type = JSON_NUMBER;
        while (q < end && (*q == '-' || *q == '+' || *q == '.' || *q == 'e' || *q == 'E' || (*q >= '0' && *q <= '9')))
            q++;
        break;
    }
    v.raw.n = (size_t)(q - p);
    return v;
}

struct json_iter json_iter(struct json v)
{
    if (v.type != JSON_OBJECT && v.type != JSON_ARRAY)
        return (struct json_iter){NULL, NULL, false};
    return (struct json_iter){v.raw.p + 1, v.raw.p + v.raw.n - 1, v.type == JSON_OBJECT};
}

bool json_next(struct json_iter *it, struct span *key, struct json *value)
{
    const char *p = skip_space(it->p, it->end);
    if (p == it->end || !p)
        return false;
    if (*p == ',')
        p = skip_space(p + 1, it->end);
    if (it->object) {
        const char *after = skip_string(p);
        if (key)
            *key = (struct span){p + 1, (size_t)(after - p) - 2};
        p = skip_space(after, it->end);
        p = skip_space(p + 1, it->end); /* the colon */
    }
    *value = slice(p, it->end);
    it->p = value->raw.p + value->raw.n;
    return true;
}

/* Whether a key's raw text means `name`. */
static bool key_is(struct span raw, struct span name)
{
    if (span_eq(raw, name))
        return true;
    if (raw.n <= name.n || !memchr(raw.p, '\\', raw.n))
        return false;
    struct buf b;
    buf_init(&b, raw.n + 16);
    bool same = json_unescape(&b, raw) && span_eq(buf_span(&b), name);
    buf_release(&b);
    return same;
}

struct json json_get(struct json obj, struct span name)
{
    struct json found = {0}, value;
    struct span key;
    if (obj.type != JSON_OBJECT)
        return found;
    struct json_iter it = json_iter(obj);
    while (json_next(&it, &key, &value))
        if (key_is(key, name))
            found = value;
    return found;
}

struct json json_at(struct json array, size_t index)
{
    struct json value = {0};
    if (array.type != JSON_ARRAY)
        return value;
    struct json_iter it = json_iter(array);
    for (size_t i = 0; json_next(&it, NULL, &value); i++)
        if (i == index)
            return value;
    return (struct json){0};
}

size_t json_count(struct json v)
{
    struct json_iter it = json_iter(v);
    struct json value;
    size_t n = 0;
    while (json_next(&it, NULL, &value))
        n++;
    return n;
}
