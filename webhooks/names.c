#include "core/mem.h"
#include "webhooks/webhooks.h"
#include <stdlib.h>
#include <string.h>

void names_put(struct names *n, struct span name)
{
    size_t at = 0;
    char *copy = mem_dup_span(name);
    while (at < n->n && strcmp(n->list[at], copy) < 0)
        at++;
    if (at < n->n && strcmp(n->list[at], copy) == 0) {
        free(copy);
        return;
    }
    n->list = mem_grow(n->list, (n->n + 1) * sizeof *n->list);
    memmove(&n->list[at + 1], &n->list[at], (n->n - at) * sizeof *n->list);
    n->list[at] = copy;
    n->n++;
}

void names_release(struct names *n)
{
    for (size_t i = 0; i < n->n; i++)
        free(n->list[i]);
    free(n->list);
    *n = (struct names){0};
}

bool names_equal(const struct names *a, const struct names *b)
{
    bool equal = a->n == b->n;
    for (size_t i = 0; equal && i < a->n; i++)
        equal = strcmp(a->list[i], b->list[i]) == 0;
    return equal;
}

bool names_have(const struct names *n, const char *name)
{
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->list[i], name) == 0)
            return true;
    return false;
}

static void add_all(struct names *n, const char *const *types)
{
    for (size_t i = 0; types && types[i]; i++)
        names_put(n, span_of(types[i]));
}

static const char *const *named(const struct webhook_rule *w, const char *table)
{
    for (size_t i = 0; i < w->n_names; i++)
        if (strcmp(w->names[i].table, table) == 0)
            return (const char *const *)w->names[i].types;
    return NULL;
}

static void add_table(struct names *n, const struct webhook_rule *w, const struct table_rule *t)
{
    const char *const *own = named(w, t->name);
    if (own) {
        add_all(n, own);
        return;
    }
    add_all(n, (const char *const *)t->types);
    for (size_t i = 0; i < t->n_deletes; i++)
        add_all(n, (const char *const *)t->deletes[i].types);
}

void webhooks_wanted(const struct source_config *s, struct names *ret)
{
    const struct manifest *m = s->manifest;
    const struct webhook_rule *w = &m->webhook;
    *ret = (struct names){0};
    for (size_t i = 0; i < m->n_tables; i++)
        if (source_has_table(s, span_of(m->tables[i].name)))
            add_table(ret, w, &m->tables[i]);
    /* `events` takes what comes; asked for by name, or where there is nothing else, it asks for everything. */
    if (!ret->n || (!s->all_tables && source_has_table(s, SPAN_LIT("events"))))
        add_all(ret, named(w, "events"));
    if (w->all && names_have(ret, w->all)) {
        names_release(ret);
        names_put(ret, span_of(w->all));
    }
}
