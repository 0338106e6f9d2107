/* tables: of a source: which are in use, and the user's own rules for their columns. */
#include "config/internal.h"
#include "core/clock.h"
#include "core/codec.h"

#define COLUMN_DEPTH_MAX 16
#define EVERY_LEAST_US UINT64_C(1000000)

/* The table that a node names; NULL after a message. */
static const struct table_rule *find_table(struct loading *l, const struct source_config *s,
                                           const struct yaml_node *n, bool is_key)
{
    const char *name;
    if (is_key)
        name = arena_dup(l->c->arena, yaml_text(n));
    else if (!config_scalar(l, n, &name))
        return NULL;
    const struct table_rule *t =
        strcmp(name, "events") == 0 ? &manifest_events_table : manifest_table(s->manifest, span_of(name));
    if (t)
        return t;
    const struct manifest *m = s->manifest;
    const char **words = arena_alloc(l->c->arena, (m->n_tables + 2) * sizeof *words);
    for (size_t k = 0; k < m->n_tables; k++)
        words[k] = m->tables[k].name;
    words[m->n_tables] = "events";
    report_word(l->r, n, words);
    return NULL;
}

static struct span first_step(struct span path)
{
    struct span rest;
    return span_cut(path, '.', &rest);
}

static bool among(struct span column, const char *const *names)
{
    for (size_t i = 0; names && names[i]; i++)
        if (span_eq(column, first_step(span_of(names[i]))))
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
    if (t->rank_field && span_eq(column, first_step(span_of(t->rank_field))))
        return "the rank";
    if (t->partition && span_eq(column, first_step(span_of(t->partition))))
        return "the partition";
    return NULL;
}

static bool split(struct arena *a, struct column_rule *c)
{
    struct span rest = span_of(c->from);
    size_t n = 1;
    for (size_t i = 0; i < rest.n; i++)
        n += rest.p[i] == '.';
    if (n > COLUMN_DEPTH_MAX)
        return false;
    c->steps = arena_alloc(a, n * sizeof *c->steps);
    while (rest.p) {
        struct span step = span_cut(rest, '.', &rest);
        if (!step.n)
            return false;
        c->steps[c->n_steps++] = step;
    }
    return true;
}

/* Is the new name of a column free to take? A message when not. */
static bool name_free(struct loading *l, const struct table_config *t, const struct table_rule *rule,
                      const struct yaml_node *n, const char *name)
{
    struct span s = span_of(name);
    const char *fixed = why_fixed(rule, s);
    for (size_t i = 0; i < t->n_columns; i++)
        if (t->columns[i].action == COLUMN_RENAME && strcmp(t->columns[i].to, name) == 0) {
            report_at(l->r, n, "'%s' is the new name of %s already", name, t->columns[i].from);
            return false;
        }
    if (fixed)
        report_at(l->r, n, "'%s' is %s of %s: no other column can take its name", name, fixed, rule->name);
    else if (span_starts(s, SPAN_LIT("_sluice_")))
        report_at(l->r, n, "names that begin with _sluice_ are taken");
    else if (!s.n || s.n > 63 || strpbrk(name, ".[]{}\"' \t"))
        report_at(l->r, n, "must be drop, hash or a new name (at most 63 letters, digits and _)");
    else
        return true;
    return false;
}

static void read_column(struct loading *l, struct table_config *t, const struct table_rule *rule,
                        const struct yaml_node *key, const struct yaml_node *n)
{
    struct column_rule c = {.from = arena_dup(l->c->arena, yaml_text(key))};
    const char *fixed = why_fixed(rule, first_step(span_of(c.from))), *what;
    if (!split(l->c->arena, &c)) {
        report_at(l->r, key, "is no path of a column; write name or name.inner");
        return;
    }
    if (fixed) {
        report_at(l->r, key, "is %s of %s: rows would lose their identity or order; it can't be changed", fixed, rule->name);
        return;
    }
    if (yaml_kind(n) != YAML_SCALAR) {
        report_at(l->r, n, "must be drop, hash or a new name");
        return;
    }
    if (!config_scalar(l, n, &what))
        return;
    c.action = strcmp(what, "drop") == 0 ? COLUMN_DROP : strcmp(what, "hash") == 0 ? COLUMN_HASH : COLUMN_RENAME;
    if (c.action == COLUMN_RENAME && !name_free(l, t, rule, n, what))
        return;
    c.to = c.action == COLUMN_RENAME ? what : NULL;
    t->columns[t->n_columns++] = c;
}

static void read_columns(struct loading *l, struct table_config *t, const struct table_rule *rule,
                         const struct yaml_node *n)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(l->r, n, "must be a map: {column: drop | hash | new_name}");
        return;
    }
    t->columns = arena_alloc(l->c->arena, (yaml_count(n) + 1) * sizeof *t->columns);
    for (size_t i = 0; i < yaml_count(n); i++)
        read_column(l, t, rule, yaml_key(n, i), yaml_value(n, i));
}

static void read_settings(struct loading *l, struct table_config *t, const struct table_rule *rule,
                          const struct yaml_node *n)
{
    static const char *const keys[] = {"columns", "every", "deletes", "mode", "history", NULL};
    static const char *const deletes[] = {"flag", "remove", NULL};
    const char *text;
    size_t i;
    if (yaml_kind(n) == YAML_NULL)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(l->r, n, "must be a map: {columns: {…}, every: 1h, deletes: flag}");
        return;
    }
    report_unknown_keys(l->r, n, keys);
    if (yaml_get(n, "mode"))
        report_at(l->r, yaml_get(n, "mode"),
                  "not in this version: every pull goes on from its watermark; `sluice backfill --full` reads all");
    if (yaml_get(n, "history"))
        report_at(l->r, yaml_get(n, "history"), "not in this version: a table holds the newest state of each row");
    read_columns(l, t, rule, yaml_get(n, "columns"));
    const struct yaml_node *every = yaml_get(n, "every");
    if (every && config_scalar(l, every, &text)) {
        if (!clock_parse_duration(span_of(text), &t->every_us) || t->every_us < EVERY_LEAST_US)
            report_at(l->r, every, "'%s' is no duration of a second or more; write 15m, 1h, 1d",
                      config_shown(l, every, text));
        else if (!rule->has_path)
            report_at(l->r, every, "%s has no list API to pull from", rule->name);
    }
    if (config_word(l, yaml_get(n, "deletes"), deletes, &i))
        t->flag_deletes = i == 0;
}

void config_read_tables(struct loading *l, struct source_config *s, const struct yaml_node *n)
{
    if (!n)
        return;
    bool map = yaml_kind(n) == YAML_MAP;
    if ((!map && yaml_kind(n) != YAML_LIST) || !yaml_count(n)) {
        report_at(l->r, n,
                  "must be a list of tables, or a map of tables with settings; all are in use where it is left out");
        return;
    }
    s->all_tables = false;
    s->tables = arena_alloc(l->c->arena, (yaml_count(n) + 1) * sizeof *s->tables);
    for (size_t i = 0; i < yaml_count(n); i++) {
        const struct yaml_node *name = map ? yaml_key(n, i) : yaml_item(n, i);
        if (map && span_eqz(yaml_text(name), "all") && !manifest_table(s->manifest, SPAN_LIT("all"))) {
            s->all_tables = true;
            if (yaml_kind(yaml_value(n, i)) != YAML_NULL)
                report_at(l->r, yaml_value(n, i), "takes no settings: it says that the tables without any are in use too");
            continue;
        }
        const struct table_rule *rule = find_table(l, s, name, map);
        if (!rule)
            continue;
        if (source_table_config(s, span_of(rule->name))) {
            report_at(l->r, name, "%s is there twice", rule->name);
            continue;
        }
        struct table_config *t = &s->tables[s->n_tables++];
        *t = (struct table_config){.name = rule->name};
        if (map)
            read_settings(l, t, rule, yaml_value(n, i));
    }
}

/* With its length in front, so that no two lists of texts read the same. */
static void add_text(struct buf *b, const char *text)
{
    buf_addf(b, " %zu:%s", text ? strlen(text) : 0, text ? text : "");
}

static void add_table(struct buf *b, const struct table_config *t)
{
    if (!t)
        return;
    buf_addz(b, "table");
    add_text(b, t->name);
    buf_addc(b, '\n');
    for (size_t i = 0; i < t->n_columns; i++) { /* as written: they are applied in this order */
        buf_addf(b, "column %d", t->columns[i].action);
        add_text(b, t->columns[i].from);
        add_text(b, t->columns[i].to);
        buf_addc(b, '\n');
    }
}

/* Whatever of the configuration decides which rows an entry becomes. Schedules, secrets and the order in which tables are
 * written do not. */
uint64_t config_fingerprint(const struct source_config *s)
{
    struct buf b;
    buf_init(&b, 0);
    buf_addf(&b, "manifest %016llx accounts %d all %d\n", (unsigned long long)s->manifest->fingerprint,
             s->accounts_many, s->all_tables);
    for (size_t i = 0; i < s->n_values; i++) /* `only` and `must` look at them */
        if (!s->values[i].secret) {
            buf_addz(&b, "value");
            add_text(&b, s->values[i].name);
            add_text(&b, s->values[i].text);
            buf_addc(&b, '\n');
        }
    for (size_t i = 0; i < s->manifest->n_tables; i++)
        add_table(&b, source_table_config(s, span_of(s->manifest->tables[i].name)));
    add_table(&b, source_table_config(s, SPAN_LIT("events")));
    uint64_t h = hash64(buf_span(&b));
    buf_release(&b);
    return h;
}
