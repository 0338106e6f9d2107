#include "merge/account.h"
#include "staging/unpublished.h"

struct adding {
    struct tables *tables;
    struct state *state;
    sqlite3_stmt *find; /* NULL: the target does not exist yet */
    uint64_t waiting, ahead, oldest_us;
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

/* A joined object waits only with the rows of parts that were not merged. */
static bool add_part(void *ctx, struct span part, uint64_t rows)
{
    struct adding *a = ctx;
    bool merged = false;
    a->ok = !a->find || find(a->tables, a->find, part, &merged, a->err);
    if (merged)
        a->waiting -= rows;
    return a->ok;
}

static bool add_object(void *ctx, const struct staged_object *o)
{
    struct adding *a = ctx;
    bool merged = false;
    a->ok = !a->find || find(a->tables, a->find, o->key, &merged, a->err);
    if (!merged)
        a->waiting += o->rows;
    if (a->ok && !merged && a->state)
        a->ok = state_parts_each(a->state, o->key, add_part, a, a->err) && a->ok;
    return a->ok;
}

/* How many rows of it there are, only the target knows. */
static bool add_unpublished(void *ctx, struct span key)
{
    struct adding *a = ctx;
    bool merged = false;
    a->ok = !a->find || find(a->tables, a->find, key, &merged, a->err);
    if (merged)
        a->ahead += (uint64_t)sqlite3_column_int64(a->find, 0);
    return a->ok;
}

static bool find_oldest(void *ctx, const struct staged_object *o)
{
    struct adding *a = ctx;
    bool merged = false;
    a->ok = !a->find || find(a->tables, a->find, o->key, &merged, a->err);
    if (a->ok && !merged)
        a->oldest_us = o->at_us;
    return a->ok && merged;
}

bool account_oldest(struct tables *t, struct state *s, struct span source, struct span table, uint64_t *ret_us, struct err *err)
{
    struct adding a = {.tables = t, .ok = true, .err = err};
    if (!prepare(t, &a.find, err))
        return false;
    bool ok = state_objects_each(s, source, table, find_oldest, &a, err) && a.ok;
    sqlite3_finalize(a.find);
    if (ok)
        *ret_us = a.oldest_us;
    return ok;
}

bool account_rows(struct tables *t, struct state *s, struct span source, uint64_t *ret_waiting, uint64_t *ret_merged,
                  struct err *err)
{
    struct adding a = {.tables = t, .state = s, .ok = true, .err = err};
    uint64_t merged = 0;
    if (!prepare(t, &a.find, err))
        return false;
    bool ok = tables_rows_merged(t, source, &merged, err) &&
              state_objects_each(s, source, (struct span){0}, add_object, &a, err) && a.ok;
    ok = ok && state_unpublished_each(s, source, add_unpublished, &a, err) && a.ok;
    sqlite3_finalize(a.find);
    if (!ok)
        return false;
    *ret_waiting = a.waiting;
    *ret_merged = merged - a.ahead;
    return true;
}
