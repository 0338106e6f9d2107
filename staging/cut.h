/* cut: what a range of entries has become so far: objects being written, dead letters, ignored entries, counts.
 * Private to staging.
 *
 * Each (source, table, date) has an output: rows gather in a block, a full block becomes one zstd frame (or gzip member) in the
 * provisional object, so an object is a row of frames. One compressor serves all outputs.
 * Threads: one thread. Life: cut_new -> (cut_entry* -> cut_seal -> cut_commit | cut_clear)* -> cut_free.
 * Borrows the sources (for output names) from cut_entry on until cut_clear. */
#pragma once
#include "core/clock.h"
#include "journal/entry.h"
#include "staging/state.h"
#include "staging/store.h"
#include "transforms/transform.h"

#define BLOCK_BYTES ((size_t)256 << 10)

struct staged_source { /* a configured source and its transform */
    const struct source_config *config;
    struct transform *transform; /* NULL: the source is not configured */
    char name[40]; /* of the transform, in object names: its fingerprint and ordinal, which all bytes of an object depend on */
    const struct config *owner; /* held; NULL: borrowed */
};
struct output {
    const struct staged_source *source;
    const char *table;  /* the manifest's */
    char date[CLOCK_TEXT_MAX];
    struct buf block;
    uint64_t rows, bytes; /* of the whole object; bytes as compressed so far */
    uint64_t text;        /* bytes before compression, without the block */
    struct store_writer *writer;
    char *key;          /* once sealed */
};
struct letter { /* offsets into cut.text */
    size_t source, table, entry, reason;
    uint64_t item, at_us;
    bool alone;
};
struct tally {
    size_t source; /* offset into cut.text */
    struct books counts;
};
struct cut {
    struct store *store;
    const struct io *io;
    const char *node, *lane; /* as object names say them */
    void *zstd;
    bool gzip; /* instead; set before the first entry */
    struct buf packed;
    struct output *outputs;
    size_t n_outputs, outputs_cap;
    size_t last_output; /* the one used last */
    uint64_t largest;   /* text of the largest output */
    struct buf text, letters, tallies; /* NUL-ended texts, struct letter, struct tally */
    struct buf ignored;                /* LEB128 distances between ignored sequences, from `first` */
    uint64_t ignored_last;
    uint64_t first, last, entries; /* sequences; entries 0: nothing yet */
    uint64_t lost;                 /* sequences missing within */
    bool replay;                   /* rows say so */
};

struct cut *cut_new(struct store *store, const char *node, const char *lane, struct err *err);
void cut_free(struct cut **c);
void cut_clear(struct cut *c); /* gives up what is open; nothing of it stays in the store */
/* Runs the entry through the source's transform into the cut. source NULL: not configured, a dead letter. */
bool cut_entry(struct cut *c, const struct staged_source *source, const struct entry *e, uint64_t now_us,
               struct transform_result *ret, struct err *err);
/* Whole lines that are rows already, into one output. */
bool cut_lines(struct cut *c, const struct staged_source *source, const char *table, const char *date, struct span lines,
               uint64_t rows, struct err *err);
/* Finishes the objects and gives each its key over first..last. */
bool cut_seal(struct cut *c, uint64_t first, uint64_t last, struct err *err);
/* Publishes them. */
bool cut_commit(struct cut *c, struct err *err);

static inline size_t cut_letters(const struct cut *c)
{
    return c->letters.n / sizeof(struct letter);
}
static inline size_t cut_tallies(const struct cut *c)
{
    return c->tallies.n / sizeof(struct tally);
}
/* Whether seq is in the list of an ignored range that begins with `first`. */
bool ignored_holds(struct span list, uint64_t first, uint64_t seq);
