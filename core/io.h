/* io: the only door to files, clock and random, as small tables of operations, so that a test can
 * put a faulty or simulated world in its place (the way SQLite does with its VFS).
 *
 * Every operation of the journal, the object store and the lineage file goes through here. SQLite
 * keeps its own VFS. Functions return a negative errno on failure (-EIO, -ENOSPC, …), never set errno.
 * Threads: any; implementations must be safe for concurrent use on different files.
 * Life: io_posix() is constant; a test's struct io outlives whatever uses it. */
#pragma once
#include "core/err.h"
#include "core/span.h"
#include <stdint.h>
#include <sys/types.h>

struct io;

struct io_file_ops {
    int (*open)(const struct io *io, const char *path, int flags, unsigned mode); /* fd or -errno */
    int (*close)(const struct io *io, int fd);
    ssize_t (*pread)(const struct io *io, int fd, void *p, size_t n, uint64_t offset);
    ssize_t (*write)(const struct io *io, int fd, const void *p, size_t n); /* appends at the fd's place */
    ssize_t (*pwrite)(const struct io *io, int fd, const void *p, size_t n, uint64_t offset);
    /* Takes room for the bytes from `from` on: the file has them then, as zeros. -EOPNOTSUPP: the file system cannot. */
    int (*allocate)(const struct io *io, int fd, uint64_t from, uint64_t n);
    int (*sync)(const struct io *io, int fd);                                /* fdatasync */
    int (*truncate)(const struct io *io, int fd, uint64_t n);
    int64_t (*size)(const struct io *io, int fd);
    /* A number that tells a file from a copy of it, also from one that was put back under its name and inode. */
    int64_t (*id)(const struct io *io, int fd);
};

struct io_dir_ops {
    int (*rename)(const struct io *io, const char *from, const char *to);
    int (*unlink)(const struct io *io, const char *path);
    int (*mkdir)(const struct io *io, const char *path, unsigned mode); /* 0 also if it is there */
    int (*sync)(const struct io *io, const char *path);                 /* fsync of the directory */
    /* Calls each(ctx, name) for every entry but . and .. in no order; each may not change the directory. */
    int (*list)(const struct io *io, const char *path, void (*each)(void *ctx, const char *name), void *ctx);
    int64_t (*free_bytes)(const struct io *io, const char *path);
};

struct io_world_ops {
    uint64_t (*now_us)(const struct io *io);       /* wall clock, microseconds since 1970 */
    uint64_t (*monotonic_us)(const struct io *io);
    void (*sleep_us)(const struct io *io, uint64_t us);
    int (*random)(const struct io *io, void *p, size_t n); /* unpredictable bytes */
};

struct io {
    const struct io_file_ops *file;
    const struct io_dir_ops *dir;
    const struct io_world_ops *world;
    void *ctx;
};

const struct io *io_posix(void);

/* Helpers over any io. Writes and syncs fail with ERR_DURABLE, reads with ERR_INPUT, memory with ERR_NOMEM. */

/* The whole file, at most bytes_max (> 0). *ret_p is NUL-terminated; the caller frees it. */
bool io_read_file(const struct io *io, const char *path, size_t bytes_max, char **ret_p, size_t *ret_n,
                  struct err *err);
/* All of it, through interrupts and short writes. */
bool io_write_all(const struct io *io, int fd, const void *p, size_t n, struct err *err);
/* The file has its old bytes or the new ones, also after a power cut: writes path.partial, syncs it,
 * renames it, syncs the folder. After a failure path.partial is gone. Two writers at once are a bug. */
bool io_write_file_atomic(const struct io *io, const char *path, unsigned mode, struct span bytes,
                          struct err *err);
/* Writes the first n bytes of an open file over themselves and syncs it. After a sync that failed the kernel may show bytes that
 * no later sync writes; these it does. */
bool io_write_again(const struct io *io, int fd, uint64_t n, struct err *err);
/* A folder and those above it, each entry synced. */
bool io_mkdirs(const struct io *io, const char *path, unsigned mode, struct err *err);
