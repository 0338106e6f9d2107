/* c11_threads: librdkafka's threads and locks as pthreads, which ThreadSanitizer knows; those of C11 it does not. Only in its
 * builds, and only in the program that includes this. Threads: any. */
#pragma once
#if defined(__SANITIZE_THREAD__)
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t) && sizeof(cnd_t) >= sizeof(pthread_cond_t), "one fits into the other");

/* librdkafka's counts of references are atomics that are not instrumented: what they order is not seen. */
const char *__tsan_default_suppressions(void)
{
    return "race_top:pthread_rwlock_destroy\nrace_top:pthread_mutex_destroy\n";
}

struct c11_start {
    thrd_start_t run;
    void *arg;
};

static void *c11_run(void *arg)
{
    struct c11_start start = *(struct c11_start *)arg;
    free(arg);
    return (void *)(intptr_t)start.run(start.arg);
}

int thrd_create(thrd_t *ret, thrd_start_t run, void *arg)
{
    struct c11_start *start = malloc(sizeof *start);
    *start = (struct c11_start){run, arg};
    return pthread_create(ret, NULL, c11_run, start) == 0 ? thrd_success : thrd_error;
}

int thrd_join(thrd_t thread, int *ret)
{
    void *result;
    int rc = pthread_join(thread, &result);
    if (ret)
        *ret = (int)(intptr_t)result;
    return rc == 0 ? thrd_success : thrd_error;
}

int thrd_detach(thrd_t thread)
{
    return pthread_detach(thread) == 0 ? thrd_success : thrd_error;
}

int mtx_init(mtx_t *m, int type)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    return pthread_mutex_init((pthread_mutex_t *)(void *)m, &a) == 0 ? thrd_success : thrd_error;
}

void mtx_destroy(mtx_t *m)
{
    pthread_mutex_destroy((pthread_mutex_t *)(void *)m);
}

int mtx_lock(mtx_t *m)
{
    return pthread_mutex_lock((pthread_mutex_t *)(void *)m) == 0 ? thrd_success : thrd_error;
}

int mtx_trylock(mtx_t *m)
{
    int rc = pthread_mutex_trylock((pthread_mutex_t *)(void *)m);
    return rc == 0 ? thrd_success : rc == EBUSY ? thrd_busy : thrd_error;
}

int mtx_unlock(mtx_t *m)
{
    return pthread_mutex_unlock((pthread_mutex_t *)(void *)m) == 0 ? thrd_success : thrd_error;
}

int cnd_init(cnd_t *c)
{
    return pthread_cond_init((pthread_cond_t *)(void *)c, NULL) == 0 ? thrd_success : thrd_error;
}

void cnd_destroy(cnd_t *c)
{
    pthread_cond_destroy((pthread_cond_t *)(void *)c);
}

int cnd_signal(cnd_t *c)
{
    return pthread_cond_signal((pthread_cond_t *)(void *)c) == 0 ? thrd_success : thrd_error;
}

int cnd_broadcast(cnd_t *c)
{
    return pthread_cond_broadcast((pthread_cond_t *)(void *)c) == 0 ? thrd_success : thrd_error;
}

int cnd_wait(cnd_t *c, mtx_t *m)
{
    return pthread_cond_wait((pthread_cond_t *)(void *)c, (pthread_mutex_t *)(void *)m) == 0 ? thrd_success : thrd_error;
}

int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until)
{
    int rc = pthread_cond_timedwait((pthread_cond_t *)(void *)c, (pthread_mutex_t *)(void *)m, until);
    return rc == 0 ? thrd_success : rc == ETIMEDOUT ? thrd_timedout : thrd_error;
}
#endif
