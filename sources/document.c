#include "sources/document.h"
#include "sources/embedded.h"
#include "sources/manifest.h"
#include <stdlib.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_schemes(struct buf *out, const struct manifest *m)
{
    static const char *const algorithms[] = {"HMAC-SHA256", "HMAC-SHA1", "HMAC-SHA512", "Ed25519", "shared token", "basic"};
    if (m->generic)
        buf_addz(out, "as configured");
    else if (m->n_schemes == 0)
        buf_addz(out, "none: the provider signs nothing");
    for (size_t i = 0; i < m->n_schemes; i++)
        buf_addf(out, "%s`%s` (%s)", i ? ", " : "", m->schemes[i].name, algorithms[m->schemes[i].algorithm]);
}

static bool takes_events(const struct table_rule *t)
{
    return t->kind || t->types || t->n_when;
}

static void add_overview(struct buf *out, const struct manifest *m)
{
    if (m->docs)
        buf_addf(out, "| [%s](%s) | `%s` | %s | ", m->title, m->docs, m->name, m->status);
    else
        buf_addf(out, "| %s | `%s` | %s | ", m->title, m->name, m->status);
    add_schemes(out, m);
    buf_addz(out, " | ");
    for (size_t i = 0; i < m->n_tables; i++)
        buf_addf(out, "%s, ", m->tables[i].name);
    buf_addz(out, "events |\n");
}

static void add_list(struct buf *out, const char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        buf_addf(out, "%s%s", i ? ", " : "", list[i]);
}

static void add_pull(struct buf *out, const struct table_rule *t)
{
    static const char *const since[] = {"in full", "what is new", "what is new"};
    if (!t->has_path) {
        buf_addz(out, "–");
        return;
    }
    buf_addz(out, since[t->since.kind]);
    if (t->since.kind == SINCE_QUERY && t->since.sees_creations_only)
        buf_addz(out, " (created)");
    if (t->for_each)
        buf_addf(out, ", for each of %s", t->for_each);
}

static void add_deletes(struct buf *out, const struct table_rule *t)
{
    if (t->n_deletes == 0)
        buf_addz(out, "–");
    for (size_t i = 0; i < t->n_deletes; i++) {
        const struct delete_rule *d = &t->deletes[i];
        buf_addz(out, i ? "; " : "");
        add_list(out, d->types);
        for (size_t k = 0; k < d->n_when; k++) {
            const struct condition *c = &d->when[k];
            buf_addf(out, "%s%s%s", k || d->types ? ", " : "", c->path.text,
                     c->kind == COND_ABSENT ? " absent" : c->kind == COND_PRESENT ? " present" : " = ");
            for (size_t v = 0; v < c->n_values; v++)
                buf_addf(out, "%s%.*s", v ? " or " : "", SPAN_ARG(c->values[v]));
        }
    }
}

static void add_tables(struct buf *out, const struct manifest *m)
{
    if (m->n_tables == 0)
        return;
    buf_addf(out, "\n## %s\n\n", m->title);
    buf_addz(out, "| table | key | newest state by | events | pull | deletes |\n| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < m->n_tables; i++) {
        const struct table_rule *t = &m->tables[i];
        buf_addf(out, "| %s | ", t->name);
        add_list(out, t->key);
        buf_addz(out, " | ");
        if (t->version)
            add_list(out, t->version);
        else
            buf_addf(out, "time of observation%s%s", t->rank_field ? ", then " : "", t->rank_field ? t->rank_field : "");
        buf_addf(out, " | %s | ", takes_events(t) ? "yes" : "–");
        add_pull(out, t);
        buf_addz(out, " | ");
        add_deletes(out, t);
        buf_addz(out, " |\n");
    }
}

static struct manifest *embedded(const char *name)
{
    struct report r;
    struct err err;
    report_init(&r);
    struct manifest *m = manifest_load(NULL, span_of(name), &r, &err);
    report_release(&r);
    return m;
}

void sources_document(struct buf *out)
{
    const char *names[256];
    size_t n = 0;
    while (n < sizeof(names) / sizeof(names[0]) && manifest_embedded_name(n, &names[n]))
        n++;
    qsort(names, n, sizeof(names[0]), by_name);
    buf_addz(out, "# Sources\n\nMade from the manifests in this folder; `tests/unit/sources/test_embedded.c` says when it is\n"
                  "stale and, with REGENERATE=1, writes it anew. Their language: [docs/manifests.md](../docs/manifests.md).\n"
                  "Every source also has the table `events`.\n\n"
                  "| provider | manifest | status | verification | tables |\n| --- | --- | --- | --- | --- |\n");
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) {
            struct manifest *m = embedded(names[i]);
            if (!m && pass == 0)
                buf_addf(out, "| %s | – | broken | – | – |\n", names[i]);
            if (m && pass == 0)
                add_overview(out, m);
            if (m && pass == 1)
                add_tables(out, m);
            manifest_free(&m);
        }
    }
}
