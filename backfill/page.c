#include "backfill/page.h"

bool page_records(const struct page_rule *r, const struct fetched *p, struct json *ret, struct err *err)
{
    struct scope scope = {.message = &p->message, .body = p->json};
    struct buf scratch;
    buf_init(&scratch, 1 << 16);
    struct json v = p->json;
    if (!r->records_is_root)
        v = path_eval(&r->records, &scope, &scratch).json;
    buf_release(&scratch);
    if (v.type != JSON_ARRAY)
        return err_set(err, ERR_INPUT, "the page has no array at %s, where its records should be",
                       r->records_is_root || !r->records.text ? "its root" : r->records.text);
    *ret = v;
    return true;
}

/* false, null, "", 0 and absent end the list. */
static bool says_more(const struct page_rule *r, const struct scope *scope, struct buf *scratch)
{
    struct json v = path_eval(&r->more, scope, scratch).json;
    return v.type != JSON_NONE && v.type != JSON_NULL && v.type != JSON_FALSE && !json_eqz(v, "") && !json_eqz(v, "0");
}

static bool next_cursor(const struct page_rule *r, const struct fetched *p, struct json last, struct buf *next, bool *ret_more,
                        struct err *err)
{
    struct scope scope = {.message = &p->message, .body = p->json, .record = last};
    struct buf scratch;
    buf_init(&scratch, 1 << 16);
    size_t before = next->n;
    bool more = !r->has_more || says_more(r, &scope, &scratch);
    bool got = more && path_text(&r->next_value, &scope, next) && next->n > before;
    buf_release(&scratch);
    *ret_more = got;
    if (more && !got && r->has_more && last.type != JSON_NONE)
        return err_set(err, ERR_INPUT, "the page says that there is more, but has nothing at %s to ask for it with", r->next_value.text);
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Whether the parameters behind a target name this relation: rel="next", rel=next, rel="prev next". */
static bool has_rel(struct span params, const char *rel)
{
    while (params.n) {
        struct span value, param = span_cut(params, ';', &params);
        struct span name = span_trim(span_cut(param, '=', &value));
        value = span_trim(value);
        if (!span_ieq(name, SPAN_LIT("rel")))
            continue;
        if (value.n >= 2 && value.p[0] == '"')
            value = (struct span){value.p + 1, value.n - 2};
        while (value.n) {
            struct span word = span_cut(value, ' ', &value);
            if (span_ieq(word, span_of(rel)))
                return true;
        }
    }
    return false;
}

struct span link_target(struct span header, const char *rel)
{
    while (header.n) {
        while (header.n && (is_space(header.p[0]) || header.p[0] == ','))
            header = span_skip(header, 1);
        if (!header.n || header.p[0] != '<')
            break;
        struct span rest, target = span_cut(span_skip(header, 1), '>', &rest);
        if (!rest.p)
            break;
        /* The parameters end at a comma outside of quotes. */
        size_t n = 0;
        for (bool quoted = false; n < rest.n && (quoted || rest.p[n] != ','); n++)
            quoted = quoted != (rest.p[n] == '"');
        if (has_rel((struct span){rest.p, n}, rel))
            return target;
        header = span_skip(rest, n);
    }
    return (struct span){NULL, 0};
}

static bool next_link(const struct page_rule *r, const struct fetched *p, struct json last, struct buf *next, bool *ret_more,
                      struct err *err)
{
    (void)last;
    struct span target = link_target(http_header(&p->message, SPAN_LIT("Link"), NULL), r->link_rel ? r->link_rel : "next");
    *ret_more = target.n > 0;
    if (target.n && !same_origin(target, p->message.url))
        return err_set(err, ERR_INPUT, "the page's Link leads to another origin (%.*s); the API key is not sent there",
                       (int)(target.n > 100 ? 100 : target.n), target.p);
    buf_adds(next, target);
    return true;
}

static bool no_next(const struct page_rule *r, const struct fetched *p, struct json last, struct buf *next, bool *ret_more,
                    struct err *err)
{
    (void)r, (void)p, (void)last, (void)next, (void)err;
    *ret_more = false;
    return true;
}

const struct pagination_ops *pagination_of(const struct page_rule *r)
{
    static const struct pagination_ops styles[] = {
        [PAGE_NONE] = {no_next, false}, [PAGE_CURSOR] = {next_cursor, false}, [PAGE_LINK] = {next_link, true}};
    return &styles[r->style];
}

static struct span origin(struct span url, unsigned *ret_default_port)
{
    bool https = url.n > 8 && strncasecmp(url.p, "https://", 8) == 0, http = url.n > 7 && strncasecmp(url.p, "http://", 7) == 0;
    *ret_default_port = https ? 443 : http ? 80 : 0;
    struct span host = span_skip(url, https ? 8 : http ? 7 : url.n);
    size_t n = 0;
    while (n < host.n && host.p[n] != '/' && host.p[n] != '?' && host.p[n] != '#')
        n++;
    return (struct span){host.p, n};
}

bool same_origin(struct span a, struct span b)
{
    unsigned port_a, port_b;
    struct span x = origin(a, &port_a), y = origin(b, &port_b);
    struct span suffix = port_a == 443 ? SPAN_LIT(":443") : SPAN_LIT(":80");
    if (!port_a || port_a != port_b || !x.n || memchr(x.p, '@', x.n))
        return false;
    if (x.n > suffix.n && span_eq(span_skip(x, x.n - suffix.n), suffix))
        x.n -= suffix.n;
    if (y.n > suffix.n && span_eq(span_skip(y, y.n - suffix.n), suffix))
        y.n -= suffix.n;
    return span_ieq(x, y);
}
