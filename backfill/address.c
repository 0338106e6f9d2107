/* The address of a page: base, path, query, size, filter, cursor. */
#include "backfill/call_address.h"
#include "backfill/page.h"
#include "backfill/run.h"
#include "core/clock.h"
#include "core/codec.h"
#include <stdio.h>

static void since_text(const struct run *r, char out[CLOCK_TEXT_MAX])
{
    const struct since_rule *s = run_since(r);
    if (s->unit == UNIT_ISO8601)
        clock_iso_s(r->since_us, out);
    else
        snprintf(out, CLOCK_TEXT_MAX, "%llu", (unsigned long long)(r->since_us / (s->unit == UNIT_MS ? 1000 : 1000000)));
}

/* What templates of a call may name: config, the parents' records, and the words since, source, table.scope. */
struct call {
    struct scope_parent parents[LEVELS_MAX];
    struct scope_pair words[3];
    char since[CLOCK_TEXT_MAX];
    struct scope scope;
};

static void make_call(const struct run *r, unsigned level, struct call *c)
{
    const struct table_rule *t = r->levels[level];
    for (unsigned i = 0; i < level; i++)
        c->parents[i] = (struct scope_parent){span_of(r->levels[i]->name), run_parent_record(r, i)};
    since_text(r, c->since);
    c->words[0] = (struct scope_pair){SPAN_LIT("since"), span_of(c->since)};
    c->words[1] = (struct scope_pair){SPAN_LIT("source"), span_of(r->o->source->name)};
    c->words[2] = (struct scope_pair){SPAN_LIT("table.scope"), span_of(t && t->scope ? t->scope : "")};
    c->scope = (struct scope){.config = r->config,
                              .n_config = r->n_config,
                              .parents = c->parents,
                              .n_parents = level,
                              .words = c->words,
                              .n_words = 3};
}

static void add_param(struct buf *url, const char *name, struct span value)
{
    buf_addc(url, memchr(url->p, '?', url->n) ? '&' : '?');
    percent_encode(url, span_of(name));
    buf_addc(url, '=');
    percent_encode(url, value);
}

static void add_since(const struct run *r, struct buf *url)
{
    const struct since_rule *s = run_since(r);
    char text[CLOCK_TEXT_MAX];
    if (s->kind != SINCE_QUERY || !r->since_us)
        return;
    since_text(r, text);
    add_param(url, s->query, span_of(text));
}

static bool add_query(const struct query_param *q, size_t n, const struct scope *scope, struct buf *url, struct err *err)
{
    struct buf value;
    buf_init(&value, 1 << 16);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        buf_clear(&value);
        ok = template_render(&q[i].value, scope, &value, err);
        if (ok)
            add_param(url, q[i].name, buf_span(&value));
    }
    buf_release(&value);
    return ok;
}

/* A record's own text in a path: encoded, but for the slashes that names like owner/name have. */
static void add_segment(struct buf *path, struct span text)
{
    for (struct span rest = text; rest.p;) {
        percent_encode(path, span_cut(rest, '/', &rest));
        if (rest.p)
            buf_addc(path, '/');
    }
}

static bool leads_astray(struct span path)
{
    for (struct span rest = path; rest.p;) {
        struct span segment = span_cut(rest, '/', &rest);
        if (span_eqz(segment, ".") || span_eqz(segment, ".."))
            return true;
    }
    return false;
}

/* The ids in it are the provider's: they must not lead to another call than the manifest's. */
static bool add_path(const struct template *t, const struct scope *scope, struct buf *url, struct err *err)
{
    struct buf text;
    size_t start = url->n;
    bool ok = true;
    buf_init(&text, 1 << 16);
    for (size_t i = 0; ok && i < t->n_parts; i++) {
        struct template one = {.parts = &t->parts[i], .n_parts = 1, .text = t->text};
        buf_clear(&text);
        ok = template_render(&one, scope, &text, err);
        bool as_is = t->parts[i].literal || t->parts[i].filters[0];
        if (ok && as_is)
            buf_adds(url, buf_span(&text));
        else if (ok)
            add_segment(url, buf_span(&text));
    }
    buf_release(&text);
    struct span path = span_skip(buf_span(url), start);
    if (ok && leads_astray(path))
        return err_set(err, ERR_INPUT, "the path %.*s leads elsewhere: an id of the provider has . or .. in it", SPAN_ARG(path));
    return ok;
}

bool call_address(const struct manifest *m, const struct call_parts *a, const struct scope *scope, struct buf *url,
                  struct err *err)
{
    if (a->base)
        buf_addz(url, a->base);
    else if (!template_render(&m->api.base, scope, url, err))
        return false;
    while (url->n && url->p[url->n - 1] == '/')
        url->p[--url->n] = 0;
    return add_path(a->path, scope, url, err) && add_query(a->query, a->n_query, scope, url, err);
}

void call_address_add(struct buf *url, const char *name, struct span value)
{
    add_param(url, name, value);
}

bool run_address(const struct run *r, unsigned level, struct buf *url, struct err *err)
{
    const struct manifest *m = r->o->source->manifest;
    const struct table_rule *t = r->levels[level];
    const struct page_rule *page = run_page_rule(r, level);
    const struct level_state *l = &r->cursor.levels[level];
    struct call c;
    make_call(r, level, &c);
    buf_clear(url);
    const struct call_parts parts = {.base = r->o->source->base_url,
                                        .path = t ? &t->path : &m->feed.path,
                                        .query = t ? t->query : m->feed.query,
                                        .n_query = t ? t->n_query : m->feed.n_query};
    if (l->started && pagination_of(page)->next_is_url) {
        hide_reveal(&r->hide, buf_span(&l->next), url);
        return buf_ok(url) || err_set(err, ERR_INPUT, "the address of a page is too long");
    }
    if (!call_address(m, &parts, &c.scope, url, err))
        return false;
    char size[16];
    snprintf(size, sizeof size, "%u", page->size_max);
    if (page->size_query && page->size_max)
        add_param(url, page->size_query, span_of(size));
    if (run_is_leaf(r, level))
        add_since(r, url);
    if (l->started && l->next.n) {
        struct buf next;
        buf_init(&next, 1 << 16);
        hide_reveal(&r->hide, buf_span(&l->next), &next);
        add_param(url, page->next_query, buf_span(&next));
        buf_release(&next);
    }
    return buf_ok(url) || err_set(err, ERR_INPUT, "the address of a page is too long");
}
