#include "sources/reader.h"

static void read_id(struct reader *rd, const struct yaml_node *n, struct event_rule *e)
{
    static const char *const keys[] = {"hash", NULL};
    if (yaml_kind(n) != YAML_MAP) {
        (void)read_path_or_template(rd, n, &e->id);
        return;
    }
    const struct yaml_node *hash = yaml_get(n, "hash");
    (void)read_map(rd, n, keys);
    if (!span_eqz(yaml_text(hash), "body"))
        report_at(rd->report, hash ? hash : n, "must be {hash: body}");
    e->id_is_body_hash = true;
}

static void read_time(struct reader *rd, const struct yaml_node *n, struct event_rule *e)
{
    static const char *const keys[] = {"from", "unit", NULL};
    if (!read_map(rd, n, keys))
        return;
    if (!yaml_get(n, "from") || !yaml_get(n, "unit"))
        report_at(rd->report, n, "must be {from: path, unit: s | ms | iso8601}");
    e->has_time = read_path(rd, yaml_get(n, "from"), false, &e->time);
    read_unit(rd, yaml_get(n, "unit"), &e->time_unit);
}

void manifest_read_event(struct reader *rd, const struct yaml_node *n)
{
    static const char *const keys[] = {"format", "each", "id",      "type", "time", "object",
                                       "kind",   "only", "account", "must", "api_version", NULL};
    static const char *const formats[] = {"json", "form", NULL};
    struct event_rule *e = &rd->m->event;
    unsigned format = 0;
    e->id_is_body_hash = !yaml_get(n, "id");
    if (!read_map(rd, n, keys))
        return;
    rd->secrets = false;
    rd->roots = ROOTS_REQUEST;
    if (read_word(rd, yaml_get(n, "format"), formats, &format))
        rd->m->body_is_form = format == 1;
    if (yaml_get(n, "each"))
        e->has_each = read_path(rd, yaml_get(n, "each"), true, &e->each);
    rd->roots = ROOTS_EVENT;
    if (yaml_get(n, "id"))
        read_id(rd, yaml_get(n, "id"), e);
    (void)read_path_or_template(rd, yaml_get(n, "type"), &e->type);
    read_time(rd, yaml_get(n, "time"), e);
    e->has_object = read_path(rd, yaml_get(n, "object"), false, &e->object);
    e->has_kind = read_path(rd, yaml_get(n, "kind"), false, &e->kind);
    e->has_account = read_path(rd, yaml_get(n, "account"), false, &e->account);
    e->has_api_version = read_path(rd, yaml_get(n, "api_version"), false, &e->api_version);
    read_conditions(rd, yaml_get(n, "only"), &e->only, &e->n_only);
    read_conditions(rd, yaml_get(n, "must"), &e->must, &e->n_must);
}
