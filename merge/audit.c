/* audit: every pull is also a proof that no event was lost (docs/merge.md, "Missed events").
 *
 * A page's row counts as missed when the webhook was active over the whole time in which the change happened, and the
 * page contradicts what was known: the known state was observed after the table's first event and differs in a column
 * that both tell; or nothing was known and the record was created after the first event. A NULL on either side is no
 * contradiction, since a door may leave a field out. When the event comes after all, the count goes down again: lanes
 * are merged independently, so a page may overtake the event. */
#include "merge/sqlite.h"

#define MILLISECONDS_FROM INT64_C(100000000000) /* a number this large is no time in seconds before the year 5138 */

bool row_is_page(const struct row *row)
{
    return row->origin == ORIGIN_BACKFILL && row->event_id.n == 0 && row->op == ROW_UPSERT;
}

static const struct reg *newest_register(const struct sqlite_target *t)
{
    const struct reg *newest = NULL;
    for (int s = 0; s < SHAPE_COUNT; s++) {
        const struct reg *r = &t->regs[s];
        if (r->there && (!newest || version_order(buf_span(&r->version), buf_span(&newest->version)) > 0))
            newest = r;
    }
    return newest;
}

/* Whether the row at hand contradicts the register, in the columns that every shape carries. */
static bool contradicts(struct sqlite_target *t, struct tab *tab, const struct reg *r, bool *ret, struct err *err)
{
    const unsigned all = (1u << SHAPE_COUNT) - 1;
    sqlite3_stmt *st = tab->read[0];
    bool row = false, ok;
    *ret = false;
    if (r->content == t->content)
        return true;
    ok = db_bind(&t->db, st, err, "i", r->id) && db_step(&t->db, st, &row, err);
    for (size_t i = tab->n_keys; ok && row && i < tab->n && !*ret; i++) {
        const struct column *c = &tab->columns[i];
        int at = READ_DATA + (int)(i - tab->n_keys);
        if (c->carriers == all && c->seen == t->serial && c->cell.type != CELL_NULL &&
            sqlite3_column_type(st, at) != SQLITE_NULL)
            *ret = !cell_is_column(&c->cell, st, at);
    }
    sqlite3_reset(st);
    return ok;
}

static void key_json(const struct tab *tab, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < tab->n_keys; i++) {
        buf_addc(out, i ? ',' : '{');
        json_write_string(out, span_make(tab->columns[i].name, tab->columns[i].n));
        buf_addc(out, ':');
        cell_write_json(out, &tab->columns[i].cell);
    }
    buf_addc(out, '}');
}

static bool unlist(struct sqlite_target *t, struct tab *tab, bool *ret_was, struct err *err)
{
    if (!db_run(&t->db, err, "DELETE FROM _sluice_missed WHERE source = ? AND \"table\" = ? AND account = ? AND key = ?",
                "ssSS", tab->source->name, tab->rule->name, t->account, buf_span(&t->name)))
        return false;
    *ret_was = sqlite3_changes(t->db.handle) > 0;
    if (*ret_was)
        tab->missed_listed--;
    return true;
}

/* What the page told, by the list; 0 rows: not listed. */
static bool listed_content(struct sqlite_target *t, struct tab *tab, bool *ret_found, int64_t *ret, struct err *err)
{
    int64_t found;
    static const char sql[] =
        "SELECT content FROM _sluice_missed WHERE source = ?1 AND \"table\" = ?2 AND account = ?3 AND key = ?4";
    static const char count[] =
        "SELECT count(*) FROM _sluice_missed WHERE source = ?1 AND \"table\" = ?2 AND account = ?3 AND key = ?4";
    if (!db_int(&t->db, &found, 0, err, count, "ssSS", tab->source->name, tab->rule->name, t->account, buf_span(&t->name)) ||
        !db_int(&t->db, ret, 0, err, sql, "ssSS", tab->source->name, tab->rule->name, t->account, buf_span(&t->name)))
        return false;
    *ret_found = found > 0;
    return true;
}

bool audit_event(struct sqlite_target *t, struct tab *tab, const struct row *row, struct applied_row *ret, struct err *err)
{
    if (!tab->first_event[0] || strcmp(t->observed, tab->first_event) < 0)
        memcpy(tab->first_event, t->observed, sizeof(tab->first_event));
    if (!tab->missed_listed || row->op == ROW_DELETE)
        return true;
    bool found, differs = true;
    int64_t content;
    key_json(tab, &t->name);
    if (!listed_content(t, tab, &found, &content, err))
        return false;
    if (!found)
        return true;
    const struct reg *newest = newest_register(t);
    if (content == t->content)
        differs = false;
    else if (newest && !contradicts(t, tab, newest, &differs, err))
        return false;
    if (differs)
        return true;
    tab->late++;
    return unlist(t, tab, &ret->told_late, err);
}

/* The record's creation time by its partition column, 0: not known. */
static uint64_t created_us(const struct sqlite_target *t, const struct tab *tab)
{
    const char *name = tab->rule->partition;
    uint64_t us = 0;
    if (!name)
        return 0;
    for (size_t i = 0; i < tab->n; i++) {
        const struct column *c = &tab->columns[i];
        if (strcmp(c->name, name) != 0 || (i >= tab->n_keys && c->seen != t->serial))
            continue;
        if (c->cell.type == CELL_INT && c->cell.i > 0)
            us = (uint64_t)c->cell.i * (c->cell.i < MILLISECONDS_FROM ? 1000000u : 1000u);
        else if (c->cell.type == CELL_TEXT && !clock_parse_iso(c->cell.text, &us))
            us = 0;
        break;
    }
    return us;
}

static bool is_missed(struct sqlite_target *t, struct tab *tab, const struct row *row, bool *ret, struct err *err)
{
    const struct reg *known = newest_register(t);
    *ret = false;
    if (tab->source->webhook_off || !tab->first_event[0])
        return true;
    if (!known) {
        char created[CLOCK_TEXT_MAX];
        uint64_t us = created_us(t, tab);
        clock_iso_us(us, created);
        *ret = us && !t->regs[SLOT_DELETE].there && strcmp(created, tab->first_event) > 0;
        return true;
    }
    bool alive = t->regs[SLOT_FULL].live || t->regs[SLOT_STAR].live;
    bool newer = version_order(row->version, buf_span(&known->version)) > 0;
    if (!alive || !newer || strcmp(t->observed, known->observed) < 0 || strcmp(known->observed, tab->first_event) < 0)
        return true;
    return contradicts(t, tab, known, ret, err);
}

bool audit_page(struct sqlite_target *t, struct tab *tab, const struct row *row, struct applied_row *ret, struct err *err)
{
    bool was_listed;
    if (!is_missed(t, tab, row, &ret->missed, err))
        return false;
    if (!ret->missed)
        return true;
    key_json(tab, &t->name);
    if (!buf_ok(&t->name))
        return err_set(err, ERR_NOMEM, "out of memory for a key");
    if (!unlist(t, tab, &was_listed, err))
        return false;
    if (tab->missed_listed >= MISSED_LISTED_MAX)
        return true;
    tab->missed_listed++;
    return db_run(&t->db, err, "INSERT INTO _sluice_missed VALUES (?, ?, ?, ?, ?, ?, ?)", "ssSSSsi", tab->source->name,
                  tab->rule->name, t->account, buf_span(&t->name), row->entry, t->observed, t->content);
}
