/* Connections and their time. libmicrohttpd's own timeout is one of idleness: who drips a byte at a time would stay for ever. */
#include "server/door.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wait.h"
#include <stdlib.h>
#include <sys/socket.h>

#define SWEEP_US UINT64_C(250000)

static uint64_t monotonic(const struct server *s)
{
    return s->io->world->monotonic_us(s->io);
}

struct link *link_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

void link_notify(void *server, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode code)
{
    struct server *s = server;
    struct link *l = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        l = calloc(1, sizeof *l);
        if (!l || !info) {
            free(l);
            return; /* its first request is refused: without a link there is no deadline */
        }
        l->fd = info->connect_fd;
        l->deadline_us = monotonic(s) + s->config->idle_us + s->config->request_us;
        pthread_mutex_lock(&s->link_lock);
        l->next = s->links;
        if (l->next)
            l->next->prev = l;
        s->links = l;
        pthread_mutex_unlock(&s->link_lock);
        *context = l;
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
    pthread_mutex_unlock(&s->link_lock);
    free(l);
    *context = NULL;
}

uint64_t link_deadline(struct server *s, struct link *l, uint64_t within_us, bool only_earlier)
{
    uint64_t now = within_us == UINT64_MAX ? 0 : monotonic(s), at = within_us == UINT64_MAX ? UINT64_MAX : now + within_us;
    pthread_mutex_lock(&s->link_lock);
    if (!only_earlier || at < l->deadline_us)
        l->deadline_us = at;
    pthread_mutex_unlock(&s->link_lock);
    return now;
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

void *sweep_loop(void *server)
{
    struct server *s = server;
    thread_name("sweeper");
    while (server_sleep(s, SWEEP_US)) {
        uint64_t now = monotonic(s);
        pthread_mutex_lock(&s->link_lock);
        for (struct link *l = s->links; l; l = l->next) {
            if (now < l->deadline_us)
                continue;
            shutdown(l->fd, SHUT_RDWR); /* its worker sees the end of the stream and lets it go */
            l->deadline_us = UINT64_MAX;
        }
        pthread_mutex_unlock(&s->link_lock);
    }
    return NULL;
}
