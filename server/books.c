/* The books on disk: every second what was added since the last time, in one transaction with the mark up to which the journal's
 * entries are counted. What a crash left between the two is counted from the journal at the next start. */
#include "server/door.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include <stdlib.h>

#define FLUSH_EVERY_US UINT64_C(1000000)

/* ---- at the start ---- */

struct tally { /* entries of one source above the mark; a source may have left the configuration */
    char *name;
    uint64_t n;
};
struct rebuild {
    struct server *s;
    struct tally *tallies;
    size_t n_tallies;
    uint64_t mark, now_us;
};

static void count_entry(struct rebuild *b, struct span source)
{
    for (size_t i = 0; i < b->n_tallies; i++) {
        if (span_eqz(source, b->tallies[i].name)) {
            b->tallies[i].n++;
            return;
        }
    }
    b->tallies = mem_grow(b->tallies, (b->n_tallies + 1) * sizeof *b->tallies);
    b->tallies[b->n_tallies++] = (struct tally){mem_dup_span(source), 1};
}

static void remember(struct rebuild *b, const struct entry *e)
{
    struct server *s = b->s;
    if (!e->dedupe.lo && !e->dedupe.hi)
        return;
    const struct door_source *d = door_find(door_now(s), e->source);
    if (d && e->received_us + d->duplicate_us > b->now_us)
        seen_add(s->seen, e->dedupe, e->received_us + d->duplicate_us, e->seq);
}

static bool read_tail(struct rebuild *b, uint64_t from, uint64_t to, struct err *err)
{
    struct reader *reader = reader_open(b->s->lane, from);
    struct entry e;
    bool any = true, ok = true;
    uint64_t damage = 0;
    while (ok && any) {
        ok = reader_next(reader, &e, &any, &damage, err);
        if (!ok || !any || e.seq > to)
            break;
        if (e.seq > b->mark)
            count_entry(b, e.source);
        remember(b, &e);
    }
    reader_close(&reader);
    return ok;
}

static bool add_uncounted(struct rebuild *b, uint64_t durable, struct err *err)
{
    struct state *state = &b->s->state;
    if (b->n_tallies == 0)
        return true;
    if (!db_begin(&state->db, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < b->n_tallies; i++) {
        struct books delta = {.received = b->tallies[i].n, .journalled = b->tallies[i].n};
        ok = state_books_add(state, span_of(b->tallies[i].name), &delta, durable, err);
    }
    ok = ok && db_commit(&state->db, err);
    if (!ok)
        db_rollback(&state->db);
    return ok;
}

bool books_open(struct server *s, const char *data_dir, struct err *err)
{
    struct rebuild b = {.s = s, .now_us = s->io->world->now_us(s->io)};
    uint64_t durable = lane_durable(s->lane), first = lane_first(s->lane);
    if (!state_open(&s->state, data_dir, false, err))
        return false;
    s->state_open = true;
    if (!state_books_mark(&s->state, &b.mark, err))
        return false;
    uint64_t from = durable > SEEN_GENERATION ? durable - SEEN_GENERATION + 1 : 1;
    if (b.mark + 1 < from)
        from = b.mark + 1;
    bool ok = read_tail(&b, from > first ? from : first, durable, err) && add_uncounted(&b, durable, err);
    for (size_t i = 0; i < b.n_tallies; i++)
        free(b.tallies[i].name);
    free(b.tallies);
    s->counts.mark = durable;
    s->snapshot = mem_alloc((s->counts.room + 1) * sizeof *s->snapshot);
    return ok;
}

void books_close(struct server *s)
{
    if (s->state_open)
        state_close(&s->state);
    s->state_open = false;
    free(s->snapshot);
}

/* ---- while it runs ---- */

static struct books difference(const struct books *now, const struct books *then)
{
    return (struct books){.received = now->received - then->received,
                          .handshake = now->handshake - then->handshake,
                          .rejected = now->rejected - then->rejected,
                          .duplicate = now->duplicate - then->duplicate,
                          .journalled = now->journalled - then->journalled};
}

static bool write_counts(struct server *s, size_t n, uint64_t mark, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct books delta = difference(&s->snapshot[i], &s->counts.sources[i]->written);
        if (delta.received && !state_books_add(&s->state, span_of(s->counts.sources[i]->name), &delta, mark, err))
            return false;
    }
    return true;
}

/* Visits every secret whose last use is not on disk yet; with `write` it goes there. */
static bool each_new_use(struct server *s, const struct door *door, bool write, bool *ret_any, struct err *err)
{
    for (size_t i = 0; i < door->n_sources; i++) {
        const struct door_source *source = &door->sources[i];
        struct keyring *ring = keyring_of(source);
        size_t n = ring ? verifier_secrets(ring->verifier) : 0;
        for (size_t k = 0; k < n; k++) {
            uint64_t retire, used = atomic_load(&ring->last_used_us[k]);
            if (used == ring->last_used_written[k])
                continue;
            *ret_any = true;
            struct span id = span_of(verifier_secret(ring->verifier, k, &retire));
            if (write && !state_secret_seen(&s->state, span_of(source->config->name), id, s->started_us, used, err))
                return false;
            if (write)
                ring->last_used_written[k] = used;
        }
    }
    return true;
}

static bool flush_locked(struct server *s, const struct door *door, struct err *err)
{
    uint64_t mark;
    bool any = false;
    size_t n = counts_books(&s->counts, s->snapshot, &mark);
    for (size_t i = 0; i < n; i++)
        any = any || s->snapshot[i].received != s->counts.sources[i]->written.received;
    if (!each_new_use(s, door, false, &any, err))
        return false;
    if (!any)
        return true;
    if (!db_begin(&s->state.db, err))
        return false;
    bool ok = write_counts(s, n, mark, err) && each_new_use(s, door, true, &any, err) && db_commit(&s->state.db, err);
    if (!ok) {
        db_rollback(&s->state.db);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        s->counts.sources[i]->written = s->snapshot[i];
    return true;
}

bool server_flush_books(struct server *s, struct err *err)
{
    struct door *door = door_hold(s);
    pthread_mutex_lock(&s->book_lock);
    bool ok = flush_locked(s, door, err);
    pthread_mutex_unlock(&s->book_lock);
    door_leave(door);
    return ok;
}

void *book_loop(void *server)
{
    struct server *s = server;
    thread_name("bookkeeper");
    while (server_sleep(s, FLUSH_EVERY_US)) {
        static struct log_limit limit;
        struct err err = {0};
        if (!server_flush_books(s, &err))
            log_limited(&limit, LOG_WARN, "the books could not be written; tried again in a second", "error=\"%s\"", err.msg);
        server_refresh_secrets(s);
        hold_look(s);
        door_tidy(s);
        static struct log_limit deliveries_limit;
        if (!deliveries_write(s->deliveries, false, &err))
            log_limited(&deliveries_limit, LOG_WARN, "the list of deliveries could not be written; tried again later",
                        "error=\"%s\"", err.msg);
        static struct log_limit rejected_limit;
        if (!rejected_write(s->rejected, false, &err))
            log_limited(&rejected_limit, LOG_WARN, "the rejected requests could not be written; tried again later",
                        "error=\"%s\"", err.msg);
    }
    return NULL;
}
