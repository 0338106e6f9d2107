/* faulty: the real world through io, whose n-th operation fails, once or from then on; and a directory of one test's own.
 * For the tests of staging. Only what changes the world is counted and fails; reading goes through. */
#pragma once
#include "core/io.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct faulty {
    struct io io;
    _Atomic unsigned count;   /* operations so far */
    _Atomic unsigned fail_at; /* 0: never */
    bool once;
    int error;
    _Atomic unsigned failed;  /* how many did */
    _Atomic uint64_t ahead_us; /* of both clocks */
};

static struct faulty *faulty_of(const struct io *io)
{
    return io->ctx;
}

static int faulty_turn(const struct io *io)
{
    struct faulty *f = faulty_of(io);
    f->count++;
    if (!f->fail_at || f->count < f->fail_at || (f->once && f->count > f->fail_at))
        return 0;
    f->failed++;
    return f->error;
}

static int faulty_open(const struct io *io, const char *path, int flags, unsigned mode)
{
    int rc = (flags & O_CREAT) ? faulty_turn(io) : 0;
    return rc < 0 ? rc : io_posix()->file->open(io_posix(), path, flags, mode);
}

static int faulty_close(const struct io *io, int fd)
{
    (void)io;
    return io_posix()->file->close(io_posix(), fd);
}

static ssize_t faulty_pread(const struct io *io, int fd, void *p, size_t n, uint64_t offset)
{
    (void)io;
    return io_posix()->file->pread(io_posix(), fd, p, n, offset);
}

static ssize_t faulty_write(const struct io *io, int fd, const void *p, size_t n)
{
    int rc = faulty_turn(io);
    /* A write that fails may have written a part. */
    if (rc < 0 && n > 1)
        (void)io_posix()->file->write(io_posix(), fd, p, n / 2);
    return rc < 0 ? rc : io_posix()->file->write(io_posix(), fd, p, n);
}

static ssize_t faulty_pwrite(const struct io *io, int fd, const void *p, size_t n, uint64_t offset)
{
    int rc = faulty_turn(io);
    if (rc < 0 && n > 1)
        (void)io_posix()->file->pwrite(io_posix(), fd, p, n / 2, offset);
    return rc < 0 ? rc : io_posix()->file->pwrite(io_posix(), fd, p, n, offset);
}

static int faulty_allocate(const struct io *io, int fd, uint64_t from, uint64_t n)
{
    int rc = faulty_turn(io);
    return rc < 0 ? rc : io_posix()->file->allocate(io_posix(), fd, from, n);
}

static int faulty_sync(const struct io *io, int fd)
{
    int rc = faulty_turn(io);
    return rc < 0 ? rc : io_posix()->file->sync(io_posix(), fd);
}

static int faulty_truncate(const struct io *io, int fd, uint64_t n)
{
    int rc = faulty_turn(io);
    return rc < 0 ? rc : io_posix()->file->truncate(io_posix(), fd, n);
}

static int64_t faulty_size(const struct io *io, int fd)
{
    (void)io;
    return io_posix()->file->size(io_posix(), fd);
}

static int64_t faulty_id(const struct io *io, int fd)
{
    (void)io;
    return io_posix()->file->id(io_posix(), fd);
}

static int faulty_rename(const struct io *io, const char *from, const char *to)
{
    int rc = faulty_turn(io);
    return rc < 0 ? rc : io_posix()->dir->rename(io_posix(), from, to);
}

static int faulty_unlink(const struct io *io, const char *path)
{
    int rc = faulty_turn(io);
    return rc < 0 ? rc : io_posix()->dir->unlink(io_posix(), path);
}

static int faulty_mkdir(const struct io *io, const char *path, unsigned mode)
{
    int rc = faulty_turn(io);
    return rc < 0 ? rc : io_posix()->dir->mkdir(io_posix(), path, mode);
}

static int faulty_sync_dir(const struct io *io, const char *path)
{
    int rc = faulty_turn(io);
    return rc < 0 ? rc : io_posix()->dir->sync(io_posix(), path);
}

static int faulty_list(const struct io *io, const char *path, void (*each)(void *ctx, const char *name), void *ctx)
{
    (void)io;
    return io_posix()->dir->list(io_posix(), path, each, ctx);
}

static int64_t faulty_free_bytes(const struct io *io, const char *path)
{
    (void)io;
    return io_posix()->dir->free_bytes(io_posix(), path);
}

static uint64_t faulty_now(const struct io *io)
{
    return io_posix()->world->now_us(io_posix()) + faulty_of(io)->ahead_us;
}

static uint64_t faulty_monotonic(const struct io *io)
{
    return io_posix()->world->monotonic_us(io_posix()) + faulty_of(io)->ahead_us;
}

static void faulty_sleep(const struct io *io, uint64_t us)
{
    (void)io;
    io_posix()->world->sleep_us(io_posix(), us > 1000 ? 1000 : us);
}

static int faulty_random(const struct io *io, void *p, size_t n)
{
    (void)io;
    return io_posix()->world->random(io_posix(), p, n);
}

static inline void faulty_init(struct faulty *f)
{
    static const struct io_file_ops file = {.open = faulty_open,
                                            .close = faulty_close,
                                            .pread = faulty_pread,
                                            .write = faulty_write,
                                            .pwrite = faulty_pwrite,
                                            .allocate = faulty_allocate,
                                            .sync = faulty_sync,
                                            .truncate = faulty_truncate,
                                            .size = faulty_size,
                                            .id = faulty_id};
    static const struct io_dir_ops dir_ops = {faulty_rename, faulty_unlink, faulty_mkdir, faulty_sync_dir, faulty_list,
                                              faulty_free_bytes};
    static const struct io_world_ops world = {faulty_now, faulty_monotonic, faulty_sleep, faulty_random};
    *f = (struct faulty){.io = {&file, &dir_ops, &world, NULL}};
    f->io.ctx = f;
}

/* Counts from here: the n-th operation fails, alone or with all that follow. */
static inline void faulty_fail_at(struct faulty *f, unsigned n, bool once, int error)
{
    f->count = f->failed = 0;
    f->fail_at = n;
    f->once = once;
    f->error = error;
}

static inline void faulty_heal(struct faulty *f)
{
    f->fail_at = 0;
}

struct scratch_dir {
    char path[256];
};

static inline void scratch_dir_make(struct scratch_dir *d)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(d->path, sizeof(d->path), "%s/sluice-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(d->path))
        abort();
}

static int scratch_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void scratch_remove(const char *path)
{
    (void)nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void scratch_dir_remove(struct scratch_dir *d)
{
    scratch_remove(d->path);
}
