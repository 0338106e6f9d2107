/* watch: looks whether a server's parts go on (its workers, the journal's committers, the stager), and tells the service manager
 * and whoever asks /livez. While one of them stands still the manager is told nothing, and its watchdog ends the process; after a
 * minute (or after the watchdog's time) /livez says so, too. What was acknowledged is in the journal, and the next start goes on
 * from there.
 *
 * A sink or a store that is down does not stand still: its thread tries again. Nor does a full disk.
 * Threads: one of its own; the calls belong to the thread that starts and stops the parts.
 * Life: watch_start, when all parts run -> watch_stop, before the first of them ends. */
#pragma once
#include "cli/instance.h"
#include "cli/notify.h"

struct watch;
/* Borrows all until watch_stop. */
bool watch_start(const struct notify *n, const struct live *live, struct watch **ret, struct err *err);
void watch_stop(struct watch **w);
/* What has stood still for so long that only a restart helps, such as "staging"; NULL: all go on. Any thread. */
const char *watch_still(const struct watch *w);
