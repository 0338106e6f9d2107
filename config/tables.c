/* tables: of a source: which are in use, and the user's own rules for their columns. */
#include "config/internal.h"
#include "core/clock.h"
#include "core/codec.h"
#include <stdlib.h>

static const struct table_rule *find_table(struct loading *l, const struct source_config *s, const struct yaml_node *n)
{
    struct span name = yaml_text(n);
    const struct table_rule *t = span_eqz(name, "events") ? &manifest_events_table : manifest_table(s->manifest, name);
    if (t)
        return t;
    const char *words[257];
    size_t k = 0;
    for (; k < s->manifest->n_tables && k < 255; k++)
        words[k] = s->manifest->tables[k].name;
    words[k++] = "events";
    words[k] = NULL;
    report_word(l->r, n, words);
    return NULL;
}

static bool among(struct span column, const char *const *names)
{
    for (size_t i = 0; names && names[i]; i++)
        if (span_eqz(column, names[i]))
            return true;
    return false;
}

/* The order and identity of rows must not depend on what a user drops. */
static const char *why_fixed(const struct table_rule *t, struct span column)
{
    if (among(column, t->key))
        return "the key";
    if (among(column, t->version))
        return "the version";
    if (t->rank_field && span_eqz(column, t->rank_field))
        return "the rank";
    if (t->partition && span_eqz(column, t->partition))
        return "the partition";
    return NULL;
}

static void split(struct arena *a, struct column_rule *c)
{
    struct span rest = span_of(c->from);
    size_t n = 1;
    for (size_t i = 0; i < rest.n; i++)
        n += rest.p[i] == '.';
    c->steps = arena_alloc(a, n * sizeof *c->steps);
    while (rest.p)
        c->steps[c->n_steps++] = span_cut(rest, '.', &rest);
}

static void read_columns(struct loading *l, struct table_config *t, const struct table_rule *rule, const struct yaml_node *n)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(l->r, n, "must be a map: {column: drop | hash | new_name}");
        return;
    }
    t->columns = arena_alloc(l->c->arena, (yaml_count(n) + 1) * sizeof *t->columns);
    for (size_t i = 0; i < yaml_count(n); i++) {
        struct span path = yaml_text(yaml_key(n, i)), what = yaml_text(yaml_value(n, i)), rest;
        const char *fixed = why_fixed(rule, span_cut(path, '.', &rest));
        if (fixed) {
            report_at(l->r, yaml_key(n, i), "is %s of %s: rows would lose their identity or order; it can't be changed", fixed, rule->name);
            continue;
        }
        if (yaml_kind(yaml_value(n, i)) != YAML_SCALAR || !what.n || memchr(what.p, '.', what.n)) {
            report_at(l->r, yaml_value(n, i), "must be drop, hash or a new name");
            continue;
        }
        struct column_rule *c = &t->columns[t->n_columns++];
        *c = (struct column_rule){.from = arena_dup(l->c->arena, path)};
        split(l->c->arena, c);
        c->action = span_eqz(what, "drop") ? COLUMN_DROP : span_eqz(what, "hash") ? COLUMN_HASH : COLUMN_RENAME;
        c->to = c->action == COLUMN_RENAME ? arena_dup(l->c->arena, what) : NULL;
    }
}

static void read_settings(struct loading *l, struct table_config *t, const struct table_rule *rule, const struct yaml_node *n)
{
    static const char *const keys[] = {"columns", "every", "deletes", NULL};
    static const char *const deletes[] = {"flag", "remove", NULL};
    if (yaml_kind(n) == YAML_NULL)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(l->r, n, "must be a map: {columns: …, every: 1h, deletes: flag}");
        return;
    }
    report_unknown_keys(l->r, n, keys);
    read_columns(l, t, rule, yaml_get(n, "columns"));
    const struct yaml_node *every = yaml_get(n, "every"), *how = yaml_get(n, "deletes");
    if (every && (!clock_parse_duration(yaml_text(every), &t->every_us) || !t->every_us))
        report_at(l->r, every, "is no duration; write 15m, 1h, 1d");
    if (every && !rule->has_path)
        report_at(l->r, every, "%s has no list API to pull from", rule->name);
    t->flag_deletes = how && span_eqz(yaml_text(how), "flag");
    if (how && !t->flag_deletes && !span_eqz(yaml_text(how), "remove"))
        report_word(l->r, how, deletes);
}

void config_read_tables(struct loading *l, struct source_config *s, const struct yaml_node *n)
{
    if (!n)
        return;
    bool map = yaml_kind(n) == YAML_MAP;
    if (!map && yaml_kind(n) != YAML_LIST) {
        report_at(l->r, n, "must be a list of tables, or a map of tables with settings");
        return;
    }
    s->all_tables = false;
    s->tables = arena_alloc(l->c->arena, (yaml_count(n) + 1) * sizeof *s->tables);
    for (size_t i = 0; i < yaml_count(n); i++) {
        const struct yaml_node *name = map ? yaml_key(n, i) : yaml_item(n, i);
        if (map && span_eqz(yaml_text(name), "all")) {
            s->all_tables = true;
            continue;
        }
        const struct table_rule *rule = find_table(l, s, name);
        if (!rule)
            continue;
        struct table_config *t = &s->tables[s->n_tables++];
        *t = (struct table_config){.name = rule->name};
        if (map)
            read_settings(l, t, rule, yaml_value(n, i));
    }
}

uint64_t config_fingerprint(const struct source_config *s)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_addf(&b, "manifest %016llx accounts %d all %d\n", (unsigned long long)s->manifest->fingerprint, s->accounts_many, s->all_tables);
    for (size_t i = 0; i < s->n_values; i++) /* `only` and `must` look at them */
        if (!s->values[i].secret)
            buf_addf(&b, "value %s %s\n", s->values[i].name, s->values[i].text);
    for (size_t i = 0; i < s->n_tables; i++) {
        buf_addf(&b, "table %s\n", s->tables[i].name);
        for (size_t k = 0; k < s->tables[i].n_columns; k++) {
            const struct column_rule *c = &s->tables[i].columns[k];
            buf_addf(&b, "column %s %d %s\n", c->from, c->action, c->to ? c->to : "");
        }
    }
    uint64_t h = hash64(buf_span(&b));
    buf_release(&b);
    return h;
}
