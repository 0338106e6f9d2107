#include "backfill/page.h"
#include "core/mem.h"
#include <curl/curl.h>
#include <stdlib.h>

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
    if (more && !got && r->has_more)
        return err_set(err, ERR_INPUT, "the page says that there is more, but has nothing at %s to ask for it with",
                       r->next_value.text);
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

/* The relation's target among all Link headers of the answer. */
static struct span find_link(const struct fetched *p, const char *rel)
{
    struct span target = {NULL, 0};
    for (size_t i = 0; i < p->message.n_headers && !target.n; i++) {
        if (span_ieq(p->message.headers[i].name, SPAN_LIT("Link")))
            target = link_target(p->message.headers[i].value, rel);
    }
    return target;
}

/* `target` as seen from the page at `base` (RFC 3986 section 5); false: it is no address. */
static bool resolve(struct span base, struct span target, struct buf *out)
{
    CURLU *u = curl_url();
    char *from = mem_dup_span(base), *to = mem_dup_span(target), *whole = NULL;
    bool ok = u && curl_url_set(u, CURLUPART_URL, from, 0) == CURLUE_OK && curl_url_set(u, CURLUPART_URL, to, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK;
    if (ok)
        buf_addz(out, whole);
    curl_free(whole);
    free(from);
    free(to);
    curl_url_cleanup(u);
    return ok && buf_ok(out);
}

static bool next_link(const struct page_rule *r, const struct fetched *p, struct json last, struct buf *next, bool *ret_more,
                      struct err *err)
{
    (void)last;
    struct span target = find_link(p, r->link_rel ? r->link_rel : "next");
    *ret_more = target.n > 0;
    if (!target.n)
        return true;
    if (!resolve(p->message.url, target, next) || !same_origin(buf_span(next), p->message.url))
        return err_set(err, ERR_INPUT, "the page's Link leads to another origin (%.*s); the API key is not sent there",
                       (int)(target.n > 100 ? 100 : target.n), target.p);
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
