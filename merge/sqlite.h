/* sqlite: the SQLite target from the inside: one `struct tab` for each table in use, with its columns and statements.
 *
 * Invariants of a table (docs/merge.md has them for readers):
 *  1. Of a key there is at most one row for each shape ('full', 'pull', 'push'), one 'delete' and one '*'. The first
 *     four are registers: each is the row of the highest version of its kind that was ever applied.
 *  2. '*' exists exactly when a register 'pull' or 'push' exists. It is computed from the registers alone.
 *  3. The public row of a key is '*', or 'full' where there is no '*'. It has _sluice_live 1 when the key is alive, else
 *     _sluice_deleted_at. No other row has either.
 *  4. Which columns exist follows from the names that any applied row brought, a kept out one included.
 * So all that a reader sees is a function of the set of rows applied.
 *
 *   columns.c     names, the map from a row's members to columns, the row at hand as cells
 *   schema.c      making and loading tables, statements, the view
 *   registers.c   what a row does to its key
 *   audit.c       what a page tells that events had not told
 *   target.c      transactions, inputs, counts
 * Threads: as struct target. Private to merge. */
#pragma once
#include "core/clock.h"
#include "core/db.h"
#include "merge/cell.h"
#include "merge/merge.h"
#include "merge/target.h"

#define COLUMNS_MAX 1500      /* data columns of a table; what comes later goes to _sluice_more */
#define SURPLUS_MAX 65536     /* members of one row beyond them */
#define NAME_BYTES_MAX 200    /* longer names are cut and get a suffix */
#define MISSED_LISTED_MAX 10000 /* rows of _sluice_missed, by table */
#define TARGET_FORMAT 1

struct column {
    char *name; /* as the provider spells it, NUL-terminated for messages */
    size_t n;
    char *physical;
    uint64_t seed;     /* of the cell's hash */
    unsigned carriers; /* bit by shape: which shapes carry it */
    size_t next;       /* the column that followed it in the last row */
    uint64_t seen;     /* the row that `cell` is of */
    struct cell cell;
};

struct surplus { /* a member that has no column */
    struct span name, value;
    unsigned from;
};

/* Parameters of insert and update, and where columns of `find` and `read` are: see schema.c. */
enum fixed {
    F_SHAPE, F_VERSION, F_OBSERVED, F_RECEIVED, F_ENTRY, F_EVENT_ID, F_ORIGIN, F_LIVE, F_DELETED_AT, F_CONTENT, F_MORE,
    F_COUNT
};
enum slot { SLOT_FULL = SHAPE_FULL, SLOT_PULL = SHAPE_PULL, SLOT_PUSH = SHAPE_PUSH, SLOT_DELETE, SLOT_STAR, SLOT_COUNT };

struct tab {
    struct tab *next;
    const struct source_config *source;
    const struct table_rule *rule;
    char *physical, *public; /* "_sluice_<source>_<table>", "<source>_<table>" */
    struct column *columns;  /* the key's first */
    size_t n, cap, n_keys;
    uint32_t *slots;         /* open addressing over names: column + 1 */
    size_t n_slots;
    bool more;               /* surplus has been seen */
    bool stale;              /* columns were added: statements and view are to be made anew */
    sqlite3_stmt *find, *insert, *update, *mark, *read[SHAPE_COUNT];
    /* since the last commit */
    bool dirty;
    struct merge_counts counts;
    int64_t late, live, dead; /* late: told after all; rows, deleted keys */
    uint64_t newest_us;
    uint64_t missed_listed;
    char first_event[CLOCK_TEXT_MAX]; /* "" : none yet */
};

struct reg { /* a stored row of the key at hand */
    bool there, live;
    int64_t id, content;
    struct buf version;
    char observed[CLOCK_TEXT_MAX], deleted_at[CLOCK_TEXT_MAX];
};

struct sqlite_target {
    struct target base;
    struct db db;
    bool in_transaction;
    bool merged;      /* an object was, in this transaction */
    char opening_id[17]; /* our row of _sluice_openings; "": none yet */
    bool refused; /* the row at hand cannot be taken: ERR_INPUT is of the row, not of the file */
    struct tab *tabs;
    sqlite3_stmt *is_merged;
    /* the row at hand */
    uint64_t serial;
    struct span account; /* "" unless accounts: many */
    struct buf scratch, name, more, sql;
    struct surplus *surplus;
    size_t n_surplus, cap_surplus;
    char observed[CLOCK_TEXT_MAX], received[CLOCK_TEXT_MAX];
    int64_t content;
    struct reg regs[SLOT_COUNT];
};

/* ---- columns.c ---- */
void sql_name(struct buf *out, const char *name); /* quoted identifier */
/* Adds a column to the map alone. physical NULL: chosen here, by the name and what is taken. */
bool tab_add_column(struct tab *tab, struct span name, const char *physical, bool is_key, struct err *err);
void tab_free(struct tab *tab);
/* Public names of all data columns, malloc'ed, in the order of tab->columns from n_keys on; by the set of names alone. */
bool tab_public_names(const struct tab *tab, char ***ret, struct err *err);
void names_free(char **names, size_t n);
/* The data columns by name, as indexes. Owns: malloc'ed. */
bool tab_by_name(const struct tab *tab, size_t **ret, struct err *err);
/* Key columns of the row into the cells of columns [0, n_keys). ERR_INPUT when one is absent or null. */
bool take_key(struct sqlite_target *t, struct tab *tab, const struct row *row, struct err *err);
/* Data columns of the row into cells; new ones are made. Sets t->content, and t->more when there is surplus. */
bool take_row(struct sqlite_target *t, struct tab *tab, const struct row *row, struct err *err);
/* Writes the surplus as an object, by name; of equal names the one that came last. */
bool surplus_write(struct sqlite_target *t, struct err *err);
bool surplus_add(struct sqlite_target *t, struct span name, struct span value, unsigned from, struct err *err);

/* ---- schema.c ---- */
bool schema_open(struct db *db, struct err *err);
/* The table goes, with its columns, its view and what is listed of it; the counts of what was read stay. Nothing has it open. */
bool schema_drop(struct sqlite_target *t, const struct source_config *s, const struct table_rule *rule, struct err *err);
bool tab_of(struct sqlite_target *t, const struct source_config *s, const struct table_rule *rule, struct tab **ret,
            struct err *err);
bool tab_alter(struct sqlite_target *t, struct tab *tab, const char *physical, struct err *err);
bool tab_note_more(struct sqlite_target *t, struct tab *tab, struct err *err);
/* Makes statements and view fit the columns. */
bool tab_refresh(struct sqlite_target *t, struct tab *tab, struct err *err);
int fixed_param(const struct tab *tab, enum fixed f);
int column_param(const struct tab *tab, size_t column);
int id_param(const struct tab *tab);
#define READ_ENTRY 0 /* columns of `read`: these, F_MORE, then the data columns */
#define READ_EVENT_ID 1
#define READ_ORIGIN 2
#define READ_RECEIVED 3
#define READ_MORE 4
#define READ_DATA 5

/* ---- registers.c ---- */
bool row_apply(struct sqlite_target *t, struct tab *tab, const struct row *row, struct applied_row *ret, struct err *err);
const char *origin_name(enum row_origin o);
int version_order(struct span a, struct span b);

/* ---- audit.c ---- */
/* Before the register changes; the registers of the key are loaded. An event. */
bool audit_event(struct sqlite_target *t, struct tab *tab, const struct row *row, struct applied_row *ret, struct err *err);
/* A page's row that is about to become its register. */
bool audit_page(struct sqlite_target *t, struct tab *tab, const struct row *row, struct applied_row *ret, struct err *err);
bool row_is_page(const struct row *row);

/* ---- target.c ---- */
bool db_ok(struct sqlite_target *t, int code, struct err *err); /* of sqlite3_bind_* */
