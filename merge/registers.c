/* registers: what a row does to its key (invariants 1 to 3 in sqlite.h).
 *
 *   find the key's rows -> kept out unless newer than its register -> write the register -> show
 * where "show" is: with a 'full' register alone, mark it live or dead; else compute '*' from the registers. */
#include "merge/sqlite.h"
#include <stdio.h>

static const char *const slot_names[SLOT_COUNT] = {"full", "pull", "push", "delete", "*"};

const char *origin_name(enum row_origin o)
{
    static const char *const names[] = {"webhook", "backfill", "replay"};
    return names[o];
}

static void copy_text(char out[CLOCK_TEXT_MAX], sqlite3_stmt *st, int i)
{
    struct span s = db_col(st, i);
    size_t n = s.n < CLOCK_TEXT_MAX ? s.n : CLOCK_TEXT_MAX - 1;
    if (n)
        memcpy(out, s.p, n);
    out[n] = '\0';
}

int version_order(struct span a, struct span b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static bool bind_key(struct sqlite_target *t, struct tab *tab, sqlite3_stmt *st, struct err *err)
{
    int code = sqlite3_bind_text64(st, 1, t->account.n ? t->account.p : "", t->account.n, SQLITE_STATIC, SQLITE_UTF8);
    for (size_t i = 0; i < tab->n_keys && code == SQLITE_OK; i++)
        code = cell_bind(st, (int)i + 2, &tab->columns[i].cell);
    return db_ok(t, code, err);
}

static bool find(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    bool row, ok;
    for (int s = 0; s < SLOT_COUNT; s++)
        t->regs[s].there = t->regs[s].live = false;
    ok = bind_key(t, tab, tab->find, err);
    while (ok && (ok = db_step(&t->db, tab->find, &row, err)) && row) {
        struct span shape = db_col(tab->find, 0);
        int slot = 0;
        while (slot < SLOT_COUNT && !span_eqz(shape, slot_names[slot]))
            slot++;
        if (slot == SLOT_COUNT)
            continue;
        struct reg *r = &t->regs[slot];
        r->there = true;
        r->id = sqlite3_column_int64(tab->find, 1);
        buf_clear(&r->version);
        buf_adds(&r->version, db_col(tab->find, 2));
        copy_text(r->observed, tab->find, 3);
        r->live = sqlite3_column_int(tab->find, 4) == 1;
        copy_text(r->deleted_at, tab->find, 5);
        r->content = sqlite3_column_int64(tab->find, 6);
        if (!buf_ok(&r->version))
            ok = err_set(err, ERR_NOMEM, "out of memory for a version");
    }
    sqlite3_reset(tab->find);
    return ok;
}

/* ---- writing ---- */

static int bind_span(sqlite3_stmt *st, int at, struct span s)
{
    return s.n ? sqlite3_bind_text64(st, at, s.p, s.n, SQLITE_STATIC, SQLITE_UTF8) : sqlite3_bind_null(st, at);
}

static bool run_write(struct sqlite_target *t, sqlite3_stmt *st, struct err *err)
{
    bool row, ok = db_step(&t->db, st, &row, err);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return ok;
}

/* Key, shape and, for an update, the row's id; absent columns stay NULL. */
static bool bind_place(struct sqlite_target *t, struct tab *tab, enum slot slot, sqlite3_stmt **ret, struct err *err)
{
    const struct reg *r = &t->regs[slot];
    sqlite3_stmt *st = r->there ? tab->update : tab->insert;
    sqlite3_clear_bindings(st);
    int code = SQLITE_OK;
    if (r->there) {
        code = sqlite3_bind_int64(st, id_param(tab), r->id);
    } else {
        if (!bind_key(t, tab, st, err))
            return false;
        code = sqlite3_bind_text(st, fixed_param(tab, F_SHAPE), slot_names[slot], -1, SQLITE_STATIC);
    }
    *ret = st;
    return db_ok(t, code, err);
}

static bool bind_show(struct sqlite_target *t, struct tab *tab, sqlite3_stmt *st, bool live, const char *deleted_at,
                      struct err *err)
{
    int code = sqlite3_bind_int(st, fixed_param(tab, F_LIVE), live);
    if (code == SQLITE_OK && deleted_at)
        code = sqlite3_bind_text(st, fixed_param(tab, F_DELETED_AT), deleted_at, -1, SQLITE_STATIC);
    return db_ok(t, code, err);
}

static bool write_register(struct sqlite_target *t, struct tab *tab, const struct row *row, enum slot slot, bool live,
                           const char *deleted_at, struct err *err)
{
    sqlite3_stmt *st;
    if (!bind_place(t, tab, slot, &st, err) || !bind_show(t, tab, st, live, deleted_at, err))
        return false;
    const struct span fixed[] = {
        [F_VERSION] = row->version,
        [F_OBSERVED] = span_of(t->observed),
        [F_RECEIVED] = span_of(t->received),
        [F_ENTRY] = row->entry,
        [F_EVENT_ID] = row->event_id,
        [F_ORIGIN] = span_of(origin_name(row->origin)),
    };
    int code = SQLITE_OK;
    for (int f = F_VERSION; f <= F_ORIGIN && code == SQLITE_OK; f++)
        code = bind_span(st, fixed_param(tab, (enum fixed)f), fixed[f]);
    if (row->op == ROW_UPSERT && code == SQLITE_OK) {
        code = sqlite3_bind_int64(st, fixed_param(tab, F_CONTENT), t->content);
        if (code == SQLITE_OK)
            code = bind_span(st, fixed_param(tab, F_MORE), buf_span(&t->more));
        for (size_t i = tab->n_keys; i < tab->n && code == SQLITE_OK; i++) {
            if (tab->columns[i].seen == t->serial)
                code = cell_bind(st, column_param(tab, i), &tab->columns[i].cell);
        }
    }
    if (!db_ok(t, code, err) || !run_write(t, st, err))
        return false;
    struct reg *r = &t->regs[slot];
    if (!r->there)
        r->id = sqlite3_last_insert_rowid(t->db.handle);
    r->there = true;
    r->live = live;
    memcpy(r->observed, t->observed, sizeof(r->observed));
    snprintf(r->deleted_at, sizeof(r->deleted_at), "%s", deleted_at ? deleted_at : "");
    buf_clear(&r->version);
    buf_adds(&r->version, row->version);
    return buf_ok(&r->version) || err_set(err, ERR_NOMEM, "out of memory for a version");
}

static bool mark(struct sqlite_target *t, struct tab *tab, enum slot slot, bool live, const char *deleted_at, struct err *err)
{
    struct reg *r = &t->regs[slot];
    if (r->live == live && strcmp(r->deleted_at, deleted_at ? deleted_at : "") == 0)
        return true;
    r->live = live;
    snprintf(r->deleted_at, sizeof(r->deleted_at), "%s", deleted_at ? deleted_at : "");
    return db_bind(&t->db, tab->mark, err, "isi", (int64_t)live, deleted_at, r->id) && run_write(t, tab->mark, err);
}

/* ---- the composed row ---- */

struct composition {
    enum slot used[SHAPE_COUNT]; /* newest first */
    size_t n;
    bool alive;
};

static bool observed_after_delete(const struct sqlite_target *t, const char *observed)
{
    return !t->regs[SLOT_DELETE].there || strcmp(observed, t->regs[SLOT_DELETE].observed) > 0;
}

/* The alive registers, newest first; where none is, all: what the row said last (`deletes: flag` shows it). */
static struct composition compose_of(const struct sqlite_target *t)
{
    struct composition c = {.n = 0};
    for (int pass = 0; pass < 2 && c.n == 0; pass++) {
        c.alive = pass == 0;
        for (int s = 0; s < SHAPE_COUNT; s++) {
            const struct reg *r = &t->regs[s];
            if (!r->there || (pass == 0 && !observed_after_delete(t, r->observed)))
                continue;
            size_t at = c.n++;
            for (; at && version_order(buf_span(&r->version), buf_span(&t->regs[c.used[at - 1]].version)) > 0; at--)
                c.used[at] = c.used[at - 1];
            c.used[at] = (enum slot)s;
        }
    }
    return c;
}

static unsigned more_carriers(const struct tab *tab, struct span name)
{
    unsigned mask = 0;
    for (unsigned s = 0; s < SHAPE_COUNT; s++)
        mask |= shape_carries(tab->rule, (enum shape)s, name) ? 1u << s : 0;
    return mask;
}

/* Surplus of the composed row: each member from the newest used shape that carries it. */
static bool compose_more(struct sqlite_target *t, struct tab *tab, const struct composition *c, struct err *err)
{
    t->n_surplus = 0;
    buf_clear(&t->more);
    buf_clear(&t->name);
    for (size_t k = 0; k < c->n; k++) {
        struct span more = db_col(tab->read[k], READ_MORE), key;
        if (!more.n)
            continue;
        struct json_iter it = json_iter((struct json){JSON_OBJECT, more});
        struct json value;
        if (!buf_reserve(&t->name, SHAPE_COUNT * more.n + 64))
            return err_set(err, ERR_NOMEM, "out of memory for a row of many members");
        while (json_next(&it, &key, &value)) {
            size_t at = t->name.n, newest = 0;
            if (!json_unescape(&t->name, key) || !buf_ok(&t->name))
                return err_set(err, ERR_NOMEM, "out of memory for a row of many members");
            struct span name = span_make(t->name.p + at, t->name.n - at);
            unsigned carriers = more_carriers(tab, name);
            while (newest < c->n && !(carriers & 1u << c->used[newest]))
                newest++;
            if (newest != k)
                t->name.n = at;
            else if (!surplus_add(t, (struct span){NULL, at}, value.raw, (unsigned)name.n, err))
                return false;
        }
    }
    for (size_t i = 0; i < t->n_surplus; i++) /* the texts may have moved while they were gathered */
        t->surplus[i].name = span_make(t->name.p + t->surplus[i].name.n, t->surplus[i].from);
    return surplus_write(t, err);
}

static bool bind_composed(struct sqlite_target *t, struct tab *tab, const struct composition *c, sqlite3_stmt *st,
                          struct err *err)
{
    static const int from[] = {[F_RECEIVED] = READ_RECEIVED, [F_ENTRY] = READ_ENTRY, [F_EVENT_ID] = READ_EVENT_ID,
                               [F_ORIGIN] = READ_ORIGIN};
    const struct reg *newest = &t->regs[c->used[0]];
    int code = bind_span(st, fixed_param(tab, F_VERSION), buf_span(&newest->version));
    if (code == SQLITE_OK)
        code = sqlite3_bind_text(st, fixed_param(tab, F_OBSERVED), newest->observed, -1, SQLITE_STATIC);
    for (int f = F_RECEIVED; f <= F_ORIGIN && code == SQLITE_OK; f++)
        code = sqlite3_bind_value(st, fixed_param(tab, (enum fixed)f), sqlite3_column_value(tab->read[0], from[f]));
    for (size_t i = tab->n_keys; i < tab->n && code == SQLITE_OK; i++) {
        size_t k = 0;
        while (k < c->n && !(tab->columns[i].carriers & 1u << c->used[k]))
            k++;
        if (k < c->n)
            code = sqlite3_bind_value(st, column_param(tab, i),
                                      sqlite3_column_value(tab->read[k], READ_DATA + (int)(i - tab->n_keys)));
    }
    if (code == SQLITE_OK && tab->more) {
        if (!compose_more(t, tab, c, err))
            return false;
        code = bind_span(st, fixed_param(tab, F_MORE), buf_span(&t->more));
    }
    return db_ok(t, code, err);
}

static bool compose(struct sqlite_target *t, struct tab *tab, struct err *err)
{
    struct composition c = compose_of(t);
    sqlite3_stmt *st;
    bool ok = bind_place(t, tab, SLOT_STAR, &st, err), row = true;
    for (size_t k = 0; ok && k < c.n; k++) {
        ok = db_bind(&t->db, tab->read[k], err, "i", t->regs[c.used[k]].id) && db_step(&t->db, tab->read[k], &row, err);
        if (ok && !row)
            ok = err_set(err, ERR_DURABLE, "table %s lost a register while it was read: the file is damaged", tab->physical);
    }
    ok = ok && bind_composed(t, tab, &c, st, err) &&
         bind_show(t, tab, st, c.alive, c.alive ? NULL : t->regs[SLOT_DELETE].observed, err) && run_write(t, st, err);
    for (size_t k = 0; k < c.n; k++)
        sqlite3_reset(tab->read[k]);
    t->regs[SLOT_STAR].live = c.alive;
    return ok;
}

/* ---- the key's state ---- */

static bool has_shapes(const struct sqlite_target *t)
{
    return t->regs[SLOT_PULL].there || t->regs[SLOT_PUSH].there;
}

static bool has_row(const struct sqlite_target *t)
{
    return t->regs[SLOT_FULL].there || has_shapes(t);
}

static bool is_alive(const struct sqlite_target *t)
{
    return t->regs[SLOT_FULL].live || t->regs[SLOT_STAR].live;
}

static bool is_dead_key(const struct sqlite_target *t)
{
    return t->regs[SLOT_DELETE].there && !is_alive(t);
}

static bool apply_upsert(struct sqlite_target *t, struct tab *tab, const struct row *row, struct err *err)
{
    enum slot slot = (enum slot)row->shape;
    if (slot != SLOT_FULL || has_shapes(t))
        return write_register(t, tab, row, slot, false, NULL, err) &&
               (!t->regs[SLOT_FULL].there || mark(t, tab, SLOT_FULL, false, NULL, err)) && compose(t, tab, err);
    bool alive = observed_after_delete(t, t->observed);
    return write_register(t, tab, row, slot, alive, alive ? NULL : t->regs[SLOT_DELETE].observed, err);
}

static bool apply_delete(struct sqlite_target *t, struct tab *tab, const struct row *row, struct err *err)
{
    if (!write_register(t, tab, row, SLOT_DELETE, false, NULL, err))
        return false;
    if (has_shapes(t))
        return compose(t, tab, err);
    if (!t->regs[SLOT_FULL].there)
        return true;
    bool alive = observed_after_delete(t, t->regs[SLOT_FULL].observed);
    return mark(t, tab, SLOT_FULL, alive, alive ? NULL : t->regs[SLOT_DELETE].observed, err);
}

/* Every path fills ret->what by what the public table shows of it. */
static bool change(struct sqlite_target *t, struct tab *tab, const struct row *row, struct applied_row *ret, struct err *err)
{
    bool was_alive = is_alive(t), was_dead = is_dead_key(t);
    if (!(row->op == ROW_DELETE ? apply_delete(t, tab, row, err) : apply_upsert(t, tab, row, err)))
        return false;
    bool alive = has_row(t) && is_alive(t);
    bool shows = row->op == ROW_UPSERT || has_shapes(t);
    if (alive)
        ret->what = !was_alive ? APPLIED_INSERTED : shows ? APPLIED_UPDATED : APPLIED_KEPT_OUT;
    else
        ret->what = was_alive ? APPLIED_DELETED : APPLIED_KEPT_OUT;
    tab->live += (int64_t)alive - (int64_t)was_alive;
    tab->dead += (int64_t)is_dead_key(t) - (int64_t)was_dead;
    return true;
}

static bool take(struct sqlite_target *t, struct tab *tab, const struct row *row, struct err *err)
{
    if (!row->version.n || (unsigned)row->shape >= SHAPE_COUNT || (unsigned)row->origin > ORIGIN_REPLAY) {
        t->refused = true;
        return err_set(err, ERR_INPUT, "the row has no version, or an unknown shape or origin");
    }
    t->account = tab->source->accounts_many ? row->account : SPAN_LIT("");
    t->content = 0;
    buf_clear(&t->more);
    clock_iso_us(row->observed_us, t->observed);
    clock_iso_us(row->received_us, t->received);
    return take_key(t, tab, row, err) && (row->op == ROW_DELETE || take_row(t, tab, row, err));
}

bool row_apply(struct sqlite_target *t, struct tab *tab, const struct row *row, struct applied_row *ret, struct err *err)
{
    struct applied_row applied = {.what = APPLIED_KEPT_OUT};
    if (!take(t, tab, row, err) || !tab_refresh(t, tab, err) || !find(t, tab, err))
        return false;
    tab->dirty = true;
    if (row->received_us > tab->newest_us)
        tab->newest_us = row->received_us;
    if (row->origin == ORIGIN_WEBHOOK && !audit_event(t, tab, row, &applied, err))
        return false;
    enum slot slot = row->op == ROW_DELETE ? SLOT_DELETE : (enum slot)row->shape;
    const struct reg *r = &t->regs[slot];
    if (!r->there || version_order(row->version, buf_span(&r->version)) > 0) {
        if (row_is_page(row) && !audit_page(t, tab, row, &applied, err))
            return false;
        if (!change(t, tab, row, &applied, err))
            return false;
    }
    *ret = applied;
    return true;
}
