/* server: the door. POST /in/<source>, verified, made durable, then answered.
 *
 * Way of a request: head (refuse early: 404 405 400 413) -> body gathered up to limits.body (413 at the first byte over)
 * -> verify -> handshake? answer -> duplicate? 200 -> lane_append -> the committer's ticket resumes it -> 200 with
 * `Sluice-Entry`; 503 + Retry-After when it could not be stored. Every request is counted once by outcome.
 * Threads: the workers of http/ (limits.threads); the committer completes tickets; counters are atomics.
 * Life: server_start -> server_stop (stops accepting, waits for what is in flight, then returns). */
#pragma once
#include "config/config.h"
#include "journal/journal.h"
#include "staging/state.h"

enum outcome {
    OUT_ACCEPTED, OUT_DUPLICATE, OUT_HANDSHAKE,
    OUT_BAD_SIGNATURE, OUT_EXPIRED, OUT_MISSING_HEADER, OUT_MALFORMED, OUT_CANNOT_JUDGE,
    OUT_TOO_LARGE, OUT_BAD_METHOD, OUT_BAD_REQUEST, OUT_UNAVAILABLE, OUT_ABORTED, /* the sender went away */
    OUT_COUNT
};
const char *outcome_name(enum outcome o);

/* ack: kafka: whose delivery a 2xx waits for. Both are called by any thread and must not block. */
struct server_ack {
    uint64_t (*position)(void *ctx); /* the lowest sequence of lane events that is not delivered */
    bool (*trouble)(void *ctx);      /* what is stored now may not be delivered soon: it is refused, nothing is stored */
    void *ctx;
};
struct server;
struct server_opts {
    const struct config *config;
    struct journal *journal;
    const char *data_dir;
    const struct io *io;
    const struct server_ack *ack; /* NULL: a delivery is answered once it is in the journal */
    /* For tests: where https calls of handshakes go ("host:port:to-host:to-port"), and the file of certificates that count. */
    const char *confirm_via, *confirm_certificates;
};
bool server_start(const struct server_opts *o, struct server **ret, struct err *err);
/* The first part of a stop: requests are still taken for drain_delay, then no more; returns when those in flight are answered.
 * Everything but a delivery can still be asked of the server. By the thread that stops it. NULL: nothing. */
void server_drain(struct server *s);
void server_stop(struct server **s); /* drains, unless that is done */
uint16_t server_port(const struct server *s); /* the bound port */

/* Whether every worker went on since the last call; by one thread, before server_drain. */
bool server_moves(struct server *s);

/* The ack's position moved. By any thread; does not block. */
void server_delivered(struct server *s);
uint64_t server_late(const struct server *s); /* deliveries that were told 503 since Kafka did not have them in time */

struct source_counts { /* since the server started */
    uint64_t by_outcome[OUT_COUNT];
    uint64_t in_flight;
    uint64_t last_accepted_us, last_rejected_us;
    enum outcome last_rejected;
    uint64_t refusing_since_us; /* the first that verification refused since the last accepted one; 0: none */
    uint64_t refused_in_row;    /* how many since then */
    enum outcome last_refused;  /* by verification */
    bool can_judge;
};
bool server_counts(const struct server *s, struct span source, struct source_counts *ret);
uint64_t server_unknown_source(const struct server *s); /* requests to no source of ours (404) */
/* How long verifications took, and whole requests: from the first byte to the answer, where there was one. */
void server_times(const struct server *s, struct histogram_snapshot *ret_verify, struct histogram_snapshot *ret_request);
/* The id of the source's i-th secret, when it retires (0: not known to), and when it last verified a delivery since the start (0:
 * not). false: not so many. */
struct held_id {
    char id[SECRET_ID_MAX];
    uint64_t retire_us, last_used_us;
};
bool server_secret(const struct server *s, struct span source, size_t i, struct held_id *ret);
/* For a rotation. The files of the source's secrets are looked at now; the secret verifies from now on, also before its file is
 * seen here; the one of that id, which is in no file any more, no longer does; until that time (0: no longer) a delivery that no
 * secret fits is held for a moment, then told 503, so that the sender tries again, since its secret may be on its way to us, and
 * where the provider brings secrets by handshake an unsigned one is taken. Any thread. */
void server_secrets_look(struct server *s, struct span source);
bool server_secret_take(struct server *s, struct span source, struct span secret, struct err *err);
bool server_secret_drop(struct server *s, struct span source, const char *id, struct err *err);
void server_secret_expect(struct server *s, struct span source, uint64_t until_us);
/* The call that makes the provider shake hands is over. Of what came unsigned meanwhile none goes on verifying where no
 * endpoint was made; else only the one that the provider tells; where it tells none, the one that came, and none of several.
 * alone: what was brought before goes, too: there was no endpoint that signs with it. */
bool server_secret_settle(struct server *s, struct span source, const struct settlement *by, struct err *err);
/* Other sources, while requests come in. First everything is made that can fail; until server_change, which makes the change or
 * drops it, no secret is taken. A request goes on with the sources that it began with. By one thread at a time. */
struct door_change;
bool server_prepare(struct server *s, const struct config *c, struct door_change **ret, struct err *err);
void server_change(struct server *s, struct door_change **change, bool make);
/* Reads the files of all secrets now (also done every second). */
void server_refresh_secrets(struct server *s);
/* Writes the door's counters to state.db now (also done every second and at stop). */
bool server_flush_books(struct server *s, struct err *err);
/* The source's last deliveries, the newest first (server/deliveries.h). Returns how many. */
struct delivery_mark {
    uint64_t received_us, seq; /* seq: of its entry in lane events, or of the first copy's; 0: none */
    uint32_t bytes, latency_us;
    uint16_t status; /* as answered; 0: not at all */
    enum outcome outcome;
};
size_t server_deliveries(const struct server *s, struct span source, struct delivery_mark *ret, size_t max);
/* Appends the newest rejected requests that are kept of a source as a JSON list, the newest first (server/rejected.h). */
bool server_rejected(const struct server *s, struct span source, size_t max, struct buf *out);
/* The source's address as its provider knows it, for schemes that sign it; "" where none is configured. The caller frees it. */
char *server_public_url(const struct config *c, const struct source_config *s);
/* The same with the query of a request's target, into out (cleared); empty where there is no address. */
void server_signed_url(const char *public_url, struct span target, struct buf *out);
/* Warnings of start-up, or of the last change: sources that cannot judge, verification: none. One per line. */
void server_warnings(const struct server *s, struct buf *out);
