#include "core/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static int posix_open(const struct io *io, const char *path, int flags, unsigned mode)
{
    (void)io;
    int fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    return fd < 0 ? -errno : fd;
}

static int posix_close(const struct io *io, int fd)
{
    (void)io;
    return close(fd) ? -errno : 0;
}

static ssize_t posix_pread(const struct io *io, int fd, void *p, size_t n, uint64_t offset)
{
    (void)io;
    ssize_t k = pread(fd, p, n, (off_t)offset);
    return k < 0 ? -errno : k;
}

static ssize_t posix_write(const struct io *io, int fd, const void *p, size_t n)
{
    (void)io;
    ssize_t k = write(fd, p, n);
    return k < 0 ? -errno : k;
}

static ssize_t posix_pwrite(const struct io *io, int fd, const void *p, size_t n, uint64_t offset)
{
    (void)io;
    ssize_t k = pwrite(fd, p, n, (off_t)offset);
    return k < 0 ? -errno : k;
}

static int posix_allocate(const struct io *io, int fd, uint64_t from, uint64_t n)
{
    (void)io;
    return fallocate(fd, 0, (off_t)from, (off_t)n) ? -errno : 0;
}

static int posix_sync(const struct io *io, int fd)
{
    (void)io;
    return fdatasync(fd) ? -errno : 0;
}

static int posix_truncate(const struct io *io, int fd, uint64_t n)
{
    (void)io;
    return ftruncate(fd, (off_t)n) ? -errno : 0;
}

static int64_t posix_size(const struct io *io, int fd)
{
    (void)io;
    struct stat st;
    return fstat(fd, &st) ? -errno : st.st_size;
}

/* An inode's number is given out again when its file is gone; the time of birth is not, where the file system keeps it. */
static int64_t posix_id(const struct io *io, int fd)
{
    struct statx st;
    (void)io;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) != 0)
        return -errno;
    uint64_t born = st.stx_mask & STATX_BTIME ? (uint64_t)st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec : 0;
    uint64_t id = (st.stx_ino * UINT64_C(0x9e3779b97f4a7c15)) ^ (born * UINT64_C(0xbf58476d1ce4e5b9));
    return (int64_t)(id & INT64_MAX);
}

static int posix_rename(const struct io *io, const char *from, const char *to)
{
    (void)io;
    return rename(from, to) ? -errno : 0;
}

static int posix_unlink(const struct io *io, const char *path)
{
    (void)io;
    return unlink(path) ? -errno : 0;
}

static int posix_mkdir(const struct io *io, const char *path, unsigned mode)
{
    (void)io;
    struct stat st;
    if (mkdir(path, (mode_t)mode) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    return stat(path, &st) ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int posix_dir_sync(const struct io *io, const char *path)
{
    (void)io;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) ? -errno : 0;
    close(fd);
    return rc;
}

static int posix_list(const struct io *io, const char *path, void (*each)(void *ctx, const char *name), void *ctx)
{
    (void)io;
    DIR *d = opendir(path);
    if (!d)
        return -errno;
    struct dirent *e;
    errno = 0;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.' || (e->d_name[1] && (e->d_name[1] != '.' || e->d_name[2])))
            each(ctx, e->d_name);
        errno = 0;
    }
    int rc = -errno;
    closedir(d);
    return rc;
}

static int64_t posix_free_bytes(const struct io *io, const char *path)
{
    (void)io;
    struct statvfs v;
    return statvfs(path, &v) ? -errno : (int64_t)((uint64_t)v.f_bavail * v.f_frsize);
}

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t posix_now_us(const struct io *io)
{
    (void)io;
    return read_clock(CLOCK_REALTIME);
}

static uint64_t posix_monotonic_us(const struct io *io)
{
    (void)io;
    return read_clock(CLOCK_MONOTONIC);
}

static void posix_sleep_us(const struct io *io, uint64_t us)
{
    (void)io;
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

static int posix_random(const struct io *io, void *p, size_t n)
{
    (void)io;
    char *at = p;
    while (n) {
        ssize_t k = getrandom(at, n, 0);
        if (k < 0 && errno != EINTR)
            return -errno;
        if (k > 0) {
            at += k;
            n -= (size_t)k;
        }
    }
    return 0;
}

static const struct io_file_ops file_ops = {.open = posix_open,
                                            .close = posix_close,
                                            .pread = posix_pread,
                                            .write = posix_write,
                                            .pwrite = posix_pwrite,
                                            .allocate = posix_allocate,
                                            .sync = posix_sync,
                                            .truncate = posix_truncate,
                                            .size = posix_size,
                                            .id = posix_id};
static const struct io_dir_ops dir_ops = {posix_rename, posix_unlink, posix_mkdir, posix_dir_sync, posix_list,
                                          posix_free_bytes};
static const struct io_world_ops world_ops = {posix_now_us, posix_monotonic_us, posix_sleep_us, posix_random};
static const struct io posix_io = {&file_ops, &dir_ops, &world_ops, NULL};

const struct io *io_posix(void)
{
    return &posix_io;
}
