/* watch: looks whether a server's parts go on (its workers, the journal's committers, the stager), and tells the service manager.
 * While one of them stands still nothing is told, and the manager's watchdog ends the process: what was acknowledged is in the
 * journal, and the next start goes on from there.
 *
 * A sink or a store that is down does not stand still: its thread tries again. Nor does a full disk.
 * Threads: one of its own; the calls belong to the thread that starts and stops the parts.
 * Life: watch_start, when all parts run -> watch_stop, before the first of them ends. */
#pragma once
#include "cli/instance.h"
#include "cli/notify.h"

struct watch;
/* *ret NULL: the manager wants to hear nothing. Borrows all until watch_stop. */
bool watch_start(const struct notify *n, const struct live *live, struct watch **ret, struct err *err);
void watch_stop(struct watch **w);
