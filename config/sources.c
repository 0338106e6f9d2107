/* The sources: of the configuration: each with its manifest, secrets, values and tables. */
#include "config/internal.h"
#include "core/clock.h"
#include "core/codec.h"
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

const char *const config_source_keys[] = {"manifest", "secrets", "config",  "base_url", "public_url",    "tables",
                                          "verification", "verify", "webhook", "accounts", "backfill_from", "secrets_until",
                                          NULL};

static bool name_ok(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (i && ((c >= '0' && c <= '9') || c == '_'))))
            return false;
    }
    return s.n > 0 && s.n <= 31;
}

static void read_secrets(struct loading *l, struct source_config *s, const struct yaml_node *list)
{
    if (!list)
        return;
    if (yaml_kind(list) != YAML_LIST) {
        report_at(l->r, list, "must be a list: [{file: ./secrets/name}]");
        return;
    }
    s->secrets = arena_alloc(l->c->arena, (yaml_count(list) + 1) * sizeof *s->secrets);
    for (size_t i = 0; i < yaml_count(list); i++)
        if (config_read_secret_ref(l, yaml_item(list, i), &s->secrets[s->n_secrets]))
            s->n_secrets++;
}

static bool matches(const char *pattern, const char *text)
{
    regex_t re;
    if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return true; /* the manifest's mistake, told when it was read */
    bool ok = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return ok;
}

/* `shown`: how a message may call the value. */
static void check_value(struct loading *l, const struct yaml_node *n, const struct field_rule *f, const char *text,
                        const char *shown)
{
    if (f->type == FIELD_SWITCH && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        report_at(l->r, n, "%s is not one of true, false", shown);
    if (f->type == FIELD_SELECT && f->options) {
        struct buf list;
        buf_init(&list, 4096);
        bool found = false;
        for (size_t i = 0; f->options[i]; i++) {
            buf_addf(&list, "%s%s", i ? ", " : "", f->options[i]);
            found = found || strcmp(f->options[i], text) == 0;
        }
        const char *near = found ? NULL : nearest_word(span_of(text), (const char *const *)f->options);
        if (!found)
            report_at(l->r, n, "%s is not one of %s%s%s%s", shown, buf_z(&list), near ? " (did you mean " : "",
                      near ? near : "", near ? "?)" : "");
        buf_release(&list);
    }
    if (f->pattern && !matches(f->pattern, text))
        report_at(l->r, n, "%s does not match %s%s%s", shown, f->pattern, f->help ? ": " : "", f->help ? f->help : "");
}

/* {env: NAME} and {file: …} are fine for what is not secret too: read once, now. */
static bool referred_value(struct loading *l, const struct yaml_node *n, const char **ret, const char **ret_shown)
{
    struct secret_ref ref;
    struct err err = {0};
    char *text = NULL;
    size_t size = 0;
    if (!config_read_secret_ref(l, n, &ref))
        return false;
    if (!secret_read(&ref, &text, &size, &err)) {
        report_at(l->r, n, "%s", err.msg);
        return false;
    }
    *ret = arena_dup(l->c->arena, span_make(text, size));
    *ret_shown = "what it refers to";
    secret_free(&text, size);
    return true;
}

static bool plain_value(struct loading *l, const struct yaml_node *n, const char **ret, const char **ret_shown)
{
    struct buf b;
    if (!config_scalar(l, n, ret))
        return false;
    buf_init(&b, 0);
    buf_addf(&b, "'%s'", config_shown(l, n, *ret));
    *ret_shown = arena_dup(l->c->arena, buf_span(&b));
    buf_release(&b);
    return true;
}

static void read_value(struct loading *l, struct source_config *s, const struct field_rule *f,
                       const struct yaml_node *n, const struct yaml_node *parent)
{
    struct config_value v = {.name = f->name, .secret = f->secret, .text = f->fallback};
    const char *shown;
    if (!n && f->required && !f->fallback)
        report_at(l->r, parent, "lacks config.%s%s%s", f->name, f->help ? ": " : ", which the provider needs",
                  f->help ? f->help : "");
    if (!n && (f->secret || !f->fallback))
        return;
    if (f->secret) {
        if (!config_read_secret_ref(l, n, &v.ref))
            return;
        if (v.ref.retire_at_us)
            report_at(l->r, n, "retire_at is for what verifies: the list `secrets`");
    } else if (n) {
        if (!(yaml_kind(n) == YAML_MAP ? referred_value : plain_value)(l, n, &v.text, &shown))
            return;
        check_value(l, n, f, v.text, shown);
    }
    s->values[s->n_values++] = v;
}

static void read_values(struct loading *l, struct source_config *s, const struct yaml_node *n,
                        const struct yaml_node *at)
{
    const struct manifest *m = s->manifest;
    const char *names[65];
    size_t k = 0;
    if (n && yaml_kind(n) != YAML_MAP) {
        report_at(l->r, n, "must be a map of the provider's fields");
        return;
    }
    for (; k < m->n_fields && k < 64; k++)
        names[k] = m->fields[k].name;
    names[k] = NULL;
    if (n)
        report_unknown_keys(l->r, n, names);
    s->values = arena_alloc(l->c->arena, (m->n_fields + 1) * sizeof *s->values);
    for (size_t i = 0; i < m->n_fields; i++)
        read_value(l, s, &m->fields[i], n ? yaml_get(n, m->fields[i].name) : NULL, at);
}

static void read_url(struct loading *l, const struct yaml_node *n, const char **ret)
{
    const char *text;
    if (!n || !config_scalar(l, n, &text) || !*text)
        return;
    if (config_is_url(text))
        *ret = text;
    else
        report_at(l->r, n, "'%s' is no URL; write https://host", config_shown(l, n, text));
}

/* A day or an instant. */
static void read_instant(struct loading *l, const struct yaml_node *n, uint64_t *ret)
{
    const char *text;
    char day[32];
    if (!n || !config_scalar(l, n, &text))
        return;
    bool is_day = strlen(text) == 10;
    (void)snprintf(day, sizeof day, "%.10sT00:00:00Z", text);
    if (!clock_parse_iso(span_of(is_day ? day : text), ret))
        report_at(l->r, n, "is no day and no instant; write 2024-05-01 or 2024-05-01T00:00:00Z");
}

static void read_switches(struct loading *l, struct source_config *s, const struct yaml_node *n)
{
    static const char *const none[] = {"none", NULL}, *const off[] = {"off", "on", NULL};
    static const char *const accounts[] = {"many", "one", NULL};
    size_t i;
    if (config_word(l, yaml_get(n, "verification"), none, &i))
        s->unverified = true;
    if (config_word(l, yaml_get(n, "webhook"), off, &i))
        s->webhook_off = i == 0;
    if (config_word(l, yaml_get(n, "accounts"), accounts, &i))
        s->accounts_many = i == 0;
    if (s->unverified && s->n_secrets)
        report_at(l->r, yaml_get(n, "verification"), "none, but there are secrets: leave out the one that is not meant");
    read_instant(l, yaml_get(n, "backfill_from"), &s->backfill_from_us);
    const struct yaml_node *until = yaml_get(n, "secrets_until");
    read_instant(l, until, &s->secrets_until_us);
    if (until && !manifest_delivers_secrets(s->manifest))
        report_at(l->r, until, "%s brings no secrets by handshake", s->manifest->name);
    read_url(l, yaml_get(n, "base_url"), &s->base_url);
    s->public_url = l->c->public_url;
    read_url(l, yaml_get(n, "public_url"), &s->public_url);
}

static bool read_manifest(struct loading *l, struct source_config *s, const struct yaml_node *n,
                          const struct yaml_node *key)
{
    const struct yaml_node *named = yaml_get(n, "manifest");
    const char *name = s->name;
    struct err err = {0};
    if (named && !config_scalar(l, named, &name))
        return false;
    unsigned before = l->r->count;
    s->manifest = manifest_load(l->c->dir, span_of(name), l->r, &err);
    if (!s->manifest) {
        if (l->r->count == before)
            report_at(l->r, named ? named : key, "%s", err.msg);
        return false;
    }
    const struct yaml_node *verify = yaml_get(n, "verify");
    if (verify && !s->manifest->generic)
        report_at(l->r, verify, "only `manifest: generic` takes its verification from here; %s has its own", s->manifest->name);
    else if (verify)
        manifest_add_schemes(s->manifest, verify, l->r);
    else if (s->manifest->generic && !span_eqz(yaml_text(yaml_get(n, "verification")), "none"))
        report_at(l->r, key, "`manifest: generic` needs `verify:` here (docs/manifests.md), or verification: none");
    return true;
}

static const char *place_of(struct loading *l, const struct yaml_node *n, size_t file)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_addf(&b, "%s:%u", l->names[file], yaml_line(n));
    const char *z = arena_dup(l->c->arena, buf_span(&b));
    buf_release(&b);
    return z;
}

static void read_source(struct loading *l, const struct yaml_node *key, const struct yaml_node *n, size_t file)
{
    struct span name = yaml_text(key);
    if (!name_ok(name)) {
        report_at(l->r, key, "'%.*s' is no source name: a-z first, then a-z, 0-9, _; at most 31", SPAN_ARG(name));
        return;
    }
    const struct source_config *there = config_source(l->c, name);
    if (there) {
        report_at(l->r, key, "the source is there already, in %s", l->places[there - l->c->sources]);
        return;
    }
    if (yaml_kind(n) != YAML_MAP && yaml_kind(n) != YAML_NULL) {
        report_at(l->r, n, "must be a map, such as {secrets: [{file: ./secrets/%.*s}]}", SPAN_ARG(name));
        return;
    }
    struct source_config *s = &l->c->sources[l->c->n_sources];
    *s = (struct source_config){.name = arena_dup(l->c->arena, name), .all_tables = true};
    report_unknown_keys(l->r, n, config_source_keys);
    if (!read_manifest(l, s, n, key))
        return;
    l->places[l->c->n_sources] = place_of(l, key, file);
    l->c->n_sources++; /* from here on config_free frees its manifest */
    read_secrets(l, s, yaml_get(n, "secrets"));
    read_values(l, s, yaml_get(n, "config"), key);
    read_switches(l, s, n);
    config_read_tables(l, s, yaml_get(n, "tables"));
    s->fingerprint = config_fingerprint(s);
}

void config_read_sources(struct loading *l, const struct yaml_node *sources, size_t file)
{
    struct config *c = l->c;
    size_t more = yaml_count(sources);
    if (yaml_kind(sources) == YAML_NULL)
        return;
    if (yaml_kind(sources) != YAML_MAP) {
        report_at(l->r, sources, "must be a map: {stripe: {secrets: [{file: ./secrets/stripe}]}}");
        return;
    }
    struct source_config *grown = arena_alloc(c->arena, (c->n_sources + more + 1) * sizeof *grown);
    const char **places = arena_alloc(c->arena, (c->n_sources + more + 1) * sizeof *places);
    if (c->n_sources) {
        memcpy(grown, c->sources, c->n_sources * sizeof *grown);
        memcpy(places, l->places, c->n_sources * sizeof *places);
    }
    c->sources = grown;
    l->places = places;
    for (size_t i = 0; i < more; i++)
        read_source(l, yaml_key(sources, i), yaml_value(sources, i), file);
}
