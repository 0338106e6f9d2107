/* A session with a provider's management API: one call, what it is sent with, what its answer says. */
#include "core/codec.h"
#include "core/mem.h"
#include "webhooks/internal.h"
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void nobody_watches(void *ctx, const char *words, uint64_t until_us)
{
    (void)ctx, (void)words, (void)until_us;
}

bool webhooks_open(const struct webhooks_opts *o, struct webhooks **ret, struct err *err)
{
    const struct manifest *m = o->source->manifest;
    if (!m->webhook.managed)
        return err_set(err, ERR_CONFIG,
                       "%s has no API for webhooks that is known here: `sluice connect %s` says what to do by hand",
                       m->title, o->source->name);
    struct webhooks *w = mem_alloc(sizeof *w);
    *w = (struct webhooks){.source = o->source, .rule = &m->webhook, .io = o->io};
    w->opts = (struct backfill_opts){.source = o->source, .io = o->io, .stop = o->stop, .backoff_us_base = o->backoff_us_base};
    w->watch.waiting = nobody_watches;
    fetched_init(&w->answer);
    buf_init(&w->url, 1 << 16);
    bool ok = config_pairs(o->source, &w->pairs, &w->n_pairs, err);
    struct scope scope = {.config = w->pairs, .n_config = w->n_pairs};
    w->fetcher = ok ? fetcher_new(&w->opts, &scope, err) : NULL;
    if (!w->fetcher) {
        webhooks_close(&w);
        return false;
    }
    *ret = w;
    return true;
}

void webhooks_close(struct webhooks **at)
{
    struct webhooks *w = *at;
    if (!w)
        return;
    fetcher_free(&w->fetcher);
    buf_wipe(&w->answer.body);
    buf_wipe(&w->url);
    fetched_release(&w->answer);
    config_pairs_free(&w->pairs, w->n_pairs);
    free(w);
    *at = NULL;
}

/* ---- one call ---- */

static void make_scope(const struct webhooks *w, const struct endpoint_wish *wish, struct call_scope *s)
{
    static const struct names none;
    struct span password, user = span_cut(wish->secret, ':', &password);
    size_t n = 0;
    s->types = wish->types ? wish->types : &none;
    buf_init(&s->joined, 1 << 20);
    for (size_t i = 0; i < s->types->n; i++)
        buf_addf(&s->joined, "%s%s", i ? "," : "", s->types->list[i]);
    s->words[n++] = (struct scope_pair){SPAN_LIT("types"), buf_span(&s->joined)};
    s->words[n++] = (struct scope_pair){SPAN_LIT("type"), s->types->n ? span_of(s->types->list[0]) : SPAN_LIT("")};
    s->words[n++] = (struct scope_pair){SPAN_LIT("source"), span_of(w->source->name)};
    s->words[n++] = (struct scope_pair){SPAN_LIT("user"), user.p ? user : SPAN_LIT("")};
    s->words[n++] = (struct scope_pair){SPAN_LIT("password"), password.p ? password : SPAN_LIT("")};
    if (wish->id)
        s->words[n++] = (struct scope_pair){SPAN_LIT("id"), span_of(wish->id)};
    s->scope = (struct scope){.config = w->pairs,
                              .n_config = w->n_pairs,
                              .words = s->words,
                              .n_words = n,
                              .secret = wish->secret,
                              .url = span_of(wish->url ? wish->url : "")};
}

static bool add_headers(const struct manage_call *c, const struct call_scope *s, bool has_body, struct buf *out, struct err *err)
{
    bool typed = false;
    for (size_t i = 0; i < c->n_headers; i++) {
        typed = typed || span_ieq(span_of(c->headers[i].name), SPAN_LIT("Content-Type"));
        buf_addf(out, "%s: ", c->headers[i].name);
        if (!template_render(&c->headers[i].value, &s->scope, out, err))
            return false;
        buf_addc(out, '\n');
    }
    if (has_body && !typed)
        buf_addf(out, "Content-Type: %s\n", c->n_form ? "application/x-www-form-urlencoded" : "application/json");
    if (!has_body && strcmp(c->method, "GET") != 0 && strcmp(c->method, "DELETE") != 0)
        buf_addz(out, "Content-Length: 0\n");
    return true;
}

/* The secrets of the configuration, and the chosen one, out of what is said. */
static void hide_all(const struct webhooks *w, struct span chosen, struct err *err)
{
    struct hide h = {.source = w->source, .config = w->pairs, .n_config = w->n_pairs};
    hide_in_message(&h, err);
    char *at = chosen.n ? memmem(err->msg, strlen(err->msg), chosen.p, chosen.n) : NULL;
    for (; at; at = memmem(err->msg, strlen(err->msg), chosen.p, chosen.n))
        memset(at, '*', chosen.n);
}

static bool send_call(struct webhooks *w, const struct manage_call *c, const char *url, struct span headers, struct span body,
                      struct err *err)
{
    struct fetch_call call = {.method = c->method,
                              .headers = headers,
                              .body = body,
                              .scope = w->rule->scope,
                              .errors = w->rule->errors,
                              .n_errors = w->rule->n_errors};
    switch (fetch_call(w->fetcher, url, &call, &w->watch, &w->answer, err)) {
    case FETCH_OK:
        return true;
    case FETCH_STOPPED:
        return err_set(err, ERR_STOPPED, "stopped");
    default:
        return false;
    }
}

bool session_call(struct webhooks *w, const struct manage_call *c, const struct endpoint_wish *wish, const char *page,
                  const char *next, struct err *err)
{
    struct call_scope s = {0};
    struct buf *url = &w->url, headers, body;
    make_scope(w, wish, &s);
    buf_clear(url);
    buf_init(&headers, 1 << 16);
    buf_init(&body, 4 << 20);
    const struct webhook_rule *flags = c == &w->rule->create || c == &w->rule->update ? w->rule : NULL;
    const struct call_parts parts = {w->source->base_url, &c->path, c->query, c->n_query};
    bool ok = page ? (buf_addz(url, page), true) : call_address(w->source->manifest, &parts, &s.scope, url, err);
    if (ok && next)
        call_address_add(url, c->page.next_query, span_of(next));
    ok = ok && (c->n_form ? body_form(c, flags, &s, &body, err) : !c->n_json || body_json(c, flags, &s, &body, err));
    bool has_body = c->n_form || c->n_json;
    ok = ok && add_headers(c, &s, has_body, &headers, err);
    w->watch.cause[0] = 0;
    ok = ok && send_call(w, c, buf_z(url), buf_span(&headers), has_body ? buf_span(&body) : (struct span){NULL, 0}, err);
    if (!ok && err)
        hide_all(w, wish->secret, err);
    buf_wipe(&headers);
    buf_wipe(&body);
    buf_release(&s.joined);
    return ok;
}

/* ---- the calls ---- */

static void take_text(const struct webhooks *w, const struct path *at, struct buf *ret)
{
    struct scope scope = {.message = &w->answer.message, .body = w->answer.json};
    buf_clear(ret);
    if (at->text)
        (void)path_text(at, &scope, ret);
}

bool webhooks_create(struct webhooks *w, const struct endpoint_wish *wish, struct buf *ret_id, struct buf *ret_secret,
                     struct err *err)
{
    if (!session_call(w, &w->rule->create, wish, NULL, NULL, err))
        return false;
    take_text(w, &w->rule->create.id, ret_id);
    take_text(w, &w->rule->create.secret, ret_secret);
    if (w->rule->secret == SECRET_TOLD && w->rule->create.secret.text && !ret_secret->n && !w->rule->reveal.method)
        return err_set(err, ERR_INPUT, "the endpoint is there, but the answer has no secret at %s", w->rule->create.secret.text);
    return true;
}

bool webhooks_update(struct webhooks *w, const struct endpoint_wish *wish, struct err *err)
{
    if (!w->rule->update.method)
        return err_set(err, ERR_CONFIG, "%s cannot change an endpoint: delete and register it", w->source->manifest->title);
    return session_call(w, &w->rule->update, wish, NULL, NULL, err);
}

static bool call_by_id(struct webhooks *w, const struct manage_call *c, const char *id, struct err *err)
{
    const struct endpoint_wish wish = {.id = id};
    return !c->method || session_call(w, c, &wish, NULL, NULL, err);
}

bool webhooks_confirm(struct webhooks *w, const char *id, struct err *err)
{
    return call_by_id(w, &w->rule->confirm, id, err);
}

bool webhooks_enable(struct webhooks *w, const char *id, struct err *err)
{
    return call_by_id(w, &w->rule->enable, id, err);
}

bool webhooks_remove(struct webhooks *w, const char *id, struct err *err)
{
    const struct endpoint_wish wish = {.id = id};
    if (!w->rule->remove.method)
        return err_set(err, ERR_CONFIG, "%s has no call that deletes an endpoint", w->source->manifest->title);
    return session_call(w, &w->rule->remove, &wish, NULL, NULL, err) || strcmp(w->watch.cause, "gone") == 0;
}

bool webhooks_reveal(struct webhooks *w, const char *id, struct buf *ret_secret, struct err *err)
{
    const struct endpoint_wish wish = {.id = id};
    buf_clear(ret_secret);
    if (!w->rule->reveal.method)
        return err_set(err, ERR_CONFIG, "%s does not tell an endpoint's secret again", w->source->manifest->title);
    if (!session_call(w, &w->rule->reveal, &wish, NULL, NULL, err))
        return false;
    take_text(w, &w->rule->reveal.secret, ret_secret);
    return ret_secret->n || err_set(err, ERR_INPUT, "the answer has no secret at %s", w->rule->reveal.secret.text);
}

bool webhooks_roll(struct webhooks *w, const struct endpoint_wish *wish, struct buf *ret_secret, struct err *err)
{
    bool own = w->rule->roll.method != NULL;
    if (!session_call(w, own ? &w->rule->roll : &w->rule->update, wish, NULL, NULL, err))
        return false;
    buf_clear(ret_secret);
    if (own)
        take_text(w, &w->rule->roll.secret, ret_secret);
    if (ret_secret->n || w->rule->secret == SECRET_CHOSEN)
        return true;
    return webhooks_reveal(w, wish->id, ret_secret, err);
}

bool webhooks_version(struct webhooks *w, struct buf *out, struct err *err)
{
    struct scope scope = {.config = w->pairs, .n_config = w->n_pairs};
    return !w->rule->version.n_parts || template_render(&w->rule->version, &scope, out, err);
}

void webhooks_clicks(const struct source_config *s, const char *url, const struct names *types, struct buf *out)
{
    const struct webhook_rule *rule = &s->manifest->webhook;
    struct buf joined;
    buf_init(&joined, 1 << 20);
    for (size_t i = 0; i < types->n; i++)
        buf_addf(&joined, "%s%s", i ? ", " : "", types->list[i]);
    struct scope_pair words[] = {{SPAN_LIT("types"), types->n ? buf_span(&joined) : SPAN_LIT("all")},
                                 {SPAN_LIT("type"), SPAN_LIT("")},
                                 {SPAN_LIT("source"), span_of(s->name)}};
    struct scope_pair *plain = mem_alloc((s->n_values + 1) * sizeof *plain);
    size_t n = 0;
    for (size_t i = 0; i < s->n_values; i++)
        if (!s->values[i].secret)
            plain[n++] = (struct scope_pair){span_of(s->values[i].name), span_of(s->values[i].text)};
    struct scope scope = {.words = words, .n_words = 3, .url = span_of(url), .config = plain, .n_config = n};
    for (size_t i = 0; i < rule->n_clicks; i++) {
        buf_addf(out, "  %zu. ", i + 1);
        if (!template_render(&rule->clicks[i], &scope, out, NULL))
            buf_addz(out, rule->clicks[i].text);
        buf_addc(out, '\n');
    }
    free(plain);
    buf_release(&joined);
}

bool webhooks_choose_secret(const struct manifest *m, const struct io *io, struct buf *ret, struct err *err)
{
    unsigned char bytes[32];
    const struct scheme *s = m->n_schemes ? &m->schemes[0] : NULL;
    if (io->world->random(io, bytes, sizeof bytes) != 0)
        return err_set(err, ERR_BUG, "there are no random bytes");
    struct span raw = span_make((const char *)bytes, sizeof bytes);
    buf_clear(ret);
    if (s && s->algorithm == ALG_BASIC)
        buf_addz(ret, "sluice:");
    if (s && s->key.encoding == ENC_BASE64 && s->key.strip)
        buf_addz(ret, s->key.strip);
    if (s && s->key.encoding == ENC_BASE64)
        base64_encode(ret, raw);
    else
        hex_encode(ret, raw);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return buf_ok(ret) || err_set(err, ERR_NOMEM, "no memory for a secret");
}
