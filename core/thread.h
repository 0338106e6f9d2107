/* thread: what a thread says of itself. Threads: each for itself. */
#pragma once

/* The name that top, ps and debuggers show; at most 15 characters. */
void thread_name(const char *name);
/* From here on this thread gets what the others leave: work that can wait takes no core from who is waiting for an answer. */
void thread_background(void);
