/* wait: timed waits on condition variables by the monotonic clock: whoever sets the wall clock moves no deadline. */
#pragma once
#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* A condition variable whose timed waits end at what wait_until says. */
void wait_cond_init(pthread_cond_t *cond);
/* The moment `us` from now. */
struct timespec wait_until(uint64_t us);
