#include "server/record.h"
#include "core/clock.h"
#include "core/codec.h"
#include <stdlib.h>

/* ---- writing ---- */

static void add_text(struct buf *out, const char *key, struct span text)
{
    buf_addc(out, ',');
    json_write_key(out, key);
    json_write_string(out, text);
}

static void add_headers(struct buf *out, const struct http_message *m)
{
    buf_addz(out, ",\"headers\":[");
    for (size_t i = 0; i < m->n_headers; i++) {
        buf_addz(out, i ? ",[" : "[");
        json_write_string(out, m->headers[i].name);
        buf_addc(out, ',');
        json_write_string(out, m->headers[i].value);
        buf_addc(out, ']');
    }
    buf_addc(out, ']');
}

void record_write(struct buf *out, const struct record *r)
{
    char at[CLOCK_TEXT_MAX];
    clock_iso_us(r->received_us, at);
    buf_addf(out, "{\"format\":%d,\"received_at\":\"%s\",\"now_unix\":%llu", RECORD_FORMAT, at,
             (unsigned long long)(r->received_us / 1000000));
    if (r->outcome != OUT_COUNT)
        add_text(out, "outcome", span_of(outcome_name(r->outcome)));
    if (r->scheme.n)
        add_text(out, "scheme", r->scheme);
    add_text(out, "method", r->message.method);
    add_text(out, "url", r->message.url);
    add_headers(out, &r->message);
    if (r->body_cut && r->body_bytes)
        buf_addf(out, ",\"body_bytes\":%llu", (unsigned long long)r->body_bytes);
    else if (r->body_cut)
        buf_addz(out, ",\"body_bytes\":null");
    if (r->blanked)
        buf_addz(out, ",\"blanked\":true");
    buf_addz(out, ",\"body_base64\":\"");
    base64_encode(out, r->message.body);
    buf_addz(out, "\"}");
}

/* ---- reading ---- */

/* Decoded onto the end of the text, which was reserved and does not move. p NULL: no text. */
static struct span take_text(struct record *r, struct json v)
{
    size_t at = r->text.n;
    if (v.type != JSON_STRING || !json_text(v, &r->text))
        return (struct span){NULL, 0};
    return (struct span){r->text.p + at, r->text.n - at};
}

static bool take_headers(struct record *r, struct json list)
{
    size_t n = json_count(list);
    if (list.type != JSON_ARRAY || n > ENTRY_HEADERS_MAX)
        return false;
    r->headers = calloc(n + 1, sizeof *r->headers);
    if (!r->headers)
        return false;
    struct json_iter it = json_iter(list);
    struct json pair;
    while (json_next(&it, NULL, &pair)) {
        struct http_header *h = &r->headers[r->message.n_headers++];
        h->name = take_text(r, json_at(pair, 0));
        h->value = take_text(r, json_at(pair, 1));
        if (!h->name.p || !h->value.p)
            return false;
    }
    r->message.headers = r->headers;
    return true;
}

static bool take_body(struct record *r, struct json json)
{
    struct span coded = take_text(r, json_get(json, SPAN_LIT("body_base64")));
    size_t at = r->text.n;
    if (!coded.p || !base64_decode(&r->text, coded))
        return false;
    r->message.body = (struct span){r->text.p + at, r->text.n - at};
    struct json bytes = json_get(json, SPAN_LIT("body_bytes"));
    int64_t n = 0;
    r->body_cut = bytes.type != JSON_NONE;
    if (bytes.type == JSON_NONE || bytes.type == JSON_NULL)
        return true;
    if (!json_int64(bytes, &n) || n < 0 || (uint64_t)n < r->message.body.n)
        return false;
    r->body_bytes = (uint64_t)n;
    return true;
}

static bool take_outcome(struct record *r, struct json v)
{
    r->outcome = OUT_COUNT;
    for (int o = 0; o < OUT_COUNT; o++)
        if (v.type == JSON_STRING && json_eqz(v, outcome_name((enum outcome)o)))
            r->outcome = (enum outcome)o;
    return v.type == JSON_NONE || r->outcome != OUT_COUNT;
}

bool record_read(struct json json, struct record *ret)
{
    int64_t format = 0;
    *ret = (struct record){0};
    if (json.type != JSON_OBJECT || !json_int64(json_get(json, SPAN_LIT("format")), &format) || format != RECORD_FORMAT)
        return false;
    buf_init(&ret->text, json.raw.n * 3 + 1024); /* no text is longer decoded, and the body stands there twice */
    if (!buf_reserve(&ret->text, json.raw.n * 3 + 1024))
        return false;
    struct span at = take_text(ret, json_get(json, SPAN_LIT("received_at")));
    struct json scheme = json_get(json, SPAN_LIT("scheme"));
    ret->message.method = take_text(ret, json_get(json, SPAN_LIT("method")));
    ret->message.url = take_text(ret, json_get(json, SPAN_LIT("url")));
    ret->scheme = scheme.type == JSON_NONE ? (struct span){"", 0} : take_text(ret, scheme);
    ret->blanked = json_get(json, SPAN_LIT("blanked")).type == JSON_TRUE;
    if (at.p && clock_parse_iso(at, &ret->received_us) && ret->message.method.p && ret->message.url.p && ret->scheme.p &&
        take_outcome(ret, json_get(json, SPAN_LIT("outcome"))) && take_headers(ret, json_get(json, SPAN_LIT("headers"))) &&
        take_body(ret, json))
        return true;
    record_release(ret);
    return false;
}

void record_release(struct record *r)
{
    free(r->headers);
    r->headers = NULL;
    buf_release(&r->text);
}
