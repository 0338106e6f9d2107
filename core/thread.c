#include "core/thread.h"
#include <pthread.h>
#include <sched.h>

void thread_name(const char *name)
{
    pthread_setname_np(pthread_self(), name);
}

void thread_background(bool on)
{
    /* On Linux a policy belongs to a thread. Where it is refused, the thread works on as before. */
    const struct sched_param none = {0};
    (void)sched_setscheduler(0, on ? SCHED_IDLE : SCHED_OTHER, &none);
}
