#include "sources/reader.h"

#define LAG_US_DEFAULT (UINT64_C(5) * 1000000)

/* ---- page ---- */

static void read_size(struct reader *rd, const struct yaml_node *n, struct page_rule *page)
{
    static const char *const keys[] = {"query", "max", NULL};
    if (!read_map(rd, n, keys))
        return;
    if (!yaml_get(n, "query") || !yaml_get(n, "max"))
        report_at(rd->report, n, "must be {query: parameter, max: rows}");
    read_text(rd, yaml_get(n, "query"), &page->size_query);
    read_u32(rd, yaml_get(n, "max"), 1, 100000, &page->size_max);
}

static void read_next(struct reader *rd, const struct yaml_node *n, struct page_rule *page)
{
    static const char *const keys[] = {"query", "value", "more", "link", NULL};
    if (yaml_kind(n) == YAML_SCALAR && span_eqz(yaml_text(n), "none")) {
        page->style = PAGE_NONE;
        return;
    }
    if (!read_map(rd, n, keys))
        return;
    const struct yaml_node *link = yaml_get(n, "link"), *query = yaml_get(n, "query"), *value = yaml_get(n, "value"),
                           *more = yaml_get(n, "more");
    page->link_rel = page->next_query = NULL;
    page->has_more = false;
    if (link) {
        if (query || value || more)
            report_at(rd->report, n, "either {link: next} or {query, value, more}");
        page->style = PAGE_LINK;
        read_text(rd, link, &page->link_rel);
        return;
    }
    if (!query || !value)
        report_at(rd->report, n, "must be {link: next} or {query: parameter, value: path}");
    page->style = PAGE_CURSOR;
    read_text(rd, query, &page->next_query);
    (void)read_path(rd, value, false, &page->next_value);
    page->has_more = read_path(rd, more, false, &page->more);
}

void manifest_read_page(struct reader *rd, const struct yaml_node *n, struct page_rule *page)
{
    static const char *const keys[] = {"records", "size", "next", "cap", NULL};
    struct reader own = *rd;
    struct path records;
    own.roots = ROOTS_ANSWER;
    if (!read_map(&own, n, keys))
        return;
    if (yaml_get(n, "records") && read_path(&own, yaml_get(n, "records"), false, &records)) {
        page->records = records;
        page->records_is_root = records.root == ROOT_BODY && records.n_steps == 0;
    }
    read_size(&own, yaml_get(n, "size"), page);
    read_next(&own, yaml_get(n, "next"), page);
    read_u32(&own, yaml_get(n, "cap"), 1, 100000000, &page->cap);
}

/* ---- since ---- */

void manifest_read_since(struct reader *rd, const struct yaml_node *n, const char *order, struct since_rule *since)
{
    static const char *const keys[] = {"query", "field", "unit", "overlap", "sees", NULL};
    static const char *const sees[] = {"creations", "changes", NULL};
    unsigned seen = 1;
    if (!n)
        return;
    *since = (struct since_rule){0};
    if (yaml_kind(n) == YAML_SCALAR && span_eqz(yaml_text(n), "none"))
        return;
    if (yaml_kind(n) == YAML_SCALAR && span_eqz(yaml_text(n), "stop")) {
        if (!order)
            report_at(rd->report, n, "`stop` needs an `order` that is desc: the newest rows must come first");
        since->kind = SINCE_STOP;
        since->field = order;
        return;
    }
    if (yaml_kind(n) != YAML_MAP) {
        report_at(rd->report, n, "must be {query, field, unit}, or `stop`, or `none`");
        return;
    }
    (void)read_map(rd, n, keys);
    since->kind = SINCE_QUERY;
    if (!yaml_get(n, "query"))
        report_at(rd->report, n, "no `query`; the parameter that filters");
    if (!yaml_get(n, "field"))
        report_at(rd->report, n, "no `field`; the record's field that the filter speaks of");
    if (!yaml_get(n, "unit"))
        report_at(rd->report, n, "no `unit`; s, ms or iso8601");
    read_text(rd, yaml_get(n, "query"), &since->query);
    read_text(rd, yaml_get(n, "field"), &since->field);
    read_unit(rd, yaml_get(n, "unit"), &since->unit);
    read_duration(rd, yaml_get(n, "overlap"), &since->overlap_us);
    if (read_word(rd, yaml_get(n, "sees"), sees, &seen))
        since->sees_creations_only = seen == 0;
}

/* ---- auth, rate, errors ---- */

static void read_auth(struct reader *rd, const struct yaml_node *n, struct api_rule *api)
{
    static const char *const keys[] = {"bearer", "basic", "header", "value", NULL};
    if (!read_map(rd, n, keys))
        return;
    const struct yaml_node *bearer = yaml_get(n, "bearer"), *header = yaml_get(n, "header"), *value = yaml_get(n, "value"),
                           *basic = yaml_get(n, "basic");
    if (bearer || basic ? header || value || (bearer && basic) : !header || !value)
        report_at(rd->report, n,
                  "must be {bearer: config.…}, {basic: \"{config.…}:{config.…}\"} or {header: name, value: config.…}");
    (void)read_path_or_template(rd, basic, &api->basic);
    (void)read_path_or_template(rd, bearer, &api->bearer);
    read_text(rd, header, &api->auth_header);
    (void)read_path_or_template(rd, value, &api->auth_value);
}

static void read_rate(struct reader *rd, const struct yaml_node *n, struct api_rule *api)
{
    static const char *const keys[] = {"per_second", "wait", "left", "reset", "unit", NULL};
    static const char *const units[] = {"s", "epoch", NULL};
    unsigned unit = 0;
    if (!read_map(rd, n, keys))
        return;
    read_u32(rd, yaml_get(n, "per_second"), 1, 10000, &api->per_second);
    read_header(rd, yaml_get(n, "wait"), &api->wait_header);
    read_header(rd, yaml_get(n, "left"), &api->left_header);
    read_header(rd, yaml_get(n, "reset"), &api->reset_header);
    if (!yaml_get(n, "left") != !yaml_get(n, "reset"))
        report_at(rd->report, n, "`left` and `reset` go together");
    if (yaml_get(n, "reset") && !yaml_get(n, "unit"))
        report_at(rd->report, n, "no `unit` of `reset`; s (from now) or epoch");
    api->reset_unit = UNIT_S;
    if (read_word(rd, yaml_get(n, "unit"), units, &unit))
        api->reset_is_epoch = unit == 1;
}

static void read_error(struct reader *rd, const struct yaml_node *n, struct error_rule *e)
{
    static const char *const keys[] = {"status", "when", "cause", "say", "retry", NULL};
    static const char *const causes[] = {"auth", "scope", "busy", "limit", "gone", "version", "cap", "other", NULL};
    unsigned cause = 7;
    if (!read_map(rd, n, keys))
        return;
    if (!yaml_get(n, "status") && !yaml_get(n, "when"))
        report_at(rd->report, n, "must say which answers it speaks of: `status`, `when` or both");
    if (!yaml_get(n, "cause"))
        report_at(rd->report, n, "no `cause`; one of auth, scope, busy, limit, gone, version, cap, other");
    read_u32(rd, yaml_get(n, "status"), 200, 599, &e->status);
    rd->roots = ROOT(BODY) | ROOT(HEADER);
    read_conditions(rd, yaml_get(n, "when"), &e->when, &e->n_when);
    (void)read_word(rd, yaml_get(n, "cause"), causes, &cause);
    e->cause = causes[cause];
    rd->roots = ROOTS_ADVICE;
    if (read_template(rd, yaml_get(n, "say"), &e->advice))
        e->say = e->advice.text;
    read_bool(rd, yaml_get(n, "retry"), &e->retry);
}

void manifest_read_errors(struct reader *rd, const struct yaml_node *n, struct error_rule **ret, size_t *ret_n)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_LIST) {
        report_at(rd->report, n, "must be a list of {status, cause, say}");
        return;
    }
    struct reader own = *rd;
    *ret = arena_alloc(rd->arena, (yaml_count(n) + 1) * sizeof(**ret));
    for (size_t i = 0; i < yaml_count(n); i++)
        read_error(&own, yaml_item(n, i), &(*ret)[i]);
    *ret_n = yaml_count(n);
}

static void check_base(struct reader *rd, const struct yaml_node *n, const struct template *base)
{
    struct span text = span_of(base->text);
    if (base->text && base->n_parts && !span_starts(text, SPAN_LIT("http://")) && !span_starts(text, SPAN_LIT("https://")) &&
        !span_starts(text, SPAN_LIT("{config.")))
        report_at(rd->report, n, "'%s' must begin with https://", base->text);
    if (base->text && text.n && text.p[text.n - 1] == '/')
        report_at(rd->report, n, "'%s' must not end with /: the paths begin with one", base->text);
}

void manifest_read_api(struct reader *rd, const struct yaml_node *n)
{
    static const char *const keys[] = {"base", "auth", "headers", "page", "order", "since", "rate", "errors", "lag", NULL};
    struct api_rule *api = &rd->m->api;
    api->lag_us = LAG_US_DEFAULT;
    if (!read_map(rd, n, keys))
        return;
    api->present = true;
    rd->secrets = true;
    rd->roots = ROOTS_CONFIG;
    if (!yaml_get(n, "base"))
        report_at(rd->report, n, "no `base`; the URL that all paths begin with");
    else if (read_template(rd, yaml_get(n, "base"), &api->base))
        check_base(rd, yaml_get(n, "base"), &api->base);
    read_auth(rd, yaml_get(n, "auth"), api);
    read_params(rd, yaml_get(n, "headers"), &api->headers, &api->n_headers);
    manifest_read_page(rd, yaml_get(n, "page"), &api->page);
    read_order(rd, yaml_get(n, "order"), &api->order_field, &api->order_desc);
    manifest_read_since(rd, yaml_get(n, "since"), api->order_desc ? api->order_field : NULL, &api->since);
    read_rate(rd, yaml_get(n, "rate"), api);
    manifest_read_errors(rd, yaml_get(n, "errors"), &api->errors, &api->n_errors);
    read_duration(rd, yaml_get(n, "lag"), &api->lag_us);
}

void manifest_read_feed(struct reader *rd, const struct yaml_node *n)
{
    static const char *const keys[] = {"path", "query", "keep", "since", NULL};
    struct feed_rule *f = &rd->m->feed;
    if (!read_map(rd, n, keys))
        return;
    f->present = true;
    rd->roots = ROOTS_CALL;
    rd->secrets = true;
    if (!rd->m->api.present)
        report_at(rd->report, n, "there is no `api` to call");
    if (!yaml_get(n, "path"))
        report_at(rd->report, n, "no `path`");
    if (!yaml_get(n, "keep"))
        report_at(rd->report, n, "no `keep`; how long the provider keeps its events, like 30d");
    if (read_template(rd, yaml_get(n, "path"), &f->path) && f->path.text[0] != '/')
        report_at(rd->report, yaml_get(n, "path"), "'%s' must begin with /", f->path.text);
    read_params(rd, yaml_get(n, "query"), &f->query, &f->n_query);
    read_duration(rd, yaml_get(n, "keep"), &f->keep_us);
    f->since = rd->m->api.since;
    manifest_read_since(rd, yaml_get(n, "since"), NULL, &f->since);
}
