/* Answers that wait, with ack: kafka, until the event's rows are in all in-sync replicas.
 *
 * Invariants
 *  1. A request that was put here goes on exactly once: when the position has passed its entry, or as `late`.
 *  2. Nobody waits beyond limits.ack, and nobody in vain: whoever comes looks at the position under the lock, and so does whoever
 *     moves it afterwards.
 *
 * The list is in the order of the entries: deliveries come in it, a duplicate of an entry that is still on its way is put at its
 * place. */
#include "core/log.h"
#include "core/thread.h"
#include "server/door.h"

#define LOOK_US (UINT64_C(50) * 1000)

bool await_is_on(const struct server *s)
{
    return s->ack.position != NULL;
}

bool await_is_delivered(const struct server *s, uint64_t seq)
{
    return !await_is_on(s) || s->ack.position(s->ack.ctx) > seq;
}

bool await_refuses(const struct server *s)
{
    return atomic_load(&((struct server *)(uintptr_t)s)->awaiting.trouble);
}

static void resume(struct request *r, bool late)
{
    r->late = late;
    http_resume(r->x);
}

void await_delivery(struct request *r, uint64_t seq)
{
    struct server *s = r->server;
    struct awaiting *a = &s->awaiting;
    r->await_seq = seq;
    r->await_until_us = s->io->world->monotonic_us(s->io) + s->config->ack_us;
    pthread_mutex_lock(&a->lock);
    bool over = a->over, there = await_is_delivered(s, seq);
    if (!over && !there) {
        struct request *before = a->last;
        while (before && before->await_seq > seq)
            before = before->await_before;
        r->await_before = before;
        r->await_behind = before ? before->await_behind : a->first;
        *(before ? &before->await_behind : &a->first) = r;
        *(r->await_behind ? &r->await_behind->await_before : &a->last) = r;
        a->n++;
    }
    pthread_mutex_unlock(&a->lock);
    if (over || there)
        resume(r, !there);
}

static void take_out_locked(struct awaiting *a, struct request *r)
{
    *(r->await_before ? &r->await_before->await_behind : &a->first) = r->await_behind;
    *(r->await_behind ? &r->await_behind->await_before : &a->last) = r->await_before;
    a->n--;
}

void server_delivered(struct server *s)
{
    struct awaiting *a = &s->awaiting;
    pthread_mutex_lock(&a->lock);
    bool any = false;
    while (a->first && await_is_delivered(s, a->first->await_seq)) {
        struct request *r = a->first;
        take_out_locked(a, r);
        resume(r, false);
        any = true;
    }
    pthread_mutex_unlock(&a->lock);
    if (any)
        http_wake(s->http);
}

/* Those whose time is up, or all of them. */
static void give_up(struct server *s, bool all)
{
    static struct log_limit limit;
    struct awaiting *a = &s->awaiting;
    uint64_t now = s->io->world->monotonic_us(s->io), n = 0;
    pthread_mutex_lock(&a->lock);
    a->over = a->over || all;
    for (struct request *r = a->first, *behind; r; r = behind) {
        behind = r->await_behind;
        if (!all && now < r->await_until_us)
            continue;
        take_out_locked(a, r);
        atomic_fetch_add(&a->late, 1);
        resume(r, true);
        n++;
    }
    pthread_mutex_unlock(&a->lock);
    if (!n)
        return;
    http_wake(s->http);
    log_limited(&limit, LOG_WARN, "deliveries are in the journal but were not in Kafka in time: answered 503",
                "deliveries=%llu limits.ack_ms=%llu", (unsigned long long)n, (unsigned long long)(s->config->ack_us / 1000));
}

/* The position may also move with nobody told of it: when the sink reads it at its start. */
static void *watch(void *server)
{
    struct server *s = server;
    thread_name("await-kafka");
    while (server_sleep(s, LOOK_US)) {
        atomic_store(&s->awaiting.trouble, s->ack.trouble(s->ack.ctx));
        server_delivered(s);
        give_up(s, false);
    }
    return NULL;
}

bool await_start(struct server *s, struct err *err)
{
    struct awaiting *a = &s->awaiting;
    if (!await_is_on(s))
        return true;
    atomic_store(&a->trouble, s->ack.trouble(s->ack.ctx));
    a->runs = thread_start(&a->thread, watch, s);
    return a->runs || err_set(err, ERR_NOMEM, "cannot start a thread");
}

void await_stop(struct server *s)
{
    if (s->awaiting.runs)
        pthread_join(s->awaiting.thread, NULL);
    s->awaiting.runs = false;
}

void await_end(struct server *s)
{
    if (await_is_on(s))
        give_up(s, true);
}

uint64_t server_late(const struct server *s)
{
    return atomic_load(&((struct server *)(uintptr_t)s)->awaiting.late);
}
