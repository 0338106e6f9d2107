/* provider: a small HTTP server on loopback that answers as a test says, and remembers what it was asked.
 * One thread, one connection at a time, keep-alive. Life: provider_start -> provider_stop. `lock` guards what both threads touch. */
#pragma once
#include "core/buf.h"
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASKED_MAX 600

struct reply {
    unsigned status;
    struct buf headers; /* whole lines, each with its CR LF */
    struct buf body;
    bool cut;           /* the connection breaks in the middle of the body */
    bool no_date;
};
struct provider {
    int listener;
    atomic_int connection;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    void (*answer)(struct provider *p, const char *target, struct reply *r);
    void *ctx;
    char asked[ASKED_MAX][480]; /* targets, in order */
    size_t n_asked;
    char authorization[256];    /* of the last request */
    char agent[128];
    const char *date;           /* the provider's clock; NULL: a fixed day */
};

static inline void provider_header(const char *head, const char *name, char *out, size_t size)
{
    const char *at = strcasestr(head, name);
    out[0] = 0;
    if (at)
        (void)snprintf(out, size, "%.*s", (int)strcspn(at + strlen(name), "\r"), at + strlen(name));
}

static inline void provider_send(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return;
        p += k;
        n -= (size_t)k;
    }
}

/* false: the connection is to be closed. */
static inline bool provider_reply(struct provider *p, int fd, const char *head)
{
    struct reply r = {.status = 200};
    struct buf out;
    char target[480] = "";
    buf_init(&r.headers, 0);
    buf_init(&r.body, 0);
    buf_init(&out, 0);
    (void)sscanf(head, "GET %479s", target);
    pthread_mutex_lock(&p->lock);
    if (p->n_asked < ASKED_MAX)
        (void)snprintf(p->asked[p->n_asked++], sizeof p->asked[0], "%s", target);
    provider_header(head, "\r\nAuthorization: ", p->authorization, sizeof p->authorization);
    provider_header(head, "\r\nUser-Agent: ", p->agent, sizeof p->agent);
    p->answer(p, target, &r);
    buf_addf(&out, "HTTP/1.1 %u X\r\nContent-Type: application/json\r\nSet-Cookie: session=cookie_planted\r\nContent-Length: %zu\r\n",
             r.status, r.body.n);
    if (!r.no_date)
        buf_addf(&out, "Date: %s\r\n", p->date ? p->date : "Thu, 01 Jan 2026 00:00:00 GMT");
    pthread_mutex_unlock(&p->lock);
    buf_adds(&out, buf_span(&r.headers));
    buf_addz(&out, "\r\n");
    buf_add(&out, r.body.p, r.cut ? r.body.n / 2 : r.body.n);
    provider_send(fd, out.p, out.n);
    buf_release(&out);
    buf_release(&r.headers);
    buf_release(&r.body);
    return !r.cut;
}

static inline void provider_connection(struct provider *p, int fd)
{
    char head[8192];
    size_t n = 0;
    for (;;) {
        ssize_t k = recv(fd, head + n, sizeof head - 1 - n, 0);
        if (k <= 0)
            return;
        n += (size_t)k;
        head[n] = 0;
        if (!strstr(head, "\r\n\r\n"))
            continue;
        n = 0;
        if (!provider_reply(p, fd, head))
            return;
    }
}

static inline void *provider_run(void *arg)
{
    struct provider *p = arg;
    for (;;) {
        int fd = accept(p->listener, NULL, NULL), on = 1;
        if (fd < 0)
            return NULL;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        p->connection = fd;
        provider_connection(p, fd);
        p->connection = -1;
        close(fd);
    }
}

static inline void provider_start(struct provider *p, void (*answer)(struct provider *, const char *, struct reply *), void *ctx)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    *p = (struct provider){.answer = answer, .ctx = ctx, .connection = -1};
    pthread_mutex_init(&p->lock, NULL);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(p->listener, 0);
    ck_assert_int_eq(bind(p->listener, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(p->listener, 16), 0);
    ck_assert_int_eq(getsockname(p->listener, (struct sockaddr *)&at, &n), 0);
    p->port = ntohs(at.sin_port);
    ck_assert_int_eq(pthread_create(&p->thread, NULL, provider_run, p), 0);
}

static inline void provider_stop(struct provider *p)
{
    shutdown(p->listener, SHUT_RDWR);
    int fd = p->connection;
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->listener);
    pthread_mutex_destroy(&p->lock);
}

/* The number that a parameter has, or `missing`. */
static inline long provider_param(const char *target, const char *name, long missing)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%s=", name);
    const char *at = strchr(target, '?');
    while (at && at[1]) {
        if (strncmp(at + 1, key, strlen(key)) == 0)
            return strtol(at + 1 + strlen(key), NULL, 10);
        at = strchr(at + 1, '&');
    }
    return missing;
}
