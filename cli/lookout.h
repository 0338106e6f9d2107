/* lookout: looks at the facts once a second, raises alarms and clears them, posts them, and orders what `catch_up: auto` asks
 * for.
 *
 *   silent       a source against its own rhythm (alarms/rhythm.h)
 *   rejecting    a rising share of failed verifications (alarms/share.h)
 *   drift        what the last check of the registration found (state_registration_get)
 *   old_secret   a secret near its end that still verifies deliveries
 *   unshipped    the age of the oldest entry that a sink has not taken
 * What stands is in state.db (alarms/ledger.h), as is what is known of each source, so that a restart neither raises nor forgets.
 * Catching up is an order to pull the provider's log of events, as an operator would give it (staging/controls.h): given after a
 * downtime, when an alarm of silence, rejection or drift is over and every quarter of an hour while one stands, and after
 * deliveries that could not be stored. The schedule obeys it.
 * Threads: lookout_source and lookout_posts from any. Life: lookout_start -> lookout_stop (joins) -> lookout_free. */
#pragma once
#include "cli/instance.h"

struct lookout;
bool lookout_start(const struct io *io, const struct live *live, struct lookout **ret, struct err *err);
void lookout_stop(struct lookout *w);
void lookout_free(struct lookout **w);

struct lookout_source { /* of a running server */
    double per_second;           /* accepted, of about the last minute */
    uint64_t quiet_us, usual_us; /* since the newest event, as far as it was watched; the mean gap, 0: not known */
    bool silent;                 /* unusually */
};
bool lookout_source(struct lookout *w, const char *source, struct lookout_source *ret);

struct lookout_posts { /* since the start */
    uint64_t taken, failed, given_up;
};
void lookout_posts(struct lookout *w, struct lookout_posts *ret);
