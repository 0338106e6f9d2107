/* door: what the files of the server share. Private to server/.
 *
 * server.c  start and stop           request.c   one request's way           gather.c   its source, and who sent it
 * door.c    the sources, replaced whole
 * judge.c   what a whole request is  answer.c    what it is told             seen.c     duplicates
 * books.c   books and marks on disk  counts.c    the counters                rejected.c what was refused, kept
 * deliveries.c  the list of the last ones
 * keyring.c verifiers and delivered secrets      handshake.c proofs of ownership
 * forwarded.c  who is behind a proxy             confirm.c   URLs that a handshake asks for
 * await.c   answers that wait for Kafka
 *
 * Threads: the workers of http/ run requests; the lane's committer completes their tickets; `bookkeeper` writes the books and
 * what was refused every second; with TLS `watcher` looks for a replaced certificate; with ack: kafka one looks at the clock.
 * Locks are leaves: none is taken while another is held, but that the committer holds the counts' while it tells of a batch. */
#pragma once
#include "http/http.h"
#include "http/peers.h"
#include "server/counts.h"
#include "server/deliveries.h"
#include "server/rejected.h"
#include "server/seen.h"
#include "server/server.h"
#include "server/verify.h"
#include <pthread.h>
#include <stdatomic.h>

#define BODY_BUDGET ((uint64_t)512 << 20) /* memory of all bodies that are being gathered */
#define RETRY_AFTER "5"

#define RETIRED_MAX 8 /* secrets of a source that have no grace any more, the newest first */
#define UNPROVEN_MAX 4 /* secrets that unsigned handshakes bring while a call for a webhook waits */
#define SOURCES_LATER 128 /* further names of sources, while it runs */

struct door_source {
    const struct source_config *config;
    const struct config *whole;
    size_t slot; /* of what belongs to its name */
    const struct manifest *manifest;
    _Atomic(struct keyring *) ring; /* NULL: verification: none, or webhook: off */
    struct scope_pair *pairs;   /* its config values */
    size_t n_pairs;
    char *public_url;           /* of this source, or "" */
    uint64_t duplicate_us;      /* how long a delivery is remembered */
    bool reads_json;            /* ids or handshakes look into the body */
    bool has_id;
    char retired[RETIRED_MAX][SECRET_ID_MAX]; /* their ids; guarded by deliver_lock */
    _Atomic uint64_t expects_until_us; /* a secret that is not known yet may sign until then: what no secret fits is told 503,
                                           and a handshake that we asked for may bring it unsigned */
    char unproven[UNPROVEN_MAX][SECRET_ID_MAX]; /* ids of those that came so; guarded by deliver_lock */
    size_t n_unproven;
};

/* The sources at one moment. */
struct door {
    struct door *next; /* of those that were replaced */
    const struct config *config; /* held */
    struct door_source *sources;
    size_t n_sources;
    atomic_size_t users;
};

/* What verifies a source now. A handshake that brings a secret, or a file that has another one, puts a new one in its place; the
 * old ones live as long as their door, since a worker may be reading them. */
struct keyring {
    struct keyring *older;
    struct verifier *verifier;
    _Atomic uint64_t *last_used_us; /* by secret of the verifier */
    uint64_t *last_used_written;    /* the same in state.db; guarded by book_lock */
    size_t n_delivered;             /* secrets that came by handshake */
    char *fresh;                    /* the ids of the configured secrets as their files had them, "-" for one that could not be
                                       read */
    bool sealed;                    /* it is not known which there are: none is taken unsigned */
};

/* Requests whose entry is in the journal and not yet in Kafka. */
struct awaiting {
    pthread_mutex_t lock;
    struct request *first, *last; /* by sequence */
    size_t n;
    bool over;           /* nobody is waited for any more */
    atomic_bool trouble; /* as it was when last looked */
    _Atomic uint64_t late;
    bool runs;
    pthread_t thread;
};

/* Deliveries that no secret fits while one is expected. */
struct held;
struct holding {
    pthread_mutex_t lock;
    struct held *first;
    size_t n, bytes; /* copies, also of those that were resumed and are not over */
    bool over;       /* nobody is held any more */
};

/* Buffers that a request needs while it is judged; each worker has one. */
struct workspace {
    struct verify_scratch *verify;
    struct buf text;
    struct buf blanked; /* what stands in place of credentials */
    _Atomic(struct door *) looks; /* the door that it is about to take; NULL: none */
};

struct server {
    const struct config *config;
    const struct io *io;
    struct journal *journal;
    struct lane *lane;
    _Atomic(struct door *) door;
    struct door *replaced;     /* guarded by door_lock, as replacing it is */
    pthread_mutex_t door_lock;
    struct buf warnings;       /* of the start, then of the last change; guarded by deliver_lock once it serves */
    struct http_server *http;
    struct workspace *workspaces; /* by worker */
    unsigned n_workers;
    bool serving; /* the workers run */
    struct counts counts;
    uint64_t batch_us, batch_n; /* the committer's: of the batch that is told of */
    struct histogram verify_times, request_times;
    struct seen *seen;
    struct rejected *rejected;
    struct deliveries *deliveries;
    struct peers *clients; /* open requests by whom a proxy speaks for */
    struct tls *tls;       /* NULL: plain HTTP */
    pthread_mutex_t book_lock;
    struct state state;          /* guarded by book_lock */
    struct books *snapshot;      /* guarded by book_lock */
    bool state_open;
    uint64_t started_us;
    const char *data_dir;
    pthread_mutex_t deliver_lock; /* one secret is taken at a time */
    _Atomic(struct confirm *) confirm; /* NULL: no source fetches */
    const char *confirm_via, *confirm_certificates;
    struct server_ack ack;
    struct awaiting awaiting;
    struct holding holding;
    pthread_mutex_t stop_lock;
    pthread_cond_t stop_cond;
    bool stopping; /* guarded by stop_lock: ends the own threads */
    bool bookkeeper_runs, watcher_runs;
    pthread_t bookkeeper, watcher;
    atomic_size_t pending;       /* tickets; the server lives until they are done */
    atomic_bool closed;          /* nothing more goes into the journal */
};

struct request {
    struct ticket ticket; /* first: done gets its address */
    struct http_exchange *x;
    struct server *server;
    struct address client; /* the peer's, or as a trusted proxy says */
    bool client_counted;
    struct door *door;          /* taken; NULL: not yet */
    struct door_source *source; /* NULL: unknown */
    size_t source_index;
    enum outcome outcome;
    unsigned status; /* of a refusal */
    unsigned told;   /* the status that was answered; 0: none yet */
    uint64_t entry;  /* the sequence of the entry that it is, or is a copy of; 0: none */
    bool arrived, finished; /* counted */
    bool refused;    /* from its head; its body comes in to be kept with it */
    bool answered;
    bool stored;
    bool signature_blanked; /* among what is blanked is what a scheme looks at */
    struct http_message message; /* as http has it, with credentials blanked; borrowed as there */
    struct hash128 dedupe;
    uint64_t verified_us;
    struct held *held; /* its copy, where it was held; until it is over */
    bool judged;       /* it waits for the journal, or behind it */
    /* with ack: kafka: */
    struct request *await_before, *await_behind;
    uint64_t await_seq, await_until_us;
    bool duplicate; /* of an entry that was still on its way */
    bool late;      /* it was not in Kafka in time */
};

/* ---- server.c ---- */
/* Sleeps, or wakes at once when the server stops; false: stop. */
bool server_sleep(struct server *s, uint64_t us);

/* ---- door.c ---- */
bool door_open(struct server *s, struct err *err);
void door_close(struct server *s); /* nobody is in one any more */
void door_tidy(struct server *s);  /* frees those that were replaced and are empty */
/* The one of now: by its worker, without a lock; by any other thread. Both: until door_leave. */
struct door *door_take(struct server *s, unsigned worker);
struct door *door_hold(struct server *s);
void door_leave(struct door *door);
struct door *door_now(const struct server *s); /* while nobody can replace it: at the start, and under deliver_lock */
struct door_source *door_find(const struct door *door, struct span name); /* NULL: none */

/* ---- forwarded.c ---- */
/* Whom a request that came from a trusted proxy is from. */
struct address forwarded_client(const struct config *c, const struct http_message *m, struct address peer);

/* ---- gather.c ---- */
/* The request's source and sender. false: no such source. */
bool gather_head(struct request *r);

/* ---- judge.c ---- */
/* Verifies, answers handshakes and duplicates, or hands the entry to the journal. */
void judge_request(struct request *r);
/* Around a batch's tickets, in the committer's thread; ctx is the server. */
void batch_before(void *ctx);
void batch_after(void *ctx);
/* The request's ticket is done: goes on with it in its worker's thread. */
void request_stored(struct request *r);
/* Keeps the request for `sluice verify --last-rejected`; blanks its credentials, so it is the last to look at them. whole: its
 * body is all there. scheme: that spoke for the verdict, or NULL. */
void keep_rejected(struct request *r, enum outcome o, const char *scheme, uint64_t received_us, bool whole);

/* ---- hold.c ---- */
/* A delivery that no secret of that ring fits, while one is expected: true when it was held, and is judged again later. Its
 * message points to a copy from then on. */
bool hold_request(struct request *r, const struct keyring *judged_by);
void hold_release(struct server *s);    /* a secret came, or none is expected any more: all go on */
void hold_look(struct server *s);       /* those whose time is up go on */
void hold_end(struct server *s);        /* all go on, and nobody is held any more */
void hold_forget(struct request *r);    /* it is over */

/* ---- await.c ---- */
bool await_start(struct server *s, struct err *err);
bool await_is_on(const struct server *s);
bool await_refuses(const struct server *s); /* Kafka is not to be had now */
/* Always true with ack: journal. */
bool await_is_delivered(const struct server *s, uint64_t seq);
/* The request is resumed when the entry `seq` is delivered, or `late`; that may be before this returns. */
void await_delivery(struct request *r, uint64_t seq);
void await_end(struct server *s);  /* nobody waits any more */
void await_stop(struct server *s); /* behind the order to stop */

/* ---- handshake.c ---- */
const struct handshake_rule *handshake_find(const struct request *r, bool verified, const struct scope *scope);
/* What the rule says, or why not. `found`: of the verification, meant when the rule asks for one. */
void handshake_answer(struct request *r, const struct handshake_rule *h, struct scope *scope,
                                 const struct keyring *ring, const struct verify_result *found, struct buf *text);
bool handshake_may_be_unsigned(const struct door_source *source); /* some handshake is not verified */

/* ---- keyring.c ---- */
/* Warnings into the server's. older: of the same source in the door before, or NULL: what it holds still counts for a while. */
bool keyring_open(struct server *s, struct door_source *d, struct keyring *older, struct err *err);
void keyring_close(struct door_source *d);
struct keyring *keyring_of(const struct door_source *d);
/* Takes up what changed in the secrets' files. By the bookkeeper. */
void keyring_refresh(struct server *s, struct door_source *d);
bool keyring_can_judge(const struct door_source *d, uint64_t now_us);
enum delivery { DELIVERY_TAKEN, DELIVERY_KNOWN, DELIVERY_REFUSED, DELIVERY_UNFIT, DELIVERY_FAILED };
/* Makes a secret that a handshake brought one of the source's: on disk first, then in use. Unsigned, only the first one is taken,
 * or those before secrets_until. `id` takes its id. */
enum delivery keyring_deliver(struct server *s, struct door_source *d, struct span secret, bool verified, char id[SECRET_ID_MAX],
                              struct err *err);

/* ---- confirm.c ---- */
bool confirm_start(struct server *s, const struct door *door, struct err *err); /* unless it runs, or none of them fetches */
void confirm_stop(struct server *s);
/* https, no user, port 443, a pinned host. *ret_host takes the host of a URL that has one. */
#define HOST_MAX 256
bool confirm_allows(const char *url, const char *const *hosts, char ret_host[HOST_MAX]);
bool confirm_ask(struct server *s, const char *source, const char *url); /* false: too many are waiting */

/* ---- answer.c ---- */
void answer_handshake(struct request *r, const struct handshake_rule *h, struct span body, const char *const *values);
void answer_refused_as(struct request *r, enum outcome o, unsigned status);
void answer_text(struct request *r, unsigned status, struct span body, const char *content_type);
void answer_outcome(struct request *r, enum outcome o); /* counts it and tells it */
void answer_refusal(struct request *r);
void answer_stored(struct request *r);
void request_finish(struct request *r, enum outcome o); /* counts, once */

/* ---- request.c ---- */
extern const struct http_handler request_handler;
static inline struct workspace *workspace_of(const struct request *r)
{
    return &r->server->workspaces[r->x->worker];
}

/* ---- books.c ---- */
bool books_open(struct server *s, const char *data_dir, struct err *err); /* counts what a crash left uncounted; fills seen */
void books_close(struct server *s);
void *book_loop(void *server);
