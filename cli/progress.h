/* progress: how a pull is shown while it runs. On a terminal one line for each table, redrawn in place; elsewhere a line when a
 * table begins, ends or waits, and one at most every ten seconds between. Threads: the puller's. */
#pragma once
#include "backfill/backfill.h"
#include "cli/command.h"

struct progress;
struct progress *progress_new(const struct command_io *io, const struct io *world);
void progress_free(struct progress **p); /* leaves the cursor below the last line */
/* A backfill_opts.progress; ctx is the struct progress. */
void progress_tell(void *ctx, const struct pull_progress *p);
