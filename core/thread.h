/* thread: what a thread says of itself. Threads: each for itself. */
#pragma once
#include <stdbool.h>

/* The name that top, ps and debuggers show; at most 15 characters. */
void thread_name(const char *name);
/* true: this thread runs where a core has nothing else to do: work that can wait takes none from who is waiting for an answer.
 * false: as every other. */
void thread_background(bool on);
