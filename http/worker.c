/* A worker: one thread with a listening socket, an epoll and connections of its own.
 *
 *   epoll ─┬─ listen_fd ─▶ connections        wake_fd ─▶ deferred exchanges that go on, and what the endpoint wishes
 *          └─ connections, told of once (edges): no system call but its reads and writes is made for a request */
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "http/internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define SWEEP_US UINT64_C(250000)
#define EVENTS_MAX 256
#define ACCEPTS_MAX 64 /* at once: then those that are open have their turn */
#define LAST_ACCEPTS_MAX 4096

static _Thread_local const struct worker *here; /* the worker that this thread is */

uint64_t worker_monotonic(const struct worker *w)
{
    const struct io *io = w->server->o.io;
    return io->world->monotonic_us(io);
}

/* ---- exchanges that go on ---- */

void http_resume(struct http_exchange *x)
{
    struct conn *c = (struct conn *)(void *)x;
    struct worker *w = c->worker;
    c->next_resumed = atomic_load_explicit(&w->resumed, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&w->resumed, &c->next_resumed, c, memory_order_release, memory_order_relaxed))
        ;
}

void worker_wake(struct worker *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->wake_fd, &one, sizeof one);
    (void)n; /* a full counter wakes as well */
}

/* One that sleeps is woken, so that it has moved when it is asked for again. */
bool http_moves(struct http_server *s)
{
    bool all = true;
    for (unsigned i = 0; i < s->o.workers; i++) {
        struct worker *w = &s->workers[i];
        uint64_t beats = pulse_count(&w->pulse);
        all = all && beats != w->beats_seen;
        w->beats_seen = beats;
        worker_wake(w);
    }
    return all;
}

/* A worker looks by itself before it sleeps. */
void http_wake(struct http_server *s)
{
    for (unsigned i = 0; i < s->o.workers; i++)
        if (&s->workers[i] != here && atomic_load_explicit(&s->workers[i].resumed, memory_order_relaxed))
            worker_wake(&s->workers[i]);
}

/* Oldest first. */
static void go_on(struct worker *w)
{
    struct conn *newest = atomic_exchange_explicit(&w->resumed, NULL, memory_order_acquire), *oldest = NULL;
    while (newest) {
        struct conn *next = newest->next_resumed;
        newest->next_resumed = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct conn *next = oldest->next_resumed;
        conn_resumed(oldest);
        oldest = next;
    }
}

/* ---- new connections ---- */

static bool watch_listener(struct worker *w, int op)
{
    struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = &w->listen_fd}};
    return epoll_ctl(w->epoll_fd, op, w->listen_fd, &e) == 0;
}

static bool too_many(struct worker *w, const struct sockaddr *at)
{
    static struct log_limit total_limit, address_limit;
    struct http_server *s = w->server;
    struct address a;
    char text[ADDRESS_TEXT_MAX];
    if (atomic_load(&s->conns) > s->o.connections_max) {
        log_limited(&total_limit, LOG_WARN, "too many connections are open", "limits.connections=%u", s->o.connections_max);
        return true;
    }
    if (!address_of(at, &a) || !peers_full(s->peers, &a) || blocks_have(s->o.proxies, s->o.n_proxies, &a))
        return false;
    address_text(&a, text);
    log_limited(&address_limit, LOG_WARN, "one address has too many connections open", "client=%s limits.per_address=%u", text,
                s->o.per_address_max);
    return true;
}

static bool accept_one(struct worker *w)
{
    struct sockaddr_storage at = {0};
    socklen_t n = sizeof at;
    int fd = accept4(w->listen_fd, (struct sockaddr *)&at, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            w->deaf = watch_listener(w, EPOLL_CTL_DEL); /* it would be told of again and again */
        return errno == ECONNABORTED || errno == EINTR;
    }
    atomic_fetch_add(&w->server->conns, 1);
    if (too_many(w, (struct sockaddr *)&at)) {
        atomic_fetch_sub(&w->server->conns, 1);
        close(fd);
        return true;
    }
    conn_open(w, fd, (struct sockaddr *)&at);
    return true;
}

static void accept_some(struct worker *w, unsigned most)
{
    for (unsigned i = 0; w->listen_fd >= 0 && !w->deaf && i < most && accept_one(w); i++)
        ;
}

/* Those who are connected already are taken along. */
static void stop_listening(struct worker *w)
{
    accept_some(w, LAST_ACCEPTS_MAX);
    close(w->listen_fd);
    w->listen_fd = -1;
    atomic_store(&w->quiet, true);
}

/* ---- the loop ---- */

/* What goes on may have let others go on, in this thread. */
static int timeout_ms(const struct worker *w)
{
    if (atomic_load_explicit(&w->resumed, memory_order_relaxed))
        return 0;
    return w->conns || w->deaf ? (int)(SWEEP_US / 1000) : -1;
}

static void sweep(struct worker *w)
{
    w->swept_us = w->now_us;
    for (struct conn *c = w->conns, *next; c; c = next) {
        next = c->next;
        conn_sweep(c, w->now_us);
    }
    if (w->deaf && watch_listener(w, EPOLL_CTL_ADD))
        w->deaf = false;
}

static void take_event(struct worker *w, const struct epoll_event *e)
{
    uint64_t count;
    if (e->data.ptr == &w->listen_fd)
        accept_some(w, ACCEPTS_MAX);
    else if (e->data.ptr == &w->wake_fd)
        (void)!read(w->wake_fd, &count, sizeof count);
    else
        conn_events(e->data.ptr, e->events);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    char name[16];
    struct epoll_event *events = mem_alloc(EVENTS_MAX * sizeof *events);
    snprintf(name, sizeof name, "%.12s-%u", w->server->o.key, w->index % 100);
    thread_name(name);
    here = w;
    pulse_carry(&w->pulse);
    while (!atomic_load(&w->stop)) {
        int n = epoll_wait(w->epoll_fd, events, EVENTS_MAX, timeout_ms(w));
        pulse_beat();
        w->now_us = worker_monotonic(w);
        /* Nothing that an event may point to is freed before the event is taken: a connection is freed in its own turn alone. */
        for (int i = 0; i < n; i++)
            take_event(w, &events[i]);
        go_on(w);
        if (w->now_us - w->swept_us >= SWEEP_US)
            sweep(w);
        if (atomic_load(&w->quiet_wish) && w->listen_fd >= 0)
            stop_listening(w);
    }
    free(events);
    return NULL;
}

/* ---- life ---- */

bool worker_start(struct worker *w, struct err *err)
{
    struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = &w->wake_fd}};
    buf_init(&w->answer, (size_t)1 << 20);
    w->scratch = mem_alloc(SCRATCH_BYTES);
    w->headers = mem_alloc(HTTP_HEADERS_MAX * sizeof *w->headers);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->now_us = w->swept_us = worker_monotonic(w);
    if (w->epoll_fd < 0 || w->wake_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &e) != 0 ||
        !watch_listener(w, EPOLL_CTL_ADD))
        return err_sys(err, ERR_NOMEM, "cannot start the HTTP server");
    w->runs = thread_start(&w->thread, work, w);
    return w->runs || err_set(err, ERR_NOMEM, "cannot start a thread");
}

void worker_end(struct worker *w)
{
    if (w->runs) {
        atomic_store(&w->stop, true);
        worker_wake(w);
        pthread_join(w->thread, NULL);
        w->runs = false;
    }
    while (w->conns)
        conn_close(w->conns);
    int fds[] = {w->listen_fd, w->epoll_fd, w->wake_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    w->listen_fd = w->epoll_fd = w->wake_fd = -1;
    buf_release(&w->answer);
    free(w->scratch);
    free(w->headers);
    w->scratch = NULL;
    w->headers = NULL;
}
