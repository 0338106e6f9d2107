#include "core/thread.h"
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE 10 /* about a tenth of a core beside one thread of the usual priority */

void thread_name(const char *name)
{
    pthread_setname_np(pthread_self(), name);
}

void thread_background(void)
{
    /* On Linux a priority belongs to a thread. Where it is refused, the thread works on as before. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}
