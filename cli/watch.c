#include "cli/watch.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wait.h"
#include "server/server.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOKS 4 /* within the time after which the manager acts: three signs may be missing */
#define STILL_US (UINT64_C(60) * 1000000) /* that time, where no manager names one */

struct watch {
    const struct notify *notify;
    const struct live *live;
    uint64_t every_us;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done; /* guarded by lock */
    unsigned missed; /* looks in a row that found something standing still; the thread's own */
    _Atomic(const char *) still; /* after LOOKS of them: what */
};

/* What stands still; NULL: all go on. Each of them is asked, since each compares with when it was last asked. */
static const char *standing_still(const struct live *live)
{
    const char *what = NULL;
    if (!server_moves(live->server))
        what = "a worker of the door";
    for (enum lane_id i = 0; i < LANE_COUNT; i++)
        if (!lane_moves(journal_lane(live->journal, i)))
            what = "a commit of the journal";
    if (!stager_moves(live->stager))
        what = "staging";
    return what;
}

static void describe(const struct live *live, char *out, size_t n)
{
    char why[1000];
    uint64_t since;
    if (lane_trouble(journal_lane(live->journal, LANE_EVENTS), why, sizeof why))
        snprintf(out, n, "deliveries are answered 503: %.800s", why);
    else if (stager_trouble(live->stager, why, sizeof why, &since))
        snprintf(out, n, "serving; staging does not get on: %.800s", why);
    else
        snprintf(out, n, "serving");
}

static void look(struct watch *w)
{
    static struct log_limit limit;
    char status[900];
    const char *what = standing_still(w->live);
    describe(w->live, status, sizeof status);
    w->missed = what ? w->missed + 1 : 0;
    atomic_store(&w->still, w->missed >= LOOKS ? what : NULL);
    if (!what)
        notify_works(w->notify, status);
    else if (w->missed > 1) /* once may be a commit that had just begun */
        log_limited(&limit, LOG_ERROR, "a part of the server stands still: a restart is asked for unless it goes on",
                    "what=\"%s\" after_s=%llu", what, (unsigned long long)(w->every_us * LOOKS / 1000000));
}

static void *run(void *arg)
{
    struct watch *w = arg;
    thread_name("watch");
    (void)standing_still(w->live); /* what the first look compares with */
    pthread_mutex_lock(&w->lock);
    while (!w->done) {
        struct timespec until = wait_until(w->every_us);
        while (!w->done && pthread_cond_timedwait(&w->ended, &w->lock, &until) == 0)
            ;
        if (w->done)
            break;
        pthread_mutex_unlock(&w->lock);
        look(w);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

bool watch_start(const struct notify *n, const struct live *live, struct watch **ret, struct err *err)
{
    uint64_t time_us = notify_watchdog_us(n);
    struct watch *w = mem_alloc(sizeof *w);
    *w = (struct watch){.notify = n, .live = live, .every_us = (time_us ? time_us : STILL_US) / LOOKS};
    pthread_mutex_init(&w->lock, NULL);
    wait_cond_init(&w->ended);
    if (thread_start(&w->thread, run, w)) {
        *ret = w;
        return true;
    }
    pthread_cond_destroy(&w->ended);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return err_set(err, ERR_NOMEM, "cannot start the thread of the watchdog");
}

const char *watch_still(const struct watch *w)
{
    return atomic_load(&((struct watch *)(uintptr_t)w)->still);
}

void watch_stop(struct watch **at)
{
    struct watch *w = *at;
    if (!w)
        return;
    *at = NULL;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->ended);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
