/* db: SQLite with our settings (WAL, synchronous=FULL, busy wait, foreign keys off) and short calls.
 *
 * Each thread opens its own connection. SQL text is constant; values are bound with db_bind's format:
 *   i int64_t   u uint64_t (stored as int64)   d double   s const char * (NULL allowed)
 *   S struct span as text   B struct span as blob   n NULL (no argument)
 * Every place of a statement needs its value; another number is ERR_BUG.
 * Failures: ERR_FULL on a full disk, ERR_TRANSIENT on busy, ERR_DURABLE on I/O errors, ERR_INPUT on a file that is no database,
 * ERR_CONFIG where no write-ahead log can be kept, ERR_NOMEM, else ERR_BUG; the message carries SQLite's words and the statement.
 * Threads: a struct db belongs to one thread at a time. Life: db_open -> … -> db_close(&db). */
#pragma once
#include "core/err.h"
#include "core/span.h"
#include <sqlite3.h>
#include <stdint.h>

struct db {
    sqlite3 *handle;
};

bool db_open(struct db *db, const char *path, struct err *err);          /* creates it, mode 0600 */
bool db_open_readonly(struct db *db, const char *path, struct err *err); /* sees a live WAL */
bool db_exists(const char *path);                                        /* an empty file is not there */
void db_close(struct db *db);                                            /* accepts a zeroed db */
bool db_exec(struct db *db, const char *sql, struct err *err);           /* one or several statements */
bool db_run(struct db *db, struct err *err, const char *sql, const char *binds, ...); /* no rows expected */
/* The statement is cached by nobody: keep hot ones yourself and sqlite3_reset them. */
bool db_prepare(struct db *db, sqlite3_stmt **ret, const char *sql, struct err *err);
bool db_bind(struct db *db, sqlite3_stmt *st, struct err *err, const char *binds, ...);
/* *ret_row tells whether there is a row. */
bool db_step(struct db *db, sqlite3_stmt *st, bool *ret_row, struct err *err);
/* The first column of the first row; `missing` when there is no row or it is NULL. */
bool db_int(struct db *db, int64_t *ret, int64_t missing, struct err *err, const char *sql, const char *binds, ...);
struct span db_col(sqlite3_stmt *st, int i);  /* text or blob; borrows until the next step; NULL -> n = 0 */
bool db_begin(struct db *db, struct err *err);    /* BEGIN IMMEDIATE */
bool db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);
