/* Deliveries that no secret fits while a new one is on its way to us: they are held for a moment and judged again.
 *
 * A provider that makes the secret itself signs with it before its answer tells us. Whoever is held has its own copy of the
 * request, since the endpoint's is gone when the call returns.
 *
 * Invariants
 *  1. A request that was put here is resumed exactly once each time: when a secret came, when none is expected any more, when its
 *     time is up or when the server stops.
 *  2. Nobody is held beyond HOLD_US in all, however often it is judged; and no more than HOLD_MAX with HOLD_BYTES: the rest is
 *     told at once to come again, so that whoever forges signatures holds nobody else up. */
#include "core/mem.h"
#include "server/door.h"
#include <stdlib.h>
#include <string.h>

#define HOLD_MAX 512
#define HOLD_BYTES ((size_t)16 << 20)
#define HOLD_US (UINT64_C(3) * 1000000) /* providers wait for an answer at least five seconds */

struct held {
    struct held *next;
    struct request *request;
    uint64_t until_us; /* steadily */
    size_t bytes;
    struct http_header headers[]; /* and behind them what they and the message point to */
};

static size_t bytes_of(const struct http_message *m)
{
    size_t n = sizeof(struct held) + m->n_headers * sizeof(struct http_header) + m->method.n + m->url.n + m->body.n;
    for (size_t i = 0; i < m->n_headers; i++)
        n += m->headers[i].name.n + m->headers[i].value.n;
    return n;
}

static struct span copied(char **at, struct span text)
{
    struct span copy = {*at, text.n};
    if (text.n)
        memcpy(*at, text.p, text.n);
    *at += text.n;
    return copy;
}

/* The request reads its copy from now on. */
static void copy_locked(struct request *r, size_t bytes)
{
    const struct io *io = r->server->io;
    const struct http_message *m = &r->message;
    struct held *h = mem_alloc(bytes);
    char *at = (char *)&h->headers[m->n_headers];
    h->request = r;
    h->until_us = io->world->monotonic_us(io) + HOLD_US;
    h->bytes = bytes;
    for (size_t i = 0; i < m->n_headers; i++) {
        h->headers[i].name = copied(&at, m->headers[i].name);
        h->headers[i].value = copied(&at, m->headers[i].value);
    }
    r->message.method = copied(&at, m->method);
    r->message.url = copied(&at, m->url);
    r->message.body = copied(&at, m->body);
    r->message.headers = r->x->headers = h->headers;
    r->held = h;
    r->server->holding.bytes += bytes;
    r->server->holding.n++;
}

/* Whether it may go into the list. */
static bool has_place_locked(struct request *r, struct holding *all)
{
    const struct io *io = r->server->io;
    if (all->over || io->world->now_us(io) >= atomic_load(&r->source->expects_until_us))
        return false;
    if (r->held)
        return io->world->monotonic_us(io) < r->held->until_us;
    size_t bytes = bytes_of(&r->message);
    if (all->n >= HOLD_MAX || bytes > HOLD_BYTES - all->bytes)
        return false;
    copy_locked(r, bytes);
    return true;
}

bool hold_request(struct request *r, const struct keyring *judged_by)
{
    struct holding *all = &r->server->holding;
    pthread_mutex_lock(&all->lock);
    bool held = has_place_locked(r, all);
    bool again = held && keyring_of(r->source) != judged_by; /* whoever brought a secret looked here before */
    if (held && !again) {
        r->held->next = all->first;
        all->first = r->held;
    }
    pthread_mutex_unlock(&all->lock);
    if (again)
        http_resume(r->x);
    return held;
}

/* Those whose time is up, or all of them. */
static void release(struct server *s, bool whoever)
{
    struct holding *all = &s->holding;
    uint64_t now = s->io->world->monotonic_us(s->io);
    bool any = false;
    pthread_mutex_lock(&all->lock);
    for (struct held **at = &all->first; *at;) {
        struct held *h = *at;
        if (!whoever && now < h->until_us) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        any = true;
        http_resume(h->request->x);
    }
    pthread_mutex_unlock(&all->lock);
    if (any)
        http_wake(s->http);
}

void hold_release(struct server *s)
{
    release(s, true);
}

void hold_look(struct server *s)
{
    release(s, false);
}

void hold_end(struct server *s)
{
    pthread_mutex_lock(&s->holding.lock);
    s->holding.over = true;
    pthread_mutex_unlock(&s->holding.lock);
    release(s, true);
}

void hold_forget(struct request *r)
{
    struct holding *all = &r->server->holding;
    if (!r->held)
        return;
    pthread_mutex_lock(&all->lock);
    all->bytes -= r->held->bytes;
    all->n--;
    pthread_mutex_unlock(&all->lock);
    free(r->held);
    r->held = NULL;
}
