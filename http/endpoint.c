/* Starting and stopping. The workers see an endpoint that is complete; they are gone before anything of it is freed. */
#include "core/mem.h"
#include "http/internal.h"
#include <stdlib.h>

bool http_open(const struct http_opts *o, struct http_server **ret, struct err *err)
{
    uint64_t salt = 0;
    struct http_server *s = mem_alloc(sizeof *s);
    s->o = *o;
    (void)o->io->world->random(o->io, &salt, sizeof salt); /* without it the table still counts */
    s->peers = peers_new(o->per_address_max, o->connections_max, salt);
    s->workers = mem_alloc(o->workers * sizeof *s->workers);
    for (unsigned i = 0; i < o->workers; i++) {
        s->workers[i].server = s;
        s->workers[i].index = i;
        s->workers[i].listen_fd = s->workers[i].epoll_fd = s->workers[i].wake_fd = -1;
    }
    if (!listen_all(s, err)) {
        http_free(&s);
        return false;
    }
    *ret = s;
    return true;
}

bool http_start(struct http_server *s, struct err *err)
{
    for (unsigned i = 0; i < s->o.workers; i++)
        if (!worker_start(&s->workers[i], err))
            return false;
    return true;
}

uint16_t http_port(const struct http_server *s)
{
    return s->port;
}

void http_drain(struct http_server *s)
{
    atomic_store(&s->draining, true);
}

void http_quiet(struct http_server *s)
{
    for (unsigned i = 0; i < s->o.workers; i++) {
        atomic_store(&s->workers[i].quiet_wish, true);
        if (s->workers[i].runs)
            worker_wake(&s->workers[i]);
    }
    for (unsigned i = 0; i < s->o.workers; i++)
        while (s->workers[i].runs && !atomic_load(&s->workers[i].quiet))
            s->o.io->world->sleep_us(s->o.io, 1000);
}

size_t http_open_exchanges(const struct http_server *s)
{
    return atomic_load(&((struct http_server *)(uintptr_t)s)->exchanges);
}

void http_stop(struct http_server *s)
{
    for (unsigned i = 0; i < s->o.workers; i++)
        worker_end(&s->workers[i]);
}

void http_free(struct http_server **at)
{
    struct http_server *s = *at;
    if (!s)
        return;
    http_stop(s);
    free(s->workers);
    peers_free(&s->peers);
    free(s);
    *at = NULL;
}
