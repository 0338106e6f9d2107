/* deadline: the longest time that an orderly stop may take. When it is over, the log says what the stop waits for and the process
 * ends with exit code 1.
 *
 * Threads: one of its own; the calls belong to the thread that stops the parts. Life: deadline_start -> deadline_step* ->
 * deadline_end. */
#pragma once
#include <stdint.h>

struct deadline;
/* NULL when there is no thread for it: the stop then takes as long as it takes. */
struct deadline *deadline_start(uint64_t within_us);
/* What is waited for from now on; constant text. */
void deadline_step(struct deadline *d, const char *what);
void deadline_end(struct deadline **d); /* the stop is done */
