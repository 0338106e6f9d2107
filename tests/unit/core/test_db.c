#include "core/db.h"
#include "tests/unit/check_main.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[CHECK_DIR_MAX], path[CHECK_DIR_MAX + 64];
static struct db db;
static struct err err;

#define ok(call) ck_assert_msg(call, "%s", err.msg)

static void setup(void)
{
    err = (struct err){0};
    check_dir_make(dir);
    snprintf(path, sizeof path, "%s/db", dir);
    ok(db_open(&db, path, &err));
}

static void teardown(void)
{
    db_close(&db);
    db_close(&db);
    check_dir_remove(dir);
}

static int64_t number(struct db *from, const char *sql)
{
    int64_t v = -1;
    ok(db_int(from, &v, -77, &err, sql, ""));
    return v;
}

START_TEST(opened_with_our_settings)
{
    sqlite3_stmt *st;
    bool row;
    ok(db_prepare(&db, &st, "PRAGMA journal_mode", &err) && db_step(&db, st, &row, &err));
    ck_assert(row && span_eqz(db_col(st, 0), "wal"));
    sqlite3_finalize(st);
    ck_assert_int_eq(number(&db, "PRAGMA synchronous"), 2);
    ck_assert_int_eq(number(&db, "PRAGMA busy_timeout"), 10000);
    ck_assert_int_eq(number(&db, "PRAGMA foreign_keys"), 0);
}
END_TEST

START_TEST(nobody_else_may_read_it)
{
    static const char *const names[] = {"", "-wal", "-shm"};
    char other[CHECK_DIR_MAX + 80], base[CHECK_DIR_MAX + 64];
    struct db open = {0};
    mode_t was = umask(0);
    snprintf(base, sizeof base, "%s/new", dir);
    bool done = db_open(&open, base, &err) && db_exec(&open, "CREATE TABLE t(a)", &err);
    umask(was);
    ok(done);
    for (int i = 0; i < CHECK_ROWS(names); i++) {
        struct stat st;
        snprintf(other, sizeof other, "%s%s", base, names[i]);
        ck_assert_msg(stat(other, &st) == 0, "%s", other);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
    }
    db_close(&open);
}
END_TEST

START_TEST(values_go_in_and_come_out)
{
    sqlite3_stmt *st;
    bool row;
    ok(db_exec(&db, "CREATE TABLE t(a,b,c,d,e,f,g,h); CREATE TABLE other(x)", &err));
    ok(db_run(&db, &err, "INSERT INTO t VALUES(?,?,?,?,?,?,?,?)", "iudsSBns", INT64_MIN, UINT64_MAX, 0.5, "text",
              (struct span){"a\0b", 3}, (struct span){"\0\xff", 2}, (const char *)NULL));
    ok(db_prepare(&db, &st, "SELECT *, typeof(a), typeof(e), typeof(f), typeof(h) FROM t", &err));
    ok(db_step(&db, st, &row, &err));
    ck_assert(row);
    ck_assert_int_eq(sqlite3_column_int64(st, 0), INT64_MIN);
    ck_assert_uint_eq((uint64_t)sqlite3_column_int64(st, 1), UINT64_MAX);
    ck_assert_double_eq(sqlite3_column_double(st, 2), 0.5);
    ck_assert(span_eqz(db_col(st, 3), "text"));
    ck_assert(span_eq(db_col(st, 4), (struct span){"a\0b", 3}));
    ck_assert(span_eq(db_col(st, 5), (struct span){"\0\xff", 2}));
    ck_assert(db_col(st, 6).p == NULL && db_col(st, 6).n == 0);
    ck_assert(db_col(st, 7).p == NULL && db_col(st, 7).n == 0);
    ck_assert(span_eqz(db_col(st, 8), "integer") && span_eqz(db_col(st, 9), "text"));
    ck_assert(span_eqz(db_col(st, 10), "blob") && span_eqz(db_col(st, 11), "null"));
    ok(db_step(&db, st, &row, &err));
    ck_assert(!row);
    sqlite3_finalize(st);
}
END_TEST

START_TEST(empty_is_not_null)
{
    ok(db_exec(&db, "CREATE TABLE t(a NOT NULL, b NOT NULL, c NOT NULL)", &err));
    ok(db_run(&db, &err, "INSERT INTO t VALUES(?,?,?)", "sSB", "", (struct span){NULL, 0}, (struct span){NULL, 0}));
    ck_assert_int_eq(number(&db, "SELECT count(*) FROM t WHERE a = '' AND b = '' AND c = x''"), 1);
}
END_TEST

START_TEST(one_number)
{
    int64_t v = 0;
    ck_assert_int_eq(number(&db, "SELECT 5"), 5);
    ck_assert_int_eq(number(&db, "SELECT NULL"), -77);
    ck_assert_int_eq(number(&db, "SELECT 5 WHERE 0"), -77);
    ok(db_int(&db, &v, 0, &err, "SELECT ?1 + ?2 + ?1", "iu", INT64_C(1), UINT64_C(40)));
    ck_assert_int_eq(v, 42);
    ck_assert(!db_int(&db, &v, 0, &err, "SELECT nothing", ""));
    ck_assert_int_eq(v, 42);
}
END_TEST

static const struct {
    const char *sql, *binds;
    const char *words;
} bugs[] = {
    {"SELEC 1", "", "SELEC 1"},
    {"INSERT INTO nowhere VALUES(1)", "", "nowhere"},
    {"SELECT ?", "", "0 values for 1 places"},
    {"SELECT ?", "nn", "SELECT ?"},
    {"SELECT ?, ?", "n", "1 values for 2 places"},
    {"SELECT ?", "x", "no bind 'x'"},
};

START_TEST(bugs_name_the_statement)
{
    ck_assert(!db_run(&db, &err, bugs[_i].sql, bugs[_i].binds));
    ck_assert_int_eq(err.cls, ERR_BUG);
    ck_assert_msg(strstr(err.msg, bugs[_i].words) != NULL, "%s", err.msg);
}
END_TEST

START_TEST(transactions)
{
    ok(db_exec(&db, "CREATE TABLE t(a)", &err));
    ok(db_begin(&db, &err) && db_exec(&db, "INSERT INTO t VALUES(1)", &err));
    db_rollback(&db);
    ck_assert_int_eq(number(&db, "SELECT count(*) FROM t"), 0);
    ok(db_begin(&db, &err) && db_exec(&db, "INSERT INTO t VALUES(1)", &err) && db_commit(&db, &err));
    db_rollback(&db); /* nothing to roll back */
    ck_assert_int_eq(number(&db, "SELECT count(*) FROM t"), 1);
    ck_assert(!db_commit(&db, &err));
    struct db none = {0};
    db_rollback(&none);
}
END_TEST

START_TEST(readers_see_a_live_log)
{
    struct db reader;
    ok(db_exec(&db, "CREATE TABLE t(a); INSERT INTO t VALUES(1)", &err));
    ok(db_open_readonly(&reader, path, &err));
    ck_assert_int_eq(number(&reader, "SELECT count(*) FROM t"), 1);
    ok(db_begin(&db, &err) && db_exec(&db, "INSERT INTO t VALUES(2)", &err));
    ck_assert_int_eq(number(&reader, "SELECT count(*) FROM t"), 1);
    ok(db_commit(&db, &err));
    ck_assert_int_eq(number(&reader, "SELECT count(*) FROM t"), 2);
    ck_assert(!db_exec(&reader, "INSERT INTO t VALUES(3)", &err));
    ck_assert_int_eq(err.cls, ERR_DURABLE);
    db_close(&reader);
}
END_TEST

START_TEST(a_second_writer_waits_then_is_told)
{
    struct db second;
    ok(db_open(&second, path, &err));
    ok(db_exec(&db, "CREATE TABLE t(a)", &err) && db_begin(&db, &err));
    sqlite3_busy_timeout(second.handle, 50);
    ck_assert(!db_begin(&second, &err));
    ck_assert_int_eq(err.cls, ERR_TRANSIENT);
    ok(db_commit(&db, &err));
    ok(db_begin(&second, &err));
    db_rollback(&second);
    db_close(&second);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
    ok(db_exec(&db, "CREATE TABLE t(a); PRAGMA max_page_count = 4", &err));
    bool done = true;
    for (int i = 0; done && i < 100; i++)
        done = db_exec(&db, "INSERT INTO t VALUES(zeroblob(3000))", &err);
    ck_assert(!done);
    ck_assert_int_eq(err.cls, ERR_FULL);
}
END_TEST

static void make_file(char *out, size_t n, const char *name, size_t bytes)
{
    char fill[1024];
    snprintf(out, n, "%s/%s", dir, name);
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    memset(fill, 'x', sizeof fill);
    for (; bytes > 0; bytes -= sizeof fill)
        ck_assert_int_eq(write(fd, fill, sizeof fill), sizeof fill);
    close(fd);
}

START_TEST(what_is_no_database_is_told)
{
    char other[CHECK_DIR_MAX + 64];
    struct db none;
    int64_t v;
    make_file(other, sizeof other, "no", 8192);
    ck_assert(!db_open(&none, other, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    ck_assert_msg(strstr(err.msg, other) != NULL, "%s", err.msg);
    ck_assert_ptr_null(none.handle);
    ok(db_open_readonly(&none, other, &err));
    ck_assert(!db_int(&none, &v, 0, &err, "SELECT count(*) FROM sqlite_master", ""));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    db_close(&none);
    ck_assert(db_exists(other));
    snprintf(other, sizeof other, "%s/absent", dir);
    ck_assert(!db_exists(other));
    ck_assert(!db_open_readonly(&none, other, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    ck_assert_msg(strstr(err.msg, strerror(ENOENT)) != NULL, "%s", err.msg);
    ck_assert_int_ne(access(other, F_OK), 0);
    snprintf(other, sizeof other, "%s/absent/db", dir);
    ck_assert(!db_open(&none, other, &err));
    ck_assert_int_eq(err.cls, ERR_DURABLE);
    ck_assert(!db_open(&none, dir, &err));
    ck_assert_ptr_null(none.handle);
}
END_TEST

/* Whether somebody holds a lock on the file, as another process sees it. */
static bool is_locked(const char *file)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(file, O_RDWR);
        _exit(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 1 : 0);
    }
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

/* Locks belong to the process: whoever closes any descriptor of the file drops all of them, and another
 * process may then take away the log that is in use. */
START_TEST(another_connection_keeps_the_locks)
{
    struct db second;
    ok(db_exec(&db, "CREATE TABLE t(a)", &err));
    ck_assert(is_locked(path));
    ok(db_open(&second, path, &err));
    ck_assert(is_locked(path));
    db_close(&second);
    ok(db_open_readonly(&second, path, &err));
    ck_assert(is_locked(path));
    db_close(&second);
    ck_assert(is_locked(path));
    db_close(&db);
    ck_assert(!is_locked(path));
}
END_TEST

static void *open_and_add(void *arg)
{
    struct db own;
    struct err e = {0};
    bool done = db_open(&own, arg, &e) && db_exec(&own, "CREATE TABLE IF NOT EXISTS t(a); INSERT INTO t VALUES(1)", &e);
    if (!done)
        fprintf(stderr, "%s\n", e.msg);
    db_close(&own);
    return done ? arg : NULL;
}

/* Many openers of a file that is not there yet: each gets it, in the right mode. */
START_TEST(opened_by_many_at_once)
{
    char fresh[CHECK_DIR_MAX + 64];
    for (int round = 0; round < 10; round++) {
        pthread_t threads[6];
        void *done;
        struct db own;
        snprintf(fresh, sizeof fresh, "%s/fresh%d", dir, round);
        for (int i = 0; i < CHECK_ROWS(threads); i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, open_and_add, fresh), 0);
        int good = 0;
        for (int i = 0; i < CHECK_ROWS(threads); i++) {
            pthread_join(threads[i], &done);
            good += done != NULL;
        }
        ck_assert_int_eq(good, CHECK_ROWS(threads));
        ok(db_open(&own, fresh, &err));
        ck_assert_int_eq(number(&own, "SELECT count(*) FROM t"), CHECK_ROWS(threads));
        db_close(&own);
    }
}
END_TEST

CHECK_SUITE("core db", t)
{
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, opened_with_our_settings);
    tcase_add_test(t, nobody_else_may_read_it);
    tcase_add_test(t, values_go_in_and_come_out);
    tcase_add_test(t, empty_is_not_null);
    tcase_add_test(t, one_number);
    tcase_add_loop_test(t, bugs_name_the_statement, 0, CHECK_ROWS(bugs));
    tcase_add_test(t, transactions);
    tcase_add_test(t, readers_see_a_live_log);
    tcase_add_test(t, a_second_writer_waits_then_is_told);
    tcase_add_test(t, a_full_disk_is_told);
    tcase_add_test(t, what_is_no_database_is_told);
    tcase_add_test(t, another_connection_keeps_the_locks);
    tcase_add_test(t, opened_by_many_at_once);
}
