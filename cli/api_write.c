/* What can be ordered. */
#include "cli/api_internal.h"
#include "cli/orders.h"
#include "cli/reload.h"
#include "merge/tables.h"
#include "server/server.h"

/* The body as an object; an empty one reads as {}. false after an answer. */
static bool take_body(struct api_call *c, struct json *ret, unsigned *ret_status)
{
    struct err err = {0};
    struct span text = c->q->body.n ? c->q->body : SPAN_LIT("{}");
    if (json_parse(text, ret, &err) && ret->type == JSON_OBJECT)
        return true;
    *ret_status = api_fail(c, 400, "bad_request", "the body is no JSON object%s%s", err.msg[0] ? ": " : "", err.msg);
    return false;
}

/* A member that is a text; NULL: it is not there. false after an answer. */
static bool take_text(struct api_call *c, struct json body, const char *name, struct buf *out, const char **ret,
                      unsigned *ret_status)
{
    struct json v = json_get(body, span_of(name));
    *ret = NULL;
    if (v.type == JSON_NONE)
        return true;
    if (v.type == JSON_STRING && json_text(v, out) && buf_ok(out) && !memchr(out->p ? out->p : "", 0, out->n)) {
        *ret = buf_z(out);
        return true;
    }
    *ret_status = api_fail(c, 400, "bad_request", "%s is a text", name);
    return false;
}

/* What destroys wants the table's name in the body. */
static unsigned ask(struct api_call *c, const char *given)
{
    struct tables tables;
    struct table_facts f = {0};
    struct err err = {0};
    if (given && strcmp(given, c->table->name) == 0)
        return 0;
    if (!tables_open(&tables, c->in->config, &err))
        return api_failed(c, &err);
    bool ok = tables_facts(&tables, c->source, c->table, &f, &err);
    tables_close(&tables);
    return !ok ? api_failed(c, &err)
               : api_fail(c, 409, "confirmation_needed", "%llu rows of %s_%s go; say {\"confirm\":\"%s\"}",
                          (unsigned long long)f.rows, c->source->name, c->table->name, c->table->name);
}

unsigned api_order(struct api_call *c)
{
    struct control_order o = {.who = c->q->who};
    struct table_control control;
    struct err err = {0};
    struct json body;
    struct buf text[3];
    const char *confirm = NULL;
    unsigned status = 0;
    struct span name = c->parts[c->n - 1];
    if (!table_order_of(name, &o.order))
        return api_fail(c, 404, "not_found", "orders are pause, resume, cancel, pull, reset, drop and set");
    for (size_t i = 0; i < 3; i++)
        buf_init(&text[i], 4096);
    bool ok = take_body(c, &body, &status) && take_text(c, body, "mode", &text[0], &o.mode, &status) &&
              take_text(c, body, "incremental", &text[1], &o.field, &status) &&
              take_text(c, body, "confirm", &text[2], &confirm, &status);
    if (ok && (o.order == ORDER_RESET || o.order == ORDER_DROP))
        status = ask(c, confirm);
    if (!status && !orders_give(c->in, c->source, c->table, &o, &control, &err))
        status = api_failed(c, &err);
    if (!status) {
        buf_addf(c->out, "{\"source\":\"%s\",\"table\":\"%s\",\"orders\":", c->source->name, c->table->name);
        control_write(c->out, &control);
        buf_addc(c->out, '}');
        status = 202; /* it is durable; the parts obey within a second */
    }
    for (size_t i = 0; i < 3; i++)
        buf_release(&text[i]);
    return status;
}

static bool trail(struct api_call *c, const char *what, struct err *err)
{
    struct state *state;
    struct audit_record r = {.at_us = c->in->io->world->now_us(c->in->io), .who = span_of(c->q->who), .what = span_of(what)};
    r.source = r.table = r.before = r.after = SPAN_LIT("");
    return instance_state(c->in, &state, err) && audit_add(state, &r, err);
}

unsigned api_reload(struct api_call *c)
{
    struct reload_result r;
    struct err err = {0};
    const char *comma = "";
    if (!reload_now(c->in->live->reload, &r, &err))
        return api_fail(c, 422, "bad_configuration", "%s", err.msg);
    if (!trail(c, "reload", &err))
        return api_failed(c, &err);
    buf_addf(c->out, "{\"added\":%u,\"changed\":%u,\"removed\":%u,\"needs_restart\":[", r.added, r.changed, r.removed);
    for (struct span rest = span_of(r.kept); rest.n;) {
        struct span key = span_cut(rest, ',', &rest);
        while (key.n && key.p[0] == ' ')
            key = span_skip(key, 1);
        buf_addz(c->out, comma);
        json_write_string(c->out, key);
        comma = ",";
    }
    buf_addz(c->out, "]}");
    return 200;
}

unsigned api_refresh(struct api_call *c)
{
    struct err err = {0};
    server_refresh_secrets(c->in->live->server);
    if (!trail(c, "refresh secrets", &err))
        return api_failed(c, &err);
    buf_addz(c->out, "{\"refreshed\":true}");
    return 200;
}
