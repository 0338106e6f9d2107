#include "core/io.h"
#include "sources/embedded.h"
#include "sources/manifest.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MANIFEST_BYTES_MAX ((size_t)4 << 20)

bool manifest_embedded_name(size_t i, const char **ret)
{
    for (size_t k = 0; embedded_sources[k].name; k++) {
        if (k == i) {
            *ret = embedded_sources[k].name;
            return true;
        }
    }
    return false;
}

/* Names become file names: nothing but the letters that a manifest's name may have. */
static bool is_manifest_name(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (i && ((c >= '0' && c <= '9') || c == '-' || c == '_'))))
            return false;
    }
    return s.n > 0 && s.n <= 64;
}

static bool unknown(struct span name, struct err *err)
{
    const char *words[64];
    size_t n = 0;
    while (n < sizeof(words) / sizeof(words[0]) - 1 && manifest_embedded_name(n, &words[n]))
        n++;
    words[n] = NULL;
    const char *near = nearest_word(name, words);
    if (near)
        return err_set(err, ERR_CONFIG, "there is no manifest '%.*s' (did you mean %s?)", SPAN_ARG(name), near);
    struct buf list;
    buf_init(&list, 0);
    for (size_t i = 0; i < n; i++)
        buf_addf(&list, "%s%s", i ? ", " : "", words[i]);
    (void)err_set(err, ERR_CONFIG, "there is no manifest '%.*s'; there are %s, and sources/%.*s.yaml beside the "
                  "configuration could be one", SPAN_ARG(name), buf_z(&list), SPAN_ARG(name));
    buf_release(&list);
    return false;
}

static struct manifest *parse_named(const char *file, struct span bytes, struct span name, struct report *r,
                                    struct err *err)
{
    struct manifest *m = manifest_parse(file, bytes, r);
    if (m && !span_eqz(name, m->name)) {
        report_plain(r, "%s: its name is '%s', but the file is named for '%.*s'", file, m->name, SPAN_ARG(name));
        manifest_free(&m);
    }
    if (!m)
        (void)err_set(err, ERR_CONFIG, "the manifest %s has mistakes", file);
    return m;
}

struct manifest *manifest_load_file(const char *file, struct report *r, struct err *err)
{
    char *bytes = NULL;
    size_t n = 0;
    if (!io_read_file(io_posix(), file, MANIFEST_BYTES_MAX, &bytes, &n, err)) {
        if (err)
            err->cls = ERR_CONFIG;
        return NULL;
    }
    struct manifest *m = manifest_parse(file, span_make(bytes, n), r);
    free(bytes);
    if (!m)
        (void)err_set(err, ERR_CONFIG, "the manifest %s has mistakes", file);
    return m;
}

struct manifest *manifest_load(const char *dir, struct span name, struct report *r, struct err *err)
{
    struct buf path;
    struct manifest *m = NULL;
    char *bytes = NULL;
    size_t n = 0;
    if (!is_manifest_name(name)) {
        (void)err_set(err, ERR_CONFIG, "'%.*s' can't be a manifest's name: a-z, 0-9, - and _", SPAN_ARG(name));
        return NULL;
    }
    buf_init(&path, 0);
    if (dir && strcmp(dir, ".") != 0)
        buf_addf(&path, "%s/", dir);
    buf_addf(&path, "sources/%.*s.yaml", SPAN_ARG(name));
    if (dir && access(buf_z(&path), F_OK) == 0) {
        if (io_read_file(io_posix(), buf_z(&path), MANIFEST_BYTES_MAX, &bytes, &n, err))
            m = parse_named(buf_z(&path), span_make(bytes, n), name, r, err);
        else if (err)
            err->cls = ERR_CONFIG;
        free(bytes);
        buf_release(&path);
        return m;
    }
    buf_release(&path);
    for (const struct embedded_file *f = embedded_sources; f->name; f++) {
        if (span_eqz(name, f->name)) {
            char file[128];
            (void)snprintf(file, sizeof(file), "sources/%s.yaml", f->name);
            return parse_named(file, span_make(f->bytes, f->n), name, r, err);
        }
    }
    (void)unknown(name, err);
    return NULL;
}
