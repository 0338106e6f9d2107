/* Secrets that providers brought by handshake: files below the data directory, beside those that the configuration names. */
#include "config/internal.h"
#include "core/io.h"
#include <errno.h>
#include <stdlib.h>

struct listing {
    const char *folder;
    char **paths;
    size_t n;
};

static void take_name(void *ctx, const char *name)
{
    struct listing *l = ctx;
    size_t n = strlen(name), end = sizeof ".partial" - 1;
    if (name[0] == '.' || (n > end && strcmp(name + n - end, ".partial") == 0))
        return; /* what a crash left half written */
    struct buf path;
    buf_init(&path, 65536);
    buf_addf(&path, "%s/%s", l->folder, name);
    l->paths = mem_grow(l->paths, (l->n + 1) * sizeof *l->paths);
    l->paths[l->n++] = mem_dup(buf_z(&path));
    buf_release(&path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool secrets_delivered(const char *data_dir, const char *source, char ***ret, size_t *ret_n, struct err *err)
{
    const struct io *io = io_posix();
    struct buf folder;
    buf_init(&folder, 65536);
    buf_addf(&folder, "%s/secrets/%s", data_dir, source);
    struct listing l = {.folder = buf_z(&folder)};
    int rc = io->dir->list(io, l.folder, take_name, &l);
    if (rc != 0 && rc != -ENOENT) {
        secrets_delivered_free(&l.paths, l.n);
        errno = -rc;
        (void)err_sys(err, ERR_CONFIG, "cannot list the secrets in %s", l.folder);
        buf_release(&folder);
        return false;
    }
    buf_release(&folder);
    if (l.n)
        qsort(l.paths, l.n, sizeof *l.paths, by_name);
    *ret = l.paths;
    *ret_n = l.n;
    return true;
}

void secrets_delivered_free(char ***paths, size_t n)
{
    for (size_t i = 0; *paths && i < n; i++)
        free((*paths)[i]);
    free(*paths);
    *paths = NULL;
}

void config_add_delivered(struct config *c)
{
    for (size_t i = 0; i < c->n_sources; i++) {
        struct source_config *s = &c->sources[i];
        char **paths = NULL;
        size_t n = 0;
        struct err ignored; /* who may not look there learns it from the server's start */
        if (s->unverified || !manifest_delivers_secrets(s->manifest) ||
            !secrets_delivered(c->data_dir, s->name, &paths, &n, &ignored))
            continue;
        struct secret_ref *all = arena_alloc(c->arena, (s->n_secrets + n + 1) * sizeof *all);
        for (size_t k = 0; k < s->n_secrets; k++)
            all[k] = s->secrets[k];
        for (size_t k = 0; k < n; k++)
            all[s->n_secrets++] = (struct secret_ref){.kind = SECRET_FILE, .at = arena_dup(c->arena, span_of(paths[k]))};
        s->secrets = all;
        secrets_delivered_free(&paths, n);
    }
}
