/* door: what the files of the server share. Private to server/.
 *
 * server.c  start and stop           link.c    connections and their deadlines     request.c  one request's way
 * gather.c  headers, framing, body   judge.c   what a complete request is          answer.c   what it is told
 * books.c   books and marks on disk  counts.c  the counters                        seen.c     duplicates
 * handshake.c  proofs of ownership   keyring.c  verifiers and delivered secrets      confirm.c  URLs that a handshake asks for
 *
 * Threads: libmicrohttpd's workers run requests; the lane's committer completes their tickets; `sweeper` closes connections whose
 * time is up; `bookkeeper` writes the books every second. Locks are leaves: none is taken while another is held. */
#pragma once
#include "server/counts.h"
#include "server/seen.h"
#include "server/server.h"
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

/* Buffers that a request needs while it is judged; there are as many as workers. */
struct workspace {
    struct workspace *next;
    struct verify_scratch *verify;
    struct buf text;
};

struct link { /* a connection */
    struct link *next, *prev;
    int fd;
    uint64_t deadline_us; /* monotonic; UINT64_MAX: none */
};

struct server {
    const struct config *config;
    const struct io *io;
    struct journal *journal;
    struct lane *lane;
    struct door_source *sources;
    size_t n_sources;
    struct buf warnings;
    struct MHD_Daemon *daemon;
    int listen_fd; /* until the daemon has it: then -1 */
    uint16_t port;
    struct counts counts;
    struct seen *seen;
    pthread_mutex_t work_lock;
    struct workspace *idle_work; /* guarded by work_lock */
    pthread_mutex_t link_lock;
    struct link *links; /* guarded by link_lock */
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
    bool sweeper_runs, bookkeeper_runs;
    pthread_t sweeper, bookkeeper;
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
    struct server *server;
    struct MHD_Connection *connection;
    struct link *link;
    struct door_source *source; /* NULL: unknown */
    size_t source_index;
    enum phase phase;
    enum outcome outcome;
    unsigned status; /* of a refusal */
    bool arrived, finished; /* counted */
    bool must_close, must_linger;
    uint64_t lingered; /* bytes */
    const char *version;
    char *url; /* as received */
    struct http_message message;
    struct http_header *headers; /* borrow the connection's memory until the request is over */
    struct buf body;
    uint64_t charged; /* of the budget */
    struct buf blanked; /* what stands in place of credentials */
    struct hash128 dedupe;
    uint64_t verified_us;
    bool stored;
};

/* ---- link.c ---- */
void link_notify(void *server, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code);
struct link *link_of(struct MHD_Connection *c);
void link_deadline(struct server *s, struct link *l, uint64_t within_us, bool only_earlier); /* within UINT64_MAX: none */
void *sweep_loop(void *server);
/* Sleeps, or wakes at once when the server stops; false: stop. */
bool server_sleep(struct server *s, uint64_t us);

/* ---- gather.c ---- */
/* Headers into the request; what is wrong with the framing. false: refused, outcome and status are set. */
bool gather_headers(struct request *r);
bool gather_body(struct request *r, const char *p, size_t n);
void gather_release(struct request *r);
struct door_source *source_of(struct server *s, struct span url, size_t *ret_index);

/* ---- judge.c ---- */
/* Verifies, answers handshakes and duplicates, or hands the entry to the journal. */
enum MHD_Result judge_request(struct request *r);

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
/* A refusal in the middle of a body, where the library cannot answer: written to the socket itself. */
enum MHD_Result answer_and_linger(struct request *r);
void request_finish(struct request *r, enum outcome o); /* counts, once */

/* ---- request.c ---- */
void *request_begin(void *server, const char *url, struct MHD_Connection *c);
enum MHD_Result request_step(void *server, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                             const char *data, size_t *size, void **request);
void request_end(void *server, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode code);

/* ---- books.c ---- */
bool books_open(struct server *s, const char *data_dir, struct err *err); /* counts what a crash left uncounted; fills seen */
void books_close(struct server *s);
void *book_loop(void *server);
