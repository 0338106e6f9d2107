#include "core/io.h"
#include "core/buf.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define PART_BYTES ((size_t)1 << 20)

static bool fail(struct err *err, enum err_class cls, int rc, const char *what, const char *path)
{
    errno = rc < 0 ? -rc : 0;
    return err_sys(err, cls, "cannot %s %s", what, path);
}

/* Reads to the end whatever the file's size says: one of /proc says 0, one that grows says too little. */
static bool read_all(const struct io *io, int fd, const char *path, struct buf *b, struct err *err)
{
    int64_t size = io->file->size(io, fd);
    if (size < 0)
        return fail(err, ERR_INPUT, (int)size, "read", path);
    while ((uint64_t)size <= b->max) {
        char part[8192];
        ssize_t k = io->file->pread(io, fd, part, sizeof part, b->n);
        if (k == -EINTR)
            continue;
        if (k < 0)
            return fail(err, ERR_INPUT, (int)k, "read", path);
        if (k == 0)
            return true;
        if ((size_t)k > b->max - b->n)
            break;
        buf_add(b, part, (size_t)k);
        if (!buf_ok(b))
            return err_set(err, ERR_NOMEM, "no memory for %s", path);
    }
    return err_set(err, ERR_INPUT, "%s is larger than %zu bytes", path, b->max);
}

bool io_read_file(const struct io *io, const char *path, size_t bytes_max, char **ret_p, size_t *ret_n,
                  struct err *err)
{
    int fd = io->file->open(io, path, O_RDONLY, 0);
    if (fd < 0)
        return fail(err, ERR_INPUT, fd, "open", path);
    struct buf b;
    buf_init(&b, bytes_max);
    bool ok = read_all(io, fd, path, &b, err);
    io->file->close(io, fd);
    size_t n = 0;
    char *p = ok ? buf_take(&b, &n) : NULL;
    buf_release(&b);
    if (!ok)
        return false;
    if (!p)
        return err_set(err, ERR_NOMEM, "no memory for %s", path);
    *ret_p = p;
    *ret_n = n;
    return true;
}

bool io_write_all(const struct io *io, int fd, const void *p, size_t n, struct err *err)
{
    const char *at = p;
    while (n) {
        ssize_t k = io->file->write(io, fd, at, n);
        if (k == -EINTR)
            continue;
        if (k <= 0) {
            errno = k < 0 ? (int)-k : ENOSPC; /* a write of nothing: no room */
            return err_sys(err, ERR_DURABLE, "cannot write");
        }
        at += k;
        n -= (size_t)k;
    }
    return true;
}

bool io_write_again(const struct io *io, int fd, uint64_t n, struct err *err)
{
    char *part = mem_alloc(PART_BYTES);
    ssize_t k = 0;
    for (uint64_t at = 0; k >= 0 && at < n; at += k > 0 ? (uint64_t)k : 0) {
        k = io->file->pread(io, fd, part, n - at < PART_BYTES ? (size_t)(n - at) : PART_BYTES, at);
        if (k == 0)
            k = -EIO; /* it became shorter */
        if (k > 0)
            k = io->file->pwrite(io, fd, part, (size_t)k, at);
        if (k == -EINTR)
            k = 0;
    }
    int rc = k < 0 ? (int)k : io->file->sync(io, fd);
    free(part);
    errno = -rc;
    return rc == 0 || err_sys(err, ERR_DURABLE, "cannot write again");
}

#define PATH_BYTES 4200 /* the kernel takes 4096 */

static void folder_of(const char *path, char *out, size_t n)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(out, n, ".");
    else
        snprintf(out, n, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static bool write_partial(const struct io *io, const char *partial, unsigned mode, struct span bytes,
                          struct err *err)
{
    int fd = io->file->open(io, partial, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (fd < 0)
        return fail(err, ERR_DURABLE, fd, "create", partial);
    bool ok = io_write_all(io, fd, bytes.p, bytes.n, err) || err_prefix(err, "%s", partial);
    int rc = ok ? io->file->sync(io, fd) : 0;
    if (rc < 0)
        ok = fail(err, ERR_DURABLE, rc, "sync", partial);
    rc = io->file->close(io, fd);
    return ok && rc < 0 ? fail(err, ERR_DURABLE, rc, "close", partial) : ok;
}

bool io_write_file_atomic(const struct io *io, const char *path, unsigned mode, struct span bytes, struct err *err)
{
    char partial[PATH_BYTES], folder[PATH_BYTES];
    if (snprintf(partial, sizeof partial, "%s.partial", path) >= (int)sizeof partial)
        return err_set(err, ERR_INPUT, "the path is too long: %s", path);
    folder_of(path, folder, sizeof folder);
    if (!write_partial(io, partial, mode, bytes, err)) {
        io->dir->unlink(io, partial);
        return false;
    }
    int rc = io->dir->rename(io, partial, path);
    if (rc < 0) {
        io->dir->unlink(io, partial);
        return fail(err, ERR_DURABLE, rc, "rename to", path);
    }
    rc = io->dir->sync(io, folder);
    return rc < 0 ? fail(err, ERR_DURABLE, rc, "sync", folder) : true;
}

/* Makes one folder and sees that the entry for it survives a power cut. A folder above that we may not
 * read cannot be synced; then it was not made by us either, as a rule, and stays as durable as it is. */
static bool make_one(const struct io *io, const char *path, unsigned mode, struct err *err)
{
    char above[PATH_BYTES];
    int rc = io->dir->mkdir(io, path, mode);
    if (rc < 0)
        return fail(err, ERR_DURABLE, rc, "make the folder", path);
    folder_of(path, above, sizeof above);
    rc = io->dir->sync(io, above);
    if (rc < 0 && rc != -EACCES && rc != -EPERM && rc != -EROFS && rc != -EINVAL)
        return fail(err, ERR_DURABLE, rc, "sync", above);
    return true;
}

bool io_mkdirs(const struct io *io, const char *path, unsigned mode, struct err *err)
{
    char part[PATH_BYTES];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return err_set(err, ERR_INPUT, "the path is too long: %s", path);
    size_t n = strlen(part);
    while (n > 1 && part[n - 1] == '/')
        part[--n] = 0;
    if (n == 0)
        return err_set(err, ERR_INPUT, "a folder's path is empty");
    for (size_t i = 1; i <= n; i++) {
        if ((part[i] && part[i] != '/') || part[i - 1] == '/')
            continue;
        char was = part[i];
        part[i] = 0;
        if (!make_one(io, part, mode, err))
            return false;
        part[i] = was;
    }
    return true;
}
