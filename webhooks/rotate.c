/* The rotation of a secret, step by step; what each did is in state.db and in the vault before the next begins. */
#include "core/clock.h"
#include "core/mem.h"
#include "webhooks/managed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT_US (UINT64_C(60) * 1000000)
#define PERSON_US (UINT64_C(900) * 1000000) /* how long a person may take at the provider's page */
#define SECRET_MAX ((size_t)1 << 16)

struct turn {
    struct managed *m;
    const struct rotate_opts *o;
    const struct webhook_rule *rule;
    struct rotation_record r;
    struct buf *wait;
};

static uint64_t now_us(const struct turn *t)
{
    return t->m->io->world->now_us(t->m->io);
}

static bool save(struct turn *t, const char *phase, struct err *err)
{
    snprintf(t->r.phase, sizeof t->r.phase, "%s", phase);
    return state_rotation_put(t->m->state, span_of(t->m->source->name), &t->r, err);
}

static void expect(struct turn *t, uint64_t us)
{
    if (t->m->door.expect)
        t->m->door.expect(t->m->door.ctx, us ? now_us(t) + us : 0);
}

static bool make_next(struct turn *t, struct span given, struct err *err)
{
    struct buf secret;
    buf_init(&secret, SECRET_MAX);
    /* One that is there already may be what the provider signs with: of a rotation whose state.db was lost. */
    bool ok = given.p ? (buf_adds(&secret, given), true) : vault_read(t->m->vault, VAULT_NEXT, &secret, err);
    if (ok && !secret.n)
        ok = webhooks_choose_secret(t->m->source->manifest, t->m->io, &secret, err);
    ok = ok && managed_store(t->m, VAULT_NEXT, buf_span(&secret), t->r.new_secret, err);
    if (ok && strcmp(t->r.new_secret, t->r.old_secret) == 0) {
        (void)vault_drop_next(t->m->vault, err);
        ok = err_set(err, ERR_INPUT, "the new secret is the present one");
    }
    if (ok)
        managed_say(t->m, "the new secret %s verifies deliveries beside %s", t->r.new_secret, t->r.old_secret);
    buf_wipe(&secret);
    return ok;
}

/* ---- (none) -> added ---- */

static enum rotate_end begin(struct turn *t, enum rotate_way way, struct err *err)
{
    struct buf present;
    buf_init(&present, SECRET_MAX);
    bool ok = vault_read(t->m->vault, VAULT_PRESENT, &present, err);
    if (ok && !present.n)
        ok = err_set(err, ERR_CONFIG, "there is no secret yet in %s: sluice webhook register %s", vault_where(t->m->vault),
                     t->m->source->name);
    if (ok)
        secret_id(buf_span(&present), t->r.old_secret);
    buf_wipe(&present);
    t->r.began_us = now_us(t);
    if (ok && way == ROTATE_BY_HAND && !t->o->given.p) {
        expect(t, PERSON_US);
        return ROTATION_NEEDS_PERSON;
    }
    bool chosen = way != ROTATE_BY_HAND && t->rule->secret == SECRET_CHOSEN;
    if (ok && (t->o->given.p || chosen))
        ok = make_next(t, t->o->given, err);
    /* One that a person brought: the person, or the provider's own overlap, moves the deliveries. */
    bool by_person = t->o->given.p && !chosen;
    if (by_person) {
        t->r.moved_us = now_us(t);
        expect(t, 0);
    }
    return ok && save(t, by_person ? "moved" : "added", err) ? ROTATION_WAITS : ROTATION_FAILED;
}

/* ---- added -> moved: by a call ---- */

static bool read_next(struct turn *t, struct buf *next, struct err *err)
{
    buf_init(next, SECRET_MAX);
    if (!vault_read(t->m->vault, VAULT_NEXT, next, err))
        return false;
    if (next->n)
        secret_id(buf_span(next), t->r.new_secret);
    return true;
}

/* What verifies here must verify in every pod that a Secret is mounted in before a provider signs with it. */
static bool is_mounted(const struct turn *t)
{
    char id[SECRET_ID_MAX] = "";
    if (vault_is_file(t->m->vault))
        return true;
    for (size_t i = 0; i < t->m->source->n_secrets; i++) {
        struct buf path;
        char *text;
        size_t n;
        buf_init(&path, 1 << 16);
        struct secret_ref ref = t->m->source->secrets[i];
        if (secret_next(&ref, &path)) {
            ref.at = buf_z(&path);
            if (secret_read(&ref, &text, &n, NULL)) {
                secret_id(span_make(text, n), id);
                secret_free(&text, n);
            }
        }
        buf_release(&path);
        if (strcmp(id, t->r.new_secret) == 0)
            return true;
    }
    return false;
}

/* The next secret, or empty where the provider makes it, and our endpoints; none: the secret is not mounted here yet. */
static bool prepare(struct turn *t, struct buf *next, struct found *f, struct err *err)
{
    if (!read_next(t, next, err))
        return false;
    if (next->n && t->rule->secret == SECRET_CHOSEN && !is_mounted(t)) {
        buf_addz(t->wait, "until the new secret is mounted in this pod");
        buf_wipe(next);
        return true;
    }
    return managed_find(t->m, f, err) &&
           (f->n || err_set(err, ERR_CONFIG, "%s has no endpoint of ours: sluice webhook register %s",
                            t->m->source->manifest->title, t->m->source->name));
}

/* One endpoint; what the provider makes is stored while deliveries that nothing fits are told to come again. */
static bool roll_one(struct turn *t, const struct endpoint *e, const struct names *wanted, struct span next, struct err *err)
{
    struct buf told;
    const struct endpoint_wish wish = {
        .id = e->id, .url = e->url, .types = e->knows_types ? &e->types : wanted, .secret = next};
    buf_init(&told, SECRET_MAX);
    bool chosen = t->rule->secret == SECRET_CHOSEN;
    if (!chosen)
        expect(t, EXPECT_US);
    bool ok = webhooks_roll(t->m->api, &wish, &told, err) &&
              (chosen || managed_store(t->m, VAULT_NEXT, buf_span(&told), t->r.new_secret, err));
    if (!chosen)
        expect(t, 0);
    buf_wipe(&told);
    return ok;
}

static enum rotate_end by_call(struct turn *t, struct err *err)
{
    struct found f = {0};
    struct names wanted;
    struct buf next;
    bool ok = prepare(t, &next, &f, err);
    if (ok && !f.n)
        return ROTATION_WAITS;
    ok = ok && save(t, "moving", err);
    webhooks_wanted(t->m->source, &wanted);
    for (size_t i = 0; ok && i < (t->rule->per_type ? f.n : 1); i++)
        ok = roll_one(t, f.ours[i], &wanted, buf_span(&next), err);
    if (ok) {
        t->r.moved_us = now_us(t);
        ok = save(t, "moved", err);
        managed_say(t->m, "%s signs with the new secret %s", t->m->source->manifest->title, t->r.new_secret);
    }
    names_release(&wanted);
    found_free(&f);
    buf_wipe(&next);
    return ok ? ROTATION_WAITS : ROTATION_FAILED;
}

/* ---- added -> moved: by a second endpoint ---- */

static bool remember_endpoint(struct turn *t, const char *id, const char *url, struct err *err)
{
    const struct endpoint_record e = {.source = span_of(t->m->source->name),
                                      .id = span_of(id),
                                      .url = span_of(url),
                                      .secret = span_of(t->r.new_secret),
                                      .at_us = now_us(t)};
    return state_endpoint_put(t->m->state, &e, err);
}

/* Of a try whose secret was lost with the answer. */
static bool remove_strays(struct turn *t, const struct found *f, struct err *err)
{
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->ours[i]->id, t->r.old_endpoint) == 0)
            continue;
        if (!webhooks_remove(t->m->api, f->ours[i]->id, err) ||
            !state_endpoint_drop(t->m->state, span_of(t->m->source->name), span_of(f->ours[i]->id), err))
            return false;
        managed_say(t->m, "removed the endpoint %s of an earlier try", f->ours[i]->id);
    }
    return true;
}

static bool make_second(struct turn *t, const struct endpoint *old, struct span next, struct err *err)
{
    bool chosen = t->rule->secret == SECRET_CHOSEN;
    struct buf id, told;
    struct names wanted;
    webhooks_wanted(t->m->source, &wanted);
    const struct endpoint_wish wish = {.url = old->url, .types = &wanted, .secret = chosen ? next : (struct span){NULL, 0}};
    buf_init(&id, 4096);
    buf_init(&told, SECRET_MAX);
    if (!chosen)
        expect(t, EXPECT_US);
    bool ok = webhooks_create(t->m->api, &wish, &id, &told, err) &&
              (chosen || ((told.n || webhooks_reveal(t->m->api, buf_z(&id), &told, err)) &&
                          managed_store(t->m, VAULT_NEXT, buf_span(&told), t->r.new_secret, err)));
    if (!chosen)
        expect(t, 0);
    if (ok) {
        snprintf(t->r.new_endpoint, sizeof t->r.new_endpoint, "%s", buf_z(&id));
        ok = remember_endpoint(t, buf_z(&id), old->url, err) && save(t, "moving", err);
        managed_say(t->m, "a second endpoint %s signs with the new secret %s", buf_z(&id), t->r.new_secret);
    }
    names_release(&wanted);
    buf_wipe(&told);
    buf_release(&id);
    return ok;
}

static enum rotate_end by_second(struct turn *t, struct err *err)
{
    struct found f = {0};
    struct buf next;
    bool ok = prepare(t, &next, &f, err);
    if (ok && !f.n)
        return ROTATION_WAITS;
    const struct endpoint *old = ok ? f.ours[0] : NULL;
    for (size_t i = 0; ok && i < f.n; i++)
        if (strcmp(f.ours[i]->id, t->r.old_endpoint) == 0)
            old = f.ours[i];
    if (ok && !t->r.old_endpoint[0])
        snprintf(t->r.old_endpoint, sizeof t->r.old_endpoint, "%s", old->id);
    /* The old one is written down before there is another. */
    ok = ok && save(t, "added", err) && remove_strays(t, &f, err);
    if (ok && t->rule->cap && f.all.n >= t->rule->cap)
        ok = err_set(err, ERR_CONFIG, "%s takes at most %u endpoints, and a rotation needs one more for a while",
                     t->m->source->manifest->title, t->rule->cap);
    ok = ok && make_second(t, old, buf_span(&next), err);
    found_free(&f);
    buf_wipe(&next);
    return ok ? ROTATION_WAITS : ROTATION_FAILED;
}

/* ---- watching ---- */

static uint64_t last_used(struct turn *t, const char *id)
{
    uint64_t us = 0;
    if (t->m->door.used && t->m->door.used(t->m->door.ctx, id, &us))
        return us;
    return 0;
}

static void say_used(struct turn *t, const char *what)
{
    uint64_t new_us = last_used(t, t->r.new_secret), old_us = last_used(t, t->r.old_secret);
    char a[CLOCK_TEXT_MAX] = "not yet", b[CLOCK_TEXT_MAX] = "not since the start";
    if (new_us)
        clock_iso_s(new_us, a);
    if (old_us)
        clock_iso_s(old_us, b);
    buf_addf(t->wait, "%s (last used: the new secret %s, the old one %s)", what, a, b);
}

/* The second endpoint delivers: the first one goes. */
static enum rotate_end moving(struct turn *t, struct err *err)
{
    bool used = last_used(t, t->r.new_secret) >= t->r.began_us && last_used(t, t->r.new_secret) > 0;
    if (!used && now_us(t) < t->r.began_us + t->o->grace_us) {
        say_used(t, "for the first delivery of the second endpoint");
        return ROTATION_WAITS;
    }
    if (!webhooks_remove(t->m->api, t->r.old_endpoint, err) ||
        !state_endpoint_drop(t->m->state, span_of(t->m->source->name), span_of(t->r.old_endpoint), err))
        return ROTATION_FAILED;
    managed_say(t->m, "removed the first endpoint %s", t->r.old_endpoint);
    t->r.moved_us = now_us(t);
    return save(t, "moved", err) ? ROTATION_WAITS : ROTATION_FAILED;
}

/* In this order: the new secret is in one of its places at any moment, and the rotation is over only when the old one is gone. */
static enum rotate_end retire(struct turn *t, const char *why, struct err *err)
{
    struct managed *m = t->m;
    if (!vault_promote(m->vault, err))
        return ROTATION_FAILED;
    if (m->door.look)
        m->door.look(m->door.ctx);
    if (m->door.drop && !m->door.drop(m->door.ctx, t->r.old_secret, err))
        return ROTATION_FAILED;
    managed_say(m, "retired the old secret %s: %s", t->r.old_secret, why);
    bool ok = state_endpoint_secret(m->state, span_of(m->source->name), span_of(t->r.new_secret), err) && save(t, "", err);
    return ok ? ROTATION_DONE : ROTATION_FAILED;
}

static enum rotate_end moved(struct turn *t, struct err *err)
{
    uint64_t now = now_us(t), old = last_used(t, t->r.old_secret), since = old > t->r.moved_us ? old : t->r.moved_us;
    if (now >= t->r.moved_us + t->o->grace_us)
        return retire(t, "its grace is over", err);
    if (last_used(t, t->r.new_secret) >= t->r.began_us && now >= since + t->o->unused_us)
        return retire(t, "the new one is in use, and it was not", err);
    say_used(t, "until the old secret is out of use");
    return ROTATION_WAITS;
}

static enum rotate_end lead(struct turn *t, struct err *err)
{
    enum rotate_way way = t->m->api ? t->rule->rotate : ROTATE_BY_HAND;
    if (!t->r.phase[0])
        return begin(t, way, err);
    if (strcmp(t->r.phase, "moved") == 0)
        return moved(t, err);
    if (way == ROTATE_CALL)
        return by_call(t, err);
    return strcmp(t->r.phase, "moving") == 0 ? moving(t, err) : by_second(t, err);
}

enum rotate_end managed_rotate(struct managed *m, const struct rotate_opts *o, struct buf *wait, struct err *err)
{
    struct turn t = {.m = m, .o = o, .rule = &m->source->manifest->webhook, .wait = wait};
    buf_clear(wait);
    if (!m->vault) {
        err_set(err, ERR_CONFIG, "%s brings its secrets by handshake: make a new webhook there", m->source->manifest->title);
        return ROTATION_FAILED;
    }
    if (!state_rotation_get(m->state, span_of(m->source->name), &t.r, err))
        return ROTATION_FAILED;
    return lead(&t, err);
}
