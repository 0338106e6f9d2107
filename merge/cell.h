/* cell: a JSON value as the value of a SQLite column, without loss.
 *
 *   string -> TEXT      integer that fits 64 bits -> INTEGER      true, false -> 1, 0      null -> NULL
 *   other number -> REAL where a double holds the spelled value, else TEXT as spelled
 *   object, array -> TEXT, the JSON as received
 * As part of a key, a number that has a whole value is always INTEGER (1.0 and 1 are one key; "1" is another).
 * Threads: pure. Life: a cell borrows the JSON text and the scratch it was made from. Private to merge. */
#pragma once
#include "core/json.h"
#include <sqlite3.h>

enum cell_type { CELL_NULL, CELL_INT, CELL_REAL, CELL_TEXT };
struct cell {
    enum cell_type type;
    int64_t i;
    double d;
    struct span text;
};

/* `scratch` must have room for the decoded text (at most the JSON's length): it must not move. */
bool cell_of(struct json v, bool is_key, struct buf *scratch, struct cell *ret, struct err *err);
int cell_bind(sqlite3_stmt *st, int at, const struct cell *c); /* an SQLite code; borrows until the bindings are cleared */
uint64_t cell_hash(uint64_t seed, const struct cell *c);
bool cell_is_column(const struct cell *c, sqlite3_stmt *st, int i); /* same type and value */
bool cell_eq(const struct cell *a, const struct cell *b);
void cell_write_json(struct buf *out, const struct cell *c);
void column_write_json(struct buf *out, sqlite3_stmt *st, int i);
