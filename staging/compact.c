#include "staging/compact.h"
#include "core/codec.h"
#include "staging/manifest_live.h"
#include <stdio.h>

#define SMALL_BYTES (UINT64_C(4) << 20)   /* compressed; a larger one is left alone */
#define JOINED_BYTES (UINT64_C(32) << 20) /* compressed; of one joined object */
#define PARTS_MAX 1000
#define SWAPS_MAX 5

struct group {
    char place[STORE_KEY_MAX + 1]; /* <folder><node>.<lane>. */
    struct object_name name;       /* of the first part; borrows parts */
    struct buf parts;              /* keys, NUL-ended */
    struct buf rows;               /* uint64_t of each */
    uint64_t n, bytes, total, last;
    bool busy;
};

static void clear(struct group *g)
{
    buf_clear(&g->parts);
    buf_clear(&g->rows);
    g->n = g->bytes = g->total = g->last = 0;
    g->busy = false;
}

/* ---- published ---- */
struct publishing {
    struct stager *s;
    const char *joined;
    uint64_t now_us, rows;
    int64_t oldest_us; /* of the parts */
    struct err *err;
    bool ok;
};

static bool publish_part(void *ctx, struct span part, uint64_t rows)
{
    struct publishing *p = ctx;
    struct db *db = &p->s->state.db;
    int64_t at_us;
    p->rows += rows;
    p->ok = db_int(db, &at_us, p->oldest_us, p->err, "SELECT at_us FROM objects WHERE key = ?", "S", part);
    p->oldest_us = at_us < p->oldest_us ? at_us : p->oldest_us;
    p->ok = p->ok && db_run(db, p->err, "UPDATE objects SET published = 3 WHERE key = ?", "S", part) &&
            db_run(db, p->err, "INSERT OR REPLACE INTO joins(part, object, rows, at_us) VALUES(?, ?, ?, ?)", "Ssuu", part,
                   p->joined, rows, p->now_us);
    return p->ok;
}

/* By what the manifest says. *ret_found false: it does not list this object. */
static bool publish_joined(struct stager *s, const struct live *l, const char *joined, bool *ret_found, struct err *err)
{
    uint64_t now = stager_now(s);
    struct publishing p = {.s = s, .joined = joined, .now_us = now, .oldest_us = (int64_t)now, .err = err, .ok = true};
    if (!db_begin(&s->state.db, err))
        return false;
    bool ok = live_parts(l, joined, publish_part, &p, ret_found, err) && p.ok;
    if (ok && *ret_found)
        ok = db_run(&s->state.db, err, "UPDATE objects SET published = 1, rows = ?, at_us = ? WHERE key = ?", "uis", p.rows,
                    p.oldest_us, joined);
    ok = ok && db_commit(&s->state.db, err);
    if (!ok)
        db_rollback(&s->state.db);
    return ok;
}

/* ---- what a crash left ---- */
static bool next_key(struct stager *s, const char *sql, uint64_t argument, char ret[STORE_KEY_MAX + 1], struct err *err)
{
    sqlite3_stmt *st;
    bool row = false;
    ret[0] = '\0';
    if (!db_prepare(&s->state.db, &st, sql, err))
        return false;
    bool ok = db_bind(&s->state.db, st, err, "u", argument) && db_step(&s->state.db, st, &row, err);
    if (ok && row && db_col(st, 0).n <= STORE_KEY_MAX) {
        memcpy(ret, db_col(st, 0).p, db_col(st, 0).n);
        ret[db_col(st, 0).n] = '\0';
    }
    sqlite3_finalize(st);
    return ok;
}

static bool repair(struct stager *s, bool *ret_worked, struct err *err)
{
    char key[STORE_KEY_MAX + 1];
    struct live l;
    bool found = false;
    if (!next_key(s, "SELECT key FROM objects WHERE published IN (0, 2) AND published = 0 AND lane GLOB 'joined-*' AND ?1 = 0"
                  " LIMIT 1" /* objects_unpublished */, 0, key, err))
        return false;
    if (!key[0])
        return true;
    *ret_worked = true;
    live_init(&l);
    bool ok = live_load(&l, s->o.store, key, err) && publish_joined(s, &l, key, &found, err);
    live_release(&l);
    if (ok && !found)
        ok = s->o.store->ops->remove(s->o.store, key, err) &&
             db_run(&s->state.db, err, "DELETE FROM objects WHERE key = ?", "s", key);
    return ok;
}

static bool remove_part(struct stager *s, bool *ret_worked, struct err *err)
{
    char key[STORE_KEY_MAX + 1];
    uint64_t now = stager_now(s), quiet = s->o.config->objects.compact_us;
    if (!next_key(s,
                  "SELECT o.key FROM objects o CROSS JOIN joins j ON j.part = o.key WHERE o.published = 3 AND j.at_us < ?"
                  " LIMIT 1" /* objects_retired */,
                  now > quiet ? now - quiet : 0, key, err))
        return false;
    if (!key[0])
        return true;
    *ret_worked = true;
    return s->o.store->ops->remove(s->o.store, key, err) &&
           db_run(&s->state.db, err, "UPDATE objects SET published = 4 WHERE key = ?", "s", key);
}

/* ---- joining ---- */
static bool full(const struct group *g)
{
    return g->n == PARTS_MAX || g->bytes >= JOINED_BYTES;
}

/* Objects in the order of their keys: those of one folder, node and lane follow each other by their ranges. */
static bool find_group(struct stager *s, struct group *g, struct err *err)
{
    sqlite3_stmt *st;
    uint64_t now = stager_now(s), quiet = s->o.config->objects.compact_us, before = now > quiet ? now - quiet : 0;
    bool row = true, ok;
    if (!db_prepare(&s->state.db, &st,
                    "SELECT key, rows, bytes, at_us FROM objects WHERE published = 1 AND lane IN ('events', 'backfill')"
                    " ORDER BY key",
                    err))
        return false;
    clear(g);
    g->place[0] = '\0';
    while ((ok = db_step(&s->state.db, st, &row, err)) && row) {
        struct span key = db_col(st, 0);
        struct object_name name;
        uint64_t rows = (uint64_t)sqlite3_column_int64(st, 1), bytes = (uint64_t)sqlite3_column_int64(st, 2);
        if (key.n > STORE_KEY_MAX || !object_name_parse(key, &name) || !span_eqz(name.node, journal_node(s->o.journal)))
            continue;
        size_t place = (size_t)(name.lane.p + name.lane.n + 1 - key.p);
        if (strlen(g->place) != place || memcmp(g->place, key.p, place) != 0) {
            if (g->n > 1 && !g->busy)
                break;
            clear(g);
            memcpy(g->place, key.p, place);
            g->place[place] = '\0';
        }
        if ((uint64_t)sqlite3_column_int64(st, 3) >= before)
            g->busy = true;
        if (bytes >= SMALL_BYTES || full(g))
            continue;
        buf_add(&g->parts, key.p, key.n);
        buf_addc(&g->parts, '\0');
        buf_add(&g->rows, &rows, sizeof(rows));
        g->n++;
        g->bytes += bytes;
        g->total += rows;
        g->last = name.last;
    }
    sqlite3_finalize(st);
    if (ok && (!buf_ok(&g->parts) || !buf_ok(&g->rows)))
        ok = err_set(err, ERR_NOMEM, "out of memory for a list of objects");
    if (g->n < 2 || g->busy)
        clear(g);
    return ok;
}

struct copying {
    struct cut *cut;
    const struct staged_source *source;
    const char *table, *date;
    struct buf line;
};

static bool copy_line(void *ctx, struct span line, struct err *err)
{
    struct copying *c = ctx;
    buf_clear(&c->line);
    buf_adds(&c->line, line);
    buf_addc(&c->line, '\n');
    if (!buf_ok(&c->line))
        return err_set(err, ERR_NOMEM, "out of memory for a row of %zu bytes", line.n);
    return cut_lines(c->cut, c->source, c->table, c->date, buf_span(&c->line), 1, err);
}

static void describe(struct buf *out, const struct live *l, const struct group *g, const char *joined)
{
    const char *key = g->parts.p;
    struct span inner = l->joined.type == JSON_ARRAY ? (struct span){l->joined.raw.p + 1, l->joined.raw.n - 2} : SPAN_LIT("");
    buf_addf(out, "{\"format\":1,\"joined\":[%.*s%s{\"object\":\"%s\",\"parts\":[", SPAN_ARG(inner),
             json_count(l->joined) ? "," : "",
             joined);
    for (uint64_t i = 0; i < g->n; i++, key += strlen(key) + 1) {
        uint64_t rows;
        memcpy(&rows, g->rows.p + i * sizeof(rows), sizeof(rows));
        buf_addf(out, "%s{\"object\":\"%s\",\"rows\":%llu}", i ? "," : "", key, (unsigned long long)rows);
    }
    buf_addz(out, "]}]}");
}

static bool switch_over(struct stager *s, struct live *l, const struct group *g, const char *joined, struct err *err)
{
    char path[STORE_KEY_MAX + sizeof(MANIFEST_NAME)];
    bool swapped = false, ok = true;
    for (unsigned i = 0; ok && !swapped && i < SWAPS_MAX; i++) {
        struct buf text;
        buf_init(&text, (size_t)16 << 20);
        ok = live_load(l, s->o.store, joined, err);
        if (ok) {
            describe(&text, l, g, joined);
            size_t n = strlen(l->folder);
            memcpy(path, l->folder, n);
            memcpy(path + n, MANIFEST_NAME, sizeof(MANIFEST_NAME));
            ok = buf_ok(&text) || err_set(err, ERR_FULL, "%s would be larger than 16 MiB", path);
        }
        ok = ok && s->o.store->ops->swap(s->o.store, path, l->tag, buf_span(&text), &swapped, err);
        buf_release(&text);
    }
    if (ok && !swapped)
        ok = err_set(err, ERR_TRANSIENT, "%s is changed by others all the time", path);
    return ok && live_load(l, s->o.store, joined, err);
}

static bool write_joined(struct stager *s, const struct group *g, struct cut *c, const struct object_name *first,
                         const struct staged_source *source, struct err *err)
{
    char table[STORE_KEY_MAX + 1], date[CLOCK_TEXT_MAX];
    struct copying copy = {.cut = c, .source = source, .table = table, .date = date};
    bool ok = true;
    (void)snprintf(table, sizeof(table), "%.*s", SPAN_ARG(first->table));
    (void)snprintf(date, sizeof(date), "%.*s", SPAN_ARG(first->date));
    buf_init(&copy.line, LINE_BYTES_MAX + 1);
    const char *key = g->parts.p;
    for (uint64_t i = 0; ok && i < g->n; i++, key += strlen(key) + 1)
        ok = object_lines(s->o.store, key, copy_line, &copy, err);
    buf_release(&copy.line);
    if (ok && (c->n_outputs != 1 || c->outputs[0].rows != g->total))
        ok = err_set(err, ERR_INPUT, "objects of %s hold %llu rows, but the books say %llu", g->place,
                     (unsigned long long)(c->n_outputs ? c->outputs[0].rows : 0), (unsigned long long)g->total);
    ok = ok && cut_seal(c, first->first, g->last, err) && ledger_record(&s->state, c, first->first, g->last, err) &&
        cut_commit(c, err);
    return ok;
}

static bool join_group(struct stager *s, const struct group *g, struct err *err)
{
    struct object_name first;
    struct live l;
    char lane[80], source[STORE_KEY_MAX + 1];
    bool found = false;
    (void)object_name_parse(span_of(g->parts.p), &first);
    (void)snprintf(lane, sizeof(lane), "joined-%.*s", (int)(first.lane.n < 60 ? first.lane.n : 60), first.lane.p);
    (void)snprintf(source, sizeof(source), "%.*s", SPAN_ARG(first.source));
    struct source_config config = {.name = source};
    struct staged_source staged = {.config = &config};
    (void)snprintf(staged.name, sizeof(staged.name), "%016llx", (unsigned long long)hash64(buf_span(&g->parts)));
    struct cut *c = cut_new(s->o.store, journal_node(s->o.journal), lane, err);
    if (!c)
        return false;
    c->replay = true; /* its range is no part of a lane's way */
    c->gzip = s->o.config->objects.gzip;
    live_init(&l);
    bool ok = write_joined(s, g, c, &first, &staged, err) && switch_over(s, &l, g, c->outputs[0].key, err) &&
              db_run(&s->state.db, err, "UPDATE objects SET bytes = ? WHERE key = ?", "us", c->outputs[0].bytes,
                     c->outputs[0].key) &&
              publish_joined(s, &l, c->outputs[0].key, &found, err);
    if (ok && !found)
        ok = err_set(err, ERR_TRANSIENT, "the manifest of %s lost what was put into it", g->place);
    live_release(&l);
    cut_free(&c);
    return ok;
}

bool compact_step(struct stager *s, bool *ret_worked, struct err *err)
{
    struct group g = {0};
    bool worked = false;
    bool joins = s->o.config->objects.compact_us > 0;
    bool ok = repair(s, &worked, err) && (worked || !joins || remove_part(s, &worked, err));
    if (ok && joins && !worked) {
        ok = find_group(s, &g, err);
        worked = ok && g.n;
        ok = ok && (!g.n || join_group(s, &g, err));
    }
    buf_release(&g.parts);
    buf_release(&g.rows);
    *ret_worked |= worked && ok;
    return ok;
}
