#include "cli/captured.h"
#include "core/clock.h"
#include "core/codec.h"
#include <openssl/crypto.h>

/* Decoded onto the end of the text, which was reserved and does not move. */
static struct span take_text(struct captured *c, struct json v)
{
    size_t at = c->text.n;
    if (!json_text(v, &c->text))
        return (struct span){NULL, 0};
    return (struct span){c->text.p + at, c->text.n - at};
}

static bool take_header(struct captured *c, struct span name, struct span value, struct err *err)
{
    if (c->message.n_headers == CAPTURED_HEADERS_MAX)
        return err_set(err, ERR_INPUT, "more than %d headers", CAPTURED_HEADERS_MAX);
    if (!name.p || !value.p)
        return err_set(err, ERR_INPUT, "headers must be pairs of texts: [[\"Name\", \"value\"], …]");
    c->headers[c->message.n_headers++] = (struct http_header){name, value};
    return true;
}

static bool take_headers(struct captured *c, struct err *err)
{
    struct json list = json_get(c->json, SPAN_LIT("headers")), item;
    if (list.type != JSON_ARRAY && list.type != JSON_OBJECT)
        return err_set(err, ERR_INPUT, "a request needs `headers`, like [[\"Name\", \"value\"], …]");
    struct json_iter it = json_iter(list);
    struct span key;
    while (json_next(&it, &key, &item)) {
        size_t at = c->text.n;
        struct span name = {NULL, 0};
        if (list.type == JSON_OBJECT && json_unescape(&c->text, key))
            name = (struct span){c->text.p + at, c->text.n - at};
        else if (list.type == JSON_ARRAY)
            name = take_text(c, json_at(item, 0));
        if (!take_header(c, name, take_text(c, list.type == JSON_ARRAY ? json_at(item, 1) : item), err))
            return false;
    }
    c->message.headers = c->headers;
    return true;
}

static bool take_body(struct captured *c, struct err *err)
{
    struct json coded = json_get(c->json, SPAN_LIT("body_base64")), plain = json_get(c->json, SPAN_LIT("body"));
    if (coded.type != JSON_STRING && plain.type != JSON_STRING)
        return err_set(err, ERR_INPUT, "a request needs `body_base64`, or `body` as text");
    if (coded.type != JSON_STRING) {
        c->message.body = take_text(c, plain);
        return true;
    }
    struct span text = take_text(c, coded);
    size_t from = c->text.n;
    if (!base64_decode(&c->text, text))
        return err_set(err, ERR_INPUT, "`body_base64` is not base64 (RFC 4648, with padding)");
    c->message.body = (struct span){c->text.p + from, c->text.n - from};
    return true;
}

static bool take_secrets(struct captured *c, const char *member, struct err *err)
{
    struct json_iter it = json_iter(json_get(c->json, span_of(member)));
    struct json item;
    while (json_next(&it, NULL, &item)) {
        if (c->n_secrets == CAPTURED_SECRETS_MAX)
            return err_set(err, ERR_INPUT, "more than %d secrets", CAPTURED_SECRETS_MAX);
        struct span text = take_text(c, item);
        if (text.n)
            c->secrets[c->n_secrets++] = (struct verify_secret){text, 0};
    }
    return true;
}

static void take_aux(struct captured *c)
{
    struct json_iter it = json_iter(json_get(c->json, SPAN_LIT("aux")));
    struct json item;
    struct span key;
    while (it.object && c->n_aux < CAPTURED_AUX_MAX && json_next(&it, &key, &item)) {
        size_t at = c->text.n;
        if (!json_unescape(&c->text, key))
            return;
        struct span name = {c->text.p + at, c->text.n - at}, value = take_text(c, item);
        if (value.p)
            c->aux[c->n_aux++] = (struct scope_pair){name, value};
    }
}

static bool take_numbers(struct captured *c, struct err *err)
{
    struct json now = json_get(c->json, SPAN_LIT("now_unix")), tolerance = json_get(c->json, SPAN_LIT("tolerance_seconds"));
    int64_t n = 0;
    if (now.type != JSON_NONE && now.type != JSON_NULL && (!json_int64(now, &n) || n < 0 || n > INT64_MAX / 1000000))
        return err_set(err, ERR_INPUT, "`now_unix` must be whole seconds since 1970");
    c->now_us = (uint64_t)n * 1000000;
    c->tolerance_us = UINT64_MAX;
    if (tolerance.type == JSON_NONE || tolerance.type == JSON_NULL)
        return true;
    if (!json_int64(tolerance, &n) || n < 0 || n > INT64_MAX / 1000000)
        return err_set(err, ERR_INPUT, "`tolerance_seconds` must be whole seconds");
    c->tolerance_us = (uint64_t)n * 1000000;
    return true;
}

/* What is there only in a request that was kept by Sluice itself. */
static bool take_kept(struct captured *c, struct err *err)
{
    struct json bytes = json_get(c->json, SPAN_LIT("body_bytes"));
    int64_t n = 0;
    uint64_t at = 0;
    c->outcome = take_text(c, json_get(c->json, SPAN_LIT("outcome")));
    c->blanked = json_get(c->json, SPAN_LIT("blanked")).type == JSON_TRUE;
    struct span received = take_text(c, json_get(c->json, SPAN_LIT("received_at")));
    if (received.p && clock_parse_iso(received, &at) && at / 1000000 == c->now_us / 1000000)
        c->now_us = at; /* the same moment, more exactly */
    if (bytes.type != JSON_NONE && bytes.type != JSON_NULL && (!json_int64(bytes, &n) || n < 0))
        return err_set(err, ERR_INPUT, "`body_bytes` must be the length of the body as it came");
    c->body_bytes = (uint64_t)n;
    c->body_cut = bytes.type == JSON_NULL || (bytes.type != JSON_NONE && c->body_bytes > c->message.body.n);
    return true;
}

bool captured_read(struct json json, struct captured *ret, struct err *err)
{
    *ret = (struct captured){.json = json};
    if (json.type != JSON_OBJECT)
        return err_set(err, ERR_INPUT, "a request must be a JSON object with headers and body_base64");
    buf_init(&ret->text, json.raw.n * 3 + 1024); /* no text is longer decoded, and the body stands there twice */
    if (!buf_reserve(&ret->text, json.raw.n * 3 + 1024))
        return err_set(err, ERR_NOMEM, "the request is too large");
    ret->message.method = take_text(ret, json_get(json, SPAN_LIT("method")));
    ret->message.url = take_text(ret, json_get(json, SPAN_LIT("url")));
    if (!ret->message.method.p)
        ret->message.method = SPAN_LIT("POST");
    if (!ret->message.url.p)
        ret->message.url = SPAN_LIT("/");
    bool ok = take_headers(ret, err) && take_body(ret, err) && take_secrets(ret, "secrets", err) &&
              take_secrets(ret, "public_keys", err) && take_numbers(ret, err) && take_kept(ret, err);
    if (!ok) {
        captured_release(ret);
        return false;
    }
    take_aux(ret);
    return true;
}

void captured_release(struct captured *c)
{
    if (c->text.p)
        OPENSSL_cleanse(c->text.p, c->text.cap);
    buf_release(&c->text);
}

bool captured_accepts(const struct captured *c, const char *verdict)
{
    if (json_eqz(json_get(c->json, SPAN_LIT("expect")), verdict))
        return true;
    struct json_iter it = json_iter(json_get(c->json, SPAN_LIT("also_acceptable")));
    struct json item;
    while (json_next(&it, NULL, &item))
        if (json_eqz(item, verdict))
            return true;
    return false;
}

void captured_word(const struct captured *c, const char *member, struct buf *out)
{
    (void)json_text(json_get(c->json, span_of(member)), out);
}
