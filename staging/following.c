#include "staging/following.h"
#include "core/mem.h"
#include <stdio.h>
#include <stdlib.h>

static void source_release(struct staged_source *s)
{
    transform_free(&s->transform);
    if (s->owner)
        config_drop(&s->owner);
}

static bool source_open(struct staged_source *one, struct state *state, const struct config *c, const struct source_config *s,
                        struct err *err)
{
    uint64_t ordinal;
    *one = (struct staged_source){.config = s};
    if (!state_transform(state, s, &ordinal, err))
        return false;
    (void)snprintf(one->name, sizeof(one->name), "%016llx-%llu", (unsigned long long)s->fingerprint, (unsigned long long)ordinal);
    one->transform = transform_new(s, ordinal, err);
    if (!one->transform)
        return err_prefix(err, "source %s", s->name);
    one->owner = config_hold(c);
    return true;
}

static bool open_all(struct following *f, struct state *state, const struct config *c, size_t room, struct err *err)
{
    f->sources = mem_alloc((c->n_sources + room + 1) * sizeof(*f->sources));
    for (f->n = 0; f->n < c->n_sources; f->n++)
        if (!source_open(&f->sources[f->n], state, c, &c->sources[f->n], err))
            return false;
    return true;
}

static void sources_release(struct following *f)
{
    for (size_t i = 0; i < f->n; i++)
        source_release(&f->sources[i]);
    free(f->sources);
    f->sources = NULL;
    f->n = 0;
}

bool following_open(struct following *f, struct state *state, const struct config *c, struct err *err)
{
    bool ok = open_all(f, state, c, 0, err);
    if (!ok)
        sources_release(f);
    return ok;
}

/* What was offered meanwhile goes behind what waits. */
static void collect(struct following *f)
{
    struct offer *newest = atomic_exchange(&f->offered, NULL), *oldest = NULL, **end = &f->waiting;
    for (struct offer *next; newest; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    while (*end)
        end = &(*end)->next;
    *end = oldest;
}

void following_release(struct following *f)
{
    collect(f);
    for (struct offer *o = f->waiting, *next; o; o = next) {
        next = o->next;
        config_drop(&o->config);
        free(o);
    }
    f->waiting = NULL;
    sources_release(f);
}

void following_offer(struct following *f, const struct config *c)
{
    struct offer *o = mem_alloc(sizeof *o);
    o->config = config_hold(c);
    o->next = atomic_load(&f->offered);
    while (!atomic_compare_exchange_weak(&f->offered, &o->next, o))
        ;
}

static bool adopt_one(struct following *f, struct state *state, const struct config *c, struct err *err)
{
    struct following next = {0};
    if (!open_all(&next, state, c, f->n, err)) {
        sources_release(&next);
        return false;
    }
    for (size_t i = 0; i < f->n; i++) {
        if (config_source(c, span_of(f->sources[i].config->name)))
            source_release(&f->sources[i]);
        else
            next.sources[next.n++] = f->sources[i];
    }
    free(f->sources);
    f->sources = next.sources;
    f->n = next.n;
    return true;
}

bool following_adopt(struct following *f, struct state *state, const struct config **ret_config, struct err *err)
{
    *ret_config = NULL;
    collect(f);
    while (f->waiting) {
        struct offer *o = f->waiting;
        if (!adopt_one(f, state, o->config, err)) {
            if (*ret_config)
                config_drop(ret_config);
            return false;
        }
        if (*ret_config)
            config_drop(ret_config);
        *ret_config = o->config;
        f->waiting = o->next;
        free(o);
    }
    return true;
}

const struct staged_source *following_find(const struct following *f, struct span name)
{
    for (size_t i = 0; i < f->n; i++)
        if (span_eqz(name, f->sources[i].config->name))
            return &f->sources[i];
    return NULL;
}
