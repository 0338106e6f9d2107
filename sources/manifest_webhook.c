/* `webhook`: how endpoints are managed at the provider: the calls, what their answers hold, and what a person does without. */
#include "sources/reader.h"

static void read_clicks(struct reader *rd, const struct yaml_node *n)
{
    struct webhook_rule *w = &rd->m->webhook;
    bool many = yaml_kind(n) == YAML_LIST;
    size_t count = many ? yaml_count(n) : n ? 1 : 0;
    struct buf text;
    buf_init(&text, 1 << 16);
    w->clicks = arena_alloc(rd->arena, (count + 1) * sizeof *w->clicks);
    for (size_t i = 0; i < count; i++) {
        if (!read_template(rd, many ? yaml_item(n, i) : n, &w->clicks[w->n_clicks]))
            continue;
        buf_addf(&text, "%s%s", text.n ? " " : "", w->clicks[w->n_clicks++].text);
    }
    if (w->n_clicks)
        w->by_hand = arena_dup(rd->arena, buf_span(&text));
    buf_release(&text);
}

/* {id: record.id, types: record.events, …} */
static void read_endpoint(struct reader *rd, const struct yaml_node *n, struct endpoint_rule *e)
{
    static const char *const keys[] = {"id", "url", "types", "version", "error", "last", "enabled", NULL};
    static const char *const listed[] = {"list", "name", NULL};
    struct reader own = *rd;
    own.roots = ROOT(RECORD) | ROOT(CONFIG);
    if (!read_map(&own, n, keys))
        return;
    (void)read_path(&own, yaml_get(n, "id"), false, &e->id);
    (void)read_path(&own, yaml_get(n, "url"), false, &e->url);
    (void)read_path(&own, yaml_get(n, "version"), false, &e->version);
    (void)read_path(&own, yaml_get(n, "error"), false, &e->error);
    (void)read_path(&own, yaml_get(n, "last"), false, &e->last);
    const struct yaml_node *types = yaml_get(n, "types");
    if (yaml_kind(types) == YAML_MAP) {
        struct reader item = own;
        item.roots = ROOT(ITEM);
        (void)read_map(&own, types, listed);
        (void)read_path(&own, yaml_get(types, "list"), false, &e->types);
        (void)read_path(&item, yaml_get(types, "name"), false, &e->type_name);
    } else {
        (void)read_path(&own, types, false, &e->types);
    }
    read_conditions(&own, yaml_get(n, "enabled"), &e->enabled, &e->n_enabled);
    if (!yaml_get(n, "url"))
        report_at(rd->report, n, "no `url`: endpoints are known by it, like url: record.url");
}

/* types: {issues: [issues], events: "*"} */
static void read_names(struct reader *rd, const struct yaml_node *n)
{
    struct webhook_rule *w = &rd->m->webhook;
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(rd->report, n, "must be a map of tables to the names of their events");
        return;
    }
    w->names = arena_alloc(rd->arena, (yaml_count(n) + 1) * sizeof *w->names);
    for (size_t i = 0; i < yaml_count(n); i++) {
        struct event_names *e = &w->names[w->n_names++];
        struct span table = yaml_text(yaml_key(n, i));
        e->table = arena_dup(rd->arena, table);
        if (!manifest_table(rd->m, table) && !span_eqz(table, "events"))
            report_at(rd->report, yaml_key(n, i), "there is no table '%.*s'", SPAN_ARG(table));
        read_types(rd, yaml_value(n, i), &e->types);
    }
}

static void read_flags(struct reader *rd, const struct yaml_node *n)
{
    struct webhook_rule *w = &rd->m->webhook;
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(rd->report, n, "must be a map of event types to the provider's fields");
        return;
    }
    w->flags = arena_alloc(rd->arena, (yaml_count(n) + 1) * sizeof *w->flags);
    for (size_t i = 0; i < yaml_count(n); i++) {
        w->flags[w->n_flags].type = arena_dup(rd->arena, yaml_text(yaml_key(n, i)));
        read_text(rd, yaml_value(n, i), &w->flags[w->n_flags].field);
        w->n_flags += w->flags[w->n_flags].field != NULL;
    }
}

static void read_secret(struct reader *rd, const struct yaml_node *n)
{
    static const char *const ways[] = {"by_hand", "chosen", "told", "handshake", NULL};
    struct webhook_rule *w = &rd->m->webhook;
    unsigned way = w->create.secret.text || w->reveal.secret.text ? SECRET_TOLD : SECRET_BY_HAND;
    (void)read_word(rd, n, ways, &way);
    w->secret = (enum secret_way)way;
    if (n && way == SECRET_TOLD && !w->create.secret.text && !w->reveal.secret.text)
        report_at(rd->report, n, "`told` needs `secret: body.…` at `create` or `reveal`: where it is told");
}

static void read_rotation(struct reader *rd, const struct yaml_node *n)
{
    static const char *const ways[] = {"call", "second-endpoint", "by_hand", NULL};
    static const enum rotate_way mean[] = {ROTATE_CALL, ROTATE_SECOND_ENDPOINT, ROTATE_BY_HAND};
    static const char *const more[] = {"secret", NULL};
    struct webhook_rule *w = &rd->m->webhook;
    unsigned way;
    if (yaml_kind(n) == YAML_MAP) {
        manifest_read_call(rd, n, more, &w->roll);
        w->rotate = ROTATE_CALL;
        if (w->secret != SECRET_CHOSEN && !w->roll.secret.text && !w->reveal.method)
            report_at(rd->report, n,
                      "where does the new secret come from? `secret: body.…` here, a `reveal` call, or `secret: chosen`");
        return;
    }
    if (!read_word(rd, n, ways, &way))
        return;
    w->rotate = mean[way];
    if (w->rotate == ROTATE_CALL && (w->secret != SECRET_CHOSEN || !w->update.method))
        report_at(rd->report, n,
                  "`call` updates the endpoint with another secret: it needs `secret: chosen` and `update`, or write the call "
                  "here");
    if (w->rotate == ROTATE_SECOND_ENDPOINT && (!w->create.method || !w->remove.method))
        report_at(rd->report, n, "a second endpoint needs the calls `create` and `delete`");
}

static void read_calls(struct reader *rd, const struct yaml_node *n)
{
    static const char *const of_list[] = {"records", "read", "page", NULL};
    static const char *const of_create[] = {"id", "secret", NULL};
    static const char *const of_reveal[] = {"secret", NULL};
    static const char *const of_deliveries[] = {"records", "at", "ok", "error", NULL};
    static const char *const nothing[] = {NULL};
    struct webhook_rule *w = &rd->m->webhook;
    const struct yaml_node *list = yaml_get(n, "list");
    struct manage_call redeliver = {0};
    manifest_read_call(rd, list, of_list, &w->list);
    manifest_read_call(rd, yaml_get(n, "create"), of_create, &w->create);
    manifest_read_call(rd, yaml_get(n, "update"), nothing, &w->update);
    manifest_read_call(rd, yaml_get(n, "delete"), nothing, &w->remove);
    manifest_read_call(rd, yaml_get(n, "reveal"), of_reveal, &w->reveal);
    manifest_read_call(rd, yaml_get(n, "deliveries"), of_deliveries, &w->deliveries);
    manifest_read_call(rd, yaml_get(n, "confirm"), nothing, &w->confirm);
    manifest_read_call(rd, yaml_get(n, "enable"), nothing, &w->enable);
    manifest_read_call(rd, yaml_get(n, "redeliver"), nothing, &redeliver);
    read_endpoint(rd, yaml_get(list, "read"), &w->read);
    w->managed = w->list.method && w->create.method;
    if (!w->list.method != !w->create.method)
        report_at(rd->report, n, "`list` and `create` go together");
    if (list && (!yaml_get(list, "records") || !yaml_get(list, "read")))
        report_at(rd->report, list, "must say where the endpoints are (`records`) and what stands where (`read`)");
    if (w->managed && !rd->m->api.present)
        report_at(rd->report, n, "there is no `api` to call: it says the base, the credential and the errors");
    if (w->reveal.method && !w->reveal.secret.text)
        report_at(rd->report, yaml_get(n, "reveal"), "no `secret`: where the answer has it");
}

void manifest_read_webhook(struct reader *rd, const struct yaml_node *n)
{
    static const char *const keys[] = {"per",    "create",    "list",       "update",  "delete", "reveal", "secret", "secret_at",
                                       "rotate", "by_hand",
                                       "redeliver", "deliveries", "confirm", "enable", "types",   "all",    "flags",  "cap",
                                              "scope",     "version", "errors",
                                       NULL};
    static const char *const per[] = {"type", NULL};
    struct webhook_rule *w = &rd->m->webhook;
    unsigned word;
    if (!read_map(rd, n, keys))
        return;
    rd->roots = ROOTS_MANAGE;
    rd->secrets = true;
    w->present = true;
    read_clicks(rd, yaml_get(n, "by_hand"));
    read_calls(rd, n);
    read_secret(rd, yaml_get(n, "secret"));
    read_rotation(rd, yaml_get(n, "rotate"));
    w->per_type = read_word(rd, yaml_get(n, "per"), per, &word);
    if (w->per_type && w->secret == SECRET_TOLD)
        report_at(rd->report, yaml_get(n, "per"), "endpoints of one type each share one secret: it cannot be `told`");
    read_text(rd, yaml_get(n, "secret_at"), &w->secret_at);
    read_text(rd, yaml_get(n, "scope"), &w->scope);
    read_text(rd, yaml_get(n, "all"), &w->all);
    read_u32(rd, yaml_get(n, "cap"), 1, 1000000, &w->cap);
    read_names(rd, yaml_get(n, "types"));
    read_flags(rd, yaml_get(n, "flags"));
    (void)read_path_or_template(rd, yaml_get(n, "version"), &w->version);
    struct reader own = *rd;
    manifest_read_errors(&own, yaml_get(n, "errors"), &w->errors, &w->n_errors);
}
