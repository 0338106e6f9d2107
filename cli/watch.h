/* watch: looks at the facts once a second, raises alarms and clears them, posts them, and orders what `catch_up: auto` asks for.
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
 * Threads: watch_source and watch_posts from any. Life: watch_start -> watch_stop (joins) -> watch_free. */
#pragma once
#include "cli/instance.h"

struct watch;
bool watch_start(const struct io *io, const struct live *live, struct watch **ret, struct err *err);
void watch_stop(struct watch *w);
void watch_free(struct watch **w);

struct watch_source { /* of a running server */
    double per_second;           /* accepted, of about the last minute */
    uint64_t quiet_us, usual_us; /* since the newest event, as far as it was watched; the mean gap, 0: not known */
    bool silent;                 /* unusually */
};
bool watch_source(struct watch *w, const char *source, struct watch_source *ret);

struct watch_posts { /* since the start */
    uint64_t taken, failed, given_up;
};
void watch_posts(struct watch *w, struct watch_posts *ret);
