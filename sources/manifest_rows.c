#include "sources/reader.h"
#include <ctype.h>

/* ---- deleted ---- */

/* Deletes are named one by one: a pattern could take a cancellation for a delete. */
static void read_delete_types(struct reader *rd, const struct yaml_node *n, struct delete_rule *d)
{
    read_types(rd, n, &d->types);
    for (size_t i = 0; d->types && d->types[i]; i++) {
        if (strchr(d->types[i], '*')) {
            report_at(rd->report, n, "'%s': name each event that deletes; a * could take another for one", d->types[i]);
            return;
        }
    }
}

static bool is_rule_map(const struct yaml_node *n) /* else a map of conditions: its keys are paths */
{
    for (size_t i = 0; i < yaml_count(n); i++) {
        struct span key = yaml_text(yaml_key(n, i));
        if (!memchr(key.p, '.', key.n) && !memchr(key.p, '[', key.n))
            return true;
    }
    return false;
}

static void check_delete_key(struct reader *rd, const struct yaml_node *n, const struct delete_rule *d,
                             const struct table_rule *t)
{
    for (size_t i = 0; i < d->n_key; i++) {
        if (t->key && !strings_have(t->key, span_of(d->key[i].column)))
            report_at(rd->report, yaml_key(n, i), "'%s' is no column of the table's key", d->key[i].column);
    }
}

static void read_delete(struct reader *rd, const struct yaml_node *n, const struct table_rule *t, struct delete_rule *d)
{
    static const char *const keys[] = {"type", "each", "key", "when", NULL};
    if (yaml_kind(n) == YAML_SCALAR) {
        read_delete_types(rd, n, d);
        return;
    }
    if (yaml_kind(n) == YAML_MAP && yaml_count(n) && !is_rule_map(n)) {
        read_conditions(rd, n, &d->when, &d->n_when);
        return;
    }
    if (!read_map(rd, n, keys))
        return;
    if (!yaml_get(n, "type") && !yaml_get(n, "when"))
        report_at(rd->report, n, "must say which events delete: `type`, `when` or both");
    read_delete_types(rd, yaml_get(n, "type"), d);
    read_conditions(rd, yaml_get(n, "when"), &d->when, &d->n_when);
    d->has_each = read_path(rd, yaml_get(n, "each"), true, &d->each);
    read_key_map(rd, yaml_get(n, "key"), &d->key, &d->n_key);
    if (yaml_get(n, "each") && !yaml_get(n, "key"))
        report_at(rd->report, n, "`each` needs `key`: {column: item.…}");
    check_delete_key(rd, yaml_get(n, "key"), d, t);
}

void manifest_read_deletes(struct reader *rd, const struct yaml_node *n, struct table_rule *t)
{
    if (!n)
        return;
    bool list = yaml_kind(n) == YAML_LIST;
    size_t count = list ? yaml_count(n) : 1;
    if (count == 0)
        report_at(rd->report, n, "an empty list; leave `deleted` out where nothing deletes");
    t->deletes = arena_alloc(rd->arena, (count + 1) * sizeof(*t->deletes));
    for (size_t i = 0; i < count; i++)
        read_delete(rd, list ? yaml_item(n, i) : n, t, &t->deletes[i]);
    t->n_deletes = count;
}

/* ---- columns ---- */

static bool is_number(struct span s)
{
    size_t i = s.n && s.p[0] == '-';
    if (i == s.n || (s.p[i] == '0' && s.n > i + 1))
        return false;
    for (; i < s.n; i++) {
        if (!isdigit((unsigned char)s.p[i]))
            return false;
    }
    return true;
}

static const char *constant_json(struct reader *rd, const struct yaml_node *n)
{
    struct span s = yaml_text(n);
    if (yaml_kind(n) == YAML_NULL)
        return "null";
    if (!yaml_quoted(n) && (is_number(s) || span_eqz(s, "true") || span_eqz(s, "false")))
        return arena_dup(rd->arena, s);
    struct buf text;
    buf_init(&text, 0);
    json_write_string(&text, s);
    const char *json = arena_dup(rd->arena, buf_span(&text));
    buf_release(&text);
    return json;
}

static void split_steps(struct reader *rd, struct column_rule *c)
{
    struct span rest = span_of(c->from);
    size_t n = 1;
    for (const char *p = c->from; *p; p++)
        n += *p == '.';
    c->steps = arena_alloc(rd->arena, n * sizeof(*c->steps));
    while (rest.p)
        c->steps[c->n_steps++] = span_cut(rest, '.', &rest);
}

static void read_column_map(struct reader *rd, const struct yaml_node *n, struct column_rule *c)
{
    static const char *const keys[] = {"from", "constant", "rename", NULL};
    const struct yaml_node *constant = yaml_get(n, "constant");
    if (!read_map(rd, n, keys))
        return;
    if (yaml_count(n) != 1) {
        report_at(rd->report, n, "must be one of {from: path}, {constant: value}, {rename: column}");
        return;
    }
    c->to = c->from;
    if (constant && yaml_kind(constant) != YAML_SCALAR && yaml_kind(constant) != YAML_NULL)
        report_at(rd->report, constant, "must be one value");
    if (yaml_get(n, "rename")) {
        c->action = COLUMN_RENAME;
        read_text(rd, yaml_get(n, "rename"), &c->to);
    } else if (yaml_get(n, "from")) {
        c->action = COLUMN_FROM;
        (void)read_path(rd, yaml_get(n, "from"), false, &c->path);
    } else if (constant) {
        c->action = COLUMN_CONST;
        c->text = constant_json(rd, constant);
    }
    if (c->action != COLUMN_RENAME && strchr(c->from, '.'))
        report_at(rd->report, n, "'%s' must be a column of its own, without dots", c->from);
}

static void read_column(struct reader *rd, const struct yaml_node *key, const struct yaml_node *n,
                        const struct table_rule *t, struct column_rule *c)
{
    struct span text = yaml_text(n);
    c->from = arena_dup(rd->arena, yaml_text(key));
    split_steps(rd, c);
    for (size_t i = 0; i < c->n_steps; i++) {
        if (c->steps[i].n == 0) {
            report_at(rd->report, key, "'%s': a step has no name", c->from);
            return;
        }
    }
    if (yaml_kind(n) == YAML_MAP) {
        read_column_map(rd, n, c);
    } else if (yaml_kind(n) != YAML_SCALAR || text.n == 0) {
        report_at(rd->report, n, "must be drop, hash, a new name, {from: path} or {constant: value}");
    } else if (span_eqz(text, "drop") || span_eqz(text, "hash")) {
        c->action = text.p[0] == 'd' ? COLUMN_DROP : COLUMN_HASH;
        if (strings_have(t->key, span_of(c->from)))
            report_at(rd->report, n, "'%s' is part of the table's key and must stay", c->from);
    } else {
        c->action = COLUMN_RENAME;
        c->to = arena_dup(rd->arena, text);
    }
    if (c->action == COLUMN_RENAME && c->to && strchr(c->to, '.'))
        report_at(rd->report, n, "'%s' must be a column's name, without dots", c->to);
}

void manifest_read_columns(struct reader *rd, const struct yaml_node *n, struct table_rule *t)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(rd->report, n, "must be a map (column: drop, hash, a new name, {from: path} or {constant: value})");
        return;
    }
    t->columns = arena_alloc(rd->arena, (yaml_count(n) + 1) * sizeof(*t->columns));
    for (size_t i = 0; i < yaml_count(n); i++)
        read_column(rd, yaml_key(n, i), yaml_value(n, i), t, &t->columns[i]);
    t->n_columns = yaml_count(n);
}

/* ---- lacks, rank ---- */

static void read_door(struct reader *rd, const struct yaml_node *n, const struct table_rule *t, struct lacks_rule *ret)
{
    if (!n)
        return;
    if (yaml_kind(n) == YAML_SCALAR && span_eqz(yaml_text(n), "others")) {
        if (!t->n_columns)
            report_at(rd->report, n, "`others` are those that `columns` does not name, and there is no `columns`");
        ret->kind = LACKS_OTHERS;
        return;
    }
    if (yaml_kind(n) != YAML_LIST) {
        report_at(rd->report, n, "must be a list of columns, or `others`");
        return;
    }
    ret->kind = LACKS_LIST;
    read_strings(rd, n, &ret->columns);
    for (size_t i = 0; t->key && t->key[i]; i++) {
        if (strings_have(ret->columns, span_of(t->key[i])))
            report_at(rd->report, n, "'%s' is part of the table's key: no door can lack it", t->key[i]);
    }
}

void manifest_read_lacks(struct reader *rd, const struct yaml_node *n, struct table_rule *t)
{
    static const char *const keys[] = {"push", "pull", NULL};
    if (!read_map(rd, n, keys))
        return;
    read_door(rd, yaml_get(n, "push"), t, &t->lacks_push);
    read_door(rd, yaml_get(n, "pull"), t, &t->lacks_pull);
}

void manifest_read_rank(struct reader *rd, const struct yaml_node *n, struct table_rule *t)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP || yaml_count(n) != 1 || yaml_kind(yaml_value(n, 0)) != YAML_LIST) {
        report_at(rd->report, n, "must be {field: [lowest, …, highest]}");
        return;
    }
    t->rank_field = arena_dup(rd->arena, yaml_text(yaml_key(n, 0)));
    read_strings(rd, yaml_value(n, 0), &t->rank);
}
