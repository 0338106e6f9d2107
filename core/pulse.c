#include "core/pulse.h"
#include <stddef.h>

static _Thread_local struct pulse *carried;

void pulse_carry(struct pulse *p)
{
    carried = p;
}

void pulse_beat(void)
{
    if (carried)
        atomic_fetch_add_explicit(&carried->beats, 1, memory_order_relaxed);
}

uint64_t pulse_count(const struct pulse *p)
{
    return atomic_load_explicit(&p->beats, memory_order_relaxed);
}
