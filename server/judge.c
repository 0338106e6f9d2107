/* A complete request: is it genuine, is it a handshake, is it there already; else it goes into the journal. */
#include "server/door.h"
#include "core/mem.h"
#include <stdio.h>

/* ---- duplicates ---- */

/* The event's id and its body, since ids are often not signed. No id, no judgement: two equal bodies may be two events. */
static void find_duplicate_key(struct request *r, struct scope *scope, struct buf *text)
{
    const struct event_rule *rule = &r->source->manifest->event;
    struct err ignored;
    if (rule->has_each) {
        struct buf none;
        buf_init(&none, 256);
        struct value list = path_eval(&rule->each, scope, &none);
        scope->event = list.kind == VALUE_JSON ? json_at(list.json, 0) : (struct json){0};
        buf_release(&none);
    } else {
        scope->event = scope->body;
    }
    buf_clear(text);
    buf_addz(text, r->source->config->name);
    buf_addc(text, 0);
    size_t before = text->n;
    if (!rule->id_is_body_hash && (!template_render(&rule->id, scope, text, &ignored) || text->n == before))
        return;
    struct hash128 body = hash128(r->message.body);
    buf_addc(text, 0);
    buf_add_u64(text, body.lo);
    buf_add_u64(text, body.hi);
    if (buf_ok(text))
        r->dedupe = hash128(buf_span(text));
}

static bool has_key(const struct request *r)
{
    return r->dedupe.lo || r->dedupe.hi;
}

/* ---- credentials ---- */

/* Copies the target with the parameter's value replaced; whether it was there. */
static bool blank_query(struct request *r, struct span parameter, const char *with)
{
    struct span query, path = span_cut(r->message.url, '?', &query);
    struct buf name;
    buf_init(&name, 4096);
    struct buf *blanked = &workspace_of(r)->blanked;
    size_t at = blanked->n;
    bool any = false;
    buf_adds(blanked, path);
    for (char sep = '?'; query.p; sep = '&') {
        struct span value, field = span_cut(query, '&', &query);
        struct span key = span_cut(field, '=', &value);
        buf_clear(&name);
        bool ours = percent_decode(&name, key, true) && span_eq(buf_span(&name), parameter);
        any = any || ours;
        buf_addc(blanked, sep);
        buf_adds(blanked, ours ? key : field);
        if (ours)
            buf_addf(blanked, "=%s", with);
    }
    buf_release(&name);
    r->message.url = (struct span){blanked->p + at, blanked->n - at};
    return any;
}

static void blank_header(struct request *r, struct span name, struct span with)
{
    for (size_t i = 0; i < r->message.n_headers; i++)
        if (span_ieq(r->x->headers[i].name, name))
            r->x->headers[i].value = with;
}

/* What a handshake delivers as a secret, also where it was refused: it may be taken when it comes again. */
static void blank_delivered(struct request *r)
{
    const struct manifest *m = r->source->manifest;
    for (size_t i = 0; i < m->n_handshakes; i++) {
        const struct path *at = m->handshakes[i].has_secret ? &m->handshakes[i].secret : NULL;
        if (at && at->root == ROOT_HEADER)
            blank_header(r, at->name, SPAN_LIT("redacted"));
        else if (at && at->root == ROOT_QUERY)
            (void)blank_query(r, at->name, "redacted");
    }
}

/* Whether a secret may stand in the body, where it cannot be blanked. */
static bool body_delivers(const struct request *r)
{
    const struct manifest *m = r->source->manifest;
    for (size_t i = 0; i < m->n_handshakes; i++)
        if (m->handshakes[i].has_secret &&
            (m->handshakes[i].secret.root == ROOT_BODY || m->handshakes[i].secret.root == ROOT_FORM))
            return true;
    return false;
}

/* Where a header or parameter is itself the credential, its secret's id takes its place. */
static bool blank_credentials(struct request *r, const struct verify_result *found)
{
    static const char *const always[] = {"Authorization", "Proxy-Authorization", "Cookie"};
    const struct manifest *m = r->source->manifest;
    struct buf *blanked = &workspace_of(r)->blanked;
    size_t shared = 0;
    buf_clear(blanked);
    for (size_t i = 0; i < m->n_schemes; i++)
        shared += m->schemes[i].algorithm == ALG_TOKEN || m->schemes[i].algorithm == ALG_BASIC;
    for (size_t i = 0; i < m->n_handshakes; i++)
        shared += m->handshakes[i].has_secret;
    /* Reserved at once: what was put there before must not move. */
    if (shared && !buf_reserve(blanked, shared * (2 * r->message.url.n + 256)))
        return false;
    for (size_t i = 0; shared && i < m->n_schemes; i++) {
        const struct scheme *s = &m->schemes[i];
        if (s->algorithm != ALG_TOKEN && s->algorithm != ALG_BASIC)
            continue;
        char with[16 + SECRET_ID_MAX] = "redacted";
        if (found->scheme && strcmp(found->scheme, s->name) == 0)
            snprintf(with, sizeof with, "secret:%s", found->secret);
        size_t at = blanked->n;
        buf_addz(blanked, with);
        for (const char **name = s->signature.headers; name && *name; name++)
            blank_header(r, span_of(*name), (struct span){blanked->p + at, strlen(with)});
        if (s->signature.query)
            r->signature_blanked = blank_query(r, span_of(s->signature.query), with) || r->signature_blanked;
    }
    blank_delivered(r);
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++) {
        bool told = false; /* the id stands there already */
        struct span value = http_header(&r->message, span_of(always[i]), NULL);
        told = found->scheme && span_starts(value, SPAN_LIT("secret:"));
        if (!told)
            blank_header(r, span_of(always[i]), SPAN_LIT("redacted"));
    }
    return buf_ok(blanked);
}

/* ---- what is refused ---- */

/* Whether a scheme looks at a header that was blanked. */
static bool blanked_header(const struct request *r)
{
    const struct manifest *m = r->source->manifest;
    for (size_t i = 0; i < m->n_schemes; i++)
        for (const char **name = m->schemes[i].signature.headers; name && *name; name++)
            if (span_eqz(http_header(&r->message, span_of(*name), NULL), "redacted"))
                return true;
    return false;
}

void keep_rejected(struct request *r, enum outcome o, const char *scheme, uint64_t received_us, bool whole)
{
    static const struct verify_result nothing;
    struct rejected *kept = r->server->rejected;
    if (!rejected_keeps(kept) || !blank_credentials(r, &nothing))
        return;
    whole = whole && !body_delivers(r);
    struct record record = {.message = r->message,
                            .received_us = received_us,
                            .outcome = o,
                            .scheme = span_of(scheme ? scheme : ""),
                            .body_cut = !whole,
                            .body_bytes = !whole && r->x->declared != HTTP_CHUNKED ? r->x->declared : 0,
                            .blanked = r->signature_blanked || blanked_header(r)};
    if (!whole)
        record.message.body = (struct span){"", 0};
    rejected_keep(kept, r->source_index, &record);
}

/* ---- storing ---- */

static void remember(struct request *r, uint64_t seq)
{
    struct server *s = r->server;
    if (has_key(r))
        seen_add(s->seen, r->dedupe, s->io->world->now_us(s->io) + r->source->duplicate_us, seq);
}

/* In the thread that commits: what has to be in the order of the sequences, and no more. */
static void stored(struct ticket *t, const struct err *err)
{
    struct request *r = (struct request *)(void *)t; /* the ticket is its first member */
    struct server *s = r->server;
    if (!err) {
        counts_stored(&s->counts, r->source_index, t->seq, s->batch_us);
        r->finished = true;
        r->outcome = OUT_ACCEPTED;
        r->entry = t->seq;
        r->stored = true;
    }
    s->batch_n++;
    if (!r->stored || !await_is_on(s)) {
        http_resume(r->x);
        return;
    }
    remember(r, t->seq); /* a second one that comes meanwhile waits for the same entry */
    await_delivery(r, t->seq);
}

void batch_before(void *ctx)
{
    struct server *s = ctx;
    s->batch_us = s->io->world->now_us(s->io);
    s->batch_n = 0;
    counts_batch_begin(&s->counts);
}

void batch_after(void *ctx)
{
    struct server *s = ctx;
    counts_batch_end(&s->counts);
    http_wake(s->http);
    atomic_fetch_sub(&s->pending, s->batch_n); /* from here on the server may be gone */
}

void request_stored(struct request *r)
{
    if (r->stored && !await_is_on(r->server))
        remember(r, r->ticket.seq);
    answer_stored(r);
}

static void store(struct request *r, const struct verify_result *found)
{
    struct server *s = r->server;
    struct err err = {0};
    atomic_fetch_add(&s->pending, 1);
    if (atomic_load(&s->closed) || await_refuses(s) || !blank_credentials(r, found)) {
        atomic_fetch_sub(&s->pending, 1);
        answer_outcome(r, OUT_UNAVAILABLE);
        return;
    }
    struct entry e = {.kind = ENTRY_EVENT,
                      .received_us = r->verified_us,
                      .source = span_of(r->source->config->name),
                      .message = r->message,
                      .scheme = span_of(found->scheme ? found->scheme : ""),
                      .secret_id = span_of(found->secret),
                      .verified_us = found->scheme ? r->verified_us : 0,
                      .dedupe = r->dedupe};
    r->ticket.done = stored;
    /* Nobody else to share a sync with: then the commit is done here, and two wake-ups are saved. */
    bool alone = http_open_exchanges(s->http) == 1;
    if (!(alone ? lane_append_alone(s->lane, &e, &r->ticket, &err) : lane_append(s->lane, &e, &r->ticket, &err))) {
        atomic_fetch_sub(&s->pending, 1);
        answer_outcome(r, OUT_UNAVAILABLE);
    }
}

/* ---- judging ---- */

static const enum outcome outcomes[] = {
    [VERDICT_OK] = OUT_ACCEPTED,           [VERDICT_BAD_SIGNATURE] = OUT_BAD_SIGNATURE,
    [VERDICT_EXPIRED] = OUT_EXPIRED,       [VERDICT_MISSING_HEADER] = OUT_MISSING_HEADER,
    [VERDICT_MALFORMED] = OUT_MALFORMED,   [VERDICT_CANNOT_JUDGE] = OUT_CANNOT_JUDGE,
};

static enum verdict verify(struct request *r, struct keyring *ring, struct workspace *w, struct verify_result *found)
{
    struct door_source *source = r->source;
    server_signed_url(source->public_url, r->message.url, &w->text);
    const struct io *io = r->server->io;
    uint64_t began = io->world->monotonic_us(io);
    enum verdict v = verify_request(ring->verifier, &r->message, r->verified_us, UINT64_MAX, buf_span(&w->text), w->verify,
                                    found);
    histogram_observe(&r->server->verify_times, io->world->monotonic_us(io) - began);
    if (v == VERDICT_OK)
        atomic_store(&ring->last_used_us[found->secret_index], r->verified_us);
    return v;
}

static void judge(struct request *r, struct workspace *w)
{
    struct server *s = r->server;
    const struct door_source *source = r->source;
    const struct handshake_rule *h;
    struct keyring *ring = keyring_of(source);
    struct scope scope = {.message = &r->message, .config = source->pairs, .n_config = source->n_pairs};
    struct verify_result found = {0};
    struct err ignored;
    r->verified_us = s->io->world->now_us(s->io);
    if (source->reads_json && !source->manifest->body_is_form && !json_parse(r->message.body, &scope.body, &ignored))
        scope.body = (struct json){0};
    if ((h = handshake_find(r, false, &scope))) {
        handshake_answer(r, h, &scope, ring, &found, &w->text);
        return;
    }
    if (!span_eqz(r->message.method, "POST")) {
        answer_outcome(r, OUT_BAD_METHOD);
        return;
    }
    uint64_t expects_until_us = atomic_load(&source->expects_until_us); /* before the ring: it ends after a new one is there */
    enum verdict v = ring ? verify(r, ring, w, &found) : VERDICT_OK;
    if (v == VERDICT_BAD_SIGNATURE && ring != keyring_of(source)) {
        ring = keyring_of(source); /* its secret came in meanwhile */
        v = verify(r, ring, w, &found);
    }
    if (v == VERDICT_BAD_SIGNATURE && r->verified_us < expects_until_us) {
        r->judged = false;
        if (hold_request(r, ring))
            return;
        r->judged = true;
        v = VERDICT_CANNOT_JUDGE;
    }
    if (v != VERDICT_OK) {
        keep_rejected(r, outcomes[v], found.scheme, r->verified_us, true);
        answer_outcome(r, outcomes[v]);
        return;
    }
    if ((h = handshake_find(r, true, &scope))) {
        handshake_answer(r, h, &scope, ring, &found, &w->text);
        return;
    }
    if (source->has_id)
        find_duplicate_key(r, &scope, &w->text);
    uint64_t seq;
    if (!has_key(r) || !seen_has(s->seen, r->dedupe, r->verified_us, &seq)) {
        store(r, &found);
        return;
    }
    r->entry = seq;
    if (await_is_delivered(s, seq)) {
        answer_outcome(r, OUT_DUPLICATE);
    } else if (await_refuses(s)) {
        answer_outcome(r, OUT_UNAVAILABLE);
    } else {
        r->duplicate = true;
        await_delivery(r, seq);
    }
}

void judge_request(struct request *r)
{
    struct workspace *w = workspace_of(r);
    buf_clear(&w->text);
    r->judged = true;
    judge(r, w);
}
