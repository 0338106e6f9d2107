/* Files through io: on the real file system, and through an io whose n-th operation fails, is cut
 * short or interrupted. What each operation was, and in which order, is written down. */
#include "core/io.h"
#include "core/buf.h"
#include "tests/unit/check_main.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum kind { NONE, OPEN, CLOSE, PREAD, WRITE, SYNC, SIZE, RENAME, UNLINK, MKDIR, DIRSYNC };

struct world {
    struct buf seen;    /* a letter an operation: see fails */
    enum kind fails;    /* this kind of operation fails … */
    int rc;             /* … with this … */
    unsigned after;     /* … once so many went well; once only */
    size_t part_bytes;  /* of a read or write at once; 0: any */
    bool interrupted;   /* each read and write fails with EINTR first */
    bool again;
};

static bool fails(const struct io *io, enum kind kind, int *ret_rc)
{
    struct world *w = io->ctx;
    buf_addc(&w->seen, ".ocrwszmukD"[kind]);
    if (w->fails != kind)
        return false;
    if (w->after > 0) {
        w->after--;
        return false;
    }
    w->fails = NONE;
    *ret_rc = w->rc;
    return true;
}

static int try_open(const struct io *io, const char *path, int flags, unsigned mode)
{
    int rc;
    return fails(io, OPEN, &rc) ? rc : io_posix()->file->open(io_posix(), path, flags, mode);
}

static int try_close(const struct io *io, int fd)
{
    int rc, real = io_posix()->file->close(io_posix(), fd);
    return fails(io, CLOSE, &rc) ? rc : real;
}

static bool interrupts(struct world *w)
{
    w->again = w->interrupted && !w->again;
    return w->again;
}

static ssize_t try_pread(const struct io *io, int fd, void *p, size_t n, uint64_t offset)
{
    struct world *w = io->ctx;
    int rc;
    if (interrupts(w))
        return -EINTR;
    if (fails(io, PREAD, &rc))
        return rc;
    return io_posix()->file->pread(io_posix(), fd, p, w->part_bytes && w->part_bytes < n ? w->part_bytes : n, offset);
}

static ssize_t try_write(const struct io *io, int fd, const void *p, size_t n)
{
    struct world *w = io->ctx;
    int rc;
    if (interrupts(w))
        return -EINTR;
    if (fails(io, WRITE, &rc))
        return rc;
    return io_posix()->file->write(io_posix(), fd, p, w->part_bytes && w->part_bytes < n ? w->part_bytes : n);
}

static int try_sync(const struct io *io, int fd)
{
    int rc;
    return fails(io, SYNC, &rc) ? rc : io_posix()->file->sync(io_posix(), fd);
}

static int64_t try_size(const struct io *io, int fd)
{
    int rc;
    return fails(io, SIZE, &rc) ? rc : io_posix()->file->size(io_posix(), fd);
}

static int try_rename(const struct io *io, const char *from, const char *to)
{
    int rc;
    return fails(io, RENAME, &rc) ? rc : io_posix()->dir->rename(io_posix(), from, to);
}

static int try_unlink(const struct io *io, const char *path)
{
    int rc;
    return fails(io, UNLINK, &rc) ? rc : io_posix()->dir->unlink(io_posix(), path);
}

static int try_mkdir(const struct io *io, const char *path, unsigned mode)
{
    int rc;
    return fails(io, MKDIR, &rc) ? rc : io_posix()->dir->mkdir(io_posix(), path, mode);
}

static int try_dir_sync(const struct io *io, const char *path)
{
    int rc;
    return fails(io, DIRSYNC, &rc) ? rc : io_posix()->dir->sync(io_posix(), path);
}

static const struct io_file_ops file_ops = {
    .open = try_open, .close = try_close, .pread = try_pread, .write = try_write, .sync = try_sync, .size = try_size};
static const struct io_dir_ops dir_ops = {.rename = try_rename, .unlink = try_unlink, .mkdir = try_mkdir, .sync = try_dir_sync};

static char dir[CHECK_DIR_MAX], path[CHECK_DIR_MAX + 64];
static struct world world;
static const struct io io = {&file_ops, &dir_ops, NULL, &world};
static struct err err;

static void setup(void)
{
    world = (struct world){0};
    err = (struct err){0};
    check_dir_make(dir);
    snprintf(path, sizeof path, "%s/file", dir);
}

static void teardown(void)
{
    buf_release(&world.seen);
    check_dir_remove(dir);
}

static void count_name(void *ctx, const char *name)
{
    (void)name;
    ++*(int *)ctx;
}

static int names_in(const char *folder)
{
    int n = 0;
    ck_assert_int_eq(io_posix()->dir->list(io_posix(), folder, count_name, &n), 0);
    return n;
}

static void content_is(const char *want)
{
    char *p = NULL;
    size_t n = 0;
    ck_assert_msg(io_read_file(io_posix(), path, 1 << 20, &p, &n, &err), "%s", err.msg);
    ck_assert_str_eq(p, want);
    ck_assert_uint_eq(n, strlen(want));
    free(p);
}

START_TEST(atomic_files_are_synced_before_they_are_named)
{
    ck_assert_msg(io_write_file_atomic(&io, path, 0640, SPAN_LIT("one"), &err), "%s", err.msg);
    ck_assert_str_eq(buf_z(&world.seen), "owscmD"); /* open write sync close rename, sync of the folder */
    content_is("one");
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777 & ~0640U, 0);
    ck_assert(io_write_file_atomic(&io, path, 0640, SPAN_LIT("a longer second"), &err));
    ck_assert(io_write_file_atomic(&io, path, 0640, SPAN_LIT(""), &err));
    content_is("");
    ck_assert_int_eq(names_in(dir), 1);
}
END_TEST

/* A relative name: the folder to sync is the current one. */
START_TEST(atomic_files_in_the_current_folder)
{
    char was[4096];
    ck_assert_ptr_nonnull(getcwd(was, sizeof was));
    ck_assert_int_eq(chdir(dir), 0);
    bool ok = io_write_file_atomic(&io, "file", 0600, SPAN_LIT("here"), &err);
    ck_assert_int_eq(chdir(was), 0);
    ck_assert_msg(ok, "%s", err.msg);
    content_is("here");
}
END_TEST

static const struct {
    enum kind kind;
    int rc;
    bool new_content; /* the name has changed already: what it shows is whole, but not promised */
    const char *words;
} write_faults[] = {
    {OPEN, -EACCES, false, "cannot create"},
    {WRITE, -ENOSPC, false, "cannot write: No space"},
    {WRITE, -EIO, false, "cannot write"},
    {WRITE, 0, false, "cannot write"},
    {SYNC, -EIO, false, "cannot sync"},
    {CLOSE, -EIO, false, "cannot close"},
    {RENAME, -EIO, false, "cannot rename"},
    {DIRSYNC, -EIO, true, "cannot sync"},
};

START_TEST(a_failed_write_leaves_the_old_file)
{
    ck_assert(io_write_file_atomic(io_posix(), path, 0600, SPAN_LIT("old"), &err));
    world.fails = write_faults[_i].kind;
    world.rc = write_faults[_i].rc;
    ck_assert(!io_write_file_atomic(&io, path, 0600, SPAN_LIT("new"), &err));
    ck_assert_int_eq(err.cls, ERR_DURABLE);
    ck_assert_msg(strstr(err.msg, write_faults[_i].words) != NULL, "%s", err.msg);
    ck_assert_msg(strstr(err.msg, dir) != NULL, "%s", err.msg);
    content_is(write_faults[_i].new_content ? "new" : "old");
    ck_assert_int_eq(names_in(dir), 1); /* no .partial */
}
END_TEST

START_TEST(short_and_interrupted_transfers_go_on)
{
    struct buf big = {0};
    for (int i = 0; i < 30000; i++)
        buf_addf(&big, "%d ", i);
    for (int way = 0; way < 3; way++) {
        world.part_bytes = way != 1 ? 4099 : 0;
        world.interrupted = way > 0;
        ck_assert_msg(io_write_file_atomic(&io, path, 0600, buf_span(&big), &err), "%s", err.msg);
        char *p = NULL;
        size_t n = 0;
        ck_assert_msg(io_read_file(&io, path, big.n, &p, &n, &err), "%s", err.msg);
        ck_assert(span_eq((struct span){p, n}, buf_span(&big)));
        ck_assert_int_eq(p[n], 0);
        free(p);
        ck_assert(!io_read_file(&io, path, big.n - 1, &p, &n, &err));
        ck_assert_int_eq(err.cls, ERR_INPUT);
    }
    buf_release(&big);
}
END_TEST

static const struct {
    enum kind kind;
    unsigned after;
    const char *words;
} read_faults[] = {{OPEN, 0, "cannot open"}, {SIZE, 0, "cannot read"}, {PREAD, 0, "cannot read"}, {PREAD, 1, "cannot read"}};

START_TEST(a_failed_read_touches_nothing)
{
    ck_assert(io_write_file_atomic(io_posix(), path, 0600, SPAN_LIT("bytes"), &err));
    char untouched, *p = &untouched;
    size_t n = 77;
    world.fails = read_faults[_i].kind;
    world.after = read_faults[_i].after;
    world.rc = -EIO;
    ck_assert(!io_read_file(&io, path, 100, &p, &n, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    ck_assert_int_eq(err.sys, EIO);
    ck_assert_msg(strstr(err.msg, read_faults[_i].words) && strstr(err.msg, path), "%s", err.msg);
    ck_assert(p == &untouched && n == 77);
}
END_TEST

START_TEST(what_is_no_file_is_told)
{
    char *p = NULL;
    size_t n;
    ck_assert(!io_read_file(io_posix(), path, 100, &p, &n, &err));
    ck_assert_int_eq(err.sys, ENOENT);
    ck_assert(!io_read_file(io_posix(), dir, 1 << 20, &p, &n, &err));
    ck_assert_int_eq(err.sys, EISDIR);
    /* A file that does not say its size. */
    ck_assert_msg(io_read_file(io_posix(), "/proc/self/status", 1 << 20, &p, &n, &err), "%s", err.msg);
    ck_assert(n > 0 && strstr(p, "Pid:"));
    free(p);
    ck_assert(!io_read_file(io_posix(), "/dev/zero", 10000, &p, &n, &err));
    ck_assert_msg(strstr(err.msg, "/dev/zero is larger than 10000 bytes") != NULL, "%s", err.msg);
    char longest[5000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    ck_assert(!io_write_file_atomic(io_posix(), longest, 0600, SPAN_LIT(""), &err));
    ck_assert(!io_mkdirs(io_posix(), longest, 0700, &err));
}
END_TEST

static const struct {
    const char *path;
    bool ok;
} folders[] = {
    {"a", true},         {"a/b/c", true}, {"a/b/c/", true},  {"a//b///c", true},
    {"./x/../y", true}, {".", true},     {"file/x", false}, {"file", false},
};

START_TEST(folders_are_made)
{
    char full[CHECK_DIR_MAX + 64];
    struct stat st;
    ck_assert(io_write_file_atomic(io_posix(), path, 0600, SPAN_LIT(""), &err));
    snprintf(full, sizeof full, "%s/%s", dir, folders[_i].path);
    for (int again = 0; again < 2; again++) {
        ck_assert_msg(io_mkdirs(&io, full, 0700, &err) == folders[_i].ok, "%s: %s", full, err.msg);
        if (folders[_i].ok)
            ck_assert(stat(full, &st) == 0 && S_ISDIR(st.st_mode));
        else
            ck_assert_int_eq(err.sys, ENOTDIR);
    }
}
END_TEST

START_TEST(folders_survive_a_power_cut)
{
    char was[4096];
    ck_assert_ptr_nonnull(getcwd(was, sizeof was));
    ck_assert_int_eq(chdir(dir), 0);
    ck_assert(io_mkdirs(&io, "a/b", 0700, &err));
    ck_assert_str_eq(buf_z(&world.seen), "kDkD"); /* each made, then the one above it synced */
    world.fails = DIRSYNC;
    world.rc = -EIO;
    ck_assert(!io_mkdirs(&io, "a/b", 0700, &err));
    ck_assert_int_eq(err.cls, ERR_DURABLE);
    world.fails = DIRSYNC; /* a folder above that we may not read */
    world.rc = -EACCES;
    ck_assert(io_mkdirs(&io, "a/b", 0700, &err));
    world.fails = MKDIR;
    world.after = 1;
    ck_assert(!io_mkdirs(&io, "a/b", 0700, &err));
    ck_assert_msg(strstr(err.msg, "cannot make the folder a/b") != NULL, "%s", err.msg);
    ck_assert(!io_mkdirs(&io, "", 0700, &err));
    ck_assert(io_mkdirs(io_posix(), "/", 0700, &err));
    ck_assert_int_eq(chdir(was), 0);
}
END_TEST

START_TEST(the_real_file_operations)
{
    const struct io *real = io_posix();
    ck_assert_int_eq(real->file->open(real, path, O_RDWR, 0), -ENOENT);
    int fd = real->file->open(real, path, O_RDWR | O_CREAT | O_EXCL, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    ck_assert_int_eq(real->file->open(real, path, O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
    ck_assert_int_eq(real->file->write(real, fd, "abcdef", 6), 6);
    ck_assert_int_eq(real->file->size(real, fd), 6);
    ck_assert_int_eq(real->file->truncate(real, fd, 4), 0);
    char p[8] = "";
    ck_assert_int_eq(real->file->pread(real, fd, p, sizeof p, 1), 3);
    ck_assert_str_eq(p, "bcd");
    ck_assert_int_eq(real->file->sync(real, fd), 0);
    ck_assert_int_eq(real->file->close(real, fd), 0);
    ck_assert_int_eq(real->file->close(real, fd), -EBADF);
    ck_assert_int_eq(real->file->pread(real, fd, p, 1, 0), -EBADF);
    ck_assert_int_eq(real->file->write(real, fd, p, 1), -EBADF);
    ck_assert_int_eq(real->file->sync(real, fd), -EBADF);
    ck_assert_int_eq(real->file->truncate(real, fd, 0), -EBADF);
    ck_assert_int_eq(real->file->size(real, fd), -EBADF);
}
END_TEST

START_TEST(the_real_folder_operations)
{
    const struct io *real = io_posix();
    char other[CHECK_DIR_MAX + 64];
    static const char *const names[] = {".a", "..b", "...", "c"};
    for (int i = 0; i < CHECK_ROWS(names); i++) {
        snprintf(other, sizeof other, "%s/%s", dir, names[i]);
        ck_assert(io_write_file_atomic(real, other, 0600, SPAN_LIT("x"), &err));
    }
    ck_assert_int_eq(names_in(dir), CHECK_ROWS(names));
    ck_assert_int_eq(real->dir->rename(real, other, path), 0);
    ck_assert_int_eq(real->dir->rename(real, other, path), -ENOENT);
    ck_assert_int_eq(real->dir->unlink(real, path), 0);
    ck_assert_int_eq(real->dir->unlink(real, path), -ENOENT);
    ck_assert_int_eq(real->dir->sync(real, dir), 0);
    ck_assert_int_eq(real->dir->sync(real, path), -ENOENT);
    ck_assert_int_eq(real->dir->list(real, path, count_name, NULL), -ENOENT);
    ck_assert_int_eq(real->dir->mkdir(real, dir, 0700), 0);
    ck_assert_int_gt(real->dir->free_bytes(real, dir), 0);
    ck_assert_int_eq(real->dir->free_bytes(real, path), -ENOENT);
}
END_TEST

START_TEST(the_real_world)
{
    const struct io *real = io_posix();
    unsigned char a[600] = {0}, b[600] = {0};
    uint64_t wall = real->world->now_us(real), from = real->world->monotonic_us(real);
    real->world->sleep_us(real, 20000);
    uint64_t slept = real->world->monotonic_us(real) - from;
    ck_assert_uint_ge(slept, 20000);
    ck_assert_uint_gt(wall, UINT64_C(1700000000) * 1000000);
    ck_assert_uint_lt(wall, UINT64_C(10000000000) * 1000000);
    ck_assert_int_eq(real->world->random(real, a, sizeof a), 0);
    ck_assert_int_eq(real->world->random(real, b, sizeof b), 0);
    ck_assert(memcmp(a, b, sizeof a) != 0 && memcmp(a + 500, b + 500, 100) != 0);
}
END_TEST

CHECK_SUITE("core io", t)
{
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, atomic_files_are_synced_before_they_are_named);
    tcase_add_test(t, atomic_files_in_the_current_folder);
    tcase_add_loop_test(t, a_failed_write_leaves_the_old_file, 0, CHECK_ROWS(write_faults));
    tcase_add_test(t, short_and_interrupted_transfers_go_on);
    tcase_add_loop_test(t, a_failed_read_touches_nothing, 0, CHECK_ROWS(read_faults));
    tcase_add_test(t, what_is_no_file_is_told);
    tcase_add_loop_test(t, folders_are_made, 0, CHECK_ROWS(folders));
    tcase_add_test(t, folders_survive_a_power_cut);
    tcase_add_test(t, the_real_file_operations);
    tcase_add_test(t, the_real_folder_operations);
    tcase_add_test(t, the_real_world);
}
