#include "core/db.h"
#include <pthread.h>
#include "core/io.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#define BUSY_MS 10000
#define LOG_PART_BYTES 16384

static enum err_class class_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_TRANSIENT;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
        return ERR_DURABLE;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return ERR_INPUT;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    default:
        return ERR_BUG;
    }
}

static bool fail(struct db *db, int code, const char *sql, struct err *err)
{
    return err_set(err, class_of(code), "SQLite: %s (%.200s)",
                   db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code), sql);
}

static bool open_at(struct db *db, const char *path, int flags, struct err *err)
{
    int code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        int sys = db->handle ? sqlite3_system_errno(db->handle) : 0;
        if (code == SQLITE_CANTOPEN && sys == ENOENT) {
            errno = sys;
            err_sys(err, ERR_INPUT, "cannot open %s", path);
        } else {
            fail(db, code, path, err);
        }
        db_close(db);
        return false;
    }
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    return true;
}

/* SQLite answers with the old mode instead of an error where it cannot keep a write-ahead log. */
static bool set_wal(struct db *db, struct err *err)
{
    static const char sql[] = "PRAGMA journal_mode=WAL";
    sqlite3_stmt *st;
    bool row, ok = db_prepare(db, &st, sql, err);
    if (!ok)
        return false;
    ok = db_step(db, st, &row, err);
    if (ok && !(row && span_eqz(db_col(st, 0), "wal")))
        ok = err_set(err, ERR_CONFIG, "SQLite: the file system cannot hold a write-ahead log (no shared memory)");
    sqlite3_finalize(st);
    return ok;
}

/* Of several who open a new file at once SQLite refuses some without asking the busy wait, since two
 * that wait for each other's lock would wait for ever: those ask again. */
static bool set_wal_in_turn(struct db *db, struct err *err)
{
    const struct io *io = io_posix();
    uint64_t from = io->world->monotonic_us(io);
    while (!set_wal(db, err)) {
        int code = sqlite3_errcode(db->handle) & 0xff;
        if (code != SQLITE_BUSY || io->world->monotonic_us(io) - from > BUSY_MS * UINT64_C(1000))
            return false;
        sqlite3_sleep(2);
    }
    return true;
}

/* Else each connection takes 20 pages at once, which most of a server's never need. It counts before SQLite's first call. */
static void configure(void)
{
    sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

static void configure_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
}

/* Made by us first, so that it is never readable by others, whatever the umask. By mknod, since to
 * close a descriptor of it would drop the locks that other connections of this process hold.
 * A VFS that is not the system's has files of its own. */
static bool make_private(const char *path, struct err *err)
{
    const sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    if (!vfs || strncmp(vfs->zName, "unix", 4) != 0 || mknod(path, S_IFREG | 0600, 0) == 0 || errno == EEXIST)
        return true;
    return err_sys(err, ERR_DURABLE, "cannot make %s", path);
}

/* Under the write lock, so that nobody appends to the log meanwhile. */
static int write_log_again(sqlite3_file *log)
{
    char part[LOG_PART_BYTES];
    sqlite3_int64 size = 0, at = 0;
    int code = log->pMethods->xFileSize(log, &size);
    for (int n; code == SQLITE_OK && at < size; at += n) {
        n = size - at < LOG_PART_BYTES ? (int)(size - at) : LOG_PART_BYTES;
        code = log->pMethods->xRead(log, part, n, at);
        if (code == SQLITE_OK)
            code = log->pMethods->xWrite(log, part, n, at);
    }
    return code == SQLITE_OK && size ? log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) : code;
}

/* A process whose sync failed may have left pages of the log that only the kernel's memory has, and that no later sync writes:
 * SQLite would build on them, and a power cut take them from under it. So they are written once more before anything is. Who
 * finds the write lock taken needs not: whoever has it came through here. */
static bool settle_log(struct db *db, struct err *err)
{
    sqlite3_file *log = NULL;
    int code = sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if ((code & 0xff) == SQLITE_BUSY)
        return true;
    if (code != SQLITE_OK)
        return fail(db, code, "BEGIN IMMEDIATE", err);
    code = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (code == SQLITE_OK && log && log->pMethods)
        code = write_log_again(log);
    db_rollback(db);
    return code == SQLITE_OK || err_set(err, class_of(code), "SQLite: cannot write the log again: %s", sqlite3_errstr(code));
}

static bool set_up(struct db *db, struct err *err)
{
    sqlite3_busy_timeout(db->handle, 0);
    bool ok = settle_log(db, err);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    return ok && db_exec(db, "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY", err);
}

bool db_open(struct db *db, const char *path, struct err *err)
{
    *db = (struct db){0};
    configure_once();
    if (!make_private(path, err))
        return false;
    if (!open_at(db, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err))
        return false;
    if (set_wal_in_turn(db, err) && set_up(db, err))
        return true;
    err_prefix(err, "%s", path);
    db_close(db);
    return false;
}

bool db_open_readonly(struct db *db, const char *path, struct err *err)
{
    *db = (struct db){0};
    configure_once();
    return open_at(db, path, SQLITE_OPEN_READONLY, err);
}

bool db_exists(const char *path)
{
    configure_once();
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    int there = 0;
    return vfs && vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &there) == SQLITE_OK && there;
}

void db_close(struct db *db)
{
    if (db->handle)
        sqlite3_close_v2(db->handle);
    db->handle = NULL;
}

bool db_exec(struct db *db, const char *sql, struct err *err)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? true : fail(db, code, sql, err);
}

bool db_prepare(struct db *db, sqlite3_stmt **ret, const char *sql, struct err *err)
{
    int code = sqlite3_prepare_v2(db->handle, sql, -1, ret, NULL);
    return code == SQLITE_OK ? true : fail(db, code, sql, err);
}

static int bind_text(sqlite3_stmt *st, int i, struct span s, bool blob)
{
    const char *p = s.p ? s.p : "";
    return blob ? sqlite3_bind_blob64(st, i, p, s.n, SQLITE_TRANSIENT)
                : sqlite3_bind_text64(st, i, p, s.n, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static bool bind_va(struct db *db, sqlite3_stmt *st, struct err *err, const char *binds, va_list ap)
{
    int i = 0, code = SQLITE_OK;
    for (; binds && *binds && code == SQLITE_OK; binds++) {
        switch (*binds) {
        case ' ':
            continue;
        case 'i':
            code = sqlite3_bind_int64(st, ++i, va_arg(ap, int64_t));
            break;
        case 'u':
            code = sqlite3_bind_int64(st, ++i, (int64_t)va_arg(ap, uint64_t));
            break;
        case 'd':
            code = sqlite3_bind_double(st, ++i, va_arg(ap, double));
            break;
        case 's': {
            const char *z = va_arg(ap, const char *);
            code = z ? bind_text(st, ++i, span_of(z), false) : sqlite3_bind_null(st, ++i);
            break;
        }
        case 'S':
            code = bind_text(st, ++i, va_arg(ap, struct span), false);
            break;
        case 'B':
            code = bind_text(st, ++i, va_arg(ap, struct span), true);
            break;
        case 'n':
            code = sqlite3_bind_null(st, ++i);
            break;
        default:
            return err_set(err, ERR_BUG, "no bind '%c' for %s", *binds, sqlite3_sql(st));
        }
    }
    if (code != SQLITE_OK)
        return fail(db, code, sqlite3_sql(st), err);
    int places = sqlite3_bind_parameter_count(st);
    return i == places || err_set(err, ERR_BUG, "%d values for %d places: %s", i, places, sqlite3_sql(st));
}

bool db_bind(struct db *db, sqlite3_stmt *st, struct err *err, const char *binds, ...)
{
    va_list ap;
    va_start(ap, binds);
    bool ok = bind_va(db, st, err, binds, ap);
    va_end(ap);
    return ok;
}

bool db_step(struct db *db, sqlite3_stmt *st, bool *ret_row, struct err *err)
{
    int code = sqlite3_step(st);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return fail(db, code, sqlite3_sql(st), err);
    *ret_row = code == SQLITE_ROW;
    return true;
}

bool db_run(struct db *db, struct err *err, const char *sql, const char *binds, ...)
{
    sqlite3_stmt *st = NULL;
    if (!db_prepare(db, &st, sql, err))
        return false;
    va_list ap;
    va_start(ap, binds);
    bool row, ok = bind_va(db, st, err, binds, ap);
    va_end(ap);
    ok = ok && db_step(db, st, &row, err);
    sqlite3_finalize(st);
    return ok;
}

bool db_int(struct db *db, int64_t *ret, int64_t missing, struct err *err, const char *sql, const char *binds, ...)
{
    sqlite3_stmt *st = NULL;
    if (!db_prepare(db, &st, sql, err))
        return false;
    va_list ap;
    va_start(ap, binds);
    bool row, ok = bind_va(db, st, err, binds, ap);
    va_end(ap);
    ok = ok && db_step(db, st, &row, err);
    if (ok)
        *ret = row && sqlite3_column_type(st, 0) != SQLITE_NULL ? sqlite3_column_int64(st, 0) : missing;
    sqlite3_finalize(st);
    return ok;
}

struct span db_col(sqlite3_stmt *st, int i)
{
    bool blob = sqlite3_column_type(st, i) == SQLITE_BLOB;
    const void *p = blob ? sqlite3_column_blob(st, i) : (const void *)sqlite3_column_text(st, i);
    int n = sqlite3_column_bytes(st, i);
    return (struct span){p, p ? (size_t)n : 0};
}

bool db_begin(struct db *db, struct err *err)
{
    return db_exec(db, "BEGIN IMMEDIATE", err);
}

bool db_commit(struct db *db, struct err *err)
{
    return db_exec(db, "COMMIT", err);
}

void db_rollback(struct db *db)
{
    if (db->handle && !sqlite3_get_autocommit(db->handle))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}
