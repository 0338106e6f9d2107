/* What can be asked. */
#include "cli/api_internal.h"
#include "cli/delivered.h"
#include "cli/orders.h"
#include "cli/registry.h"
#include "cli/reload.h"
#include "core/json.h"
#include "merge/tables.h"
#include <stdlib.h>

#define LIST_MAX 1000
#define LIST_USUAL 50

/* What a command prints with --json. false: what it said instead is in *said. */
static bool run(struct api_call *c, int (*command)(struct instance *, const struct command_args *, const struct command_io *),
                const char *argument, char **ret, char **said)
{
    size_t n = 0, m = 0;
    char *argv[] = {(char *)(uintptr_t)argument, NULL};
    struct command_io io = {.out = open_memstream(ret, &n), .err = open_memstream(said, &m), .columns = 80, .who = c->q->who};
    struct command_args a = {.argc = argument ? 1 : 0, .argv = argv, .json = true};
    int code = io.out && io.err ? command(c->in, &a, &io) : EXIT_USAGE;
    if (io.out)
        fclose(io.out);
    if (io.err)
        fclose(io.err);
    return code == EXIT_DONE || code == EXIT_FAILED ? *ret && n > 0 : code == EXIT_DONE;
}

unsigned api_status(struct api_call *c)
{
    char *text = NULL, *said = NULL;
    bool ok = run(c, cmd_status, NULL, &text, &said); /* exit code 1 is a finding, no failure, where there is an answer */
    unsigned status = 200;
    if (ok)
        buf_addz(c->out, text);
    else
        status = api_fail(c, 500, "internal", "%.1500s", said ? said : "no memory");
    free(text);
    free(said);
    return status;
}

unsigned api_sources(struct api_call *c)
{
    const struct config *config = c->in->config;
    buf_addz(c->out, "{\"sources\":[");
    for (size_t i = 0; i < config->n_sources; i++) {
        buf_addz(c->out, i ? "," : "");
        config_show_source(c->out, &config->sources[i]);
    }
    buf_addz(c->out, "]}");
    return 200;
}

unsigned api_source(struct api_call *c)
{
    config_show_source(c->out, c->source);
    return 200;
}

/* ---- tables ---- */

static bool add_pull(struct api_call *c, struct state *state, struct span table, struct err *err)
{
    struct run_record r;
    struct buf text;
    bool found = false;
    buf_init(&text, 1 << 18);
    struct span name = span_eqz(table, "events") ? SPAN_LIT("") : table; /* the feed's */
    bool ok = state_run_get(state, span_of(c->source->name), name, (struct span){NULL, 0}, &r, &text, &found, err);
    buf_addz(c->out, ",\"last_pull\":");
    if (ok && found) {
        buf_addz(c->out, "{\"status\":");
        json_write_string(c->out, r.status);
        json_add_time(c->out, "started_at", r.started_us);
        json_add_time(c->out, "finished_at", r.finished_us);
        buf_addf(c->out, ",\"pages\":%llu,\"rows\":%llu,\"error\":", (unsigned long long)r.pages, (unsigned long long)r.rows);
        json_write_string(c->out, r.error);
        buf_addc(c->out, '}');
    } else {
        buf_addz(c->out, "null");
    }
    buf_release(&text);
    return ok;
}

static bool add_table(struct api_call *c, struct tables *tables, struct state *state, const struct table_rule *t, struct err *err)
{
    struct table_facts f = {0};
    struct table_control control;
    if (!tables_facts(tables, c->source, t, &f, err) ||
        !controls_read(state, span_of(c->source->name), span_of(t->name), &control, err))
        return false;
    buf_addf(c->out, "{\"source\":\"%s\",\"table\":\"%s\",\"name\":\"%s_%s\",\"rows\":%llu,\"deleted\":%llu,\"kept_out\":%llu,"
                     "\"missed\":%llu,\"rejected\":%llu,\"can_pull\":%s",
             c->source->name, t->name, c->source->name, t->name, (unsigned long long)f.rows, (unsigned long long)f.deleted_keys,
             (unsigned long long)f.counts.kept_out, (unsigned long long)f.counts.missed, (unsigned long long)f.counts.rejected,
             orders_can_pull(c->source, t) ? "true" : "false");
    json_add_time(c->out, "newest_at", f.newest_us);
    buf_addz(c->out, ",\"orders\":");
    control_write(c->out, &control);
    bool ok = add_pull(c, state, span_of(t->name), err);
    buf_addc(c->out, '}');
    return ok;
}

static unsigned tables_of(struct api_call *c, const struct table_rule *only)
{
    struct err err = {0};
    struct tables tables;
    struct state *state;
    const struct manifest *m = c->source->manifest;
    const char *comma = "";
    if (!instance_state(c->in, &state, &err) || !tables_open(&tables, c->in->config, &err))
        return api_failed(c, &err);
    bool ok = true;
    buf_addz(c->out, only ? "" : "{\"tables\":[");
    for (size_t i = 0; ok && i <= m->n_tables; i++) {
        const struct table_rule *t = i < m->n_tables ? &m->tables[i] : &manifest_events_table;
        if (!source_has_table(c->source, span_of(t->name)) || (only && t != only))
            continue;
        buf_addz(c->out, comma);
        ok = add_table(c, &tables, state, t, &err);
        comma = ",";
    }
    buf_addz(c->out, only ? "" : "]}");
    tables_close(&tables);
    return ok ? 200 : api_failed(c, &err);
}

unsigned api_tables(struct api_call *c)
{
    return tables_of(c, NULL);
}

unsigned api_table(struct api_call *c)
{
    return tables_of(c, c->table);
}

/* ---- lists ---- */

struct list {
    struct buf *out;
    const char *comma;
};

static void add_delivery(void *ctx, const struct delivered *d)
{
    struct list *l = ctx;
    buf_addz(l->out, l->comma);
    delivered_write(l->out, d);
    l->comma = ",";
}

unsigned api_deliveries(struct api_call *c)
{
    struct buf outcome, id, type;
    struct list l = {c->out, ""};
    struct err err = {0};
    unsigned status = 200;
    uint64_t max = LIST_USUAL;
    size_t n;
    buf_init(&outcome, 256);
    buf_init(&id, 4096);
    buf_init(&type, 4096);
    struct delivered_filter f = {.outcome = api_parameter(c, "outcome", &outcome) ? buf_z(&outcome) : NULL,
                                 .id = api_parameter(c, "id", &id) ? buf_z(&id) : NULL,
                                 .type = api_parameter(c, "type", &type) ? buf_z(&type) : NULL};
    if (!delivered_outcome_is_known(f.outcome)) {
        status = api_fail(c, 400, "bad_request", "there is no such outcome: rejected, accepted, duplicate, bad_signature, …");
    } else if (api_limit(c, LIST_MAX, &max, &status)) {
        f.max = max;
        buf_addz(c->out, "{\"deliveries\":[");
        bool ok = delivered_each(c->in, c->source, &f, add_delivery, &l, &n, &err);
        buf_addz(c->out, "]}");
        status = ok ? 200 : api_failed(c, &err);
    }
    buf_release(&outcome);
    buf_release(&id);
    buf_release(&type);
    return status;
}

/* The lines of a command as a list. */
static void add_lines(struct buf *out, const char *text)
{
    const char *comma = "";
    for (struct span rest = span_of(text ? text : ""); rest.n;) {
        struct span line = span_cut(rest, '\n', &rest);
        if (!line.n)
            continue;
        buf_addz(out, comma);
        buf_adds(out, line);
        comma = ",";
    }
}

unsigned api_secrets(struct api_call *c)
{
    char *text = NULL, *said = NULL;
    (void)run(c, cmd_secret_list, c->source->name, &text, &said); /* nothing printed: it has none */
    buf_addz(c->out, "{\"secrets\":[");
    add_lines(c->out, text);
    buf_addz(c->out, "]}");
    free(text);
    free(said);
    return 200;
}

unsigned api_dead(struct api_call *c)
{
    struct state *state;
    struct err err = {0};
    uint64_t n;
    if (!instance_state(c->in, &state, &err))
        return api_failed(c, &err);
    buf_addz(c->out, "{\"sources\":[");
    for (size_t i = 0; i < c->in->config->n_sources; i++) {
        const char *name = c->in->config->sources[i].name;
        if (!state_dead_count(state, span_of(name), &n, &err))
            return api_failed(c, &err);
        buf_addf(c->out, "%s{\"source\":\"%s\",\"letters\":%llu}", i ? "," : "", name, (unsigned long long)n);
    }
    buf_addz(c->out, "]}");
    return 200;
}

unsigned api_config(struct api_call *c)
{
    struct reload_state state;
    reload_state(c->in->live->reload, &state);
    buf_addz(c->out, "{\"config\":");
    config_show(c->out, c->in->config);
    buf_addf(c->out, ",\"reload\":{\"ok\":%s", state.ok ? "true" : "false");
    json_add_time(c->out, "taken_at", state.at_us);
    buf_addz(c->out, ",\"error\":");
    json_write_string(c->out, span_of(state.words));
    buf_addz(c->out, "}}");
    return 200;
}

static bool add_record(void *ctx, const struct audit_record *r)
{
    struct list *l = ctx;
    buf_addz(l->out, l->comma);
    audit_write(l->out, r);
    l->comma = ",";
    return true;
}

unsigned api_audit(struct api_call *c)
{
    struct list l = {c->out, ""};
    struct err err = {0};
    struct state *state;
    struct buf source, table;
    unsigned status = 200;
    uint64_t max = LIST_USUAL;
    buf_init(&source, 256);
    buf_init(&table, 256);
    struct span s = api_parameter(c, "source", &source) ? buf_span(&source) : SPAN_LIT("");
    struct span t = api_parameter(c, "table", &table) ? buf_span(&table) : SPAN_LIT("");
    if (api_limit(c, LIST_MAX, &max, &status)) {
        buf_addz(c->out, "{\"audit\":[");
        bool ok = instance_state(c->in, &state, &err) && audit_each(state, s, t, (int64_t)max, add_record, &l, &err);
        buf_addz(c->out, "]}");
        status = ok ? 200 : api_failed(c, &err);
    }
    buf_release(&source);
    buf_release(&table);
    return status;
}
