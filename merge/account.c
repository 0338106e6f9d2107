#include "merge/account.h"
#include "staging/settled.h"
#include "staging/unpublished.h"
#include <stdio.h>

#define SETTLED_A_TRANSACTION 2000

/* One moment of state.db, and one of the target that is not earlier: so what was settled, was merged by then. */
struct look {
    struct tables *tables;
    struct state *state;
    bool own_state, own_tables;   /* the read transactions are ours */
    struct target_moment settled; /* as state.db has it */
    struct target_moment now;     /* of the target */
    bool holds;                   /* the target has come to where objects were settled: those need no look */
};

/* The newest opening, and whether the target has all that it had at `then`. */
static bool read_moment(struct tables *t, const struct target_moment *then, struct target_moment *ret, bool *ret_holds,
                        struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    int64_t kept;
    *ret = (struct target_moment){0};
    *ret_holds = !then->opening[0];
    if (t->absent || !db_int(&t->db, &kept, 0, err, "SELECT count(*) FROM sqlite_schema WHERE name = '_sluice_openings'", ""))
        return t->absent;
    if (!kept) /* written by an earlier program */
        return true;
    if (!db_prepare(&t->db, &st, "SELECT id, commits FROM _sluice_openings ORDER BY n DESC LIMIT 1", err))
        return false;
    bool ok = db_step(&t->db, st, &row, err);
    if (ok && row) {
        snprintf(ret->opening, sizeof ret->opening, "%.*s", SPAN_ARG(db_col(st, 0)));
        ret->commits = (uint64_t)sqlite3_column_int64(st, 1);
    }
    sqlite3_finalize(st);
    if (!ok || *ret_holds)
        return ok;
    ok = db_int(&t->db, &kept, -1, err, "SELECT commits FROM _sluice_openings WHERE id = ?", "s", then->opening);
    *ret_holds = ok && kept >= 0 && (uint64_t)kept >= then->commits;
    return ok;
}

static void look_end(struct look *l)
{
    if (l->own_state)
        db_rollback(&l->state->db);
    if (l->own_tables)
        db_rollback(&l->tables->db);
}

static bool look_begin(struct tables *t, struct state *s, struct look *l, struct err *err)
{
    *l = (struct look){.tables = t, .state = s};
    l->own_state = sqlite3_get_autocommit(s->db.handle) != 0;
    l->own_tables = !t->absent && sqlite3_get_autocommit(t->db.handle) != 0;
    bool ok = (!l->own_state || db_exec(&s->db, "BEGIN", err)) && state_settled(s, &l->settled, err) &&
              (!l->own_tables || db_exec(&t->db, "BEGIN", err)) && read_moment(t, &l->settled, &l->now, &l->holds, err);
    if (!ok)
        look_end(l);
    return ok;
}

struct adding {
    struct tables *tables;
    struct state *state;
    sqlite3_stmt *find; /* NULL: the target does not exist yet */
    uint64_t waiting, ahead, oldest_us, joined_us;
    bool ok;
    struct err *err;
};

static bool find(struct tables *t, sqlite3_stmt *st, struct span object, bool *ret, struct err *err)
{
    sqlite3_reset(st);
    return db_bind(&t->db, st, err, "S", object) && db_step(&t->db, st, ret, err);
}

static bool prepare(struct tables *t, sqlite3_stmt **ret, struct err *err)
{
    *ret = NULL;
    return t->absent || db_prepare(&t->db, ret, "SELECT rows FROM _sluice_inputs WHERE object = ?", err);
}

bool account_is_merged(struct tables *t, struct span object, bool *ret, struct err *err)
{
    sqlite3_stmt *st;
    *ret = false;
    if (!prepare(t, &st, err))
        return false;
    bool ok = !st || find(t, st, object, ret, err);
    sqlite3_finalize(st);
    return ok;
}

static bool look_up(struct adding *a, struct span object, bool *ret)
{
    *ret = false;
    a->ok = !a->find || find(a->tables, a->find, object, ret, a->err);
    return a->ok;
}

/* A joined object waits only with its parts that were not merged. */
static bool is_joined(struct span key)
{
    struct object_name n;
    return object_name_parse(key, &n) && span_starts(n.lane, SPAN_LIT("joined-"));
}

static bool subtract_part(void *ctx, const struct staged_object *part)
{
    struct adding *a = ctx;
    bool merged;
    if (look_up(a, part->key, &merged) && merged)
        a->waiting -= part->rows;
    return a->ok;
}

static bool add_object(void *ctx, const struct staged_object *o)
{
    struct adding *a = ctx;
    bool merged;
    if (!look_up(a, o->key, &merged) || merged)
        return a->ok;
    a->waiting += o->rows;
    if (is_joined(o->key))
        a->ok = state_parts_each(a->state, o->key, subtract_part, a, a->err) && a->ok;
    return a->ok;
}

/* How many rows of it there are, only the target knows. */
static bool add_unpublished(void *ctx, struct span key)
{
    struct adding *a = ctx;
    bool merged;
    if (look_up(a, key, &merged) && merged)
        a->ahead += (uint64_t)sqlite3_column_int64(a->find, 0);
    return a->ok;
}

static void note_age(struct adding *a, uint64_t at_us)
{
    if (!a->oldest_us || at_us < a->oldest_us)
        a->oldest_us = at_us;
}

static bool find_oldest_part(void *ctx, const struct staged_object *part)
{
    struct adding *a = ctx;
    bool merged;
    if (look_up(a, part->key, &merged) && !merged)
        note_age(a, part->at_us ? part->at_us : a->joined_us);
    return a->ok;
}

/* Objects come oldest first, a joined one as old as its oldest part. */
static bool find_oldest(void *ctx, const struct staged_object *o)
{
    struct adding *a = ctx;
    bool merged;
    if (a->oldest_us && o->at_us >= a->oldest_us)
        return false;
    if (!look_up(a, o->key, &merged) || merged)
        return a->ok;
    a->joined_us = o->at_us;
    if (is_joined(o->key))
        a->ok = state_parts_each(a->state, o->key, find_oldest_part, a, a->err) && a->ok;
    else
        note_age(a, o->at_us);
    return a->ok;
}

bool account_oldest(struct tables *t, struct state *s, struct span source, struct span table, uint64_t *ret_us, struct err *err)
{
    struct adding a = {.tables = t, .state = s, .ok = true, .err = err};
    struct look look;
    if (!look_begin(t, s, &look, err))
        return false;
    bool ok = prepare(t, &a.find, err) && state_unsettled_each(s, source, table, !look.holds, find_oldest, &a, err) && a.ok;
    sqlite3_finalize(a.find);
    look_end(&look);
    if (ok)
        *ret_us = a.oldest_us;
    return ok;
}

bool account_rows(struct tables *t, struct state *s, struct span source, uint64_t *ret_waiting, uint64_t *ret_merged,
                  struct err *err)
{
    struct adding a = {.tables = t, .state = s, .ok = true, .err = err};
    struct look look;
    uint64_t merged = 0;
    if (!look_begin(t, s, &look, err))
        return false;
    bool ok = prepare(t, &a.find, err) && tables_rows_merged(t, source, &merged, err) &&
              state_unsettled_each(s, source, (struct span){0}, !look.holds, add_object, &a, err) && a.ok;
    ok = ok && state_unpublished_each(s, source, add_unpublished, &a, err) && a.ok;
    sqlite3_finalize(a.find);
    look_end(&look);
    if (!ok)
        return false;
    *ret_waiting = a.waiting;
    *ret_merged = merged - a.ahead;
    return true;
}

/* ---- settling ---- */

struct settling {
    struct adding find;
    struct buf keys; /* NUL-terminated */
    size_t n;
};

static bool gather_merged(void *ctx, const struct staged_object *o)
{
    struct settling *g = ctx;
    bool merged = false;
    g->find.ok = find(g->find.tables, g->find.find, o->key, &merged, g->find.err);
    if (merged) {
        buf_adds(&g->keys, o->key);
        buf_addc(&g->keys, '\0');
        g->n++;
    }
    return g->find.ok && g->n < SETTLED_A_TRANSACTION;
}

static bool settle_some(struct settling *g, struct state *s, struct err *err)
{
    struct look look;
    struct tables *t = g->find.tables;
    buf_clear(&g->keys);
    g->n = 0;
    /* Begun before the target is looked at: what another one settles is then settled by a moment that is not later than ours. */
    if (!db_begin(&s->db, err))
        return false;
    bool ok = look_begin(t, s, &look, err);
    if (ok) {
        ok = (look.holds || state_settled_void(s, err)) && prepare(t, &g->find.find, err) &&
             (!look.now.opening[0] ||
              state_unsettled_each(s, (struct span){0}, (struct span){0}, false, gather_merged, g, err)) &&
             g->find.ok;
        sqlite3_finalize(g->find.find);
        ok = ok && (buf_ok(&g->keys) || err_set(err, ERR_NOMEM, "out of memory for the names of objects"));
        for (size_t at = 0; ok && at < g->keys.n; at += strlen(g->keys.p + at) + 1)
            ok = state_settle(s, span_of(g->keys.p + at), err);
        ok = ok && (!look.now.opening[0] || state_settled_at(s, &look.now, err));
        look_end(&look);
    }
    ok = ok && db_commit(&s->db, err);
    if (!ok)
        db_rollback(&s->db);
    return ok;
}

bool account_settle(struct tables *t, struct state *s, struct err *err)
{
    struct settling g = {.find = {.tables = t, .ok = true, .err = err}};
    struct look look;
    if (!look_begin(t, s, &look, err))
        return false;
    bool same = look.holds && strcmp(look.now.opening, look.settled.opening) == 0 && look.now.commits == look.settled.commits;
    look_end(&look);
    bool ok = true;
    /* Where the target is what it was, nothing was merged since. */
    for (bool more = t->absent ? look.settled.opening[0] : !same; ok && more; more = g.n == SETTLED_A_TRANSACTION)
        ok = settle_some(&g, s, err);
    buf_release(&g.keys);
    return ok;
}
