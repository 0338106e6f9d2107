/* Between JSON's spelling of text and text itself. */
#include "core/clock.h"
#include "core/json_loops.h"
#include "core/json_scan.h"
#include <errno.h>
#include <stdlib.h>

#define REPLACEMENT 0xfffd /* U+FFFD, for what is no character */

struct span json_inner(struct json v)
{
    return v.type == JSON_STRING ? (struct span){v.raw.p + 1, v.raw.n - 2} : (struct span){NULL, 0};
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (unsigned)(p[i] <= '9' ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
    return v;
}

static size_t put_utf8(char out[4], unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 63));
    out[0] = (char)((0xf00 >> n & 0xf0) | c);
    return n;
}

/* The escape at p (proven) as UTF-8; *ret_n its bytes. Returns how much of the text it takes. */
static size_t decode_escape(const char *p, const char *end, char out[4], size_t *ret_n)
{
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    if (p[1] != 'u') {
        const char *at = memchr(names, p[1], sizeof names - 1);
        out[0] = at ? values[at - names] : p[1];
        *ret_n = 1;
        return 2;
    }
    unsigned c = hex4(p + 2);
    size_t taken = 6;
    if (c >= 0xd800 && c < 0xe000) {
        unsigned low = c < 0xdc00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : 0;
        bool pair = low >= 0xdc00 && low < 0xe000;
        c = pair ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : REPLACEMENT;
        taken = pair ? 12 : 6;
    }
    *ret_n = put_utf8(out, c);
    return taken;
}

bool json_unescape(struct buf *out, struct span inner)
{
    const char *p = inner.p, *end = p + inner.n;
    while (p < end) {
        const char *esc = memchr(p, '\\', (size_t)(end - p));
        buf_add(out, p, (size_t)((esc ? esc : end) - p));
        if (!esc)
            break;
        char text[4];
        size_t n;
        p = esc + decode_escape(esc, end, text, &n);
        buf_add(out, text, n);
    }
    return buf_ok(out);
}

/* Takes `n` bytes off the front of *s if they are those at p. */
static bool take(struct span *s, const char *p, size_t n)
{
    if (s->n < n || (n && memcmp(s->p, p, n) != 0))
        return false;
    s->p += n;
    s->n -= n;
    return true;
}

bool json_inner_means(struct span inner, struct span want)
{
    const char *p = inner.p, *end = p + inner.n;
    const char *esc = inner.n ? memchr(p, '\\', inner.n) : NULL;
    if (!esc)
        return span_eq(inner, want);
    for (; esc; esc = p < end ? memchr(p, '\\', (size_t)(end - p)) : NULL) {
        char text[4];
        size_t n;
        if (!take(&want, p, (size_t)(esc - p)))
            return false;
        p = esc + decode_escape(esc, end, text, &n);
        if (!take(&want, text, n))
            return false;
    }
    return take(&want, p, (size_t)(end - p)) && want.n == 0;
}

bool json_text(struct json v, struct buf *out)
{
    switch (v.type) {
    case JSON_STRING:
        return json_unescape(out, json_inner(v));
    case JSON_NUMBER:
    case JSON_TRUE:
    case JSON_FALSE:
        buf_adds(out, v.raw);
        return buf_ok(out);
    default:
        return false;
    }
}

bool json_int64(struct json v, int64_t *ret)
{
    char text[24];
    if (v.type != JSON_NUMBER || v.raw.n >= sizeof text)
        return false;
    for (size_t i = 0; i < v.raw.n; i++)
        if (v.raw.p[i] == '.' || v.raw.p[i] == 'e' || v.raw.p[i] == 'E')
            return false;
    memcpy(text, v.raw.p, v.raw.n);
    text[v.raw.n] = 0;
    errno = 0;
    long long n = strtoll(text, NULL, 10);
    if (errno)
        return false;
    *ret = n;
    return true;
}

bool json_eqz(struct json v, const char *z)
{
    switch (v.type) {
    case JSON_STRING:
        return json_inner_is(json_inner(v), span_of(z));
    case JSON_NONE:
    case JSON_OBJECT:
    case JSON_ARRAY:
        return false;
    default:
        return span_eqz(v.raw, z);
    }
}

/* A byte (< 0x80) that cannot stand for itself between quotes. */
static void write_escape(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"':
        buf_add(out, "\\\"", 2);
        break;
    case '\\':
        buf_add(out, "\\\\", 2);
        break;
    case '\n':
        buf_add(out, "\\n", 2);
        break;
    case '\r':
        buf_add(out, "\\r", 2);
        break;
    case '\t':
        buf_add(out, "\\t", 2);
        break;
    default:
        buf_addf(out, "\\u%04x", c);
        break;
    }
}

void json_write_string(struct buf *out, struct span text)
{
    const char *p = text.p, *end = p + text.n, *from = p;
    buf_addc(out, '"');
    while ((p = scan_special(p, end)) < end) {
        size_t n = (unsigned char)*p >= 0x80 ? scan_utf8(p, end) : 0;
        if (n) {
            p += n;
            continue;
        }
        buf_add(out, from, (size_t)(p - from));
        if ((unsigned char)*p < 0x80)
            write_escape(out, (unsigned char)*p);
        else
            buf_add(out, "\xef\xbf\xbd", 3); /* U+FFFD */
        from = ++p;
    }
    buf_add(out, from, (size_t)(end - from));
    buf_addc(out, '"');
}

void json_write_key(struct buf *out, const char *key)
{
    json_write_string(out, span_of(key));
    buf_addc(out, ':');
}

void json_add_count(struct buf *out, const char *name, uint64_t n)
{
    buf_addf(out, ",\"%s\":%llu", name, (unsigned long long)n);
}

void json_add_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    json_write_string(out, span_of(text));
}

void json_add_time(struct buf *out, const char *name, uint64_t us)
{
    char at[CLOCK_TEXT_MAX] = "";
    if (us)
        clock_iso_us(us, at);
    buf_addf(out, ",\"%s\":%s%s%s", name, us ? "\"" : "", us ? at : "null", us ? "\"" : "");
}

void json_minify(struct buf *out, struct span proven)
{
    if (!buf_reserve(out, proven.n + JSON_SLACK))
        return;
    out->n += JSON_LOOP(json_squeeze)(out->p + out->n, proven.p, proven.p + proven.n);
    out->p[out->n] = 0;
}
