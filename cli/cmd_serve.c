/* serve: opens the data directory, starts the parts in the order in which they lean on each other, waits for a signal,
 * and stops them in reverse. Threads: main (here), the journal's two committers, limits.threads HTTP workers, the books'
 * flusher, the stager, the Kafka sink's two and librdkafka's, the merger, the scheduler of pulls, the command socket's, the admin
 * listener's two, the one of alarms, one that watches the configuration's files, and one that watches the stop.
 * The admin listener is there before deliveries are taken and until everything else is gone. */
#include "cli/admin.h"
#include "cli/certificate.h"
#include "cli/deadline.h"
#include "cli/drain.h"
#include "cli/files.h"
#include "cli/lookout.h"
#include "cli/registry.h"
#include "cli/registration.h"
#include "cli/reload.h"
#include "cli/remote.h"
#include "cli/schedule.h"
#include "cli/watch.h"
#include "core/log.h"
#include "core/thread.h"
#include "merge/merge.h"
#include "server/server.h"
#include "staging/kafka_sink.h"
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct parts {
    struct instance *in;
    struct live live;
    struct admin *admin;
    struct notify *notify;
    struct watch *watch;
    struct registration_watch *registration;
    struct drain drain;
    struct remote *remote;
    pthread_t stager_thread, merger_thread, kafka_thread;
    bool stager_runs, merger_runs, kafka_runs;
    pthread_mutex_t acked_lock;
    struct server *acked; /* whose answers wait for Kafka; guarded by acked_lock */
};

static void *stage(void *stager)
{
    thread_name("stager");
    stager_run(stager);
    return NULL;
}

static void *merge(void *merger)
{
    thread_name("merger");
    thread_background(true);
    merger_run(merger);
    return NULL;
}

static void *send_to_kafka(void *sink)
{
    thread_name("kafka-sink");
    kafka_sink_run(sink);
    return NULL;
}

/* ---- ack: kafka ---- */

static void tell_server(void *ctx, uint64_t next)
{
    struct parts *p = ctx;
    (void)next; /* the server asks for the position itself */
    pthread_mutex_lock(&p->acked_lock);
    if (p->acked)
        server_delivered(p->acked);
    pthread_mutex_unlock(&p->acked_lock);
}

static uint64_t delivered_upto(void *sink)
{
    return kafka_sink_position(sink, LANE_EVENTS);
}

static bool kafka_is_down(void *sink)
{
    char words[8];
    uint64_t since;
    return kafka_sink_trouble(sink, words, sizeof words, &since);
}

static void set_acked(struct parts *p, struct server *s)
{
    pthread_mutex_lock(&p->acked_lock);
    p->acked = s;
    pthread_mutex_unlock(&p->acked_lock);
}

static bool start_server(struct parts *p, struct err *err)
{
    struct instance *in = p->in;
    const struct server_ack ack = {delivered_upto, kafka_is_down, p->live.kafka};
    struct server_opts so = {.config = in->config,
                             .journal = in->journal,
                             .data_dir = in->config->data_dir,
                             .io = in->io,
                             .ack = in->config->ack_kafka ? &ack : NULL};
    if (!server_start(&so, &p->live.server, err))
        return false;
    set_acked(p, p->live.server);
    return true;
}

/* ---- the parts ---- */

static bool start_kafka(struct parts *p, struct err *err)
{
    struct instance *in = p->in;
    struct kafka_sink_opts o = {.config = in->config, .journal = in->journal, .data_dir = in->config->data_dir, .io = in->io};
    if (!in->config->kafka.brokers)
        return true;
    if (!kafka_settings_check(in->config, err) || !kafka_sink_new(&o, &p->live.kafka, err))
        return false;
    if (in->config->ack_kafka)
        kafka_sink_listen(p->live.kafka, &(struct kafka_listener){tell_server, p});
    p->kafka_runs = thread_start(&p->kafka_thread, send_to_kafka, p->live.kafka);
    return p->kafka_runs || err_set(err, ERR_NOMEM, "cannot start a thread");
}

static void wake_merger(void *ctx)
{
    const struct live *live = ctx;
    if (live->merger)
        merger_wake(live->merger);
}

static bool staging_is_busy(void *ctx)
{
    return stager_is_busy(ctx);
}

static bool start_consumers(struct parts *p, struct err *err)
{
    struct instance *in = p->in;
    struct store *store;
    if (!instance_store(in, &store, err))
        return false;
    struct stager_opts so = {.config = in->config,
                             .journal = in->journal,
                             .store = store,
                             .data_dir = in->config->data_dir,
                             .io = in->io,
                             .published = wake_merger,
                             .published_ctx = &p->live};
    if (!stager_new(&so, &p->live.stager, err))
        return false;
    struct merger_opts mo = {.config = in->config,
                             .store = store,
                             .io = in->io,
                             .data_dir = in->config->data_dir,
                             .gives_way = staging_is_busy,
                             .gives_way_ctx = p->live.stager};
    if (in->config->merge_db && !merger_new(&mo, &p->live.merger, err))
        return false;
    p->stager_runs = thread_start(&p->stager_thread, stage, p->live.stager);
    p->merger_runs = p->live.merger && thread_start(&p->merger_thread, merge, p->live.merger);
    if (!p->stager_runs || (p->live.merger && !p->merger_runs))
        return err_set(err, ERR_NOMEM, "cannot start a thread");
    return start_kafka(p, err);
}

static bool start(struct parts *p, struct err *err)
{
    struct instance *in = p->in;
    struct state *state;
    notify_status(p->notify, "starting: the journal is being recovered");
    if (!admin_start(in->config, in->io, &p->admin, err))
        return false;
    if (p->admin)
        log_info("metrics and health are served", "address=%s:%u token=%s", in->config->admin.host, admin_port(p->admin),
                 in->config->admin_token.at ? "yes" : "none");
    if (!instance_journal(in, &p->live.journal, err) || !instance_state(in, &state, err) || !start_consumers(p, err))
        return false;
    if (!start_server(p, err))
        return false;
    p->live.started_us = in->io->world->now_us(in->io);
    p->drain.admin = p->admin;
    p->live.drain = &p->drain;
    if (!schedule_start(in->io, &p->live, &p->live.schedule, err) || !lookout_start(in->io, &p->live, &p->live.lookout, err) ||
        !registration_start(in->io, &p->live, &p->registration, err) ||
        !remote_listen(in->config, in->io, &p->live, &p->remote, err) || !reload_start(p->live.reload, &p->live, err))
        return false;
    admin_ready(p->admin, &p->live);
    if (!watch_start(p->notify, &p->live, &p->watch, err))
        return false;
    admin_watch(p->admin, p->watch);
    return true;
}

static void stop(struct parts *p, struct deadline *deadline)
{
    notify_stopping(p->notify, "stopping");
    admin_drain(p->admin); /* first: whoever asks /readyz sends elsewhere while deliveries are still taken */
    admin_watch(p->admin, NULL);
    watch_stop(&p->watch); /* a manager that was told of the stop waits by another time */
    deadline_step(deadline, "a scheduled pull's page");
    schedule_stop(p->live.schedule);
    deadline_step(deadline, "the last look at alarms");
    lookout_stop(p->live.lookout);
    deadline_step(deadline, "a question to a provider");
    registration_stop(&p->registration);
    deadline_step(deadline, "running commands");
    reload_stop(p->live.reload);
    remote_close(&p->remote); /* its commands look at the other parts */
    deadline_step(deadline, "requests in flight");
    server_drain(p->live.server);
    deadline_step(deadline, "a scrape of the metrics");
    admin_detach(p->admin); /* it looks at the other parts, too */
    deadline_step(deadline, "the last of the books");
    set_acked(p, NULL);
    server_stop(&p->live.server);
    deadline_step(deadline, "staging, Kafka and merge");
    if (atomic_load(&p->drain.asked)) { /* a part of the time: what does not get on now is the next start's */
        p->in->live = &p->live;
        (void)drain_sinks(p->in, p->in->config->stop_us / 2, NULL);
        p->in->live = NULL;
    }
    if (p->live.stager)
        stager_stop(p->live.stager);
    if (p->live.merger)
        merger_stop(p->live.merger);
    if (p->live.kafka)
        kafka_sink_stop(p->live.kafka);
    if (p->stager_runs)
        pthread_join(p->stager_thread, NULL);
    if (p->merger_runs)
        pthread_join(p->merger_thread, NULL);
    if (p->kafka_runs)
        pthread_join(p->kafka_thread, NULL);
    kafka_sink_free(&p->live.kafka);
    stager_free(&p->live.stager);
    merger_free(&p->live.merger);
    schedule_free(&p->live.schedule);
    lookout_free(&p->live.lookout);
}

static void take_files(const struct config *c)
{
    uint64_t limit, needed;
    if (!files_raise(c, &limit, &needed))
        log_warn("the process may open too few files: connections beyond them are not taken; raise the hard limit (LimitNOFILE=, "
                 "ulimit -Hn), or set limits.connections lower",
                 "limit=%llu needed=%llu connections=%llu", (unsigned long long)limit, (unsigned long long)needed,
                 (unsigned long long)c->connections_max);
}

static void tell_start(const struct parts *p, const struct command_io *io)
{
    struct buf warnings;
    buf_init(&warnings, 1 << 16);
    server_warnings(p->live.server, &warnings);
    for (struct span rest = buf_span(&warnings); rest.n;) {
        struct span line = span_cut(rest, '\n', &rest);
        if (line.n)
            fprintf(io->err, "%s %.*s\n", glyph_warn(io), SPAN_ARG(line));
    }
    buf_release(&warnings);
    const struct config *c = p->in->config;
    char words[600];
    if (c->tls_cert && certificate_warning(c->tls_cert, p->live.started_us, words, sizeof words))
        log_warn("the certificate must be replaced; a new one is taken up without a restart", "what=\"%s\"", words);
    struct journal_stats stats;
    journal_stats(p->live.journal, &stats);
    if (stats.quarantined)
        log_warn("damage in the journal is quarantined", "places=%llu advice=\"sluice events check\"",
                 (unsigned long long)stats.quarantined);
    if (stats.torn_bytes)
        log_info("a torn tail was cut", "bytes=%llu", (unsigned long long)stats.torn_bytes);
    log_info("serving", "address=%s:%u tls=%s node=%s sources=%zu data=\"%s\"", c->listen.host, server_port(p->live.server),
             c->tls_cert ? "on" : "off", journal_node(p->live.journal), c->n_sources, c->data_dir);
}

/* Until one that asks for the end. */
static int follow_signals(const struct parts *p, const sigset_t *signals)
{
    int signal = SIGHUP;
    while (signal == SIGHUP) {
        struct reload_result what;
        struct err err = {0};
        sigwait(signals, &signal);
        if (signal != SIGHUP)
            break;
        notify_reloading(p->notify, p->in->io->world->monotonic_us(p->in->io));
        (void)reload_now(p->live.reload, &what, &err); /* it is told there */
        notify_ready(p->notify, "serving");
    }
    return signal;
}

int cmd_serve(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    int n;
    const char *none[1];
    if (!command_options(a, io, "serve", NULL, none, 0, 0, &n))
        return EXIT_USAGE;
    reload_log(in->config);
    sigset_t signals;
    thread_hold_signals(&signals); /* the parts' threads take none, libraries' inherit this mask */
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    struct err err = {0};
    struct instance own;
    int running = remote_connect(in->config->data_dir);
    if (running >= 0) {
        close(running);
        fprintf(io->err, "sluice: a server already runs on %s; `sluice status` shows it\n", in->config->data_dir);
        return EXIT_USAGE;
    }
    struct parts p = {.in = &own, .acked_lock = PTHREAD_MUTEX_INITIALIZER};
    p.live.reload = reload_new(in->config, in->io);
    take_files(in->config);
    bool ok = notify_open(&p.notify, &err) && instance_open(&own, in->config, in->io, NULL, true, &err) && start(&p, &err);
    int code = EXIT_DONE;
    if (ok) {
        tell_start(&p, io);
        notify_ready(p.notify, "serving");
        malloc_trim(0); /* what reading the configuration and the manifests took */
        log_info("stopping", "signal=%s", follow_signals(&p, &signals) == SIGINT ? "INT" : "TERM");
    } else {
        code = command_fail(io, &err);
    }
    struct deadline *deadline = ok ? deadline_start(in->config->drain_us + in->config->stop_us) : NULL;
    stop(&p, deadline);
    deadline_step(deadline, "the journal's last commit");
    instance_close(&own);
    admin_stop(&p.admin);
    reload_free(&p.live.reload);
    deadline_end(&deadline);
    notify_close(&p.notify);
    if (ok)
        log_info("stopped", "node_data=\"%s\"", in->config->data_dir);
    return code;
}
