/* drain: a server that is about to go: nothing new is sent to it, and what its journal holds is brought to every sink.
 *
 * `sluice drain` begins it from outside, in a running server; the stop that follows goes on with it. For a data directory that
 * may not come back soon: a Kubernetes pod of a set that is made smaller. Nothing depends on it: what is not drained waits in the
 * journal.
 * Threads: drain_begin from any; drain_sinks in the thread that the instance belongs to. */
#pragma once
#include "cli/instance.h"
#include <stdatomic.h>

struct admin;
struct drain { /* of a running server */
    struct admin *admin;
    atomic_bool asked;
};

/* From now on /readyz says 503, and the stop drains. */
void drain_begin(struct drain *d);
/* Waits until every sink has all that was durable when it was called, but no longer than within_us. *stop ends it early (NULL:
 * nothing does). false: it was not done by then. Needs a running stager. */
bool drain_sinks(struct instance *in, uint64_t within_us, const atomic_bool *stop);
