/* Signing as the provider would: the first scheme with a key that can sign, its first active secret. */
#include "server/verify_internal.h"
#include "core/clock.h"
#include "core/codec.h"
#include <stdio.h>

#define HEADERS_MADE_MAX 24

/* The headers of the request that is being made, before its signature. */
struct making {
    const struct scheme *rule;
    struct http_header headers[HEADERS_MADE_MAX];
    size_t n;
    struct span url, body, event_id;
    char time[CLOCK_TEXT_MAX];
};

static const struct verify_key *key_for_signing(const struct verifier *v, uint64_t now_us, const struct scheme **ret_rule)
{
    for (size_t i = 0; i < v->n_schemes; i++) {
        const struct verify_scheme *s = &v->schemes[i];
        if (!s->on || s->rule->algorithm == ALG_ED25519 || !s->rule->signature.headers)
            continue;
        for (size_t k = 0; k < s->n_keys; k++) {
            if (key_is_active(v, &s->keys[k], now_us)) {
                *ret_rule = s->rule;
                return &s->keys[k];
            }
        }
    }
    return NULL;
}

static void add_header(struct making *m, struct span name, struct span value)
{
    for (size_t i = 0; i < m->n; i++)
        if (span_ieq(m->headers[i].name, name))
            return;
    if (m->n < HEADERS_MADE_MAX)
        m->headers[m->n++] = (struct http_header){name, value};
}

static void add_path(struct making *m, const struct path *path, struct span value)
{
    if (path->root == ROOT_HEADER)
        add_header(m, path->name, value);
}

/* A condition that asks for a header's value is met by its first one that is no pattern. */
static void add_conditions(struct making *m)
{
    for (size_t i = 0; i < m->rule->n_when; i++) {
        const struct condition *c = &m->rule->when[i];
        if (c->kind == COND_VALUES && c->n_values && !memchr(c->values[0].p, '*', c->values[0].n))
            add_path(m, &c->path, c->values[0]);
        else if (c->kind == COND_PRESENT && !span_ieq(c->path.name, span_of(m->rule->signature.headers[0])))
            add_path(m, &c->path, m->event_id);
    }
}

/* What the scheme looks at: its time, and for every other header that it needs the event's id. */
static void add_headers(struct making *m, uint64_t now_us)
{
    const struct scheme *rule = m->rule;
    if (rule->time.unit == UNIT_ISO8601)
        clock_iso_s(now_us, m->time);
    else
        snprintf(m->time, sizeof m->time, "%llu",
                 (unsigned long long)(rule->time.unit == UNIT_MS ? now_us / 1000 : now_us / 1000000));
    if (rule->time.present)
        add_path(m, &rule->time.from, span_of(m->time));
    add_conditions(m);
    for (size_t i = 0; i < rule->signed_text.n_parts; i++)
        if (!rule->signed_text.parts[i].literal)
            add_path(m, &rule->signed_text.parts[i].path, m->event_id);
    for (const char **name = rule->require; name && *name; name++)
        add_header(m, span_of(*name), m->event_id);
}

static void encode(const struct scheme *rule, struct span raw, struct buf *out)
{
    if (rule->signature.encoding == ENC_HEX)
        hex_encode(out, raw);
    else if (rule->signature.encoding == ENC_BASE64)
        base64_encode(out, raw);
    else
        buf_adds(out, raw);
}

/* The signature header's value around what is signed or shared. */
static void write_value(const struct making *m, struct span raw, struct buf *out)
{
    const struct scheme *rule = m->rule;
    if (rule->algorithm == ALG_BASIC) {
        buf_addz(out, "Basic ");
        base64_encode(out, raw);
        return;
    }
    buf_addz(out, rule->signature.prefix ? rule->signature.prefix : "");
    if (rule->signature.list == ' ') {
        buf_addz(out, rule->signature.pick);
    } else if (rule->signature.list) {
        if (rule->time.present && rule->time.from.root == ROOT_SIGNATURE)
            buf_addf(out, "%.*s=%s%c", SPAN_ARG(rule->time.from.name), m->time, rule->signature.list);
        buf_addf(out, "%s=", rule->signature.pick);
    }
    encode(rule, raw, out);
}

static bool sign(const struct verifier *v, const struct verify_key *key, const struct making *m, struct buf *out,
                 struct err *err)
{
    const struct held_secret *held = &v->secrets[key->secret];
    struct span secret = {held->text, held->n}, raw = secret;
    struct http_message message = {
        .method = SPAN_LIT("POST"), .url = m->url, .headers = m->headers, .n_headers = m->n, .body = m->body};
    struct scope scope = {.message = &message, .time = span_of(m->time), .config = v->config, .n_config = v->n_config};
    struct err ignored;
    struct signed_part parts[SIGNED_PARTS_MAX];
    unsigned char digest[DIGEST_BYTES_MAX];
    char why[200];
    struct buf text;
    if (v->needs_json && !json_parse(m->body, &scope.body, &ignored))
        scope.body = (struct json){0};
    buf_init(&text, (size_t)1 << 20);
    bool ok = true;
    if (key->mac) {
        ok = signed_parts(m->rule, &scope, &text, parts, why, sizeof why) == VERDICT_OK ||
             err_set(err, ERR_INPUT, "cannot sign as %s: %s", m->rule->name, why);
        size_t n = ok ? mac_of(key, parts, m->rule->signed_text.n_parts, buf_span(&text), m->body, secret, digest) : 0;
        ok = ok && (n || err_set(err, ERR_BUG, "the cryptographic library failed"));
        raw = span_make(digest, n);
    }
    buf_release(&text);
    if (!ok)
        return false;
    for (size_t i = 0; i < m->n; i++)
        buf_addf(out, "%.*s: %.*s\n", SPAN_ARG(m->headers[i].name), SPAN_ARG(m->headers[i].value));
    buf_addf(out, "%s: ", m->rule->signature.headers[0]);
    write_value(m, raw, out);
    buf_addc(out, '\n');
    return buf_ok(out) || err_set(err, ERR_NOMEM, "the headers are too long");
}

bool verify_sign(const struct verifier *v, struct span public_url, struct span body, struct span event_id, uint64_t now_us,
                 struct buf *out, struct err *err)
{
    struct making m = {.url = public_url.p ? public_url : SPAN_LIT(""), .body = body, .event_id = event_id};
    const struct verify_key *key = key_for_signing(v, now_us, &m.rule);
    if (!key && v->n_secrets == 0)
        return err_set(err, ERR_CONFIG, "%s has no secret to sign with", v->manifest->name);
    if (!key)
        return err_set(err, ERR_CONFIG,
                       "%s cannot be signed for: none of its schemes signs with a shared secret in a header, or none is active",
                       v->manifest->name);
    add_headers(&m, now_us);
    return sign(v, key, &m, out, err);
}
