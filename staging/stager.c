/* Invariants
 *  1. The position of a lane moves only together with the books, dead letters and objects of the entries it passes.
 *  2. An object under a key of an unpublished range is in `objects` with published 0: the name is recorded before the
 *     object is committed.
 *  3. A recorded range is repeated as recorded, first to last, before anything else of its lane is read.
 *  4. At most one object of an unpublished range and table exists: names of an earlier transform are removed from the
 *     store before those of the present one are written.
 *
 *   loaded ──entry──▶ open ──due──▶ sealed ──ledger_record──▶ recorded ──cut_commit──▶ stored ──ledger_publish──▶ loaded
 *      ▲                │ failure: provisional objects are given up          │ failure, crash
 *      └──lane_reset────┴──────────────────────◀──repeat first..last─────────┘ */
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "staging/archive.h"
#include "staging/compact.h"
#include "staging/internal.h"
#include "staging/pages.h"
#include "staging/sinks.h"
#include <stdio.h>
#include <stdlib.h>

#define STEP_ENTRIES 512
#define OUTPUTS_MAX 192
#define LETTERS_MAX 4096
#define TEXT_MAX ((size_t)4 << 20)
#define IGNORED_MAX ((size_t)1 << 20)
#define CLEAN_US (UINT64_C(60) * 1000000)
#define BEHIND UINT64_C(50000) /* entries */
#define BUSY UINT64_C(10000)    /* entries: whoever can wait should */
#define PRESSED_US UINT64_C(500000) /* how often it is looked whether the journal is nearly full, and then cleaned */
#define COMPACT_US (UINT64_C(30) * 1000000)
#define WAIT_US (UINT64_C(100) * 1000)
#define GATHER_US (UINT64_C(5) * 1000)
#define BACKOFF_MIN_US (UINT64_C(200) * 1000)
#define BACKOFF_MAX_US (UINT64_C(10) * 1000000)

uint64_t stager_now(const struct stager *s)
{
    return s->o.io->world->now_us(s->o.io);
}

static uint64_t monotonic(const struct stager *s)
{
    return s->o.io->world->monotonic_us(s->o.io);
}

const struct staged_source *stager_source(struct stager *s, struct span name)
{
    return following_find(&s->following, name);
}

bool stager_new(const struct stager_opts *o, struct stager **ret, struct err *err)
{
    struct stager *s = mem_alloc(sizeof(*s));
    s->o = *o;
    pthread_mutex_init(&s->work, NULL);
    pthread_mutex_init(&s->lock, NULL);
    bool ok = state_open(&s->state, o->data_dir, false, err) && following_open(&s->following, &s->state, o->config, err);
    for (enum lane_id i = 0; ok && i < LANE_COUNT; i++) {
        struct lane_work *w = &s->lanes[i];
        w->lane = journal_lane(o->journal, i);
        w->name = lane_name(i);
        w->cut = cut_new(o->store, journal_node(o->journal), w->name, err);
        ok = w->cut != NULL;
        if (ok)
            w->cut->gzip = o->config->objects.gzip;
    }
    if (!ok)
        stager_free(&s);
    else
        *ret = s;
    return ok;
}

void stager_free(struct stager **sp)
{
    struct stager *s = *sp;
    if (!s)
        return;
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        reader_close(&s->lanes[i].reader);
        cut_free(&s->lanes[i].cut);
    }
    following_release(&s->following);
    if (s->adopted)
        config_drop(&s->adopted);
    state_close(&s->state);
    pthread_mutex_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
    *sp = NULL;
}

/* ---- one lane ---- */
static void lane_reset(struct lane_work *w)
{
    cut_clear(w->cut);
    reader_close(&w->reader);
}

static bool lane_load(struct stager *s, struct lane_work *w, struct err *err)
{
    bool repeat;
    if (!state_position(&s->state, span_of(w->name), &w->next, err) ||
        !ledger_pending(&s->state, w->name, &w->first, &w->last, &repeat, err))
        return false;
    w->repeat = repeat;
    w->at = repeat ? w->first : w->next;
    w->reader = reader_open(w->lane, w->at);
    return w->reader || err_set(err, ERR_NOMEM, "cannot read lane %s of the journal", w->name);
}

static bool remove_stale(void *ctx, const char *key, struct err *err)
{
    struct stager *s = ctx;
    return s->o.store->ops->remove(s->o.store, key, err);
}

bool stager_store_cut(struct stager *s, struct cut *c, uint64_t first, uint64_t last, struct err *err)
{
    return cut_seal(c, first, last, err) && ledger_record(&s->state, c, first, last, err) &&
           ledger_stale(&s->state, c, first, remove_stale, s, err) && cut_commit(c, err);
}

/* Sequences that were passed without being read: between the position and the cut, within it, and of a repeated range
 * behind its last entry. Before the very first cut the journal's beginning is ours. */
static uint64_t lost_by(const struct lane_work *w, uint64_t first, uint64_t last)
{
    const struct cut *c = w->cut;
    uint64_t from = w->next > 1 ? w->next : first;
    return c->entries ? c->lost + (c->first - from) + (last - c->last) : last + 1 - from;
}

static bool lane_finish(struct stager *s, struct lane_work *w, struct err *err)
{
    struct cut *c = w->cut;
    uint64_t first = w->repeat ? w->first : c->first, last = w->repeat ? w->last : c->last;
    bool objects = c->n_outputs > 0;
    if ((objects || w->repeat) && !stager_store_cut(s, c, first, last, err))
        return false;
    if (!ledger_publish(&s->state, c, first, last, lost_by(w, first, last), stager_now(s), err))
        return false;
    w->next = last + 1;
    cut_clear(c);
    if (w->repeat) {
        /* The reader may stand behind the range's end; what follows is read from its first entry on. */
        w->repeat = false;
        w->at = w->next;
        reader_close(&w->reader);
        w->reader = reader_open(w->lane, w->at);
        if (!w->reader)
            return err_set(err, ERR_NOMEM, "cannot read lane %s of the journal", w->name);
    }
    if (objects && s->o.published)
        s->o.published(s->o.published_ctx);
    return true;
}

static bool lane_due(struct stager *s, struct lane_work *w)
{
    const struct cut *c = w->cut;
    if (w->repeat || !c->entries)
        return false;
    return c->largest >= s->o.config->cut_bytes || c->n_outputs >= OUTPUTS_MAX || cut_letters(c) >= LETTERS_MAX ||
           c->text.n >= TEXT_MAX || c->ignored.n >= IGNORED_MAX ||
           monotonic(s) - w->opened_us >= s->o.config->cut_age_us;
}

void stager_follow(struct stager *s, const struct config *c)
{
    following_offer(&s->following, c);
}

/* A configuration that was offered: what was read and is not staged is read again with its transforms, as after a crash. */
static bool adopt(struct stager *s, struct err *err)
{
    const struct config *c;
    if (!following_offered(&s->following))
        return true;
    for (enum lane_id i = 0; i < LANE_COUNT; i++)
        lane_reset(&s->lanes[i]);
    if (!following_adopt(&s->following, &s->state, &c, err))
        return err_prefix(err, "the changed configuration");
    if (c && s->adopted)
        config_drop(&s->adopted);
    if (c)
        s->o.config = s->adopted = c;
    return true;
}

/* Reads a bounded number of entries. *ret_read: how many. */
static bool lane_read(struct stager *s, struct lane_work *w, uint64_t *ret_read, struct err *err)
{
    struct entry e;
    struct transform_result result;
    uint64_t damage, now = stager_now(s), n = 0;
    bool any = true;
    while (n < STEP_ENTRIES && any && !(w->repeat && w->at > w->last)) {
        if (!reader_next(w->reader, &e, &any, &damage, err))
            return false;
        if (!any || (w->repeat && e.seq > w->last)) {
            w->at = w->repeat ? w->last + 1 : w->at;
            break;
        }
        if (following_offered(&s->following))
            break; /* it may be for a source that is not known here yet; it is read again */
        if (!w->cut->entries)
            w->opened_us = monotonic(s);
        if (!cut_entry(w->cut, stager_source(s, e.source), &e, now, &result, err)) {
            char id[ENTRY_ID_MAX];
            entry_id(&e, id);
            return err_prefix(err, "entry %s", id);
        }
        w->at = e.seq + 1;
        n++;
        if (!w->repeat && w->cut->largest >= s->o.config->cut_bytes)
            break;
    }
    *ret_read = n;
    return true;
}

enum cutting {
    CUT_WHEN_DUE,
    CUT_AT_END, /* of what is durable */
    CUT_NOW
};

static bool lane_step(struct stager *s, struct lane_work *w, enum cutting cutting, bool *ret_worked, struct err *err)
{
    uint64_t n = 0;
    bool cut = false;
    bool ok = adopt(s, err) && (w->reader || lane_load(s, w, err)) && lane_read(s, w, &n, err);
    if (ok) {
        if (n < STEP_ENTRIES && atomic_exchange(&w->cut_now, false) && cutting == CUT_WHEN_DUE)
            cutting = CUT_AT_END;
        if (w->repeat)
            cut = w->at > w->last;
        else
            cut = w->cut->entries && (lane_due(s, w) || cutting == CUT_NOW || (cutting == CUT_AT_END && n < STEP_ENTRIES));
        ok = !cut || lane_finish(s, w, err);
    }
    if (!ok) {
        lane_reset(w);
        return err_prefix(err, "lane %s", w->name);
    }
    *ret_worked = n > 0 || cut;
    return true;
}

bool stager_drain(struct stager *s, struct err *err)
{
    bool ok = true;
    pthread_mutex_lock(&s->work);
    for (enum lane_id i = 0; ok && i < LANE_COUNT; i++) {
        struct lane_work *w = &s->lanes[i];
        uint64_t target = lane_durable(w->lane);
        /* What arrives meanwhile may be taken along, but is not waited for. */
        for (bool worked = true; ok && worked;) {
            bool past = w->reader && !w->repeat && w->at > target;
            if (past && !w->cut->entries)
                break;
            ok = lane_step(s, w, past ? CUT_NOW : CUT_AT_END, &worked, err);
        }
    }
    pthread_mutex_unlock(&s->work);
    return ok;
}

/* ---- following ---- */
static void set_trouble(struct stager *s, unsigned i, const struct err *err)
{
    pthread_mutex_lock(&s->lock);
    if (!err)
        s->trouble_us[i] = 0;
    else if (!s->trouble_us[i])
        s->trouble_us[i] = stager_now(s);
    if (err)
        s->trouble[i] = *err;
    pthread_mutex_unlock(&s->lock);
}

bool stager_trouble(struct stager *s, char *ret_words, size_t n, uint64_t *ret_since_us)
{
    bool any = false;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < TROUBLES; i++) {
        if (!s->trouble_us[i] || (any && s->trouble_us[i] >= *ret_since_us))
            continue;
        any = true;
        *ret_since_us = s->trouble_us[i];
        (void)snprintf(ret_words, n, "%s", s->trouble[i].msg);
    }
    pthread_mutex_unlock(&s->lock);
    return any;
}

/* A failing lane waits longer each time; the other one goes on. Trouble is over when a cut was published, or when
 * nothing is left that could fail. */
static bool follow_lane(struct stager *s, enum lane_id i)
{
    struct lane_work *w = &s->lanes[i];
    struct err err;
    bool worked = false;
    uint64_t before = w->next;
    if (monotonic(s) < w->retry_us)
        return false;
    pthread_mutex_lock(&s->work);
    bool ok = lane_step(s, w, CUT_WHEN_DUE, &worked, &err);
    pthread_mutex_unlock(&s->work);
    if (!ok) {
        uint64_t wait = BACKOFF_MIN_US << (w->failures < 6 ? w->failures : 6);
        wait = wait < BACKOFF_MAX_US ? wait : BACKOFF_MAX_US;
        w->retry_us = monotonic(s) + wait;
        w->failures++;
        set_trouble(s, i, &err);
        static struct log_limit limit;
        log_limited(&limit, LOG_WARN, "staging failed; it is tried again", "after_ms=%llu error=\"%s\"",
                    (unsigned long long)(wait / 1000), err.msg);
    } else if (w->next > before || (!worked && !w->cut->entries)) {
        w->failures = 0;
        set_trouble(s, i, NULL);
    }
    return ok && worked;
}

/* Nearly full: what every sink has goes now, whatever its age, before deliveries have to be refused. */
static bool pressed(const struct stager *s)
{
    const struct config *c = s->o.config;
    struct journal_stats stats;
    journal_stats(s->o.journal, &stats);
    return (c->journal_max_bytes && stats.bytes > c->journal_max_bytes / 4 * 3) ||
           stats.free_bytes < 2 * c->journal_reserve_bytes;
}

static bool clean_lane(struct stager *s, struct lane_work *w, bool whatever_age, struct err *err)
{
    uint64_t now = stager_now(s), keep = whatever_age ? 0 : s->o.config->retain_raw_us, counted = 0, floor;
    bool events = w->lane == journal_lane(s->o.journal, LANE_EVENTS);
    if (!w->reader || now < keep)
        return true;
    /* The books count from the journal, events after a crash and pages always: before their segments go. */
    if (!(events ? state_books_mark(&s->state, &counted, err)
                 : state_pages_count(&s->state, s->o.journal, s->o.config, err)))
        return false;
    if (!sinks_floor(&s->state, s->o.config, w->name, &floor, err))
        return false;
    uint64_t upto = events && counted + 1 < floor ? counted + 1 : floor;
    lane_count_forget(w->lane, upto);
    if (s->o.config->objects.archive && w->archived < upto)
        upto = w->archived;
    return lane_remove(w->lane, upto, now - keep, err) &&
           ledger_forget(&s->state, w->name, lane_first(w->lane), now < OBJECTS_KEPT_US ? 0 : now - OBJECTS_KEPT_US, err);
}

/* Staging waits for who waits for an answer, but not for ever: when much is waiting for it, it works as the others do. */
static void set_pace(struct stager *s, bool press)
{
    const struct lane_work *w = &s->lanes[LANE_EVENTS];
    uint64_t durable = lane_durable(w->lane), waiting = durable > w->at ? durable - w->at : 0;
    bool hurry = press || waiting > BEHIND;
    atomic_store(&s->busy, waiting > BUSY);
    if (hurry != s->hurries)
        thread_background(!hurry);
    s->hurries = hurry;
}

/* One segment of each lane at a time, so that staging goes on between. *ret_worked is only ever set. */
static void archive(struct stager *s, bool *ret_worked)
{
    struct err err, one;
    bool ok = true;
    if (!s->o.config->objects.archive || monotonic(s) < s->archive_us)
        return;
    pthread_mutex_lock(&s->work);
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        struct lane_work *w = &s->lanes[i];
        struct archiving a = {.store = s->o.store, .state = &s->state, .node = journal_node(s->o.journal), .lane = w->lane,
                              .name = w->name, .next = &w->archived};
        bool any = false;
        if (!archive_next(&a, &any, &one)) {
            err = one;
            ok = false;
        }
        *ret_worked |= any;
    }
    pthread_mutex_unlock(&s->work);
    if (!ok) {
        s->archive_us = monotonic(s) + BACKOFF_MAX_US;
        (void)err_prefix(&err, "the archive");
    }
    set_trouble(s, TROUBLE_ARCHIVE, ok ? NULL : &err);
}

static void compact(struct stager *s, bool *ret_worked)
{
    struct err err;
    uint64_t quiet = s->o.config->objects.compact_us;
    bool worked = false;
    if ((!quiet && s->joins_whole) || monotonic(s) < s->compact_us)
        return;
    pthread_mutex_lock(&s->work);
    bool ok = compact_step(s, &worked, &err);
    pthread_mutex_unlock(&s->work);
    if (!ok)
        (void)err_prefix(&err, "joining small objects");
    set_trouble(s, TROUBLE_COMPACT, ok ? NULL : &err);
    s->joins_whole = ok && !worked;
    if (!worked)
        s->compact_us = monotonic(s) + (quiet && quiet / 4 < COMPACT_US ? quiet / 4 : COMPACT_US);
    *ret_worked |= worked;
}

bool stager_moves(struct stager *s)
{
    uint64_t beats = pulse_count(&s->pulse);
    bool moves = beats != s->beats_seen;
    s->beats_seen = beats;
    return moves;
}

bool stager_is_busy(const struct stager *s)
{
    return atomic_load(&((struct stager *)(uintptr_t)s)->busy);
}

static void clean(struct stager *s)
{
    struct err err;
    uint64_t now = monotonic(s);
    bool press = now - s->looked_us >= PRESSED_US && pressed(s);
    if (now - s->looked_us >= PRESSED_US) {
        s->looked_us = now;
        set_pace(s, press);
    }
    if (now - s->cleaned_us < CLEAN_US && !press)
        return;
    static struct log_limit limit;
    if (press)
        log_limited(&limit, LOG_WARN, "the journal is nearly full: staged entries go before retention.raw is over", "max=%llu",
                    (unsigned long long)s->o.config->journal_max_bytes);
    pthread_mutex_lock(&s->work);
    s->cleaned_us = now;
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        if (!clean_lane(s, &s->lanes[i], press, &err))
            set_trouble(s, i, &err);
    }
    pthread_mutex_unlock(&s->work);
}

void stager_run(struct stager *s)
{
    struct err err;
    bool swept = false, gathers = false;
    pulse_carry(&s->pulse);
    thread_background(true);
    s->cleaned_us = monotonic(s);
    while (!atomic_load(&s->stop)) {
        bool worked = false;
        pulse_beat();
        if (!swept) {
            /* Before anything is written: every provisional object of this node is a left-over. */
            swept = s->o.store->ops->sweep(s->o.store, journal_node(s->o.journal), &err);
            if (!swept) {
                set_trouble(s, LANE_EVENTS, &err);
                s->o.io->world->sleep_us(s->o.io, BACKOFF_MIN_US);
                continue;
            }
        }
        for (enum lane_id i = 0; i < LANE_COUNT; i++)
            worked |= follow_lane(s, i);
        archive(s, &worked);
        compact(s, &worked);
        clean(s);
        struct lane_work *w = &s->lanes[LANE_EVENTS];
        /* A lane that failed has no reader: its entries are there, so waiting for more would not wait. And behind entries others
         * follow: they gather for a moment, so that whoever commits them need not wake this thread each time. */
        if (!worked && w->reader && !gathers)
            (void)lane_wait(w->lane, w->at - 1, WAIT_US);
        else if (!worked)
            s->o.io->world->sleep_us(s->o.io, w->reader ? GATHER_US : WAIT_US);
        gathers = worked;
    }
    /* What was read becomes visible now rather than after the next start. */
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        if (s->lanes[i].reader && s->lanes[i].cut->entries) {
            pthread_mutex_lock(&s->work);
            if (!s->lanes[i].repeat && !lane_finish(s, &s->lanes[i], &err))
                lane_reset(&s->lanes[i]);
            pthread_mutex_unlock(&s->work);
        }
    }
}

void stager_stop(struct stager *s)
{
    atomic_store(&s->stop, true);
    if (s->o.store->ops->stop)
        s->o.store->ops->stop(s->o.store);
}

void stager_cut_now(struct stager *s)
{
    for (enum lane_id i = 0; i < LANE_COUNT; i++)
        atomic_store(&s->lanes[i].cut_now, true);
}
