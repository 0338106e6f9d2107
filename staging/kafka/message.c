/* One row as a message. */
#include "core/clock.h"
#include "core/wait.h"
#include "staging/kafka/internal.h"
#include <stdio.h>

#define WAIT_US (UINT64_C(100) * 1000)
#define HEADERS 20

/* {"source":"stripe","account":"acct_1","table":"charges","key":{"id":"ch_1"}}: the same bytes for the same key. */
static void make_key(struct buf *out, const struct row *row)
{
    buf_clear(out);
    buf_addz(out, "{\"source\":\"");
    buf_adds(out, row->source);
    if (row->account.n) {
        buf_addz(out, "\",\"account\":");
        json_write_string(out, row->account);
        buf_addz(out, ",\"table\":\"");
    } else {
        buf_addz(out, "\",\"table\":\"");
    }
    buf_adds(out, row->table);
    buf_addz(out, "\",\"key\":");
    buf_adds(out, row->key);
    buf_addc(out, '}');
}

static bool add(rd_kafka_headers_t *h, const char *name, struct span value)
{
    return !value.n || rd_kafka_header_add(h, name, -1, value.p, (ssize_t)value.n) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static struct span op_of(const struct row *row)
{
    return row->op == ROW_DELETE ? SPAN_LIT("delete") : SPAN_LIT("upsert");
}

static bool add_ours(rd_kafka_headers_t *h, const struct row *row)
{
    static const char *const origins[] = {"webhook", "backfill", "replay"};
    return add(h, "format", SPAN_LIT("1")) && add(h, "source", row->source) && add(h, "account", row->account) &&
           add(h, "table", row->table) && add(h, "op", op_of(row)) && add(h, "version", row->version) &&
           add(h, "origin", span_of(origins[row->origin])) && add(h, "event_id", row->event_id) &&
           add(h, "event_type", row->event_type) && add(h, "entry", row->entry);
}

/* CloudEvents 1.0, Kafka's binary mode. An entry's rows differ by their number. */
static bool add_cloudevents(rd_kafka_headers_t *h, const struct row *row, uint32_t item, struct span key)
{
    char id[ENTRY_ID_MAX + 16], source[80], type[256], at[CLOCK_TEXT_MAX];
    int n = snprintf(id, sizeof id, "%.*s/%u", SPAN_ARG(row->entry), item);
    struct span op = op_of(row);
    int m = snprintf(type, sizeof type, "sluice.%.*s.%.*s.%.*s", SPAN_ARG(row->source), SPAN_ARG(row->table), SPAN_ARG(op));
    (void)snprintf(source, sizeof source, "/sluice/%.*s", SPAN_ARG(row->source));
    clock_iso_us(row->observed_us, at);
    return n > 0 && m > 0 && add(h, "content-type", SPAN_LIT("application/json")) && add(h, "ce_specversion", SPAN_LIT("1.0")) &&
           add(h, "ce_id", span_of(id)) && add(h, "ce_source", span_of(source)) && add(h, "ce_type", span_of(type)) &&
           add(h, "ce_time", span_of(at)) && add(h, "ce_subject", row->table) && add(h, "ce_partitionkey", key);
}

bool message_make(struct kafka_sink *s, const struct row *row, uint32_t item, struct message *ret, struct err *err)
{
    make_key(&s->key, row);
    buf_clear(&s->value);
    row_write(&s->value, row);
    rd_kafka_headers_t *h = rd_kafka_headers_new(HEADERS);
    bool ok = buf_ok(&s->key) && buf_ok(&s->value) && h && add_ours(h, row);
    if (ok && s->o.config->kafka.cloudevents)
        ok = add_cloudevents(h, row, item, buf_span(&s->key));
    if (!ok) {
        if (h)
            rd_kafka_headers_destroy(h);
        return err_set(err, ERR_NOMEM, "out of memory for a message of %zu bytes", row->row.n);
    }
    *ret = (struct message){.key = buf_span(&s->key), .value = {s->value.p, s->value.n - 1}, .headers = h};
    return true;
}

static rd_kafka_resp_err_t produce(struct kafka_sink *s, const struct message *m)
{
    rd_kafka_vu_t parts[6];
    parts[0].vtype = RD_KAFKA_VTYPE_RKT;
    parts[0].u.rkt = m->topic;
    parts[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    parts[1].u.i = RD_KAFKA_MSG_F_COPY;
    parts[2].vtype = RD_KAFKA_VTYPE_KEY;
    parts[2].u.mem.ptr = (void *)(uintptr_t)m->key.p;
    parts[2].u.mem.size = m->key.n;
    parts[3].vtype = RD_KAFKA_VTYPE_VALUE;
    parts[3].u.mem.ptr = (void *)(uintptr_t)m->value.p;
    parts[3].u.mem.size = m->value.n;
    parts[4].vtype = RD_KAFKA_VTYPE_HEADERS;
    parts[4].u.headers = m->headers;
    parts[5].vtype = RD_KAFKA_VTYPE_OPAQUE;
    parts[5].u.ptr = (void *)(uintptr_t)m->tag;
    rd_kafka_error_t *error = rd_kafka_produceva(s->producer->rk, parts, 6);
    if (!error)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t why = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    return why;
}

rd_kafka_resp_err_t message_produce(struct kafka_sink *s, const struct message *m)
{
    for (;;) {
        rd_kafka_resp_err_t why = produce(s, m);
        if (why != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return why;
        if (atomic_load(&s->stop))
            return RD_KAFKA_RESP_ERR__IN_PROGRESS;
        if (!rd_kafka_outq_len(s->producer->rk))
            trouble_set(s, "a message of %zu bytes does not fit queue.buffering.max.kbytes of staging.kafka.properties: raise "
                        "it, then restart", m->value.n);
        struct timespec until = wait_until(WAIT_US);
        pthread_mutex_lock(&s->lock);
        (void)pthread_cond_timedwait(&s->moved, &s->lock, &until);
        pthread_mutex_unlock(&s->lock);
    }
}
