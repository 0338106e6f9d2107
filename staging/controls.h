/* controls: what operators ordered for tables: paused, cancelled, to be pulled, cleared, other modes; and the trail of it.
 *
 * An order is a row of state.db, written in one transaction with its line of the trail; who has to obey looks there: the
 * schedule before it pulls, a pull at its beginning and after each page, the merge before each pass. So an order outlives every
 * crash, and is obeyed by a server and by commands that run alone.
 *   paused     pulls of the table stop and none begins; the merge leaves its objects staged. Events are accepted and staged.
 *   cancelled  the run that is under way ends, none that began before is resumed
 *   pull       a server pulls the table now
 *   clear      the merge empties the table in the target: what was merged by then goes
 *   mode       full: every pull reads everything; incremental: from the last watermark, as where nothing is set
 *   field      the field by which an incremental pull asks, in place of the manifest's
 * Threads: as struct state. */
#pragma once
#include "staging/state.h"

#define CONTROL_FIELD_MAX 128

struct table_control {
    bool paused, clear;
    char mode[16];                 /* "": the manifest's; full, incremental */
    char field[CONTROL_FIELD_MAX]; /* "": the manifest's */
    uint64_t cancelled_us;         /* 0: never */
    uint64_t pull_us;              /* when it was ordered; 0: it is not */
};
enum table_order { ORDER_PAUSE, ORDER_RESUME, ORDER_CANCEL, ORDER_PULL, ORDER_RESET, ORDER_DROP, ORDER_SET };
const char *table_order_name(enum table_order o);
bool table_order_of(struct span name, enum table_order *ret);

struct control_order {
    enum table_order order;
    struct span source, table;
    const char *who; /* "user:anna", "token:admin" */
    uint64_t now_us;
    const char *mode, *field; /* of ORDER_SET; NULL: stays as it is, "" : the manifest's */
};
/* All zero where nothing was ordered. */
bool controls_read(struct state *s, struct span source, struct span table, struct table_control *ret, struct err *err);
/* ORDER_RESET also forgets the table's watermark, and orders a pull. *ret: as it is now. */
bool controls_order(struct state *s, const struct control_order *o, struct table_control *ret, struct err *err);
/* Every table with an order. */
bool controls_each(struct state *s, bool (*each)(void *ctx, struct span source, struct span table, const struct table_control *c),
                   void *ctx, struct err *err);
/* Obeyed: unless it was ordered again meanwhile. */
bool controls_pulled(struct state *s, struct span source, struct span table, uint64_t pull_us, struct err *err);
bool controls_cleared(struct state *s, struct span source, struct span table, struct err *err);

/* ---- the trail ---- */
struct audit_record {
    int64_t id;
    uint64_t at_us;
    struct span who, what, source, table, before, after; /* before and after: JSON */
};
/* Also for what is no table's order: a reload, say; with empty source and table. before, after: JSON objects, or "". */
bool audit_add(struct state *s, const struct audit_record *r, struct err *err);
/* Newest first. source, table empty: all. The newest AUDIT_KEPT are kept. */
#define AUDIT_KEPT 100000
bool audit_each(struct state *s, struct span source, struct span table, int64_t limit,
                bool (*each)(void *ctx, const struct audit_record *r), void *ctx, struct err *err);
/* {"id":1,"at":"…","who":"user:anna","what":"pause","source":"…","table":"…","before":{…},"after":{…}} */
void audit_write(struct buf *out, const struct audit_record *r);
/* As JSON: {"paused":false,"mode":"",…} */
void control_write(struct buf *out, const struct table_control *c);
