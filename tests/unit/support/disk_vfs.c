#include "tests/unit/support/disk_vfs.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_MAX_BYTES 512
#define REGIONS_MAX 64
#define LOG_PAGES 16

/* What the connections to one file share: locks of the file, and the index of its write-ahead log. */
struct shared {
    struct shared *next;
    char *path;
    int connections, readers;
    struct vfs_file *writer; /* from RESERVED on */
    int mapped;              /* connections that use the index */
    void *regions[REGIONS_MAX];
    int slots[SQLITE_SHM_NLOCK]; /* readers, -1: one writer */
};
struct disk_vfs {
    sqlite3_vfs base;
    sqlite3_vfs *system;
    struct disk *disk;
    const struct io *io;
    struct shared *all;
    int last_errno;
};
struct vfs_file {
    sqlite3_file base;
    struct disk_vfs *vfs;
    struct shared *shared;
    char path[PATH_MAX_BYTES];
    int fd, level;
    bool sync_folder, mapped;
    unsigned slots_shared, slots_alone; /* bit by slot */
};

static struct vfs_file *file_of(sqlite3_file *f)
{
    return (struct vfs_file *)(void *)f;
}

static struct disk_vfs *vfs_of(sqlite3_vfs *v)
{
    return (struct disk_vfs *)(void *)v;
}

static int failed(struct disk_vfs *v, int rc, int code)
{
    v->last_errno = -rc;
    return rc == -ENOSPC ? SQLITE_FULL : code;
}

static int sync_folder_of(struct disk_vfs *v, const char *path)
{
    char folder[PATH_MAX_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    int rc = v->io->dir->sync(v->io, folder);
    return rc < 0 ? failed(v, rc, SQLITE_IOERR_DIR_FSYNC) : SQLITE_OK;
}

/* ---- one file: bytes ---- */

static int file_read(sqlite3_file *base, void *p, int n, sqlite3_int64 offset)
{
    struct vfs_file *f = file_of(base);
    const struct io *io = f->vfs->io;
    ssize_t got;
    do
        got = io->file->pread(io, f->fd, p, (size_t)n, (uint64_t)offset);
    while (got == -EINTR);
    if (got < 0)
        return failed(f->vfs, (int)got, SQLITE_IOERR_READ);
    memset((char *)p + got, 0, (size_t)(n - got));
    return got < n ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int file_write(sqlite3_file *base, const void *p, int n, sqlite3_int64 offset)
{
    struct vfs_file *f = file_of(base);
    for (int done = 0; done < n;) {
        ssize_t rc = disk_write_at(f->vfs->disk, f->fd, (const char *)p + done, (size_t)(n - done), (uint64_t)(offset + done));
        if (rc < 0 && rc != -EINTR)
            return failed(f->vfs, (int)rc, SQLITE_IOERR_WRITE);
        done += rc > 0 ? (int)rc : 0;
    }
    return SQLITE_OK;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 n)
{
    struct vfs_file *f = file_of(base);
    int rc;
    do
        rc = f->vfs->io->file->truncate(f->vfs->io, f->fd, (uint64_t)n);
    while (rc == -EINTR);
    return rc < 0 ? failed(f->vfs, rc, SQLITE_IOERR_TRUNCATE) : SQLITE_OK;
}

static int file_sync(sqlite3_file *base, int flags)
{
    struct vfs_file *f = file_of(base);
    (void)flags;
    int rc = f->vfs->io->file->sync(f->vfs->io, f->fd);
    if (rc < 0)
        return failed(f->vfs, rc, SQLITE_IOERR_FSYNC);
    if (f->sync_folder)
        (void)sync_folder_of(f->vfs, f->path);
    f->sync_folder = false;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret)
{
    const struct vfs_file *f = file_of(base);
    *ret = f->vfs->io->file->size(f->vfs->io, f->fd);
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
    (void)base, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_traits(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- one file: locks ---- */

static int file_lock(sqlite3_file *base, int level)
{
    struct vfs_file *f = file_of(base);
    struct shared *s = f->shared;
    if (f->level >= level)
        return SQLITE_OK;
    if (f->level == SQLITE_LOCK_NONE) {
        if (s->writer && s->writer->level >= SQLITE_LOCK_PENDING)
            return SQLITE_BUSY;
        s->readers++;
        f->level = SQLITE_LOCK_SHARED;
    }
    if (level == SQLITE_LOCK_SHARED)
        return SQLITE_OK;
    if (s->writer && s->writer != f)
        return SQLITE_BUSY;
    s->writer = f;
    f->level = level == SQLITE_LOCK_EXCLUSIVE && s->readers > 1 ? SQLITE_LOCK_PENDING : level;
    return f->level == level ? SQLITE_OK : SQLITE_BUSY;
}

static int file_unlock(sqlite3_file *base, int level)
{
    struct vfs_file *f = file_of(base);
    if (f->level > level) {
        if (f->shared->writer == f)
            f->shared->writer = NULL;
        if (level == SQLITE_LOCK_NONE)
            f->shared->readers--;
        f->level = level;
    }
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *ret)
{
    *ret = file_of(base)->shared->writer != NULL;
    return SQLITE_OK;
}

/* ---- one file: the index of its write-ahead log ---- */

static int shm_map(sqlite3_file *base, int i, int bytes, int extend, void volatile **ret)
{
    struct vfs_file *f = file_of(base);
    struct shared *s = f->shared;
    int code = i < REGIONS_MAX ? SQLITE_OK : SQLITE_IOERR_SHMSIZE;
    if (code == SQLITE_OK && !s->regions[i] && extend) {
        int rc = disk_operation(f->vfs->disk);
        if (rc < 0 && rc != -EINTR)
            code = failed(f->vfs, rc, SQLITE_IOERR_SHMSIZE);
        else
            s->regions[i] = mem_alloc((size_t)bytes);
    }
    s->mapped += !f->mapped;
    f->mapped = true;
    *ret = code == SQLITE_OK ? s->regions[i] : NULL;
    return code;
}

static bool slot_is_free(const struct vfs_file *f, int slot, bool alone)
{
    int users = f->shared->slots[slot];
    return (f->slots_shared | f->slots_alone) >> slot & 1 || (alone ? users == 0 : users >= 0);
}

static void take_slot(struct vfs_file *f, int slot, bool alone)
{
    if (!((f->slots_shared | f->slots_alone) >> slot & 1))
        f->shared->slots[slot] += alone ? -1 : 1;
    *(alone ? &f->slots_alone : &f->slots_shared) |= 1U << slot;
}

static void leave_slot(struct vfs_file *f, int slot)
{
    if (f->slots_alone >> slot & 1)
        f->shared->slots[slot] = 0;
    if (f->slots_shared >> slot & 1)
        f->shared->slots[slot]--;
    f->slots_alone &= ~(1U << slot);
    f->slots_shared &= ~(1U << slot);
}

static int shm_lock(sqlite3_file *base, int first, int n, int flags)
{
    struct vfs_file *f = file_of(base);
    bool alone = flags & SQLITE_SHM_EXCLUSIVE, ok = true;
    for (int i = first; i < first + n; i++) {
        ok = ok && (!(flags & SQLITE_SHM_LOCK) || slot_is_free(f, i, alone));
        if (flags & SQLITE_SHM_UNLOCK)
            leave_slot(f, i);
    }
    for (int i = first; ok && (flags & SQLITE_SHM_LOCK) && i < first + n; i++)
        take_slot(f, i, alone);
    return ok ? SQLITE_OK : SQLITE_BUSY;
}

static void shm_barrier(sqlite3_file *base)
{
    (void)base;
    __sync_synchronize();
}

static int shm_unmap(sqlite3_file *base, int delete)
{
    (void)delete;
    struct vfs_file *f = file_of(base);
    struct shared *s = f->shared;
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++)
        leave_slot(f, i);
    s->mapped -= f->mapped;
    for (int i = 0; !s->mapped && i < REGIONS_MAX; i++) {
        free(s->regions[i]);
        s->regions[i] = NULL;
    }
    f->mapped = false;
    return SQLITE_OK;
}

/* ---- files ---- */

static struct shared *share(struct disk_vfs *v, const char *path)
{
    struct shared *s = v->all;
    while (s && strcmp(s->path, path) != 0)
        s = s->next;
    if (!s) {
        s = mem_alloc(sizeof *s);
        *s = (struct shared){.next = v->all, .path = mem_dup(path)};
        v->all = s;
    }
    s->connections++;
    return s;
}

static void leave(struct disk_vfs *v, struct shared *s)
{
    struct shared **at = &v->all;
    if (--s->connections)
        return;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s->path);
    free(s);
}

static int file_close(sqlite3_file *base)
{
    struct vfs_file *f = file_of(base);
    struct disk_vfs *v = f->vfs;
    (void)shm_unmap(base, 0);
    (void)file_unlock(base, SQLITE_LOCK_NONE);
    (void)v->io->file->close(v->io, f->fd);
    leave(v, f->shared);
    return SQLITE_OK;
}

static int vfs_open(sqlite3_vfs *base, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
    static const sqlite3_io_methods methods = {
        2, file_close, file_read, file_write, file_truncate, file_sync, file_size, file_lock, file_unlock, file_check_reserved,
        file_control, NULL, file_traits, shm_map, shm_lock, shm_barrier, shm_unmap, NULL, NULL};
    struct disk_vfs *v = vfs_of(base);
    struct vfs_file *f = file_of(file);
    if (!path)
        return v->system->xOpen(v->system, path, file, flags, ret_flags);
    int how = (flags & SQLITE_OPEN_READWRITE ? O_RDWR : O_RDONLY) | (flags & SQLITE_OPEN_CREATE ? O_CREAT : 0) |
              (flags & SQLITE_OPEN_EXCLUSIVE ? O_EXCL : 0), fd;
    *f = (struct vfs_file){.vfs = v};
    do
        fd = v->io->file->open(v->io, path, how, 0600);
    while (fd == -EINTR);
    if (fd < 0) {
        v->last_errno = -fd;
        return SQLITE_CANTOPEN;
    }
    snprintf(f->path, sizeof f->path, "%s", path);
    f->fd = fd;
    f->sync_folder = (flags & SQLITE_OPEN_CREATE) && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL));
    f->shared = share(v, path);
    f->base.pMethods = &methods;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync_folder)
{
    struct disk_vfs *v = vfs_of(base);
    int rc = v->io->dir->unlink(v->io, path);
    if (rc < 0)
        return failed(v, rc, rc == -ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE);
    return sync_folder ? sync_folder_of(v, path) : SQLITE_OK;
}

/* As for Unix, an empty file is not there. */
static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *ret)
{
    struct disk_vfs *v = vfs_of(base);
    int rc = disk_operation(v->disk);
    if (rc < 0 && rc != -EINTR)
        return failed(v, rc, SQLITE_IOERR_ACCESS);
    *ret = disk_size(v->disk, path) > (flags == SQLITE_ACCESS_EXISTS ? 0 : -1);
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *base, const char *path, int n, char *out)
{
    (void)base;
    int length = snprintf(out, (size_t)n, "%s%s", path[0] == '/' ? "" : "/disk/", path);
    return length < n && length < PATH_MAX_BYTES ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* ---- the world ---- */

static int vfs_sleep(sqlite3_vfs *base, int us)
{
    struct disk_vfs *v = vfs_of(base);
    v->io->world->sleep_us(v->io, (uint64_t)us);
    return us;
}

static int vfs_last_error(sqlite3_vfs *base, int n, char *out)
{
    (void)n, (void)out;
    return vfs_of(base)->last_errno;
}

/* The log goes into the database every few pages, so that short tests come to it too. */
static int short_log(sqlite3 *db, char **ret_words, const struct sqlite3_api_routines *api)
{
    (void)ret_words, (void)api;
    return sqlite3_wal_autocheckpoint(db, LOG_PAGES);
}

struct disk_vfs *disk_vfs_new(struct disk *d)
{
    struct disk_vfs *v = mem_alloc(sizeof *v);
    *v = (struct disk_vfs){.system = sqlite3_vfs_find("unix"), .disk = d, .io = disk_io(d)};
    size_t own = sizeof(struct vfs_file), theirs = (size_t)v->system->szOsFile;
    v->base = (sqlite3_vfs){.iVersion = 1, .szOsFile = (int)(own > theirs ? own : theirs), .mxPathname = PATH_MAX_BYTES,
                            .zName = "disk", .xOpen = vfs_open, .xDelete = vfs_delete, .xAccess = vfs_access,
                            .xFullPathname = vfs_full_path, .xRandomness = v->system->xRandomness, .xSleep = vfs_sleep,
                            .xCurrentTime = v->system->xCurrentTime, .xGetLastError = vfs_last_error};
    if (sqlite3_vfs_register(&v->base, 1) != SQLITE_OK || sqlite3_auto_extension((void (*)(void))short_log) != SQLITE_OK)
        abort();
    return v;
}

void disk_vfs_free(struct disk_vfs **at)
{
    struct disk_vfs *v = *at;
    if (v->all) {
        fprintf(stderr, "a database was left open: %s\n", v->all->path);
        abort();
    }
    (void)sqlite3_cancel_auto_extension((void (*)(void))short_log);
    sqlite3_vfs_unregister(&v->base);
    free(v);
    *at = NULL;
}
