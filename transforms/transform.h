/* transform: entry -> rows. A pure function of (entry, source configuration, transform ordinal): the same bytes for
 * the same input, for both doors, at any time. Declarative only.
 *
 * Columns: the row is the object as received (bytes are slices), then the manifest's `columns`, `carry` and keep
 * rules, then the user's own drop, hash, rename. Keys are taken before any user column rule, so a dropped or hashed
 * column can still be a key only if it is not touched: a rule that touches a key column is refused by `config check`.
 * hash: "sha256:" + hex of the value's text.
 *
 * Outcome per entry: rows are emitted in order through `emit`; records that fail are emitted through `dead` with the
 * reason, and do not stop the others. An entry with neither is ignored (by type, or by `only`).
 * Threads: a struct transform belongs to one thread (it keeps scratch buffers). Life: transform_new -> transform_run*
 * -> transform_free. Borrows the source config until freed. */
#pragma once
#include "config/config.h"
#include "journal/entry.h"
#include "transforms/row.h"

struct transform;

struct transform_sink {
    void *ctx;
    bool (*emit)(void *ctx, const struct row *row, struct err *err);
    /* `table` may be empty (the entry as a whole), `item` the record's place, reason for a person. */
    bool (*dead)(void *ctx, const struct entry *entry, struct span table, uint64_t item, const char *reason,
                 struct err *err);
};
struct transform_result {
    uint64_t rows, dead, records;
    bool ignored;          /* gave neither rows nor dead letters */
    const char *why_ignored; /* "no table takes this type", "filtered by only: …" */
};

/* ordinal: how many transforms this source had before (recorded with its fingerprint by staging). */
struct transform *transform_new(const struct source_config *source, uint64_t ordinal, struct err *err);
void transform_free(struct transform **t);
/* false only when emit or dead fails, or out of memory. */
bool transform_run(struct transform *t, const struct entry *entry, const struct transform_sink *sink,
                   struct transform_result *ret, struct err *err);
/* Id, type and account of an event entry as the manifest reads them, for lists and duplicates; of several events in one
 * delivery the first one's. Empty where absent. The texts borrow the transform's buffers until its next call. */
struct event_facts {
    struct span id, type, account;
};
void transform_facts(struct transform *t, const struct http_message *message, struct event_facts *ret);
