/* http: an endpoint for HTTP/1.1 requests whose answers wait for something, such as a disk.
 *
 * Each worker is one thread with a listening socket, an epoll and connections of its own; nothing of a connection is shared. A
 * request that is whole within one read is handed over where it was received, without a copy. Heads are read strictly
 * (http/head.h): what two readers may understand differently is refused. HTTP/1.0 is answered and closed; requests may be
 * pipelined and are answered in order, one at a time; TRACE, CONNECT and upgrades are the handler's to refuse.
 *
 *   waiting ─ first byte ─▶ head ─▶ handler.head ─▶ body ─▶ handler.whole ─▶ answered ─▶ handler.over ─▶ waiting
 *      │ idle_us             │ head_us    │ refused      │ body_us    └ later: http_resume ─▶ handler.resumed
 *      └ closed              └ 408        └ the body is dropped, or the connection lingers and is closed
 *
 * Deadlines are looked at every 250 ms. Memory: a connection without a request has no buffer; bodies together are bounded.
 * With TLS the process has to ignore SIGPIPE.
 * Threads: a connection's calls come from its worker; http_resume and http_wake from any. The handler must not block.
 * Life: http_open -> http_start -> http_quiet -> http_stop (joins) -> http_free. Nothing may be deferred at http_stop.
 * Failures: ERR_CONFIG where the address cannot be had, ERR_NOMEM. */
#pragma once
#include "core/address.h"
#include "core/http.h"
#include "core/io.h"
#include "http/tls.h"

#define HTTP_CHUNKED UINT64_MAX
#define HTTP_HEADERS_MAX 256 /* of one request; 431 above */
/* A refused body up to this is dropped, so that the connection lives on; else it lingers this long, dropping so much, for the
 * sender to read the answer and not a reset. */
#define HTTP_DISCARD_MAX UINT64_C(65536)
#define HTTP_LINGER_MAX (UINT64_C(8) << 20)
#define HTTP_LINGER_US UINT64_C(1000000)

struct http_server;

struct http_exchange { /* one request and its answer; lives as long as its connection, one after the other */
    struct http_message message; /* borrowed until the handler's call returns; in `head` without the body */
    struct http_header *headers; /* those of the message: the handler may put other values there */
    struct address peer;         /* the connection's; all zero: it has none */
    bool trusted;                /* peer is one of the proxies */
    uint64_t declared;           /* the body's length, or HTTP_CHUNKED */
    uint64_t began_us;           /* monotonic: its first byte */
    unsigned worker;             /* from 0 */
    void *state;                 /* the handler's own, zeroed for each request */
};

struct http_handler {
    size_t state_bytes;
    /* The head is there. true: the body is wanted. false: it was answered. */
    bool (*head)(void *ctx, struct http_exchange *x);
    /* The request is whole. Answer it, or do so in `resumed`. */
    void (*whole)(void *ctx, struct http_exchange *x);
    void (*resumed)(void *ctx, struct http_exchange *x);
    /* The endpoint refuses it: 400, 408, 413, 417, 431, 503, 505. What of the head could be read is in the message. Answer
     * it. told: `head` was called before. */
    void (*refused)(void *ctx, struct http_exchange *x, unsigned status, bool told);
    /* After the answer, or when the connection is lost before. Called once after `head` or `refused` was. */
    void (*over)(void *ctx, struct http_exchange *x);
};

struct http_opts {
    const struct io *io;
    const char *key;  /* of the configuration, for messages and names of threads: "listen" */
    const char *host;
    uint16_t port;    /* 0: any */
    unsigned workers;
    uint32_t connections_max, head_bytes_max;
    uint32_t per_address_max;    /* connections; 0: no limit */
    uint64_t body_bytes_max, memory_max; /* of one body; of all that are being gathered */
    uint64_t idle_us, head_us, body_us, request_us;
    const struct address_block *proxies; /* their connections are not counted by address */
    size_t n_proxies;
    struct tls *tls; /* NULL: plain HTTP */
    const struct http_handler *handler;
    void *ctx;
};

/* The addresses are bound and listened at: from here on connections wait to be accepted. What the options point to is borrowed
 * for its life, but for host. */
bool http_open(const struct http_opts *o, struct http_server **ret, struct err *err);
bool http_start(struct http_server *s, struct err *err);
uint16_t http_port(const struct http_server *s);
/* From now on each answer closes its connection. */
void http_drain(struct http_server *s);
/* No new connections; returns when no worker listens any more. */
void http_quiet(struct http_server *s);
size_t http_open_exchanges(const struct http_server *s); /* whose head was there, and that are not over */
void http_stop(struct http_server *s);
void http_free(struct http_server **s); /* accepts NULL inside */

/* Whether the body comes in whole before an answer could close the connection: short, of a told length, and not held back. */
bool http_body_is_short(const struct http_exchange *x);

struct http_answer {
    unsigned status;
    struct span body;
    const char *content_type; /* of a body */
    const struct http_header *headers;
    size_t n_headers;
    bool close; /* the connection, afterwards */
};
/* Once for each exchange, from its worker. false: a header holds what no header can; nothing was sent. */
bool http_answer(struct http_exchange *x, const struct http_answer *a);
/* A deferred exchange goes on in its worker; whoever resumed wakes, once for as many as it likes. */
void http_resume(struct http_exchange *x);
void http_wake(struct http_server *s);
/* Whether every worker went round since the last call; by one thread, between http_start and http_stop, not oftener than a worker
 * needs for a round. */
bool http_moves(struct http_server *s);
