/* What a sender is told: short, the same words as in the counters, and nothing that helps to guess. */
#include "server/door.h"
#include "core/log.h"
#include <stdio.h>

void request_finish(struct request *r, enum outcome o)
{
    if (r->finished)
        return;
    r->finished = true;
    r->outcome = o;
    if (r->arrived)
        counts_finish(&r->server->counts, r->source_index, o, r->server->io->world->now_us(r->server->io));
}

static bool empty_answers(const struct request *r)
{
    return r->source && r->source->manifest->answer.empty;
}

static enum MHD_Result queue(struct request *r, unsigned status, struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    if (r->must_close || atomic_load(&r->server->draining))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (status == 503)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER);
    if (status == 405)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "POST");
    r->phase = PHASE_ANSWERED;
    enum MHD_Result result = MHD_queue_response(r->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static struct MHD_Response *filled_response(struct span body, const char *content_type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);
    if (response && body.n) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    }
    return response;
}

static struct MHD_Response *response_of(struct request *r, struct span body, const char *content_type)
{
    if (empty_answers(r))
        body.n = 0;
    return filled_response(body, content_type);
}

enum MHD_Result answer_text(struct request *r, unsigned status, struct span body, const char *content_type)
{
    return queue(r, status, response_of(r, body, content_type));
}

/* A proof is asked for, so its body is sent also where those of other answers must be empty. */
enum MHD_Result answer_handshake(struct request *r, const struct handshake_rule *h, struct span body, const char *const *values)
{
    struct MHD_Response *response = filled_response(body, h->content_type);
    bool ok = response != NULL;
    for (size_t i = 0; ok && i < h->n_headers; i++)
        ok = MHD_add_response_header(response, h->headers[i].name, values[i]) == MHD_YES;
    if (!ok && response)
        MHD_destroy_response(response);
    return ok ? queue(r, h->status, response) : MHD_NO;
}

static unsigned status_of(const struct request *r, enum outcome o)
{
    const struct answer_rule *a = &r->source->manifest->answer;
    switch (o) {
    case OUT_BAD_SIGNATURE:
    case OUT_EXPIRED:
        return a->bad_signature ? a->bad_signature : 401;
    case OUT_MISSING_HEADER:
        return a->missing ? a->missing : 401;
    case OUT_MALFORMED:
        return a->malformed ? a->malformed : 400;
    case OUT_TOO_LARGE:
        return 413;
    case OUT_BAD_METHOD:
        return 405;
    case OUT_BAD_REQUEST:
        return 400;
    case OUT_CANNOT_JUDGE:
    case OUT_UNAVAILABLE:
    case OUT_ABORTED:
        return 503;
    default:
        return 200;
    }
}

static enum MHD_Result tell(struct request *r, unsigned status, const char *word)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%s\n", word);
    return answer_text(r, status, span_make(text, (size_t)n), "text/plain");
}

static void log_rejection(const struct request *r, enum outcome o)
{
    static struct log_limit limit;
    char client[ADDRESS_TEXT_MAX];
    if (!outcome_rejects(o))
        return;
    address_text(&r->client, client);
    log_limited(&limit, LOG_WARN, "a delivery was refused", "source=%s reason=%s client=%s", r->source->config->name,
                outcome_name(o), client);
}

enum MHD_Result answer_outcome(struct request *r, enum outcome o)
{
    unsigned status = status_of(r, o);
    request_finish(r, o);
    log_rejection(r, o);
    return tell(r, status, status == 200 ? "ok" : outcome_name(o));
}

enum MHD_Result answer_refusal(struct request *r)
{
    if (!r->source)
        return tell(r, r->status, r->status == 404 ? "unknown_source" : outcome_name(r->outcome));
    enum outcome o = r->outcome;
    request_finish(r, o);
    log_rejection(r, o);
    return tell(r, r->status, outcome_name(o));
}

enum MHD_Result answer_refused_as(struct request *r, enum outcome o, unsigned status)
{
    r->outcome = o;
    r->status = status;
    return answer_refusal(r);
}

enum MHD_Result answer_stored(struct request *r)
{
    if (!r->stored)
        return answer_outcome(r, OUT_UNAVAILABLE);
    char id[ENTRY_ID_MAX];
    struct entry e = {.seq = r->ticket.seq,
                      .node = span_of(journal_node(r->server->journal)),
                      .lane = span_of(lane_name(LANE_EVENTS))};
    entry_id(&e, id);
    struct MHD_Response *response = response_of(r, SPAN_LIT("ok\n"), "text/plain");
    if (response)
        MHD_add_response_header(response, "Sluice-Entry", id);
    return queue(r, 200, response);
}

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "Bad Request";
    }
}

enum MHD_Result answer_and_linger(struct request *r)
{
    enum outcome o = r->outcome;
    if (r->source) {
        request_finish(r, o);
        log_rejection(r, o);
    }
    const char *word = r->source ? outcome_name(o) : "unknown_source";
    struct buf head;
    buf_init(&head, 4096);
    buf_addf(&head, "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Type: text/plain\r\n", r->status, reason_of(r->status));
    if (r->status == 503)
        buf_addz(&head, "Retry-After: " RETRY_AFTER "\r\n");
    if (r->status == 405)
        buf_addz(&head, "Allow: POST\r\n");
    if (empty_answers(r))
        buf_addz(&head, "Content-Length: 0\r\n\r\n");
    else
        buf_addf(&head, "Content-Length: %zu\r\n\r\n%s\n", strlen(word) + 1, word);
    /* Nothing else is on its way on this connection: earlier answers are out, and this one fits any socket's buffer. */
    bool sent = buf_ok(&head) && link_last_words(r->link, buf_span(&head));
    buf_release(&head);
    if (!sent)
        return MHD_NO;
    r->phase = PHASE_LINGERING;
    link_linger(r->server, r->link, LINGER_US);
    return MHD_YES;
}
