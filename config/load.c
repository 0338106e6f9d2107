/* Finding and reading the file, its includes, and the warnings of `config check`. */
#include "config/internal.h"
#include "core/clock.h"
#include "core/io.h"
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)4 << 20)
#define FILES_MAX 64

static const char *const top_keys[] = {"listen",     "admin",     "public_url", "data_dir", "ack",   "sources",
                                       "staging",    "merge",     "retention",  "journal",  "limits", "drain_delay",
                                       "log",        "include",   NULL};

bool config_find(const char *named, const char **ret, struct err *err)
{
    static const char *const places[] = {"sluice.yaml", "/etc/sluice/sluice.yaml"};
    if (named) {
        *ret = named;
        return access(named, R_OK) == 0 || err_sys(err, ERR_CONFIG, "cannot read %s", named);
    }
    for (size_t i = 0; i < 2; i++)
        if (access(places[i], R_OK) == 0) {
            *ret = places[i];
            return true;
        }
    return err_set(err, ERR_CONFIG, "no sluice.yaml here and none in /etc/sluice; `sluice init SOURCE` writes one");
}

/* The keys that may stand in each map of the file, from the rows of config_keys. */
static void check_maps(struct loading *l, const struct yaml_node *root)
{
    for (size_t i = 0; i < yaml_count(root); i++) {
        const struct yaml_node *n = yaml_value(root, i);
        struct span top = yaml_text(yaml_key(root, i));
        const char *names[16];
        size_t k = 0;
        for (const struct key_row *row = config_keys; row->path; row++) {
            struct span rest, first = span_cut(span_of(row->path), '.', &rest), second = span_cut(rest, '.', &rest);
            if (!span_eq(first, top) || !second.n)
                continue;
            bool known = false;
            for (size_t j = 0; j < k; j++)
                known = known || span_eqz(second, names[j]);
            if (!known && k < 15)
                names[k++] = arena_dup(l->c->arena, second);
        }
        names[k] = NULL;
        if (k && yaml_kind(n) != YAML_MAP && yaml_kind(n) != YAML_NULL)
            report_at(l->r, n, "must be a map of %s", names[0]);
        else if (k && yaml_kind(n) == YAML_MAP && !span_eqz(top, "staging"))
            report_unknown_keys(l->r, n, names);
    }
}

static void check_staging(struct loading *l, const struct yaml_node *n)
{
    static const char *const keys[] = {"objects", "kafka", NULL}, *const objects[] = {"url", "cut_bytes", "cut_age", NULL};
    if (yaml_kind(n) != YAML_MAP)
        return;
    report_unknown_keys(l->r, n, keys);
    if (yaml_get(n, "kafka"))
        report_at(l->r, yaml_get(n, "kafka"), "this version has no Kafka sink; it stages to objects");
    if (yaml_kind(yaml_get(n, "objects")) == YAML_MAP)
        report_unknown_keys(l->r, yaml_get(n, "objects"), objects);
}

static void check_admin(struct loading *l, const struct yaml_node *n)
{
    if (n)
        report_at(l->r, n, "this version has no admin listener; commands reach the server through its socket in data_dir");
}

static const struct yaml_node *read_file(struct loading *l, const char *path, struct err *err)
{
    char *bytes;
    size_t n;
    if (!io_read_file(io_posix(), path, FILE_BYTES_MAX, &bytes, &n, err))
        return NULL;
    char *kept = arena_dup(l->c->arena, span_make(bytes, n)); /* nodes borrow it */
    free(bytes);
    struct yaml *y = yaml_parse(arena_dup(l->c->arena, span_of(path)), span_make(kept, n), l->r);
    if (!y)
        return NULL;
    l->files[l->n_files++] = y;
    return yaml_root(y);
}

static void read_include(struct loading *l, const struct yaml_node *n)
{
    static const char *const keys[] = {"sources", NULL};
    if (!n)
        return;
    glob_t found;
    const char *pattern = config_path(l, yaml_text(n));
    int rc = glob(pattern, 0, NULL, &found);
    if (yaml_kind(n) != YAML_SCALAR || (rc != 0 && rc != GLOB_NOMATCH))
        report_at(l->r, n, "must be a path with *, such as sources.d/*.yaml");
    for (size_t i = 0; rc == 0 && i < found.gl_pathc && l->n_files < FILES_MAX; i++) {
        struct err err = {0};
        unsigned before = l->r->count;
        const struct yaml_node *root = read_file(l, found.gl_pathv[i], &err);
        if (!root) {
            if (l->r->count == before)
                report_at(l->r, n, "%s", err.msg);
            continue;
        }
        if (yaml_kind(root) == YAML_MAP) {
            report_unknown_keys(l->r, root, keys);
            config_read_sources(l, yaml_get(root, "sources"));
        }
    }
    if (rc == 0)
        globfree(&found);
}

static bool set_folders(struct config *c, const char *file, struct err *err)
{
    char path[PATH_MAX];
    if (!realpath(file, path))
        return err_sys(err, ERR_CONFIG, "cannot read %s", file);
    char *slash = strrchr(path, '/');
    c->dir = arena_dup(c->arena, (struct span){path, slash == path ? 1 : (size_t)(slash - path)});
    /* Messages name the file as its user did. */
    c->file = arena_dup(c->arena, span_of(file));
    return true;
}

static void read_all(struct loading *l, const struct yaml_node *root)
{
    if (yaml_kind(root) != YAML_MAP) {
        report_plain(l->r, "%s: must be a map; `sluice init SOURCE` writes one to begin with\n", l->c->file);
        return;
    }
    report_unknown_keys(l->r, root, top_keys);
    check_maps(l, root);
    check_staging(l, yaml_get(root, "staging"));
    check_admin(l, yaml_get(root, "admin"));
    config_read_keys(l, root);
    config_read_sources(l, yaml_get(root, "sources"));
    read_include(l, yaml_get(root, "include"));
    if (!l->r->count && !l->c->n_sources)
        report_plain(l->r, "%s: no sources; write `sources: {stripe: {secrets: [{file: ./secrets/stripe}]}}`\n", l->c->file);
}

struct config *config_load(const char *file, struct report *r, struct err *err)
{
    if (!config_find(file, &file, err))
        return NULL;
    struct config *c = mem_alloc(sizeof *c);
    struct yaml *files[FILES_MAX];
    struct loading l = {.c = c, .r = r, .files = files};
    unsigned before = r->count;
    c->arena = arena_new();
    const struct yaml_node *root = set_folders(c, file, err) ? read_file(&l, c->file, err) : NULL;
    if (root)
        read_all(&l, root);
    for (size_t i = 0; i < l.n_files; i++)
        yaml_free(&files[i]);
    if (root && r->count == before)
        return c;
    if (r->count != before)
        err_set(err, ERR_CONFIG, "%s has mistakes", c->file ? c->file : file);
    else if (err)
        err->cls = ERR_CONFIG;
    config_free(&c);
    return NULL;
}

void config_free(struct config **at)
{
    struct config *c = *at;
    if (!c)
        return;
    for (size_t i = 0; i < c->n_sources; i++)
        manifest_free(&c->sources[i].manifest);
    arena_free(&c->arena);
    free(c);
    *at = NULL;
}

const struct source_config *config_source(const struct config *c, struct span name)
{
    for (size_t i = 0; i < c->n_sources; i++)
        if (span_eqz(name, c->sources[i].name))
            return &c->sources[i];
    return NULL;
}

const struct table_config *source_table_config(const struct source_config *s, struct span table)
{
    for (size_t i = 0; i < s->n_tables; i++)
        if (span_eqz(table, s->tables[i].name))
            return &s->tables[i];
    return NULL;
}

bool source_has_table(const struct source_config *s, struct span table)
{
    return s->all_tables || source_table_config(s, table) != NULL;
}

static void warn_source(const struct config *c, const struct source_config *s, struct report *r)
{
    const struct io *io = io_posix();
    if (s->unverified)
        report_plain(r, "! %s: verification: none: anybody who reaches the endpoint can write rows\n", s->name);
    else if (!s->n_secrets && !s->webhook_off)
        report_plain(r, "! %s: no secrets: every delivery will be answered 503\n", s->name);
    for (size_t i = 0; i < s->n_secrets + s->n_values; i++) {
        bool value = i >= s->n_secrets;
        if (value && !s->values[i - s->n_secrets].secret)
            continue;
        const struct secret_ref *ref = value ? &s->values[i - s->n_secrets].ref : &s->secrets[i];
        struct err err = {0};
        char *secret = NULL;
        size_t n;
        if (!secret_read(ref, &secret, &n, &err))
            report_plain(r, "! %s: %s\n", s->name, err.msg);
        secret_free(&secret, secret ? n : 0);
        if (secret_is_open(ref))
            report_plain(r, "! %s: %s can be read by others: chmod 600 %s\n", s->name, ref->at, ref->at);
        if (ref->retire_at_us && ref->retire_at_us <= io->world->now_us(io))
            report_plain(r, "! %s: a secret's retire_at has passed: it verifies nothing any more\n", s->name);
    }
    (void)c;
}

void config_warnings(const struct config *c, struct report *r)
{
    for (size_t i = 0; i < c->n_sources; i++)
        warn_source(c, &c->sources[i], r);
}
