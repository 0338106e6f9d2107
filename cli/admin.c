#include "cli/admin.h"
#include "cli/exposition.h"
#include "cli/metrics.h"
#include "core/codec.h"
#include "core/mem.h"
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECTIONS_MAX 64u
#define IDLE_S 10u
#define TEXT_MAX ((size_t)64 << 20)
#define BODY_MAX 65536 /* of a GET: dropped */

enum stage { STAGE_STARTING, STAGE_READY, STAGE_DRAINING };

struct asking { /* a request */
    struct asking *next;
    struct MHD_Connection *connection;
    size_t dropped; /* bytes of its body */
    bool written;   /* a scrape: text and status are there */
    unsigned status;
    struct buf text;
};

struct admin {
    const struct config *config;
    const struct io *io;
    struct MHD_Daemon *daemon;
    uint16_t port;
    bool has_token;
    unsigned char token[32]; /* its SHA-256: digests are compared, so that not even a length shows */
    pthread_t writer;
    bool writer_runs;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    /* Guarded by lock. */
    enum stage stage;
    const struct live *live; /* NULL: not yet, or no longer */
    bool writing;            /* the writer uses live */
    bool closing;
    struct asking *waiting; /* scrapes, suspended */
};

/* ---- scrapes: the writer's thread ---- */

static void write_text(struct admin *a, const struct live *live, struct asking *q)
{
    struct instance in;
    struct err err = {0};
    q->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    if (instance_open(&in, a->config, a->io, live, false, &err))
        metrics_write(&in, &q->text);
    instance_close(&in);
    if (err.cls == ERR_NONE && buf_ok(&q->text))
        q->status = MHD_HTTP_OK;
}

/* All that wait are answered with the same text: many scrapers cost as much as one. */
static void answer_all(struct asking *list, const struct asking *from)
{
    for (struct asking *q = list, *next; q; q = next) {
        next = q->next; /* from its resumption on it is the HTTP thread's */
        if (q != from) {
            buf_adds(&q->text, buf_span(&from->text));
            q->status = buf_ok(&q->text) ? from->status : MHD_HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    for (struct asking *q = list, *next; q; q = next) {
        next = q->next;
        q->written = true;
        MHD_resume_connection(q->connection);
    }
}

static void *write_loop(void *arg)
{
    struct admin *a = arg;
    pthread_mutex_lock(&a->lock);
    for (;;) {
        while (!a->waiting && !a->closing)
            pthread_cond_wait(&a->work, &a->lock);
        struct asking *list = a->waiting;
        const struct live *live = a->live;
        if (!list)
            break;
        a->waiting = NULL;
        a->writing = live != NULL;
        pthread_mutex_unlock(&a->lock);
        if (live)
            write_text(a, live, list);
        else
            list->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        answer_all(list, list);
        pthread_mutex_lock(&a->lock);
        a->writing = false;
        pthread_cond_broadcast(&a->idle);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- requests: the HTTP thread ---- */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, struct span text, const char *type)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(text.n, (void *)(uintptr_t)text.p, MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET");
    if (status == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"sluice\"");
    enum MHD_Result result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result tell(struct MHD_Connection *c, unsigned status, const char *line)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "%s\n", line);
    return answer(c, status, span_make(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1), "text/plain; charset=utf-8");
}

static bool is_allowed(const struct admin *a, struct MHD_Connection *c)
{
    const char *value = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    struct span given, scheme = span_cut(span_of(value ? value : ""), ' ', &given);
    unsigned char digest[32];
    if (!a->has_token)
        return true;
    if (!span_ieq(scheme, SPAN_LIT("Bearer")))
        return false;
    while (given.n && given.p[0] == ' ')
        given = span_skip(given, 1);
    sha256(given, digest);
    return ct_equal(span_make((const char *)digest, sizeof digest), span_make((const char *)a->token, sizeof a->token));
}

static enum MHD_Result answer_ready(struct admin *a, struct MHD_Connection *c)
{
    char why[1000] = "";
    pthread_mutex_lock(&a->lock);
    bool ready = a->stage == STAGE_READY && a->live;
    if (!ready)
        snprintf(why, sizeof why, "%s", a->stage == STAGE_STARTING ? "starting" : "draining: the server stops");
    else if (lane_trouble(journal_lane(a->live->journal, LANE_EVENTS), why, sizeof why))
        ready = false;
    pthread_mutex_unlock(&a->lock);
    return ready ? tell(c, MHD_HTTP_OK, "ready") : tell(c, MHD_HTTP_SERVICE_UNAVAILABLE, why);
}

static enum MHD_Result answer_metrics(struct admin *a, struct MHD_Connection *c, struct asking *q)
{
    if (q->written)
        return q->status == MHD_HTTP_OK                    ? answer(c, q->status, buf_span(&q->text), EXPOSITION_TYPE)
               : q->status == MHD_HTTP_SERVICE_UNAVAILABLE ? tell(c, q->status, "nothing to measure: the server starts or stops")
                                                           : tell(c, q->status, "there was no memory for the metrics");
    if (!is_allowed(a, c))
        return tell(c, MHD_HTTP_UNAUTHORIZED, "the token of admin.token_file is needed: Authorization: Bearer …");
    pthread_mutex_lock(&a->lock);
    bool go = !a->closing;
    if (go) {
        MHD_suspend_connection(c);
        q->next = a->waiting;
        a->waiting = q;
        pthread_cond_signal(&a->work);
    }
    pthread_mutex_unlock(&a->lock);
    return go ? MHD_YES : MHD_NO;
}

static enum MHD_Result step(void *admin, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                            const char *data, size_t *size, void **context)
{
    struct admin *a = admin;
    struct asking *q = *context;
    (void)version;
    (void)data;
    bool live = strcmp(url, "/livez") == 0, ready = strcmp(url, "/readyz") == 0;
    if (!live && !ready && strcmp(url, "/metrics") != 0)
        return tell(c, MHD_HTTP_NOT_FOUND, "here are /metrics, /livez and /readyz");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return tell(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only");
    if (!q) {
        q = calloc(1, sizeof *q);
        if (!q)
            return MHD_NO;
        q->connection = c;
        buf_init(&q->text, TEXT_MAX);
        *context = q;
        return MHD_YES;
    }
    if (*size) {
        q->dropped += *size;
        *size = 0;
        return q->dropped > BODY_MAX ? MHD_NO : MHD_YES;
    }
    if (live)
        return tell(c, MHD_HTTP_OK, "alive");
    return ready ? answer_ready(a, c) : answer_metrics(a, c, q);
}

static void finish(void *admin, struct MHD_Connection *c, void **context, enum MHD_RequestTerminationCode code)
{
    struct asking *q = *context;
    (void)admin;
    (void)c;
    (void)code;
    if (!q)
        return;
    *context = NULL;
    buf_release(&q->text);
    free(q);
}

/* ---- start and stop ---- */

static bool read_token(struct admin *a, struct err *err)
{
    char *token;
    size_t n;
    if (!a->config->admin_token.at)
        return true;
    if (!secret_read(&a->config->admin_token, &token, &n, err))
        return err_prefix(err, "admin.token_file");
    sha256(span_make(token, n), a->token);
    a->has_token = true;
    secret_free(&token, n);
    return true;
}

static bool listen_on(struct admin *a, struct err *err)
{
    const struct listen_addr *at = &a->config->admin;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", at->port);
    int rc = getaddrinfo(at->host, port, &hints, &list);
    if (rc != 0)
        return err_set(err, ERR_CONFIG, "admin.listen: %s is no address of this machine: %s", at->host, gai_strerror(rc));
    int why = 0;
    for (struct addrinfo *l = list; l && !a->daemon; l = l->ai_next) {
        unsigned family = l->ai_family == AF_INET6 ? MHD_USE_DUAL_STACK : 0; /* [::] takes both, as `listen` does */
        errno = 0;
        a->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | family, 0, NULL, NULL, step, a,
                                     MHD_OPTION_SOCK_ADDR, l->ai_addr, MHD_OPTION_NOTIFY_COMPLETED, finish, a,
                                     MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
                                     MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
        why = errno;
    }
    freeaddrinfo(list);
    errno = why;
    if (!a->daemon)
        return err_sys(err, ERR_CONFIG, "cannot listen on %s:%u (admin.listen)", at->host, at->port);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_BIND_PORT);
    a->port = info ? info->port : at->port;
    return true;
}

bool admin_start(const struct config *c, const struct io *io, struct admin **ret, struct err *err)
{
    if (!c->admin.host)
        return true;
    struct admin *a = mem_alloc(sizeof *a);
    *a = (struct admin){.config = c, .io = io};
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->work, NULL);
    pthread_cond_init(&a->idle, NULL);
    bool ok = read_token(a, err);
    if (ok) {
        a->writer_runs = pthread_create(&a->writer, NULL, write_loop, a) == 0;
        ok = a->writer_runs || err_set(err, ERR_NOMEM, "cannot start the thread of the metrics");
    }
    if (ok && listen_on(a, err))
        *ret = a;
    else
        admin_stop(&a);
    return *ret != NULL;
}

void admin_ready(struct admin *a, const struct live *live)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->live = live;
    a->stage = STAGE_READY;
    pthread_mutex_unlock(&a->lock);
}

void admin_drain(struct admin *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stage = STAGE_DRAINING;
    pthread_mutex_unlock(&a->lock);
}

void admin_detach(struct admin *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stage = STAGE_DRAINING;
    a->live = NULL;
    while (a->writing)
        pthread_cond_wait(&a->idle, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

void admin_stop(struct admin **at)
{
    struct admin *a = *at;
    if (!a)
        return;
    *at = NULL;
    pthread_mutex_lock(&a->lock);
    a->closing = true; /* from here on no connection is suspended; the writer lets those go that are, then ends */
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->lock);
    if (a->writer_runs)
        pthread_join(a->writer, NULL);
    if (a->daemon)
        MHD_stop_daemon(a->daemon);
    pthread_cond_destroy(&a->work);
    pthread_cond_destroy(&a->idle);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

uint16_t admin_port(const struct admin *a)
{
    return a->port;
}
