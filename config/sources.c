/* The sources: of the configuration: each with its manifest, secrets, values and tables. */
#include "config/internal.h"
#include "core/clock.h"
#include "core/codec.h"
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const source_keys[] = {"manifest", "secrets", "config", "base_url", "public_url", "tables", "verification",
                                          "verify", "webhook", "accounts", "backfill_from", NULL};

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

static void check_value(struct loading *l, const struct yaml_node *n, const struct field_rule *f, const char *text)
{
    if (f->type == FIELD_SWITCH && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        report_at(l->r, n, "'%s' is not one of true, false", text);
    if (f->type == FIELD_SELECT && f->options) {
        for (size_t i = 0; f->options[i]; i++)
            if (strcmp(f->options[i], text) == 0)
                return;
        report_word(l->r, n, (const char *const *)f->options);
    }
    if (f->pattern && !matches(f->pattern, text))
        report_at(l->r, n, "'%s' does not look like %s%s", text, f->pattern, f->help ? ": see its help in `sluice source show`" : "");
}

static void read_value(struct loading *l, struct source_config *s, const struct field_rule *f, const struct yaml_node *n,
                       const struct yaml_node *parent)
{
    struct config_value *v = &s->values[s->n_values];
    *v = (struct config_value){.name = f->name, .secret = f->secret};
    if (f->secret) {
        if (n && config_read_secret_ref(l, n, &v->ref))
            s->n_values++;
        else if (!n && f->required)
            report_at(l->r, parent, "lacks config.%s: %s", f->name, f->help ? f->help : "the provider needs it");
        return;
    }
    if (n && yaml_kind(n) == YAML_MAP) {
        /* {env: NAME} and {file: …} are fine for what is not secret too. */
        struct secret_ref ref;
        struct err err = {0};
        char *text = NULL;
        size_t size = 0;
        if (!config_read_secret_ref(l, n, &ref))
            return;
        if (!secret_read(&ref, &text, &size, &err)) {
            report_at(l->r, n, "%s", err.msg);
            return;
        }
        v->text = arena_dup(l->c->arena, span_make(text, size));
        secret_free(&text, size);
    } else if (n) {
        if (!config_scalar(l, n, &v->text))
            return;
    } else if (f->fallback) {
        v->text = f->fallback;
    } else {
        if (f->required)
            report_at(l->r, parent, "lacks config.%s: %s", f->name, f->help ? f->help : "the provider needs it");
        return;
    }
    if (n)
        check_value(l, n, f, v->text);
    s->n_values++;
}

static void read_values(struct loading *l, struct source_config *s, const struct yaml_node *n, const struct yaml_node *at)
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

static bool read_word(struct loading *l, const struct yaml_node *n, const char *const *words, size_t *ret)
{
    if (!n)
        return false;
    for (size_t i = 0; words[i]; i++)
        if (span_eqz(yaml_text(n), words[i])) {
            *ret = i;
            return true;
        }
    report_word(l->r, n, words);
    return false;
}

static void read_switches(struct loading *l, struct source_config *s, const struct yaml_node *n)
{
    static const char *const none[] = {"none", NULL}, *const off[] = {"off", "on", NULL}, *const accounts[] = {"many", "one", NULL};
    size_t i;
    if (read_word(l, yaml_get(n, "verification"), none, &i))
        s->unverified = true;
    if (read_word(l, yaml_get(n, "webhook"), off, &i))
        s->webhook_off = i == 0;
    if (read_word(l, yaml_get(n, "accounts"), accounts, &i))
        s->accounts_many = i == 0;
    const struct yaml_node *from = yaml_get(n, "backfill_from");
    char day[32];
    if (from) {
        snprintf(day, sizeof day, "%.*sT00:00:00Z", (int)(yaml_text(from).n < 12 ? yaml_text(from).n : 0), yaml_text(from).p);
        if (!clock_parse_iso(yaml_text(from), &s->backfill_from_us) && !clock_parse_iso(span_of(day), &s->backfill_from_us))
            report_at(l->r, from, "is no instant; write 2024-05-01 or 2024-05-01T00:00:00Z");
    }
    const char *url;
    if (yaml_get(n, "base_url") && config_scalar(l, yaml_get(n, "base_url"), &url))
        s->base_url = url;
    s->public_url = l->c->public_url;
    if (yaml_get(n, "public_url") && config_scalar(l, yaml_get(n, "public_url"), &url))
        s->public_url = url;
    for (size_t k = 0; k < 2; k++) {
        const char *key = k ? "public_url" : "base_url", *value = k ? s->public_url : s->base_url;
        if (yaml_get(n, key) && value && strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0)
            report_at(l->r, yaml_get(n, key), "'%s' is no URL; write https://host", value);
    }
}

static bool read_manifest(struct loading *l, struct source_config *s, const struct yaml_node *n, const struct yaml_node *key)
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

static void read_source(struct loading *l, const struct yaml_node *key, const struct yaml_node *n)
{
    struct span name = yaml_text(key);
    if (!name_ok(name)) {
        report_at(l->r, key, "'%.*s' is no source name: a-z first, then a-z, 0-9, _; at most 31", SPAN_ARG(name));
        return;
    }
    if (config_source(l->c, name)) {
        report_at(l->r, key, "the source '%.*s' is there already", SPAN_ARG(name));
        return;
    }
    if (yaml_kind(n) != YAML_MAP && yaml_kind(n) != YAML_NULL) {
        report_at(l->r, n, "must be a map");
        return;
    }
    struct source_config *s = &l->c->sources[l->c->n_sources];
    *s = (struct source_config){.name = arena_dup(l->c->arena, name), .all_tables = true};
    report_unknown_keys(l->r, n, source_keys);
    if (!read_manifest(l, s, n, key))
        return;
    l->c->n_sources++; /* from here on config_free frees its manifest */
    read_secrets(l, s, yaml_get(n, "secrets"));
    read_values(l, s, yaml_get(n, "config"), key);
    read_switches(l, s, n);
    config_read_tables(l, s, yaml_get(n, "tables"));
    s->fingerprint = config_fingerprint(s);
}

void config_read_sources(struct loading *l, const struct yaml_node *sources)
{
    if (!sources)
        return;
    if (yaml_kind(sources) != YAML_MAP) {
        report_at(l->r, sources, "must be a map of sources");
        return;
    }
    size_t more = yaml_count(sources);
    struct source_config *grown = arena_alloc(l->c->arena, (l->c->n_sources + more + 1) * sizeof *grown);
    if (l->c->n_sources)
        memcpy(grown, l->c->sources, l->c->n_sources * sizeof *grown);
    l->c->sources = grown;
    for (size_t i = 0; i < more; i++)
        read_source(l, yaml_key(sources, i), yaml_value(sources, i));
}
