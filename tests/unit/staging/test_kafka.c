/* The Kafka sink over librdkafka's mock cluster: errors that a real broker can't be brought to make. tests/kafka/ has the rest. */
#include "c11_threads.h"
#include "staging/kafka_sink.h"
#include "staging/sinks.h"
#include "world.h"
#include <librdkafka/rdkafka.h>

#include <librdkafka/rdkafka_mock.h> /* after the other */
#include <pthread.h>
#include <stdatomic.h>

#define ENTRIES 90
#define PRODUCE 0 /* Kafka's request types */
#define PARTITIONS 3
#define BROKERS 3

static struct world w;
static rd_kafka_t *helper;
static rd_kafka_mock_cluster_t *cluster;
/* One request at a time: the mock cluster takes a batch out of its sequence, which no broker does, and librdkafka takes the answer to
 * a later batch for one to those before it. */
static struct kafka_property properties[] = {
    {.name = "retry.backoff.ms", .text = "10"}, {.name = "compression.type", .text = "none"}, {.name = "linger.ms", .text = "1"},
    {.name = "max.in.flight.requests.per.connection", .text = "1"}};

static void setup(void)
{
    char words[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    ck_assert_int_eq(rd_kafka_conf_set(conf, "log_level", "0", words, sizeof words), RD_KAFKA_CONF_OK);
    helper = rd_kafka_new(RD_KAFKA_PRODUCER, conf, words, sizeof words);
    ck_assert_msg(helper != NULL, "%s", words);
    cluster = rd_kafka_mock_cluster_new(helper, BROKERS);
    ck_assert_ptr_nonnull(cluster);
    ck_assert_int_eq(rd_kafka_mock_topic_create(cluster, "rows", PARTITIONS, BROKERS), RD_KAFKA_RESP_ERR_NO_ERROR);
    world_open(&w);
    w.config.kafka = (struct kafka_config){.brokers = rd_kafka_mock_cluster_bootstraps(cluster), .topic = "rows",
                                           .positions = "positions", .properties = properties, .n_properties = 4};
}

static void teardown(void)
{
    world_close(&w);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(helper);
}

struct running {
    struct kafka_sink *sink;
    pthread_t thread;
    atomic_uint_fast64_t told, calls;
    atomic_bool backwards;
};

static void told(void *ctx, uint64_t next)
{
    struct running *r = ctx;
    if (next <= atomic_load(&r->told))
        atomic_store(&r->backwards, true);
    atomic_store(&r->told, next);
    atomic_fetch_add(&r->calls, 1);
}

static void *run_sink(void *sink)
{
    kafka_sink_run(sink);
    return NULL;
}

static void start_with(struct running *r, const struct config *config)
{
    struct err err;
    struct kafka_sink_opts o = {.config = config, .journal = w.journal, .data_dir = w.dir.path, .io = io_posix()};
    struct kafka_listener listener = {told, r};
    *r = (struct running){0};
    ck_assert_msg(kafka_sink_new(&o, &r->sink, &err), "%s", err.msg);
    kafka_sink_listen(r->sink, &listener);
    ck_assert_int_eq(pthread_create(&r->thread, NULL, run_sink, r->sink), 0);
}

static void start(struct running *r)
{
    start_with(r, &w.config);
}

static void stop(struct running *r)
{
    kafka_sink_stop(r->sink);
    pthread_join(r->thread, NULL);
    kafka_sink_free(&r->sink);
}

static bool complete(const struct running *r)
{
    for (enum lane_id i = 0; i < LANE_COUNT; i++)
        if (kafka_sink_position(r->sink, i) != w.appended[i] + 1)
            return false;
    return true;
}

static void wait_complete(const struct running *r)
{
    char words[600] = "";
    uint64_t since;
    for (int i = 0; i < 6000 && !complete(r); i++)
        io_posix()->world->sleep_us(io_posix(), 10000);
    (void)kafka_sink_trouble(r->sink, words, sizeof words, &since);
    ck_assert_msg(complete(r), "events %llu of %llu, backfill %llu of %llu: %s", (unsigned long long)kafka_sink_position(r->sink, 0),
                  (unsigned long long)w.appended[0], (unsigned long long)kafka_sink_position(r->sink, 1),
                  (unsigned long long)w.appended[1], words);
}

/* A copy that ThreadSanitizer does not see: the message's buffer goes by a count of references inside librdkafka. */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread"), noinline))
#endif
static char *copy_unseen(const volatile char *p, size_t n)
{
    char *copy = malloc(n + 1);
    for (size_t i = 0; copy && i < n; i++)
        copy[i] = p[i];
    return copy;
}

/* Every value of the topic, as lines. */
static void consume(struct lines *ret)
{
    char words[512];
    int ends = 0;
    bool ended[PARTITIONS] = {false}; /* an end may be told again */
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    *ret = (struct lines){0};
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", w.config.kafka.brokers, words, sizeof words);
    (void)rd_kafka_conf_set(conf, "group.id", "test", words, sizeof words);
    (void)rd_kafka_conf_set(conf, "enable.partition.eof", "true", words, sizeof words);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, words, sizeof words);
    ck_assert_msg(rk != NULL, "%s", words);
    (void)rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(all, "rows", i)->offset = 0;
    ck_assert_int_eq(rd_kafka_assign(rk, all), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(all);
    for (int tries = 0; ends < PARTITIONS && tries < 100000; tries++) {
        struct err err;
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 1000);
        if (m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ends += !ended[m->partition];
            ended[m->partition] = true;
        } else if (m && !m->err) {
            char *copy = copy_unseen(m->payload, m->len);
            ck_assert(copy && lines_add(ret, (struct span){copy, m->len}, &err));
            free(copy);
        }
        if (m)
            rd_kafka_message_destroy(m);
    }
    ck_assert_int_eq(ends, PARTITIONS);
    (void)rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    lines_sort(ret);
}

/* What was sent, each line once, is what the transform gives; where `once`, nothing was sent twice. */
static void check_rows(bool once)
{
    struct lines expected = {0}, sent;
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        struct lines one;
        struct err err;
        world_expected(&w, i, 0, &one);
        for (size_t k = 0; k < one.n; k++)
            ck_assert(lines_add(&expected, span_of(one.p[k]), &err));
        lines_release(&one);
    }
    lines_sort(&expected);
    consume(&sent);
    ck_assert_msg(!once || sent.n == expected.n, "%zu rows expected, %zu sent", expected.n, sent.n);
    size_t n = 0;
    for (size_t i = 0; i < sent.n; i++) {
        if (n && strcmp(sent.p[i], sent.p[n - 1]) == 0)
            free(sent.p[i]);
        else
            sent.p[n++] = sent.p[i];
    }
    sent.n = n;
    ck_assert_msg(lines_equal(&expected, &sent), "%zu rows expected, %zu sent", expected.n, sent.n);
    lines_release(&expected);
    lines_release(&sent);
}

static void check_state(void)
{
    struct state state;
    struct err err;
    uint64_t next, dead;
    ck_assert(state_open(&state, w.dir.path, true, &err));
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        ck_assert(sink_position(&state, SINK_KAFKA, lane_name(i), &next, &err));
        ck_assert_uint_eq(next, w.appended[i] + 1);
    }
    ck_assert(state_dead_count(&state, (struct span){0}, &dead, &err));
    ck_assert_uint_eq(dead, 0); /* what cannot be transformed is the object sink's letter */
    state_close(&state);
}

START_TEST(all_rows_arrive_once)
{
    struct running r;
    for (unsigned i = 0; i < ENTRIES; i++)
        world_load(&w, i);
    start(&r);
    wait_complete(&r);
    world_load(&w, 0);
    wait_complete(&r);
    stop(&r);
    ck_assert_uint_eq(atomic_load(&r.told), w.appended[LANE_EVENTS] + 1);
    ck_assert(!atomic_load(&r.backwards));
    check_rows(true);
    check_state();
    start(&r); /* and no second time */
    wait_complete(&r);
    stop(&r);
    check_rows(true);
}
END_TEST

/* The source comes before its first entry, is offered again and again while entries come, goes, and comes back. */
START_TEST(a_source_that_comes_misses_nothing)
{
    struct running r;
    struct config without = w.config;
    without.n_sources = 0;
    start_with(&r, &without);
    kafka_sink_follow(r.sink, &w.config);
    for (unsigned i = 0; i < ENTRIES; i++) {
        world_load(&w, i);
        if (i % 7 == 3)
            kafka_sink_follow(r.sink, i % 2 ? &without : &w.config);
    }
    wait_complete(&r);
    stop(&r);
    check_rows(true);
    check_state();
    ck_assert_uint_eq(atomic_load(&w.config.holders), 0);
    ck_assert_uint_eq(atomic_load(&without.holders), 0);
}
END_TEST

/* Errors of the brokers, a few in a row: those that librdkafka tries again itself, those that bring messages back, those that
 * end the producer. */
static const struct {
    rd_kafka_resp_err_t why;
    bool once; /* nothing arrives twice */
} faults[] = {
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, true},
    {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, true},
    {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, true},
    {RD_KAFKA_RESP_ERR__TRANSPORT, false},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, false},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, false},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, false},
    {RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, false},
    {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, false},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, false},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, false},
};

START_TEST(a_fault_loses_nothing)
{
    struct running r;
    rd_kafka_resp_err_t why = faults[_i].why;
    for (unsigned i = 0; i < ENTRIES; i++)
        world_load(&w, i);
    rd_kafka_mock_push_request_errors(cluster, PRODUCE, 3, RD_KAFKA_RESP_ERR_NO_ERROR, why, why);
    start(&r);
    wait_complete(&r);
    for (unsigned i = 0; i < ENTRIES; i++)
        world_load(&w, i);
    wait_complete(&r);
    stop(&r);
    ck_assert(!atomic_load(&r.backwards));
    check_rows(faults[_i].once);
    check_state();
}
END_TEST

static void lead(int32_t partition, int32_t broker)
{
    ck_assert_int_eq(rd_kafka_mock_partition_set_leader(cluster, "rows", partition, broker), RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* One broker after the other goes; what it led is led by another one after a while, then by itself again. */
START_TEST(brokers_come_and_go)
{
    struct running r;
    start(&r);
    for (int32_t broker = 1; broker <= BROKERS; broker++) {
        int32_t next = broker % BROKERS + 1;
        for (int32_t p = 0; p < PARTITIONS; p++)
            lead(p, p == 0 ? next : broker);
        for (unsigned i = 0; i < ENTRIES; i++)
            world_load(&w, i);
        ck_assert_int_eq(rd_kafka_mock_broker_set_down(cluster, broker), RD_KAFKA_RESP_ERR_NO_ERROR);
        for (unsigned i = 0; i < ENTRIES; i++)
            world_load(&w, i);
        ck_assert(!complete(&r));
        for (int32_t p = 1; p < PARTITIONS; p++)
            lead(p, next);
        wait_complete(&r);
        ck_assert_int_eq(rd_kafka_mock_broker_set_up(cluster, broker), RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    stop(&r);
    ck_assert(!atomic_load(&r.backwards));
    check_rows(false);
    check_state();
}
END_TEST

/* A batch that is too large is taken message by message, and none of them is. */
START_TEST(a_batch_that_is_too_large_is_no_letter)
{
    struct running r;
    for (unsigned i = 0; i < ENTRIES; i++)
        world_load(&w, i);
    rd_kafka_mock_push_request_errors(cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    start(&r);
    wait_complete(&r);
    stop(&r);
    check_rows(true);
    check_state();
}
END_TEST

/* Settings that librdkafka refuses together; a secret that is not there. */
START_TEST(settings_are_tried_together)
{
    static struct kafka_property bad[] = {{.name = "max.in.flight", .text = "10"},
                                          {.name = "sasl.password", .ref = {.kind = SECRET_FILE, .at = "/nowhere/at/all"}}};
    struct err err;
    ck_assert_msg(kafka_settings_check(&w.config, &err), "%s", err.msg);
    w.config.kafka.properties = bad;
    w.config.kafka.n_properties = 1;
    ck_assert(!kafka_settings_check(&w.config, &err));
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert_msg(strstr(err.msg, "max.in.flight"), "%s", err.msg);
    w.config.kafka.properties = bad + 1;
    ck_assert(!kafka_settings_check(&w.config, &err));
    ck_assert_msg(strstr(err.msg, "sasl.password") && strstr(err.msg, "/nowhere/at/all"), "%s", err.msg);
}
END_TEST

/* The segments that a sink in use has not passed stay; the position of one that is not configured counts for nothing. */
START_TEST(the_floor_is_the_slowest_sink)
{
    struct state state;
    struct err err;
    uint64_t floor;
    ck_assert(state_open(&state, w.dir.path, false, &err));
    ck_assert(sink_move(&state, SINK_OBJECTS, "events", 50, 0, &err));
    ck_assert(sinks_floor(&state, &w.config, "events", &floor, &err));
    ck_assert_uint_eq(floor, 1);
    ck_assert(sink_move(&state, SINK_KAFKA, "events", 20, 0, &err) && sinks_floor(&state, &w.config, "events", &floor, &err));
    ck_assert_uint_eq(floor, 20);
    ck_assert(sink_resend(&state, SINK_KAFKA, SPAN_LIT("acme"), SPAN_LIT("n-1/events/7"), &err));
    ck_assert(sinks_floor(&state, &w.config, "events", &floor, &err));
    ck_assert_uint_eq(floor, 7);
    ck_assert(sink_resent(&state, SINK_KAFKA, 2, &err) && sink_move(&state, SINK_KAFKA, "events", 60, 0, &err));
    ck_assert(sinks_floor(&state, &w.config, "events", &floor, &err));
    ck_assert_uint_eq(floor, 50);
    ck_assert(sink_move(&state, SINK_KAFKA, "events", 20, 0, &err));
    w.config.kafka.brokers = NULL;
    ck_assert(sinks_floor(&state, &w.config, "events", &floor, &err));
    ck_assert_uint_eq(floor, 50);
    state_close(&state);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kafka");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 240);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, all_rows_arrive_once);
    tcase_add_test(t, a_source_that_comes_misses_nothing);
    tcase_add_loop_test(t, a_fault_loses_nothing, 0, (int)(sizeof faults / sizeof faults[0]));
    tcase_add_test(t, brokers_come_and_go);
    tcase_add_test(t, a_batch_that_is_too_large_is_no_letter);
    tcase_add_test(t, settings_are_tried_together);
    tcase_add_test(t, the_floor_is_the_slowest_sink);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
