/* state: the node's SQLite file <data_dir>/state.db: staging positions, recorded cuts and their objects, transforms,
 * dead letters, the books, secrets' metadata, runs. Everything in it that describes the journal is either a cache of
 * what the journal holds, or committed in the same transaction as the position it belongs to.
 *
 * Tables (docs/formats.md): transforms(source, fingerprint, ordinal), cuts, objects, positions, dead, books,
 * secrets, runs, watermarks.
 * Threads: one struct state a thread (own connection). Life: state_open -> … -> state_close. */
#pragma once
#include "config/config.h"
#include "core/db.h"
#include "journal/entry.h"

struct state {
    struct db db;
};
bool state_open(struct state *s, const char *data_dir, bool readonly, struct err *err); /* makes the schema */
void state_close(struct state *s);

/* The ordinal of a source's transform; a new fingerprint draws the next one. */
bool state_transform(struct state *s, const struct source_config *source, uint64_t *ret_ordinal, struct err *err);

/* ---- books: what the door did with requests, by source; see books.h of the server for the live counters ---- */
struct books {
    uint64_t received, handshake, rejected, duplicate, journalled; /* requests of the door */
    uint64_t pages;                                                /* pulled pages journalled */
    uint64_t staged, ignored, dead;                                /* entries past the staging position, both lanes */
    uint64_t rows_staged, rows_dead;
};
bool state_books(struct state *s, struct span source, struct books *ret, struct err *err);

/* ---- dead letters ---- */
struct dead_letter {
    int64_t id;
    struct span source, table, entry, reason;
    uint64_t item, at_us;
};
/* Calls each for the letters of a source (empty: all), oldest first, at most `limit`. */
bool state_dead_each(struct state *s, struct span source, int64_t limit, bool (*each)(void *ctx, const struct dead_letter *d),
                     void *ctx, struct err *err);
bool state_dead_count(struct state *s, struct span source, uint64_t *ret, struct err *err);
/* id 0: all of the source. Returns how many went. */
bool state_dead_drop(struct state *s, struct span source, int64_t id, uint64_t *ret, struct err *err);
