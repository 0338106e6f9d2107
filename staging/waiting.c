#include "staging/waiting.h"
#include "core/mem.h"
#include <stdlib.h>

struct counts {
    struct waiting *list; /* the configured sources first */
    size_t n, cap;
    struct arena *names;
};

static struct waiting *find(struct counts *c, struct span source)
{
    for (size_t i = 0; i < c->n; i++) {
        if (span_eq(c->list[i].source, source))
            return &c->list[i];
    }
    if (c->n == c->cap) {
        c->cap = 2 * c->cap + 8;
        c->list = mem_grow(c->list, c->cap * sizeof(*c->list));
    }
    c->list[c->n] = (struct waiting){.source = span_of(arena_dup(c->names, source))};
    return &c->list[c->n++];
}

static bool count_lane(struct lane *lane, uint64_t next, struct counts *c, struct err *err)
{
    struct reader *r;
    struct entry e;
    uint64_t damage;
    bool any = true, ok = true;
    if (lane_durable(lane) < next)
        return true;
    r = reader_open(lane, next);
    if (!r)
        return err_set(err, ERR_NOMEM, "cannot read the journal");
    while (ok && any) {
        ok = reader_next(r, &e, &any, &damage, err);
        if (!ok || !any)
            break;
        struct waiting *w = find(c, e.source);
        w->entries++;
        if (!w->oldest_us || e.received_us < w->oldest_us)
            w->oldest_us = e.received_us;
    }
    reader_close(&r);
    return ok;
}

bool stager_waiting(struct journal *j, struct state *s, const struct config *config,
                    void (*each)(void *ctx, const struct waiting *w), void *ctx, struct err *err)
{
    struct counts c = {.names = arena_new()};
    bool ok = true;
    for (size_t i = 0; i < config->n_sources; i++)
        (void)find(&c, span_of(config->sources[i].name));
    for (enum lane_id i = 0; ok && i < LANE_COUNT; i++) {
        uint64_t next;
        ok = state_position(s, span_of(lane_name(i)), &next, err) && count_lane(journal_lane(j, i), next, &c, err);
    }
    for (size_t i = 0; ok && i < c.n; i++)
        each(ctx, &c.list[i]);
    free(c.list);
    arena_free(&c.names);
    return ok;
}
