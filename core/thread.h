/* thread: how a thread begins, and what it says of itself. Threads: each for itself. */
#pragma once
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/* Starts run(ctx) in a thread that takes none of the signals that ask the process for something (SIGINT, SIGTERM, SIGHUP). They
 * are for the main thread, which waits for them or is interrupted by them, whatever the other threads do.
 * false: there is no thread. */
bool thread_start(pthread_t *ret, void *(*run)(void *), void *ctx);

/* From now on SIGINT and SIGTERM wait until this thread asks for them, by the set that it gets: sigwait, sigtimedwait. */
void thread_hold_signals(sigset_t *ret);

/* The name that top, ps and debuggers show; at most 15 characters. */
void thread_name(const char *name);
/* true: this thread runs where a core has nothing else to do: work that can wait takes none from who is waiting for an answer.
 * false: as every other. */
void thread_background(bool on);
