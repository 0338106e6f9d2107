#include "cli/admin.h"
#include "cli/exposition.h"
#include "cli/metrics.h"
#include "core/codec.h"
#include "core/mem.h"
#include "core/thread.h"
#include "http/http.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECTIONS_MAX 64u
#define IDLE_US (UINT64_C(10) * 1000000)
#define TEXT_MAX ((size_t)64 << 20)
#define HEAD_MAX 8192u
#define BODY_MAX 65536u /* of a GET: dropped */

enum stage { STAGE_STARTING, STAGE_READY, STAGE_DRAINING };

struct asking { /* a request */
    struct asking *next;
    struct http_exchange *x;
    unsigned status; /* of a scrape whose text is there */
    struct buf text;
};

struct admin {
    const struct config *config;
    const struct io *io;
    struct http_server *http;
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
    struct asking *waiting; /* scrapes */
};

/* ---- scrapes: the writer's thread ---- */

static void write_text(struct admin *a, const struct live *live, struct asking *q)
{
    struct instance in;
    struct err err = {0};
    q->status = 500;
    if (instance_open(&in, a->config, a->io, live, false, &err))
        metrics_write(&in, &q->text);
    instance_close(&in);
    if (err.cls == ERR_NONE && buf_ok(&q->text))
        q->status = 200;
}

/* All that wait are answered with the same text: many scrapers cost as much as one. */
static void answer_all(struct admin *a, struct asking *list, const struct asking *from)
{
    for (struct asking *q = list, *next; q; q = next) {
        next = q->next; /* from its resumption on it is the HTTP thread's */
        if (q != from) {
            buf_adds(&q->text, buf_span(&from->text));
            q->status = buf_ok(&q->text) ? from->status : 500;
        }
    }
    for (struct asking *q = list, *next; q; q = next) {
        next = q->next;
        http_resume(q->x);
    }
    http_wake(a->http);
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
            list->status = 503;
        answer_all(a, list, list);
        pthread_mutex_lock(&a->lock);
        a->writing = false;
        pthread_cond_broadcast(&a->idle);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- requests: the HTTP thread ---- */

static void answer(struct http_exchange *x, unsigned status, struct span text, const char *type)
{
    struct http_header headers[2] = {{SPAN_LIT("Cache-Control"), SPAN_LIT("no-store")}};
    struct http_answer a = {.status = status, .body = text, .content_type = type, .headers = headers, .n_headers = 1};
    if (status == 405)
        headers[a.n_headers++] = (struct http_header){SPAN_LIT("Allow"), SPAN_LIT("GET")};
    if (status == 401)
        headers[a.n_headers++] = (struct http_header){SPAN_LIT("WWW-Authenticate"), SPAN_LIT("Bearer realm=\"sluice\"")};
    (void)http_answer(x, &a); /* nothing in these headers comes from outside */
}

static void tell(struct http_exchange *x, unsigned status, const char *line)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "%s\n", line);
    answer(x, status, span_make(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1), "text/plain; charset=utf-8");
}

static bool is_allowed(const struct admin *a, const struct http_exchange *x)
{
    struct span given, scheme = span_cut(http_header(&x->message, SPAN_LIT("Authorization"), NULL), ' ', &given);
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

static void answer_ready(struct admin *a, struct http_exchange *x)
{
    char why[1000] = "";
    pthread_mutex_lock(&a->lock);
    bool ready = a->stage == STAGE_READY && a->live;
    if (!ready)
        snprintf(why, sizeof why, "%s", a->stage == STAGE_STARTING ? "starting" : "draining: the server stops");
    else if (lane_trouble(journal_lane(a->live->journal, LANE_EVENTS), why, sizeof why))
        ready = false;
    pthread_mutex_unlock(&a->lock);
    tell(x, ready ? 200 : 503, ready ? "ready" : why);
}

static void ask_for_metrics(struct admin *a, struct http_exchange *x)
{
    struct asking *q = x->state;
    if (!is_allowed(a, x)) {
        tell(x, 401, "the token of admin.token_file is needed: Authorization: Bearer …");
        return;
    }
    q->x = x;
    buf_init(&q->text, TEXT_MAX);
    pthread_mutex_lock(&a->lock);
    bool go = !a->closing;
    if (go) {
        q->next = a->waiting;
        a->waiting = q;
        pthread_cond_signal(&a->work);
    }
    pthread_mutex_unlock(&a->lock);
    if (!go)
        tell(x, 503, "draining: the server stops");
}

static bool on_head(void *admin, struct http_exchange *x)
{
    struct span query, path = span_cut(x->message.url, '?', &query);
    bool known = span_eqz(path, "/livez") || span_eqz(path, "/readyz") || span_eqz(path, "/metrics");
    (void)admin;
    if (known && span_eqz(x->message.method, "GET"))
        return true;
    tell(x, known ? 405 : 404, known ? "GET only" : "here are /metrics, /livez and /readyz");
    return false;
}

static void on_whole(void *admin, struct http_exchange *x)
{
    struct span query, path = span_cut(x->message.url, '?', &query);
    if (span_eqz(path, "/livez"))
        tell(x, 200, "alive");
    else if (span_eqz(path, "/readyz"))
        answer_ready(admin, x);
    else
        ask_for_metrics(admin, x);
}

static void on_resumed(void *admin, struct http_exchange *x)
{
    struct asking *q = x->state;
    (void)admin;
    if (q->status == 200)
        answer(x, 200, buf_span(&q->text), EXPOSITION_TYPE);
    else if (q->status == 503)
        tell(x, 503, "nothing to measure: the server starts or stops");
    else
        tell(x, 500, "there was no memory for the metrics");
}

static void on_refused(void *admin, struct http_exchange *x, unsigned status, bool told)
{
    (void)admin, (void)told;
    tell(x, status, "this is no request that can be read");
}

static void on_over(void *admin, struct http_exchange *x)
{
    struct asking *q = x->state;
    (void)admin;
    buf_release(&q->text);
}

static const struct http_handler handler = {sizeof(struct asking), on_head, on_whole, on_resumed, on_refused, on_over};

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

static bool start_listener(struct admin *a, struct err *err)
{
    struct http_opts o = {.io = a->io,
                          .key = "admin.listen",
                          .host = a->config->admin.host,
                          .port = a->config->admin.port,
                          .workers = 1,
                          .connections_max = CONNECTIONS_MAX,
                          .head_bytes_max = HEAD_MAX,
                          .body_bytes_max = BODY_MAX,
                          .memory_max = CONNECTIONS_MAX * 2 * (HEAD_MAX + BODY_MAX),
                          .idle_us = IDLE_US,
                          .head_us = IDLE_US,
                          .body_us = IDLE_US,
                          .request_us = IDLE_US,
                          .handler = &handler,
                          .ctx = a};
    return http_open(&o, &a->http, err) && http_start(a->http, err);
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
        a->writer_runs = thread_start(&a->writer, write_loop, a);
        ok = a->writer_runs || err_set(err, ERR_NOMEM, "cannot start the thread of the metrics");
    }
    if (ok && start_listener(a, err))
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
    a->closing = true; /* from here on no scrape waits; the writer lets those go that are, then ends */
    pthread_cond_broadcast(&a->work);
    pthread_mutex_unlock(&a->lock);
    if (a->writer_runs)
        pthread_join(a->writer, NULL);
    http_free(&a->http);
    pthread_cond_destroy(&a->work);
    pthread_cond_destroy(&a->idle);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

uint16_t admin_port(const struct admin *a)
{
    return http_port(a->http);
}
