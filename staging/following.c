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
    (void)snprintf(one->fingerprint, sizeof(one->fingerprint), "%016llx", (unsigned long long)s->fingerprint);
    if (!state_transform(state, s, &ordinal, err))
        return false;
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

void following_release(struct following *f)
{
    const struct config *offered = atomic_exchange(&f->offered, NULL);
    if (offered)
        config_drop(&offered);
    sources_release(f);
}

void following_offer(struct following *f, const struct config *c)
{
    const struct config *before = atomic_exchange(&f->offered, config_hold(c));
    if (before)
        config_drop(&before);
}

bool following_adopt(struct following *f, struct state *state, const struct config **ret_config, struct err *err)
{
    const struct config *c = atomic_exchange(&f->offered, NULL), *none = NULL;
    struct following next = {0};
    *ret_config = NULL;
    if (!c)
        return true;
    if (!open_all(&next, state, c, f->n, err)) {
        sources_release(&next);
        if (!atomic_compare_exchange_strong(&f->offered, &none, c))
            config_drop(&c); /* a newer one was offered meanwhile */
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
    *ret_config = c;
    return true;
}

const struct staged_source *following_find(const struct following *f, struct span name)
{
    for (size_t i = 0; i < f->n; i++)
        if (span_eqz(name, f->sources[i].config->name))
            return &f->sources[i];
    return NULL;
}
