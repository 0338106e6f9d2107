/* registration: asks the providers on a schedule (alarms.check) whether the endpoints that were registered are as they were
 * (webhooks/check.h). What is found stands in state.db, for status and for the alarm `drift`.
 * A provider that cannot be asked says nothing of the endpoint: what was found before stays, and the log tells.
 * Threads: one of its own. Life: registration_start -> registration_stop (joins and frees). */
#pragma once
#include "cli/instance.h"

struct registration_watch;
bool registration_start(const struct io *io, const struct live *live, struct registration_watch **ret, struct err *err);
void registration_stop(struct registration_watch **w);
