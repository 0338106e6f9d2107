/* librdkafka's producer, its callbacks, and the thread that takes them. */
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "staging/kafka/internal.h"
#include <stdlib.h>

#define POLL_MS 100
#define REPORTS 256

/* Deliveries that this thread was told of and has not counted: one turn of the lock for many. */
static _Thread_local struct {
    uint64_t tags[REPORTS];
    unsigned n;
} told;

static void count_delivered_locked(struct kafka_sink *s, uint64_t tag)
{
    enum track_id t = tag_track(tag);
    s->delivered++;
    if (flight_delivered(&s->flights[t], tag_id(tag)))
        track_moved_locked(s, t);
    if (s->in_trouble && !s->failed.n) {
        s->in_trouble = false;
        s->reason[0] = 0;
    }
}

static void settle_told(struct kafka_sink *s)
{
    if (!told.n)
        return;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < told.n; i++)
        count_delivered_locked(s, told.tags[i]);
    pthread_mutex_unlock(&s->lock);
    told.n = 0;
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_sink *s = opaque;
    (void)rk;
    if (!s->transactions && !m->err) {
        told.tags[told.n++] = (uint64_t)(uintptr_t)m->_private;
        if (told.n == REPORTS)
            settle_told(s);
        return;
    }
    pthread_mutex_lock(&s->lock);
    if (s->transactions) {
        s->delivered += !m->err;
        if (m->err && !s->txn_error)
            s->txn_error = m->err;
        if (m->err)
            trouble_of_message_locked(s, m->err, rd_kafka_topic_name(m->rkt));
    } else {
        failed_add_locked(s, m);
        trouble_of_message_locked(s, m->err, rd_kafka_topic_name(m->rkt));
    }
    pthread_mutex_unlock(&s->lock);
}

static void on_error(rd_kafka_t *rk, int why, const char *reason, void *opaque)
{
    struct kafka_sink *s = opaque;
    char words[512];
    if (why == RD_KAFKA_RESP_ERR__FATAL) {
        why = rd_kafka_fatal_error(rk, words, sizeof words);
        reason = words;
        atomic_store(&s->fatal, true);
    }
    trouble_of_error(s, (rd_kafka_resp_err_t)why, reason);
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *words)
{
    (void)rk;
    log_debug("librdkafka", "level=%d facility=%s words=\"%s\"", level, facility, words);
}

void producer_tell(struct kafka_sink *s)
{
    pthread_mutex_lock(&s->telling);
    pthread_mutex_lock(&s->lock);
    bool moved = s->events_moved;
    uint64_t next = atomic_load(&s->positions[TRACK_EVENTS]);
    s->events_moved = false;
    pthread_mutex_unlock(&s->lock);
    if (moved && s->listener.delivered)
        s->listener.delivered(s->listener.ctx, next);
    pthread_mutex_unlock(&s->telling);
}

static void *poll_reports(void *arg)
{
    struct kafka_sink *s = arg;
    struct producer *p = s->producer;
    thread_name("kafka-reports");
    while (!atomic_load(&p->stop)) {
        int n = rd_kafka_poll(p->rk, POLL_MS);
        settle_told(s);
        if (n > 0)
            pthread_cond_broadcast(&s->moved);
        producer_tell(s);
    }
    return NULL;
}

bool producer_open(struct kafka_sink *s, struct err *err)
{
    rd_kafka_conf_t *conf;
    char words[512];
    const char *id = s->transactions ? journal_node(s->o.journal) : NULL;
    if (!settings_make(s->o.config, id, &conf, err))
        return false;
    rd_kafka_conf_set_opaque(conf, s);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    atomic_store(&s->fatal, false);
    struct producer *p = mem_alloc(sizeof *p);
    p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, words, sizeof words);
    if (!p->rk) {
        rd_kafka_conf_destroy(conf);
        free(p);
        return err_set(err, ERR_CONFIG, "librdkafka says: %s", words);
    }
    s->producer = p;
    if (thread_start(&p->poller, poll_reports, s))
        return true;
    rd_kafka_destroy(p->rk);
    free(p);
    s->producer = NULL;
    return err_set(err, ERR_NOMEM, "cannot start a thread");
}

void producer_flush(struct kafka_sink *s, int wait_ms)
{
    (void)rd_kafka_flush(s->producer->rk, wait_ms);
    settle_told(s);
}

void producer_forget(struct producer *p)
{
    for (size_t i = 0; i < p->n_topics; i++)
        rd_kafka_topic_destroy(p->topics[i].handle);
    p->n_topics = p->last_topic = 0;
}

void producer_close(struct kafka_sink *s, int wait_ms)
{
    struct producer *p = s->producer;
    if (!p)
        return;
    if (wait_ms)
        producer_flush(s, wait_ms);
    /* What is left is told to the poller as purged, before it ends. */
    (void)rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    for (int i = 0; i < 50 && rd_kafka_outq_len(p->rk) > 0; i++)
        producer_flush(s, POLL_MS);
    atomic_store(&p->stop, true);
    pthread_join(p->poller, NULL);
    producer_forget(p);
    rd_kafka_destroy(p->rk);
    free(p->topics);
    free(p);
    s->producer = NULL;
}

rd_kafka_topic_t *producer_topic(struct kafka_sink *s, const struct source_config *source, const struct row *row)
{
    struct producer *p = s->producer;
    for (size_t k = 0; k < p->n_topics; k++) {
        size_t i = (p->last_topic + k) % p->n_topics;
        if (p->topics[i].source == source && p->topics[i].table == row->table.p) {
            p->last_topic = i;
            return p->topics[i].handle;
        }
    }
    buf_clear(&s->topic);
    config_kafka_topic(&s->topic, s->o.config->kafka.topic, source->name, row->table.p);
    rd_kafka_topic_t *t = buf_ok(&s->topic) ? rd_kafka_topic_new(p->rk, buf_z(&s->topic), NULL) : NULL;
    if (!t)
        return NULL;
    p->topics = mem_grow(p->topics, (p->n_topics + 1) * sizeof *p->topics);
    p->last_topic = p->n_topics;
    p->topics[p->n_topics++] = (struct topic){.source = source, .table = row->table.p, .handle = t};
    return t;
}
