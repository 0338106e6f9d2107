#include "staging/s3/xml.h"

static bool space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void xml_init(struct xml *x, struct span answer)
{
    *x = (struct xml){.rest = answer};
    if (span_starts(answer, SPAN_LIT("\xef\xbb\xbf")))
        x->rest = span_skip(answer, 3);
}

struct span xml_name(const struct xml *x)
{
    return x->depth ? x->names[x->depth - 1] : (struct span){NULL, 0};
}

/* Passes what ends with `end`. */
static bool pass(struct xml *x, size_t from, struct span end)
{
    struct span s = span_skip(x->rest, from);
    const char *at = memmem(s.p, s.n, end.p, end.n);
    if (!at)
        return false;
    x->rest = span_skip(s, (size_t)(at - s.p) + end.n);
    return true;
}

static struct span name_of(struct span tag)
{
    size_t n = 0;
    while (n < tag.n && !space(tag.p[n]) && tag.p[n] != '/' && tag.p[n] != '>')
        n++;
    struct span name = {tag.p, n};
    const char *colon = n ? memrchr(name.p, ':', n) : NULL;
    return colon ? span_skip(name, (size_t)(colon + 1 - name.p)) : name;
}

/* The bytes of the tag up to its >, which a quoted attribute may hold, too; 0: it does not end. */
static size_t tag_length(struct span s)
{
    char quote = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (quote)
            quote = s.p[i] == quote ? 0 : quote;
        else if (s.p[i] == '"' || s.p[i] == '\'')
            quote = s.p[i];
        else if (s.p[i] == '>')
            return i;
    }
    return 0;
}

static enum xml_event close_element(struct xml *x)
{
    x->depth--;
    x->empty = false;
    x->done = x->depth == 0;
    return XML_CLOSE;
}

static enum xml_event read_tag(struct xml *x)
{
    struct span s = span_skip(x->rest, 1);
    size_t n = tag_length(s);
    if (!n)
        return XML_BAD;
    x->rest = span_skip(s, n + 1);
    if (s.p[0] == '/') {
        struct span name = name_of((struct span){s.p + 1, n - 1});
        if (!x->depth || !span_eq(name, x->names[x->depth - 1]))
            return XML_BAD;
        return close_element(x);
    }
    struct span name = name_of((struct span){s.p, n});
    if (!name.n || x->depth == XML_DEPTH_MAX || x->done)
        return XML_BAD;
    x->names[x->depth++] = name;
    x->empty = s.p[n - 1] == '/';
    return XML_OPEN;
}

static enum xml_event read_text(struct xml *x)
{
    const char *end = memchr(x->rest.p, '<', x->rest.n);
    x->text = (struct span){x->rest.p, end ? (size_t)(end - x->rest.p) : x->rest.n};
    x->rest = span_skip(x->rest, x->text.n);
    x->cdata = false;
    if (x->depth)
        return XML_TEXT;
    for (size_t i = 0; i < x->text.n; i++) {
        if (!space(x->text.p[i]))
            return XML_BAD;
    }
    return XML_END; /* of the piece: the caller goes on */
}

enum xml_event xml_next(struct xml *x)
{
    if (x->empty)
        return close_element(x);
    while (x->rest.n) {
        if (x->rest.p[0] != '<') {
            enum xml_event e = read_text(x);
            if (e != XML_END)
                return e;
            continue;
        }
        if (span_starts(x->rest, SPAN_LIT("<?"))) {
            if (!pass(x, 2, SPAN_LIT("?>")))
                return XML_BAD;
        } else if (span_starts(x->rest, SPAN_LIT("<!--"))) {
            if (!pass(x, 4, SPAN_LIT("-->")))
                return XML_BAD;
        } else if (span_starts(x->rest, SPAN_LIT("<![CDATA["))) {
            const char *from = x->rest.p + 9;
            if (!x->depth || !pass(x, 9, SPAN_LIT("]]>")))
                return XML_BAD;
            x->text = (struct span){from, (size_t)(x->rest.p - from) - 3};
            x->cdata = true;
            return XML_TEXT;
        } else if (span_starts(x->rest, SPAN_LIT("<!"))) {
            return XML_BAD;
        } else {
            return read_tag(x);
        }
    }
    return x->depth || !x->done ? XML_BAD : XML_END;
}

static void add_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(out, (char)c);
    } else if (c < 0x800) {
        buf_addc(out, (char)(0xc0 | c >> 6));
        buf_addc(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        buf_addc(out, (char)(0xe0 | c >> 12));
        buf_addc(out, (char)(0x80 | (c >> 6 & 63)));
        buf_addc(out, (char)(0x80 | (c & 63)));
    } else {
        buf_addc(out, (char)(0xf0 | c >> 18));
        buf_addc(out, (char)(0x80 | (c >> 12 & 63)));
        buf_addc(out, (char)(0x80 | (c >> 6 & 63)));
        buf_addc(out, (char)(0x80 | (c & 63)));
    }
}

static bool add_number(struct buf *out, struct span s)
{
    bool hex = s.n && (s.p[0] == 'x' || s.p[0] == 'X');
    uint32_t c = 0;
    s = span_skip(s, hex);
    for (size_t i = 0; i < s.n; i++) {
        char d = s.p[i];
        unsigned v = d >= '0' && d <= '9'          ? (unsigned)(d - '0')
                     : hex && d >= 'a' && d <= 'f' ? (unsigned)(d - 'a') + 10
                     : hex && d >= 'A' && d <= 'F' ? (unsigned)(d - 'A') + 10
                                                   : 99;
        if (v == 99 || c > 0x10ffff)
            return false;
        c = c * (hex ? 16 : 10) + v;
    }
    if (!s.n || !c || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return false;
    add_utf8(out, c);
    return true;
}

static bool add_entity(struct buf *out, struct span name)
{
    static const struct {
        const char *name;
        char c;
    } named[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    if (name.n && name.p[0] == '#')
        return add_number(out, span_skip(name, 1));
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (span_eqz(name, named[i].name)) {
            buf_addc(out, named[i].c);
            return true;
        }
    }
    return false;
}

bool xml_text(const struct xml *x, struct buf *out)
{
    struct span s = x->text;
    while (s.n) {
        const char *amp = x->cdata ? NULL : memchr(s.p, '&', s.n);
        size_t plain = amp ? (size_t)(amp - s.p) : s.n;
        buf_add(out, s.p, plain);
        s = span_skip(s, plain);
        if (!s.n)
            break;
        const char *end = memchr(s.p, ';', s.n < 12 ? s.n : 12);
        if (!end || !add_entity(out, (struct span){s.p + 1, (size_t)(end - s.p) - 1}))
            return false;
        s = span_skip(s, (size_t)(end - s.p) + 1);
    }
    return buf_ok(out);
}
