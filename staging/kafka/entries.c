/* Journal entries into messages: the lanes, and the entries that are sent again. */
#include "core/log.h"
#include "staging/kafka/transactions.h"

struct sending { /* of one entry */
    struct kafka_sink *s;
    const struct source_config *source;
    enum track_id track;
    uint64_t id; /* of the flight */
    uint64_t seq;
    uint32_t rows, items;
    rd_kafka_resp_err_t why; /* it did not go on */
};

/* What was produced belongs to the open transaction. */
static bool in_transaction(struct sending *k, const struct message *m, const struct row *row, uint32_t item, struct err *err)
{
    struct kafka_sink *s = k->s;
    bool large;
    transactions_row(s);
    if (!transactions_careful(s) || transactions_alone(s, &large))
        return true;
    (void)err_set(err, ERR_TRANSIENT, "a message came back");
    if (!large)
        return false;
    if (failed_bury(s, row, rd_kafka_topic_name(m->topic), m->key.n + m->value.n, item,
                    rd_kafka_err2str(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), err))
        transactions_bury(s, k->track, k->seq, item);
    return false; /* the transaction is lost with it */
}

static bool take_row(void *ctx, const struct row *row, struct err *err)
{
    struct sending *k = ctx;
    struct kafka_sink *s = k->s;
    struct row r = *row;
    struct message m;
    if (k->track == TRACK_REPLAY)
        r.origin = ORIGIN_REPLAY;
    uint32_t item = k->items++;
    if (s->transactions && transactions_buried(s, k->track, k->seq, item))
        return true;
    if (!message_make(s, &r, item, &m, err))
        return false;
    m.topic = producer_topic(s, k->source, row);
    m.tag = tag_of(k->track, k->id, item);
    k->why = m.topic ? message_produce(s, &m) : rd_kafka_last_error();
    if (k->why == RD_KAFKA_RESP_ERR_NO_ERROR) {
        k->rows++;
        return !s->transactions || in_transaction(k, &m, row, item, err);
    }
    bool buried = k->why == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    if (buried) {
        k->why = RD_KAFKA_RESP_ERR_NO_ERROR;
        buried = failed_bury(s, row, rd_kafka_topic_name(m.topic), m.key.n + m.value.n, item, "message.max.bytes", err);
    } else {
        (void)err_set(err, k->why == RD_KAFKA_RESP_ERR__IN_PROGRESS ? ERR_STOPPED : ERR_TRANSIENT, "librdkafka says: %s",
                      rd_kafka_err2str(k->why));
    }
    rd_kafka_headers_destroy(m.headers);
    return buried;
}

/* The object sink records them. */
static bool take_dead(void *ctx, const struct entry *e, struct span table, uint64_t item, const char *reason, struct err *err)
{
    (void)ctx, (void)e, (void)table, (void)item, (void)reason, (void)err;
    return true;
}

/* A configuration that was offered; between two entries nothing else knows a source. */
static bool adopt(struct kafka_sink *s, struct err *err)
{
    const struct config *c;
    if (!following_offered(&s->following))
        return true;
    if (!following_adopt(&s->following, &s->state, &c, err))
        return err_prefix(err, "the changed configuration");
    producer_forget(s->producer);
    if (c) /* beside its sources nothing of it is other than at the start */
        config_drop(&c);
    return true;
}

/* Produces the entry's rows; the track goes on with `next`. */
static bool send_entry(struct kafka_sink *s, enum track_id t, const struct entry *e, uint64_t next, struct err *err)
{
    if (!adopt(s, err))
        return false;
    const struct staged_source *staged = following_find(&s->following, e->source);
    const struct source_config *source = staged ? staged->config : NULL;
    struct sending k = {.s = s, .source = source, .track = t, .seq = next - 1};
    const struct transform_sink sink = {&k, take_row, take_dead};
    struct transform_result result;
    if (s->transactions) {
        transactions_entry(s);
    } else {
        pthread_mutex_lock(&s->lock);
        k.id = flight_begin(&s->flights[t]);
        pthread_mutex_unlock(&s->lock);
    }
    bool ok = !source || transform_run(staged->transform, e, &sink, &result, err);
    s->partial = !ok;
    if (s->transactions)
        return ok;
    pthread_mutex_lock(&s->lock);
    struct flight *f = &s->flights[t];
    if (ok ? flight_end(f, next, (int32_t)k.rows) : flight_give_up(f, (int32_t)k.rows))
        track_moved_locked(s, t);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static bool has_room(struct kafka_sink *s, enum track_id t)
{
    pthread_mutex_lock(&s->lock);
    bool room = flight_has_room(&s->flights[t]) && !s->failed.n && !s->txn_error;
    pthread_mutex_unlock(&s->lock);
    return room && (!s->transactions || transactions_room(s)) && !atomic_load(&s->fatal) && !atomic_load(&s->stop);
}

void track_unload(struct track *t)
{
    reader_close(&t->reader);
}

static void start_at(struct kafka_sink *s, enum track_id id, uint64_t next)
{
    pthread_mutex_lock(&s->lock);
    s->flights[id].position = next;
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->positions[id], next);
    s->tracks[id].at = s->tracks[id].stored = next;
    s->tracks[id].loaded = true;
}

bool track_load(struct kafka_sink *s, enum track_id id, struct err *err)
{
    struct track *t = &s->tracks[id];
    uint64_t next = 1;
    if (!t->loaded) {
        if (t->lane && !sink_position(&s->state, SINK_KAFKA, t->name, &next, err))
            return false;
        uint64_t first = t->lane ? lane_first(t->lane) : 1;
        if (first > next) {
            if (next > 1) {
                t->lost += first - next;
                log_warn("entries left the journal before Kafka had them: the sink was not configured meanwhile",
                         "lane=%s from=%llu to=%llu", t->name, (unsigned long long)next, (unsigned long long)(first - 1));
            }
            next = first;
        }
        start_at(s, id, next);
    }
    if (t->lane && !t->reader) {
        t->reader = reader_open(t->lane, t->at);
        return t->reader || err_set(err, ERR_NOMEM, "cannot read lane %s of the journal", t->name);
    }
    return true;
}

static bool read_lane(struct kafka_sink *s, enum track_id id, uint64_t most, uint64_t *ret_read, struct err *err)
{
    struct track *t = &s->tracks[id];
    struct entry e;
    uint64_t damage;
    bool any = true;
    while (*ret_read < most && has_room(s, id)) {
        if (!reader_next(t->reader, &e, &any, &damage, err))
            return false;
        if (!any)
            break;
        t->lost += e.seq > t->at ? e.seq - t->at : 0;
        if (!send_entry(s, id, &e, e.seq + 1, err)) {
            char name[ENTRY_ID_MAX];
            entry_id(&e, name);
            return err_prefix(err, "entry %s", name);
        }
        t->at = e.seq + 1;
        ++*ret_read;
    }
    return true;
}

static struct lane *lane_of(struct kafka_sink *s, struct span name)
{
    for (enum lane_id i = 0; i < LANE_COUNT; i++)
        if (span_eqz(name, lane_name(i)))
            return journal_lane(s->o.journal, i);
    return NULL;
}

/* One entry by its id; one that the journal does not have any more is passed. */
static bool send_again(struct kafka_sink *s, uint64_t id, struct err *err)
{
    struct span node, name;
    uint64_t seq, damage;
    struct entry e;
    char found[ENTRY_ID_MAX];
    bool any = false, ok = true;
    struct lane *lane = entry_id_parse(buf_span(&s->entry_id), &node, &name, &seq) ? lane_of(s, name) : NULL;
    struct reader *r = lane ? reader_open(lane, seq) : NULL;
    if (r)
        ok = reader_next(r, &e, &any, &damage, err);
    if (ok && any)
        entry_id(&e, found);
    if (ok && any && span_eqz(buf_span(&s->entry_id), found)) {
        ok = send_entry(s, TRACK_REPLAY, &e, id + 1, err);
    } else if (ok && s->transactions) {
        transactions_entry(s);
    } else if (ok) {
        pthread_mutex_lock(&s->lock);
        (void)flight_begin(&s->flights[TRACK_REPLAY]);
        if (flight_end(&s->flights[TRACK_REPLAY], id + 1, 0))
            track_moved_locked(s, TRACK_REPLAY);
        pthread_mutex_unlock(&s->lock);
    }
    reader_close(&r);
    return ok;
}

static bool read_replays(struct kafka_sink *s, uint64_t most, uint64_t *ret_read, struct err *err)
{
    struct track *t = &s->tracks[TRACK_REPLAY];
    while (*ret_read < most && has_room(s, TRACK_REPLAY)) {
        uint64_t id;
        if (!sink_resend_next(&s->state, SINK_KAFKA, t->at, &id, &s->entry_id, err))
            return false;
        if (!id)
            break;
        if (!send_again(s, id, err))
            return false;
        t->at = id + 1;
        ++*ret_read;
    }
    return true;
}

bool track_read(struct kafka_sink *s, enum track_id id, uint64_t most, uint64_t *ret_read, struct err *err)
{
    *ret_read = 0;
    if (!track_load(s, id, err))
        return false;
    return s->tracks[id].lane ? read_lane(s, id, most, ret_read, err) : read_replays(s, most, ret_read, err);
}

bool track_persist(struct kafka_sink *s, struct err *err)
{
    for (enum track_id i = 0; i < TRACK_COUNT; i++) {
        struct track *t = &s->tracks[i];
        uint64_t next = atomic_load(&s->positions[i]);
        if (!t->loaded || next == t->stored)
            continue;
        bool ok = t->lane ? sink_move(&s->state, SINK_KAFKA, t->name, next, t->lost, err)
                          : sink_resent(&s->state, SINK_KAFKA, next, err);
        if (!ok)
            return false;
        t->stored = next;
        t->lost = 0;
    }
    return true;
}
