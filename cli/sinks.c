#include "cli/sinks.h"
#include "staging/kafka_sink.h"
#include <stdio.h>

size_t sinks_configured(const struct config *c, const char *ret[SINKS_MAX])
{
    size_t n = 0;
    ret[n++] = SINK_OBJECTS;
    if (c->kafka.brokers)
        ret[n++] = SINK_KAFKA;
    return n;
}

static bool is_kafka(const char *sink)
{
    return strcmp(sink, SINK_KAFKA) == 0;
}

bool sink_next(struct instance *in, const char *sink, enum lane_id lane, uint64_t *ret, struct err *err)
{
    struct state *state;
    if (is_kafka(sink) && in->live && in->live->kafka) { /* newer than what the state has of it */
        *ret = kafka_sink_position(in->live->kafka, lane);
        return true;
    }
    return instance_state(in, &state, err) && sink_position(state, sink, lane_name(lane), ret, err);
}

bool sink_behind(struct instance *in, const char *sink, uint64_t *ret, struct err *err)
{
    struct journal *journal;
    uint64_t entries = 0, next;
    if (!instance_journal(in, &journal, err))
        return false;
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        uint64_t durable = lane_durable(journal_lane(journal, i));
        if (!sink_next(in, sink, i, &next, err))
            return false;
        entries += durable + 1 > next ? durable + 1 - next : 0;
    }
    *ret = entries;
    return true;
}

/* A sink takes a lane in its order, so each lane's first entry is enough. */
bool sink_oldest(struct instance *in, const char *sink, uint64_t *ret_us, struct err *err)
{
    struct journal *journal;
    uint64_t oldest = 0, next;
    if (!instance_journal(in, &journal, err))
        return false;
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        struct lane *lane = journal_lane(journal, i);
        if (!sink_next(in, sink, i, &next, err))
            return false;
        if (lane_durable(lane) < next)
            continue;
        struct reader *r = reader_open(lane, next);
        struct entry e;
        bool any = false, ok = r ? reader_next(r, &e, &any, NULL, err)
                                 : err_set(err, ERR_NOMEM, "cannot read lane %s of the journal", lane_name(i));
        if (ok && any && (!oldest || e.received_us < oldest))
            oldest = e.received_us;
        reader_close(&r);
        if (!ok)
            return false;
    }
    *ret_us = oldest;
    return true;
}

bool sink_trouble(const struct instance *in, const char *sink, char *ret_words, size_t n, uint64_t *ret_since_us)
{
    const struct live *live = in->live;
    if (!live)
        return false;
    return is_kafka(sink) ? live->kafka && kafka_sink_trouble(live->kafka, ret_words, n, ret_since_us)
                          : stager_trouble(live->stager, ret_words, n, ret_since_us);
}

void sink_place(const struct config *c, const char *sink, char *ret, size_t n)
{
    if (is_kafka(sink))
        (void)snprintf(ret, n, "%s", c->kafka.brokers ? c->kafka.brokers : "");
    else if (c->objects.bucket)
        (void)snprintf(ret, n, "s3://%s/%s", c->objects.bucket, c->objects.prefix);
    else
        (void)snprintf(ret, n, "file://%s", c->objects_dir);
}
