/* A directory as the object store. An object is written to <dir>/.provisional/<name>, synced, renamed to its key, and the
 * key's directory is synced; directories made on the way are made durable once, then remembered. */
#include "core/codec.h"
#include "core/mem.h"
#include "core/pulse.h"
#include "staging/store.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 << 10)
#define LEVELS_MAX 16
#define SMALL_BYTES_MAX ((size_t)16 << 20)
#define KNOWN_MAX 128

struct dir_store {
    struct store base;
    char *dir;
    pthread_mutex_t lock; /* known */
    char *known[KNOWN_MAX]; /* directories whose way from the root is durable */
    size_t n_known;
};
struct store_writer {
    struct dir_store *store;
    int fd;
    char *path;
};

static enum err_class write_class(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT ? ERR_FULL : ERR_DURABLE;
}

static bool failed(struct err *err, enum err_class cls, int rc, const char *what, const char *path)
{
    errno = -rc;
    return err_sys(err, cls, "%s %s", what, path);
}

static struct dir_store *dir_of(struct store *s)
{
    return (struct dir_store *)(void *)s;
}

static char *path_of(const struct dir_store *d, const char *key)
{
    struct buf path = {0};
    buf_addz(&path, d->dir);
    buf_addc(&path, '/');
    buf_addz(&path, key);
    return buf_take(&path, NULL);
}

static bool check_key(const char *key, struct err *err)
{
    if (store_key_valid(key))
        return true;
    return err_set(err, ERR_BUG, "'%s' is no key of an object (letters, digits, . _ = - and /)", key);
}

static void writer_free(struct store_writer **wp)
{
    free((*wp)->path);
    free(*wp);
    *wp = NULL;
}

static bool dir_write(struct store_writer *w, struct span bytes, struct err *err)
{
    if (io_write_all(w->store->base.io, w->fd, bytes.p, bytes.n, err))
        return true;
    return err_prefix(err, "cannot write %s", w->path);
}

static void dir_abort(struct store_writer **wp)
{
    struct store_writer *w = *wp;
    if (!w)
        return;
    const struct io *io = w->store->base.io;
    if (w->fd >= 0)
        (void)io->file->close(io, w->fd);
    (void)io->dir->unlink(io, w->path);
    writer_free(wp);
}

static bool is_known(struct dir_store *d, const char *dir)
{
    bool known = false;
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n_known && !known; i++)
        known = strcmp(d->known[i], dir) == 0;
    pthread_mutex_unlock(&d->lock);
    return known;
}

static void remember(struct dir_store *d, const char *dir)
{
    pthread_mutex_lock(&d->lock);
    if (d->n_known == KNOWN_MAX) {
        for (size_t i = 0; i < d->n_known; i++)
            free(d->known[i]);
        d->n_known = 0;
    }
    d->known[d->n_known++] = mem_dup(dir);
    pthread_mutex_unlock(&d->lock);
}

/* Makes the directory (its path from the root of the store ends at `end`) and syncs each one above it. */
static bool make_dir(struct dir_store *d, char *path, char *end, struct err *err)
{
    const struct io *io = d->base.io;
    char kept = *end;
    *end = '\0';
    bool ok = is_known(d, path);
    if (!ok && io_mkdirs(io, path, 0750, err)) {
        ok = true;
        size_t root = strlen(d->dir);
        for (char *p = path + root; ok && p < end; p++) {
            if (*p != '/')
                continue;
            *p = '\0';
            int rc = io->dir->sync(io, path);
            if (rc < 0)
                ok = failed(err, ERR_DURABLE, rc, "cannot sync", path);
            *p = '/';
        }
        if (ok)
            remember(d, path);
    }
    *end = kept;
    return ok;
}

static void forget_known(struct dir_store *d)
{
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n_known; i++)
        free(d->known[i]);
    d->n_known = 0;
    pthread_mutex_unlock(&d->lock);
}

static int open_new(const struct io *io, const char *path)
{
    return io->file->open(io, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
}

static bool dir_create(struct store *s, const char *name, struct store_writer **ret, struct err *err)
{
    struct dir_store *d = dir_of(s);
    char key[STORE_KEY_MAX];
    int n = snprintf(key, sizeof(key), "%s%s", STORE_PROVISIONAL, name);
    if (n < 0 || (size_t)n >= sizeof(key) || strchr(name, '/') || !store_key_valid(name))
        return err_set(err, ERR_BUG, "'%s' is no provisional name of an object", name);
    char *path = path_of(d, key);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory for an object's path");
    int fd = open_new(s->io, path);
    if (fd == -ENOENT) { /* the first object of all, or someone removed the folder */
        forget_known(d);
        if (!make_dir(d, path, strrchr(path, '/'), err)) {
            free(path);
            return false;
        }
        fd = open_new(s->io, path);
    }
    if (fd < 0) {
        (void)failed(err, write_class(fd), fd, "cannot create", path);
        free(path);
        return false;
    }
    struct store_writer *w = mem_alloc(sizeof(*w));
    *w = (struct store_writer){.store = d, .fd = fd, .path = path};
    *ret = w;
    return true;
}

static bool publish(struct store_writer *w, char *path, struct err *err)
{
    struct dir_store *d = w->store;
    const struct io *io = d->base.io;
    char *end = strrchr(path, '/');
    if (!make_dir(d, path, end, err))
        return false;
    int rc = io->dir->rename(io, w->path, path);
    if (rc == -ENOENT) { /* someone removed a directory that we remembered */
        forget_known(d);
        if (!make_dir(d, path, end, err))
            return false;
        rc = io->dir->rename(io, w->path, path);
    }
    if (rc < 0)
        return failed(err, write_class(rc), rc, "cannot publish", path);
    *end = '\0';
    rc = io->dir->sync(io, path);
    *end = '/';
    return rc < 0 ? failed(err, ERR_DURABLE, rc, "cannot sync the directory of", path) : true;
}

static bool dir_commit(struct store_writer **wp, const char *key, struct err *err)
{
    struct store_writer *w = *wp;
    const struct io *io = w->store->base.io;
    pulse_beat(); /* a cut may commit many */
    bool ok = check_key(key, err);
    int rc = ok ? io->file->sync(io, w->fd) : 0;
    if (rc < 0)
        ok = failed(err, write_class(rc), rc, "cannot sync", w->path);
    rc = io->file->close(io, w->fd);
    w->fd = -1;
    if (ok && rc < 0)
        ok = failed(err, write_class(rc), rc, "cannot close", w->path);
    char *path = ok ? path_of(w->store, key) : NULL;
    if (ok && !path)
        ok = err_set(err, ERR_NOMEM, "out of memory for an object's path");
    ok = ok && publish(w, path, err);
    free(path);
    if (!ok)
        dir_abort(wp);
    else
        writer_free(wp);
    return ok;
}

static bool dir_remove(struct store *s, const char *key, struct err *err)
{
    struct dir_store *d = dir_of(s);
    if (!check_key(key, err))
        return false;
    char *path = path_of(d, key);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory for an object's path");
    int rc = s->io->dir->unlink(s->io, path);
    bool ok = rc >= 0 || rc == -ENOENT;
    if (!ok)
        (void)failed(err, ERR_DURABLE, rc, "cannot remove", path);
    if (ok && rc >= 0) {
        *strrchr(path, '/') = '\0';
        rc = s->io->dir->sync(s->io, path);
        if (rc < 0)
            ok = failed(err, ERR_DURABLE, rc, "cannot sync", path);
    }
    free(path);
    return ok;
}

/* ---- list: one sorted directory a level ---- */
struct level {
    struct buf text;  /* names, NUL-ended; a directory's ends with / */
    struct buf at;    /* size_t offsets, sorted by name */
    size_t i, key_n;  /* next; length of the key up to this level */
};
struct listing {
    struct dir_store *d;
    struct level levels[LEVELS_MAX];
    size_t depth;
    char *key; /* STORE_KEY_MAX + 1 */
};

/* A folder that cannot be looked at is an error: a list without it would say that nothing is there. */
static bool is_dir(const struct io *io, const char *path, bool *ret, struct err *err)
{
    int fd;
    do
        fd = io->file->open(io, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    while (fd == -EINTR);
    if (fd >= 0)
        (void)io->file->close(io, fd);
    *ret = fd >= 0;
    return fd >= 0 || fd == -ENOTDIR || fd == -ENOENT || fd == -ELOOP || failed(err, ERR_INPUT, fd, "cannot look at", path);
}

static void add_name(void *ctx, const char *name)
{
    struct level *l = ctx;
    size_t at = l->text.n;
    if (name[0] == '.' || !store_key_valid(name))
        return;
    buf_add(&l->at, &at, sizeof(at));
    buf_addz(&l->text, name);
    buf_add(&l->text, "\0\0", 2); /* room for the slash */
}

static int by_name(const void *a, const void *b, void *ctx)
{
    const struct level *l = ctx;
    size_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return strcmp(l->text.p + x, l->text.p + y);
}

static bool has_suffix(const char *z, const char *suffix)
{
    size_t n = strlen(z), m = strlen(suffix);
    return n >= m && strcmp(z + n - m, suffix) == 0;
}

/* l->key[0..key_n) is the folder, "" or ending with /. An absent folder is empty. */
static bool open_level(struct listing *l, size_t key_n, struct err *err)
{
    const struct io *io = l->d->base.io;
    if (l->depth == LEVELS_MAX)
        return err_set(err, ERR_INPUT, "%s: folders are nested more than %d deep", l->d->dir, LEVELS_MAX);
    struct level *v = &l->levels[l->depth++];
    *v = (struct level){.key_n = key_n};
    l->key[key_n] = '\0';
    char *folder = path_of(l->d, l->key);
    int rc = folder ? io->dir->list(io, folder, add_name, v) : -ENOMEM;
    if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR)
        (void)failed(err, ERR_INPUT, rc, "cannot list", folder ? folder : l->d->dir);
    free(folder);
    if (rc < 0)
        return rc == -ENOENT || rc == -ENOTDIR;
    for (size_t i = 0; i < v->at.n / sizeof(size_t); i++) {
        size_t at;
        memcpy(&at, v->at.p + i * sizeof(at), sizeof(at));
        char *name = v->text.p + at;
        if (has_suffix(name, ".zst") || has_suffix(name, ".gz") || key_n + strlen(name) >= STORE_KEY_MAX)
            continue;
        memcpy(l->key + key_n, name, strlen(name) + 1);
        char *path = path_of(l->d, l->key);
        bool inner = false, ok = path ? is_dir(io, path, &inner, err) : err_set(err, ERR_NOMEM, "out of memory for a path");
        free(path);
        if (!ok)
            return false;
        if (inner)
            memcpy(name + strlen(name), "/", 2);
    }
    if (!buf_ok(&v->at) || !buf_ok(&v->text))
        return err_set(err, ERR_NOMEM, "out of memory for a list of objects");
    if (v->at.n)
        qsort_r(v->at.p, v->at.n / sizeof(size_t), sizeof(size_t), by_name, v);
    return true;
}

static void close_level(struct listing *l)
{
    struct level *v = &l->levels[--l->depth];
    buf_release(&v->text);
    buf_release(&v->at);
}

static bool list_all(struct listing *l, bool (*each)(void *ctx, const char *key), void *ctx, struct err *err)
{
    while (l->depth) {
        struct level *v = &l->levels[l->depth - 1];
        if (v->i == v->at.n / sizeof(size_t)) {
            close_level(l);
            continue;
        }
        size_t at;
        memcpy(&at, v->at.p + v->i++ * sizeof(at), sizeof(at));
        const char *name = v->text.p + at;
        size_t n = strlen(name);
        if (v->key_n + n > STORE_KEY_MAX)
            continue;
        memcpy(l->key + v->key_n, name, n + 1);
        if (name[n - 1] == '/') {
            if (!open_level(l, v->key_n + n, err))
                return false;
        } else if (!each(ctx, l->key)) {
            return true;
        }
    }
    return true;
}

static bool dir_list(struct store *s, const char *prefix, bool (*each)(void *ctx, const char *key), void *ctx,
                     struct err *err)
{
    char key[STORE_KEY_MAX + 1];
    struct listing l = {.d = dir_of(s), .key = key};
    size_t n = strlen(prefix);
    if (n >= STORE_KEY_MAX || (n && prefix[n - 1] != '/'))
        return err_set(err, ERR_BUG, "'%s' is no folder of objects", prefix);
    memcpy(key, prefix, n + 1);
    bool ok = open_level(&l, n, err) && list_all(&l, each, ctx, err);
    while (l.depth)
        close_level(&l);
    return ok;
}

static bool dir_read(struct store *s, const char *key, bool (*piece)(void *ctx, struct span bytes), void *ctx, struct err *err)
{
    if (!check_key(key, err))
        return false;
    char *path = path_of(dir_of(s), key);
    char *block = malloc(READ_BYTES);
    int fd = path && block ? s->io->file->open(s->io, path, O_RDONLY | O_CLOEXEC, 0) : -ENOMEM;
    bool ok = fd >= 0 || failed(err, ERR_INPUT, fd, "cannot read", path ? path : key);
    for (uint64_t at = 0; ok;) {
        ssize_t n = s->io->file->pread(s->io, fd, block, READ_BYTES, at);
        if (n == -EINTR)
            continue;
        if (n < 0)
            ok = failed(err, ERR_INPUT, (int)n, "cannot read", path);
        if (n <= 0 || !piece(ctx, (struct span){block, (size_t)n}))
            break;
        at += (uint64_t)n;
    }
    if (fd >= 0)
        (void)s->io->file->close(s->io, fd);
    free(block);
    free(path);
    return ok;
}

static bool dir_load(struct store *s, const char *key, struct buf *out, char ret_tag[STORE_TAG_MAX], struct err *err)
{
    char *path = path_of(dir_of(s), key), *bytes = NULL;
    size_t n = 0;
    ret_tag[0] = '\0';
    int fd = path ? s->io->file->open(s->io, path, O_RDONLY | O_CLOEXEC, 0) : -ENOMEM;
    if (fd >= 0)
        (void)s->io->file->close(s->io, fd);
    bool ok = fd == -ENOENT;
    if (fd < 0 && !ok)
        (void)failed(err, ERR_INPUT, fd, "cannot read", path ? path : key);
    if (fd >= 0 && io_read_file(s->io, path, SMALL_BYTES_MAX, &bytes, &n, err)) {
        buf_add(out, bytes, n);
        ok = buf_ok(out) || err_set(err, ERR_NOMEM, "out of memory for %s", key);
        (void)snprintf(ret_tag, STORE_TAG_MAX, "%016llx", (unsigned long long)hash64((struct span){bytes, n}));
    }
    free(bytes);
    free(path);
    return ok;
}

/* By a rename under a lock that the folder's users share. */
static bool dir_swap(struct store *s, const char *key, const char *tag, struct span bytes, bool *ret_swapped, struct err *err)
{
    struct dir_store *d = dir_of(s);
    struct buf now = {0};
    char found[STORE_TAG_MAX], *lock = path_of(d, ".lock"), *path = path_of(d, key);
    int fd = lock && path ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0640) : -1;
    bool ok = fd >= 0 && flock(fd, LOCK_EX) == 0;
    if (!ok)
        (void)err_sys(err, ERR_DURABLE, "cannot lock %s", lock ? lock : d->dir);
    ok = ok && dir_load(s, key, &now, found, err);
    *ret_swapped = ok && strcmp(found, tag) == 0;
    if (*ret_swapped)
        ok = make_dir(d, path, strrchr(path, '/'), err) && io_write_file_atomic(s->io, path, 0640, bytes, err);
    if (fd >= 0)
        close(fd);
    buf_release(&now);
    free(lock);
    free(path);
    return ok;
}

struct sweep {
    const char *node;
    struct buf keys; /* NUL-ended */
};

static bool sweep_one(void *ctx, const char *key)
{
    struct sweep *w = ctx;
    const char *name = key + strlen(STORE_PROVISIONAL);
    size_t n = strlen(w->node);
    if (strncmp(name, w->node, n) == 0 && name[n] == '.')
        buf_add(&w->keys, key, strlen(key) + 1);
    return true;
}

static bool dir_sweep(struct store *s, const char *node, struct err *err)
{
    struct sweep w = {.node = node};
    bool ok = dir_list(s, STORE_PROVISIONAL, sweep_one, &w, err);
    for (size_t i = 0; ok && i < w.keys.n; i += strlen(w.keys.p + i) + 1)
        ok = dir_remove(s, w.keys.p + i, err);
    buf_release(&w.keys);
    return ok;
}

static void dir_close(struct store *s)
{
    struct dir_store *d = dir_of(s);
    forget_known(d);
    pthread_mutex_destroy(&d->lock);
    free(d->dir);
    free(d);
}

static const struct store_ops dir_ops = {dir_create, dir_write, dir_commit, dir_abort, dir_remove,
                                         dir_list,   dir_read,  dir_load,   dir_swap,  dir_sweep, NULL, dir_close};

bool store_open_dir(const struct io *io, const char *dir, struct store **ret, struct err *err)
{
    (void)err;
    struct dir_store *d = mem_alloc(sizeof(*d));
    d->base = (struct store){.ops = &dir_ops, .io = io};
    d->dir = mem_dup(dir);
    pthread_mutex_init(&d->lock, NULL);
    size_t n = strlen(d->dir);
    while (n > 1 && d->dir[n - 1] == '/')
        d->dir[--n] = '\0';
    struct store *s = &d->base;
    *ret = s;
    return true;
}
