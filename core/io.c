#include "core/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static bool fail(struct err *err, enum err_class cls, int rc, const char *what, const char *path)
{
    errno = rc < 0 ? -rc : 0;
    return err_sys(err, cls, "cannot %s %s", what, path);
}

static bool read_open(const struct io *io, int fd, const char *path, size_t bytes_max, char **ret_p, size_t *ret_n, struct err *err)
{
    int64_t size = io->file->size(io, fd);
    if (size < 0)
        return fail(err, ERR_INPUT, (int)size, "read", path);
    if ((uint64_t)size > bytes_max)
        return err_set(err, ERR_INPUT, "%s is larger than %zu bytes", path, bytes_max);
    char *p = malloc((size_t)size + 1);
    if (!p)
        return err_set(err, ERR_NOMEM, "no memory for %s", path);
    size_t n = 0;
    while (n < (size_t)size) {
        ssize_t k = io->file->pread(io, fd, p + n, (size_t)size - n, n);
        if (k == -EINTR)
            continue;
        if (k < 0) {
            free(p);
            return fail(err, ERR_INPUT, (int)k, "read", path);
        }
        if (k == 0)
            break;
        n += (size_t)k;
    }
    p[n] = 0;
    *ret_p = p;
    *ret_n = n;
    return true;
}

bool io_read_file(const struct io *io, const char *path, size_t bytes_max, char **ret_p, size_t *ret_n, struct err *err)
{
    int fd = io->file->open(io, path, O_RDONLY, 0);
    if (fd < 0)
        return fail(err, ERR_INPUT, fd, "open", path);
    bool ok = read_open(io, fd, path, bytes_max, ret_p, ret_n, err);
    io->file->close(io, fd);
    return ok;
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

static void folder_of(const char *path, char *out, size_t n)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(out, n, ".");
    else
        snprintf(out, n, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static bool write_partial(const struct io *io, const char *partial, unsigned mode, struct span bytes, struct err *err)
{
    int fd = io->file->open(io, partial, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (fd < 0)
        return fail(err, ERR_DURABLE, fd, "create", partial);
    bool ok = io_write_all(io, fd, bytes.p, bytes.n, err);
    int rc = ok ? io->file->sync(io, fd) : 0;
    if (rc < 0)
        ok = fail(err, ERR_DURABLE, rc, "sync", partial);
    rc = io->file->close(io, fd);
    return ok && rc < 0 ? fail(err, ERR_DURABLE, rc, "close", partial) : ok;
}

bool io_write_file_atomic(const struct io *io, const char *path, unsigned mode, struct span bytes, struct err *err)
{
    char partial[4200], folder[4200];
    if (snprintf(partial, sizeof partial, "%s.partial", path) >= (int)sizeof partial)
        return err_set(err, ERR_INPUT, "the path is too long: %s", path);
    folder_of(path, folder, sizeof folder);
    if (!write_partial(io, partial, mode, bytes, err)) {
        io->dir->unlink(io, partial);
        return false;
    }
    int rc = io->dir->rename(io, partial, path);
    if (rc < 0)
        return fail(err, ERR_DURABLE, rc, "rename to", path);
    rc = io->dir->sync(io, folder);
    return rc < 0 ? fail(err, ERR_DURABLE, rc, "sync", folder) : true;
}

bool io_mkdirs(const struct io *io, const char *path, unsigned mode, struct err *err)
{
    char part[4200];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return err_set(err, ERR_INPUT, "the path is too long: %s", path);
    for (char *at = part + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char was = *at;
        *at = 0;
        int rc = io->dir->mkdir(io, part, mode);
        if (rc < 0 && (rc != -EISDIR))
            return fail(err, ERR_DURABLE, rc, "make the folder", part);
        *at = was;
        if (!was)
            return true;
    }
}
