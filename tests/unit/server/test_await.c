/* ack: kafka: an answer waits until the position has passed its entry, at most limits.ack, and nobody waits for what nobody tells. */
#include "door_world.h"
#include "tests/unit/check_main.h"
#include <pthread.h>
#include <stdatomic.h>

#define EVENT "{\"id\":\"evt_1\",\"type\":\"a.b\"}"
#define SENDERS 16
#define EACH 60

static struct world w;
static _Atomic uint64_t position;
static atomic_bool trouble;

static uint64_t position_of(void *ctx)
{
    (void)ctx;
    return atomic_load(&position);
}

static bool trouble_of(void *ctx)
{
    (void)ctx;
    return atomic_load(&trouble);
}

static const struct server_ack ack = {position_of, trouble_of, NULL};

static void begin(void)
{
    world_new(&w);
    w.ack = &ack;
    w.config.ack_us = 10000000;
    atomic_store(&position, 1);
    atomic_store(&trouble, false);
}

static void end(void)
{
    world_free(&w);
}

static void move(uint64_t to, bool tell)
{
    atomic_store(&position, to);
    if (tell)
        server_delivered(w.server);
}

static int send_one(const char *id)
{
    struct buf b;
    char body[64];
    buf_init(&b, 1 << 20);
    snprintf(body, sizeof body, "{\"id\":\"%s\",\"type\":\"a.b\"}", id);
    delivery(&w, "demo", span_of(body), id, "", &b);
    int fd = dial(&w);
    push(fd, buf_span(&b));
    buf_release(&b);
    return fd;
}

static bool is_answered(int fd, int within_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, within_ms) == 1;
}

static struct answer hear_and_close(int fd)
{
    struct answer a = hear(fd);
    close(fd);
    return a;
}

static void wait_for_entries(uint64_t n)
{
    for (int i = 0; i < 2000 && entries(&w) < n; i++)
        usleep(5000);
    ck_assert_uint_eq(entries(&w), n);
}

START_TEST(an_answer_waits_for_its_entry)
{
    world_start(&w);
    int first = send_one("evt_1");
    wait_for_entries(1);
    int second = send_one("evt_2");
    wait_for_entries(2);
    ck_assert(!is_answered(first, 150) && !is_answered(second, 0));
    move(2, _i == 0); /* told of it, or found out by looking */
    struct answer a = hear_and_close(first);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_ne(a.entry, "");
    ck_assert(!is_answered(second, 150));
    move(3, _i == 0);
    ck_assert_uint_eq(hear_and_close(second).status, 200);
    ck_assert_uint_eq(counts_of(&w, "demo").by_outcome[OUT_ACCEPTED], 2);
    ck_assert_uint_eq(server_late(w.server), 0);
}
END_TEST

START_TEST(a_second_one_waits_for_the_same_entry)
{
    world_start(&w);
    int first = send_one("evt_1");
    wait_for_entries(1);
    int other = send_one("evt_2");
    wait_for_entries(2);
    int again = send_one("evt_1"); /* it goes before the other */
    ck_assert(!is_answered(again, 150));
    move(2, true);
    ck_assert_uint_eq(hear_and_close(first).status, 200);
    ck_assert_uint_eq(hear_and_close(again).status, 200);
    ck_assert(!is_answered(other, 100));
    move(3, true);
    ck_assert_uint_eq(hear_and_close(other).status, 200);
    ck_assert_uint_eq(hear_and_close(send_one("evt_1")).status, 200);
    ck_assert_uint_eq(entries(&w), 2);
    ck_assert_uint_eq(counts_of(&w, "demo").by_outcome[OUT_DUPLICATE], 2);
}
END_TEST

START_TEST(who_waited_too_long_is_told_503)
{
    w.config.ack_us = 300000;
    world_start(&w);
    struct answer a = hear_and_close(send_one("evt_1"));
    ck_assert_uint_eq(a.status, 503);
    ck_assert_ptr_nonnull(strstr(a.head, "Retry-After: "));
    ck_assert_uint_eq(entries(&w), 1);
    a = hear_and_close(send_one("evt_1")); /* its next try, and it is still not there */
    ck_assert_uint_eq(a.status, 503);
    ck_assert_uint_eq(entries(&w), 1);
    ck_assert_uint_eq(server_late(w.server), 2);
    move(2, false);
    ck_assert_uint_eq(hear_and_close(send_one("evt_1")).status, 200);
    ck_assert_uint_eq(entries(&w), 1);
    struct source_counts c = counts_of(&w, "demo");
    ck_assert_uint_eq(c.by_outcome[OUT_ACCEPTED], 1); /* the journal has it */
    ck_assert_uint_eq(c.by_outcome[OUT_UNAVAILABLE], 1);
    ck_assert_uint_eq(c.by_outcome[OUT_DUPLICATE], 1);
}
END_TEST

START_TEST(also_after_a_restart)
{
    world_start(&w);
    int fd = send_one("evt_1");
    wait_for_entries(1);
    world_stop(&w);
    close(fd);
    w.config.ack_us = 300000;
    world_start(&w);
    ck_assert_uint_eq(hear_and_close(send_one("evt_1")).status, 503);
    move(2, true);
    ck_assert_uint_eq(hear_and_close(send_one("evt_1")).status, 200);
    ck_assert_uint_eq(entries(&w), 1);
}
END_TEST

START_TEST(nothing_is_stored_while_there_is_trouble)
{
    atomic_store(&trouble, true);
    world_start(&w);
    struct answer a = deliver(&w, "demo", EVENT, "evt_1");
    ck_assert_uint_eq(a.status, 503);
    ck_assert_ptr_nonnull(strstr(a.head, "Retry-After: "));
    ck_assert_uint_eq(entries(&w), 0);
    ck_assert_uint_eq(ask(&w, SPAN_LIT("POST /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")).status, 401);
    atomic_store(&trouble, false);
    move(1000, true);
    struct answer b = {0};
    for (int i = 0; i < 1000 && b.status != 200; i++)
        b = deliver(&w, "demo", EVENT, "evt_1");
    ck_assert_uint_eq(b.status, 200);
    ck_assert_uint_eq(entries(&w), 1);
}
END_TEST

START_TEST(a_stop_answers_all)
{
    world_start(&w);
    int fds[8];
    char id[16];
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "evt_%d", i);
        fds[i] = send_one(id);
    }
    wait_for_entries(8);
    move(4, false);
    server_stop(&w.server);
    unsigned yes = 0, no = 0;
    for (int i = 0; i < 8; i++) {
        unsigned status = hear_and_close(fds[i]).status;
        yes += status == 200;
        no += status == 503;
    }
    ck_assert_uint_eq(yes, 3);
    ck_assert_uint_eq(no, 5);
    ck_assert_uint_eq(books_of(&w, "demo").journalled, 8);
}
END_TEST

/* ---- many at once ---- */

static atomic_bool done;

static void *send_many(void *arg)
{
    uintptr_t bad = 0;
    char id[32];
    for (int i = 0; i < EACH; i++) {
        /* Every fourth is one that another sender sends as well. */
        snprintf(id, sizeof id, i % 4 ? "evt_%d_%d" : "evt_%d", i, (int)(intptr_t)arg);
        struct answer a = hear_and_close(send_one(id));
        unsigned long long seq = 0;
        if (*a.entry)
            sscanf(strrchr(a.entry, '/') + 1, "%llu", &seq);
        bad += a.status != 200 || seq >= atomic_load(&position);
    }
    return (void *)bad;
}

/* Moves the position as a sink would: some entries at a time, told or not. */
static void *move_on(void *arg)
{
    uint64_t random = check_seed();
    (void)arg;
    while (!atomic_load(&done)) {
        uint64_t at = atomic_load(&position), durable = entries(&w), left = durable + 1 - at;
        if (left)
            move(at + 1 + check_random(&random) % left, check_random(&random) % 4 != 0);
        usleep((useconds_t)(check_random(&random) % 2000));
    }
    return NULL;
}

START_TEST(each_goes_on_once_and_not_before)
{
    pthread_t senders[SENDERS], mover;
    world_start(&w);
    atomic_store(&done, false);
    ck_assert_int_eq(pthread_create(&mover, NULL, move_on, NULL), 0);
    for (intptr_t i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_create(&senders[i], NULL, send_many, (void *)i), 0);
    for (int i = 0; i < SENDERS; i++) {
        void *bad = NULL;
        pthread_join(senders[i], &bad);
        ck_assert_uint_eq((uintptr_t)bad, 0);
    }
    atomic_store(&done, true);
    pthread_join(mover, NULL);
    struct source_counts c = counts_of(&w, "demo");
    ck_assert_uint_eq(c.by_outcome[OUT_ACCEPTED], entries(&w));
    ck_assert_uint_eq(c.by_outcome[OUT_ACCEPTED] + c.by_outcome[OUT_DUPLICATE], SENDERS * EACH);
    ck_assert_uint_eq(server_late(w.server), 0);
}
END_TEST

CHECK_SUITE("server await", t)
{
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_loop_test(t, an_answer_waits_for_its_entry, 0, 2);
    tcase_add_test(t, a_second_one_waits_for_the_same_entry);
    tcase_add_test(t, who_waited_too_long_is_told_503);
    tcase_add_test(t, also_after_a_restart);
    tcase_add_test(t, nothing_is_stored_while_there_is_trouble);
    tcase_add_test(t, a_stop_answers_all);
    tcase_add_test(t, each_goes_on_once_and_not_before);
}
