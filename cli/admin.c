#include "cli/admin.h"
#include "cli/api.h"
#include "cli/exposition.h"
#include "cli/metrics.h"
#include "core/codec.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "http/http.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CONNECTIONS_MAX 64u
#define IDLE_US (UINT64_C(10) * 1000000)
#define TEXT_MAX ((size_t)64 << 20)
#define HEAD_MAX 8192u
#define BODY_MAX 65536u
#define TOKEN_LOOK_US UINT64_C(1000000)

enum stage { STAGE_STARTING, STAGE_READY, STAGE_DRAINING };

struct asking { /* a request */
    struct asking *next;
    struct http_exchange *x;
    unsigned status; /* of an answer whose text is there */
    struct buf text;
    bool is_api;
    struct api_request api;
};

struct admin {
    const struct config *config;
    const struct io *io;
    struct http_server *http;
    bool has_token;
    unsigned char token[32]; /* its SHA-256: digests are compared, so that not even a length shows */
    struct stat token_file;  /* as it was read; looked at once a second, both by the HTTP thread alone once it runs */
    uint64_t token_looked_us;
    char token_name[64];     /* of its file: whom the trail names */
    pthread_t writer;
    bool writer_runs;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    /* Guarded by lock. */
    enum stage stage;
    const struct live *live; /* NULL: not yet, or no longer */
    const struct watch *watch; /* NULL: as live */
    bool writing;            /* the writer uses live */
    bool closing;
    struct asking *waiting; /* scrapes and API calls */
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

static void answer_api(struct admin *a, const struct live *live, struct asking *q)
{
    struct instance in;
    struct err err = {0};
    if (!live) {
        api_error(&q->text, q->status = 503, "unavailable", "the server starts or stops");
        return;
    }
    q->status = 500;
    if (instance_open(&in, a->config, a->io, live, true, &err))
        q->status = api_answer(&in, &q->api, &q->text);
    instance_close(&in);
    if (err.cls != ERR_NONE || !buf_ok(&q->text))
        api_error(&q->text, q->status = 500, "internal", err.cls ? err.msg : "there was no memory for the answer");
}

/* All scrapes that wait are answered with the same text: many scrapers cost as much as one. */
static void answer_all(struct admin *a, const struct live *live, struct asking *list)
{
    struct asking *scrape = NULL;
    for (struct asking *q = list; q; q = q->next) {
        if (q->is_api) {
            answer_api(a, live, q);
        } else if (!live) {
            q->status = 503;
        } else if (!scrape) {
            write_text(a, live, scrape = q);
        } else {
            buf_adds(&q->text, buf_span(&scrape->text));
            q->status = buf_ok(&q->text) ? scrape->status : 500;
        }
    }
    for (struct asking *q = list, *next; q; q = next) {
        next = q->next; /* from its resumption on it is the HTTP thread's */
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
        answer_all(a, live, list);
        pthread_mutex_lock(&a->lock);
        a->writing = false;
        pthread_cond_broadcast(&a->idle);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- requests: the HTTP thread ---- */

static void answer_with(struct http_exchange *x, unsigned status, struct span text, const char *type, const char *allow)
{
    struct http_header headers[2] = {{SPAN_LIT("Cache-Control"), SPAN_LIT("no-store")}};
    struct http_answer a = {.status = status, .body = text, .content_type = type, .headers = headers, .n_headers = 1};
    if (status == 405)
        headers[a.n_headers++] = (struct http_header){SPAN_LIT("Allow"), span_of(allow)};
    if (status == 401)
        headers[a.n_headers++] = (struct http_header){SPAN_LIT("WWW-Authenticate"), SPAN_LIT("Bearer realm=\"sluice\"")};
    (void)http_answer(x, &a); /* nothing in these headers comes from outside */
}

static void answer(struct http_exchange *x, unsigned status, struct span text, const char *type)
{
    answer_with(x, status, text, type, "GET");
}

static void tell(struct http_exchange *x, unsigned status, const char *line)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "%s\n", line);
    answer(x, status, span_make(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1), "text/plain; charset=utf-8");
}

/* Keeps the one before where the file cannot be read. */
static bool read_token(struct admin *a, struct err *err)
{
    const struct secret_ref *ref = &a->config->admin_token;
    struct stat st = {0};
    char *token;
    size_t n;
    if (!ref->at)
        return true;
    if (ref->kind == SECRET_FILE)
        (void)stat(ref->at, &st); /* before it is read: a later change is seen as one */
    if (!secret_read(ref, &token, &n, err))
        return err_prefix(err, "admin.token_file");
    const char *slash = strrchr(ref->at, '/');
    snprintf(a->token_name, sizeof a->token_name, "%s", slash ? slash + 1 : ref->at);
    sha256(span_make(token, n), a->token);
    a->has_token = true;
    a->token_file = st;
    secret_free(&token, n);
    return true;
}

/* A token that is replaced in its file counts within a second; a file that cannot be read takes none away. */
static void watch_token(struct admin *a)
{
    struct stat st;
    struct err err = {0};
    uint64_t now = a->io->world->monotonic_us(a->io);
    if (a->config->admin_token.kind != SECRET_FILE || !a->has_token || now - a->token_looked_us < TOKEN_LOOK_US)
        return;
    a->token_looked_us = now;
    if (stat(a->config->admin_token.at, &st) != 0 ||
        (st.st_ino == a->token_file.st_ino && st.st_dev == a->token_file.st_dev && st.st_size == a->token_file.st_size &&
         st.st_mtim.tv_sec == a->token_file.st_mtim.tv_sec && st.st_mtim.tv_nsec == a->token_file.st_mtim.tv_nsec))
        return;
    if (read_token(a, &err))
        log_info("the admin's token was replaced", "file=\"%s\"", a->config->admin_token.at);
    else
        log_warn("the admin's token cannot be read anew: the one before counts on", "error=\"%s\"", err.msg);
}

static bool is_allowed(struct admin *a, const struct http_exchange *x)
{
    watch_token(a);
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

static void answer_alive(struct admin *a, struct http_exchange *x)
{
    char why[100] = "";
    pthread_mutex_lock(&a->lock);
    const char *still = a->watch ? watch_still(a->watch) : NULL;
    if (still)
        snprintf(why, sizeof why, "%s stands still", still);
    pthread_mutex_unlock(&a->lock);
    tell(x, still ? 503 : 200, still ? why : "alive");
}

/* To the writer's thread. */
static void defer(struct admin *a, struct http_exchange *x)
{
    struct asking *q = x->state;
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

static void ask_for_metrics(struct admin *a, struct http_exchange *x)
{
    if (is_allowed(a, x))
        defer(a, x);
    else
        tell(x, 401, "the token of admin.token_file is needed: Authorization: Bearer …");
}

static void refuse_api(struct http_exchange *x, unsigned status, const char *code, const char *message)
{
    struct buf text;
    buf_init(&text, 4096);
    api_error(&text, status, code, message);
    answer(x, status, buf_span(&text), "application/json");
    buf_release(&text);
}

static struct span kept(struct buf *to, struct span s)
{
    size_t at = to->n;
    buf_adds(to, s);
    return (struct span){to->p + at, s.n};
}

static void ask_api(struct admin *a, struct http_exchange *x)
{
    struct asking *q = x->state;
    struct span query, path = span_cut(x->message.url, '?', &query);
    if (!a->has_token) {
        refuse_api(x, 403, "no_token", "the API needs admin.token_file in sluice.yaml");
        return;
    }
    if (!is_allowed(a, x)) {
        refuse_api(x, 401, "unauthorized", "the token of admin.token_file is needed: Authorization: Bearer …");
        return;
    }
    q->is_api = true;
    buf_init(&q->api.text, HEAD_MAX + BODY_MAX + 16);
    if (!buf_reserve(&q->api.text, x->message.url.n + x->message.method.n + x->message.body.n + 1)) {
        refuse_api(x, 503, "unavailable", "no memory");
        return;
    }
    q->api.method = kept(&q->api.text, x->message.method);
    q->api.path = kept(&q->api.text, path);
    q->api.query = kept(&q->api.text, query.p ? query : (struct span){"", 0});
    q->api.body = kept(&q->api.text, x->message.body);
    snprintf(q->api.who, sizeof q->api.who, "token:%s", a->token_name);
    defer(a, x);
}

static bool on_head(void *admin, struct http_exchange *x)
{
    struct span query, path = span_cut(x->message.url, '?', &query);
    bool known = span_eqz(path, "/livez") || span_eqz(path, "/readyz") || span_eqz(path, "/metrics");
    (void)admin;
    if (api_is_path(path) || (known && span_eqz(x->message.method, "GET")))
        return true;
    tell(x, known ? 405 : 404, known ? "GET only" : "here are /metrics, /livez, /readyz and /api/v1");
    return false;
}

static void on_whole(void *admin, struct http_exchange *x)
{
    struct span query, path = span_cut(x->message.url, '?', &query);
    if (api_is_path(path))
        ask_api(admin, x);
    else if (span_eqz(path, "/livez"))
        answer_alive(admin, x);
    else if (span_eqz(path, "/readyz"))
        answer_ready(admin, x);
    else
        ask_for_metrics(admin, x);
}

static void on_resumed(void *admin, struct http_exchange *x)
{
    struct asking *q = x->state;
    (void)admin;
    if (q->is_api)
        answer_with(x, q->status, buf_span(&q->text), "application/json", span_eqz(q->api.method, "GET") ? "POST" : "GET");
    else if (q->status == 200)
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
    buf_release(&q->api.text);
}

static const struct http_handler handler = {sizeof(struct asking), on_head, on_whole, on_resumed, on_refused, on_over};

/* ---- start and stop ---- */

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

void admin_watch(struct admin *a, const struct watch *w)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->watch = w;
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
