/* histogram: how long something took, counted into fixed buckets from 50 µs to 10 s.
 *
 * Threads: any thread observes and any takes a snapshot, without a lock: an observation is two relaxed additions. A snapshot that
 * is taken while others observe may have the newest time in its sum and not yet in its buckets, or the other way round; its
 * count is always the sum of its buckets.
 * Life: a zeroed struct is ready; nothing to free. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS 17
extern const uint64_t histogram_bounds_us[HISTOGRAM_BOUNDS]; /* upper ends, inclusive, ascending; one more bucket is above all */

struct histogram {
    atomic_uint_fast64_t buckets[HISTOGRAM_BOUNDS + 1];
    atomic_uint_fast64_t sum_us;
};
struct histogram_snapshot {
    uint64_t up_to[HISTOGRAM_BOUNDS + 1]; /* observations at most as long as the bound: each contains the ones before it */
    uint64_t count, sum_us;
};
void histogram_observe(struct histogram *h, uint64_t us);
void histogram_snapshot(const struct histogram *h, struct histogram_snapshot *ret);
