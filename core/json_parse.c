/* The proof: one walk over the text that shows it well-formed. Open containers are a stack of bits,
 * so no input makes it recurse. */
#include "core/json_scan.h"

struct walk {
    const char *p, *end;
    const char *value_end; /* behind the outermost value, once it is whole */
    const char *what;      /* what was expected at p, once it failed */
    unsigned depth;
    uint64_t in_object[(JSON_DEPTH_MAX + 63) / 64]; /* a bit a level */
};

static bool expected(struct walk *w, const char *what)
{
    w->what = what;
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool walk_escape(struct walk *w)
{
    if (w->end - w->p < 2)
        return expected(w, "the rest of an escape");
    switch (w->p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        w->p += 2;
        return true;
    case 'u':
        for (int i = 2; i < 6; i++)
            if (w->end - w->p <= i || !is_hex(w->p[i]))
                return expected(w, "four hex digits after \\u");
        w->p += 6;
        return true;
    default:
        return expected(w, "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    }
}

static bool walk_string(struct walk *w)
{
    w->p++;
    for (;;) {
        w->p = scan_special(w->p, w->end);
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
        if ((unsigned char)*w->p < 0x20)
            return expected(w, "no control character in a string");
        do {
            size_t n = scan_utf8(w->p, w->end);
            if (!n)
                return expected(w, "well-formed UTF-8");
            w->p += n;
        } while (w->p < w->end && (unsigned char)*w->p >= 0x80);
    }
}

static bool walk_digits(struct walk *w)
{
    const char *from = w->p;
    while (w->p < w->end && is_digit(*w->p))
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

static bool walk_word(struct walk *w, const char *word, size_t n)
{
    if ((size_t)(w->end - w->p) < n || memcmp(w->p, word, n) != 0)
        return expected(w, "a value");
    w->p += n;
    return true;
}

static bool walk_open(struct walk *w)
{
    if (w->depth == JSON_DEPTH_MAX)
        return expected(w, "at most " ERR_STR(JSON_DEPTH_MAX) " levels");
    uint64_t *bits = &w->in_object[w->depth / 64], bit = UINT64_C(1) << (w->depth % 64);
    *bits = *w->p == '{' ? *bits | bit : *bits & ~bit;
    w->depth++;
    w->p++;
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
        *ret_open = true;
        return walk_open(w);
    case '"':
        return walk_string(w);
    case 't':
        return walk_word(w, "true", 4);
    case 'f':
        return walk_word(w, "false", 5);
    case 'n':
        return walk_word(w, "null", 4);
    default:
        return *w->p == '-' || is_digit(*w->p) ? walk_number(w) : expected(w, "a value");
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
    w->p = scan_space(w->p, w->end);
    if (w->p == w->end || *w->p != ':')
        return expected(w, "a colon");
    w->p = scan_space(w->p + 1, w->end);
    return true;
}

/* After a value: closes containers and steps over a comma. *ret_done: the outermost is whole. */
static bool walk_after(struct walk *w, bool *ret_done)
{
    *ret_done = false;
    while (w->depth) {
        bool object = inside_object(w);
        w->p = scan_space(w->p, w->end);
        if (w->p < w->end && *w->p == (object ? '}' : ']')) {
            w->p++;
            w->depth--;
            continue;
        }
        if (w->p == w->end || *w->p != ',')
            return expected(w, object ? "a comma or }" : "a comma or ]");
        w->p = scan_space(w->p + 1, w->end);
        return object ? walk_key(w) : true;
    }
    w->value_end = w->p;
    *ret_done = true;
    return true;
}

/* After an opening: an empty container ends at once (walk_after sees to it), else there is a key. */
static bool walk_inside(struct walk *w, bool *ret_empty)
{
    bool object = inside_object(w);
    w->p = scan_space(w->p, w->end);
    *ret_empty = w->p < w->end && *w->p == (object ? '}' : ']');
    return *ret_empty || !object || walk_key(w);
}

static bool walk_all(struct walk *w)
{
    bool open, empty, done = false;
    while (!done) {
        if (!walk_value(w, &open))
            return false;
        if (open) {
            if (!walk_inside(w, &empty))
                return false;
            if (!empty)
                continue;
        }
        if (!walk_after(w, &done))
            return false;
    }
    w->p = scan_space(w->p, w->end);
    return w->p == w->end ? true : expected(w, "the end");
}

static enum json_type type_of(char c)
{
    switch (c) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

bool json_parse(struct span text, struct json *ret, struct err *err)
{
    if (!text.n)
        return err_set(err, ERR_INPUT, "not JSON: the text is empty");
    struct walk w = {.end = text.p + text.n};
    const char *from = w.p = scan_space(text.p, w.end);
    if (!walk_all(&w))
        return err_set(err, ERR_INPUT, "not JSON: at byte %zu expected %s", (size_t)(w.p - text.p), w.what);
    *ret = (struct json){type_of(*from), {from, (size_t)(w.value_end - from)}};
    return true;
}

bool utf8_valid(struct span s)
{
    const char *p = s.p, *end = p + s.n;
    while (p < end) {
        if (end - p >= 8 && !(scan_load(p) & SCAN_HIGHS)) {
            p += 8;
            continue;
        }
        size_t n = scan_utf8(p, end);
        if (!n)
            return false;
        p += n;
    }
    return true;
}
