/* The verifiers of a source, one after another: secrets that handshakes bring, and those that are replaced in their files.
 *
 * A secret that leaves its file verifies for secret_grace more: what the provider has signed with it is on its way. One whose
 * file cannot be read stays, since that says nothing of it.
 * Whoever plants a secret can sign whatever he likes from then on, and an unsigned handshake can come from anybody. So an
 * unsigned one is believed once: while the configuration names no secret and none has been delivered. */
#include "server/door.h"
#include "core/codec.h"
#include "core/log.h"
#include "core/mem.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET_LEAST 16 /* characters of a delivered secret */
#define SECRET_MOST 512
#define DELIVERED_MAX 32 /* of one source: each costs a MAC for a request whose signature is wrong */

/* ---- making one ---- */

static bool is_named(const struct source_config *c, const char *path)
{
    for (size_t i = 0; i < c->n_secrets; i++)
        if (c->secrets[i].kind == SECRET_FILE && strcmp(c->secrets[i].at, path) == 0)
            return true;
    return false;
}

/* What the files of secrets hold now. */
struct fresh {
    char **texts;
    size_t *sizes, n;
    struct buf ids; /* of the first ones, those that the configuration names */
    bool whole; /* each could be read */
    struct err why;
};

static void fresh_read(struct fresh *f, const struct source_config *c, size_t n_named)
{
    *f = (struct fresh){.whole = true};
    buf_init(&f->ids, 1 << 20);
    f->texts = mem_alloc((2 * c->n_secrets + 1) * sizeof *f->texts);
    f->sizes = mem_alloc((2 * c->n_secrets + 1) * sizeof *f->sizes);
    struct buf next;
    buf_init(&next, 1 << 16);
    for (size_t i = 0; i < 2 * c->n_secrets; i++) {
        struct secret_ref ref = c->secrets[i / 2];
        char id[SECRET_ID_MAX] = "-";
        if (i % 2 && !secret_next(&ref, &next))
            continue;
        if (i % 2)
            ref.at = buf_z(&next);
        if (secret_read(&ref, &f->texts[f->n], &f->sizes[f->n], &f->why)) {
            secret_id((struct span){f->texts[f->n], f->sizes[f->n]}, id);
            f->n++;
        } else {
            f->whole = false;
        }
        if (i / 2 < n_named)
            buf_addf(&f->ids, "%s%s", i ? " " : "", id);
    }
    buf_release(&next);
}

static bool fresh_has(const struct fresh *f, struct span secret)
{
    unsigned equal = 0;
    for (size_t i = 0; i < f->n; i++)
        equal |= ct_equal((struct span){f->texts[i], f->sizes[i]}, secret);
    return equal != 0;
}

static void fresh_free(struct fresh *f)
{
    for (size_t i = 0; i < f->n; i++)
        secret_free(&f->texts[i], f->sizes[i]);
    free(f->texts);
    free(f->sizes);
    buf_release(&f->ids);
}

static bool has_id(const char ids[][SECRET_ID_MAX], size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(ids[i], id) == 0)
            return true;
    return false;
}

static bool is_retired(const struct door_source *d, const char *id)
{
    return has_id(d->retired, RETIRED_MAX, id);
}

static bool is_unproven(const struct door_source *d, const char *id)
{
    return has_id(d->unproven, d->n_unproven, id);
}

/* Those of the ring before that are not configured any more and still count; borrowed from it. */
static size_t still_good(struct server *s, const struct door_source *d, const struct fresh *f, const struct keyring *older,
                         struct span take, struct verify_secret *ret)
{
    uint64_t now = s->io->world->now_us(s->io), until = now + d->whole->secret_grace_us;
    size_t n = 0;
    for (size_t i = 0; older && i < verifier_secrets(older->verifier); i++) {
        struct verify_secret one = {.text = verifier_secret_text(older->verifier, i)};
        (void)verifier_secret(older->verifier, i, &one.retire_at_us);
        if (fresh_has(f, one.text) || (one.retire_at_us && one.retire_at_us <= now) || ct_equal(one.text, take))
            continue;
        if (is_retired(d, verifier_secret(older->verifier, i, &(uint64_t){0})))
            continue;
        if (f->whole && (!one.retire_at_us || until < one.retire_at_us))
            one.retire_at_us = until;
        ret[n++] = one;
    }
    if (take.n && !fresh_has(f, take))
        ret[n++] = (struct verify_secret){.text = take, .retire_at_us = until};
    return n;
}

/* The configured secrets, the delivered ones, of the ring before what still counts, and `take`, where it is not empty: a secret
 * that verifies from now on, also before its file is seen here. */
static bool make_verifier(struct server *s, const struct door_source *d, const struct keyring *older, struct span take,
                          struct keyring *ring, struct buf *warnings, struct err *err)
{
    const struct source_config *config = d->config;
    struct source_config whole = *config;
    struct err why = {0};
    char **paths = NULL;
    size_t n = 0;
    if (manifest_delivers_secrets(config->manifest) && !secrets_delivered(s->data_dir, config->name, &paths, &n, &why)) {
        ring->sealed = true;
        if (warnings)
            buf_addf(warnings, "%s: %s\n", config->name, why.msg);
    }
    ring->n_delivered = n;
    whole.secrets = mem_alloc((config->n_secrets + n + 1) * sizeof *whole.secrets);
    for (size_t i = 0; i < config->n_secrets; i++)
        whole.secrets[i] = config->secrets[i];
    for (size_t i = 0; i < n; i++)
        if (!is_named(config, paths[i]))
            whole.secrets[whole.n_secrets++] = (struct secret_ref){.kind = SECRET_FILE, .at = paths[i]};
    struct verify_secret *kept = mem_alloc(((older ? verifier_secrets(older->verifier) : 0) + 2) * sizeof *kept);
    struct fresh fresh;
    fresh_read(&fresh, &whole, config->n_secrets);
    ring->fresh = mem_dup(buf_z(&fresh.ids));
    bool ok = verifier_new(&whole, kept, still_good(s, d, &fresh, older, take, kept), &ring->verifier, warnings, err);
    fresh_free(&fresh);
    free(kept);
    free(whole.secrets);
    secrets_delivered_free(&paths, n);
    return ok;
}

/* When the secret of that id was last used, as the older ring knows it. */
static uint64_t last_used(const struct keyring *older, const char *id)
{
    uint64_t retire, latest = 0;
    for (size_t i = 0; older && i < verifier_secrets(older->verifier); i++)
        if (strcmp(verifier_secret(older->verifier, i, &retire), id) == 0)
            latest = atomic_load(&older->last_used_us[i]);
    return latest;
}

static struct keyring *make_ring(struct server *s, const struct door_source *d, struct keyring *older, struct span take,
                                 struct buf *warnings, struct err *err)
{
    struct keyring *ring = mem_alloc(sizeof *ring);
    if (!make_verifier(s, d, older, take, ring, warnings, err)) {
        free(ring->fresh);
        free(ring);
        return NULL;
    }
    size_t n = verifier_secrets(ring->verifier);
    ring->older = older;
    ring->last_used_us = mem_alloc((n + 1) * sizeof *ring->last_used_us);
    ring->last_used_written = mem_alloc((n + 1) * sizeof *ring->last_used_written);
    for (size_t i = 0; i < n; i++) {
        uint64_t retire;
        atomic_store(&ring->last_used_us[i], last_used(older, verifier_secret(ring->verifier, i, &retire)));
        ring->last_used_written[i] = UINT64_MAX; /* not told yet */
    }
    return ring;
}

static void ring_free(struct keyring *ring)
{
    verifier_free(&ring->verifier);
    free(ring->fresh);
    free(ring->last_used_us);
    free(ring->last_used_written);
    free(ring);
}

bool keyring_open(struct server *s, struct door_source *d, struct keyring *older, struct err *err)
{
    const char *name = d->config->name;
    struct keyring *ring = make_ring(s, d, older, (struct span){NULL, 0}, &s->warnings, err);
    if (!ring)
        return false;
    ring->older = NULL; /* it is of another door */
    atomic_store(&d->ring, ring);
    if (verifier_can_judge(ring->verifier, s->io->world->now_us(s->io)))
        return true;
    if (manifest_delivers_secrets(d->manifest) && d->config->n_secrets == 0 && ring->n_delivered == 0 && !ring->sealed)
        buf_addf(&s->warnings, "%s: no secret yet: the first handshake brings one, whoever sends it; until then deliveries are "
                               "answered 503\n", name);
    else
        buf_addf(&s->warnings, "%s: no usable secret, so deliveries are answered 503 until there is one\n", name);
    return true;
}

void keyring_close(struct door_source *d)
{
    struct keyring *ring = atomic_load(&d->ring);
    while (ring) {
        struct keyring *older = ring->older;
        ring_free(ring);
        ring = older;
    }
    atomic_store(&d->ring, NULL);
}

struct keyring *keyring_of(const struct door_source *d)
{
    return atomic_load(&((struct door_source *)(uintptr_t)d)->ring);
}

bool keyring_can_judge(const struct door_source *d, uint64_t now_us)
{
    const struct keyring *ring = keyring_of(d);
    return ring && verifier_can_judge(ring->verifier, now_us);
}

/* ---- a file has another secret ---- */

static void tell_refresh(const struct door_source *d, const struct fresh *f, const struct keyring *ring)
{
    if (!f->whole)
        log_warn("a secret's file cannot be read: what it held before goes on verifying", "source=%s error=\"%s\"",
                 d->config->name, f->why.msg);
    else
        log_info("replaced secrets are in use", "source=%s secrets=\"%s\" held=%zu grace_s=%llu", d->config->name, ring->fresh,
                 verifier_secrets(ring->verifier), (unsigned long long)(d->whole->secret_grace_us / 1000000));
}

/* Whether another ring is in use now. */
static bool refresh_locked(struct server *s, struct door_source *d, struct fresh *f)
{
    struct err err = {0};
    struct keyring *old = atomic_load(&d->ring);
    if (strcmp(buf_z(&f->ids), old->fresh) == 0)
        return false;
    struct keyring *ring = make_ring(s, d, old, (struct span){NULL, 0}, NULL, &err);
    if (!ring) {
        log_warn("replaced secrets are not taken up; those before stay", "source=%s error=\"%s\"", d->config->name, err.msg);
        return false;
    }
    atomic_store(&d->ring, ring);
    tell_refresh(d, f, ring);
    return true;
}

void keyring_refresh(struct server *s, struct door_source *d)
{
    struct fresh fresh;
    if (!keyring_of(d) || d->config->n_secrets == 0)
        return;
    fresh_read(&fresh, d->config, d->config->n_secrets);
    pthread_mutex_lock(&s->deliver_lock);
    bool changed = refresh_locked(s, d, &fresh);
    pthread_mutex_unlock(&s->deliver_lock);
    if (changed)
        hold_release(s);
    fresh_free(&fresh);
}

/* ---- a rotation ---- */

static bool change_ring_locked(struct server *s, struct door_source *d, struct span take, struct err *err)
{
    struct keyring *old = atomic_load(&d->ring);
    struct keyring *ring = old ? make_ring(s, d, old, take, NULL, err) : NULL;
    if (ring)
        atomic_store(&d->ring, ring);
    return ring || !old;
}

static void retire_locked(struct door_source *d, const char *id)
{
    if (is_retired(d, id))
        return;
    memmove(d->retired[1], d->retired[0], sizeof d->retired - sizeof d->retired[0]);
    snprintf(d->retired[0], sizeof d->retired[0], "%s", id);
}

/* The lock first: while it is held the door is not replaced, so that the change is not made to one that is going. */
static struct door_source *lock_source(struct server *s, struct span source)
{
    pthread_mutex_lock(&s->deliver_lock);
    return door_find(door_now(s), source);
}

bool server_secret_take(struct server *s, struct span source, struct span secret, struct err *err)
{
    struct door_source *d = lock_source(s, source);
    bool ok = !d || change_ring_locked(s, d, secret, err);
    pthread_mutex_unlock(&s->deliver_lock);
    hold_release(s);
    return ok;
}

bool server_secret_drop(struct server *s, struct span source, const char *id, struct err *err)
{
    struct door_source *d = lock_source(s, source);
    if (d)
        retire_locked(d, id);
    bool ok = !d || change_ring_locked(s, d, (struct span){NULL, 0}, err);
    pthread_mutex_unlock(&s->deliver_lock);
    return ok;
}

void server_secret_expect(struct server *s, struct span source, uint64_t until_us)
{
    struct door_source *d = lock_source(s, source);
    if (d)
        atomic_store(&d->expects_until_us, until_us);
    pthread_mutex_unlock(&s->deliver_lock);
    hold_release(s);
}

/* ---- a secret arrives ---- */

static bool well_formed(struct span secret)
{
    bool ok = secret.n >= SECRET_LEAST && secret.n <= SECRET_MOST;
    for (size_t i = 0; ok && i < secret.n; i++)
        ok = secret.p[i] > ' ' && secret.p[i] <= '~';
    return ok;
}

/* Whether some scheme can make a key of it. */
static bool fits(struct server *s, const struct door_source *d, struct span secret)
{
    struct verify_secret one = {.text = secret};
    struct verifier *v = NULL;
    bool ok = verifier_of(d->manifest, &one, 1, d->pairs, d->n_pairs, NULL, &v, NULL) &&
              verifier_can_judge(v, s->io->world->now_us(s->io));
    verifier_free(&v);
    return ok;
}

static bool keep(struct server *s, const struct door_source *d, struct span secret, const char *id, struct err *err)
{
    struct buf path;
    buf_init(&path, 65536);
    buf_addf(&path, "%s/secrets/%s", s->data_dir, d->config->name);
    bool ok = io_mkdirs(s->io, buf_z(&path), 0700, err);
    buf_addf(&path, "/%020llu-%s", (unsigned long long)s->io->world->now_us(s->io), id);
    ok = ok && io_write_file_atomic(s->io, buf_z(&path), 0600, secret, err);
    buf_release(&path);
    return ok;
}

/* While our own call for a webhook waits for its answer, the provider shakes hands. */
static bool is_expected(struct server *s, const struct door_source *d)
{
    return s->io->world->now_us(s->io) < atomic_load(&d->expects_until_us);
}

static bool may_deliver(struct server *s, const struct door_source *d, const struct keyring *ring, bool verified)
{
    if (ring->n_delivered >= DELIVERED_MAX)
        return false;
    bool first = d->config->n_secrets == 0 && ring->n_delivered == 0 && !ring->sealed;
    return verified || first || s->io->world->now_us(s->io) < d->config->secrets_until_us ||
           (is_expected(s, d) && d->n_unproven < UNPROVEN_MAX);
}

static enum delivery deliver(struct server *s, struct door_source *d, struct span secret, bool verified, const char *id,
                             struct err *err)
{
    struct keyring *old = atomic_load(&d->ring);
    if (verifier_holds(old->verifier, secret))
        return DELIVERY_KNOWN; /* its answer was lost */
    if (!may_deliver(s, d, old, verified))
        return DELIVERY_REFUSED;
    if (!well_formed(secret) || !fits(s, d, secret))
        return DELIVERY_UNFIT;
    if (!keep(s, d, secret, id, err))
        return DELIVERY_FAILED;
    if (!verified && is_expected(s, d) && d->n_unproven < UNPROVEN_MAX)
        snprintf(d->unproven[d->n_unproven++], SECRET_ID_MAX, "%s", id);
    struct keyring *ring = make_ring(s, d, old, (struct span){NULL, 0}, NULL, err);
    if (!ring)
        return DELIVERY_FAILED;
    atomic_store(&d->ring, ring);
    return verifier_holds(ring->verifier, secret) ? DELIVERY_TAKEN : DELIVERY_FAILED;
}

enum delivery keyring_deliver(struct server *s, struct door_source *d, struct span secret, bool verified, char id[SECRET_ID_MAX],
                              struct err *err)
{
    secret_id(secret, id);
    pthread_mutex_lock(&s->deliver_lock);
    struct door_source *now = door_find(door_now(s), span_of(d->config->name)); /* the door may be another one by now */
    enum delivery done = now && keyring_of(now) ? deliver(s, now, secret, verified, id, err) : DELIVERY_REFUSED;
    pthread_mutex_unlock(&s->deliver_lock);
    if (done == DELIVERY_TAKEN)
        hold_release(s);
    return done;
}

/* ---- our call was answered ---- */

static bool forget_locked(struct server *s, struct door_source *d, const char *path, const char *id, struct err *err)
{
    int rc = s->io->dir->unlink(s->io, path);
    if (rc != 0)
        return errno = -rc, err_sys(err, ERR_CONFIG, "cannot remove %s", path);
    retire_locked(d, id);
    log_warn("a handshake's secret is not the provider's: it verifies no more", "source=%s secret=%s", d->config->name, id);
    return true;
}

/* Of those that came unsigned while they were expected (all: of those that ever came) only `kept` stays; "": none. */
static bool forget_others_locked(struct server *s, struct door_source *d, const char *kept, bool all, struct err *err)
{
    char **paths = NULL;
    size_t n = 0, gone = 0;
    struct buf folder;
    buf_init(&folder, 65536);
    buf_addf(&folder, "%s/secrets/%s", s->data_dir, d->config->name);
    bool ok = secrets_delivered(s->data_dir, d->config->name, &paths, &n, err);
    for (size_t i = 0; ok && i < n; i++) {
        const char *dash = strrchr(paths[i], '-'), *id = dash ? dash + 1 : "";
        if (strcmp(id, kept) == 0 || !(all || is_unproven(d, id)))
            continue;
        ok = forget_locked(s, d, paths[i], id, err);
        gone += ok;
    }
    int rc = ok && gone ? s->io->dir->sync(s->io, buf_z(&folder)) : 0;
    if (rc != 0)
        errno = -rc, ok = err_sys(err, ERR_CONFIG, "cannot sync %s", buf_z(&folder));
    buf_release(&folder);
    secrets_delivered_free(&paths, n);
    return ok && (!gone || change_ring_locked(s, d, (struct span){NULL, 0}, err));
}

static bool settle_locked(struct server *s, struct door_source *d, const struct settlement *by, struct err *err)
{
    char id[SECRET_ID_MAX] = "";
    size_t n = d->n_unproven;
    if (by->told.n)
        secret_id(by->told, id);
    bool untold = by->made && !by->told.n;
    bool ok = (untold && n < 2) || forget_others_locked(s, d, id, by->alone && by->told.n, err);
    d->n_unproven = 0;
    if (ok && untold && n > 1)
        return err_set(err, ERR_INPUT, "%zu handshakes brought secrets and the provider tells none: none was taken", n);
    if (!ok || !by->told.n || !keyring_of(d))
        return ok;
    enum delivery done = deliver(s, d, by->told, true, id, err);
    return done == DELIVERY_TAKEN || done == DELIVERY_KNOWN || (done == DELIVERY_FAILED ? false :
        err_set(err, ERR_INPUT, "no scheme of the manifest can use the secret that the provider told"));
}

bool server_secret_settle(struct server *s, struct span source, const struct settlement *by, struct err *err)
{
    struct door_source *d = lock_source(s, source);
    bool ok = !d || settle_locked(s, d, by, err);
    pthread_mutex_unlock(&s->deliver_lock);
    hold_release(s);
    return ok;
}
