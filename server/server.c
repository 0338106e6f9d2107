/* Starting and stopping. The workers see a server that is complete; they are gone before anything of it is freed. */
#include "server/door.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wait.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DRAIN_US UINT64_C(5000000)                    /* for requests whose bodies are still coming in */

/* ---- sources ---- */

char *server_public_url(const struct config *c, const struct source_config *s)
{
    /* The source's own is its whole address; the one for all sources is where /in/<source> is. */
    if (s->public_url && (!c->public_url || strcmp(s->public_url, c->public_url) != 0))
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

void server_signed_url(const char *public_url, struct span target, struct buf *out)
{
    struct span query;
    buf_clear(out);
    buf_addz(out, public_url);
    (void)span_cut(target, '?', &query);
    if (out->n && query.p) {
        buf_addc(out, '?');
        buf_adds(out, query);
    }
}

static void open_rejected(struct server *s, const char *data_dir)
{
    const char **names = mem_alloc((s->counts.n + 1) * sizeof *names);
    for (size_t i = 0; i < s->counts.n; i++)
        names[i] = s->counts.sources[i]->name;
    struct rejected_opts o = {.io = s->io,
                              .data_dir = data_dir,
                              .names = names,
                              .n_names = s->counts.n,
                              .room = s->counts.room,
                              .keep_max = s->config->rejected_max};
    s->rejected = rejected_open(&o, &s->warnings);
    s->deliveries = deliveries_open(s->io, data_dir, s->counts.room, s->config->deliveries_max);
    for (size_t i = 0; i < s->counts.n; i++)
        deliveries_add(s->deliveries, i, names[i], &s->warnings);
    free(names);
}

/* ---- listening ---- */

static unsigned workers_of(const struct config *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = c->threads ? c->threads : cores > 4 ? 4 : cores < 1 ? 1 : (unsigned)cores;
    return n > c->connections_max ? c->connections_max : n;
}

static void make_workspaces(struct server *s)
{
    s->n_workers = workers_of(s->config);
    s->workspaces = mem_alloc(s->n_workers * sizeof *s->workspaces);
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct workspace *w = &s->workspaces[i];
        w->verify = verify_scratch_new();
        buf_init(&w->text, (size_t)1 << 20);
        buf_init(&w->blanked, (size_t)1 << 20);
    }
}

static void free_workspaces(struct server *s)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        verify_scratch_free(&s->workspaces[i].verify);
        buf_release(&s->workspaces[i].text);
        buf_release(&s->workspaces[i].blanked);
    }
    free(s->workspaces);
}

static bool open_http(struct server *s, struct err *err)
{
    const struct config *c = s->config;
    struct http_opts o = {.io = s->io,
                          .key = "listen",
                          .host = c->listen.host,
                          .port = c->listen.port,
                          .workers = s->n_workers,
                          .connections_max = c->connections_max,
                          .per_address_max = c->per_address_max,
                          .head_bytes_max = c->header_bytes_max,
                          .body_bytes_max = c->body_bytes_max,
                          .memory_max = BODY_BUDGET,
                          .idle_us = c->idle_us,
                          .head_us = c->head_us,
                          .body_us = c->body_us,
                          .request_us = c->request_us,
                          .proxies = c->proxies,
                          .n_proxies = c->n_proxies,
                          .tls = s->tls,
                          .handler = &request_handler,
                          .ctx = s};
    return http_open(&o, &s->http, err);
}

static bool start_workers(struct server *s, struct err *err)
{
    const struct lane_listener listener = {batch_before, batch_after, s};
    lane_listen(s->lane, &listener);
    s->serving = true;
    return http_start(s->http, err);
}

bool server_sleep(struct server *s, uint64_t us)
{
    struct timespec until = wait_until(us);
    pthread_mutex_lock(&s->stop_lock);
    int rc = 0;
    while (!s->stopping && rc == 0)
        rc = pthread_cond_timedwait(&s->stop_cond, &s->stop_lock, &until);
    bool go = !s->stopping;
    pthread_mutex_unlock(&s->stop_lock);
    return go;
}

static void *watch_loop(void *server)
{
    struct server *s = server;
    while (server_sleep(s, TLS_LOOK_US))
        tls_watch(s->tls);
    return NULL;
}

static bool start_threads(struct server *s, struct err *err)
{
    s->bookkeeper_runs = thread_start(&s->bookkeeper, book_loop, s);
    s->watcher_runs = s->tls && thread_start(&s->watcher, watch_loop, s);
    return (s->bookkeeper_runs && s->watcher_runs == (s->tls != NULL)) ||
           err_set(err, ERR_NOMEM, "cannot start a thread");
}

static void start_clients(struct server *s)
{
    uint64_t salt = 0;
    (void)s->io->world->random(s->io, &salt, sizeof salt); /* without it the table still counts */
    s->clients = peers_new(s->config->per_address_max, s->config->connections_max, salt);
}

static bool start_tls(struct server *s, struct err *err)
{
    return !s->config->tls_cert || tls_open(s->config->tls_cert, s->config->tls_key, &s->tls, err);
}

bool server_start(const struct server_opts *o, struct server **ret, struct err *err)
{
    struct server *s = mem_alloc(sizeof *s);
    s->config = o->config;
    s->io = o->io;
    s->journal = o->journal;
    s->lane = journal_lane(o->journal, LANE_EVENTS);
    s->data_dir = o->data_dir;
    s->started_us = o->io->world->now_us(o->io);
    s->seen = seen_new();
    s->ack = o->ack ? *o->ack : (struct server_ack){0};
    pthread_mutex_init(&s->awaiting.lock, NULL);
    pthread_mutex_init(&s->holding.lock, NULL);
    buf_init(&s->warnings, 1 << 16);
    pthread_mutex_init(&s->book_lock, NULL);
    pthread_mutex_init(&s->deliver_lock, NULL);
    pthread_mutex_init(&s->door_lock, NULL);
    pthread_mutex_init(&s->stop_lock, NULL);
    wait_cond_init(&s->stop_cond);
    start_clients(s);
    make_workspaces(s);
    s->confirm_via = o->confirm_via;
    s->confirm_certificates = o->confirm_certificates;
    counts_init(&s->counts, s->config->n_sources + SOURCES_LATER);
    bool ok = start_tls(s, err) && door_open(s, err) && books_open(s, o->data_dir, err);
    if (ok)
        open_rejected(s, o->data_dir);
    if (!ok || !open_http(s, err) || !start_threads(s, err) || !await_start(s, err) || !confirm_start(s, door_now(s), err) ||
        !start_workers(s, err)) {
        server_stop(&s);
        return false;
    }
    *ret = s;
    return true;
}

/* ---- stopping ---- */

static void wait_for_exchanges(struct server *s, uint64_t longest_us)
{
    for (uint64_t waited = 0; http_open_exchanges(s->http) && waited < longest_us; waited += 2000)
        s->io->world->sleep_us(s->io, 2000);
}

/* Nothing new comes in; what is complete is stored and told; then the workers end. */
static void stop_workers(struct server *s)
{
    http_drain(s->http);
    if (s->config->drain_us)
        s->io->world->sleep_us(s->io, s->config->drain_us);
    http_quiet(s->http);
    hold_end(s);
    wait_for_exchanges(s, DRAIN_US);
    atomic_store(&s->closed, true);
    while (atomic_load(&s->pending))
        s->io->world->sleep_us(s->io, 2000);
    await_end(s);
    wait_for_exchanges(s, DRAIN_US / 5);
    lane_listen(s->lane, NULL);
    http_stop(s->http);
    s->serving = false;
}

static void stop_threads(struct server *s)
{
    pthread_mutex_lock(&s->stop_lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->stop_cond);
    pthread_mutex_unlock(&s->stop_lock);
    if (s->bookkeeper_runs)
        pthread_join(s->bookkeeper, NULL);
    if (s->watcher_runs)
        pthread_join(s->watcher, NULL);
    await_stop(s);
}

void server_drain(struct server *s)
{
    if (s && s->serving)
        stop_workers(s);
}

void server_stop(struct server **server)
{
    struct server *s = *server;
    struct err err = {0};
    if (!s)
        return;
    server_drain(s);
    stop_threads(s);
    confirm_stop(s);
    if (s->snapshot && !server_flush_books(s, &err))
        log_warn("the last second of the books could not be written; the journal's part is counted at the next start",
                 "error=\"%s\"", err.msg);
    if (s->rejected && !rejected_write(s->rejected, true, &err))
        log_warn("the last rejected requests could not be written", "error=\"%s\"", err.msg);
    rejected_close(&s->rejected);
    if (s->deliveries && !deliveries_write(s->deliveries, true, &err))
        log_warn("the list of the last deliveries could not be written", "error=\"%s\"", err.msg);
    deliveries_close(&s->deliveries);
    http_free(&s->http);
    books_close(s);
    door_close(s); /* looks at the workspaces */
    free_workspaces(s);
    counts_release(&s->counts);
    seen_free(&s->seen);
    peers_free(&s->clients);
    tls_free(&s->tls);
    buf_release(&s->warnings);
    pthread_mutex_destroy(&s->book_lock);
    pthread_mutex_destroy(&s->awaiting.lock);
    pthread_mutex_destroy(&s->holding.lock);
    pthread_mutex_destroy(&s->deliver_lock);
    pthread_mutex_destroy(&s->door_lock);
    pthread_mutex_destroy(&s->stop_lock);
    pthread_cond_destroy(&s->stop_cond);
    free(s);
    *server = NULL;
}

/* ---- looking at it ---- */

bool server_moves(struct server *s)
{
    return http_moves(s->http);
}

uint16_t server_port(const struct server *s)
{
    return http_port(s->http);
}

bool server_counts(const struct server *cs, struct span source, struct source_counts *ret)
{
    struct server *s = (struct server *)(uintptr_t)cs; /* for its locks */
    struct door *door = door_hold(s);
    const struct door_source *d = door_find(door, source);
    if (d) {
        counts_live(&s->counts, d->slot, ret);
        ret->can_judge = d->config->unverified || keyring_can_judge(d, s->io->world->now_us(s->io));
    }
    door_leave(door);
    return d != NULL;
}

uint64_t server_unknown_source(const struct server *cs)
{
    struct server *s = (struct server *)(uintptr_t)cs;
    pthread_mutex_lock(&s->counts.lock);
    uint64_t n = s->counts.unknown;
    pthread_mutex_unlock(&s->counts.lock);
    return n;
}

void server_times(const struct server *s, struct histogram_snapshot *ret_verify, struct histogram_snapshot *ret_request)
{
    histogram_snapshot(&s->verify_times, ret_verify);
    histogram_snapshot(&s->request_times, ret_request);
}

bool server_secret(const struct server *cs, struct span source, size_t i, struct held_id *ret)
{
    struct server *s = (struct server *)(uintptr_t)cs;
    struct door *door = door_hold(s);
    const struct door_source *d = door_find(door, source);
    const struct keyring *ring = d ? keyring_of(d) : NULL;
    bool found = ring && i < verifier_secrets(ring->verifier);
    if (found) {
        ret->last_used_us = atomic_load(&ring->last_used_us[i]);
        snprintf(ret->id, sizeof ret->id, "%s", verifier_secret(ring->verifier, i, &ret->retire_us));
    }
    door_leave(door);
    return found;
}

void server_secrets_look(struct server *s, struct span source)
{
    struct door *door = door_hold(s);
    struct door_source *d = door_find(door, source);
    if (d)
        keyring_refresh(s, d);
    door_leave(door);
}

size_t server_deliveries(const struct server *cs, struct span source, struct delivery_mark *ret, size_t max)
{
    struct server *s = (struct server *)(uintptr_t)cs;
    struct door *door = door_hold(s);
    const struct door_source *d = door_find(door, source);
    size_t n = d ? deliveries_newest(s->deliveries, d->slot, ret, max) : 0;
    door_leave(door);
    return n;
}

bool server_rejected(const struct server *cs, struct span source, size_t max, struct buf *out)
{
    struct server *s = (struct server *)(uintptr_t)cs;
    struct door *door = door_hold(s);
    const struct door_source *d = door_find(door, source);
    if (d)
        rejected_newest(s->rejected, d->slot, max, out);
    door_leave(door);
    return d && buf_ok(out);
}

void server_warnings(const struct server *cs, struct buf *out)
{
    struct server *s = (struct server *)(uintptr_t)cs;
    pthread_mutex_lock(&s->deliver_lock);
    buf_adds(out, buf_span(&s->warnings));
    pthread_mutex_unlock(&s->deliver_lock);
}
