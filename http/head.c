#include "http/head.h"

/* ---- characters ---- */

static bool token_char(unsigned char c)
{
    static const uint64_t tokens[2] = {UINT64_C(0x03ff6cfa00000000), UINT64_C(0x57ffffffc7fffffe)}; /* RFC 9110 section 5.6.2 */
    return c < 128 && (tokens[c >> 6] >> (c & 63) & 1);
}

static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!token_char((unsigned char)s.p[i]))
            return false;
    return s.n > 0;
}

static bool is_value(struct span s)
{
    bool bad = false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bad |= (c < 0x20 && c != '\t') || c == 0x7f;
    }
    return !bad;
}

static bool is_target(struct span s)
{
    bool bad = false;
    for (size_t i = 0; i < s.n; i++)
        bad |= (unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f;
    return !bad && s.n > 0;
}

bool head_value_ok(struct span value)
{
    return is_value(value);
}

bool head_name_ok(struct span name)
{
    return is_token(name);
}

/* ---- where it ends ---- */

size_t head_find(struct span bytes, size_t *from)
{
    size_t at = *from > 3 ? *from - 3 : 0;
    const char *end = bytes.n > at ? memmem(bytes.p + at, bytes.n - at, "\r\n\r\n", 4) : NULL;
    *from = bytes.n;
    return end ? (size_t)(end - bytes.p) + 4 : 0;
}

bool head_may_begin(struct span bytes)
{
    const char *line_end = bytes.n ? memchr(bytes.p, '\n', bytes.n) : NULL;
    if (line_end && (line_end == bytes.p || line_end[-1] != '\r'))
        return false;
    return !bytes.n || token_char((unsigned char)bytes.p[0]);
}

/* ---- the request line ---- */

/* Absolute form names a host that Host names as well; what is signed and looked up is the path. */
static struct span origin_form(struct span target)
{
    static const struct span schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < 2; i++) {
        if (target.n < schemes[i].n || !span_ieq((struct span){target.p, schemes[i].n}, schemes[i]))
            continue;
        const char *path = memchr(target.p + schemes[i].n, '/', target.n - schemes[i].n);
        return path ? (struct span){path, (size_t)(target.p + target.n - path)} : (struct span){"/", 1};
    }
    return target;
}

static unsigned parse_line(struct span line, struct http_head *h)
{
    struct span rest, version;
    h->method = span_cut(line, ' ', &rest);
    h->target = span_cut(rest, ' ', &version);
    if (!is_token(h->method) || !is_target(h->target) || version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0) {
        h->method = h->target = (struct span){"", 0};
        return 400;
    }
    h->target = origin_form(h->target);
    if (memcmp(version.p + 5, "1.", 2) != 0 || (version.p[7] != '0' && version.p[7] != '1'))
        return 505;
    h->minor = (unsigned)(version.p[7] - '0');
    h->close = h->minor == 0;
    return h->target.p[0] == '/' || span_eqz(h->target, "*") ? 0 : 400;
}

/* ---- headers ---- */

struct framing {
    unsigned lengths, codings, hosts;
    bool bad_length, other_coding, other_expectation;
};

static bool length_of(struct span text, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || v > UINT64_MAX / 16)
            return false;
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ret = v;
    return text.n > 0;
}

static bool lists(struct span value, struct span word)
{
    while (value.p) {
        struct span element = span_cut(value, ',', &value);
        if (span_ieq(span_trim(element), word))
            return true;
    }
    return false;
}

/* What of the headers is the endpoint's own business; told apart by length first, as nearly all are not. */
static void note_header(const struct http_header *f, struct http_head *h, struct framing *seen)
{
    switch (f->name.n) {
    case 4:
        seen->hosts += span_ieq(f->name, SPAN_LIT("Host"));
        break;
    case 6:
        if (span_ieq(f->name, SPAN_LIT("Expect"))) {
            h->expects = true;
            seen->other_expectation = seen->other_expectation || !span_ieq(f->value, SPAN_LIT("100-continue"));
        }
        break;
    case 10:
        h->close = h->close || (span_ieq(f->name, SPAN_LIT("Connection")) && lists(f->value, SPAN_LIT("close")));
        break;
    case 14:
        if (span_ieq(f->name, SPAN_LIT("Content-Length"))) {
            seen->lengths++;
            seen->bad_length = seen->bad_length || !length_of(f->value, &h->length);
        }
        break;
    case 17:
        if (span_ieq(f->name, SPAN_LIT("Transfer-Encoding"))) {
            seen->codings++;
            seen->other_coding = seen->other_coding || !span_ieq(f->value, SPAN_LIT("chunked"));
        }
        break;
    default:
        break;
    }
}

/* One length, told in one way. */
static unsigned judge_framing(struct http_head *h, const struct framing *seen)
{
    if (seen->lengths > 1 || seen->codings > 1 || (seen->lengths && seen->codings) || seen->bad_length ||
        seen->other_coding || seen->hosts > 1 || (h->minor == 1 && !seen->hosts))
        return 400;
    if (seen->codings && h->minor == 0)
        return 400; /* HTTP/1.0 knows none: whoever sent this on did not read it as we would */
    if (seen->codings)
        h->length = UINT64_MAX;
    h->expects = h->expects && h->minor == 1;
    return seen->other_expectation ? 417 : 0;
}

static unsigned parse_header(struct span line, struct http_header *ret)
{
    struct span value, name = span_cut(line, ':', &value);
    *ret = (struct http_header){name, span_trim(value)};
    if (!ret->value.n)
        ret->value.p = "";
    return value.p && is_token(name) && is_value(ret->value) ? 0 : 400;
}

unsigned head_parse(struct span head, struct http_head *ret, struct http_header *headers, size_t headers_max)
{
    struct framing seen = {0};
    struct span rest = head;
    unsigned status = 0;
    *ret = (struct http_head){.method = {"", 0}, .target = {"", 0}, .close = true};
    for (bool first = true;; first = false) {
        struct span line = span_cut(rest, '\n', &rest);
        if (!line.n || line.p[line.n - 1] != '\r')
            return status ? status : 400;
        line.n--;
        if (first) {
            status = parse_line(line, ret);
            if (status)
                return status;
            continue;
        }
        if (!line.n)
            break;
        if (ret->n_headers == headers_max)
            return 431;
        struct http_header *f = &headers[ret->n_headers];
        status = parse_header(line, f);
        if (status)
            return status;
        ret->n_headers++;
        note_header(f, ret, &seen);
    }
    return judge_framing(ret, &seen);
}
