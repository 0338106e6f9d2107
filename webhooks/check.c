#include "webhooks/check.h"
#include <stdio.h>

void names_compare(const struct names *have, const struct names *want, const char *all, struct names *ret_missing,
                   struct names *ret_unwanted)
{
    bool has_all = all && names_have(have, all);
    for (size_t i = 0; i < want->n; i++)
        if (!has_all && !names_have(have, want->list[i]))
            names_put(ret_missing, span_of(want->list[i]));
    for (size_t i = 0; i < have->n; i++)
        if (!names_have(want, have->list[i]))
            names_put(ret_unwanted, span_of(have->list[i]));
}

struct drift {
    struct buf cause;
    bool broken; /* nothing is delivered */
    bool gone;
};

static void add(struct drift *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct drift *d, const char *fmt, ...)
{
    va_list ap;
    if (d->cause.n)
        buf_addz(&d->cause, "; ");
    va_start(ap, fmt);
    buf_addv(&d->cause, fmt, ap);
    va_end(ap);
}

static void compare_events(struct managed *m, const struct found *f, struct drift *d)
{
    struct names have = {0}, wanted = {0}, missing = {0}, unwanted = {0};
    bool knows = f->n > 0;
    for (size_t i = 0; i < f->n; i++) {
        knows = knows && f->ours[i]->knows_types;
        for (size_t k = 0; k < f->ours[i]->types.n; k++)
            names_put(&have, span_of(f->ours[i]->types.list[k]));
    }
    webhooks_wanted(m->source, &wanted);
    if (knows)
        names_compare(&have, &wanted, m->source->manifest->webhook.all, &missing, &unwanted);
    for (size_t i = 0; i < missing.n && i < 5; i++) {
        if (i)
            buf_addf(&d->cause, ", %s", missing.list[i]);
        else
            add(d, "events missing: %s", missing.list[i]);
    }
    if (missing.n > 5)
        buf_addf(&d->cause, " and %zu more", missing.n - 5);
    names_release(&have);
    names_release(&wanted);
    names_release(&missing);
    names_release(&unwanted);
}

static bool compare(struct managed *m, const struct found *f, struct drift *d, struct err *err)
{
    struct buf version;
    buf_init(&version, 256);
    if (!webhooks_version(m->api, &version, err))
        return false;
    d->gone = f->gone || !f->n;
    d->broken = !f->n;
    if (d->gone)
        add(d, "the endpoint that was registered is gone");
    for (size_t i = 0; i < f->n; i++) {
        const struct endpoint *e = f->ours[i];
        const char *id = e->id[0] ? e->id : "";
        bool moved = f->registered_url[0] && strcmp(e->url, f->registered_url) != 0;
        d->broken = d->broken || !e->enabled || moved;
        if (!e->enabled)
            add(d, "the endpoint %s is disabled", id);
        if (moved)
            add(d, "the endpoint %s posts to %.200s, registered was %.200s", id, e->url, f->registered_url);
        if (version.n && e->version[0] && strcmp(e->version, buf_z(&version)) != 0)
            add(d, "the endpoint %s is of the API's version %.40s instead of %s", id, e->version, buf_z(&version));
    }
    compare_events(m, f, d);
    buf_release(&version);
    return buf_ok(&d->cause) || err_set(err, ERR_NOMEM, "out of memory for what was found");
}

static void take_any(void *ctx, const struct endpoint_record *e)
{
    (void)e;
    *(bool *)ctx = true;
}

bool managed_check(struct managed *m, struct err *err)
{
    struct found f = {0};
    struct drift d = {0};
    char next[200];
    bool registered = false;
    struct span name = span_of(m->source->name);
    if (!m->api || !state_endpoint_each(m->state, name, take_any, &registered, err))
        return m->api == NULL;
    if (!registered)
        return true;
    buf_init(&d.cause, 2048);
    bool ok = managed_find(m, &f, err) && compare(m, &f, &d, err);
    if (ok) {
        snprintf(next, sizeof next, "sluice webhook %s %s", d.gone ? "register" : "update", m->source->name);
        const struct registration r = {.source = name,
                                       .cause = buf_span(&d.cause),
                                       .next = d.cause.n ? span_of(next) : (struct span){NULL, 0},
                                       .checked_us = m->io->world->now_us(m->io),
                                       .broken = d.broken};
        ok = state_registration_put(m->state, &r, err);
    }
    buf_release(&d.cause);
    found_free(&f);
    return ok;
}
