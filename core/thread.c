#include "core/thread.h"
#include <sched.h>

bool thread_start(pthread_t *ret, void *(*run)(void *), void *ctx)
{
    sigset_t asked, before;
    sigemptyset(&asked);
    sigaddset(&asked, SIGINT);
    sigaddset(&asked, SIGTERM);
    sigaddset(&asked, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &asked, &before); /* the new thread inherits it */
    bool ok = pthread_create(ret, NULL, run, ctx) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

void thread_hold_signals(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGTERM);
    pthread_sigmask(SIG_BLOCK, ret, NULL);
}

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
