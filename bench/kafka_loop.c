/* kafka_loop: librdkafka's producer alone: prepared messages to a topic, again and again, with the settings that are given. Prints
 * JSON. The file: u32 messages, then for each: u32 headers and for each header name and value, then key and value; texts are a
 * u32 length and bytes; integers little-endian. */
#include "bench/measure.h"
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    const char *p;
    uint32_t n;
};
struct prepared {
    rd_kafka_headers_t *headers;
    struct text key, value;
};
struct messages {
    char *bytes;
    size_t n_bytes;
    struct prepared *list;
    uint32_t n;
};

static uint32_t take_u32(const char **at, const char *end)
{
    uint32_t v;
    if (end - *at < 4)
        die("the file of messages ends too early");
    memcpy(&v, *at, 4);
    *at += 4;
    return v;
}

static struct text take_text(const char **at, const char *end)
{
    struct text t = {.n = take_u32(at, end)};
    if ((size_t)(end - *at) < t.n)
        die("the file of messages ends too early");
    t.p = *at;
    *at += t.n;
    return t;
}

static void load(const char *path, struct messages *m)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        die("cannot read %s", path);
    long n = ftell(f);
    rewind(f);
    m->n_bytes = n > 0 ? (size_t)n : 0;
    m->bytes = malloc(m->n_bytes + 1);
    if (!m->bytes || fread(m->bytes, 1, m->n_bytes, f) != m->n_bytes)
        die("cannot read %s", path);
    fclose(f);
    const char *at = m->bytes, *end = at + m->n_bytes;
    m->n = take_u32(&at, end);
    m->list = calloc(m->n + 1, sizeof *m->list);
    for (uint32_t i = 0; m->list && i < m->n; i++) {
        uint32_t headers = take_u32(&at, end);
        m->list[i].headers = rd_kafka_headers_new(headers);
        for (uint32_t k = 0; k < headers; k++) {
            struct text name = take_text(&at, end), value = take_text(&at, end);
            (void)rd_kafka_header_add(m->list[i].headers, name.p, (ssize_t)name.n, value.p, (ssize_t)value.n);
        }
        m->list[i].key = take_text(&at, end);
        m->list[i].value = take_text(&at, end);
    }
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    uint64_t *delivered = opaque;
    (void)rk;
    errno = 0;
    if (m->err)
        die("a message came back: %s", rd_kafka_err2str(m->err));
    ++*delivered;
}

/* "name=value,name=value" */
static void set_all(rd_kafka_conf_t *conf, const char *settings)
{
    char words[512], *copy = strdup(settings), *rest = copy;
    for (char *one; copy && (one = strsep(&rest, ","));) {
        char *value = strchr(one, '=');
        errno = 0;
        if (!value)
            die("'%s' is no name=value", one);
        *value++ = 0;
        if (rd_kafka_conf_set(conf, one, value, words, sizeof words) != RD_KAFKA_CONF_OK)
            die("%s", words);
    }
    free(copy);
}

static rd_kafka_resp_err_t produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, const struct prepared *m)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_copy(m->headers);
    rd_kafka_resp_err_t why = rd_kafka_producev(rk, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                                RD_KAFKA_V_KEY(m->key.p, m->key.n),
                                                RD_KAFKA_V_VALUE((void *)(uintptr_t)m->value.p, m->value.n),
                                                RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (why)
        rd_kafka_headers_destroy(headers);
    return why;
}

int main(int argc, char **argv)
{
    const char *file = NULL, *topic_name = NULL, *settings = NULL;
    uint64_t count = 0, delivered = 0;
    const struct bench_option options[] = {
        {"messages", &file, NULL, NULL, "file of messages"},
        {"topic", &topic_name, NULL, NULL, "where they go"},
        {"settings", &settings, NULL, NULL, "librdkafka's, as name=value,name=value"},
        {"count", NULL, &count, NULL, "how many"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    bench_options(argc, argv, "librdkafka's producer alone", options);
    if (!file || !topic_name || !settings || !count) {
        fprintf(stderr, "kafka_loop: --messages, --topic, --settings and --count are needed (--help)\n");
        return 2;
    }
    struct messages m = {0};
    char words[512];
    load(file, &m);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set_all(conf, settings);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, &delivered);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, words, sizeof words);
    errno = 0;
    if (!rk || !m.n)
        die("%s", rk ? "no messages" : words);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, topic_name, NULL);
    uint64_t began = now_ns(), bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct prepared *one = &m.list[i % m.n];
        rd_kafka_resp_err_t why;
        while ((why = produce(rk, topic, one)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            rd_kafka_poll(rk, 100);
        if (why)
            die("%s", rd_kafka_err2str(why));
        bytes += one->value.n;
        rd_kafka_poll(rk, 0);
    }
    while (rd_kafka_outq_len(rk) > 0)
        (void)rd_kafka_flush(rk, 1000);
    double seconds = (double)(now_ns() - began) / 1e9;
    printf("{\"messages\": %llu, \"seconds\": %.4f, \"per_second\": %.1f, \"bytes_per_second\": %.0f, \"cpu_us_each\": %.3f}\n",
           (unsigned long long)delivered, seconds, (double)delivered / seconds, (double)bytes / seconds,
           (double)cpu_ns() / 1e3 / (double)delivered);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
    for (uint32_t i = 0; i < m.n; i++)
        rd_kafka_headers_destroy(m.list[i].headers);
    free(m.list);
    free(m.bytes);
    return delivered == count ? 0 : 1;
}
