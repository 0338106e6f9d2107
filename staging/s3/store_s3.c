/* A bucket as the object store. An object is spooled to <spool>/<name>, because its key says what it covers and an S3 upload
 * needs
 * its key at the beginning; at the commit it is uploaded under its key, and the file goes. The spool needs no sync: a crash
 * repeats the range from the journal (docs/decisions/0006-objects-are-spooled.md). */
#include "core/mem.h"
#include "staging/s3/upload.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

struct s3_store {
    struct store base;
    const struct objects_config *o;
    struct s3_client *client;
    char *spool;
    atomic_bool unconditional;
};
struct store_writer {
    struct s3_store *store;
    int fd;
    char *path;
    uint64_t size;
};

static struct s3_store *s3_of(struct store *s)
{
    return (struct s3_store *)(void *)s;
}

static bool failed(struct err *err, int rc, const char *what, const char *path)
{
    errno = -rc;
    return err_sys(err, rc == -ENOSPC || rc == -EDQUOT ? ERR_FULL : ERR_DURABLE, "%s %s", what, path);
}

static char *path_of(const struct s3_store *t, const char *name)
{
    struct buf path = {0};
    buf_addf(&path, "%s/%s", t->spool, name);
    return buf_take(&path, NULL);
}

static int open_new(const struct io *io, const char *path)
{
    return io->file->open(io, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static bool s3_create(struct store *s, const char *name, struct store_writer **ret, struct err *err)
{
    struct s3_store *t = s3_of(s);
    if (strchr(name, '/') || !store_key_valid(name))
        return err_set(err, ERR_BUG, "'%s' is no provisional name of an object", name);
    char *path = path_of(t, name);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory for an object's path");
    int fd = open_new(s->io, path);
    if (fd == -ENOENT && io_mkdirs(s->io, t->spool, 0700, err))
        fd = open_new(s->io, path);
    if (fd < 0) {
        (void)failed(err, fd, "cannot create", path);
        free(path);
        return false;
    }
    struct store_writer *w = mem_alloc(sizeof(*w));
    *w = (struct store_writer){.store = t, .fd = fd, .path = path};
    *ret = w;
    return true;
}

static bool s3_write(struct store_writer *w, struct span bytes, struct err *err)
{
    if (!io_write_all(w->store->base.io, w->fd, bytes.p, bytes.n, err))
        return err_prefix(err, "cannot write %s", w->path);
    w->size += bytes.n;
    return true;
}

static void s3_abort(struct store_writer **wp)
{
    struct store_writer *w = *wp;
    if (!w)
        return;
    const struct io *io = w->store->base.io;
    (void)io->file->close(io, w->fd);
    (void)io->dir->unlink(io, w->path);
    free(w->path);
    free(w);
    *wp = NULL;
}

static bool s3_commit(struct store_writer **wp, const char *key, struct err *err)
{
    struct store_writer *w = *wp;
    struct s3_upload u = {.client = w->store->client, .store = &w->store->base, .o = w->store->o, .io = w->store->base.io,
                          .unconditional = &w->store->unconditional, .fd = w->fd, .size = w->size, .key = key};
    bool ok = store_key_valid(key) ? s3_upload(&u, err) : err_set(err, ERR_BUG, "'%s' is no key of an object", key);
    s3_abort(wp); /* the file has served */
    return ok;
}

static bool s3_remove(struct store *s, const char *key, struct err *err)
{
    struct s3_request r = {.method = "DELETE", .key = key};
    struct s3_reply reply;
    enum s3_verdict v;
    if (!store_key_valid(key))
        return err_set(err, ERR_BUG, "'%s' is no key of an object", key);
    if (!s3_call(s3_of(s)->client, &r, &reply, &v, NULL, err))
        return false;
    s3_reply_release(&reply);
    return true;
}

struct listing {
    const char *prefix; /* the bucket's */
    bool (*each)(void *ctx, const char *key);
    void *ctx;
    bool stopped;
};

static bool list_one(void *ctx, struct span key)
{
    struct listing *l = ctx;
    char text[STORE_KEY_MAX + 1];
    struct span s = span_skip(key, strlen(l->prefix));
    if (!span_starts(key, span_of(l->prefix)) || s.n > STORE_KEY_MAX || memchr(key.p, 0, key.n))
        return true;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    l->stopped = store_key_valid(text) && text[0] != '.' && !l->each(l->ctx, text);
    return !l->stopped;
}

static bool list_page(struct s3_store *t, const char *prefix, struct listing *l, struct s3_list *page, struct err *err)
{
    struct s3_request r = {.method = "GET", .params = {{"list-type", "2"}, {"prefix", prefix}}, .n_params = 2};
    struct s3_reply reply;
    enum s3_verdict v;
    if (page->next.n)
        r.params[r.n_params++] = (struct s3_param){"continuation-token", buf_z(&page->next)};
    if (!s3_call(t->client, &r, &reply, &v, NULL, err))
        return false;
    struct buf token = page->next;
    page->next = (struct buf){0};
    bool ok = v == S3_DONE && s3_list_read(buf_span(&reply.body), list_one, l, page);
    /* A page that leads to itself would never end. */
    if (ok && page->truncated && !l->stopped && (!page->next.n || span_eq(buf_span(&page->next), buf_span(&token))))
        ok = false;
    buf_release(&token);
    s3_reply_release(&reply);
    return ok || err_set(err, ERR_TRANSIENT, "the store's list of objects is no such list");
}

static bool s3_list(struct store *s, const char *prefix, bool (*each)(void *ctx, const char *key), void *ctx, struct err *err)
{
    struct s3_store *t = s3_of(s);
    struct listing l = {.prefix = t->o->prefix, .each = each, .ctx = ctx};
    struct s3_list page = {0};
    struct buf whole = {0};
    size_t n = strlen(prefix);
    if (n >= STORE_KEY_MAX || (n && prefix[n - 1] != '/'))
        return err_set(err, ERR_BUG, "'%s' is no folder of objects", prefix);
    buf_addf(&whole, "%s%s", t->o->prefix, prefix);
    bool ok = buf_ok(&whole) || err_set(err, ERR_NOMEM, "out of memory for a prefix");
    do
        ok = ok && list_page(t, buf_z(&whole), &l, &page, err);
    while (ok && page.truncated && !l.stopped);
    s3_list_release(&page);
    buf_release(&whole);
    return ok;
}

static bool s3_read(struct store *s, const char *key, bool (*piece)(void *ctx, struct span bytes), void *ctx, struct err *err)
{
    struct s3_request r = {.method = "GET", .key = key, .piece = piece, .ctx = ctx};
    struct s3_reply reply;
    enum s3_verdict v;
    if (!store_key_valid(key))
        return err_set(err, ERR_BUG, "'%s' is no key of an object", key);
    if (!s3_call(s3_of(s)->client, &r, &reply, &v, NULL, err))
        return false;
    s3_reply_release(&reply);
    return v == S3_DONE || err_set(err, ERR_INPUT, "the bucket has no object %s", key);
}

static bool s3_load(struct store *s, const char *key, struct buf *out, char ret_tag[STORE_TAG_MAX], struct err *err)
{
    struct s3_request r = {.method = "GET", .key = key};
    struct s3_reply reply;
    enum s3_verdict v;
    ret_tag[0] = '\0';
    if (!s3_call(s3_of(s)->client, &r, &reply, &v, NULL, err))
        return false;
    bool ok = v != S3_DONE || *reply.etag || err_set(err, ERR_CONFIG, "the store gives no ETag: objects cannot be joined there");
    if (ok && v == S3_DONE) {
        buf_adds(out, buf_span(&reply.body));
        (void)snprintf(ret_tag, STORE_TAG_MAX, "%s", reply.etag);
        ok = buf_ok(out) || err_set(err, ERR_NOMEM, "out of memory for %s", key);
    }
    s3_reply_release(&reply);
    return ok;
}

static bool s3_swap(struct store *s, const char *key, const char *tag, struct span bytes, bool *ret_swapped, struct err *err)
{
    char condition[STORE_TAG_MAX + 20], found[STORE_TAG_MAX];
    struct s3_request r = {.method = "PUT", .key = key, .conditional = true, .body = bytes, .headers = {condition}};
    struct s3_reply reply;
    enum s3_verdict v;
    struct buf now = {0};
    (void)snprintf(condition, sizeof(condition), *tag ? "If-Match: %s" : "If-None-Match: *", tag);
    if (!s3_call(s3_of(s)->client, &r, &reply, &v, NULL, err))
        return false;
    s3_reply_release(&reply);
    if (v == S3_UNCONDITIONAL)
        return err_set(err, ERR_CONFIG, "the store knows no conditional writes: leave staging.objects.compact out");
    *ret_swapped = v == S3_DONE;
    /* An earlier try may have done it, and its answer was lost. */
    bool ok = *ret_swapped || s3_load(s, key, &now, found, err);
    *ret_swapped = *ret_swapped || (ok && span_eq(buf_span(&now), bytes));
    buf_release(&now);
    return ok;
}

struct spooled {
    const char *node;
    struct buf names; /* NUL-ended */
};

static void add_spooled(void *ctx, const char *name)
{
    struct spooled *p = ctx;
    size_t n = strlen(p->node);
    if (strncmp(name, p->node, n) == 0 && name[n] == '.')
        buf_add(&p->names, name, strlen(name) + 1);
}

static bool s3_sweep(struct store *s, const char *node, struct err *err)
{
    struct s3_store *t = s3_of(s);
    struct spooled p = {.node = node};
    struct err own = {0};
    (void)s->io->dir->list(s->io, t->spool, add_spooled, &p);
    for (size_t i = 0; i < p.names.n; i += strlen(p.names.p + i) + 1) {
        char *path = path_of(t, p.names.p + i);
        if (path)
            (void)s->io->dir->unlink(s->io, path);
        free(path);
    }
    buf_release(&p.names);
    /* Uploads that stay unfinished cost the bucket's owner, but nothing here depends on them: a store without such a list, or one
     * that does not allow it, is no reason to stage nothing. What else is wrong the first object tells. */
    bool ok = s3_upload_sweep(t->client, node, &own) || own.cls == ERR_CONFIG;
    if (!ok && err)
        *err = own;
    return ok;
}

static void s3_stop(struct store *s)
{
    s3_client_stop(s3_of(s)->client);
}

static void s3_close(struct store *s)
{
    struct s3_store *t = s3_of(s);
    s3_client_free(&t->client);
    free(t->spool);
    free(t);
}

static const struct store_ops s3_ops = {s3_create, s3_write, s3_commit, s3_abort, s3_remove,
                                        s3_list,   s3_read,  s3_load,   s3_swap,  s3_sweep, s3_stop, s3_close};

bool store_open_s3(const struct io *io, const struct objects_config *o, const char *spool, struct store **ret, struct err *err)
{
    struct s3_client *client = s3_client_new(io, o, err);
    if (!client)
        return false;
    struct s3_store *t = mem_alloc(sizeof(*t));
    *t = (struct s3_store){.base = {.ops = &s3_ops, .io = io}, .o = o, .client = client, .spool = mem_dup(spool)};
    struct store *s = &t->base;
    *ret = s;
    return true;
}
