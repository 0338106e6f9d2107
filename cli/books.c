#include "cli/books.h"
#include "merge/account.h"
#include "staging/pages.h"
#include "server/server.h"
#include <stdlib.h>

#define TRIES 40
#define AGAIN_US 50000

/* What the journal itself says of one lane: entries above the door's mark, and at or above the staging position. */
struct lane_look {
    const struct config *config;
    struct source_books *books;
    enum lane_id lane;
};

static void add_counted(void *ctx, const struct lane_counted *c)
{
    const struct lane_look *look = ctx;
    const struct source_config *s = config_source(look->config, c->source);
    if (!s)
        return;
    struct source_books *b = &look->books[s - look->config->sources];
    uint64_t uncounted = c->entries[0];
    b->door.received += look->lane == LANE_EVENTS ? uncounted : 0;
    b->door.journalled += look->lane == LANE_EVENTS ? uncounted : 0;
    b->door.pages += look->lane == LANE_EVENTS ? 0 : uncounted;
    b->entries_waiting += c->entries[1];
    if (c->entries[1] && (!b->oldest_waiting_us || c->oldest_us[1] < b->oldest_waiting_us))
        b->oldest_waiting_us = c->oldest_us[1];
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
        if (!in->config->merge_db) { /* whoever merges them keeps count of it */
            ret[i].rows_waiting = ret[i].door.rows_staged;
            continue;
        }
        if (!account_rows(tables, state, name, &ret[i].rows_waiting, &ret[i].rows_merged, err))
            return false;
    }
    return true;
}

static bool add_journal(struct instance *in, struct journal *journal, struct source_books *ret,
                        const uint64_t positions[LANE_COUNT], const uint64_t marks[LANE_COUNT], struct err *err)
{
    for (int l = 0; l < LANE_COUNT; l++) {
        struct lane_look look = {.config = in->config, .books = ret, .lane = (enum lane_id)l};
        const uint64_t from[2] = {marks[l] + 1, positions[l]};
        if (!lane_count(journal_lane(journal, look.lane), from, add_counted, &look, err))
            return false;
    }
    return true;
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
