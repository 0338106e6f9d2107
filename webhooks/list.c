/* What the provider tells of its endpoints, and of their newest delivery. */
#include "backfill/page.h"
#include "core/mem.h"
#include "webhooks/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 100

static void endpoint_release(struct endpoint *e)
{
    free(e->id);
    free(e->url);
    free(e->version);
    free(e->error);
    free(e->last);
    names_release(&e->types);
}

void endpoints_free(struct endpoints *e)
{
    for (size_t i = 0; i < e->n; i++)
        endpoint_release(&e->list[i]);
    free(e->list);
    *e = (struct endpoints){0};
}

static char *text_at(const struct path *p, const struct scope *scope)
{
    struct buf text;
    buf_init(&text, 1 << 16);
    if (p->text)
        (void)path_text(p, scope, &text);
    char *copy = mem_dup(buf_z(&text));
    buf_release(&text);
    return copy;
}

static void add_type(struct names *types, const struct endpoint_rule *r, struct json item)
{
    struct scope scope = {.item = item};
    struct buf text;
    buf_init(&text, 1 << 16);
    bool got = r->type_name.text ? path_text(&r->type_name, &scope, &text) : json_text(item, &text);
    if (got)
        names_put(types, buf_span(&text));
    buf_release(&text);
}

static void read_types_of(const struct webhook_rule *rule, const struct scope *scope, struct endpoint *e)
{
    struct buf scratch;
    struct json v, item;
    buf_init(&scratch, 1 << 16);
    for (size_t i = 0; i < rule->n_flags; i++) {
        v = json_get(scope->record, span_of(rule->flags[i].field));
        if (json_eqz(v, "true"))
            names_put(&e->types, span_of(rule->flags[i].type));
    }
    e->knows_types = rule->n_flags > 0;
    if (rule->read.types.text) {
        v = path_eval(&rule->read.types, scope, &scratch).json;
        struct json_iter it = json_iter(v);
        struct span key;
        if (v.type == JSON_STRING)
            add_type(&e->types, &rule->read, v);
        while (v.type == JSON_ARRAY && json_next(&it, &key, &item))
            add_type(&e->types, &rule->read, item);
        e->knows_types = true;
    }
    buf_release(&scratch);
}

static void add_record(struct webhooks *w, struct json record, struct endpoints *all)
{
    const struct endpoint_rule *r = &w->rule->read;
    struct scope scope = {.record = record, .config = w->pairs, .n_config = w->n_pairs};
    struct endpoint e = {.id = text_at(&r->id, &scope),
                         .url = text_at(&r->url, &scope),
                         .version = text_at(&r->version, &scope),
                         .error = text_at(&r->error, &scope),
                         .last = text_at(&r->last, &scope)};
    e.enabled = conditions_hold(r->enabled, r->n_enabled, &scope);
    read_types_of(w->rule, &scope, &e);
    if (!e.url[0]) { /* a provider with one setting for all: there is none yet */
        endpoint_release(&e);
        return;
    }
    all->list = mem_grow(all->list, (all->n + 1) * sizeof *all->list);
    all->list[all->n++] = e;
}

static struct json records_of(struct webhooks *w, const struct path *at)
{
    struct scope scope = {.message = &w->answer.message, .body = w->answer.json};
    struct buf scratch;
    buf_init(&scratch, 1 << 16);
    struct json v = path_eval(at, &scope, &scratch).json;
    buf_release(&scratch);
    return v;
}

static bool is_empty_object(struct json v) /* some leave the list out where there is none */
{
    return v.type == JSON_OBJECT && json_count(v) == 0;
}

/* One page; *ret_last: its last record. */
static bool take_page(struct webhooks *w, struct endpoints *all, struct json *ret_last, struct err *err)
{
    const struct manage_call *c = &w->rule->list;
    struct json v = c->records.n_steps ? records_of(w, &c->records) : w->answer.json, item;
    struct span key;
    if (v.type == JSON_OBJECT)
        add_record(w, v, all);
    else if (v.type != JSON_ARRAY && v.type != JSON_NULL && !(v.type == JSON_NONE && is_empty_object(w->answer.json)))
        return err_set(err, ERR_INPUT, "the answer has no endpoints at %s", c->records.text);
    struct json_iter it = json_iter(v);
    while (v.type == JSON_ARRAY && json_next(&it, &key, &item)) {
        add_record(w, item, all);
        *ret_last = item;
    }
    return true;
}

bool webhooks_list(struct webhooks *w, struct endpoints *ret, struct err *err)
{
    static const struct endpoint_wish nothing;
    const struct manage_call *c = &w->rule->list;
    struct endpoints all = {0};
    struct buf next;
    bool ok = true, more = true, first = true;
    buf_init(&next, 1 << 16);
    for (unsigned pages = 0; ok && more && pages < PAGES_MAX; pages++) {
        bool is_url = pagination_of(&c->page)->next_is_url;
        struct json last = {0};
        ok = session_call(w, c, &nothing, !first && is_url ? buf_z(&next) : NULL, !first && !is_url ? buf_z(&next) : NULL, err) &&
             take_page(w, &all, &last, err);
        first = false;
        buf_clear(&next);
        more = false;
        if (ok && c->page.style != PAGE_NONE)
            ok = pagination_of(&c->page)->next(&c->page, &w->answer, last, &next, &more, err);
        if (ok && more && is_url && !same_origin(buf_span(&next), w->answer.message.url))
            ok = err_set(err, ERR_INPUT, "the next page of endpoints is on another host");
    }
    buf_release(&next);
    if (!ok) {
        endpoints_free(&all);
        return false;
    }
    *ret = all;
    return true;
}

bool webhooks_last_delivery(struct webhooks *w, const char *id, struct last_delivery *ret, struct err *err)
{
    const struct manage_call *c = &w->rule->deliveries;
    const struct endpoint_wish wish = {.id = id};
    *ret = (struct last_delivery){0};
    if (!c->method)
        return true;
    if (!session_call(w, c, &wish, NULL, NULL, err))
        return false;
    struct json v = c->records.n_steps ? records_of(w, &c->records) : w->answer.json;
    struct json record = v.type == JSON_ARRAY ? json_at(v, 0) : (struct json){0};
    if (record.type != JSON_OBJECT)
        return true;
    struct scope scope = {.record = record, .config = w->pairs, .n_config = w->n_pairs};
    char *at = text_at(&c->at, &scope), *error = text_at(&c->error, &scope);
    ret->known = true;
    ret->ok = conditions_hold(c->ok, c->n_ok, &scope);
    snprintf(ret->at, sizeof ret->at, "%s", at);
    snprintf(ret->error, sizeof ret->error, "%s", error);
    free(at);
    free(error);
    return true;
}
