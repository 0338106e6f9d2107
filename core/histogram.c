#include "core/histogram.h"

const uint64_t histogram_bounds_us[HISTOGRAM_BOUNDS] = {
    50,    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

void histogram_observe(struct histogram *h, uint64_t us)
{
    unsigned i = 0;
    while (i < HISTOGRAM_BOUNDS && us > histogram_bounds_us[i]) /* nearly all end among the first: no search is faster */
        i++;
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

void histogram_snapshot(const struct histogram *ch, struct histogram_snapshot *ret)
{
    struct histogram *h = (struct histogram *)(uintptr_t)ch; /* atomics are read through what is not const */
    ret->count = 0;
    for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        ret->count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        ret->up_to[i] = ret->count;
    }
    ret->sum_us = atomic_load_explicit(&h->sum_us, memory_order_relaxed);
}
