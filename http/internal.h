/* internal: what the files of http share. Private to http.
 *
 * endpoint.c  start and stop     listen.c  the sockets        worker.c  a thread and its connections
 * conn.c      a connection's requests, one after the other    stream.c  its bytes, plain or by TLS */
#pragma once
#include "core/buf.h"
#include "core/clock.h"
#include "core/pulse.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/http.h"
#include "http/peers.h"
#include <pthread.h>
#include <stdatomic.h>

#define SCRATCH_BYTES ((size_t)128 << 10) /* a worker's; a request that fits is never copied */

enum phase {
    PHASE_WAIT,    /* nothing of a request is there */
    PHASE_HEAD,
    PHASE_BODY,    /* the head was taken */
    PHASE_BUSY,    /* the handler has it; nothing is read meanwhile */
    PHASE_FLUSH,   /* the answer is on its way out */
    PHASE_DISCARD, /* dropping the rest of a short body that was refused */
    PHASE_LINGER   /* nothing more is sent; dropping until the peer closes */
};

/* A connection: its worker's alone, but for `next_resumed`. Times are monotonic. */
struct conn {
    struct http_exchange x; /* first: callers have its address */
    struct conn *next, *prev;
    struct conn *next_resumed;
    struct worker *worker;
    int fd;
    SSL *ssl; /* NULL: plain */
    enum phase phase;
    bool readable, writable; /* as far as the kernel told: events come once, when that changes */
    bool ends;               /* the peer sends no more than what the kernel has */
    bool lost;               /* the stream is broken or at its end */
    bool counted;            /* among the peers */
    bool open;               /* the exchange: `head` or `refused` was called, `over` was not */
    bool told;               /* `head` was called */
    bool answered, close;    /* close: after the answer */
    bool bodiless;           /* the answer to a HEAD */
    bool expects;
    bool again;              /* `in` has bytes that nobody has looked at since the last answer */
    struct buf in, out;      /* received and not consumed; to be sent */
    uint64_t charged;        /* of the server's memory, for `in` */
    size_t scanned;          /* of `in`, for the head's end */
    size_t head_n;           /* bytes of the head, in PHASE_BODY */
    struct chunked chunked;
    size_t data_n, raw_n;    /* of a chunked body: decoded behind the head; read behind the head */
    uint64_t left;           /* to be dropped */
    uint64_t deadline_us, whole_us, heard_us; /* heard: last byte of a body */
    max_align_t state[];
};

struct worker {
    struct http_server *server;
    unsigned index;
    int listen_fd, epoll_fd, wake_fd;
    bool deaf;       /* out of descriptors: listens again at the next sweep */
    pthread_t thread;
    bool runs;
    struct pulse pulse;
    uint64_t beats_seen; /* of who asks whether it moves */
    atomic_bool stop, quiet_wish, quiet;
    _Atomic(struct conn *) resumed; /* newest first */
    struct conn *conns;             /* from here on the worker's own */
    uint64_t now_us, swept_us;      /* monotonic: of this round */
    char *scratch;
    struct http_header *headers; /* of the head that is being read: HTTP_HEADERS_MAX */
    struct buf answer;
    uint64_t date_s;
    char date[CLOCK_TEXT_MAX]; /* of that second */
};

struct http_server {
    struct http_opts o;
    struct worker *workers;
    uint16_t port;
    struct peers *peers;
    atomic_size_t conns;        /* open ones */
    atomic_size_t exchanges;    /* open ones */
    _Atomic uint64_t memory;    /* of requests that are being gathered */
    atomic_bool draining;
};

/* ---- listen.c ---- */
bool listen_all(struct http_server *s, struct err *err); /* fills the workers' sockets and the port */

/* ---- worker.c ---- */
bool worker_start(struct worker *w, struct err *err);
void worker_wake(struct worker *w);
void worker_end(struct worker *w); /* stops, joins, closes */
uint64_t worker_monotonic(const struct worker *w);

/* ---- stream.c ---- */
/* What a read gave: bytes, or 0: nothing now (readable is false then, or lost is true). */
size_t stream_read(struct conn *c, char *p, size_t n);
/* Sends, keeping in `out` what does not go out now. false: lost. */
bool stream_send(struct conn *c, struct span bytes);
bool stream_flush(struct conn *c); /* false: lost */
void stream_shut(struct conn *c);  /* nothing more is sent */

/* ---- conn.c ---- */
void conn_open(struct worker *w, int fd, const struct sockaddr *at);
void conn_events(struct conn *c, uint32_t events);
void conn_resumed(struct conn *c);
void conn_sweep(struct conn *c, uint64_t now_us); /* its deadline; may free it */
void conn_close(struct conn *c);                  /* frees it */
