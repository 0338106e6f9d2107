/* schedule: pulls the tables that have `every:` when they are due, in one thread of the server.
 * Life: schedule_start -> schedule_stop (asks a running pull to stop after its page, joins). */
#pragma once
#include "cli/instance.h"

struct schedule;
bool schedule_start(const struct config *c, const struct io *io, const struct live *live, struct schedule **ret,
                    struct err *err);
void schedule_stop(struct schedule **s);
