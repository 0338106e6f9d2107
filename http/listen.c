/* The listening sockets: one for each worker, all of one address. */
#include "http/internal.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

/* The first socket takes the address without sharing it: so it fails where another program listens. Then it begins to share. */
static int bind_one(const struct addrinfo *a, bool first, int *ret_errno)
{
    int on = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    ok = ok && (first || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
    ok = ok && bind(fd, a->ai_addr, a->ai_addrlen) == 0;
    ok = ok && (!first || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
    ok = ok && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0; /* its connections inherit it */
    if (ok)
        return fd;
    *ret_errno = errno;
    if (fd >= 0)
        close(fd);
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage bound;
    socklen_t n = sizeof bound;
    char service[16] = "0";
    if (getsockname(fd, (struct sockaddr *)&bound, &n) == 0)
        getnameinfo((struct sockaddr *)&bound, n, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    return (uint16_t)strtoul(service, NULL, 10);
}

static struct addrinfo *resolve(const char *key, const char *host, uint16_t port, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list = NULL;
    char text[8];
    snprintf(text, sizeof text, "%u", port);
    int rc = getaddrinfo(host, text, &hints, &list);
    if (rc == 0)
        return list;
    err_set(err, ERR_CONFIG, "%s: %s is no address of this machine: %s", key, host, gai_strerror(rc));
    return NULL;
}

/* The others share the address that the first one got. */
static bool bind_others(struct http_server *s, struct err *err)
{
    struct sockaddr_storage bound;
    struct addrinfo same = {.ai_addr = (struct sockaddr *)&bound, .ai_addrlen = sizeof bound};
    int why = 0;
    if (getsockname(s->workers[0].listen_fd, same.ai_addr, &same.ai_addrlen) != 0)
        return err_sys(err, ERR_CONFIG, "cannot listen on %s (%s)", s->o.host, s->o.key);
    same.ai_family = same.ai_addr->sa_family;
    for (unsigned i = 1; i < s->o.workers; i++)
        if ((s->workers[i].listen_fd = bind_one(&same, false, &why)) < 0)
            return errno = why, err_sys(err, ERR_CONFIG, "cannot listen on %s:%u (%s)", s->o.host, s->port, s->o.key);
    return true;
}

bool listen_all(struct http_server *s, struct err *err)
{
    struct addrinfo *list = resolve(s->o.key, s->o.host, s->o.port, err);
    int fd = -1, why = 0;
    if (!list)
        return false;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = bind_one(a, true, &why);
    freeaddrinfo(list);
    errno = why;
    if (fd < 0)
        return err_sys(err, ERR_CONFIG, "cannot listen on %s:%u (%s)", s->o.host, s->o.port, s->o.key);
    s->workers[0].listen_fd = fd;
    s->port = port_of(fd);
    bool ok = bind_others(s, err);
    for (unsigned i = 0; ok && i < s->o.workers; i++)
        ok = listen(s->workers[i].listen_fd, BACKLOG) == 0 ||
             err_sys(err, ERR_CONFIG, "cannot listen on %s:%u (%s)", s->o.host, s->port, s->o.key);
    return ok;
}
