#include "sources/manifest.h"
#include "core/codec.h"
#include "sources/reader.h"

static const char *events_key[] = {"id", NULL};
const struct table_rule manifest_events_table = {.name = "events", .key = events_key, .n_key = 1};

static void read_head(struct reader *rd, const struct yaml_node *root)
{
    static const char *const states[] = {"alpha", "beta", "ga", NULL};
    struct manifest *m = rd->m;
    const struct yaml_node *version = yaml_get(root, "sluice"), *name = yaml_get(root, "name");
    unsigned state = 0;
    if (!version)
        report_at(rd->report, root, "no `sluice`; the version of the manifest language: `sluice: 1`");
    else if (!span_eqz(yaml_text(version), "1"))
        report_at(rd->report, version, "must be 1, the version of the manifest language that this program reads");
    if (!name)
        report_at(rd->report, root, "no `name`");
    m->name = m->title = "";
    read_text(rd, name, &m->name);
    for (const char *p = m->name; *p; p++) {
        bool ok = (*p >= 'a' && *p <= 'z') || (p > m->name && ((*p >= '0' && *p <= '9') || *p == '-' || *p == '_'));
        if (!ok) {
            report_at(rd->report, name, "'%s': a name is made of a-z, 0-9, - and _, and begins with a letter", m->name);
            break;
        }
    }
    m->title = m->name;
    read_text(rd, yaml_get(root, "title"), &m->title);
    (void)read_word(rd, yaml_get(root, "status"), states, &state);
    m->status = states[state];
    read_text(rd, yaml_get(root, "docs"), &m->docs);
    read_text(rd, yaml_get(root, "notes"), &m->notes);
}

/* In the order in which blocks refer to each other: fields, then whatever speaks of config; api before tables. */
static void read_blocks(struct reader *rd, const struct yaml_node *root)
{
    static const char *const keys[] = {"sluice",    "name",   "title", "status", "docs", "notes",    "config", "verify",
                                       "handshake", "answer", "event", "api",    "feed", "defaults", "tables", "webhook",
                                       NULL};
    if (yaml_kind(root) != YAML_MAP) {
        report_at(rd->report, root, "a manifest is a map that begins with `sluice: 1` and `name:`");
        return;
    }
    report_unknown_keys(rd->report, root, keys);
    read_head(rd, root);
    manifest_read_fields(rd, yaml_get(root, "config"));
    if (yaml_get(root, "verify"))
        manifest_read_schemes(rd, yaml_get(root, "verify"));
    else
        report_at(rd->report, root, "no `verify`; how requests are signed, or `none`");
    manifest_read_handshakes(rd, yaml_get(root, "handshake"));
    manifest_read_answer(rd, yaml_get(root, "answer"));
    manifest_read_event(rd, yaml_get(root, "event"));
    manifest_read_api(rd, yaml_get(root, "api"));
    manifest_read_feed(rd, yaml_get(root, "feed"));
    manifest_read_tables(rd, yaml_get(root, "tables"), yaml_get(root, "defaults"));
    manifest_read_webhook(rd, yaml_get(root, "webhook"));
}

struct manifest *manifest_parse(const char *file, struct span bytes, struct report *r)
{
    unsigned before = r->count;
    struct yaml *y = yaml_parse(file, bytes, r);
    if (!y)
        return NULL;
    struct arena *arena = arena_new();
    struct manifest *m = arena_alloc(arena, sizeof(*m));
    m->arena = arena;
    m->file = arena_dup(arena, span_of(file));
    m->fingerprint = hash64(bytes);
    struct reader rd = {.arena = arena, .report = r, .m = m};
    read_blocks(&rd, yaml_root(y));
    yaml_free(&y);
    if (r->count != before)
        manifest_free(&m);
    return m;
}

void manifest_free(struct manifest **m)
{
    if (!*m)
        return;
    struct arena *arena = (*m)->arena;
    *m = NULL;
    arena_free(&arena);
}

const struct table_rule *manifest_table(const struct manifest *m, struct span name)
{
    for (size_t i = 0; i < m->n_tables; i++) {
        if (span_eqz(name, m->tables[i].name))
            return &m->tables[i];
    }
    return NULL;
}

const struct field_rule *manifest_field(const struct manifest *m, struct span name)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        if (span_eqz(name, m->fields[i].name))
            return &m->fields[i];
    }
    return NULL;
}
