#include "core/clock.h"
#include "transforms/form.h"
#include "transforms/internal.h"
#include <stdio.h>
#include <stdlib.h>

struct transform *transform_new(const struct source_config *source, uint64_t ordinal, struct err *err)
{
    const struct manifest *m = source->manifest;
    if (!m) {
        (void)err_set(err, ERR_CONFIG, "source '%s' has no manifest", source->name);
        return NULL;
    }
    struct transform *t = mem_alloc(sizeof(*t));
    t->source = source;
    t->manifest = m;
    t->ordinal = ordinal;
    t->config = mem_alloc((source->n_values + 1) * sizeof(*t->config));
    for (size_t i = 0; i < source->n_values; i++) {
        const struct config_value *v = &source->values[i];
        if (!v->secret && v->text)
            t->config[t->n_config++] = (struct scope_pair){span_of(v->name), span_of(v->text)};
    }
    t->tables = mem_alloc((m->n_tables + 1) * sizeof(*t->tables));
    t->n_tables = m->n_tables;
    for (size_t i = 0; i < m->n_tables; i++) {
        struct span name = span_of(m->tables[i].name);
        t->tables[i] = (struct table_plan){
            .rule = &m->tables[i],
            .config = source_table_config(source, name),
            .on = source_has_table(source, name),
        };
    }
    t->events = (struct table_plan){
        .rule = &manifest_events_table,
        .config = source_table_config(source, SPAN_LIT("events")),
        .on = source_has_table(source, SPAN_LIT("events")),
    };
    t->columns = columns_new();
    return t;
}

void transform_free(struct transform **tp)
{
    struct transform *t = *tp;
    if (!t)
        return;
    struct buf *bufs[] = {&t->facts.id, &t->facts.type, &t->facts.account, &t->facts.kind, &t->facts.api_version,
                          &t->form_text, &t->object_text, &t->eval, &t->hash, &t->base, &t->key, &t->fields,
                          &t->version, &t->reason, &t->out, &t->out2, &t->minified};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        buf_release(bufs[i]);
    columns_free(&t->columns);
    free(t->config);
    free(t->tables);
    free(t);
    *tp = NULL;
}

/* Which of the table's rules take the event: its rows, or only its deletes. */
static bool table_takes(struct transform *t, const struct table_rule *table, bool *ret_upserts)
{
    bool deletes = false;
    for (size_t i = 0; i < table->n_deletes; i++)
        deletes = deletes || types_match(t, table->deletes[i].types);
    if (!table->kind && !table->types && !table->n_when) {
        *ret_upserts = false;
        return deletes;
    }
    if (table->kind && !span_eqz(buf_span(&t->facts.kind), table->kind))
        return false;
    if (!conditions_hold(table->when, table->n_when, &t->scope))
        return false;
    *ret_upserts = !table->types || types_match(t, table->types);
    return *ret_upserts || deletes;
}

static bool table_run(struct transform *t, struct table_plan *plan, bool upserts, struct err *err)
{
    const struct table_rule *table = plan->rule;
    struct walk w;
    struct json found, one;
    if (table->has_each && upserts) {
        if (!walk_begin(&w, &table->each, &t->scope, &t->eval, &found)) {
            if (found.type == JSON_NONE || found.type == JSON_NULL)
                return true;
            buf_clear(&t->reason);
            buf_addf(&t->reason, "%s is %s, must be a list", table->each.text, json_kind_words(found));
            return emit_dead(t, span_of(table->name), plan->item++, err);
        }
        while (walk_next(&w, &one)) {
            if (!object_run(t, plan, true, one, err))
                return false;
        }
        return true;
    }
    one = table->has_object ? eval_json(t, &table->object, &t->hash) : t->object;
    return object_run(t, plan, upserts, one, err);
}

/* On the provider's clock. A time that cannot be says nothing; in a feed the events beside it happened about when it did, long
 * before the page was received. */
static uint64_t observed(struct transform *t)
{
    uint64_t us = t->facts.time_us, received = t->entry->received_us;
    if (!us)
        return received;
    if (clamp_ahead(us, received) != us)
        return t->near_us ? t->near_us : received;
    if (t->entry->is_feed)
        t->near_us = us;
    return us;
}

/* One event: scope.event is set, `raw` its text. */
static bool event_run(struct transform *t, struct span raw, uint64_t index, struct err *err)
{
    const struct event_rule *rule = &t->manifest->event;
    bool bad = false, taken = false;
    t->line = (struct span){0};
    t->object = rule->has_object ? eval_json(t, &rule->object, &t->object_text) : t->scope.event;
    t->scope.object = t->scope.record = t->object;
    if (!conditions_hold(rule->only, rule->n_only, &t->scope)) {
        (void)snprintf(t->why, sizeof(t->why), "filtered by only: %s",
                       rule->n_only == 1 ? rule->only[0].path.text : "its conditions do not hold");
        return true;
    }
    for (size_t i = 0; i < rule->n_must; i++) {
        if (!conditions_hold(&rule->must[i], 1, &t->scope)) {
            must_words(t, &rule->must[i]);
            return emit_dead(t, (struct span){"", 0}, index, err);
        }
    }
    facts_read(t, raw, &bad);
    if (bad)
        return emit_dead(t, (struct span){"", 0}, index, err);
    t->observed_us = observed(t);
    if (t->events.on && !emit_event_row(t, raw, err))
        return false;
    for (size_t i = 0; i < t->n_tables; i++) {
        bool upserts = false;
        t->scope.object = t->scope.record = t->object;
        if (!t->tables[i].on || !table_takes(t, t->tables[i].rule, &upserts))
            continue;
        taken = true;
        if (!table_run(t, &t->tables[i], upserts, err))
            return false;
    }
    if (!taken)
        (void)snprintf(t->why, sizeof(t->why), "no table takes this type");
    return true;
}

/* A delivery, or what a delivery would have carried: one event or several. */
static bool delivery_run(struct transform *t, struct span body, struct err *err)
{
    const struct manifest *m = t->manifest;
    struct err why;
    struct json parsed = {0}, found, one;
    struct walk w;
    uint64_t index = 0;
    if (m->body_is_form) {
        json_memo_clear(&t->memo); /* the text below is written anew */
        buf_clear(&t->form_text);
        if (!form_to_json(body, &t->form_text)) {
            buf_clear(&t->reason);
            buf_addz(&t->reason, "the body is no form: a percent escape is wrong");
            return emit_dead(t, (struct span){"", 0}, 0, err);
        }
        t->form = (struct json){JSON_OBJECT, buf_span(&t->form_text)};
        t->scope.event = t->form;
        return event_run(t, body, 0, err);
    }
    if (json_parse_memo(&t->memo, body, &parsed, &why)) {
        t->scope.body = t->scope.event = parsed;
    } else if (m->n_tables || m->event.has_each) {
        buf_clear(&t->reason);
        buf_addf(&t->reason, "the body is no JSON: %s", why.msg);
        return emit_dead(t, (struct span){"", 0}, 0, err);
    }
    if (!m->event.has_each)
        return event_run(t, body, 0, err);
    if (!walk_begin(&w, &m->event.each, &t->scope, &t->eval, &found)) {
        buf_clear(&t->reason);
        buf_addf(&t->reason, "%s is %s, must be a list of events", m->event.each.text, json_kind_words(found));
        return emit_dead(t, (struct span){"", 0}, 0, err);
    }
    while (walk_next(&w, &one)) {
        t->scope.event = one;
        if (!event_run(t, one.raw, index++, err))
            return false;
    }
    if (!index)
        (void)snprintf(t->why, sizeof(t->why), "its list of events is empty");
    return true;
}

static void read_parents(struct transform *t)
{
    struct json parents;
    struct err ignored;
    struct span key;
    struct json record;
    if (!t->entry->parents.n || !json_parse(t->entry->parents, &parents, &ignored))
        return;
    struct json_iter it = json_iter(parents);
    size_t n = 0;
    while (n < sizeof(t->parents) / sizeof(t->parents[0]) && json_next(&it, &key, &record))
        t->parents[n++] = (struct scope_parent){key, record};
    t->scope.parents = t->parents;
    t->scope.n_parents = n;
}

static bool page_dead(struct transform *t, const char *path, struct json found, struct err *err)
{
    buf_clear(&t->reason);
    buf_addf(&t->reason, "%s of the page is %s, must be a list of records", path, json_kind_words(found));
    return emit_dead(t, t->entry->table, 0, err);
}

/* The first time on a feed's page that can be. The walk is a copy: the page's own stays at its beginning. */
static uint64_t first_time(struct transform *t, struct walk w)
{
    struct scope page = t->scope;
    uint64_t us = 0;
    while (!us && walk_next(&w, &t->scope.body)) {
        t->scope.event = t->scope.body;
        us = facts_time(t);
    }
    t->scope = page;
    return us;
}

/* A feed's record is run with itself as the body, as if it had been posted. */
static bool feed_record(struct transform *t, struct json record, struct err *err)
{
    struct scope page = t->scope;
    t->message = (struct http_message){.method = t->entry->message.method, .url = t->entry->message.url, .body = record.raw};
    t->scope = (struct scope){.message = &t->message, .config = t->config, .n_config = t->n_config, .memo = &t->memo};
    bool ok = delivery_run(t, record.raw, err);
    t->scope = page;
    return ok;
}

static void page_facts(struct transform *t)
{
    buf_clear(&t->facts.account);
    buf_clear(&t->facts.api_version);
    for (size_t i = 0; i < t->n_config; i++) {
        if (span_eqz(t->config[i].name, "api_version"))
            buf_adds(&t->facts.api_version, t->config[i].value);
    }
    uint64_t received = t->entry->received_us;
    t->observed_us = clamp_ahead(t->entry->observed_us ? t->entry->observed_us : received, received);
}

/* The list of records: under the page rule's path, or the body itself. */
static bool page_records(struct transform *t, const struct page_rule *rule, struct walk *w, struct err *err, bool *ret_dead)
{
    struct err why;
    struct json body, found;
    *ret_dead = true;
    if (!json_parse(t->entry->message.body, &body, &why)) {
        buf_clear(&t->reason);
        buf_addf(&t->reason, "the page is no JSON: %s", why.msg);
        return emit_dead(t, t->entry->table, 0, err);
    }
    t->scope.body = body;
    if (rule->records_is_root || !rule->records.text) {
        if (body.type != JSON_ARRAY)
            return page_dead(t, "the body", body, err);
        *w = (struct walk){.path = &rule->records, .depth = 1};
        w->list[0] = json_iter(body);
        w->step[0] = rule->records.n_steps;
    } else if (!walk_begin(w, &rule->records, &t->scope, &t->eval, &found)) {
        return page_dead(t, rule->records.text, found, err);
    }
    *ret_dead = false;
    return true;
}

static bool page_run(struct transform *t, struct err *err)
{
    struct table_plan *plan = NULL;
    struct json record;
    struct walk w;
    bool dead, any = false;
    for (size_t i = 0; i < t->n_tables && !t->entry->is_feed; i++) {
        if (span_eqz(t->entry->table, t->tables[i].rule->name))
            plan = &t->tables[i];
    }
    if (!t->entry->is_feed && !plan) {
        buf_clear(&t->reason);
        buf_addf(&t->reason, "the manifest of '%s' has no table '%.*s'", t->source->name, SPAN_ARG(t->entry->table));
        return emit_dead(t, t->entry->table, 0, err);
    }
    if (plan && !plan->on) {
        (void)snprintf(t->why, sizeof(t->why), "table '%s' is not in use", plan->rule->name);
        return true;
    }
    t->backfill = true;
    t->page = plan != NULL;
    page_facts(t);
    read_parents(t);
    if (!page_records(t, plan ? &plan->rule->page : &t->manifest->api.page, &w, err, &dead))
        return false;
    t->near_us = plan || dead ? 0 : first_time(t, w);
    t->newest_first = !plan && t->manifest->api.order_desc;
    for (; !dead && walk_next(&w, &record); t->record++) {
        any = true;
        if (!(plan ? object_run(t, plan, true, record, err) : feed_record(t, record, err)))
            return false;
    }
    if (!any)
        (void)snprintf(t->why, sizeof(t->why), "the page has no records");
    return true;
}

bool transform_run(struct transform *t, const struct entry *entry, const struct transform_sink *sink,
                   struct transform_result *ret, struct err *err)
{
    t->entry = entry;
    t->sink = sink;
    t->result = (struct transform_result){0};
    t->why[0] = '\0';
    t->page = t->backfill = t->newest_first = false;
    t->record = t->near_us = 0;
    t->form = (struct json){0};
    t->line = (struct span){0};
    t->events.item = 0;
    for (size_t i = 0; i < t->n_tables; i++)
        t->tables[i].item = 0;
    json_memo_clear(&t->memo);
    entry_id(entry, t->entry_id);
    t->message = entry->message;
    t->scope = (struct scope){.message = &t->message, .config = t->config, .n_config = t->n_config, .memo = &t->memo};
    bool ok = entry->kind == ENTRY_PAGE ? page_run(t, err) : delivery_run(t, entry->message.body, err);
    if (!ok)
        return false;
    t->result.ignored = !t->result.rows && !t->result.dead;
    t->result.why_ignored = t->result.ignored ? t->why : NULL;
    *ret = t->result;
    return true;
}
