#include "staging/ledger.h"
#include "staging/books.h"

#define LETTERS " FROM dead WHERE entry = ? AND source = ? AND sink = 'objects'"

bool ledger_pending(struct state *s, const char *lane, uint64_t *ret_first, uint64_t *ret_last, bool *ret_found, struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    if (!db_prepare(&s->db, &st, "SELECT first, last FROM cuts WHERE lane = ?", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "s", lane) && db_step(&s->db, st, &row, err);
    if (ok && row) {
        *ret_first = (uint64_t)sqlite3_column_int64(st, 0);
        *ret_last = (uint64_t)sqlite3_column_int64(st, 1);
    }
    sqlite3_finalize(st);
    if (ok)
        *ret_found = row;
    return ok;
}

static bool record(struct state *s, const struct cut *c, uint64_t first, uint64_t last, struct err *err)
{
    if (!c->replay && !db_run(&s->db, err, "INSERT OR REPLACE INTO cuts(lane, first, last) VALUES(?, ?, ?)", "suu", c->lane,
                              first, last))
        return false;
    for (size_t i = 0; i < c->n_outputs; i++) {
        const struct output *o = &c->outputs[i];
        /* A published object of this name (an entry that is replayed again) stays published. */
        if (!db_run(&s->db, err,
                    "INSERT OR IGNORE INTO objects(key, source, tbl, lane, first, last, rows, bytes, at_us, published)"
                    " VALUES(?, ?, ?, ?, ?, ?, 0, 0, 0, 0)",
                    "ssssuu", o->key, o->source->config->name, o->table, c->lane, first, last))
            return false;
    }
    return true;
}

bool ledger_record(struct state *s, const struct cut *c, uint64_t first, uint64_t last, struct err *err)
{
    bool own;
    return state_tx_begin(s, &own, err) && state_tx_end(s, own, record(s, c, first, last, err), err);
}

static bool has_key(const struct cut *c, struct span key)
{
    for (size_t i = 0; i < c->n_outputs; i++) {
        if (span_eqz(key, c->outputs[i].key))
            return true;
    }
    return false;
}

bool ledger_stale(struct state *s, const struct cut *c, uint64_t first, bool (*each)(void *ctx, const char *key, struct err *err),
                  void *ctx, struct err *err)
{
    sqlite3_stmt *st;
    bool row = true;
    char key[STORE_KEY_MAX + 1];
    if (!db_prepare(&s->db, &st, "SELECT key FROM objects WHERE lane = ? AND first = ? AND published = 0", err))
        return false;
    bool ok = db_bind(&s->db, st, err, "su", c->lane, first);
    while (ok && (ok = db_step(&s->db, st, &row, err)) && row) {
        struct span found = db_col(st, 0);
        if (has_key(c, found) || found.n > STORE_KEY_MAX)
            continue;
        memcpy(key, found.p, found.n);
        key[found.n] = '\0';
        ok = each(ctx, key, err);
    }
    sqlite3_finalize(st);
    return ok;
}

static bool publish_objects(struct state *s, const struct cut *c, uint64_t first, uint64_t now_us, struct err *err)
{
    for (size_t i = 0; i < c->n_outputs; i++) {
        const struct output *o = &c->outputs[i];
        struct books again = {0};
        int64_t before;
        /* The same object written once more holds the same rows: they count once. */
        if (!db_int(&s->db, &before, 0, err, "SELECT rows FROM objects WHERE key = ? AND published = 1", "s", o->key))
            return false;
        again.rows_staged = 0 - (uint64_t)before;
        if (before && !books_sum(s, span_of(o->source->config->name), &again, err))
            return false;
        if (!db_run(&s->db, err, "UPDATE objects SET rows = ?, bytes = ?, at_us = ?, published = 1 WHERE key = ?", "uuus",
                    o->rows, o->bytes, now_us, o->key))
            return false;
    }
    /* What an earlier transform stored of this range may have been merged: account needs its names. */
    return db_run(&s->db, err, "UPDATE objects SET published = 2 WHERE lane = ? AND first = ? AND published = 0", "su", c->lane,
                  first);
}

static bool put_letters(struct state *s, const struct cut *c, bool alone, struct err *err)
{
    const char *text = c->text.p;
    for (size_t i = 0; i < cut_letters(c); i++) {
        const struct letter *l = (const struct letter *)(const void *)c->letters.p + i;
        struct dead_letter d = {
            .source = span_of(text + l->source),
            .table = span_of(text + l->table),
            .entry = span_of(text + l->entry),
            .reason = span_of(text + l->reason),
            .item = l->item,
            .at_us = l->at_us,
        };
        if (!dead_put(s, &d, l->alone && alone, err))
            return false;
    }
    return true;
}

static bool put_tallies(struct state *s, const struct cut *c, struct err *err)
{
    for (size_t i = 0; i < cut_tallies(c); i++) {
        const struct tally *t = (const struct tally *)(const void *)c->tallies.p + i;
        if (!books_sum(s, span_of(c->text.p + t->source), &t->counts, err))
            return false;
    }
    return true;
}

static bool publish(struct state *s, const struct cut *c, uint64_t first, uint64_t last, uint64_t lost, uint64_t now_us,
                    struct err *err)
{
    if (!publish_objects(s, c, first, now_us, err) || !put_letters(s, c, true, err) || !put_tallies(s, c, err))
        return false;
    if (c->ignored.n && !db_run(&s->db, err, "INSERT OR REPLACE INTO ignored(lane, first, last, seqs) VALUES(?, ?, ?, ?)", "suuB",
                                c->lane, c->first, c->last, buf_span(&c->ignored)))
        return false;
    return db_run(&s->db, err,
                  "INSERT INTO positions(sink, lane, next, lost) VALUES('objects', ?, ?, ?)"
                  " ON CONFLICT(sink, lane) DO UPDATE SET next = excluded.next, lost = lost + excluded.lost",
                  "suu", c->lane, last + 1, lost) &&
           db_run(&s->db, err, "DELETE FROM cuts WHERE lane = ?", "s", c->lane);
}

bool ledger_publish(struct state *s, const struct cut *c, uint64_t first, uint64_t last, uint64_t lost, uint64_t now_us,
                    struct err *err)
{
    bool own;
    return state_tx_begin(s, &own, err) && state_tx_end(s, own, publish(s, c, first, last, lost, now_us, err), err);
}

static bool replayed(struct state *s, const struct cut *c, struct span source, struct span entry, uint64_t now_us,
                     struct err *err)
{
    int64_t letters, alone, rows = 0;
    struct books d = {0};
    if (!db_int(&s->db, &letters, 0, err, "SELECT count(*)" LETTERS, "SS", entry, source) ||
        !db_int(&s->db, &alone, 0, err, "SELECT max(alone)" LETTERS, "SS", entry, source))
        return false;
    for (size_t i = 0; i < c->n_outputs; i++)
        rows += (int64_t)c->outputs[i].rows;
    d.rows_staged = (uint64_t)rows;
    d.rows_dead = (uint64_t)cut_letters(c) - (uint64_t)letters;
    if (alone && (rows || !cut_letters(c))) {
        d.dead = 0 - UINT64_C(1);
        d.staged = rows ? 1 : 0;
        d.ignored = rows ? 0 : 1;
    }
    return publish_objects(s, c, c->first, now_us, err) && books_sum(s, source, &d, err) &&
           db_run(&s->db, err, "DELETE" LETTERS, "SS", entry, source) &&
           put_letters(s, c, alone != 0, err);
}

bool ledger_replayed(struct state *s, const struct cut *c, struct span source, struct span entry, uint64_t now_us,
                     struct err *err)
{
    bool own;
    return state_tx_begin(s, &own, err) && state_tx_end(s, own, replayed(s, c, source, entry, now_us, err), err);
}

static bool replayed_range(struct state *s, const struct cut *c, uint64_t now_us, struct err *err)
{
    if (!publish_objects(s, c, c->first, now_us, err))
        return false;
    for (size_t i = 0; i < cut_tallies(c); i++) {
        const struct tally *t = (const struct tally *)(const void *)c->tallies.p + i;
        struct books rows = {.rows_staged = t->counts.rows_staged}; /* the entries were counted when they came */
        if (!books_sum(s, span_of(c->text.p + t->source), &rows, err))
            return false;
    }
    return true;
}

bool ledger_replayed_range(struct state *s, const struct cut *c, uint64_t now_us, struct err *err)
{
    bool own;
    return state_tx_begin(s, &own, err) && state_tx_end(s, own, replayed_range(s, c, now_us, err), err);
}

bool ledger_forget(struct state *s, const char *lane, uint64_t first, uint64_t before_us, struct err *err)
{
    bool own;
    if (!state_tx_begin(s, &own, err))
        return false;
    bool ok = db_run(&s->db, err,
                     "DELETE FROM objects WHERE (lane IN (?1, 'joined-' || ?1) OR lane GLOB 'replay-' || ?1 || '*')"
                     " AND last < ?2 AND at_us < ?3 AND published IN (1, 4)",
                     "suu", lane, first, before_us) &&
              db_run(&s->db, err, "DELETE FROM joins WHERE at_us < ? AND object NOT IN (SELECT key FROM objects)", "u",
                     before_us) &&
              db_run(&s->db, err, "DELETE FROM ignored WHERE lane = ? AND last < ?", "su", lane, first);
    return state_tx_end(s, own, ok, err);
}
