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

#define EXTRA_MAX 16 /* headers of an answer, beside the usual ones */

/* What holds no header can only come from a handshake's values. */
static void send_answer(struct request *r, struct http_answer *a, struct http_header extra[EXTRA_MAX])
{
    if (a->status == 503)
        extra[a->n_headers++] = (struct http_header){SPAN_LIT("Retry-After"), SPAN_LIT(RETRY_AFTER)};
    if (a->status == 405)
        extra[a->n_headers++] = (struct http_header){SPAN_LIT("Allow"), SPAN_LIT("POST")};
    a->headers = extra;
    r->answered = true;
    r->told = a->status;
    if (!http_answer(r->x, a))
        (void)http_answer(r->x, &(struct http_answer){.status = 500});
}

static bool empty_answers(const struct request *r)
{
    return r->source && r->source->manifest->answer.empty;
}

void answer_text(struct request *r, unsigned status, struct span body, const char *content_type)
{
    struct http_header extra[EXTRA_MAX];
    struct http_answer a = {.status = status, .body = body, .content_type = content_type};
    if (empty_answers(r))
        a.body.n = 0;
    send_answer(r, &a, extra);
}

/* A proof is asked for, so its body is sent also where those of other answers must be empty. */
void answer_handshake(struct request *r, const struct handshake_rule *h, struct span body, const char *const *values)
{
    struct http_header extra[EXTRA_MAX];
    struct http_answer a = {.status = h->status, .body = body, .content_type = h->content_type};
    for (size_t i = 0; i < h->n_headers && i < EXTRA_MAX - 2; i++)
        extra[a.n_headers++] = (struct http_header){span_of(h->headers[i].name), span_of(values[i])};
    send_answer(r, &a, extra);
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

static void tell(struct request *r, unsigned status, const char *word)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%s\n", word);
    answer_text(r, status, span_make(text, (size_t)n), "text/plain");
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

void answer_outcome(struct request *r, enum outcome o)
{
    unsigned status = status_of(r, o);
    request_finish(r, o);
    log_rejection(r, o);
    tell(r, status, status == 200 ? "ok" : outcome_name(o));
}

void answer_refusal(struct request *r)
{
    if (!r->source) {
        tell(r, r->status, r->status == 404 ? "unknown_source" : outcome_name(r->outcome));
        return;
    }
    enum outcome o = r->outcome;
    request_finish(r, o);
    log_rejection(r, o);
    tell(r, r->status, outcome_name(o));
}

void answer_refused_as(struct request *r, enum outcome o, unsigned status)
{
    r->outcome = o;
    r->status = status;
    answer_refusal(r);
}

void answer_stored(struct request *r)
{
    if (r->stored && r->late) { /* counted as accepted: the journal has it, and a second one is a duplicate */
        tell(r, 503, "not_in_kafka_yet");
        return;
    }
    if (r->duplicate && !r->late) {
        answer_outcome(r, OUT_DUPLICATE);
        return;
    }
    if (!r->stored) {
        answer_outcome(r, OUT_UNAVAILABLE);
        return;
    }
    struct http_header extra[EXTRA_MAX];
    char id[ENTRY_ID_MAX];
    struct entry e = {.seq = r->ticket.seq,
                      .node = span_of(journal_node(r->server->journal)),
                      .lane = span_of(lane_name(LANE_EVENTS))};
    entry_id(&e, id);
    struct http_answer a = {.status = 200, .content_type = "text/plain", .n_headers = 1};
    a.body = empty_answers(r) ? (struct span){"", 0} : SPAN_LIT("ok\n");
    extra[0] = (struct http_header){SPAN_LIT("Sluice-Entry"), span_of(id)};
    send_answer(r, &a, extra);
}
