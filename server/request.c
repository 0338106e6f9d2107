/* One request's way through libmicrohttpd's calls:
 *
 *   begin (request line) ─▶ first step: headers ─▶ body … ─▶ last step: judged ─▶ suspended ─▶ stored ─▶ answered ─▶ end
 *                                 │ refused: dropped to its end, or answered at once and closed
 */
#include "server/door.h"
#include "core/log.h"
#include <stdlib.h>
#include <string.h>

/* ---- memory: a worker keeps some of its requests for the next ones ---- */

void request_free(struct request *r)
{
    buf_release(&r->url);
    buf_release(&r->body);
    buf_release(&r->blanked);
    free(r->headers);
    free(r);
}

static struct request *request_new(struct worker *w)
{
    struct request *r = w->spare;
    if (!r) {
        r = calloc(1, sizeof *r);
        if (r && !(r->headers = malloc(ENTRY_HEADERS_MAX * sizeof *r->headers))) {
            free(r);
            r = NULL;
        }
        return r;
    }
    w->spare = r->next_stored;
    w->n_spare--;
    struct request kept = {.headers = r->headers, .url = r->url, .body = r->body, .blanked = r->blanked};
    *r = kept;
    return r;
}

static void request_keep(struct worker *w, struct request *r)
{
    if (w->n_spare == SPARE_REQUESTS || r->body.cap > SPARE_BODY || r->url.cap > SPARE_BODY || r->blanked.cap > SPARE_BODY) {
        request_free(r);
        return;
    }
    buf_clear(&r->body);
    buf_clear(&r->blanked);
    r->next_stored = w->spare;
    w->spare = r;
    w->n_spare++;
}

/* ---- the way ---- */

void *request_begin(void *worker, const char *url, struct MHD_Connection *c)
{
    struct worker *w = worker;
    struct server *s = w->server;
    struct request *r = request_new(w);
    if (!r)
        return NULL;
    r->server = s;
    r->worker = w;
    r->connection = c;
    r->link = link_of(c);
    r->url.max = r->blanked.max = 1 << 20;
    r->body.max = s->config->body_bytes_max;
    buf_clear(&r->url);
    buf_addz(&r->url, url);
    if (!buf_ok(&r->url) || !r->link) {
        request_keep(w, r);
        return NULL;
    }
    r->message.url = buf_span(&r->url);
    atomic_fetch_add(&s->requests, 1);
    r->began_us = link_head(s, r->link);
    return r;
}

/* A proxy's connections have no limit; those for whom it speaks may have so many requests open. false: refused. */
static bool count_client(struct request *r)
{
    static struct log_limit limit;
    struct server *s = r->server;
    char client[ADDRESS_TEXT_MAX];
    if (!r->link->trusted || !s->config->per_address_max || blocks_have(s->config->proxies, s->config->n_proxies, &r->client))
        return true;
    r->client_counted = peers_try(s->clients, &r->client);
    if (r->client_counted)
        return true;
    address_text(&r->client, client);
    log_limited(&limit, LOG_WARN, "one address has too many requests open", "client=%s limits.per_address=%u", client,
                s->config->per_address_max);
    r->outcome = OUT_UNAVAILABLE;
    r->status = 503;
    return false;
}

/* What the headers alone decide. false: refused. */
static bool admit(struct request *r)
{
    struct server *s = r->server;
    bool ok = gather_headers(r);
    bool framed = ok || r->outcome == OUT_TOO_LARGE;
    r->client = r->link->trusted ? forwarded_client(s->config, &r->message, r->link->address) : r->link->address;
    r->source = source_of(s, r->message.url, &r->source_index);
    if (!r->source) {
        counts_unknown(&s->counts);
        if (framed)
            r->status = 404;
        return false;
    }
    counts_arrive(&s->counts, r->source_index);
    r->arrived = true;
    if (!framed)
        return false;
    if (!span_eqz(r->message.method, "POST") && !handshake_may_be_unsigned(r->source)) {
        r->outcome = OUT_BAD_METHOD;
        r->status = 405;
        return false;
    }
    if (!ok)
        return false;
    uint64_t now = s->io->world->now_us(s->io);
    /* An unsigned handshake comes before the first secret. */
    if (!r->source->config->unverified && !handshake_may_be_unsigned(r->source) && !keyring_can_judge(r->source, now)) {
        r->outcome = OUT_CANNOT_JUDGE;
        r->status = 503;
        return false;
    }
    return count_client(r);
}

static enum MHD_Result first_step(struct request *r, const char *method, const char *version)
{
    r->message.method = span_of(method);
    r->version = version;
    link_body(r->server, r->link);
    if (admit(r)) {
        r->must_close = false;
        r->phase = PHASE_BODY;
        return MHD_YES;
    }
    if (r->source && r->outcome == OUT_CANNOT_JUDGE && (r->must_linger || r->must_close))
        keep_rejected(r, OUT_CANNOT_JUDGE, NULL, r->server->io->world->now_us(r->server->io), r->declared == 0);
    if (r->must_linger)
        return answer_and_linger(r);
    if (r->must_close)
        return answer_refusal(r);
    r->phase = PHASE_REFUSED;
    return MHD_YES;
}

/* Refused from the headers, while a short body still comes in. */
static enum MHD_Result refused_step(struct request *r, const char *data, size_t *size)
{
    struct server *s = r->server;
    bool keep = r->source && r->outcome == OUT_CANNOT_JUDGE && rejected_keeps(s->rejected);
    if (*size) {
        if (keep && !gather_body(r, data, *size)) {
            gather_release(r); /* no memory to spare for it: kept without its body */
            r->outcome = OUT_CANNOT_JUDGE;
            r->status = 503;
        }
        *size = 0;
        return MHD_YES;
    }
    if (keep) {
        r->message.body = buf_span(&r->body);
        keep_rejected(r, OUT_CANNOT_JUDGE, NULL, s->io->world->now_us(s->io), r->body.n == r->declared);
    }
    return answer_refusal(r);
}

static enum MHD_Result body_step(struct request *r, const char *data, size_t *size)
{
    if (*size == 0) {
        link_whole(r->link);
        r->message.body = buf_span(&r->body);
        return judge_request(r);
    }
    if (gather_body(r, data, *size)) {
        *size = 0;
        return MHD_YES;
    }
    *size = 0; /* over a limit in the middle of the body */
    gather_release(r);
    return answer_and_linger(r);
}

enum MHD_Result request_step(void *server, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                             const char *data, size_t *size, void **request)
{
    struct request *r = *request;
    (void)server;
    (void)c;
    (void)url;
    if (!r)
        return MHD_NO;
    switch (r->phase) {
    case PHASE_LINE:
        return first_step(r, method, version);
    case PHASE_BODY:
        return body_step(r, data, size);
    case PHASE_REFUSED:
        return refused_step(r, data, size);
    case PHASE_LINGERING:
        r->lingered += *size;
        if (*size == 0 || r->lingered > LINGER_MAX)
            return MHD_NO; /* closes */
        *size = 0;
        return MHD_YES;
    case PHASE_COMMITTED:
        return answer_stored(r);
    default:
        return MHD_NO;
    }
}

void request_end(void *worker, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode code)
{
    struct request *r = *request;
    (void)c;
    (void)code;
    if (!r)
        return;
    struct worker *w = worker;
    struct server *s = w->server;
    *request = NULL;
    request_finish(r, OUT_ABORTED); /* unless it has an outcome already */
    if (r->client_counted)
        peers_leave(s->clients, &r->client);
    uint64_t now = link_wait(s, r->link);
    if (r->phase == PHASE_ANSWERED || r->phase == PHASE_LINGERING)
        histogram_observe(&s->request_times, now - r->began_us);
    gather_release(r);
    request_keep(w, r);
    atomic_fetch_sub(&s->requests, 1);
}
