/* Finding and reading the file and its includes. */
#include "config/internal.h"
#include "core/io.h"
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)4 << 20)

bool config_find(const char *named, const char **ret, struct err *err)
{
    static const char *const places[] = {"sluice.yaml", "/etc/sluice/sluice.yaml"};
    for (size_t i = 0; named ? i < 1 : i < 2; i++) {
        const char *place = named ? named : places[i];
        if (access(place, R_OK) == 0) {
            *ret = place;
            return true;
        }
        /* One that is there but closed to us is meant: never the next one in its stead. */
        if (named || errno != ENOENT)
            return err_sys(err, ERR_CONFIG, "cannot read %s", place);
    }
    return err_set(err, ERR_CONFIG, "no sluice.yaml here and none in /etc/sluice; `sluice init SOURCE` writes one");
}

/* What messages call a file of ours: beside the main file as the user named that one, else absolute. */
static const char *name_of(struct loading *l, const char *path)
{
    const struct config *c = l->c;
    const char *slash = strrchr(c->file, '/');
    struct span s = span_of(path), dir = span_of(c->dir);
    if (!span_starts(s, dir) || path[dir.n] != '/')
        return path;
    struct buf b;
    buf_init(&b, PATH_MAX * 2);
    buf_add(&b, c->file, slash ? (size_t)(slash - c->file) + 1 : 0);
    buf_addz(&b, path + dir.n + 1);
    const char *z = arena_dup(c->arena, buf_span(&b));
    buf_release(&b);
    return z;
}

/* The file's tree, safe to speak of. NULL: messages in the report, or err. */
static const struct yaml_node *read_file(struct loading *l, const char *path, const char *name, struct err *err)
{
    char *bytes;
    size_t n;
    if (!io_read_file(io_posix(), path, FILE_BYTES_MAX, &bytes, &n, err))
        return NULL;
    char *kept = arena_dup(l->c->arena, span_make(bytes, n)); /* nodes borrow it */
    struct hash128 h = hash128(span_make(bytes, n));
    l->c->digest.lo = l->c->digest.lo * 31 + h.lo;
    l->c->digest.hi = l->c->digest.hi * 31 + h.hi;
    free(bytes);
    struct report first;
    report_init(&first);
    struct yaml *y = yaml_parse(name, span_make(kept, n), &first);
    if (!y)
        config_add_blanked(l->r, &first);
    report_release(&first);
    if (!y)
        return NULL;
    l->files[l->n_files] = y;
    l->names[l->n_files] = name;
    l->paths[l->n_files++] = path;
    return config_hide_secrets(l, yaml_root(y)) ? yaml_root(y) : NULL;
}

static void include_file(struct loading *l, const struct yaml_node *n, const char *found)
{
    static const char *const keys[] = {"sources", NULL};
    char path[PATH_MAX];
    struct err err = {0};
    if (!realpath(found, path)) {
        report_at(l->r, n, "cannot read %s", found);
        return;
    }
    for (size_t i = 0; i < l->n_files; i++)
        if (strcmp(l->paths[i], path) == 0)
            return; /* a pattern that covers the main file, or two that overlap */
    if (l->n_files == CONFIG_FILES_MAX) {
        report_at(l->r, n, "more than %d files", CONFIG_FILES_MAX - 1);
        return;
    }
    unsigned before = l->r->count;
    const char *kept = arena_dup(l->c->arena, span_of(path));
    const struct yaml_node *root = read_file(l, kept, name_of(l, kept), &err);
    if (!root) {
        if (l->r->count == before)
            report_at(l->r, n, "%s", err.msg);
        return;
    }
    if (yaml_kind(root) == YAML_NULL)
        return;
    if (yaml_kind(root) != YAML_MAP) {
        report_at(l->r, root, "an included file is a map with `sources:`");
        return;
    }
    report_unknown_keys(l->r, root, keys);
    config_read_sources(l, yaml_get(root, "sources"), l->n_files - 1);
}

static void watch(struct loading *l, struct span path)
{
    struct config *c = l->c;
    const char **more = arena_alloc(c->arena, (c->n_watched + 1) * sizeof *more);
    for (size_t i = 0; i < c->n_watched; i++)
        more[i] = c->watched[i];
    more[c->n_watched++] = arena_dup(c->arena, path);
    c->watched = more;
}

static void watch_files(struct loading *l)
{
    struct config *c = l->c;
    char path[PATH_MAX];
    watch(l, span_of(c->file));
    for (size_t i = 1; i < l->n_files; i++)
        watch(l, span_of(l->paths[i]));
    for (size_t i = 0; i < c->n_sources; i++) {
        int n = snprintf(path, sizeof path, "%s/sources/%s.yaml", c->dir, c->sources[i].manifest->name);
        if (n > 0 && (size_t)n < sizeof path)
            watch(l, span_of(path));
    }
}

static void include_pattern(struct loading *l, const struct yaml_node *n)
{
    const char *text;
    glob_t found = {0};
    if (!config_scalar(l, n, &text))
        return;
    const char *pattern = config_path(l, span_of(text)), *slash = strrchr(pattern, '/');
    if (slash && slash > pattern)
        watch(l, (struct span){pattern, (size_t)(slash - pattern)});
    int rc = glob(pattern, 0, NULL, &found); /* sorted: the order of sources is the same everywhere */
    if (rc == GLOB_NOMATCH && !strpbrk(text, "*?["))
        report_at(l->r, n, "%s is not there", pattern);
    else if (rc != 0 && rc != GLOB_NOMATCH)
        report_at(l->r, n, "cannot list %s", pattern);
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
        include_file(l, n, found.gl_pathv[i]);
    globfree(&found);
}

static void read_includes(struct loading *l, const struct yaml_node *n)
{
    if (yaml_kind(n) == YAML_LIST)
        for (size_t i = 0; i < yaml_count(n); i++)
            include_pattern(l, yaml_item(n, i));
    else if (n)
        include_pattern(l, n);
}

static bool set_folders(struct config *c, const char *file, char *path, struct err *err)
{
    char link[PATH_MAX], folder[PATH_MAX];
    ssize_t n = readlink(file, link, sizeof link - 1);
    if (!realpath(file, path))
        return err_sys(err, ERR_CONFIG, "cannot read %s", file);
    const char *slash = strrchr(file, '/');
    /* In a mounted volume a file is a link to ..data/NAME, and ..data one to a folder that every change replaces: what is
     * relative is meant to the volume. */
    if (n > 7 && strncmp(link, "..data/", 7) == 0) {
        int m = snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) + 1 : 1, slash ? file : ".");
        if (m < 0 || (size_t)m >= sizeof folder || !realpath(folder, path) || strlen(path) + 2 > sizeof folder)
            return err_sys(err, ERR_CONFIG, "cannot read %s", file);
        c->dir = arena_dup(c->arena, span_of(path));
        c->file = arena_dup(c->arena, span_of(file));
        return realpath(file, path) != NULL || err_sys(err, ERR_CONFIG, "cannot read %s", file);
    }
    slash = strrchr(path, '/');
    c->dir = arena_dup(c->arena, (struct span){path, slash == path ? 1 : (size_t)(slash - path)});
    c->file = arena_dup(c->arena, span_of(file)); /* messages name the file as its user did */
    return true;
}

static void read_all(struct loading *l, const struct yaml_node *root)
{
    unsigned before = l->r->count;
    if (yaml_kind(root) != YAML_MAP) {
        report_plain(l->r, "%s: must be a map; `sluice init SOURCE` writes one to begin with", l->c->file);
        return;
    }
    config_read_keys(l, root);
    config_read_sources(l, yaml_get(root, "sources"), 0);
    read_includes(l, yaml_get(root, "include"));
    if (l->r->count == before)
        config_check_topics(l, yaml_get(root, "staging"));
    if (l->r->count == before && !l->c->n_sources)
        report_plain(l->r, "%s: no sources; write `sources: {stripe: {secrets: [{file: ./secrets/stripe}]}}`", l->c->file);
}

struct config *config_load(const char *file, struct report *r, struct err *err)
{
    struct err ignored;
    char path[PATH_MAX];
    if (!err)
        err = &ignored;
    if (!config_find(file, &file, err))
        return NULL;
    struct config *c = mem_alloc(sizeof *c);
    struct loading l = {.c = c, .r = r};
    unsigned before = r->count;
    c->arena = arena_new();
    const struct yaml_node *root = NULL;
    if (set_folders(c, file, path, err))
        root = read_file(&l, arena_dup(c->arena, span_of(path)), c->file, err);
    if (root)
        read_all(&l, root);
    for (size_t i = 0; i < l.n_files; i++)
        yaml_free(&l.files[i]);
    if (root && r->count == before) {
        watch_files(&l);
        config_add_delivered(c);
        return c;
    }
    if (r->count != before)
        err_set(err, ERR_CONFIG, "%s has mistakes", c->file);
    else
        err->cls = ERR_CONFIG;
    config_free(&c);
    return NULL;
}

void config_free(struct config **at)
{
    struct config *c = *at;
    *at = NULL;
    if (!c || atomic_fetch_sub(&c->holders, 1) > 0)
        return;
    for (size_t i = 0; i < c->n_sources; i++)
        manifest_free(&c->sources[i].manifest);
    arena_free(&c->arena);
    free(c);
}

const struct config *config_hold(const struct config *c)
{
    atomic_fetch_add(&((struct config *)(uintptr_t)c)->holders, 1);
    return c;
}

void config_drop(const struct config **at)
{
    struct config *c = (struct config *)(uintptr_t)*at;
    *at = NULL;
    config_free(&c);
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
