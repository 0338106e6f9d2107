#include "journal/entry.h"

/* Tags of fields on disk (docs/formats.md). A tag is never given another meaning; unknown ones are skipped. */
enum tag {
    TAG_KIND = 1,
    TAG_SOURCE,
    TAG_METHOD,
    TAG_URL,
    TAG_STATUS,
    TAG_HEADER, /* u32 length of the name, name, value; once for each header, in order */
    TAG_BODY,
    TAG_SCHEME,
    TAG_SECRET,
    TAG_VERIFIED,
    TAG_DEDUPE,
    TAG_TABLE,
    TAG_RUN,
    TAG_CURSOR,
    TAG_PARENTS,
    TAG_OBSERVED,
    TAG_FLAGS,
    TAG_BEGAN,
};
enum { FLAG_FEED = 1, FLAG_LAST = 2 };

static void put(struct buf *out, enum tag tag, struct span s)
{
    buf_add_u8(out, (uint8_t)tag);
    buf_add_u32(out, (uint32_t)s.n);
    buf_adds(out, s);
}

static void put_some(struct buf *out, enum tag tag, struct span s)
{
    if (s.n)
        put(out, tag, s);
}

static void put_u64(struct buf *out, enum tag tag, uint64_t v)
{
    if (!v)
        return;
    buf_add_u8(out, (uint8_t)tag);
    buf_add_u32(out, 8);
    buf_add_u64(out, v);
}

void entry_encode(const struct entry *e, struct buf *out)
{
    put_u64(out, TAG_KIND, (uint64_t)e->kind);
    put_some(out, TAG_SOURCE, e->source);
    put_some(out, TAG_METHOD, e->message.method);
    put_some(out, TAG_URL, e->message.url);
    put_u64(out, TAG_STATUS, e->message.status);
    for (size_t i = 0; i < e->message.n_headers; i++) {
        const struct http_header *h = &e->message.headers[i];
        buf_add_u8(out, TAG_HEADER);
        buf_add_u32(out, (uint32_t)(4 + h->name.n + h->value.n));
        buf_add_u32(out, (uint32_t)h->name.n);
        buf_adds(out, h->name);
        buf_adds(out, h->value);
    }
    put_some(out, TAG_SCHEME, e->scheme);
    put_some(out, TAG_SECRET, e->secret_id);
    put_u64(out, TAG_VERIFIED, e->verified_us);
    if (e->dedupe.lo || e->dedupe.hi) {
        buf_add_u8(out, TAG_DEDUPE);
        buf_add_u32(out, 16);
        buf_add_u64(out, e->dedupe.lo);
        buf_add_u64(out, e->dedupe.hi);
    }
    put_some(out, TAG_TABLE, e->table);
    put_some(out, TAG_RUN, e->run);
    put_some(out, TAG_CURSOR, e->cursor);
    put_some(out, TAG_PARENTS, e->parents);
    put_u64(out, TAG_OBSERVED, e->observed_us);
    put_u64(out, TAG_BEGAN, e->began_us);
    put_u64(out, TAG_FLAGS, (e->is_feed ? FLAG_FEED : 0) | (e->is_last ? FLAG_LAST : 0));
    put_some(out, TAG_BODY, e->message.body);
}

static bool take_header(struct span v, struct http_header *headers, struct entry *e)
{
    if (v.n < 4 || get_le(v.p, 4) > v.n - 4)
        return false;
    size_t name = (size_t)get_le(v.p, 4);
    if (e->message.n_headers < ENTRY_HEADERS_MAX)
        headers[e->message.n_headers++] = (struct http_header){{v.p + 4, name}, {v.p + 4 + name, v.n - 4 - name}};
    return true;
}

/* Numbers are fields of eight bytes, the dedupe hash one of sixteen. */
static bool take_number(enum tag tag, struct span v, struct entry *e)
{
    if (tag == TAG_DEDUPE) {
        if (v.n == 16)
            e->dedupe = (struct hash128){get_le(v.p, 8), get_le(v.p + 8, 8)};
        return v.n == 16;
    }
    if (v.n != 8)
        return false;
    uint64_t n = get_le(v.p, 8);
    switch (tag) {
    case TAG_KIND:
        e->kind = (enum entry_kind)n;
        return n == ENTRY_EVENT || n == ENTRY_PAGE;
    case TAG_STATUS:
        e->message.status = (uint32_t)n;
        return true;
    case TAG_VERIFIED:
        e->verified_us = n;
        return true;
    case TAG_OBSERVED:
        e->observed_us = n;
        return true;
    case TAG_BEGAN:
        e->began_us = n;
        return true;
    default:
        e->is_feed = n & FLAG_FEED;
        e->is_last = n & FLAG_LAST;
        return true;
    }
}

static struct span *text_field(enum tag tag, struct entry *e)
{
    switch (tag) {
    case TAG_SOURCE:
        return &e->source;
    case TAG_METHOD:
        return &e->message.method;
    case TAG_URL:
        return &e->message.url;
    case TAG_BODY:
        return &e->message.body;
    case TAG_SCHEME:
        return &e->scheme;
    case TAG_SECRET:
        return &e->secret_id;
    case TAG_TABLE:
        return &e->table;
    case TAG_RUN:
        return &e->run;
    case TAG_CURSOR:
        return &e->cursor;
    case TAG_PARENTS:
        return &e->parents;
    default:
        return NULL;
    }
}

static bool take_field(enum tag tag, struct span v, struct http_header *headers, struct entry *e)
{
    switch (tag) {
    case TAG_HEADER:
        return take_header(v, headers, e);
    case TAG_KIND:
    case TAG_STATUS:
    case TAG_VERIFIED:
    case TAG_DEDUPE:
    case TAG_OBSERVED:
    case TAG_BEGAN:
    case TAG_FLAGS:
        return take_number(tag, v, e);
    default: {
        struct span *at = text_field(tag, e);
        if (at)
            *at = v;
        return true;
    }
    }
}

bool entry_decode(struct span fields, struct http_header *headers, struct entry *ret, struct err *err)
{
    struct entry e = {.seq = ret->seq, .received_us = ret->received_us, .node = ret->node, .lane = ret->lane};
    for (size_t at = 0; at < fields.n;) {
        size_t left = fields.n - at;
        size_t n = left >= 5 ? (size_t)get_le(fields.p + at + 1, 4) : 0;
        if (left < 5 || n > left - 5)
            return err_set(err, ERR_INPUT, "an entry's field at offset %zu runs past its end", at);
        if (!take_field((enum tag)(unsigned char)fields.p[at], (struct span){fields.p + at + 5, n}, headers, &e))
            return err_set(err, ERR_INPUT, "an entry's field %u at offset %zu has the wrong size",
                           (unsigned char)fields.p[at], at);
        at += 5 + n;
    }
    if (!e.kind)
        return err_set(err, ERR_INPUT, "an entry without a kind");
    e.message.headers = headers;
    *ret = e;
    return true;
}

struct span entry_source(struct span fields)
{
    for (size_t at = 0; fields.n - at >= 5;) {
        size_t n = (size_t)get_le(fields.p + at + 1, 4);
        if (n > fields.n - at - 5)
            break;
        if (fields.p[at] == TAG_SOURCE)
            return (struct span){fields.p + at + 5, n};
        at += 5 + n;
    }
    return (struct span){"", 0};
}

static char *put_text(char *p, const char *end, struct span s, char after)
{
    size_t n = s.n < (size_t)(end - p) ? s.n : (size_t)(end - p);
    memcpy(p, s.p, n);
    p[n] = after;
    return p + n + 1;
}

void entry_id(const struct entry *e, char out[ENTRY_ID_MAX])
{
    char digits[20], *first = digits + sizeof digits;
    uint64_t v = e->seq;
    do
        *--first = (char)('0' + v % 10);
    while (v /= 10);
    const char *end = out + ENTRY_ID_MAX - sizeof digits - 3; /* two slashes and the NUL */
    out = put_text(out, end, e->node, '/');
    out = put_text(out, end + 1, e->lane, '/');
    (void)put_text(out, out + sizeof digits, (struct span){first, (size_t)(digits + sizeof digits - first)}, 0);
}

bool entry_id_parse(struct span text, struct span *ret_node, struct span *ret_lane, uint64_t *ret_seq)
{
    struct span rest, seq;
    struct span node = span_cut(text, '/', &rest), lane = span_cut(rest, '/', &seq);
    uint64_t v = 0;
    if (!node.n || !lane.n || !seq.n || seq.n > 19)
        return false;
    for (size_t i = 0; i < seq.n; i++) {
        if (seq.p[i] < '0' || seq.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(seq.p[i] - '0');
    }
    *ret_node = node;
    *ret_lane = lane;
    *ret_seq = v;
    return true;
}
