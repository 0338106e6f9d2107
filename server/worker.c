/* A worker: one thread with a libmicrohttpd daemon and a listening socket of its own, so that nothing of its connections is
 * shared with another, and the kernel spreads new ones over the workers.
 *
 * A request that waits for its commit is suspended. The committer does no more for it than to put it on its worker's stack, and
 * to wake each worker once for a batch; the worker resumes its requests itself.
 *
 *   epoll ─┬─ the library's own epoll: connections, new ones ─▶ MHD_run
 *          └─ wake: stored requests, and what the server wishes of the worker */
#include "server/door.h"
#include "core/thread.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOK_MS 1000 /* the longest wait: the library's timeouts have seconds */

/* ---- stored requests ---- */

void worker_push(struct worker *w, struct request *r)
{
    r->next_stored = atomic_load_explicit(&w->stored, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&w->stored, &r->next_stored, r, memory_order_release, memory_order_relaxed))
        ;
}

void worker_wake(struct worker *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->wake_fd, &one, sizeof one);
    (void)n; /* a full counter wakes as well */
}

bool worker_has_stored(struct worker *w)
{
    return atomic_load_explicit(&w->stored, memory_order_relaxed) != NULL;
}

/* Oldest first. */
static void resume_stored(struct worker *w)
{
    struct request *newest = atomic_exchange_explicit(&w->stored, NULL, memory_order_acquire), *oldest = NULL;
    while (newest) {
        struct request *next = newest->next_stored;
        newest->next_stored = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct request *next = oldest->next_stored;
        request_stored(oldest);
        MHD_resume_connection(oldest->connection);
        oldest = next;
    }
}

/* ---- the loop ---- */

static int timeout_ms(struct worker *w)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    if (MHD_get_timeout(w->daemon, &ms) != MHD_YES || ms > LOOK_MS)
        return LOOK_MS;
    return (int)ms;
}

static void quiesce(struct worker *w)
{
    MHD_socket fd = MHD_quiesce_daemon(w->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    atomic_store(&w->quiet, true);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof name, "http-%u", (unsigned)(w - w->server->workers) % 1000);
    thread_name(name);
    for (;;) {
        struct epoll_event events[2];
        int n = epoll_wait(w->epoll_fd, events, 2, timeout_ms(w));
        for (int i = 0; i < n; i++) {
            uint64_t count;
            if (events[i].data.fd == w->wake_fd && read(w->wake_fd, &count, sizeof count) < 0)
                continue; /* somebody else's wake-up was taken with it */
        }
        enum worker_wish wish = atomic_load(&w->wish);
        resume_stored(w);
        if (wish != WISH_WORK && !atomic_load(&w->quiet))
            quiesce(w);
        MHD_run(w->daemon);
        if (wish == WISH_STOP)
            return NULL;
    }
}

/* ---- life ---- */

/* Each session is given its certificate when its connection begins; one without has none. */
static int no_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certs,
                          unsigned *n_certs, gnutls_ocsp_data_st **ocsp, unsigned *n_ocsp, gnutls_privkey_t *key, unsigned *flags)
{
    (void)session, (void)info, (void)certs, (void)n_certs, (void)ocsp, (void)n_ocsp, (void)key, (void)flags;
    return -1;
}

static bool start_daemon(struct worker *w, struct err *err)
{
    struct server *s = w->server;
    const struct config *c = s->config;
    unsigned idle_s = (unsigned)((c->idle_us + 999999) / 1000000), pool_bytes = c->header_bytes_max + POOL_SPARE;
    w->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (s->tls ? MHD_USE_TLS : MHD_NO_FLAG), 0, link_accept, s, request_step,
        s, /* no error log: ours */
        MHD_OPTION_LISTEN_SOCKET, w->listen_fd, MHD_OPTION_URI_LOG_CALLBACK, request_begin, w, MHD_OPTION_NOTIFY_COMPLETED,
        request_end, w, MHD_OPTION_NOTIFY_CONNECTION, link_notify, s, MHD_OPTION_CONNECTION_LIMIT, c->connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)pool_bytes,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, s->tls ? MHD_OPTION_HTTPS_PRIORITIES : MHD_OPTION_END, TLS_PRIORITIES,
        MHD_OPTION_HTTPS_CERT_CALLBACK2, no_certificate, MHD_OPTION_END);
    if (!w->daemon)
        return err_sys(err, ERR_NOMEM, "cannot start the HTTP server");
    w->listen_fd = -1;
    return true;
}

static bool watch(struct worker *w, int fd, struct err *err)
{
    struct epoll_event e = {.events = EPOLLIN, .data = {.fd = fd}};
    return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0 || err_sys(err, ERR_NOMEM, "cannot watch the HTTP server");
}

bool worker_start(struct worker *w, struct err *err)
{
    buf_init(&w->work.text, (size_t)1 << 20);
    w->work.verify = verify_scratch_new();
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->epoll_fd < 0 || w->wake_fd < 0)
        return err_sys(err, ERR_NOMEM, "cannot start the HTTP server");
    if (!start_daemon(w, err))
        return false;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(w->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info || !watch(w, info->epoll_fd, err) || !watch(w, w->wake_fd, err))
        return false;
    w->runs = pthread_create(&w->thread, NULL, work, w) == 0;
    return w->runs || err_set(err, ERR_NOMEM, "cannot start a thread");
}

void worker_wish(struct worker *w, enum worker_wish wish)
{
    atomic_store(&w->wish, wish);
    if (w->runs)
        worker_wake(w);
}

void worker_end(struct worker *w)
{
    if (w->runs) {
        worker_wish(w, WISH_STOP);
        pthread_join(w->thread, NULL);
        w->runs = false;
    }
    if (w->daemon)
        MHD_stop_daemon(w->daemon); /* closes connections, ends their requests */
    w->daemon = NULL;
    int fds[] = {w->listen_fd, w->epoll_fd, w->wake_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    w->listen_fd = w->epoll_fd = w->wake_fd = -1;
    verify_scratch_free(&w->work.verify);
    buf_release(&w->work.text);
    for (struct request *r = w->spare, *next; r; r = next) {
        next = r->next_stored;
        request_free(r);
    }
    w->spare = NULL;
}
