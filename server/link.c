/* Connections and their time. libmicrohttpd's own timeout is one of idleness: who drips a byte at a time would stay for ever.
 *
 *   waiting ─ first byte ─▶ head (limits.head) ─▶ body (limits.body_time) ─▶ ours (none) ─▶ waiting …
 *      └ limits.idle: the library's timeout     └──── limits.request over both ────┘
 *
 * The library does not tell of the first byte. The sweeper asks the kernel when a waiting connection last received something;
 * until it has asked, limits.idle and limits.head together are the bound. */
#include "server/door.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wait.h"
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SWEEP_US UINT64_C(250000)
#define LOOKS_MAX 1000              /* of one sweep: with more connections each is asked after less often */
#define STAMP_US UINT64_C(20000)    /* how far the kernel's time of the last byte may be off */

static uint64_t monotonic(const struct server *s)
{
    return s->io->world->monotonic_us(s->io);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t head_us(const struct server *s)
{
    return earlier(s->config->head_us, s->config->request_us);
}

struct link *link_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* ---- beginning and end ---- */

enum MHD_Result link_accept(void *server, const struct sockaddr *at, socklen_t n)
{
    static struct log_limit limit;
    struct server *s = server;
    struct address a;
    char text[ADDRESS_TEXT_MAX];
    (void)n;
    if (!address_of(at, &a) || !peers_full(s->peers, &a) || blocks_have(s->config->proxies, s->config->n_proxies, &a))
        return MHD_YES;
    address_text(&a, text);
    log_limited(&limit, LOG_WARN, "one address has too many connections open", "client=%s limits.per_address=%u", text,
                s->config->per_address_max);
    return MHD_NO;
}

static void link_count(struct server *s, struct link *l, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !address_of(info->client_addr, &l->address))
        return;
    l->trusted = blocks_have(s->config->proxies, s->config->n_proxies, &l->address);
    l->counted = !l->trusted && peers_enter(s->peers, &l->address);
}

static bool link_certify(struct server *s, struct link *l, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (!info || !info->tls_session)
        return false;
    l->session = info->tls_session;
    l->pair = tls_take(s->tls, l->session);
    return l->pair != NULL;
}

static struct link *link_new(struct server *s, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct link *l = calloc(1, sizeof *l);
    if (!l || !info || (s->tls && !link_certify(s, l, c))) {
        free(l);
        return NULL; /* its first request is refused: without a link there is no deadline */
    }
    l->fd = info->connect_fd;
    link_count(s, l, c);
    uint64_t now = l->opened_us = monotonic(s);
    atomic_store(&l->deadline_us, now + s->config->idle_us + head_us(s));
    atomic_store(&l->waiting_us, now);
    pthread_mutex_lock(&s->link_lock);
    l->next = s->links;
    if (l->next)
        l->next->prev = l;
    s->links = l;
    s->n_links++;
    pthread_mutex_unlock(&s->link_lock);
    return l;
}

void link_notify(void *server, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code)
{
    struct server *s = server;
    struct link *l = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = link_new(s, c);
        return;
    }
    if (!l)
        return;
    pthread_mutex_lock(&s->link_lock); /* the sweeper must not shut down a descriptor that is somebody else's by then */
    if (l->prev)
        l->prev->next = l->next;
    else
        s->links = l->next;
    if (l->next)
        l->next->prev = l->prev;
    s->n_links--;
    pthread_mutex_unlock(&s->link_lock);
    if (l->counted)
        peers_leave(s->peers, &l->address);
    if (l->pair)
        tls_give(s->tls, &l->pair);
    free(l);
    *context = NULL;
}

/* ---- deadlines ---- */

uint64_t link_head(struct server *s, struct link *l)
{
    uint64_t now = monotonic(s), at = atomic_load(&l->deadline_us);
    /* When the sweeper saw the first byte, the head's time already runs. */
    uint64_t began = at == UINT64_MAX || at < head_us(s) ? now : earlier(now, at - head_us(s));
    l->whole_us = began + s->config->request_us;
    atomic_store(&l->waiting_us, 0);
    atomic_store(&l->deadline_us, began + head_us(s));
    return now;
}

void link_body(struct server *s, struct link *l)
{
    atomic_store(&l->deadline_us, earlier(monotonic(s) + s->config->body_us, l->whole_us));
}

void link_whole(struct link *l)
{
    atomic_store(&l->deadline_us, UINT64_MAX);
}

uint64_t link_wait(struct server *s, struct link *l)
{
    uint64_t now = monotonic(s);
    atomic_store(&l->deadline_us, now + s->config->idle_us + head_us(s));
    atomic_store(&l->waiting_us, now);
    return now;
}

void link_linger(struct server *s, struct link *l, uint64_t within_us)
{
    atomic_store(&l->deadline_us, earlier(monotonic(s) + within_us, atomic_load(&l->deadline_us)));
}

bool link_last_words(struct link *l, struct span bytes)
{
    /* Nothing else is on its way on this connection: earlier answers are out, and this one fits any socket's buffer. */
    ssize_t sent = l->session ? gnutls_record_send(l->session, bytes.p, bytes.n)
                              : send(l->fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != (ssize_t)bytes.n || (l->session && gnutls_bye(l->session, GNUTLS_SHUT_WR) != GNUTLS_E_SUCCESS))
        return false;
    return shutdown(l->fd, SHUT_WR) == 0;
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

/* ---- sweeping ---- */

/* Whether something of a request came since the connection waits. */
static bool has_begun(const struct link *l, uint64_t waiting_us, uint64_t now)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
        return false;
    if (waiting_us == l->opened_us)
        return info.tcpi_bytes_received > 0;
    uint64_t quiet_us = (uint64_t)info.tcpi_last_data_recv * 1000 + STAMP_US;
    return now > waiting_us && quiet_us < now - waiting_us;
}

/* Each change only where the worker has not changed it meanwhile. */
static void sweep_link(struct server *s, struct link *l, uint64_t now, uint64_t look_every_us)
{
    uint64_t at = atomic_load(&l->deadline_us), waiting = atomic_load(&l->waiting_us);
    if (now >= at) {
        if (atomic_compare_exchange_strong(&l->deadline_us, &at, UINT64_MAX))
            shutdown(l->fd, SHUT_RDWR); /* its worker sees the end of the stream and lets it go */
        return;
    }
    if (!waiting || now < l->look_us)
        return;
    l->look_us = now + look_every_us;
    if (has_begun(l, waiting, now) && atomic_compare_exchange_strong(&l->deadline_us, &at, earlier(at, now + head_us(s))))
        atomic_compare_exchange_strong(&l->waiting_us, &waiting, 0);
}

void *sweep_loop(void *server)
{
    struct server *s = server;
    thread_name("sweeper");
    while (server_sleep(s, SWEEP_US)) {
        uint64_t now = monotonic(s);
        pthread_mutex_lock(&s->link_lock);
        uint64_t look_every_us = SWEEP_US * (s->n_links / LOOKS_MAX);
        for (struct link *l = s->links; l; l = l->next)
            sweep_link(s, l, now, look_every_us);
        pthread_mutex_unlock(&s->link_lock);
    }
    return NULL;
}
