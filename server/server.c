/* Starting and stopping. The library's threads see a server that is complete; they are gone before anything of it is freed. */
#include "server/door.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/wait.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define DRAIN_US UINT64_C(5000000)                    /* for requests whose bodies are still coming in */
#define REMEMBER_MIN_US (UINT64_C(24) * 3600 * 1000000) /* deliveries without a signed time */
#define POOL_SPARE 8192u                              /* of a connection's memory, beside its headers */

/* ---- sources ---- */

static bool path_reads_json(const struct path *p)
{
    for (; p; p = p->other)
        if ((p->root == ROOT_BODY && p->n_steps) || p->root == ROOT_EVENT)
            return true;
    return false;
}

static bool template_reads_json(const struct template *t)
{
    for (size_t i = 0; i < t->n_parts; i++) {
        const struct template_part *part = &t->parts[i];
        if (!part->literal && path_reads_json(&part->path))
            return true;
        for (size_t k = 0; k < part->n_joined; k++)
            if (path_reads_json(&part->joined[k]))
                return true;
    }
    return false;
}

static bool handshake_reads_json(const struct handshake_rule *h)
{
    bool reads = template_reads_json(&h->text) || (h->has_secret && path_reads_json(&h->secret)) ||
                 (h->has_fetch && path_reads_json(&h->fetch));
    for (size_t i = 0; i < h->n_when; i++)
        reads = reads || path_reads_json(&h->when[i].path);
    for (size_t i = 0; i < h->n_must; i++)
        reads = reads || path_reads_json(&h->must[i].path);
    for (size_t i = 0; i < h->n_shapes; i++)
        reads = reads || path_reads_json(&h->shapes[i].path);
    for (size_t i = 0; i < h->n_json; i++)
        reads = reads || template_reads_json(&h->json[i].text);
    for (size_t i = 0; i < h->n_headers; i++)
        reads = reads || template_reads_json(&h->headers[i].value);
    return reads;
}

static bool source_reads_json(const struct manifest *m)
{
    bool reads = template_reads_json(&m->event.id) || m->event.has_each;
    for (size_t i = 0; i < m->n_handshakes; i++) {
        reads = reads || handshake_reads_json(&m->handshakes[i]);
    }
    return reads;
}

/* Twice the time within which a delivery verifies: afterwards a copy is refused as expired. */
static uint64_t remember_us(const struct manifest *m)
{
    uint64_t longest = 0;
    for (size_t i = 0; i < m->n_schemes; i++) {
        const struct time_rule *t = &m->schemes[i].time;
        if (!t->present || !t->is_signed || !t->has_past || !t->past_us)
            return REMEMBER_MIN_US;
        if (t->past_us > longest)
            longest = t->past_us;
    }
    return longest * 2 > REMEMBER_MIN_US ? longest * 2 : REMEMBER_MIN_US;
}

static char *public_url_of(const struct config *c, const struct source_config *s)
{
    if (s->public_url)
        return mem_dup(s->public_url);
    if (!c->public_url)
        return mem_dup("");
    struct buf b;
    buf_init(&b, 65536);
    size_t n = strlen(c->public_url);
    while (n && c->public_url[n - 1] == '/')
        n--;
    buf_add(&b, c->public_url, n);
    buf_addf(&b, "/in/%s", s->name);
    char *url = buf_take(&b, NULL);
    return url ? url : mem_dup("");
}

static bool add_source(struct server *s, const struct source_config *config, struct err *err)
{
    struct door_source *d = &s->sources[s->n_sources++];
    const struct manifest *m = config->manifest;
    struct err why = {0};
    *d = (struct door_source){.config = config,
                              .manifest = m,
                              .public_url = public_url_of(s->config, config),
                              .duplicate_us = remember_us(m),
                              .reads_json = source_reads_json(m),
                              .has_id = m->event.id.n_parts || m->event.id_is_body_hash};
    if (!config_pairs(config, &d->pairs, &d->n_pairs, &why)) {
        d->pairs = NULL;
        d->n_pairs = 0;
    }
    if (config->webhook_off)
        return true;
    if (config->unverified) {
        buf_addf(&s->warnings, "%s: verification: none: whatever is posted to /in/%s is taken as genuine\n", config->name,
                 config->name);
        return true;
    }
    return keyring_open(s, d, err) || err_prefix(err, "source %s", config->name);
}

static bool add_sources(struct server *s, struct err *err)
{
    s->sources = mem_alloc((s->config->n_sources + 1) * sizeof *s->sources);
    for (size_t i = 0; i < s->config->n_sources; i++)
        if (!add_source(s, &s->config->sources[i], err))
            return false;
    return true;
}

/* ---- listening ---- */

static bool listen_on(struct server *s, struct err *err)
{
    const struct listen_addr *at = &s->config->listen;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", at->port);
    int rc = getaddrinfo(at->host, port, &hints, &list);
    if (rc != 0)
        return err_set(err, ERR_CONFIG, "listen: %s is no address of this machine: %s", at->host, gai_strerror(rc));
    int fd = -1, on = 1, why = 0;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (fd >= 0 && (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)) {
            why = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    errno = why;
    if (fd < 0)
        return err_sys(err, ERR_CONFIG, "cannot listen on %s:%u", at->host, at->port);
    struct sockaddr_storage bound;
    socklen_t n = sizeof bound;
    char service[16] = "0";
    if (getsockname(fd, (struct sockaddr *)&bound, &n) == 0)
        getnameinfo((struct sockaddr *)&bound, n, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    s->port = (uint16_t)strtoul(service, NULL, 10);
    s->listen_fd = fd;
    return true;
}

static unsigned workers_of(const struct config *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = c->threads ? c->threads : cores > 4 ? 4 : cores < 1 ? 1 : (unsigned)cores;
    return n > c->connections_max ? c->connections_max : n;
}

static bool start_daemon(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    unsigned workers = workers_of(c), idle_s = (unsigned)((c->idle_us + 999999) / 1000000);
    unsigned pool_bytes = c->header_bytes_max + POOL_SPARE;
    struct MHD_OptionItem pool[] = {
        {workers > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t)workers, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, request_step, s, /* no error log: ours */
        MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_URI_LOG_CALLBACK, request_begin, s, MHD_OPTION_NOTIFY_COMPLETED,
        request_end, s, MHD_OPTION_NOTIFY_CONNECTION, link_notify, s, MHD_OPTION_CONNECTION_LIMIT, c->connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)pool_bytes,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
    if (!s->daemon)
        return err_sys(err, ERR_NOMEM, "cannot start the HTTP server");
    s->listen_fd = -1;
    return true;
}

static bool start_threads(struct server *s, struct err *err)
{
    s->sweeper_runs = pthread_create(&s->sweeper, NULL, sweep_loop, s) == 0;
    s->bookkeeper_runs = pthread_create(&s->bookkeeper, NULL, book_loop, s) == 0;
    return (s->sweeper_runs && s->bookkeeper_runs) || err_set(err, ERR_NOMEM, "cannot start a thread");
}

bool server_start(const struct server_opts *o, struct server **ret, struct err *err)
{
    struct server *s = mem_alloc(sizeof *s);
    s->config = o->config;
    s->io = o->io;
    s->journal = o->journal;
    s->lane = journal_lane(o->journal, LANE_EVENTS);
    s->listen_fd = -1;
    s->data_dir = o->data_dir;
    s->started_us = o->io->world->now_us(o->io);
    s->seen = seen_new();
    buf_init(&s->warnings, 1 << 16);
    pthread_mutex_init(&s->work_lock, NULL);
    pthread_mutex_init(&s->link_lock, NULL);
    pthread_mutex_init(&s->book_lock, NULL);
    pthread_mutex_init(&s->deliver_lock, NULL);
    pthread_mutex_init(&s->stop_lock, NULL);
    wait_cond_init(&s->stop_cond);
    if (!add_sources(s, err) || !books_open(s, o->data_dir, err) || !listen_on(s, err) || !start_threads(s, err) ||
        !confirm_start(s, o, err) || !start_daemon(s, err)) {
        server_stop(&s);
        return false;
    }
    *ret = s;
    return true;
}

/* ---- stopping ---- */

static void wait_for_zero(struct server *s, atomic_size_t *what, uint64_t longest_us)
{
    for (uint64_t waited = 0; atomic_load(what) && waited < longest_us; waited += 2000)
        s->io->world->sleep_us(s->io, 2000);
}

/* Nothing new comes in; what is complete is stored and told; then the library's threads end. */
static void stop_daemon(struct server *s)
{
    atomic_store(&s->draining, true);
    if (s->config->drain_us)
        s->io->world->sleep_us(s->io, s->config->drain_us);
    MHD_socket fd = MHD_quiesce_daemon(s->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    wait_for_zero(s, &s->requests, DRAIN_US);
    atomic_store(&s->closed, true);
    wait_for_zero(s, &s->pending, UINT64_MAX);
    wait_for_zero(s, &s->requests, DRAIN_US / 5);
    MHD_stop_daemon(s->daemon);
    s->daemon = NULL;
}

static void stop_threads(struct server *s)
{
    pthread_mutex_lock(&s->stop_lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->stop_cond);
    pthread_mutex_unlock(&s->stop_lock);
    if (s->sweeper_runs)
        pthread_join(s->sweeper, NULL);
    if (s->bookkeeper_runs)
        pthread_join(s->bookkeeper, NULL);
}

static void free_sources(struct server *s)
{
    for (size_t i = 0; i < s->n_sources; i++) {
        struct door_source *d = &s->sources[i];
        keyring_close(d);
        config_pairs_free(&d->pairs, d->n_pairs);
        free(d->public_url);
    }
    free(s->sources);
}

void server_stop(struct server **server)
{
    struct server *s = *server;
    struct err err = {0};
    if (!s)
        return;
    if (s->daemon)
        stop_daemon(s);
    stop_threads(s);
    confirm_stop(s);
    if (s->snapshot && !server_flush_books(s, &err))
        log_warn("the last second of the books could not be written; the journal's part is counted at the next start",
                 "error=\"%s\"", err.msg);
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    books_close(s);
    free_sources(s);
    seen_free(&s->seen);
    for (struct workspace *w = s->idle_work, *next; w; w = next) {
        next = w->next;
        verify_scratch_free(&w->verify);
        buf_release(&w->text);
        free(w);
    }
    buf_release(&s->warnings);
    pthread_mutex_destroy(&s->work_lock);
    pthread_mutex_destroy(&s->link_lock);
    pthread_mutex_destroy(&s->book_lock);
    pthread_mutex_destroy(&s->deliver_lock);
    pthread_mutex_destroy(&s->stop_lock);
    pthread_cond_destroy(&s->stop_cond);
    free(s);
    *server = NULL;
}

/* ---- looking at it ---- */

uint16_t server_port(const struct server *s)
{
    return s->port;
}

bool server_counts(const struct server *cs, struct span source, struct source_counts *ret)
{
    struct server *s = (struct server *)(uintptr_t)cs; /* for its lock */
    for (size_t i = 0; i < s->n_sources; i++) {
        const struct door_source *d = &s->sources[i];
        if (!span_eqz(source, d->config->name))
            continue;
        pthread_mutex_lock(&s->counts.lock);
        *ret = s->counts.sources[i].live;
        pthread_mutex_unlock(&s->counts.lock);
        ret->can_judge = d->config->unverified || keyring_can_judge(d, s->io->world->now_us(s->io));
        return true;
    }
    return false;
}

uint64_t server_unknown_source(const struct server *cs)
{
    struct server *s = (struct server *)(uintptr_t)cs;
    pthread_mutex_lock(&s->counts.lock);
    uint64_t n = s->counts.unknown;
    pthread_mutex_unlock(&s->counts.lock);
    return n;
}

void server_warnings(const struct server *s, struct buf *out)
{
    buf_adds(out, buf_span(&s->warnings));
}
