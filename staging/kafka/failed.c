/* Messages that came back: kept, sent again in their order, or buried. */
#include "core/mem.h"
#include "staging/kafka/internal.h"
#include <stdio.h>
#include <stdlib.h>

#define FLUSH_MS 100
#define AGAIN_MIN_US (UINT64_C(200) * 1000)
#define AGAIN_MAX_US (UINT64_C(5) * 1000000)

void failed_free(struct failed **fp)
{
    struct failed *f = *fp;
    if (!f)
        return;
    if (f->headers)
        rd_kafka_headers_destroy(f->headers);
    free(f->topic);
    free(f->bytes);
    free(f);
    *fp = NULL;
}

void failed_add_locked(struct kafka_sink *s, const rd_kafka_message_t *m)
{
    struct failed *f = mem_alloc(sizeof *f);
    f->topic = mem_dup(rd_kafka_topic_name(m->rkt));
    f->key_n = m->key_len;
    f->value_n = m->len;
    f->bytes = mem_alloc(m->key_len + m->len + 1);
    memcpy(f->bytes, m->key, m->key_len);
    memcpy(f->bytes + m->key_len, m->payload, m->len);
    f->tag = (uint64_t)(uintptr_t)m->_private;
    f->why = m->err;
    (void)rd_kafka_message_detach_headers((rd_kafka_message_t *)(uintptr_t)m, &f->headers);
    *s->failed.tail = f;
    s->failed.tail = &f->next;
    s->failed.n++;
}

bool failed_any(struct kafka_sink *s)
{
    pthread_mutex_lock(&s->lock);
    bool any = s->failed.n > 0;
    pthread_mutex_unlock(&s->lock);
    return any;
}

static struct failed *take_all(struct kafka_sink *s)
{
    pthread_mutex_lock(&s->lock);
    struct failed *list = s->failed.head;
    s->failed = (struct failed_list){.tail = &s->failed.head};
    pthread_mutex_unlock(&s->lock);
    return list;
}

/* Back at the front, in order: what was not sent again. */
static void put_back(struct kafka_sink *s, struct failed *list)
{
    struct failed **end = &list;
    size_t n = 0;
    for (; *end; end = &(*end)->next)
        n++;
    if (!n)
        return;
    pthread_mutex_lock(&s->lock);
    *end = s->failed.head;
    if (!s->failed.n)
        s->failed.tail = end;
    s->failed.head = list;
    s->failed.n += n;
    pthread_mutex_unlock(&s->lock);
}

static rd_kafka_resp_err_t produce_again(struct kafka_sink *s, struct failed *f)
{
    struct message m = {.key = {f->bytes, f->key_n}, .value = {f->bytes + f->key_n, f->value_n}, .headers = f->headers,
                        .tag = f->tag};
    m.topic = rd_kafka_topic_new(s->producer->rk, f->topic, NULL);
    if (!m.topic)
        return rd_kafka_last_error();
    rd_kafka_resp_err_t why = message_produce(s, &m);
    rd_kafka_topic_destroy(m.topic);
    if (why == RD_KAFKA_RESP_ERR_NO_ERROR)
        f->headers = NULL;
    return why;
}

static struct span header(const rd_kafka_headers_t *h, const char *name)
{
    const void *value;
    size_t n;
    if (!h || rd_kafka_header_get_last(h, name, &value, &n) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return (struct span){"", 0};
    return (struct span){value, n};
}

bool failed_bury(struct kafka_sink *s, const struct row *row, const char *topic, size_t bytes, uint32_t item, const char *words,
                 struct err *err)
{
    char reason[512];
    (void)snprintf(reason, sizeof reason,
                   "kafka: a message of %zu bytes is too large for the topic %s (%s); raise max.message.bytes of the topic and "
                   "message.max.bytes in staging.kafka.properties, then: sluice dead retry", bytes, topic, words);
    struct dead_letter d = {.source = row->source, .table = row->table, .entry = row->entry, .reason = span_of(reason),
                            .item = item, .at_us = s->o.io->world->now_us(s->o.io), .sink = SPAN_LIT(SINK_KAFKA)};
    return sink_dead(&s->state, &d, err);
}

static void count_gone(struct kafka_sink *s, uint64_t tag)
{
    enum track_id t = tag_track(tag);
    pthread_mutex_lock(&s->lock);
    if (flight_delivered(&s->flights[t], tag_id(tag)))
        track_moved_locked(s, t);
    pthread_mutex_unlock(&s->lock);
}

/* A batch is refused as a whole: only a message that is refused alone is too large itself. */
static bool send_alone(struct kafka_sink *s, struct failed *f, bool *ret_sent, struct err *err)
{
    rd_kafka_resp_err_t why = produce_again(s, f);
    while (why == RD_KAFKA_RESP_ERR_NO_ERROR && rd_kafka_outq_len(s->producer->rk) > 0 && !atomic_load(&s->stop) &&
           !atomic_load(&s->fatal))
        producer_flush(s, FLUSH_MS);
    bool large = why == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    struct failed *back = NULL;
    if (why == RD_KAFKA_RESP_ERR_NO_ERROR) {
        pthread_mutex_lock(&s->lock);
        back = s->failed.head;
        large = back && back->why == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && back->tag == f->tag;
        pthread_mutex_unlock(&s->lock);
        back = large ? take_all(s) : NULL; /* it was alone */
    }
    *ret_sent = why == RD_KAFKA_RESP_ERR_NO_ERROR || large;
    if (!large)
        return true;
    const rd_kafka_headers_t *h = back ? back->headers : f->headers;
    const struct row row = {.source = header(h, "source"), .table = header(h, "table"), .entry = header(h, "entry")};
    bool ok = failed_bury(s, &row, f->topic, f->key_n + f->value_n, tag_item(f->tag),
                          rd_kafka_err2str(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), err);
    if (ok)
        count_gone(s, f->tag);
    else if (back)
        put_back(s, back);
    else
        *ret_sent = false;
    if (ok)
        failed_free(&back);
    return ok;
}

static bool send_list(struct kafka_sink *s, struct failed **list, struct err *err)
{
    while (*list && !atomic_load(&s->stop) && !atomic_load(&s->fatal)) {
        struct failed *f = *list, *next = f->next;
        bool sent = true, ok = true;
        if (f->why == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
            ok = send_alone(s, f, &sent, err);
        else
            sent = produce_again(s, f) == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (sent) {
            *list = next;
            failed_free(&f);
        }
        if (!ok || !sent)
            return ok;
    }
    return true;
}

bool failed_resend(struct kafka_sink *s, bool *ret_worked, struct err *err)
{
    uint64_t now = sink_monotonic(s);
    *ret_worked = false;
    if (rd_kafka_outq_len(s->producer->rk) > 0) {
        s->retry_us = 0; /* the wait begins when all have come back */
        return true;
    }
    if (!s->retry_us) {
        uint64_t wait = AGAIN_MIN_US << (s->failures < 5 ? s->failures : 5);
        pthread_mutex_lock(&s->lock);
        bool at_once = s->failed.head && (s->failed.head->why == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
                                          s->failed.head->why == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
                                          s->failed.head->why == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT);
        pthread_mutex_unlock(&s->lock);
        s->failures++;
        s->retry_us = now + (at_once ? 0 : wait < AGAIN_MAX_US ? wait : AGAIN_MAX_US);
    }
    if (now < s->retry_us)
        return true;
    s->retry_us = 0;
    struct failed *list = take_all(s);
    bool ok = send_list(s, &list, err);
    put_back(s, list);
    *ret_worked = true;
    return ok;
}
