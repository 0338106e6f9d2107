/* The sources that the server serves, as one immutable value that is replaced whole.
 *
 * Each request takes the door of the moment its head is there, and leaves it when it is over. A worker that takes one says first
 * at which it looks, and looks whether it is still the one; then it counts itself in. So a door that was replaced, that no worker
 * looks at and in which nobody is counted, is freed: taking one costs a worker two stores and an addition, and no lock.
 * What belongs to a source's name and not to its configuration (its counters, its rejected requests) has a slot that stays. */
#include "server/door.h"
#include "core/log.h"
#include "core/mem.h"
#include <stdlib.h>

#define REMEMBER_MIN_US (UINT64_C(24) * 3600 * 1000000) /* deliveries without a signed time */

/* ---- a source ---- */

static bool path_reads_json(const struct path *p)
{
    for (; p; p = p->other)
        if ((p->root == ROOT_BODY && p->n_steps) || p->root == ROOT_EVENT)
            return true;
    return false;
}

static bool template_reads_json(const struct template *t)
{
    for (size_t i = 0; i < t->n_parts; i++) {
        const struct template_part *part = &t->parts[i];
        if (!part->literal && path_reads_json(&part->path))
            return true;
        for (size_t k = 0; k < part->n_joined; k++)
            if (path_reads_json(&part->joined[k]))
                return true;
    }
    return false;
}

static bool handshake_reads_json(const struct handshake_rule *h)
{
    bool reads = template_reads_json(&h->text) || (h->has_secret && path_reads_json(&h->secret)) ||
                 (h->has_fetch && path_reads_json(&h->fetch));
    for (size_t i = 0; i < h->n_when; i++)
        reads = reads || path_reads_json(&h->when[i].path);
    for (size_t i = 0; i < h->n_must; i++)
        reads = reads || path_reads_json(&h->must[i].path);
    for (size_t i = 0; i < h->n_shapes; i++)
        reads = reads || path_reads_json(&h->shapes[i].path);
    for (size_t i = 0; i < h->n_json; i++)
        reads = reads || template_reads_json(&h->json[i].text);
    for (size_t i = 0; i < h->n_headers; i++)
        reads = reads || template_reads_json(&h->headers[i].value);
    return reads;
}

static bool source_reads_json(const struct manifest *m)
{
    bool reads = template_reads_json(&m->event.id) || m->event.has_each;
    for (size_t i = 0; i < m->n_handshakes; i++) {
        reads = reads || handshake_reads_json(&m->handshakes[i]);
    }
    return reads;
}

/* Twice the time within which a delivery verifies: afterwards a copy is refused as expired. */
static uint64_t remember_us(const struct manifest *m)
{
    uint64_t longest = 0;
    for (size_t i = 0; i < m->n_schemes; i++) {
        const struct time_rule *t = &m->schemes[i].time;
        if (!t->present || !t->is_signed || !t->has_past || !t->past_us)
            return REMEMBER_MIN_US;
        if (t->past_us > longest)
            longest = t->past_us;
    }
    return longest * 2 > REMEMBER_MIN_US ? longest * 2 : REMEMBER_MIN_US;
}

static bool add_source(struct server *s, struct door *door, const struct source_config *config, const struct door *before,
                       struct err *err)
{
    struct door_source *d = &door->sources[door->n_sources++];
    const struct door_source *older = before ? door_find(before, span_of(config->name)) : NULL;
    const struct manifest *m = config->manifest;
    struct err why = {0};
    *d = (struct door_source){.config = config,
                              .whole = door->config,
                              .manifest = m,
                              .public_url = server_public_url(door->config, config),
                              .duplicate_us = remember_us(m),
                              .reads_json = source_reads_json(m),
                              .has_id = m->event.id.n_parts || m->event.id_is_body_hash};
    if (older) {
        memcpy(d->retired, older->retired, sizeof d->retired);
        memcpy(d->unproven, older->unproven, sizeof d->unproven);
        d->n_unproven = older->n_unproven;
        atomic_store(&d->expects_until_us, atomic_load(&older->expects_until_us));
    }
    if (!config_pairs(config, &d->pairs, &d->n_pairs, &why)) {
        d->pairs = NULL;
        d->n_pairs = 0;
    }
    if (!counts_slot(&s->counts, config->name, &d->slot))
        return err_set(err, ERR_CONFIG, "too many names of sources since the start; a restart takes them");
    if (config->webhook_off)
        return true;
    if (config->unverified) {
        buf_addf(&s->warnings, "%s: verification: none: whatever is posted to /in/%s is taken as genuine\n", config->name,
                 config->name);
        return true;
    }
    return keyring_open(s, d, older ? keyring_of(older) : NULL, err) || err_prefix(err, "source %s", config->name);
}

/* ---- a door ---- */

static void door_free(struct door *door)
{
    for (size_t i = 0; i < door->n_sources; i++) {
        struct door_source *d = &door->sources[i];
        keyring_close(d);
        config_pairs_free(&d->pairs, d->n_pairs);
        free(d->public_url);
    }
    free(door->sources);
    config_drop(&door->config);
    free(door);
}

static struct door *door_make(struct server *s, const struct config *c, const struct door *before, struct err *err)
{
    struct door *door = mem_alloc(sizeof *door);
    door->config = config_hold(c);
    door->sources = mem_alloc((c->n_sources + 1) * sizeof *door->sources);
    for (size_t i = 0; i < c->n_sources; i++) {
        if (!add_source(s, door, &c->sources[i], before, err)) {
            door_free(door);
            return NULL;
        }
    }
    return door;
}

struct door_source *door_find(const struct door *door, struct span name)
{
    for (size_t i = 0; i < door->n_sources; i++)
        if (span_eqz(name, door->sources[i].config->name))
            return &door->sources[i];
    return NULL;
}

bool door_open(struct server *s, struct err *err)
{
    struct door *door = door_make(s, s->config, NULL, err);
    atomic_store(&s->door, door);
    return door != NULL;
}

struct door *door_now(const struct server *s)
{
    return atomic_load(&((struct server *)(uintptr_t)s)->door);
}

struct door *door_take(struct server *s, unsigned worker)
{
    _Atomic(struct door *) *looks = &s->workspaces[worker].looks;
    struct door *door;
    do {
        door = atomic_load(&s->door);
        atomic_store(looks, door);
    } while (atomic_load(&s->door) != door);
    atomic_fetch_add_explicit(&door->users, 1, memory_order_relaxed);
    atomic_store_explicit(looks, NULL, memory_order_release);
    return door;
}

struct door *door_hold(struct server *s)
{
    pthread_mutex_lock(&s->door_lock); /* it is not replaced meanwhile */
    struct door *door = atomic_load(&s->door);
    atomic_fetch_add(&door->users, 1);
    pthread_mutex_unlock(&s->door_lock);
    return door;
}

void door_leave(struct door *door)
{
    atomic_fetch_sub_explicit(&door->users, 1, memory_order_release);
}

static bool is_looked_at(const struct server *s, const struct door *door)
{
    for (unsigned i = 0; i < s->n_workers; i++)
        if (atomic_load(&s->workspaces[i].looks) == door)
            return true;
    return false;
}

void door_tidy(struct server *s)
{
    struct door *gone = NULL;
    pthread_mutex_lock(&s->door_lock);
    for (struct door **at = &s->replaced; *at;) {
        struct door *door = *at;
        if (is_looked_at(s, door) || atomic_load_explicit(&door->users, memory_order_acquire)) {
            at = &door->next;
            continue;
        }
        *at = door->next;
        door->next = gone;
        gone = door;
    }
    pthread_mutex_unlock(&s->door_lock);
    for (struct door *next; gone; gone = next) {
        next = gone->next;
        door_free(gone);
    }
}

void door_close(struct server *s)
{
    struct door *door = atomic_exchange(&s->door, NULL);
    for (struct door *old = s->replaced, *next; old; old = next) {
        next = old->next;
        door_free(old);
    }
    s->replaced = NULL;
    if (door)
        door_free(door);
}

/* ---- replacing it ---- */

static void replace(struct server *s, struct door *door)
{
    pthread_mutex_lock(&s->door_lock);
    struct door *before = atomic_exchange(&s->door, door);
    before->next = s->replaced;
    s->replaced = before;
    pthread_mutex_unlock(&s->door_lock);
}

struct door_change {
    struct door *door;
};

bool server_prepare(struct server *s, const struct config *c, struct door_change **ret, struct err *err)
{
    pthread_mutex_lock(&s->deliver_lock); /* no secret is taken meanwhile: until the change is made or dropped */
    buf_clear(&s->warnings);
    struct door *door = door_make(s, c, door_now(s), err);
    bool ok = door && confirm_start(s, door, err);
    for (size_t i = 0, n = s->counts.n; ok && i < n; i++) {
        rejected_add(s->rejected, i, s->counts.sources[i]->name, &s->warnings);
        deliveries_add(s->deliveries, i, s->counts.sources[i]->name, &s->warnings);
    }
    if (ok) {
        *ret = mem_alloc(sizeof **ret);
        (*ret)->door = door;
        return true;
    }
    if (door)
        door_free(door);
    pthread_mutex_unlock(&s->deliver_lock);
    return false;
}

void server_change(struct server *s, struct door_change **at, bool make)
{
    struct door_change *change = *at;
    *at = NULL;
    if (make)
        replace(s, change->door);
    else
        door_free(change->door);
    free(change);
    pthread_mutex_unlock(&s->deliver_lock);
}

void server_refresh_secrets(struct server *s)
{
    struct door *door = door_hold(s);
    for (size_t i = 0; i < door->n_sources; i++)
        keyring_refresh(s, &door->sources[i]);
    door_leave(door);
}
