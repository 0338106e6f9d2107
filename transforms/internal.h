/* internal: the state of one transform and its parts: facts of an event, objects to rows, rows to the sink.
 * Private to transforms. Threads and life: as struct transform. */
#pragma once
#include "transforms/columns.h"
#include "transforms/transform.h"
#include "transforms/version.h"
#include "transforms/walk.h"

struct table_plan {
    const struct table_rule *rule;
    const struct table_config *config; /* or NULL */
    bool on;
    uint64_t item; /* records of this entry so far */
};

struct facts { /* of the event at hand */
    struct buf id, type, account, kind, api_version;
    bool has_id;      /* the provider's, not a hash */
    uint64_t time_us; /* 0: it carries none */
};

struct transform {
    const struct source_config *source;
    const struct manifest *manifest;
    uint64_t ordinal;
    struct scope_pair *config; /* without secrets: no row may depend on one */
    size_t n_config;
    struct table_plan *tables;
    size_t n_tables;
    struct table_plan events;
    struct columns *columns;
    /* the entry at hand */
    const struct entry *entry;
    const struct transform_sink *sink;
    struct transform_result result;
    char entry_id[ENTRY_ID_MAX];
    char why[240];
    struct http_message message; /* as the scope sees it */
    struct scope scope;
    struct json form;
    struct json object; /* event.object of the event at hand */
    struct span line;   /* the event at hand as one line, in out2; n 0: not made, or it was one line as received */
    bool page;          /* rows come from a pulled page */
    bool backfill;      /* … or from a pulled event */
    bool newest_first;  /* a feed that is read backwards: later records and pages are older */
    uint64_t record;    /* the record's place in the page */
    uint64_t near_us;   /* of a feed: the last time that can be, or the first on the page; 0: none */
    uint64_t observed_us;
    struct facts facts;
    struct json_memo memo;      /* of the entry at hand */
    struct json_memo base_memo; /* of what `base` holds */
    /* scratch */
    struct scope_parent parents[16];
    struct buf form_text, object_text, eval, hash, base, key, fields, version, reason, out, out2, minified;
};

/* ---- facts.c ---- */
/* Id, type, account, kind, version and time of scope.event. *ret_bad: words in t->reason; the event cannot be ordered. */
void facts_read(struct transform *t, struct span raw, bool *ret_bad);
/* The time of scope.event, of which only the path that says it is looked at; 0: none that could be. */
uint64_t facts_time(struct transform *t);
/* The first of `must` that does not hold, in words, in t->reason. */
void must_words(struct transform *t, const struct condition *c);

/* ---- objects.c ---- */
/* One object of the table at hand: a tombstone, a row, a dead letter, or nothing. */
bool object_run(struct transform *t, struct table_plan *plan, bool upserts, struct json object, struct err *err);
/* Whether the event's type is among the globs. */
bool types_match(const struct transform *t, const char **types);

/* ---- emit.c ---- */
/* `base` is the row after the manifest's columns. Takes the key, the version, the user's columns, and emits. */
bool emit_upsert(struct transform *t, struct table_plan *plan, struct json base, uint64_t item, struct err *err);
/* Key columns from `map` first, then from `base`. */
bool emit_tombstone(struct transform *t, struct table_plan *plan, const struct delete_rule *d, struct json base, uint64_t item,
                    struct err *err);
bool emit_event_row(struct transform *t, struct span body, struct err *err);
bool emit_dead(struct transform *t, struct span table, uint64_t item, struct err *err); /* the reason is t->reason */

/* A path's value as JSON: text becomes a string in `out`; `form` alone is the form as an object. */
struct json eval_json(struct transform *t, const struct path *path, struct buf *out);
const char *json_kind_words(struct json v); /* "absent", "null", "a list", … */
