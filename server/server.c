/* Starting and stopping. The workers see a server that is complete; they are gone before anything of it is freed. */
#include "server/door.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wait.h"
#include <stdlib.h>
#include <unistd.h>

#define DRAIN_US UINT64_C(5000000)                    /* for requests whose bodies are still coming in */
#define REMEMBER_MIN_US (UINT64_C(24) * 3600 * 1000000) /* deliveries without a signed time */

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

static bool add_source(struct server *s, const struct source_config *config, struct err *err)
{
    struct door_source *d = &s->sources[s->n_sources++];
    const struct manifest *m = config->manifest;
    struct err why = {0};
    *d = (struct door_source){.config = config,
                              .manifest = m,
                              .public_url = server_public_url(s->config, config),
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

static void open_rejected(struct server *s, const char *data_dir)
{
    const char **names = mem_alloc((s->n_sources + 1) * sizeof *names);
    for (size_t i = 0; i < s->n_sources; i++)
        names[i] = s->sources[i].config->name;
    struct rejected_opts o = {.io = s->io,
                              .data_dir = data_dir,
                              .names = names,
                              .n_names = s->n_sources,
                              .keep_max = s->config->rejected_max};
    s->rejected = rejected_open(&o, &s->warnings);
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
    buf_init(&s->warnings, 1 << 16);
    pthread_mutex_init(&s->book_lock, NULL);
    pthread_mutex_init(&s->deliver_lock, NULL);
    pthread_mutex_init(&s->stop_lock, NULL);
    wait_cond_init(&s->stop_cond);
    start_clients(s);
    make_workspaces(s);
    bool ok = start_tls(s, err) && add_sources(s, err) && books_open(s, o->data_dir, err);
    if (ok)
        open_rejected(s, o->data_dir);
    if (!ok || !open_http(s, err) || !start_threads(s, err) || !await_start(s, err) || !confirm_start(s, o, err) ||
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
    http_free(&s->http);
    free_workspaces(s);
    books_close(s);
    free_sources(s);
    seen_free(&s->seen);
    peers_free(&s->clients);
    tls_free(&s->tls);
    buf_release(&s->warnings);
    pthread_mutex_destroy(&s->book_lock);
    pthread_mutex_destroy(&s->awaiting.lock);
    pthread_mutex_destroy(&s->deliver_lock);
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
    struct server *s = (struct server *)(uintptr_t)cs; /* for its lock */
    for (size_t i = 0; i < s->n_sources; i++) {
        const struct door_source *d = &s->sources[i];
        if (!span_eqz(source, d->config->name))
            continue;
        counts_live(&s->counts, i, ret);
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

void server_times(const struct server *s, struct histogram_snapshot *ret_verify, struct histogram_snapshot *ret_request)
{
    histogram_snapshot(&s->verify_times, ret_verify);
    histogram_snapshot(&s->request_times, ret_request);
}

const char *server_secret(const struct server *s, struct span source, size_t i, uint64_t *ret_retire_us,
                          uint64_t *ret_last_used_us)
{
    for (size_t k = 0; k < s->n_sources; k++) {
        const struct door_source *d = &s->sources[k];
        const struct keyring *ring = keyring_of(d);
        if (!ring || !span_eqz(source, d->config->name) || i >= verifier_secrets(ring->verifier))
            continue;
        *ret_last_used_us = atomic_load(&ring->last_used_us[i]);
        return verifier_secret(ring->verifier, i, ret_retire_us);
    }
    return NULL;
}

static struct door_source *door_named(struct server *s, struct span source)
{
    for (size_t k = 0; k < s->n_sources; k++)
        if (span_eqz(source, s->sources[k].config->name))
            return &s->sources[k];
    return NULL;
}

void server_secrets_look(struct server *s, struct span source)
{
    struct door_source *d = door_named(s, source);
    if (d)
        keyring_refresh(s, d);
}

bool server_secret_take(struct server *s, struct span source, struct span secret, struct err *err)
{
    struct door_source *d = door_named(s, source);
    return !d || keyring_take(s, d, secret, err);
}

bool server_secret_drop(struct server *s, struct span source, const char *id, struct err *err)
{
    struct door_source *d = door_named(s, source);
    return !d || keyring_drop(s, d, id, err);
}

void server_secret_expect(struct server *s, struct span source, uint64_t until_us)
{
    struct door_source *d = door_named(s, source);
    if (d)
        atomic_store(&d->expects_until_us, until_us);
}

bool server_rejected(const struct server *s, struct span source, size_t max, struct buf *out)
{
    for (size_t i = 0; i < s->n_sources; i++) {
        if (span_eqz(source, s->sources[i].config->name)) {
            rejected_newest(s->rejected, i, max, out);
            return buf_ok(out);
        }
    }
    return false;
}

void server_warnings(const struct server *s, struct buf *out)
{
    buf_adds(out, buf_span(&s->warnings));
}
