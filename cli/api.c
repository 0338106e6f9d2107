#include "cli/api_internal.h"
#include "core/codec.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_MAX 2000

struct route {
    const char *method, *path; /* {source}, {table}: of the configuration; *: anything */
    unsigned (*answer)(struct api_call *c);
};
static const struct route routes[] = {
    {"GET", "status", api_status},
    {"GET", "sources", api_sources},
    {"GET", "sources/{source}", api_source},
    {"GET", "sources/{source}/tables", api_tables},
    {"GET", "sources/{source}/tables/{table}", api_table},
    {"POST", "sources/{source}/tables/{table}/*", api_order},
    {"GET", "sources/{source}/deliveries", api_deliveries},
    {"GET", "sources/{source}/secrets", api_secrets},
    {"POST", "secrets/refresh", api_refresh},
    {"GET", "dead", api_dead},
    {"GET", "config", api_config},
    {"POST", "reload", api_reload},
    {"GET", "audit", api_audit},
};

void api_error(struct buf *out, unsigned status, const char *code, const char *message)
{
    (void)status;
    buf_clear(out);
    buf_addf(out, "{\"error\":{\"code\":\"%s\",\"message\":", code);
    json_write_string(out, span_of(message));
    buf_addz(out, "}}");
}

unsigned api_fail(struct api_call *c, unsigned status, const char *code, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    api_error(c->out, status, code, message);
    return status;
}

unsigned api_failed(struct api_call *c, const struct err *err)
{
    switch (err->cls) {
    case ERR_INPUT:
        return api_fail(c, 400, "bad_request", "%s", err->msg);
    case ERR_TRANSIENT:
    case ERR_STOPPED:
        return api_fail(c, 503, "unavailable", "%s", err->msg);
    default:
        return api_fail(c, 500, "internal", "%s", err->msg);
    }
}

bool api_parameter(const struct api_call *c, const char *name, struct buf *out)
{
    for (struct span rest = c->q->query; rest.p && rest.n;) {
        struct span value, field = span_cut(rest, '&', &rest);
        struct span key = span_cut(field, '=', &value);
        buf_clear(out);
        if (span_eqz(key, name))
            return value.p && percent_decode(out, value, true) && buf_ok(out);
    }
    return false;
}

bool api_limit(struct api_call *c, uint64_t most, uint64_t *ret, unsigned *ret_status)
{
    struct buf text;
    char *end;
    buf_init(&text, 64);
    bool ok = true;
    if (api_parameter(c, "limit", &text)) {
        const char *z = buf_z(&text);
        unsigned long long v = strtoull(z, &end, 10);
        ok = z[0] >= '0' && z[0] <= '9' && !*end && v >= 1 && v <= most;
        *ret = v;
    }
    buf_release(&text);
    if (!ok)
        *ret_status = api_fail(c, 400, "bad_request", "limit is a number from 1 to %llu", (unsigned long long)most);
    return ok;
}

bool api_is_path(struct span path)
{
    return span_starts(path, SPAN_LIT("/api/"));
}

/* ---- routes ---- */

static void split(struct api_call *c, struct span path)
{
    for (struct span rest = path; rest.p && c->n < API_PARTS_MAX;)
        c->parts[c->n++] = span_cut(rest, '/', &rest);
}

/* Whether the path has the route's form; names are looked up later. */
static bool fits(const struct api_call *c, const struct route *r)
{
    size_t i = 0;
    for (struct span rest = span_of(r->path); rest.p; i++) {
        struct span part = span_cut(rest, '/', &rest);
        if (i == c->n || !c->parts[i].n)
            return false;
        if (part.p[0] != '{' && part.p[0] != '*' && !span_eq(part, c->parts[i]))
            return false;
    }
    return i == c->n;
}

static unsigned find_names(struct api_call *c, const struct route *r)
{
    size_t i = 0;
    for (struct span rest = span_of(r->path); rest.p; i++) {
        struct span part = span_cut(rest, '/', &rest), name = c->parts[i];
        if (span_eqz(part, "{source}") && !(c->source = config_source(c->in->config, name)))
            return api_fail(c, 404, "no_such_source", "there is no source '%.*s'", (int)(name.n > 60 ? 60 : name.n), name.p);
        if (!span_eqz(part, "{table}"))
            continue;
        c->table = span_eqz(name, "events") ? &manifest_events_table : manifest_table(c->source->manifest, name);
        if (!c->table || !source_has_table(c->source, name))
            return api_fail(c, 404, "no_such_table", "source %s has no table '%.*s' in use", c->source->name,
                            (int)(name.n > 60 ? 60 : name.n), name.p);
    }
    return 0;
}

unsigned api_answer(struct instance *in, const struct api_request *q, struct buf *out)
{
    struct api_call c = {.in = in, .q = q, .out = out};
    struct span prefix = SPAN_LIT("/api/v1/");
    bool known = false;
    if (!span_starts(q->path, prefix))
        return api_fail(&c, 404, "not_found", "the API is under /api/v1/");
    split(&c, span_skip(q->path, prefix.n));
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct route *r = &routes[i];
        if (!fits(&c, r))
            continue;
        known = true;
        if (!span_eqz(q->method, r->method))
            continue;
        unsigned refused = find_names(&c, r);
        unsigned status = refused ? refused : r->answer(&c);
        return buf_ok(out) ? status : 500;
    }
    return known ? api_fail(&c, 405, "method_not_allowed", "not with %.*s", SPAN_ARG(q->method))
                 : api_fail(&c, 404, "not_found", "there is no such thing; docs/api.yaml lists what there is");
}
