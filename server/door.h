/* door: what the files of the server share. Private to server/.
 *
 * server.c  start and stop           listen.c  the sockets                         worker.c   a thread and its connections
 * link.c    connections' deadlines   request.c  one request's way
 * gather.c  headers, framing, body   judge.c   what a complete request is          answer.c   what it is told
 * books.c   books and marks on disk  counts.c  the counters                        seen.c     duplicates
 * peers.c   who has how much open    forwarded.c  who is behind a proxy            tls.c      the certificate
 * rejected.c  what was refused, to be looked at
 * handshake.c  proofs of ownership   keyring.c  verifiers and delivered secrets      confirm.c  URLs that a handshake asks for
 *
 * Threads: workers run requests; the lane's committer completes their tickets; `sweeper` closes connections whose time is up;
 * `bookkeeper` writes the books and what was refused every second; with TLS `watcher` looks for a replaced certificate.
 * Locks are leaves: none is taken while another is held. */
#pragma once
#include "server/counts.h"
#include "server/peers.h"
#include "server/rejected.h"
#include "server/seen.h"
#include "server/server.h"
#include "server/tls.h"
#include "server/verify.h"
#include <microhttpd.h>
#include <stdatomic.h>

#define BODY_BUDGET ((uint64_t)512 << 20) /* memory of all bodies that are being gathered */
#define DISCARD_MAX 65536                 /* a refused body up to this is read and dropped, so that the connection lives on */
#define LINGER_MAX ((uint64_t)8 << 20)    /* what is dropped after an early answer, and for how long */
#define LINGER_US UINT64_C(1000000)
#define RETRY_AFTER "5"

struct door_source {
    const struct source_config *config;
    const struct manifest *manifest;
    _Atomic(struct keyring *) ring; /* NULL: verification: none, or webhook: off */
    struct scope_pair *pairs;   /* its config values */
    size_t n_pairs;
    char *public_url;           /* of this source, or "" */
    uint64_t duplicate_us;      /* how long a delivery is remembered */
    bool reads_json;            /* ids or handshakes look into the body */
    bool has_id;
};

/* What verifies a source now. A handshake that brings a secret puts a new one in its place; the old ones live until the stop,
 * since a worker may be reading them. */
struct keyring {
    struct keyring *older;
    struct verifier *verifier;
    _Atomic uint64_t *last_used_us; /* by secret of the verifier */
    uint64_t *last_used_written;    /* the same in state.db; guarded by book_lock */
    size_t n_delivered;             /* secrets that came by handshake */
    bool sealed;                    /* it is not known which there are: none is taken unsigned */
};

#define POOL_SPARE 8192u /* of a connection's memory, beside its headers */
#define SPARE_REQUESTS 128 /* that a worker keeps for the next ones, with bodies up to SPARE_BODY */
#define SPARE_BODY ((size_t)16 << 10)

/* Buffers that a request needs while it is judged; each worker has one. */
struct workspace {
    struct verify_scratch *verify;
    struct buf text;
};

/* A connection. Its times are monotonic. The worker sets them as the request goes on; while it waits for a request the sweeper
 * looks for the first byte. */
struct link {
    struct link *next, *prev; /* guarded by link_lock */
    int fd;
    struct address address;   /* the peer's; all zero: none */
    bool trusted;             /* it is one of the proxies */
    bool counted;             /* among the peers */
    gnutls_session_t session; /* NULL: plain HTTP */
    struct tls_pair *pair;    /* its certificate */
    uint64_t whole_us;        /* the worker's: when the whole request must be there */
    uint64_t look_us;         /* the sweeper's: when it looks again */
    uint64_t opened_us;       /* waiting since then: no request yet */
    _Atomic uint64_t deadline_us; /* UINT64_MAX: none */
    _Atomic uint64_t waiting_us;  /* since when nothing of a request is there; 0: something is */
};

enum worker_wish { WISH_WORK, WISH_QUIET /* no new connections */, WISH_STOP };
struct worker {
    struct server *server;
    struct MHD_Daemon *daemon;
    int listen_fd; /* until the daemon has it: then -1 */
    int epoll_fd, wake_fd;
    pthread_t thread;
    bool runs;
    _Atomic(enum worker_wish) wish;
    atomic_bool quiet;
    _Atomic(struct request *) stored; /* whose tickets are done, newest first; pushed by the committer alone */
    struct workspace work;            /* from here on the worker's own */
    struct request *spare;
    size_t n_spare;
};

struct server {
    const struct config *config;
    const struct io *io;
    struct journal *journal;
    struct lane *lane;
    struct door_source *sources;
    size_t n_sources;
    struct buf warnings;
    struct worker *workers;
    size_t n_workers;
    bool serving; /* the workers run */
    uint16_t port;
    struct counts counts;
    uint64_t batch_us, batch_n; /* the committer's: of the batch that is told of */
    struct histogram verify_times, request_times;
    struct seen *seen;
    struct rejected *rejected;
    pthread_mutex_t link_lock;
    struct link *links; /* guarded by link_lock */
    size_t n_links;     /* guarded by link_lock */
    struct peers *peers;   /* open connections by peer */
    struct peers *clients; /* open requests by whom a proxy speaks for */
    struct tls *tls;       /* NULL: plain HTTP */
    pthread_mutex_t book_lock;
    struct state state;          /* guarded by book_lock */
    struct books *snapshot;      /* guarded by book_lock */
    bool state_open;
    uint64_t started_us;
    const char *data_dir;
    pthread_mutex_t deliver_lock; /* one secret is taken at a time */
    struct confirm *confirm;      /* NULL: no source fetches */
    pthread_mutex_t stop_lock;
    pthread_cond_t stop_cond;
    bool stopping; /* guarded by stop_lock: ends the own threads */
    bool sweeper_runs, bookkeeper_runs, watcher_runs;
    pthread_t sweeper, bookkeeper, watcher;
    _Atomic uint64_t body_bytes; /* of the budget */
    atomic_size_t requests;      /* that libmicrohttpd has handed over and not completed */
    atomic_size_t pending;       /* tickets; the server lives until they are done */
    atomic_bool draining;        /* connections are not kept */
    atomic_bool closed;          /* nothing more goes into the journal */
};

enum phase {
    PHASE_LINE,      /* the request line is there */
    PHASE_BODY,      /* gathering */
    PHASE_REFUSED,   /* dropping a short body before the answer */
    PHASE_LINGERING, /* answered; dropping a long body for a while, so that the sender reads the answer and not a reset */
    PHASE_COMMITTING,/* suspended; the ticket is on its way */
    PHASE_COMMITTED, /* durable, or failed */
    PHASE_ANSWERED
};
struct request {
    struct ticket ticket; /* first: done gets its address */
    struct request *next_stored; /* or the next spare one */
    struct server *server;
    struct worker *worker;
    struct MHD_Connection *connection;
    struct link *link;
    uint64_t began_us; /* monotonic: its request line was there */
    struct address client; /* the peer's, or as a trusted proxy says */
    bool client_counted;
    struct door_source *source; /* NULL: unknown */
    size_t source_index;
    enum phase phase;
    enum outcome outcome;
    unsigned status; /* of a refusal */
    bool arrived, finished; /* counted */
    bool must_close, must_linger;
    uint64_t lingered; /* bytes */
    const char *version;
    struct buf url; /* as received */
    struct http_message message;
    struct http_header *headers; /* room for ENTRY_HEADERS_MAX; they borrow the connection's memory until the request is over */
    struct buf body;
    uint64_t charged; /* of the budget */
    uint64_t declared;  /* length of the body; UINT64_MAX: chunked */
    struct buf blanked; /* what stands in place of credentials */
    bool signature_blanked; /* among it what a scheme looks at */
    struct hash128 dedupe;
    uint64_t verified_us;
    bool stored;
};

/* ---- listen.c ---- */
bool server_listen(struct server *s, struct err *err); /* fills the workers' sockets and the port */

/* ---- worker.c ---- */
/* What is set before: server, the fds (-1, listen_fd). false: worker_end all the same. */
bool worker_start(struct worker *w, struct err *err);
void worker_wish(struct worker *w, enum worker_wish wish);
void worker_end(struct worker *w); /* stops and joins */
/* The committer's: its ticket is done. Whoever pushed wakes. */
void worker_push(struct worker *w, struct request *r);
bool worker_has_stored(struct worker *w);
void worker_wake(struct worker *w);

/* ---- link.c ---- */
void link_notify(void *server, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code);
enum MHD_Result link_accept(void *server, const struct sockaddr *at, socklen_t n); /* or refuses: too many of one address */
struct link *link_of(struct MHD_Connection *c);
/* The deadlines of a request: its line is there; its head is; all of it is, and it is we who take the time; the next one is
 * waited for. The first and the last return the monotonic time that they counted from, so that their callers read no clock. */
uint64_t link_head(struct server *s, struct link *l);
void link_body(struct server *s, struct link *l);
void link_whole(struct link *l);
uint64_t link_wait(struct server *s, struct link *l);
/* Closed in this time at the latest. */
void link_linger(struct server *s, struct link *l, uint64_t within_us);
/* Writes past the library, all or nothing, and ends this direction. Only from the connection's worker, with no answer on its
 * way. */
bool link_last_words(struct link *l, struct span bytes);
void *sweep_loop(void *server);
/* Sleeps, or wakes at once when the server stops; false: stop. */
bool server_sleep(struct server *s, uint64_t us);

/* ---- forwarded.c ---- */
/* Whom a request that came from a trusted proxy is from. */
struct address forwarded_client(const struct config *c, const struct http_message *m, struct address peer);

/* ---- gather.c ---- */
/* Headers into the request; what is wrong with the framing. false: refused, outcome and status are set. */
bool gather_headers(struct request *r);
bool gather_body(struct request *r, const char *p, size_t n);
void gather_release(struct request *r);
struct door_source *source_of(struct server *s, struct span url, size_t *ret_index);

/* ---- judge.c ---- */
/* Verifies, answers handshakes and duplicates, or hands the entry to the journal. */
enum MHD_Result judge_request(struct request *r);
/* Around a batch's tickets, in the committer's thread; ctx is the server. */
void batch_before(void *ctx);
void batch_after(void *ctx);
/* The request's ticket is done, in its worker's thread, before it is resumed. */
void request_stored(struct request *r);
/* Keeps the request for `sluice verify --last-rejected`; blanks its credentials, so it is the last to look at them. whole: its
 * body is all there. scheme: that spoke for the verdict, or NULL. */
void keep_rejected(struct request *r, enum outcome o, const char *scheme, uint64_t received_us, bool whole);

/* ---- handshake.c ---- */
const struct handshake_rule *handshake_find(const struct request *r, bool verified, const struct scope *scope);
/* What the rule says, or why not. `found`: of the verification, meant when the rule asks for one. */
enum MHD_Result handshake_answer(struct request *r, const struct handshake_rule *h, struct scope *scope,
                                 const struct keyring *ring, const struct verify_result *found, struct buf *text);
bool handshake_may_be_unsigned(const struct door_source *source); /* some handshake is not verified */

/* ---- keyring.c ---- */
bool keyring_open(struct server *s, struct door_source *d, struct err *err); /* warnings into the server's */
void keyring_close(struct door_source *d);
struct keyring *keyring_of(const struct door_source *d);
bool keyring_can_judge(const struct door_source *d, uint64_t now_us);
enum delivery { DELIVERY_TAKEN, DELIVERY_KNOWN, DELIVERY_REFUSED, DELIVERY_UNFIT, DELIVERY_FAILED };
/* Makes a secret that a handshake brought one of the source's: on disk first, then in use. Unsigned, only the first one is taken,
 * or those before secrets_until. `id` takes its id. */
enum delivery keyring_deliver(struct server *s, struct door_source *d, struct span secret, bool verified, char id[SECRET_ID_MAX],
                              struct err *err);

/* ---- confirm.c ---- */
bool confirm_start(struct server *s, const struct server_opts *o, struct err *err);
void confirm_stop(struct server *s);
/* https, no user, port 443, a pinned host. *ret_host takes the host of a URL that has one. */
#define HOST_MAX 256
bool confirm_allows(const char *url, const char *const *hosts, char ret_host[HOST_MAX]);
bool confirm_ask(struct server *s, const char *source, const char *url); /* false: too many are waiting */

/* ---- answer.c ---- */
enum MHD_Result answer_handshake(struct request *r, const struct handshake_rule *h, struct span body, const char *const *values);
enum MHD_Result answer_refused_as(struct request *r, enum outcome o, unsigned status);
enum MHD_Result answer_text(struct request *r, unsigned status, struct span body, const char *content_type);
enum MHD_Result answer_outcome(struct request *r, enum outcome o); /* counts it and tells it */
enum MHD_Result answer_refusal(struct request *r);
enum MHD_Result answer_stored(struct request *r);
/* A refusal in the middle of a body, where the library cannot answer: written past it, on a TLS connection as a record. */
enum MHD_Result answer_and_linger(struct request *r);
void request_finish(struct request *r, enum outcome o); /* counts, once */

/* ---- request.c ---- */
void request_free(struct request *r);
void *request_begin(void *worker, const char *url, struct MHD_Connection *c);
enum MHD_Result request_step(void *server, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                             const char *data, size_t *size, void **request);
void request_end(void *worker, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode code);

/* ---- books.c ---- */
bool books_open(struct server *s, const char *data_dir, struct err *err); /* counts what a crash left uncounted; fills seen */
void books_close(struct server *s);
void *book_loop(void *server);
