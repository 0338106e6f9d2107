/* sinks: what state.db keeps of each sink: positions, and the entries that are sent again. Threads: as struct state.
 * The object sink's position moves with its ledger; those of other sinks through here. */
#pragma once
#include "journal/journal.h"
#include "staging/state.h"

#define SINK_OBJECTS "objects"
#define SINK_KAFKA "kafka"

/* The lowest sequence of the lane that the sink has not taken; 1 before its first. */
bool sink_position(struct state *s, const char *sink, const char *lane, uint64_t *ret_next, struct err *err);
/* `lost`: how many sequences more the journal could not give. */
bool sink_move(struct state *s, const char *sink, const char *lane, uint64_t next, uint64_t lost, struct err *err);
/* The lowest sequence of the lane that a sink of the configuration still needs. */
bool sinks_floor(struct state *s, const struct config *c, const char *lane, uint64_t *ret_next, struct err *err);

/* ---- entries whose rows go to the sink once more, with origin replay ---- */
/* Within the caller's transaction, or one of its own. Its letters of that sink go. */
bool sink_resend(struct state *s, const char *sink, struct span source, struct span entry, struct err *err);
/* The next of them at or above `from`: *ret_id 0: none. Its entry's id goes to `entry` (cleared). */
bool sink_resend_next(struct state *s, const char *sink, uint64_t from, uint64_t *ret_id, struct buf *entry, struct err *err);
bool sink_resent(struct state *s, const char *sink, uint64_t below, struct err *err);
/* A row that the sink can't be given. */
bool sink_dead(struct state *s, const struct dead_letter *d, struct err *err);
