#include "cli/deadline.h"
#include "cli/command.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wait.h"
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct deadline {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct timespec until;
    uint64_t within_us;
    const char *what; /* guarded by lock */
    bool done;        /* guarded by lock */
};

static void *watch(void *arg)
{
    struct deadline *d = arg;
    int rc = 0;
    pthread_mutex_lock(&d->lock);
    while (!d->done && rc == 0)
        rc = pthread_cond_timedwait(&d->ended, &d->lock, &d->until);
    if (!d->done) {
        log_error("the stop takes too long and is given up; the next start goes on from there",
                  "after_ms=%llu waited_for=\"%s\"", (unsigned long long)(d->within_us / 1000), d->what);
        /* As after kill -9, nothing acknowledged is lost: a delivery is answered 2xx only behind the fdatasync of its entry, and
         * staging and merge go on from positions that are committed together with what they describe. */
        _exit(EXIT_FAILED);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

struct deadline *deadline_start(uint64_t within_us)
{
    struct deadline *d = mem_alloc(sizeof *d);
    *d = (struct deadline){.until = wait_until(within_us), .within_us = within_us, .what = "the parts"};
    pthread_mutex_init(&d->lock, NULL);
    wait_cond_init(&d->ended);
    if (thread_start(&d->thread, watch, d))
        return d;
    log_warn("no thread watches the stop: it takes as long as it takes", "within_ms=%llu",
             (unsigned long long)(within_us / 1000));
    pthread_cond_destroy(&d->ended);
    pthread_mutex_destroy(&d->lock);
    free(d);
    return NULL;
}

void deadline_step(struct deadline *d, const char *what)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    d->what = what;
    pthread_mutex_unlock(&d->lock);
}

void deadline_end(struct deadline **at)
{
    struct deadline *d = *at;
    if (!d)
        return;
    *at = NULL;
    pthread_mutex_lock(&d->lock);
    d->done = true;
    pthread_cond_signal(&d->ended);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    pthread_cond_destroy(&d->ended);
    pthread_mutex_destroy(&d->lock);
    free(d);
}
