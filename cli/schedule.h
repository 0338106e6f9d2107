/* schedule: pulls the tables that have `every:` when they are due, in one thread of the server.
 *
 * It works by the configuration of the moment: a table that comes is due at once, one whose source is taken out is stopped after
 * its page. A pull that failed is tried again when the credentials of its source are others than they were, without waiting for
 * its time.
 * Threads: schedule_start to schedule_free by the one that serves. Life: schedule_start -> schedule_stop (asks a running pull to
 * stop after its page, joins) -> schedule_free. */
#pragma once
#include "cli/instance.h"

struct schedule;
bool schedule_start(const struct io *io, const struct live *live, struct schedule **ret, struct err *err);
void schedule_stop(struct schedule *s);
void schedule_free(struct schedule **s);
