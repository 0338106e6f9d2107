/* The sink's loop.
 *
 * Invariants
 *  1. A position passes an entry only when each of its rows was delivered, or is a dead letter in state.db.
 *  2. What state.db holds of a position was true before it was written there.
 *  3. While a message that came back waits, nothing new is produced.
 *
 *      read ──produce──▶ in flight ──report──▶ delivered ──▶ position ──▶ state.db
 *                           ▲  │ failure
 *                 sent again└──┴▶ failed ──too large, alone──▶ dead letter */
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wait.h"
#include "staging/kafka/transactions.h"
#include <stdio.h>
#include <stdlib.h>

#define WAIT_US (UINT64_C(100) * 1000)
#define PERSIST_US (UINT64_C(250) * 1000)
#define LOOK_US (UINT64_C(1000) * 1000)
#define SILENCE_US (UINT64_C(20) * 1000000) /* in flight, and nothing is delivered */
#define PROBE_MS 1000
#define LOGIN_AGAIN_US (UINT64_C(10) * 1000000)
#define FATAL_AGAIN_US (UINT64_C(10) * 1000000)
#define BACKOFF_US (UINT64_C(1000) * 1000)
#define BEHIND UINT64_C(2000) /* entries */
#define STOP_MS 3000
#define VALUE_MAX ((size_t)512 << 20)

bool kafka_sink_new(const struct kafka_sink_opts *o, struct kafka_sink **ret, struct err *err)
{
    struct kafka_sink *s = mem_alloc(sizeof *s);
    s->o = *o;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->telling, NULL);
    wait_cond_init(&s->moved);
    s->failed.tail = &s->failed.head;
    buf_init(&s->topic, 4096);
    buf_init(&s->entry_id, 4096);
    buf_init(&s->value, VALUE_MAX);
    for (enum track_id i = 0; i < TRACK_COUNT; i++) {
        s->tracks[i].lane = i == TRACK_REPLAY ? NULL : journal_lane(o->journal, (enum lane_id)i);
        s->tracks[i].name = i == TRACK_REPLAY ? "replays" : lane_name((enum lane_id)i);
        atomic_store(&s->positions[i], 1);
        s->flights[i].position = 1;
    }
    if (!state_open(&s->state, o->data_dir, false, err) || !following_open(&s->following, &s->state, o->config, err)) {
        kafka_sink_free(&s);
        return false;
    }
    if (o->config->kafka.transactional)
        s->transactions = transactions_new(s);
    *ret = s;
    return true;
}

void kafka_sink_free(struct kafka_sink **sp)
{
    struct kafka_sink *s = *sp;
    if (!s)
        return;
    producer_close(s, 0);
    while (s->failed.head) {
        struct failed *f = s->failed.head;
        s->failed.head = f->next;
        failed_free(&f);
    }
    for (enum track_id i = 0; i < TRACK_COUNT; i++) {
        track_unload(&s->tracks[i]);
        flight_release(&s->flights[i]);
    }
    following_release(&s->following);
    transactions_free(&s->transactions);
    buf_release(&s->topic);
    buf_release(&s->key);
    buf_release(&s->value);
    buf_release(&s->entry_id);
    state_close(&s->state);
    pthread_cond_destroy(&s->moved);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->telling);
    free(s);
    *sp = NULL;
}

uint64_t kafka_sink_position(const struct kafka_sink *s, enum lane_id lane)
{
    return atomic_load(&((struct kafka_sink *)(uintptr_t)s)->positions[lane]);
}

void kafka_sink_follow(struct kafka_sink *s, const struct config *c)
{
    following_offer(&s->following, c);
}

void kafka_sink_listen(struct kafka_sink *s, const struct kafka_listener *listener)
{
    s->listener = *listener;
}

void kafka_sink_stop(struct kafka_sink *s)
{
    atomic_store(&s->stop, true);
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
}

static void pause_us(struct kafka_sink *s, uint64_t us)
{
    struct timespec until = wait_until(us);
    pthread_mutex_lock(&s->lock);
    if (!atomic_load(&s->stop))
        (void)pthread_cond_timedwait(&s->moved, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
}

static bool persist(struct kafka_sink *s)
{
    struct err err;
    s->persisted_us = sink_monotonic(s);
    bool ok = track_persist(s, &err);
    if (ok && s->persist_failed)
        trouble_clear(s);
    s->persist_failed = !ok;
    if (!ok)
        trouble_set(s, "the position cannot be kept: %.500s", err.msg);
    return ok;
}

/* Something is in flight and nothing arrives, or nothing is and the brokers were gone when it was last looked. */
static void look_around(struct kafka_sink *s)
{
    uint64_t now = sink_monotonic(s);
    int waiting = rd_kafka_outq_len(s->producer->rk);
    pthread_mutex_lock(&s->lock);
    bool trouble = s->in_trouble, gone = s->trouble_kind != TROUBLE_OTHER, login = trouble && s->trouble_kind == TROUBLE_LOGIN;
    bool none = !s->failed.n;
    uint64_t delivered = s->delivered;
    char reason[sizeof s->reason];
    memcpy(reason, s->reason, sizeof reason);
    pthread_mutex_unlock(&s->lock);
    if (delivered != s->delivered_seen || !waiting) {
        s->delivered_seen = delivered;
        s->moved_us = now;
    }
    if (waiting && !trouble && now - s->moved_us > SILENCE_US)
        trouble_set(s, "%d messages are on their way, and for %llu s the brokers took none%s%s", waiting,
                    (unsigned long long)((now - s->moved_us) / 1000000), reason[0] ? ": " : "", reason);
    if (trouble && !waiting && none && gone) {
        const struct rd_kafka_metadata *md;
        if (rd_kafka_metadata(s->producer->rk, 0, NULL, &md, PROBE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_metadata_destroy(md);
            trouble_clear(s);
            login = false;
        }
    }
    /* Credentials may have been replaced: they are read again with a new producer. */
    if (login && now - s->opened_us > LOGIN_AGAIN_US)
        producer_close(s, 0);
}

static void set_pace(struct kafka_sink *s)
{
    const struct track *t = &s->tracks[TRACK_EVENTS];
    uint64_t durable = lane_durable(t->lane);
    bool hurry = s->o.config->ack_kafka || (durable > t->at && durable - t->at > BEHIND);
    if (hurry != s->hurries)
        thread_background(!hurry);
    s->hurries = hurry;
}

static bool ready(struct kafka_sink *s)
{
    struct err err;
    if (s->producer && atomic_load(&s->fatal)) {
        char words[512] = "";
        (void)rd_kafka_fatal_error(s->producer->rk, words, sizeof words);
        log_warn("the Kafka producer begins anew", "cause=\"%s\"", words);
        producer_close(s, 0);
        if (sink_monotonic(s) - s->opened_us < FATAL_AGAIN_US)
            pause_us(s, BACKOFF_US);
    }
    if (s->producer)
        return true;
    /* librdkafka's threads take this one's pace: they answer brokers in time. */
    thread_background(false);
    s->hurries = true;
    bool ok = producer_open(s, &err);
    s->opened_us = sink_monotonic(s);
    set_pace(s);
    if (ok && s->transactions && !transactions_open(s, &err)) {
        s->over = err.cls == ERR_STOPPED && !atomic_load(&s->stop);
        producer_close(s, 0);
        ok = false;
    }
    if (!ok) {
        trouble_set(s, "%.600s", err.msg);
        pause_us(s, BACKOFF_US);
    }
    return ok;
}

/* *ret_worked: there may be more at once. */
static bool step(struct kafka_sink *s, bool *ret_worked, struct err *err)
{
    if (s->transactions)
        return transactions_step(s, ret_worked, err);
    bool failed = failed_any(s);
    if (failed || s->holding) {
        s->holding = failed || rd_kafka_outq_len(s->producer->rk) > 0;
        return !failed || failed_resend(s, ret_worked, err);
    }
    s->failures = 0;
    uint64_t now = sink_monotonic(s);
    bool replays = now - s->probed_us >= REPLAYS_US;
    if (replays)
        s->probed_us = now;
    for (enum track_id i = 0; i < TRACK_COUNT; i++) {
        uint64_t n = 0;
        if (i == TRACK_REPLAY && !replays)
            continue;
        if (!track_read(s, i, STEP_ENTRIES, &n, err)) {
            track_unload(&s->tracks[i]);
            return err->cls == ERR_STOPPED || err_prefix(err, "%s", s->tracks[i].name);
        }
        *ret_worked = *ret_worked || n > 0;
    }
    return true;
}

static void wait_for_work(struct kafka_sink *s)
{
    struct track *t = &s->tracks[TRACK_EVENTS];
    pthread_mutex_lock(&s->lock);
    bool room = flight_has_room(&s->flights[TRACK_EVENTS]) && !s->failed.n && !s->holding;
    pthread_mutex_unlock(&s->lock);
    if (room && t->reader)
        (void)lane_wait(t->lane, t->at - 1, WAIT_US);
    else
        pause_us(s, WAIT_US / 10);
}

void kafka_sink_run(struct kafka_sink *s)
{
    s->moved_us = sink_monotonic(s);
    while (!atomic_load(&s->stop)) {
        struct err err;
        bool worked = false;
        if (s->over) {
            pause_us(s, BACKOFF_US);
            continue;
        }
        if (!ready(s))
            continue;
        bool ok = step(s, &worked, &err);
        if (!ok && !atomic_load(&s->fatal)) {
            trouble_set(s, "%.600s", err.msg);
            pause_us(s, BACKOFF_US);
        } else if (ok && s->step_failed && !s->transactions) {
            trouble_clear(s);
        }
        s->step_failed = !ok;
        producer_tell(s);
        uint64_t now = sink_monotonic(s);
        if (now - s->persisted_us >= PERSIST_US)
            (void)persist(s);
        if (now - s->looked_us >= LOOK_US) {
            s->looked_us = now;
            set_pace(s);
            look_around(s);
        }
        if (!worked && s->producer)
            wait_for_work(s);
    }
    thread_background(false);
    if (s->transactions && s->producer)
        transactions_end(s);
    pthread_mutex_lock(&s->lock);
    bool down = s->in_trouble;
    pthread_mutex_unlock(&s->lock);
    producer_close(s, down || s->transactions ? 0 : STOP_MS);
    producer_tell(s);
    (void)persist(s);
}
