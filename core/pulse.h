/* pulse: whether a thread goes on. A thread carries a pulse and beats it at each turn of its loop, and within whatever may take
 * longer than some seconds; who watches it looks whether it beat since the last look. It says nothing of success: a thread that
 * tries the same again and again goes on.
 * Threads: a pulse is carried by one thread; anybody reads. Life: zeroed; it outlives the thread that carries it. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

struct pulse {
    atomic_uint_fast64_t beats;
};

/* From now on this thread's; NULL: none. */
void pulse_carry(struct pulse *p);
/* Beats this thread's, if it has one. Costs next to nothing. */
void pulse_beat(void);
/* How often it was beaten. */
uint64_t pulse_count(const struct pulse *p);
