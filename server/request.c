/* One request's way through the calls of http/:
 *
 *   head: for whom, may it? ─▶ whole: judged ─▶ in the journal ─▶ resumed: answered ─▶ over: counted
 *            │ refused, answered at once, or when its short body is there to be kept with it
 */
#include "server/door.h"
#include "core/log.h"

static struct request *request_of(struct server *s, struct http_exchange *x)
{
    struct request *r = x->state;
    r->server = s;
    r->x = x;
    r->message = x->message;
    return r;
}

/* A proxy's connections have no limit; those for whom it speaks may have so many requests open. false: refused. */
static bool count_client(struct request *r)
{
    static struct log_limit limit;
    struct server *s = r->server;
    char client[ADDRESS_TEXT_MAX];
    if (!r->x->trusted || !s->config->per_address_max || blocks_have(s->config->proxies, s->config->n_proxies, &r->client))
        return true;
    r->client_counted = peers_try(s->clients, &r->client);
    if (r->client_counted)
        return true;
    address_text(&r->client, client);
    log_limited(&limit, LOG_WARN, "one address has too many requests open", "client=%s limits.per_address=%u", client,
                s->config->per_address_max);
    return false;
}

static bool refuse(struct request *r, enum outcome o, unsigned status)
{
    r->outcome = o;
    r->status = status;
    return false;
}

/* What the head alone decides. false: refused. */
static bool admit(struct request *r)
{
    struct server *s = r->server;
    if (!gather_head(r))
        return refuse(r, OUT_BAD_REQUEST, 404);
    if (!span_eqz(r->message.method, "POST") && !handshake_may_be_unsigned(r->source))
        return refuse(r, OUT_BAD_METHOD, 405);
    /* An unsigned handshake comes before the first secret. */
    if (!r->source->config->unverified && !handshake_may_be_unsigned(r->source) &&
        !keyring_can_judge(r->source, s->io->world->now_us(s->io)))
        return refuse(r, OUT_CANNOT_JUDGE, 503);
    return count_client(r) || refuse(r, OUT_UNAVAILABLE, 503);
}

static bool on_head(void *ctx, struct http_exchange *x)
{
    struct request *r = request_of(ctx, x);
    struct server *s = r->server;
    if (admit(r))
        return true;
    if (r->source && r->outcome == OUT_CANNOT_JUDGE && rejected_keeps(s->rejected)) {
        r->refused = http_body_is_short(x);
        if (r->refused)
            return true;
        keep_rejected(r, OUT_CANNOT_JUDGE, NULL, s->io->world->now_us(s->io), x->declared == 0);
    }
    answer_refusal(r);
    return false;
}

static void on_whole(void *ctx, struct http_exchange *x)
{
    struct request *r = request_of(ctx, x);
    struct server *s = r->server;
    if (!r->refused) {
        judge_request(r);
        return;
    }
    keep_rejected(r, OUT_CANNOT_JUDGE, NULL, s->io->world->now_us(s->io), true);
    answer_refusal(r);
}

static void on_resumed(void *ctx, struct http_exchange *x)
{
    struct request *r = x->state;
    (void)ctx;
    if (r->judged)
        request_stored(r);
    else
        judge_request(r); /* it was held */
}

static enum outcome outcome_of(unsigned status)
{
    switch (status) {
    case 408:
        return OUT_ABORTED;
    case 413:
        return OUT_TOO_LARGE;
    case 503:
        return OUT_UNAVAILABLE;
    default:
        return OUT_BAD_REQUEST;
    }
}

static void on_refused(void *ctx, struct http_exchange *x, unsigned status, bool told)
{
    struct request *r = request_of(ctx, x);
    (void)refuse(r, outcome_of(status), status);
    /* Without a target it is no request to anybody; what was understood but for its size is told who is not here. */
    if (!told && r->message.url.n && !gather_head(r) && (status == 413 || status == 417))
        r->status = 404;
    answer_refusal(r);
}

/* Into the list of the last deliveries, and with log.level debug into the log. */
static void note(const struct request *r, uint64_t latency_us)
{
    const struct server *s = r->server;
    uint64_t bytes = r->x->declared != HTTP_CHUNKED ? r->x->declared : r->message.body.n;
    struct delivery_mark m = {.received_us = r->verified_us ? r->verified_us : s->io->world->now_us(s->io) - latency_us,
                              .seq = r->entry,
                              .bytes = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes,
                              .latency_us = latency_us > UINT32_MAX ? UINT32_MAX : (uint32_t)latency_us,
                              .status = (uint16_t)r->told,
                              .outcome = r->outcome};
    if (r->arrived)
        deliveries_note(s->deliveries, r->source_index, &m);
    if (!log_wants(LOG_DEBUG))
        return;
    char client[ADDRESS_TEXT_MAX];
    address_text(&r->client, client);
    log_debug("request", "source=%s outcome=%s status=%u client=%s us=%llu", r->source ? r->source->config->name : "-",
              outcome_name(r->outcome), r->told, client, (unsigned long long)latency_us);
}

static void on_over(void *ctx, struct http_exchange *x)
{
    struct server *s = ctx;
    struct request *r = x->state;
    request_finish(r, OUT_ABORTED); /* unless it has an outcome already */
    if (r->client_counted)
        peers_leave(s->clients, &r->client);
    uint64_t latency_us = s->io->world->monotonic_us(s->io) - x->began_us;
    note(r, latency_us);
    hold_forget(r);
    if (r->door)
        door_leave(r->door);
    if (r->answered)
        histogram_observe(&s->request_times, latency_us);
}

const struct http_handler request_handler = {
    .state_bytes = sizeof(struct request),
    .head = on_head,
    .whole = on_whole,
    .resumed = on_resumed,
    .refused = on_refused,
    .over = on_over,
};
