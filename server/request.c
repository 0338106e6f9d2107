/* One request's way through libmicrohttpd's calls:
 *
 *   begin (request line) ─▶ first step: headers ─▶ body … ─▶ last step: judged ─▶ suspended ─▶ stored ─▶ answered ─▶ end
 *                                 │ refused: dropped to its end, or answered at once and closed
 */
#include "server/door.h"
#include <stdlib.h>
#include <string.h>

void *request_begin(void *server, const char *url, struct MHD_Connection *c)
{
    struct server *s = server;
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->server = s;
    r->connection = c;
    r->link = link_of(c);
    r->url = strdup(url);
    if (!r->url || !r->link) {
        free(r->url);
        free(r);
        return NULL;
    }
    r->message.url = span_of(r->url);
    buf_init(&r->body, s->config->body_bytes_max);
    buf_init(&r->blanked, 1 << 20);
    atomic_fetch_add(&s->requests, 1);
    link_deadline(s, r->link, s->config->request_us, true);
    return r;
}

/* What the headers alone decide. false: refused. */
static bool admit(struct request *r)
{
    struct server *s = r->server;
    bool ok = gather_headers(r);
    bool framed = ok || r->outcome == OUT_TOO_LARGE;
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
    return true;
}

static enum MHD_Result first_step(struct request *r, const char *method, const char *version)
{
    r->message.method = span_of(method);
    r->version = version;
    if (admit(r)) {
        r->must_close = false;
        r->phase = PHASE_BODY;
        return MHD_YES;
    }
    if (r->must_linger)
        return answer_and_linger(r);
    if (r->must_close)
        return answer_refusal(r);
    r->phase = PHASE_REFUSED;
    return MHD_YES;
}

static enum MHD_Result body_step(struct request *r, const char *data, size_t *size)
{
    if (*size == 0) {
        link_deadline(r->server, r->link, UINT64_MAX, false); /* from here on it is we who take the time */
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
        if (*size) {
            *size = 0;
            return MHD_YES;
        }
        return answer_refusal(r);
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

void request_end(void *server, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode code)
{
    struct server *s = server;
    struct request *r = *request;
    (void)c;
    (void)code;
    if (!r)
        return;
    *request = NULL;
    request_finish(r, OUT_ABORTED); /* unless it has an outcome already */
    link_deadline(s, r->link, s->config->idle_us + s->config->request_us, false);
    gather_release(r);
    buf_release(&r->blanked);
    free(r->headers);
    free(r->url);
    free(r);
    atomic_fetch_sub(&s->requests, 1);
}
