#include "cli/registration.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "webhooks/check.h"
#include <pthread.h>
#include <stdlib.h>

#define STEP_US UINT64_C(100000)
#define FIRST_US UINT64_C(5000000) /* after the start, or the interval where that is shorter */

struct registration_watch {
    const struct io *io;
    const struct live *live;
    pthread_t thread;
    atomic_bool stop;
};

static void check(struct registration_watch *w, struct instance *in, const struct source_config *s, struct state *state)
{
    static struct log_limit limit;
    struct err err = {0};
    struct managed m = {.config = in->config, .source = s, .io = w->io, .stop = &w->stop, .state = state};
    if (!managed_open(&m, &err) || !managed_check(&m, &err))
        if (!atomic_load(&w->stop))
            log_limited(&limit, LOG_WARN, "whether the endpoint is as it was registered could not be asked",
                        "source=%s error=\"%s\"", s->name, err.msg);
    managed_close(&m);
}

static bool is_managed(const struct source_config *s)
{
    return !s->webhook_off && s->manifest->webhook.managed;
}

static bool has_managed(const struct config *c)
{
    for (size_t i = 0; i < c->n_sources; i++)
        if (is_managed(&c->sources[i]))
            return true;
    return false;
}

/* *ret_every_us: as the configuration of now has it. */
static void check_all(struct registration_watch *w, bool ask, uint64_t *ret_every_us)
{
    static struct log_limit limit;
    struct instance in;
    struct state *state;
    struct err err = {0};
    if (!instance_open(&in, NULL, w->io, w->live, false, &err))
        return;
    *ret_every_us = in.config->alarms_check_us;
    ask = ask && has_managed(in.config);
    if (ask && !instance_state(&in, &state, &err))
        log_limited(&limit, LOG_WARN, "registrations could not be checked; tried again", "error=\"%s\"", err.msg);
    else if (ask)
        for (size_t i = 0; i < in.config->n_sources && !atomic_load(&w->stop); i++)
            if (is_managed(&in.config->sources[i]))
                check(w, &in, &in.config->sources[i], state);
    instance_close(&in);
}

static void *run(void *arg)
{
    struct registration_watch *w = arg;
    uint64_t every = 0, waited = 0;
    thread_name("registration");
    check_all(w, false, &every);
    uint64_t wait = every < FIRST_US ? every : FIRST_US;
    while (!atomic_load(&w->stop)) {
        w->io->world->sleep_us(w->io, STEP_US);
        waited += STEP_US;
        if (waited < wait || atomic_load(&w->stop))
            continue;
        check_all(w, true, &every);
        waited = 0;
        wait = every;
    }
    return NULL;
}

bool registration_start(const struct io *io, const struct live *live, struct registration_watch **ret, struct err *err)
{
    struct registration_watch *w = mem_alloc(sizeof *w);
    w->io = io;
    w->live = live;
    if (thread_start(&w->thread, run, w)) {
        *ret = w;
        return true;
    }
    free(w);
    return err_set(err, ERR_NOMEM, "cannot start the thread that checks registrations");
}

void registration_stop(struct registration_watch **at)
{
    struct registration_watch *w = *at;
    if (!w)
        return;
    *at = NULL;
    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    free(w);
}
