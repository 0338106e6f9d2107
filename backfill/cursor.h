/* cursor: where a run stands, as the JSON that goes into each page's journal entry. Private to backfill/.
 *
 *   {"level":1,"pages":7,"rows":512,"began":…,"mark":…,"stop":false,
 *    "capped":false,"levels":[{"next":"…","more":true,"seq":41,"index":3,"pages":2,"ring":[…,0,1]},{"next":"","more":true,…}]}
 * `level` is the one whose page this entry is; a level with `seq` 0 at its own entry means that entry. The last level is the
 * table that is pulled; those before it are its parents, whose current page is the journal's entry `seq` and whose current record
 * is `index`.
 * Threads: plain values. Life: cursor_release. */
#pragma once
#include "core/buf.h"
#include "core/err.h"
#include <stdint.h>

#define LEVELS_MAX 4

struct level_state {
    struct buf next;  /* what the next page is asked with; empty: the first page */
    bool started;     /* a page was read for the current parent */
    bool more;        /* there is another */
    uint64_t seq;     /* parents: journal entry of the current page */
    uint64_t index;   /* parents: the current record in it */
    uint64_t pages;   /* of the current parent's list, for the manifest's cap */
    uint64_t mark, lap, power; /* a hash that the cursors behind it are compared with; how far it is back; when it moves */
    uint32_t empties; /* empty pages in a row; not written */
};
struct cursor {
    unsigned level, n_levels;
    struct level_state levels[LEVELS_MAX];
    uint64_t pages, rows;
    uint64_t began_us; /* observation time of the run's first page */
    uint64_t mark_us;  /* largest value of the incremental field seen */
    bool stop;         /* a record beyond the window was met: the current list is read far enough */
    bool capped;       /* a list was longer than the manifest's cap: the run leaves the watermark as it is */
};
void cursor_init(struct cursor *c, unsigned n_levels);
void cursor_release(struct cursor *c);
void cursor_write(const struct cursor *c, struct buf *out);
bool cursor_read(struct span text, struct cursor *ret, struct err *err); /* ret was initialised; n_levels must agree */
