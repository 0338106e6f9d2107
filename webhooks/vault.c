#include "webhooks/vault.h"
#include "core/mem.h"
#include "webhooks/kubernetes.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vault {
    const struct io *io;
    char *path[2]; /* by place */
    char *key[2];  /* the last part of it */
    struct kubernetes kubernetes; /* config->secret NULL: files */
    char *where;
};

static const char *first_file(const struct source_config *s)
{
    for (size_t i = 0; i < s->n_secrets; i++)
        if (s->secrets[i].kind == SECRET_FILE && !s->secrets[i].retire_at_us)
            return s->secrets[i].at;
    return NULL;
}

bool vault_open(const struct config *c, const struct source_config *s, const struct io *io, struct vault **ret, struct err *err)
{
    const char *file = first_file(s);
    if (!file)
        return err_set(err, ERR_CONFIG,
                       "the source %s names no file for its secret; write into it: secrets: [{file: ./secrets/%s}]",
                       s->name, s->name);
    struct vault *v = mem_alloc(sizeof *v);
    v->io = io;
    v->kubernetes.config = &c->kubernetes;
    struct buf text;
    buf_init(&text, 1 << 16);
    for (int i = 0; i < 2; i++) {
        buf_clear(&text);
        buf_addf(&text, "%s%s", file, i == VAULT_NEXT ? SECRET_NEXT : "");
        v->path[i] = mem_dup(buf_z(&text));
        const char *slash = strrchr(v->path[i], '/');
        v->key[i] = mem_dup(slash ? slash + 1 : v->path[i]);
    }
    buf_clear(&text);
    if (vault_is_file(v))
        buf_addz(&text, file);
    else
        buf_addf(&text, "the Kubernetes Secret %s, key %s", c->kubernetes.secret, v->key[0]);
    v->where = mem_dup(buf_z(&text));
    buf_release(&text);
    *ret = v;
    return true;
}

void vault_close(struct vault **at)
{
    struct vault *v = *at;
    if (!v)
        return;
    for (int i = 0; i < 2; i++) {
        free(v->path[i]);
        free(v->key[i]);
    }
    free(v->where);
    free(v);
    *at = NULL;
}

bool vault_is_file(const struct vault *v)
{
    return !v->kubernetes.config->secret;
}

const char *vault_where(const struct vault *v)
{
    return v->where;
}

bool vault_read(struct vault *v, enum vault_place place, struct buf *ret, struct err *err)
{
    if (!vault_is_file(v))
        return kubernetes_read(&v->kubernetes, v->key[place], ret, err);
    const struct secret_ref ref = {.kind = SECRET_FILE, .at = v->path[place]};
    char *text = NULL;
    size_t n = 0;
    struct err why = {0};
    buf_clear(ret);
    if (secret_read(&ref, &text, &n, &why)) {
        buf_add(ret, text, n);
        secret_free(&text, n);
        return true;
    }
    if (why.sys == ENOENT || why.sys == 0) /* not there, or empty */
        return true;
    *err = why;
    return false;
}

static bool make_folder(struct vault *v, const char *path, struct err *err)
{
    char *folder = mem_dup(path), *slash = strrchr(folder, '/');
    bool ok = true;
    if (slash && slash != folder) {
        *slash = 0;
        ok = io_mkdirs(v->io, folder, 0700, err);
    }
    free(folder);
    return ok;
}

bool vault_write(struct vault *v, enum vault_place place, struct span secret, struct err *err)
{
    const struct kubernetes_change change = {v->key[place], secret};
    if (!vault_is_file(v))
        return kubernetes_write(&v->kubernetes, &change, 1, err);
    return make_folder(v, v->path[place], err) && io_write_file_atomic(v->io, v->path[place], 0600, secret, err);
}

bool vault_promote(struct vault *v, struct err *err)
{
    struct buf next;
    buf_init(&next, 1 << 17);
    bool ok = vault_read(v, VAULT_NEXT, &next, err);
    if (ok && next.n && vault_is_file(v)) {
        /* In this order the new secret is in one of the two files at any moment. */
        ok = vault_write(v, VAULT_PRESENT, buf_span(&next), err) && vault_drop_next(v, err);
    } else if (ok && next.n) {
        const struct kubernetes_change both[] = {{v->key[VAULT_PRESENT], buf_span(&next)}, {v->key[VAULT_NEXT], {NULL, 0}}};
        ok = kubernetes_write(&v->kubernetes, both, 2, err);
    }
    buf_wipe(&next);
    return ok;
}

bool vault_drop_next(struct vault *v, struct err *err)
{
    const struct kubernetes_change change = {v->key[VAULT_NEXT], {NULL, 0}};
    if (!vault_is_file(v))
        return kubernetes_write(&v->kubernetes, &change, 1, err);
    int rc = v->io->dir->unlink(v->io, v->path[VAULT_NEXT]);
    if (rc == 0 || rc == -ENOENT)
        return true;
    errno = -rc;
    return err_sys(err, ERR_DURABLE, "cannot remove %s", v->path[VAULT_NEXT]);
}
