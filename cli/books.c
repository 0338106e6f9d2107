#include "cli/books.h"
#include "merge/account.h"
#include "staging/pages.h"
#include "server/server.h"
#include <stdlib.h>

#define TRIES 40
#define AGAIN_US 50000

/* What the journal itself says of one lane, by source. */
struct lane_count {
    const struct config *config;
    uint64_t *uncounted; /* entries above the door's mark, by place of the source */
    uint64_t *waiting;   /* entries at or above the staging position */
};

static bool count_lane(struct lane *lane, uint64_t mark, uint64_t position, uint64_t upto, struct lane_count *c, struct err *err)
{
    uint64_t from = mark + 1 < position ? mark + 1 : position;
    struct reader *r = reader_open(lane, from);
    bool ok = true, any = true;
    while (ok && any) {
        struct entry e;
        ok = reader_next(r, &e, &any, NULL, err);
        if (!ok || !any || e.seq > upto)
            break;
        const struct source_config *s = config_source(c->config, e.source);
        if (!s)
            continue;
        size_t place = (size_t)(s - c->config->sources);
        c->uncounted[place] += e.seq > mark;
        c->waiting[place] += e.seq >= position;
    }
    reader_close(&r);
    return ok;
}

/* One consistent look at state.db: everything in one read transaction. */
static bool read_state(struct instance *in, struct state *state, struct source_books *ret, uint64_t positions[LANE_COUNT],
                       uint64_t marks[LANE_COUNT], uint64_t *ret_lost, struct err *err)
{
    if (!db_exec(&state->db, "BEGIN", err))
        return false;
    bool ok = state_books_mark(state, &marks[LANE_EVENTS], err) && state_pages_mark(state, &marks[LANE_BACKFILL], err);
    *ret_lost = 0;
    for (int l = 0; ok && l < LANE_COUNT; l++) {
        uint64_t lost = 0;
        struct span lane = span_of(lane_name((enum lane_id)l));
        ok = state_position(state, lane, &positions[l], err) && state_lost(state, lane, &lost, err);
        *ret_lost += lost;
    }
    for (size_t i = 0; ok && i < in->config->n_sources; i++)
        ok = state_books(state, span_of(in->config->sources[i].name), &ret[i].door, err);
    db_rollback(&state->db);
    return ok;
}

static bool read_rows(struct instance *in, struct state *state, struct tables *tables, struct source_books *ret, struct err *err)
{
    for (size_t i = 0; i < in->config->n_sources; i++) {
        struct span name = span_of(in->config->sources[i].name);
        if (!account_rows(tables, state, name, &ret[i].rows_waiting, &ret[i].rows_merged, err))
            return false;
    }
    return true;
}

static bool add_journal(struct instance *in, struct journal *journal, struct source_books *ret,
                        const uint64_t positions[LANE_COUNT], const uint64_t marks[LANE_COUNT], struct err *err)
{
    size_t n = in->config->n_sources;
    uint64_t *counts = mem_alloc((2 * n + 1) * sizeof *counts);
    bool ok = true;
    for (int l = 0; ok && l < LANE_COUNT; l++) {
        struct lane *lane = journal_lane(journal, (enum lane_id)l);
        struct lane_count c = {.config = in->config, .uncounted = counts, .waiting = counts + n};
        memset(counts, 0, 2 * n * sizeof *counts);
        ok = count_lane(lane, marks[l], positions[l], lane_durable(lane), &c, err);
        for (size_t i = 0; ok && i < n; i++) {
            ret[i].entries_waiting += c.waiting[i];
            if (l == LANE_EVENTS) {
                ret[i].door.received += c.uncounted[i];
                ret[i].door.journalled += c.uncounted[i];
            } else {
                ret[i].door.pages += c.uncounted[i];
            }
        }
    }
    free(counts);
    return ok;
}

static void judge(struct source_books *b, uint64_t *lost)
{
    const struct books *d = &b->door;
    uint64_t in = d->journalled + d->pages, out = d->staged + d->ignored + d->dead + b->entries_waiting;
    /* Damaged entries carry no source any more: they are given to whoever lacks entries. */
    b->damaged = in > out && in - out <= *lost ? in - out : 0;
    *lost -= b->damaged;
    b->balanced = d->received == d->handshake + d->rejected + d->duplicate + d->journalled && in == out + b->damaged &&
                  d->rows_staged == b->rows_merged + b->rows_waiting;
}

static bool read_once(struct instance *in, struct source_books *ret, bool *ret_balanced, struct err *err)
{
    struct journal *journal;
    struct state *state;
    struct tables tables;
    uint64_t positions[LANE_COUNT], marks[LANE_COUNT], lost;
    memset(ret, 0, in->config->n_sources * sizeof *ret);
    if (!instance_journal(in, &journal, err) || !instance_state(in, &state, err))
        return false;
    if (in->live && !server_flush_books(in->live->server, err))
        return false;
    if (!read_state(in, state, ret, positions, marks, &lost, err) || !add_journal(in, journal, ret, positions, marks, err) ||
        !tables_open(&tables, in->config, err))
        return false;
    bool ok = read_rows(in, state, &tables, ret, err);
    tables_close(&tables);
    *ret_balanced = true;
    for (size_t i = 0; ok && i < in->config->n_sources; i++) {
        judge(&ret[i], &lost);
        *ret_balanced = *ret_balanced && ret[i].balanced;
    }
    return ok;
}

bool books_read(struct instance *in, struct source_books *ret, struct err *err)
{
    /* The sides are read one after the other while a server works on: what is between two of them for a moment is looked at
     * again. Books that are truly off stay off. */
    bool balanced = false;
    for (int i = 0; i < TRIES && !balanced; i++) {
        if (i)
            in->io->world->sleep_us(in->io, AGAIN_US);
        if (!read_once(in, ret, &balanced, err))
            return false;
        if (!in->live)
            break;
    }
    return true;
}
