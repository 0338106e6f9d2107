/* Between JSON's spelling of text and text itself. */
#include "core/json.h"
#include <errno.h>
#include <stdlib.h>

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

static void add_utf8(struct buf *out, unsigned c)
{
    if (c < 0x80) {
        buf_addc(out, (char)c);
    } else if (c < 0x800) {
        buf_add_u8(out, (uint8_t)(0xc0 | c >> 6));
        buf_add_u8(out, (uint8_t)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        buf_add_u8(out, (uint8_t)(0xe0 | c >> 12));
        buf_add_u8(out, (uint8_t)(0x80 | (c >> 6 & 63)));
        buf_add_u8(out, (uint8_t)(0x80 | (c & 63)));
    } else {
        buf_add_u8(out, (uint8_t)(0xf0 | c >> 18));
        buf_add_u8(out, (uint8_t)(0x80 | (c >> 12 & 63)));
        buf_add_u8(out, (uint8_t)(0x80 | (c >> 6 & 63)));
        buf_add_u8(out, (uint8_t)(0x80 | (c & 63)));
    }
}

/* \uXXXX at p, perhaps with its second half behind it; returns the bytes taken. A half alone is U+FFFD. */
static size_t add_unicode(struct buf *out, const char *p, const char *end)
{
    unsigned c = hex4(p + 2);
    if (c >= 0xd800 && c < 0xdc00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u') {
        unsigned low = hex4(p + 8);
        if (low >= 0xdc00 && low < 0xe000) {
            add_utf8(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
            return 12;
        }
    }
    add_utf8(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return 6;
}

bool json_unescape(struct buf *out, struct span inner)
{
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    const char *p = inner.p, *end = inner.p + inner.n;
    while (p < end) {
        const char *esc = memchr(p, '\\', (size_t)(end - p));
        if (!esc)
            esc = end;
        buf_add(out, p, (size_t)(esc - p));
        p = esc;
        if (p == end)
            break;
        if (p[1] == 'u') {
            p += add_unicode(out, p, end);
            continue;
        }
        const char *at = strchr(names, p[1]);
        buf_addc(out, at ? values[at - names] : p[1]);
        p += 2;
    }
    return buf_ok(out);
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
    struct span want = span_of(z);
    if (v.type != JSON_STRING)
        return v.type != JSON_NONE && v.type != JSON_OBJECT && v.type != JSON_ARRAY && span_eq(v.raw, want);
    struct span inner = json_inner(v);
    if (!memchr(inner.p, '\\', inner.n))
        return span_eq(inner, want);
    struct buf b;
    buf_init(&b, inner.n + 16);
    bool same = json_unescape(&b, inner) && span_eq(buf_span(&b), want);
    buf_release(&b);
    return same;
}

static size_t good_utf8(const char *p, const char *end)
{
    for (size_t n = 1; n <= 4 && n <= (size_t)(end - p); n++)
        if (utf8_valid((struct span){p, n}))
            return n;
    return 0;
}

void json_write_string(struct buf *out, struct span text)
{
    const char *p = text.p, *end = text.p + text.n;
    buf_addc(out, '"');
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        if (c >= 0x80) {
            size_t n = good_utf8(p, end);
            if (n)
                buf_add(out, p, n);
            else
                buf_addz(out, "\xef\xbf\xbd");
            p += n ? n : 1;
            continue;
        }
        if (c == '"' || c == '\\')
            buf_addc(out, '\\'), buf_addc(out, (char)c);
        else if (c == '\n')
            buf_addz(out, "\\n");
        else if (c == '\r')
            buf_addz(out, "\\r");
        else if (c == '\t')
            buf_addz(out, "\\t");
        else if (c < 0x20)
            buf_addf(out, "\\u%04x", c);
        else
            buf_addc(out, (char)c);
        p++;
    }
    buf_addc(out, '"');
}

void json_write_key(struct buf *out, const char *key)
{
    json_write_string(out, span_of(key));
    buf_addc(out, ':');
}

void json_minify(struct buf *out, struct json v)
{
    const char *p = v.raw.p, *end = p + v.raw.n, *from = p;
    bool in_string = false;
    for (; p < end; p++) {
        if (in_string) {
            if (*p == '\\')
                p++;
            else if (*p == '"')
                in_string = false;
        } else if (*p == '"') {
            in_string = true;
        } else if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
            buf_add(out, from, (size_t)(p - from));
            from = p + 1;
        }
    }
    buf_add(out, from, (size_t)(end - from));
}
