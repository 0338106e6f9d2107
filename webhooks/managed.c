/* Finding, registering and removing a source's endpoints. */
#include "webhooks/managed.h"
#include "core/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT_US (UINT64_C(60) * 1000000) /* how long an answer with a new secret may take */
#define SECRET_MAX ((size_t)1 << 16)

void managed_say(struct managed *m, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (m->say)
        m->say(m->say_ctx, line);
}

bool managed_open(struct managed *m, struct err *err)
{
    const struct webhook_rule *rule = &m->source->manifest->webhook;
    const struct webhooks_opts o = {.source = m->source, .io = m->io, .stop = m->stop};
    m->api = NULL;
    m->vault = NULL;
    if (rule->managed && !webhooks_open(&o, &m->api, err))
        return false;
    if (rule->secret == SECRET_HANDSHAKE || vault_open(m->config, m->source, m->io, &m->vault, err))
        return true;
    managed_close(m);
    return false;
}

void managed_close(struct managed *m)
{
    webhooks_close(&m->api);
    vault_close(&m->vault);
}

bool managed_store(struct managed *m, enum vault_place place, struct span secret, char id[SECRET_ID_MAX], struct err *err)
{
    secret_id(secret, id);
    if (!vault_write(m->vault, place, secret, err))
        return false;
    /* A mounted file follows later: the running server knows it from here. */
    if (m->door.take && !m->door.take(m->door.ctx, secret, err))
        return false;
    if (m->door.look)
        m->door.look(m->door.ctx);
    return true;
}

/* ---- finding ---- */

struct known { /* what state.db says was registered */
    struct names ids;
    char *url;
};

static void take_known(void *ctx, const struct endpoint_record *e)
{
    struct known *k = ctx;
    names_put(&k->ids, e->id);
    free(k->url);
    k->url = mem_dup_span(e->url);
}

bool managed_find(struct managed *m, struct found *ret, struct err *err)
{
    struct known known = {{0}, mem_dup("")};
    struct found f = {0};
    if (!state_endpoint_each(m->state, span_of(m->source->name), take_known, &known, err) ||
        !webhooks_list(m->api, &f.all, err)) {
        names_release(&known.ids);
        free(known.url);
        return false;
    }
    f.ours = mem_alloc((f.all.n + 1) * sizeof(struct endpoint *));
    size_t seen = 0;
    for (size_t i = 0; i < f.all.n; i++) {
        struct endpoint *e = &f.all.list[i];
        bool recorded = e->id[0] && names_have(&known.ids, e->id);
        seen += recorded;
        if (recorded || (m->url && strcmp(e->url, m->url) == 0) || (known.url[0] && strcmp(e->url, known.url) == 0))
            f.ours[f.n++] = e;
    }
    f.gone = known.ids.n > seen;
    f.registered_url = known.url;
    names_release(&known.ids);
    *ret = f;
    return true;
}

void found_free(struct found *f)
{
    endpoints_free(&f->all);
    free(f->ours);
    free(f->registered_url);
    *f = (struct found){0};
}

/* ---- registering ---- */

struct job {
    struct managed *m;
    const struct webhook_rule *rule;
    struct found found;
    struct names wanted;
    struct buf secret;  /* the present one, or empty */
    struct buf version; /* what endpoints are to be pinned to, or empty */
    char id[SECRET_ID_MAX];
    bool chosen_now, changed;
};

static bool record(struct job *j, const char *id, const char *type, struct err *err)
{
    const struct endpoint_record e = {.source = span_of(j->m->source->name),
                                      .id = span_of(id),
                                      .type = span_of(type),
                                      .url = span_of(j->m->url),
                                      .secret = span_of(j->id),
                                      .at_us = j->m->io->world->now_us(j->m->io)};
    return state_endpoint_put(j->m->state, &e, err);
}

/* Chosen by us, it is stored before the provider hears of it: what is signed with it at once is genuine at once. */
static bool prepare_secret(struct job *j, struct err *err)
{
    struct managed *m = j->m;
    if (!m->vault)
        return true;
    if (!vault_read(m->vault, VAULT_PRESENT, &j->secret, err))
        return false;
    if (j->secret.n)
        secret_id(buf_span(&j->secret), j->id);
    if (j->secret.n || j->rule->secret != SECRET_CHOSEN)
        return true;
    if (!webhooks_choose_secret(m->source->manifest, m->io, &j->secret, err) ||
        !managed_store(m, VAULT_PRESENT, buf_span(&j->secret), j->id, err))
        return false;
    j->chosen_now = true;
    managed_say(m, "chose a secret (%s) and stored it in %s", j->id, vault_where(m->vault));
    return true;
}

static bool take_told(struct job *j, const char *id, struct buf *told, struct err *err)
{
    struct managed *m = j->m;
    if (j->rule->secret == SECRET_HANDSHAKE && m->door.settle) {
        const struct settlement by = {.made = true, .told = buf_span(told), .alone = j->found.n == 0};
        return m->door.settle(m->door.ctx, &by, err) ||
               err_prefix(err, "the endpoint %s is there, but not its secret (register again)", id);
    }
    if (j->rule->secret != SECRET_TOLD)
        return true;
    if (!told->n && !webhooks_reveal(m->api, id, told, err))
        return false;
    if (!managed_store(m, VAULT_PRESENT, buf_span(told), j->id, err))
        return err_prefix(err, "the endpoint %s is there, but its secret could not be stored (delete it, or register again)", id);
    managed_say(m, "stored its secret (%s) in %s", j->id, vault_where(m->vault));
    return true;
}

static bool has_room(struct job *j, struct err *err)
{
    if (!j->rule->cap || j->found.all.n < j->rule->cap)
        return true;
    struct buf urls;
    buf_init(&urls, 400);
    for (size_t i = 0; i < j->found.all.n && urls.n < 300; i++)
        buf_addf(&urls, "%s%.80s", i ? ", " : "", j->found.all.list[i].url);
    err_set(err, ERR_CONFIG, "%s takes at most %u endpoints and has %zu: delete one there first (%s)",
            j->m->source->manifest->title, j->rule->cap, j->found.all.n, buf_z(&urls));
    buf_release(&urls);
    return false;
}

static bool create(struct job *j, const struct names *types, struct err *err)
{
    struct managed *m = j->m;
    struct buf id, told;
    const struct endpoint_wish wish = {
        .url = m->url, .types = types, .secret = j->rule->secret == SECRET_CHOSEN ? buf_span(&j->secret) : (struct span){NULL,
                                                                                                                         0}};
    bool told_way = j->rule->secret == SECRET_TOLD || j->rule->secret == SECRET_HANDSHAKE;
    if (!has_room(j, err))
        return false;
    buf_init(&id, 4096);
    buf_init(&told, SECRET_MAX);
    if (told_way && m->door.expect)
        m->door.expect(m->door.ctx, m->io->world->now_us(m->io) + EXPECT_US);
    bool ok = webhooks_create(m->api, &wish, &id, &told, err);
    if (ok) {
        j->changed = true;
        managed_say(m, "created the endpoint %s%s%s", buf_z(&id), j->rule->per_type && types->n ? " for " : "",
                    j->rule->per_type && types->n ? types->list[0] : "");
        ok = take_told(j, buf_z(&id), &told, err) &&
             record(j, buf_z(&id), j->rule->per_type && types->n ? types->list[0] : "", err) &&
             webhooks_confirm(m->api, buf_z(&id), err);
    } else if (j->rule->secret == SECRET_HANDSHAKE && m->door.settle) {
        (void)m->door.settle(m->door.ctx, &(struct settlement){.made = false}, NULL);
    }
    if (told_way && m->door.expect)
        m->door.expect(m->door.ctx, 0);
    buf_wipe(&told);
    buf_release(&id);
    return ok;
}

static bool remove_one(struct job *j, const struct endpoint *e, const char *why, struct err *err)
{
    if (!webhooks_remove(j->m->api, e->id, err) ||
        !state_endpoint_drop(j->m->state, span_of(j->m->source->name), span_of(e->id), err))
        return false;
    j->changed = true;
    managed_say(j->m, "removed the endpoint %s: %s", e->id, why);
    return true;
}

static void list_differences(struct job *j, const struct endpoint *e, const struct names *types, struct buf *out)
{
    const struct webhook_rule *r = j->rule;
    if (strcmp(e->url, j->m->url) != 0)
        buf_addz(out, ", its url");
    if (e->knows_types && types->n && !names_equal(&e->types, types))
        buf_addz(out, ", its events");
    if (!e->enabled)
        buf_addz(out, ", disabled by the provider or a person: enabled again");
    if (j->chosen_now)
        buf_addz(out, ", its secret");
    (void)r;
}

static bool update(struct job *j, const struct endpoint *e, const struct names *types, struct err *err)
{
    struct buf what;
    buf_init(&what, 1024);
    list_differences(j, e, types, &what);
    bool ok = true;
    if (what.n) {
        const struct endpoint_wish wish = {.id = e->id,
                                           .url = j->m->url,
                                           .types = types,
                                           .secret = j->rule->secret == SECRET_CHOSEN ? buf_span(&j->secret) :
                                               (struct span){NULL, 0}};
        if (j->rule->update.method) {
            ok = webhooks_update(j->m->api, &wish, err) && (e->enabled || webhooks_enable(j->m->api, e->id, err));
            if (ok)
                managed_say(j->m, "changed the endpoint %s: %s", e->id, buf_z(&what) + 2);
        } else { /* what cannot be changed is made anew, and only then the old one goes */
            ok = create(j, types, err) && remove_one(j, e, "it was made anew, since it cannot be changed", err);
            buf_release(&what);
            return ok;
        }
        j->changed = true;
    }
    buf_release(&what);
    return ok && record(j, e->id, j->rule->per_type && types->n ? types->list[0] : "", err);
}

/* A secret that a handshake brought, or one that the configuration names. */
static bool has_delivered(const struct managed *m)
{
    char **paths = NULL;
    size_t n = 0;
    struct err ignored;
    bool ok = secrets_delivered(m->config->data_dir, m->source->name, &paths, &n, &ignored);
    secrets_delivered_free(&paths, ok ? n : 0);
    return !ok || n || m->source->n_secrets;
}

/* Pinned to another version, or its secret is not known and will not be told: a new one takes its place. */
static const char *must_be_replaced(struct job *j, const struct endpoint *e, struct err *err, bool *ok)
{
    struct buf told;
    if (j->rule->read.version.text && j->version.n && e->version[0] && strcmp(e->version, buf_z(&j->version)) != 0)
        return "it was pinned to another version of the API";
    if (j->rule->secret == SECRET_HANDSHAKE && !has_delivered(j->m))
        return "its secret is not here, and comes only with a new one";
    if (j->rule->secret != SECRET_TOLD || j->secret.n)
        return NULL;
    if (!j->rule->reveal.method)
        return "its secret is not known here, and is not told again";
    buf_init(&told, SECRET_MAX);
    *ok = take_told(j, e->id, &told, err);
    j->changed = true;
    buf_wipe(&told);
    return NULL;
}

static bool register_one(struct job *j, struct err *err)
{
    if (!j->found.n)
        return create(j, &j->wanted, err);
    struct endpoint *e = j->found.ours[0];
    for (size_t i = 1; i < j->found.n; i++)
        if (strcmp(j->found.ours[i]->url, j->m->url) == 0 && strcmp(e->url, j->m->url) != 0)
            e = j->found.ours[i];
    bool ok = true;
    const char *why = must_be_replaced(j, e, err, &ok);
    if (!ok)
        return false;
    if (why && j->rule->secret == SECRET_HANDSHAKE) /* nothing that it sends is believed: a moment without it loses nothing */
        return remove_one(j, e, why, err) && create(j, &j->wanted, err);
    if (why)
        return create(j, &j->wanted, err) && remove_one(j, e, why, err);
    return update(j, e, &j->wanted, err);
}

/* An endpoint for each event type: those missing are made, those not wanted go. */
static bool register_each(struct job *j, struct err *err)
{
    bool ok = true;
    if (!j->wanted.n)
        return err_set(err, ERR_CONFIG, "no table in use names events, and %s has an endpoint for each",
                       j->m->source->manifest->title);
    for (size_t i = 0; ok && i < j->wanted.n; i++) {
        struct endpoint *there = NULL;
        struct names one = {&j->wanted.list[i], 1};
        for (size_t k = 0; k < j->found.n; k++)
            if (names_have(&j->found.ours[k]->types, j->wanted.list[i]))
                there = j->found.ours[k];
        ok = there ? update(j, there, &one, err) : create(j, &one, err);
    }
    for (size_t k = 0; ok && k < j->found.n; k++) {
        const struct endpoint *e = j->found.ours[k];
        if (e->types.n && !names_have(&j->wanted, e->types.list[0]))
            ok = remove_one(j, e, "no table in use needs its events", err);
    }
    return ok;
}

/* What a check found before is over. */
static bool as_registered(struct managed *m, struct err *err)
{
    const struct registration r = {.source = span_of(m->source->name), .checked_us = m->io->world->now_us(m->io)};
    return state_registration_put(m->state, &r, err);
}

bool managed_register(struct managed *m, bool *ret_changed, struct err *err)
{
    struct job j = {.m = m, .rule = &m->source->manifest->webhook};
    buf_init(&j.secret, SECRET_MAX);
    buf_init(&j.version, 256);
    webhooks_wanted(m->source, &j.wanted);
    bool ok = managed_find(m, &j.found, err) && webhooks_version(m->api, &j.version, err) && prepare_secret(&j, err);
    if (ok && j.found.gone)
        managed_say(m, "an endpoint that was registered here is gone at %s", m->source->manifest->title);
    ok = ok && (j.rule->per_type ? register_each(&j, err) : register_one(&j, err)) && as_registered(m, err);
    if (ok)
        *ret_changed = j.changed;
    found_free(&j.found);
    names_release(&j.wanted);
    buf_wipe(&j.secret);
    buf_release(&j.version);
    return ok;
}

static void drop_known(void *ctx, const struct endpoint_record *e)
{
    names_put(ctx, e->id);
}

bool managed_unregister(struct managed *m, size_t *ret_n, struct err *err)
{
    struct job j = {.m = m, .rule = &m->source->manifest->webhook};
    struct names known = {0};
    bool ok = managed_find(m, &j.found, err);
    size_t n = j.found.n;
    for (size_t i = 0; ok && i < j.found.n; i++)
        ok = remove_one(&j, j.found.ours[i], "asked for", err);
    ok = ok && state_endpoint_each(m->state, span_of(m->source->name), drop_known, &known, err);
    for (size_t i = 0; ok && i < known.n; i++)
        ok = state_endpoint_drop(m->state, span_of(m->source->name), span_of(known.list[i]), err);
    ok = ok && as_registered(m, err);
    names_release(&known);
    found_free(&j.found);
    if (ok)
        *ret_n = n;
    return ok;
}
