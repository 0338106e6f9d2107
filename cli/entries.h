/* entries: what the commands about entries share: finding one by its id, and an event's id and type by its manifest.
 * Threads: one. Life: entries_open -> entries_facts* -> entries_close. */
#pragma once
#include "cli/command.h"
#include "cli/instance.h"
#include "transforms/transform.h"

struct entries; /* one transform a source, made when first needed */
bool entries_open(const struct config *c, struct entries **ret, struct err *err);
void entries_close(struct entries **e);
/* Empty facts for pages and for sources that are no longer configured. Borrows until the next call. */
void entries_facts(struct entries *e, const struct entry *entry, struct event_facts *ret);

/* Reads the entry "<node>/<lane>/<seq>" from the journal. *ret borrows *ret_reader, which the caller closes, also on failure. */
bool entries_find(struct instance *in, const char *id, struct reader **ret_reader, struct entry *ret, struct err *err);
/* NULL: events. false after a message. */
bool entries_lane(const struct command_io *io, const char *text, enum lane_id *ret);
/* NULL keeps *ret. false after a message. */
bool entries_number(const struct command_io *io, const char *option, const char *text, uint64_t *ret);
