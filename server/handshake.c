/* Handshakes: what providers send to prove that an endpoint is ours, answered as the manifest says. */
#include "server/door.h"
#include "core/log.h"
#include "core/mem.h"
#include <regex.h>
#include <stdlib.h>

#define URL_MAX ((size_t)4096)          /* of a URL that is fetched */
#define SHAPE_MAX ((size_t)4096)        /* of a text whose shape is looked at */
#define HEADERS_MAX ((size_t)16 << 10)  /* of all values of answer headers */

bool handshake_may_be_unsigned(const struct door_source *source)
{
    for (size_t i = 0; i < source->manifest->n_handshakes; i++)
        if (!source->manifest->handshakes[i].verified)
            return true;
    return false;
}

const struct handshake_rule *handshake_find(const struct request *r, bool verified, const struct scope *scope)
{
    const struct manifest *m = r->source->manifest;
    for (size_t i = 0; i < m->n_handshakes; i++) {
        const struct handshake_rule *h = &m->handshakes[i];
        if (h->verified == verified && conditions_hold(h->when, h->n_when, scope))
            return h;
    }
    return NULL;
}

/* ---- what it must look like ---- */

static bool has_shape(const struct shape_rule *s, const struct scope *scope)
{
    regex_t re;
    regmatch_t whole = {0};
    struct buf text;
    buf_init(&text, SHAPE_MAX);
    bool ok = path_text(&s->path, scope, &text) && buf_ok(&text) && !memchr(buf_span(&text).p, 0, text.n);
    if (ok && regcomp(&re, s->pattern, REG_EXTENDED) == 0) {
        ok = regexec(&re, buf_z(&text), 1, &whole, 0) == 0 && whole.rm_so == 0 && (size_t)whole.rm_eo == text.n;
        regfree(&re);
    } else {
        ok = false;
    }
    buf_release(&text);
    return ok;
}

static bool passes(const struct handshake_rule *h, const struct scope *scope)
{
    bool ok = conditions_hold(h->must, h->n_must, scope);
    for (size_t i = 0; ok && i < h->n_shapes; i++)
        ok = has_shape(&h->shapes[i], scope);
    return ok;
}

/* ---- the answer's parts ---- */

static bool render_body(const struct handshake_rule *h, const struct scope *scope, struct buf *out)
{
    struct err ignored;
    if (h->n_json == 0)
        return template_render(&h->text, scope, out, &ignored);
    struct buf value;
    buf_init(&value, out->max);
    bool ok = true;
    for (size_t i = 0; ok && i < h->n_json; i++) {
        const struct answer_member *m = &h->json[i];
        buf_addc(out, i ? ',' : '{');
        json_write_key(out, m->name);
        if (m->raw) {
            buf_addz(out, m->raw);
            continue;
        }
        buf_clear(&value);
        ok = template_render(&m->text, scope, &value, &ignored);
        json_write_string(out, buf_span(&value));
    }
    buf_addc(out, '}');
    buf_release(&value);
    return ok && buf_ok(out);
}

/* A value goes into the head of the answer: nothing in it may end a line. */
static bool is_header_value(struct span value)
{
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f)
            return false;
    return value.n > 0;
}

/* Values one after another in `out`, each ended by a NUL, and where they begin: `out` does not move. */
static bool render_headers(const struct handshake_rule *h, const struct scope *scope, struct buf *out, const char **ret)
{
    struct err ignored;
    if (!buf_reserve(out, HEADERS_MAX))
        return false;
    for (size_t i = 0; i < h->n_headers; i++) {
        size_t at = out->n;
        if (!template_render(&h->headers[i].value, scope, out, &ignored) ||
            !is_header_value((struct span){out->p + at, out->n - at}))
            return false;
        buf_addc(out, 0);
        if (!buf_ok(out))
            return false;
        ret[i] = out->p + at; /* reserved: it does not move */
    }
    return true;
}

/* ---- what it does beside being answered ---- */

static void refuse(struct request *r, const struct handshake_rule *h)
{
    answer_refused_as(r, OUT_BAD_SIGNATURE, h->refuse);
}

/* A header that is there twice means one thing to us and may mean another to who stands before us. */
static bool is_once(const struct request *r, const struct path *p)
{
    unsigned n = 1;
    if (p->root == ROOT_HEADER)
        http_header(&r->message, p->name, &n);
    return n == 1;
}

/* false: refused, and answered. */
static bool take_secret(struct request *r, const struct handshake_rule *h, const struct scope *scope)
{
    static struct log_limit limit;
    const char *name = r->source->config->name;
    char id[SECRET_ID_MAX];
    struct err err = {0};
    struct buf secret;
    if (!h->has_secret || !keyring_of(r->source)) /* verification: none: nothing would be verified by it */
        return true;
    buf_init(&secret, HEADERS_MAX);
    enum delivery done = DELIVERY_UNFIT;
    if (is_once(r, &h->secret) && path_text(&h->secret, scope, &secret) && buf_ok(&secret))
        done = keyring_deliver(r->server, r->source, buf_span(&secret), h->verified, id, &err);
    buf_wipe(&secret);
    switch (done) {
    case DELIVERY_TAKEN:
        log_warn("a handshake brought a secret; it verifies from now on", "source=%s secret=%s signed=%s", name, id,
                 h->verified ? "yes" : "no");
        return true;
    case DELIVERY_KNOWN:
        return true;
    case DELIVERY_REFUSED:
        log_limited(&limit, LOG_WARN, "a handshake's secret was not taken: there are secrets already", "source=%s", name);
        refuse(r, h);
        return false;
    case DELIVERY_FAILED:
        log_limited(&limit, LOG_ERROR, "a handshake's secret could not be kept", "source=%s error=\"%s\"", name, err.msg);
        answer_outcome(r, OUT_UNAVAILABLE);
        return false;
    default:
        answer_outcome(r, OUT_MALFORMED);
        return false;
    }
}

static bool ask_for_fetch(struct request *r, const struct handshake_rule *h, const struct scope *scope)
{
    static struct log_limit limit;
    char host[HOST_MAX] = "";
    struct buf url;
    if (!h->has_fetch)
        return true;
    buf_init(&url, URL_MAX);
    bool there = path_text(&h->fetch, scope, &url) && buf_ok(&url) && !memchr(buf_span(&url).p, 0, url.n);
    bool ok = false;
    if (!there) {
        answer_outcome(r, OUT_MALFORMED);
    } else if (!keyring_of(r->source) || !confirm_allows(buf_z(&url), h->hosts, host)) {
        log_limited(&limit, LOG_WARN, "a handshake asks for a URL that is not allowed", "source=%s host=%s",
                    r->source->config->name, host);
        refuse(r, h);
    } else if (!confirm_ask(r->server, r->source->config->name, buf_z(&url))) {
        answer_outcome(r, OUT_UNAVAILABLE);
    } else {
        ok = true;
    }
    buf_release(&url);
    return ok;
}

/* ---- all of it ---- */

/* The secret that verified the request; else the first that has not retired. */
static struct span secret_of(const struct request *r, const struct handshake_rule *h, const struct keyring *ring,
                             const struct verify_result *found)
{
    size_t n = ring ? verifier_secrets(ring->verifier) : 0;
    if (n && h->verified)
        return verifier_secret_text(ring->verifier, found->secret_index);
    for (size_t i = 0; i < n; i++) {
        uint64_t retire;
        (void)verifier_secret(ring->verifier, i, &retire);
        if (retire == 0 || r->verified_us < retire)
            return verifier_secret_text(ring->verifier, i);
    }
    return (struct span){0};
}

void handshake_answer(struct request *r, const struct handshake_rule *h, struct scope *scope,
                      const struct keyring *ring, const struct verify_result *found, struct buf *text)
{
    struct buf values;
    const char **list = mem_alloc((h->n_headers + 1) * sizeof *list);
    buf_clear(text);
    buf_init(&values, HEADERS_MAX);
    scope->secret = secret_of(r, h, ring, found);
    if (!passes(h, scope)) {
        refuse(r, h);
    } else if (!render_body(h, scope, text) || !render_headers(h, scope, &values, list)) {
        answer_outcome(r, OUT_MALFORMED);
    } else if (take_secret(r, h, scope) && ask_for_fetch(r, h, scope)) {
        request_finish(r, OUT_HANDSHAKE);
        answer_handshake(r, h, buf_span(text), list);
    }
    scope->secret = (struct span){0};
    buf_wipe(&values); /* an echoed secret */
    free(list);
}
