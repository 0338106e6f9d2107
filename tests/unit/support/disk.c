#include "tests/unit/support/disk.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SECTOR ((size_t)512)
#define FDS_MAX 256

/* A file: what a reader sees, and what is on the platter. */
struct node {
    struct node *next;
    uint64_t inode;
    bool folder;
    char *bytes, *synced;
    size_t n, synced_n;
    bool *lost; /* by sector: a failed sync forgot that it is still to be written */
    size_t n_lost;
};
struct name {
    char *path;
    struct node *node;
};
struct names {
    struct name *list;
    size_t n;
};
struct change { /* of a folder, not yet synced; node NULL: the name goes */
    char *path;
    struct node *node;
};
struct open_file {
    struct node *node;
    size_t at;
    bool append;
};
struct disk {
    struct io io;
    pthread_mutex_t lock;
    struct node *nodes;
    struct names now, durable;
    struct change *changes;
    size_t n_changes;
    struct open_file files[FDS_MAX]; /* fd - 1000 */
    uint64_t random, clock_us, next_inode, free_bytes;
    uint64_t count, fail_at;
    enum disk_fault fault;
    bool all_after, failed, ended;
};

static struct disk *disk_of(const struct io *io)
{
    return io->ctx;
}

static uint64_t draw(struct disk *d)
{
    uint64_t z = d->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- names ---- */

static struct name *find(const struct names *names, const char *path)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->list[i].path, path) == 0)
            return &names->list[i];
    return NULL;
}

static void set_name(struct names *names, const char *path, struct node *node)
{
    struct name *at = find(names, path);
    if (at && node) {
        at->node = node;
    } else if (at) {
        free(at->path);
        *at = names->list[--names->n];
    } else if (node) {
        names->list = mem_grow(names->list, (names->n + 1) * sizeof *names->list);
        names->list[names->n++] = (struct name){mem_dup(path), node};
    }
}

static void change_name(struct disk *d, const char *path, struct node *node)
{
    set_name(&d->now, path, node);
    d->changes = mem_grow(d->changes, (d->n_changes + 1) * sizeof *d->changes);
    d->changes[d->n_changes++] = (struct change){mem_dup(path), node};
}

static bool lies_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* Whether the folder that a path lies in is there. */
static bool has_folder(const struct names *names, const char *path)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    *slash = 0;
    return slash == folder || find(names, folder);
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->list[i].path);
    free(names->list);
    *names = (struct names){0};
}

static struct node *new_node(struct disk *d, bool folder)
{
    struct node *node = mem_alloc(sizeof *node);
    *node = (struct node){.next = d->nodes, .inode = d->next_inode++, .folder = folder};
    d->nodes = node;
    return node;
}

/* ---- faults ---- */

/* 0: goes on; else what the operation returns. */
static int turn(struct disk *d)
{
    static const int codes[] = {[DISK_EIO] = -EIO, [DISK_ENOSPC] = -ENOSPC, [DISK_SHORT] = -EIO, [DISK_EINTR] = -EINTR,
                                [DISK_END] = -EIO};
    if (d->ended)
        return -EIO;
    d->count++;
    if (!d->fail_at || d->count < d->fail_at || (d->count > d->fail_at && !d->all_after))
        return 0;
    d->failed = true;
    d->ended = d->fault == DISK_END;
    return codes[d->fault];
}

static void resize(struct node *node, size_t n)
{
    size_t sectors = n / SECTOR + 1;
    node->bytes = mem_grow(node->bytes, n + 1);
    if (n > node->n)
        memset(node->bytes + node->n, 0, n - node->n);
    node->n = n;
    if (sectors > node->n_lost) {
        node->lost = mem_grow(node->lost, sectors * sizeof *node->lost);
        memset(node->lost + node->n_lost, 0, (sectors - node->n_lost) * sizeof *node->lost);
        node->n_lost = sectors;
    }
}

static void put(struct node *node, size_t at, const void *p, size_t n)
{
    if (at + n > node->n)
        resize(node, at + n);
    memcpy(node->bytes + at, p, n);
    for (size_t s = at / SECTOR; n && s <= (at + n - 1) / SECTOR; s++)
        node->lost[s] = false;
}

static bool sector_differs(const struct node *node, size_t sector)
{
    for (size_t i = sector * SECTOR; i < (sector + 1) * SECTOR; i++) {
        bool here = i < node->n, there = i < node->synced_n;
        if (here != there || (here && node->bytes[i] != node->synced[i]))
            return true;
    }
    return false;
}

/* The file as it would be on the platter: `keep` says of each sector that was written since whether it is there. */
static void settle(struct node *node, size_t n, bool (*keep)(struct disk *d, struct node *node, size_t sector), struct disk *d)
{
    char *bytes = mem_alloc(n + 1);
    for (size_t i = 0; i < n; i += SECTOR) {
        size_t piece = n - i < SECTOR ? n - i : SECTOR;
        bool is_new = keep(d, node, i / SECTOR);
        const char *from = is_new ? node->bytes : node->synced;
        size_t have = is_new ? node->n : node->synced_n;
        memset(bytes + i, 0, piece);
        if (i < have)
            memcpy(bytes + i, from + i, have - i < piece ? have - i : piece);
    }
    free(node->synced);
    node->synced = bytes;
    node->synced_n = n;
}

static bool keep_unless_lost(struct disk *d, struct node *node, size_t sector)
{
    (void)d;
    return !(sector < node->n_lost && node->lost[sector]);
}

/* ---- files ---- */

static int disk_open(const struct io *io, const char *path, int flags, unsigned mode)
{
    struct disk *d = disk_of(io);
    (void)mode;
    pthread_mutex_lock(&d->lock);
    struct name *name = find(&d->now, path);
    int rc = turn(d), fd = 0;
    if (rc == 0 && !name && (!(flags & O_CREAT) || !has_folder(&d->now, path)))
        rc = -ENOENT;
    if (rc == 0 && name && (flags & O_DIRECTORY) && !name->node->folder)
        rc = -ENOTDIR;
    if (rc == 0 && name && (flags & O_CREAT) && (flags & O_EXCL))
        rc = -EEXIST;
    if (rc == 0) {
        struct node *node = name ? name->node : new_node(d, false);
        if (!name)
            change_name(d, path, node);
        if (flags & O_TRUNC)
            resize(node, 0);
        while (d->files[fd].node)
            fd++;
        d->files[fd] = (struct open_file){node, 0, flags & O_APPEND};
    }
    pthread_mutex_unlock(&d->lock);
    return rc < 0 ? rc : fd + 1000;
}

static int disk_close(const struct io *io, int fd)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    d->files[fd - 1000].node = NULL;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static ssize_t disk_pread(const struct io *io, int fd, void *p, size_t n, uint64_t offset)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    const struct node *node = d->files[fd - 1000].node;
    ssize_t rc = turn(d);
    if (rc == 0 && offset < node->n) {
        rc = (ssize_t)(node->n - offset < n ? node->n - offset : n);
        memcpy(p, node->bytes + offset, (size_t)rc);
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}

/* Under the lock. What fails may have written a part all the same. */
static ssize_t write_at(struct disk *d, struct node *node, const void *p, size_t n, size_t at)
{
    bool before = d->ended;
    ssize_t rc = turn(d);
    size_t wrote = rc == 0 ? n : 0;
    if (rc < 0 && !before && d->fault != DISK_EINTR && d->fault != DISK_ENOSPC)
        wrote = n / 2;
    if (wrote)
        put(node, at, p, wrote);
    return rc == 0 || (!before && d->fault == DISK_SHORT && wrote) ? (ssize_t)wrote : rc;
}

static ssize_t disk_write(const struct io *io, int fd, const void *p, size_t n)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    struct open_file *f = &d->files[fd - 1000];
    size_t at = f->append ? f->node->n : f->at;
    ssize_t rc = write_at(d, f->node, p, n, at);
    f->at = rc > 0 ? at + (size_t)rc : f->at;
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static ssize_t disk_pwrite(const struct io *io, int fd, const void *p, size_t n, uint64_t offset)
{
    return disk_write_at(disk_of(io), fd, p, n, offset);
}

static int disk_allocate(const struct io *io, int fd, uint64_t from, uint64_t n)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    struct node *node = d->files[fd - 1000].node;
    int rc = turn(d);
    if (rc == 0 && from + n > node->n)
        resize(node, (size_t)(from + n));
    pthread_mutex_unlock(&d->lock);
    return rc;
}

ssize_t disk_write_at(struct disk *d, int fd, const void *p, size_t n, uint64_t offset)
{
    pthread_mutex_lock(&d->lock);
    ssize_t rc = write_at(d, d->files[fd - 1000].node, p, n, (size_t)offset);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int disk_sync(const struct io *io, int fd)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    struct node *node = d->files[fd - 1000].node;
    bool before = d->ended;
    int rc = turn(d);
    if (rc == 0)
        settle(node, node->n, keep_unless_lost, d);
    else if (!before && d->fault == DISK_EIO)
        for (size_t s = 0; s < node->n_lost; s++)
            node->lost[s] = node->lost[s] || (sector_differs(node, s) && draw(d) % 2);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int disk_truncate(const struct io *io, int fd, uint64_t n)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    int rc = turn(d);
    if (rc == 0)
        resize(d->files[fd - 1000].node, (size_t)n);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int64_t disk_file_size(const struct io *io, int fd)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    int64_t n = (int64_t)d->files[fd - 1000].node->n;
    pthread_mutex_unlock(&d->lock);
    return n;
}

static int64_t disk_id(const struct io *io, int fd)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    int64_t n = (int64_t)d->files[fd - 1000].node->inode;
    pthread_mutex_unlock(&d->lock);
    return n;
}

/* ---- folders ---- */

static int disk_rename(const struct io *io, const char *from, const char *to)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    struct name *name = find(&d->now, from);
    int rc = turn(d);
    if (rc == 0 && (!name || !has_folder(&d->now, to)))
        rc = -ENOENT;
    if (rc == 0) {
        struct node *node = name->node;
        change_name(d, to, node);
        change_name(d, from, NULL);
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int disk_unlink(const struct io *io, const char *path)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    int rc = turn(d);
    if (rc == 0 && !find(&d->now, path))
        rc = -ENOENT;
    if (rc == 0)
        change_name(d, path, NULL);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int disk_mkdir(const struct io *io, const char *path, unsigned mode)
{
    struct disk *d = disk_of(io);
    (void)mode;
    pthread_mutex_lock(&d->lock);
    int rc = turn(d);
    if (rc == 0 && !has_folder(&d->now, path))
        rc = -ENOENT;
    if (rc == 0 && !find(&d->now, path))
        change_name(d, path, new_node(d, true));
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static void apply_changes(struct disk *d, const char *folder, unsigned percent)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->n_changes; i++) {
        struct change c = d->changes[i];
        if (folder && !lies_in(c.path, folder)) {
            d->changes[kept++] = c;
            continue;
        }
        if (percent == 100 || draw(d) % 100 < percent)
            set_name(&d->durable, c.path, c.node);
        free(c.path);
    }
    d->n_changes = kept;
}

static int disk_sync_folder(const struct io *io, const char *path)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    int rc = turn(d);
    if (rc == 0)
        apply_changes(d, path, 100);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int disk_list(const struct io *io, const char *path, void (*each)(void *ctx, const char *name), void *ctx)
{
    struct disk *d = disk_of(io);
    char folder[512];
    int n = snprintf(folder, sizeof folder, "%s", path);
    if (n > 1 && folder[n - 1] == '/')
        folder[--n] = 0;
    pthread_mutex_lock(&d->lock);
    int rc = turn(d);
    if (rc == 0 && !find(&d->now, folder))
        rc = -ENOENT;
    for (size_t i = 0; rc == 0 && i < d->now.n; i++)
        if (lies_in(d->now.list[i].path, folder))
            each(ctx, d->now.list[i].path + n + 1);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int64_t disk_free_bytes(const struct io *io, const char *path)
{
    (void)path;
    return (int64_t)disk_of(io)->free_bytes;
}

/* ---- the world ---- */

static uint64_t disk_now(const struct io *io)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    uint64_t us = ++d->clock_us;
    pthread_mutex_unlock(&d->lock);
    return us;
}

static void disk_sleep(const struct io *io, uint64_t us)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    d->clock_us += us;
    pthread_mutex_unlock(&d->lock);
}

static int disk_random(const struct io *io, void *p, size_t n)
{
    struct disk *d = disk_of(io);
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)p)[i] = (unsigned char)draw(d);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

struct disk *disk_new(uint64_t seed)
{
    static const struct io_file_ops file = {.open = disk_open,
                                            .close = disk_close,
                                            .pread = disk_pread,
                                            .write = disk_write,
                                            .pwrite = disk_pwrite,
                                            .allocate = disk_allocate,
                                            .sync = disk_sync,
                                            .truncate = disk_truncate,
                                            .size = disk_file_size,
                                            .id = disk_id};
    static const struct io_dir_ops dir = {disk_rename, disk_unlink, disk_mkdir, disk_sync_folder, disk_list, disk_free_bytes};
    static const struct io_world_ops world = {disk_now, disk_now, disk_sleep, disk_random};
    struct disk *d = mem_alloc(sizeof *d);
    *d = (struct disk){.io = {&file, &dir, &world, d},
                       .random = seed,
                       .clock_us = UINT64_C(1800000000000000),
                       .next_inode = 1 + (seed & 0xffff) * 100000,
                       .free_bytes = UINT64_C(1) << 40};
    pthread_mutex_init(&d->lock, NULL);
    struct node *root = new_node(d, true);
    set_name(&d->now, "/disk", root);
    set_name(&d->durable, "/disk", root);
    return d;
}

void disk_free(struct disk **at)
{
    struct disk *d = *at;
    if (!d)
        return;
    for (size_t fd = 0; fd < FDS_MAX; fd++) {
        if (d->files[fd].node) {
            fprintf(stderr, "a file was left open\n");
            abort();
        }
    }
    for (struct node *node = d->nodes, *next; node; node = next) {
        next = node->next;
        free(node->bytes);
        free(node->synced);
        free(node->lost);
        free(node);
    }
    apply_changes(d, NULL, 0);
    free(d->changes);
    free_names(&d->now);
    free_names(&d->durable);
    pthread_mutex_destroy(&d->lock);
    free(d);
    *at = NULL;
}

const struct io *disk_io(struct disk *d)
{
    return &d->io;
}

void disk_fail_at(struct disk *d, uint64_t n, enum disk_fault fault, bool all_after)
{
    pthread_mutex_lock(&d->lock);
    d->count = 0;
    d->fail_at = n;
    d->fault = fault;
    d->all_after = all_after;
    d->failed = d->ended = false;
    pthread_mutex_unlock(&d->lock);
}

bool disk_failed(const struct disk *d)
{
    return d->failed;
}

uint64_t disk_operations(const struct disk *d)
{
    return d->count;
}

int disk_operation(struct disk *d)
{
    pthread_mutex_lock(&d->lock);
    int rc = turn(d);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

void disk_restart(struct disk *d)
{
    memset(d->files, 0, sizeof d->files);
    disk_fail_at(d, 0, DISK_EIO, false);
}

/* ---- the power cut ---- */

struct cut {
    unsigned percent; /* of what was not synced, that is there all the same */
};
static struct cut the_cut;

static bool keep_some(struct disk *d, struct node *node, size_t sector)
{
    return sector_differs(node, sector) && draw(d) % 100 < the_cut.percent;
}

static bool parents_there(const struct names *names, const char *path)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash; has_folder(names, folder); *slash = 0) {
        slash = strrchr(folder, '/');
        if (slash == folder)
            return true;
    }
    return false;
}

void disk_cut_power(struct disk *d)
{
    static const unsigned percents[] = {0, 100, 50, 90};
    the_cut.percent = percents[draw(d) % 4];
    apply_changes(d, NULL, the_cut.percent);
    for (struct node *node = d->nodes; node; node = node->next) {
        size_t low = node->n < node->synced_n ? node->n : node->synced_n, high = node->n > low ? node->n : node->synced_n;
        size_t n = the_cut.percent == 0 ? node->synced_n : the_cut.percent == 100 ? node->n : low + draw(d) % (high - low + 1);
        settle(node, n, keep_some, d);
        resize(node, n);
        if (n)
            memcpy(node->bytes, node->synced, n);
        memset(node->lost, 0, node->n_lost * sizeof *node->lost);
    }
    free_names(&d->now);
    for (size_t i = 0; i < d->durable.n; i++)
        if (parents_there(&d->durable, d->durable.list[i].path))
            set_name(&d->now, d->durable.list[i].path, d->durable.list[i].node);
    disk_restart(d);
}

/* ---- hands on the platter ---- */

void disk_set_free(struct disk *d, uint64_t bytes)
{
    d->free_bytes = bytes;
}

void disk_flip(struct disk *d, const char *path, uint64_t offset, unsigned char mask)
{
    struct node *node = find(&d->now, path)->node;
    node->bytes[offset] = (char)((unsigned char)node->bytes[offset] ^ mask);
}

void disk_shorten(struct disk *d, const char *path, uint64_t n)
{
    resize(find(&d->now, path)->node, (size_t)n);
}

int64_t disk_size(struct disk *d, const char *path)
{
    pthread_mutex_lock(&d->lock);
    struct name *name = find(&d->now, path);
    int64_t n = name ? (int64_t)name->node->n : -1;
    pthread_mutex_unlock(&d->lock);
    return n;
}

struct disk *disk_copy(const struct disk *d, uint64_t seed)
{
    struct disk *copy = disk_new(seed);
    for (size_t i = 0; i < d->now.n; i++) {
        const struct node *from = d->now.list[i].node;
        if (find(&copy->now, d->now.list[i].path))
            continue;
        struct node *to = new_node(copy, from->folder);
        resize(to, from->n);
        if (from->n)
            memcpy(to->bytes, from->bytes, from->n);
        settle(to, to->n, keep_unless_lost, copy);
        set_name(&copy->now, d->now.list[i].path, to);
        set_name(&copy->durable, d->now.list[i].path, to);
    }
    return copy;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t disk_names(const struct disk *d, const char *suffix, const char *ret[], size_t max)
{
    size_t n = 0, k = strlen(suffix);
    for (size_t i = 0; i < d->now.n; i++) {
        const char *path = d->now.list[i].path;
        if (n < max && strlen(path) >= k && strcmp(path + strlen(path) - k, suffix) == 0)
            ret[n++] = path;
    }
    qsort(ret, n, sizeof *ret, by_text);
    return n;
}
