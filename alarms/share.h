/* share: whether more of a source's deliveries fail verification than usually do.
 *
 * Two pairs of counters that decay: `recent` with a half-life of ten minutes, and what leaves it goes to `usual`, with a
 * half-life of a week; but not while the share is called risen. Risen: of the recent ones at least five failed, more than one in
 * fifty, and more than three times what the usual share would give plus four of its standard deviations. A source without a
 * past is taken as one with one failure in twenty. It is over when the share has fallen under half of that, when the failures
 * have decayed to less than one, or when ten deliveries in a row were good and no failure came for five minutes.
 * Threads: plain values. */
#pragma once
#include "core/buf.h"
#include <stdbool.h>
#include <stdint.h>

struct share {
    double recent_good, recent_bad, usual_good, usual_bad;
    uint64_t looked_us, bad_us; /* the last look; when a failure was last seen */
    uint64_t good_in_row;
    bool risen;
};
void share_look(struct share *s, uint64_t now_us, uint64_t good, uint64_t bad);
/* As text, a line. */
void share_write(const struct share *s, struct buf *out);
bool share_read(struct span text, struct share *ret);
