/* state: the node's SQLite file <data_dir>/state.db: staging positions, recorded cuts and their objects, transforms,
 * dead letters, the books, secrets' metadata, runs. Everything in it that describes the journal is either a cache of
 * what the journal holds, or committed in the same transaction as the position it belongs to.
 *
 * Tables (docs/formats.md): transforms, cuts, objects, ignored, positions, dead, resend, books, marks, secrets, endpoints,
 * rotations, runs, watermarks, controls, audit (staging/controls.h), registrations, alarms, posts, rhythms (alarms/ledger.h).
 * Calls that change several rows are one transaction; within a transaction that the caller began (db_begin on s->db) they
 * join it.
 * Threads: one struct state a thread (own connection). Life: state_open -> … -> state_close. */
#pragma once
#include "config/config.h"
#include "core/db.h"
#include "journal/entry.h"

struct state {
    struct db db;
};
/* Makes the file and its schema. Read-only: a file that is not there yet reads as an empty one. */
bool state_open(struct state *s, const char *data_dir, bool readonly, struct err *err);
void state_close(struct state *s);

/* The ordinal of a source's transform; a fingerprint other than the latest draws the next one. */
bool state_transform(struct state *s, const struct source_config *source, uint64_t *ret_ordinal, struct err *err);

/* ---- staging: what is past, by lane ---- */
/* The lowest sequence that is not staged yet; 1 before the first cut. */
bool state_position(struct state *s, struct span lane, uint64_t *ret_next, struct err *err);
/* Sequences below the position that the journal could not give (damage). */
bool state_lost(struct state *s, struct span lane, uint64_t *ret, struct err *err);

/* ---- staged objects ---- */
struct staged_object {
    struct span key; /* of the store */
    uint64_t rows, bytes;
    uint64_t at_us;  /* when it was published */
};
/* Of a row with these columns of `objects`, in this order; the key borrows until the next step. */
#define STATE_OBJECT_COLUMNS "key, rows, bytes, at_us"
struct staged_object state_object_of(sqlite3_stmt *st);
/* Sum of the rows of published objects of a source and table (empty: all) with at_us >= since_us. Objects are forgotten
 * OBJECTS_KEPT_US after their entries left the journal: for all time see books.rows_staged. */
#define OBJECTS_KEPT_US (UINT64_C(30) * 86400 * 1000000)
bool state_objects_rows(struct state *s, struct span source, struct span table, uint64_t since_us, uint64_t *ret,
                        struct err *err);

/* Rows of one table that were staged since: those of joined objects with their parts. */
bool state_rows_since(struct state *s, struct span source, struct span table, uint64_t since_us, uint64_t *ret, struct err *err);

/* ---- books: what the door did with requests, by source; see books.h of the server for the live counters ---- */
struct books {
    uint64_t received, handshake, rejected, duplicate, journalled; /* requests of the door */
    uint64_t pages;                                                /* pulled pages journalled */
    /* Entries past the staging position, both lanes: staged gave at least one row, dead only dead letters. */
    uint64_t staged, ignored, dead;
    uint64_t rows_staged, rows_dead;
};
bool state_books(struct state *s, struct span source, struct books *ret, struct err *err);
/* Adds the door's counters (received … journalled, pages) of one source, and remembers that `journalled` of every source
 * counts the entries of lane events up to this sequence. Several sources at one mark: call within one transaction. */
bool state_books_add(struct state *s, struct span source, const struct books *delta, uint64_t upto_events_seq, struct err *err);
/* The mark: after a crash the entries of lane events above it are not in `journalled` yet. */
bool state_books_mark(struct state *s, uint64_t *ret_seq, struct err *err);

/* ---- dead letters ---- */
struct dead_letter {
    int64_t id;
    struct span source, table, entry, reason;
    uint64_t item, at_us;
    struct span sink; /* which could not take it; p NULL: objects, for want of a transform that can */
};
/* Calls each for the letters of a source (empty: all), oldest first, at most `limit`. */
bool state_dead_each(struct state *s, struct span source, int64_t limit, bool (*each)(void *ctx, const struct dead_letter *d),
                     void *ctx, struct err *err);
/* By table ("": the entry as a whole): how many, the newest one's id and reason. */
struct dead_sum {
    struct span table, reason;
    uint64_t n;
    int64_t newest;
};
bool state_dead_tables(struct state *s, struct span source, bool (*each)(void *ctx, const struct dead_sum *d), void *ctx,
                       struct err *err);
bool state_dead_count(struct state *s, struct span source, uint64_t *ret, struct err *err);
/* id 0: all of the source. Returns how many went. */
bool state_dead_drop(struct state *s, struct span source, int64_t id, uint64_t *ret, struct err *err);

/* ---- secrets' metadata (never a secret) ---- */
struct secret_seen {
    struct span source, id;
    uint64_t first_us;     /* first loaded */
    uint64_t last_used_us; /* last verified a request, 0: never */
};
/* Keeps the earliest first_us and the latest last_used_us. */
bool state_secret_seen(struct state *s, struct span source, struct span id, uint64_t first_us, uint64_t last_used_us,
                       struct err *err);
bool state_secret_each(struct state *s, struct span source, bool (*each)(void *ctx, const struct secret_seen *seen), void *ctx,
                       struct err *err);

/* ---- endpoints at providers ---- */
struct endpoint_record {
    struct span source, id, type; /* type "": the endpoint carries many */
    struct span url, secret;      /* the secret's id */
    uint64_t at_us;               /* when it was registered */
};
bool state_endpoint_put(struct state *s, const struct endpoint_record *e, struct err *err);
/* All of the source's are signed with another secret. */
bool state_endpoint_secret(struct state *s, struct span source, struct span secret, struct err *err);
bool state_endpoint_drop(struct state *s, struct span source, struct span id, struct err *err);
bool state_endpoint_each(struct state *s, struct span source, void (*each)(void *ctx, const struct endpoint_record *e), void *ctx,
                         struct err *err);

/* ---- rotations of secrets: one a source, from its begin until the old secret is retired (webhooks/rotate.h) ---- */
struct rotation_record {
    char phase[16]; /* "": there is none */
    char old_secret[SECRET_ID_MAX], new_secret[SECRET_ID_MAX]; /* ids */
    char old_endpoint[256], new_endpoint[256];
    uint64_t began_us, moved_us;
};
/* phase "": drops it */
bool state_rotation_put(struct state *s, struct span source, const struct rotation_record *r, struct err *err);
bool state_rotation_get(struct state *s, struct span source, struct rotation_record *ret, struct err *err);

/* ---- what the last check of a source's endpoint found at the provider ----
 * Written by whoever checks, read by status and alarms. An empty cause: it is as registered. */
struct registration {
    struct span source, cause; /* "endpoint we_1 is disabled since 08:40", "events missing: invoice.paid" */
    struct span next;          /* the command that helps */
    uint64_t checked_us;
    bool broken; /* nothing is delivered: disabled, gone, another url; else something is missing */
};
bool state_registration_put(struct state *s, const struct registration *r, struct err *err);
/* At most one. */
bool state_registration_get(struct state *s, struct span source, void (*got)(void *ctx, const struct registration *r), void *ctx,
                            struct err *err);

/* ---- runs of the puller ---- */
struct run_record {
    struct span run, source, table; /* table "": the feed */
    uint64_t started_us, finished_us; /* 0: not finished */
    uint64_t pages, rows;
    struct span status; /* running completed failed paused limited */
    uint64_t last_seq;  /* its last durable page in lane backfill, 0: none */
    struct span error;  /* "" or why it ended */
    struct span watermark; /* what the next incremental run starts from; "" leaves the table's as it is */
    uint64_t from_us, to_us; /* its window, 0: open */
    uint64_t page_us;        /* when it last got a page, or began or went on */
    struct span waiting;     /* what it waits for, in words; "": it does not */
    uint64_t wait_until_us;
    struct span cause;       /* of a failure: auth, scope, limit, busy, gone, network, version, other; "" : none */
};
/* Writes the run, and with a watermark also the table's, in one transaction. */
bool state_run_put(struct state *s, const struct run_record *r, struct err *err);
/* A table's run by id, or its newest where `run` is empty. Texts go to `text` (cleared). *ret_found false: none. */
bool state_run_get(struct state *s, struct span source, struct span table, struct span run, struct run_record *ret,
                   struct buf *text, bool *ret_found, struct err *err);
/* Newest first; `source` empty: all. */
bool state_runs_each(struct state *s, struct span source, int64_t limit, bool (*each)(void *ctx, const struct run_record *r),
                     void *ctx, struct err *err);
/* For each table that was ever pulled to its end ("": the feed), when the last such pull finished. */
bool state_pulled_each(struct state *s, struct span source, void (*each)(void *ctx, struct span table, uint64_t finished_us),
                       void *ctx, struct err *err);
/* Forgets runs that finished before. */
bool state_runs_forget(struct state *s, uint64_t before_us, struct err *err);
/* Appends the watermark to out; *ret_found false: none. */
bool state_watermark(struct state *s, struct span source, struct span table, struct buf *out, bool *ret_found, struct err *err);
bool state_watermark_drop(struct state *s, struct span source, struct span table, struct err *err);
