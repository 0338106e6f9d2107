/* ledger: alarms in state.db: raised once, cleared once, over every restart; and what is to be told of them.
 *
 * An alarm is known by kind, source and subject (a secret's id, a sink). Raising one that stands changes nothing but its words;
 * raising, and what is to be posted of it, is one transaction; so is clearing. Posts go out in order, each until the receiver
 * took it: once, or again under the same message id when the process died in between.
 * Threads: as struct state. */
#pragma once
#include "staging/state.h"

enum alarm_kind { ALARM_SILENT, ALARM_REJECTING, ALARM_DRIFT, ALARM_OLD_SECRET, ALARM_UNSHIPPED, ALARM_KINDS };
const char *alarm_kind_name(enum alarm_kind k); /* silent rejecting drift old_secret unshipped */

struct alarm {
    struct span kind, source, subject; /* source, subject: may be empty */
    struct span cause, next;
    uint64_t raised_us, cleared_us;    /* cleared 0: it stands */
};
/* message: the id under which it is posted; NULL: it is not. *ret_new false: it stood already, only its words may be others. */
bool ledger_raise(struct state *s, const struct alarm *a, const char *message, bool *ret_new, struct err *err);
/* *ret_new false: it did not stand. */
bool ledger_clear(struct state *s, const struct alarm *a, uint64_t now_us, const char *message, bool *ret_new, struct err *err);
/* Standing ones first, then the newest; `standing`: no others. */
bool ledger_each(struct state *s, bool standing, bool (*each)(void *ctx, const struct alarm *a), void *ctx, struct err *err);

/* ---- posts ---- */
struct post {
    int64_t id;
    struct alarm alarm; /* cleared_us 0: it tells that it was raised */
    struct span message, error;
    uint64_t at_us, tries;
};
/* The first that waits; *ret_found false: none does. Its texts go to `text` (cleared). */
bool ledger_post(struct state *s, struct post *ret, struct buf *text, bool *ret_found, struct err *err);
bool ledger_posted(struct state *s, int64_t id, struct err *err); /* it goes: taken, or given up */
bool ledger_not_posted(struct state *s, int64_t id, const char *why, struct err *err);
/* How many wait, when the first of them came to be, and why it is not posted yet ("" : not tried). */
struct posts_waiting {
    uint64_t n, oldest_us, tries;
    char error[400];
};
bool ledger_waiting(struct state *s, struct posts_waiting *ret, struct err *err);

/* ---- what is kept of a source's past: lines of rhythm.h and share.h ---- */
bool ledger_memory(struct state *s, struct span source, struct buf *out, struct err *err); /* cleared; empty: none */
bool ledger_remember(struct state *s, struct span source, struct span text, struct err *err);
