/* metrics: what /metrics says, read through an instance of its own. docs/metrics.md tells what each is for.
 *
 * A part that cannot be read (a target that is locked, say) is left out, the rest is written, and sluice_metrics_complete is 0.
 * Nothing here reads the journal's backlog, but for the one segment in which it begins: a sink that is down for a day makes no
 * scrape slower.
 * Threads: as the instance. */
#pragma once
#include "cli/instance.h"

/* The instance is of a running server. Appends to out. */
void metrics_write(struct instance *in, struct buf *out);
