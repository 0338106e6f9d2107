#include "sources/reader.h"

/* What `defaults` may give to every table; a table's own word goes before. */
#define SHARED_KEYS "key", "version", "partition", "query", "page", "order", "since", "rank", "keep", "lacks", "columns"
static const char *const shared_keys[] = {SHARED_KEYS, NULL};
static const char *const table_keys[] = {SHARED_KEYS, "kind",     "types", "when",  "object", "each", "deleted",
                                         "path",      "for_each", "carry", "scope", NULL};

/* ---- names ---- */

static void check_name(struct reader *rd, const struct yaml_node *key)
{
    static const char *const reserved[] = {"body",   "form",   "header", "query", "method", "url",       "config", "secret",
                                           "time",   "event",  "object", "record", "item",  "signature", "table",  "source",
                                           "events", NULL};
    struct span s = yaml_text(key);
    bool ok = s.n > 0 && s.n <= 63 && s.p[0] >= 'a' && s.p[0] <= 'z';
    for (size_t i = 0; ok && i < s.n; i++)
        ok = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_';
    if (!ok)
        report_at(rd->report, key, "a table's name is made of a-z, 0-9 and _, and begins with a letter");
    else if (span_eqz(s, "events"))
        report_at(rd->report, key, "`events` is there already: every source has it");
    else if (strings_have(reserved, s))
        report_at(rd->report, key, "'%.*s' has a meaning of its own in paths; choose another name", SPAN_ARG(s));
}

/* The tables above `name`, nearest first: their names are roots in its paths. false: a cycle. */
static bool find_parents(const struct yaml_node *tables, const struct yaml_node *table, const char **ret)
{
    size_t n = 0;
    const struct yaml_node *above = yaml_get(table, "for_each");
    ret[0] = NULL;
    while (yaml_kind(above) == YAML_SCALAR) {
        const struct yaml_node *parent = NULL;
        for (size_t i = 0; i < yaml_count(tables) && !parent; i++) {
            if (span_eq(yaml_text(yaml_key(tables, i)), yaml_text(above)))
                parent = yaml_value(tables, i);
        }
        if (!parent)
            return true;
        if (parent == table || n == yaml_count(tables))
            return false;
        ret[n++] = yaml_text(above).p; /* a scalar's text ends with NUL and lives as long as the file is read */
        ret[n] = NULL;
        above = yaml_get(parent, "for_each");
    }
    return true;
}

static void read_for_each(struct reader *rd, const struct yaml_node *tables, const struct yaml_node *n,
                          struct table_rule *t)
{
    const char **names = arena_alloc(rd->arena, (yaml_count(tables) + 1) * sizeof(*names));
    const struct yaml_node *parent = NULL;
    if (!n)
        return;
    read_text(rd, n, &t->for_each);
    if (!t->for_each)
        return;
    for (size_t i = 0; i < yaml_count(tables); i++) {
        names[i] = arena_dup(rd->arena, yaml_text(yaml_key(tables, i)));
        if (strcmp(names[i], t->for_each) == 0)
            parent = yaml_value(tables, i);
    }
    if (!parent) {
        const char *near = nearest_word(span_of(t->for_each), names);
        report_at(rd->report, n, "there is no table '%s'%s%s%s", t->for_each, near ? " (did you mean " : "",
                  near ? near : "", near ? "?)" : "");
    } else if (!yaml_get(parent, "path")) {
        report_at(rd->report, n, "'%s' has no `path`: its rows are never pulled", t->for_each);
    }
}

/* ---- identity and order ---- */

static void read_version(struct reader *rd, const struct yaml_node *n, struct table_rule *t)
{
    static const char *const keys[] = {"field", "unit", NULL};
    if (yaml_kind(n) != YAML_MAP) {
        read_strings(rd, n, &t->version);
        return;
    }
    (void)read_map(rd, n, keys);
    if (!yaml_get(n, "field"))
        report_at(rd->report, n, "no `field`; the field or fields that only grow");
    read_strings(rd, yaml_get(n, "field"), &t->version);
    read_unit(rd, yaml_get(n, "unit"), &t->version_unit);
}

/* What `defaults` and tables have in common. */
static void read_shared(struct reader *rd, const struct yaml_node *n, struct table_rule *t)
{
    const struct yaml_node *query = yaml_get(n, "query"), *order = yaml_get(n, "order");
    read_strings(rd, yaml_get(n, "key"), &t->key);
    t->n_key = strings_count(t->key);
    if (yaml_get(n, "version"))
        read_version(rd, yaml_get(n, "version"), t);
    read_text(rd, yaml_get(n, "partition"), &t->partition);
    manifest_read_rank(rd, yaml_get(n, "rank"), t);
    rd->roots = ROOTS_TABLE;
    rd->secrets = false;
    read_conditions(rd, yaml_get(n, "keep"), &t->keep, &t->n_keep);
    manifest_read_columns(rd, yaml_get(n, "columns"), t);
    manifest_read_lacks(rd, yaml_get(n, "lacks"), t);
    rd->roots = ROOTS_CALL;
    rd->secrets = true;
    read_params(rd, query, &t->query, &t->n_query);
    if (yaml_kind(order) == YAML_SCALAR && span_eqz(yaml_text(order), "none")) {
        t->order_field = NULL;
        t->order_desc = false;
    } else {
        read_order(rd, order, &t->order_field, &t->order_desc);
    }
    manifest_read_page(rd, yaml_get(n, "page"), &t->page);
    manifest_read_since(rd, yaml_get(n, "since"), t->order_desc ? t->order_field : NULL, &t->since);
    if (t->since.kind == SINCE_STOP)
        t->since.unit = t->version_unit;
}

/* ---- one table ---- */

static void read_events(struct reader *rd, const struct yaml_node *n, struct table_rule *t)
{
    rd->roots = ROOTS_TABLE;
    rd->secrets = false;
    read_text(rd, yaml_get(n, "kind"), &t->kind);
    read_types(rd, yaml_get(n, "types"), &t->types);
    read_conditions(rd, yaml_get(n, "when"), &t->when, &t->n_when);
    t->has_object = read_path(rd, yaml_get(n, "object"), false, &t->object);
    t->has_each = read_path(rd, yaml_get(n, "each"), true, &t->each);
    if (yaml_get(n, "object") && yaml_get(n, "each"))
        report_at(rd->report, yaml_get(n, "object"), "either `object` or `each`");
    if (t->kind && !rd->m->event.has_kind)
        report_at(rd->report, yaml_get(n, "kind"), "`event` does not say where the kind is: `event.kind`");
    if (t->types && !rd->m->event.type.n_parts)
        report_at(rd->report, yaml_get(n, "types"), "`event` does not say where the type is: `event.type`");
    manifest_read_deletes(rd, yaml_get(n, "deleted"), t);
}

static bool template_speaks_of(const struct template *t, const char *parent)
{
    for (size_t i = 0; i < t->n_parts; i++) {
        if (!t->parts[i].literal && t->parts[i].path.root == ROOT_PARENT && span_eqz(t->parts[i].path.name, parent))
            return true;
    }
    return false;
}

static void check_path(struct reader *rd, const struct yaml_node *n, const struct table_rule *t)
{
    const struct yaml_node *path = yaml_get(n, "path");
    if (t->path.text[0] != '/' && t->path.text[0] != '{' && !span_starts(span_of(t->path.text), SPAN_LIT("https://")))
        report_at(rd->report, path, "'%s' must begin with /", t->path.text);
    if (!rd->m->api.present)
        report_at(rd->report, path, "there is no `api` to call");
    else if (!t->page.records.text && !t->page.records_is_root)
        report_at(rd->report, path, "nothing says where the records of a page are: `page: {records: body.…}` here or in `api`");
    bool speaks = !t->for_each || template_speaks_of(&t->path, t->for_each);
    for (size_t i = 0; i < t->n_query && !speaks; i++)
        speaks = template_speaks_of(&t->query[i].value, t->for_each);
    if (!speaks && rd->parents && rd->parents[0])
        report_at(rd->report, path, "it is called for each of %s, and must speak of it: {%s.…}", t->for_each, t->for_each);
}

static void read_calls(struct reader *rd, const struct yaml_node *n, struct table_rule *t)
{
    rd->roots = ROOTS_CALL;
    rd->secrets = true;
    t->has_path = read_template(rd, yaml_get(n, "path"), &t->path);
    read_text(rd, yaml_get(n, "scope"), &t->scope);
    rd->roots = ROOT(PARENT) | ROOT(CONFIG);
    rd->secrets = false;
    read_key_map(rd, yaml_get(n, "carry"), &t->carry, &t->n_carry);
    if (t->has_path)
        check_path(rd, n, t);
    else if (yaml_get(n, "for_each") && !yaml_get(n, "path"))
        report_at(rd->report, yaml_get(n, "for_each"), "it says nothing without `path`");
}

static void read_table(struct reader *rd, const struct yaml_node *tables, size_t i, const struct table_rule *base)
{
    const struct yaml_node *key = yaml_key(tables, i), *n = yaml_value(tables, i);
    struct table_rule *t = &rd->m->tables[i];
    const char **parents = arena_alloc(rd->arena, (yaml_count(tables) + 2) * sizeof(*parents));
    *t = *base;
    t->name = arena_dup(rd->arena, yaml_text(key));
    check_name(rd, key);
    if (!read_map(rd, n, table_keys))
        return;
    if (!find_parents(tables, n, parents))
        report_at(rd->report, yaml_get(n, "for_each"), "the tables stand for each other in a circle");
    rd->parents = parents;
    read_for_each(rd, tables, yaml_get(n, "for_each"), t);
    read_shared(rd, n, t);
    read_events(rd, n, t);
    read_calls(rd, n, t);
    rd->parents = NULL;
    if (!t->key && !yaml_get(n, "key"))
        report_at(rd->report, n, "no `key`; name the column or columns that make a row one");
    if (!t->has_path && !t->kind && !t->types && !t->n_when && !t->n_deletes && !yaml_get(n, "path") &&
        !yaml_get(n, "types") && !yaml_get(n, "when"))
        report_at(rd->report, n, "no row can come: neither events (`types`, `kind`, `when`) nor a list to pull (`path`)");
}

void manifest_read_tables(struct reader *rd, const struct yaml_node *tables, const struct yaml_node *defaults)
{
    struct table_rule base = {
        .page = rd->m->api.page,
        .since = rd->m->api.since,
        .order_field = rd->m->api.order_field,
        .order_desc = rd->m->api.order_desc,
    };
    if (defaults && read_map(rd, defaults, shared_keys))
        read_shared(rd, defaults, &base);
    if (!tables)
        return;
    if (yaml_kind(tables) != YAML_MAP) {
        report_at(rd->report, tables, "must be a map (table: {…})");
        return;
    }
    size_t count = yaml_count(tables);
    rd->m->tables = arena_alloc(rd->arena, (count + 1) * sizeof(*rd->m->tables));
    rd->m->n_tables = count;
    for (size_t i = 0; i < count; i++)
        read_table(rd, tables, i, &base);
}
