/* The table is a function of the set of rows: random histories, applied in any order, with repetitions, in any batches and
 * with the target opened anew in between, give the same registers and the same view; and the view is what a model written
 * from the definition says.
 *
 * SEED=n SEEDS=m run m histories from n on (default: 240 from 1). */
#include "harness.h"
#include "transforms/version.h"

#define ROWS_MAX 48
#define ORDERS 4

struct random {
    uint64_t state;
};

static uint32_t draw(struct random *r, uint32_t below)
{
    r->state = r->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(r->state >> 33) % below;
}

static const char *const names[] = {"a", "b", "B", "Name", "name", "NAME", "createdAt", "_sluice_live", "caf\xc3\xa9", "id", "ID",
                                    "x\\u0022y"};
static const char *const plain_names[] = {"a", "b", "B", "Name", "name", "NAME", "createdAt", "_sluice_live", "caf\xc3\xa9", "id",
                                          "ID", "x\"y"};
#define NAMES (sizeof(names) / sizeof(names[0]))
static const struct {
    const char *json, *shown;
} values[] = {{"1", "1"},
              {"2", "2"},
              {"\"2\"", "\"2\""},
              {"null", "null"},
              {"true", "1"},
              {"1.5", "1.5"},
              {"{\"q\":[1]}", "\"{\\\"q\\\":[1]}\""},
              {"12345678901234567890", "\"12345678901234567890\""},
              {"\"\\u00e9\\n\"", "\"\xc3\xa9\\n\""}};
#define VALUES (sizeof(values) / sizeof(values[0]))
static const struct {
    const char *json, *shown;
} keys[] = {{"1", "1"}, {"\"1\"", "\"1\""}, {"1.5", "1.5"}, {"\"k\\\"\"", "\"k\\\"\""}};
#define KEYS (sizeof(keys) / sizeof(keys[0]))
static const char *const accounts[] = {"", "acct"};

struct event {
    struct row row;
    unsigned key, account;
    int value[NAMES]; /* -1: absent */
    char key_text[64], row_text[1024], entry[64];
    struct buf version;
};

struct history {
    struct world w;
    struct event events[ROWS_MAX];
    size_t n;
};

/* ---- drawing a history ---- */

static const char *pull_lacks[] = {"a", "Name", "_sluice_live", NULL};
static const char *version_columns[] = {"b", NULL};

static void draw_rule(struct history *h, struct random *r)
{
    struct world *w = &h->w;
    unsigned mode = draw(r, 4);
    if (mode & 1)
        w->rule.lacks_pull = (struct lacks_rule){LACKS_LIST, pull_lacks};
    if (mode & 2)
        w->rule.lacks_push = (struct lacks_rule){LACKS_OTHERS, NULL};
    w->rule.version = version_columns;
    w->source.accounts_many = draw(r, 3) == 0;
    w->table_config.flag_deletes = draw(r, 2);
    w->source.tables = &w->table_config;
    w->source.n_tables = 1;
}

static void draw_columns(struct event *e, struct random *r)
{
    int n = snprintf(e->row_text, sizeof(e->row_text), "{");
    for (size_t i = 0; i < NAMES; i++) {
        e->value[i] = draw(r, 3) == 0 ? (int)draw(r, VALUES) : -1;
        if (e->value[i] >= 0)
            n += snprintf(e->row_text + n, sizeof(e->row_text) - (size_t)n, "%s\"%s\":%s", n > 1 ? "," : "", names[i],
                          values[e->value[i]].json);
    }
    snprintf(e->row_text + n, sizeof(e->row_text) - (size_t)n, "}");
}

/* seq and transform together are unique, so versions are; everything before them collides often. */
static void draw_version(struct event *e, struct random *r, uint64_t seq, uint64_t transform)
{
    char number[8];
    snprintf(number, sizeof(number), "%u", draw(r, 3));
    struct json field = {JSON_NUMBER, span_of(number)};
    if (draw(r, 4) == 0)
        field = (struct json){JSON_NONE, {NULL, 0}};
    struct version_parts parts = {.fields = &field,
                                  .n_fields = 1,
                                  .observed_us = EPOCH + draw(r, 5) * SECOND,
                                  .received_us = EPOCH + 10 * SECOND + draw(r, 2),
                                  .rank = draw(r, 2),
                                  .page = e->row.origin == ORIGIN_BACKFILL,
                                  .node = SPAN_LIT("n-1"),
                                  .lane = SPAN_LIT("events"),
                                  .seq = seq,
                                  .transform = transform};
    if (e->row.op == ROW_DELETE)
        version_tombstone(&e->version, &parts);
    else
        version_upsert(&e->version, &parts);
    ck_assert(buf_ok(&e->version));
    e->row.version = buf_span(&e->version);
    e->row.observed_us = parts.observed_us;
    e->row.received_us = parts.received_us;
    snprintf(e->entry, sizeof(e->entry), "n-1/events/%llu", (unsigned long long)seq);
    e->row.entry = span_of(e->entry);
}

static void draw_event(struct history *h, struct random *r, struct event *e)
{
    uint64_t seq = h->n + 1, transform = 0;
    const struct event *again = h->n && draw(r, 6) == 0 ? &h->events[draw(r, (uint32_t)h->n)] : NULL;
    e->key = again ? again->key : draw(r, KEYS);
    e->account = again ? again->account : draw(r, 2);
    if (again) { /* the same entry, replayed with a newer transform */
        struct span rest = again->row.entry, part = {NULL, 0};
        while (rest.p)
            part = span_cut(rest, '/', &rest);
        seq = strtoull(part.p, NULL, 10);
        transform = h->n;
    }
    e->row = (struct row){.source = SPAN_LIT("acme"), .table = SPAN_LIT("orders")};
    e->row.op = draw(r, 4) == 0 ? ROW_DELETE : ROW_UPSERT;
    e->row.origin = (enum row_origin)draw(r, 3);
    bool page = e->row.origin == ORIGIN_BACKFILL;
    e->row.shape = draw(r, 8) == 0 ? (enum shape)draw(r, SHAPE_COUNT) : table_shape(&h->w.rule, page);
    e->row.account = span_of(accounts[e->account]);
    e->row.event_id = page ? (struct span){NULL, 0} : SPAN_LIT("evt");
    snprintf(e->key_text, sizeof(e->key_text), "{\"id\":%s}", keys[e->key].json);
    e->row.key = span_of(e->key_text);
    draw_columns(e, r);
    e->row.row = e->row.op == ROW_DELETE ? SPAN_LIT("null") : span_of(e->row_text);
    draw_version(e, r, seq, transform);
}

/* ---- the model, from the definition ---- */

static bool newer(const struct event *a, const struct event *b)
{
    return !b || strcmp(buf_z((struct buf *)(uintptr_t)&a->version), buf_z((struct buf *)(uintptr_t)&b->version)) > 0;
}

struct model_key {
    const struct event *shape[SHAPE_COUNT], *tombstone;
};

static struct model_key model_of(const struct history *h, unsigned key, unsigned account)
{
    struct model_key m = {.tombstone = NULL};
    for (size_t i = 0; i < h->n; i++) {
        const struct event *e = &h->events[i];
        if (e->key != key || (h->w.source.accounts_many && e->account != account))
            continue;
        const struct event **reg = e->row.op == ROW_DELETE ? &m.tombstone : &m.shape[e->row.shape];
        if (newer(e, *reg))
            *reg = e;
    }
    return m;
}

static bool model_has_column(const struct history *h, size_t name)
{
    for (size_t i = 0; i < h->n; i++) {
        if (h->events[i].row.op == ROW_UPSERT && h->events[i].value[name] >= 0)
            return strcmp(names[name], "id") != 0;
    }
    return false;
}

static void model_column_name(const struct history *h, size_t name, struct buf *out)
{
    const char *text = plain_names[name];
    bool plain = strcasecmp(text, "id") != 0 && strncasecmp(text, "_sluice_", 8) != 0;
    for (size_t i = 0; i < NAMES; i++) {
        if (i != name && model_has_column(h, i) && strcasecmp(plain_names[i], text) == 0 && strcmp(plain_names[i], text) < 0)
            plain = false;
    }
    struct buf full = {0};
    buf_addz(&full, text);
    if (!plain)
        buf_addf(&full, "_%04llx", (unsigned long long)(hash64(span_of(text)) >> 48));
    json_write_string(out, buf_span(&full));
    buf_release(&full);
}

/* The newest register that is alive (or, of a dead key, any) and carries the column. */
static const struct event *model_teller(const struct history *h, const struct model_key *m, bool alive, size_t name)
{
    const struct event *best = NULL;
    for (int s = 0; s < SHAPE_COUNT; s++) {
        const struct event *e = m->shape[s];
        bool counts = e && (!alive || !m->tombstone || e->row.observed_us > m->tombstone->row.observed_us);
        if (counts && newer(e, best) && shape_carries(&h->w.rule, (enum shape)s, span_of(plain_names[name])))
            best = e;
    }
    return best;
}

static void model_row(const struct history *h, unsigned key, unsigned account, struct buf *out)
{
    struct model_key m = model_of(h, key, account);
    bool exists = false, alive = false;
    static const size_t by_name[NAMES] = {2, 10, 5, 3, 7, 0, 1, 8, 6, 9, 4, 11};
    for (int s = 0; s < SHAPE_COUNT; s++) {
        exists |= m.shape[s] != NULL;
        alive |= m.shape[s] && (!m.tombstone || m.shape[s]->row.observed_us > m.tombstone->row.observed_us);
    }
    if (!exists || (!alive && !h->w.table_config.flag_deletes))
        return;
    buf_addf(out, "{\"id\":%s", keys[key].shown);
    for (size_t i = 0; i < NAMES; i++) {
        size_t name = by_name[i];
        if (!model_has_column(h, name))
            continue;
        const struct event *e = model_teller(h, &m, alive, name);
        buf_addc(out, ',');
        model_column_name(h, name, out);
        buf_addf(out, ":%s", e && e->value[name] >= 0 ? values[e->value[name]].shown : "null");
    }
    if (h->w.source.accounts_many)
        buf_addf(out, ",\"_sluice_account\":\"%s\"", accounts[account]);
    if (h->w.table_config.flag_deletes) {
        char at[CLOCK_TEXT_MAX];
        buf_addz(out, ",\"_sluice_deleted_at\":");
        if (!alive)
            clock_iso_us(m.tombstone->row.observed_us, at);
        buf_addf(out, alive ? "null" : "\"%s\"", at);
    }
    buf_addz(out, "}\n");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_lines(struct buf *text)
{
    char *lines[256], *rest = strdup(buf_z(text)), *at = rest;
    size_t n = 0;
    for (char *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = '\0';
        ck_assert_uint_lt(n, 256);
        lines[n++] = at;
    }
    qsort(lines, n, sizeof(lines[0]), by_text);
    buf_clear(text);
    for (size_t i = 0; i < n; i++)
        buf_addf(text, "%s\n", lines[i]);
    free(rest);
}

static void model_view(const struct history *h, struct buf *out)
{
    for (unsigned k = 0; k < KEYS; k++) {
        for (unsigned a = 0; a < (h->w.source.accounts_many ? 2u : 1u); a++)
            model_row(h, k, a, out);
    }
    sort_lines(out);
}

/* ---- applying it ---- */

static void shuffle(struct random *r, size_t *order, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = draw(r, (uint32_t)i), was = order[i - 1];
        order[i - 1] = order[k];
        order[k] = was;
    }
}

static void apply_all(struct history *h, struct random *r, bool first)
{
    size_t order[2 * ROWS_MAX], n = 0;
    struct world *w = &h->w;
    for (size_t i = 0; i < h->n; i++) {
        order[n++] = i;
        if (!first && draw(r, 4) == 0)
            order[n++] = i;
    }
    if (!first)
        shuffle(r, order, n);
    world_open(w);
    world_begin(w);
    for (size_t i = 0; i < n; i++) {
        struct err err = {0};
        const struct row *row = &h->events[order[i]].row;
        ck_assert_msg(w->target->ops->apply(w->target, &w->source, &w->rule, row, &w->last, &err), "%s", err.msg);
        if (first || draw(r, 6))
            continue;
        if (draw(r, 5) == 0) { /* a crash: what was not committed comes again */
            w->target->ops->rollback(w->target);
            i = SIZE_MAX;
            world_begin(w);
            first = true; /* … in one go */
            continue;
        }
        world_commit(w);
        if (draw(r, 4) == 0) {
            world_close(w);
            world_open(w);
        }
        world_begin(w);
    }
    world_commit(w);
    world_close(w);
}

static void dump_registers(struct history *h, struct buf *out)
{
    struct db db;
    struct err err = {0};
    sqlite3_stmt *st;
    bool row;
    struct buf sql = {0};
    ck_assert_msg(db_open_readonly(&db, h->w.path, &err), "%s", err.msg);
    buf_addz(&sql, "SELECT _sluice_account, id, _sluice_shape, _sluice_version, _sluice_observed_at, _sluice_received_at,"
                   " _sluice_entry, _sluice_event_id, _sluice_origin, _sluice_live, _sluice_deleted_at, _sluice_content,"
                   " _sluice_more");
    ck_assert(db_prepare(&db, &st, "SELECT \"column\" FROM _sluice_columns ORDER BY name", &err));
    while (db_step(&db, st, &row, &err) && row) {
        buf_addz(&sql, ", \"");
        for (struct span c = db_col(st, 0); c.n; c = span_skip(c, 1))
            buf_addf(&sql, *c.p == '"' ? "\"\"" : "%c", *c.p);
        buf_addz(&sql, "\"");
    }
    sqlite3_finalize(st);
    buf_addz(&sql, " FROM _sluice_acme_orders");
    dump_query(&db, buf_z(&sql), out);
    dump_query(&db, "SELECT * FROM _sluice_columns", out);
    dump_query(&db, "SELECT sql FROM sqlite_schema WHERE type = 'view'", out);
    dump_query(&db, "SELECT live, dead FROM _sluice_counts", out);
    db_close(&db);
    buf_release(&sql);
    sort_lines(out);
}

static void check_counts(const struct history *h)
{
    ck_assert_int_eq(number(&h->w, "SELECT live FROM _sluice_counts"),
                     number(&h->w, "SELECT count(*) FROM _sluice_acme_orders WHERE _sluice_live = 1"));
    ck_assert_int_eq(number(&h->w, "SELECT dead FROM _sluice_counts"),
                     number(&h->w, "SELECT count(*) FROM _sluice_acme_orders d WHERE _sluice_shape = 'delete' AND NOT EXISTS"
                                   " (SELECT 1 FROM _sluice_acme_orders u WHERE u._sluice_account = d._sluice_account AND u.id ="
                                   " d.id AND u._sluice_live = 1)"));
    ck_assert_int_eq(number(&h->w, "SELECT inserted - deleted - live FROM _sluice_counts"), 0);
}

static void check_history(uint64_t seed)
{
    struct random r = {seed * UINT64_C(0x9e3779b97f4a7c15)};
    struct history *h = calloc(1, sizeof(*h));
    struct buf expected = {0}, view = {0}, registers = {0}, other = {0};
    ck_assert_ptr_nonnull(h);
    world_init(&h->w);
    (void)draw(&r, 2);
    draw_rule(h, &r);
    size_t n = 4 + draw(&r, ROWS_MAX - 4);
    for (; h->n < n; h->n++)
        draw_event(h, &r, &h->events[h->n]);
    model_view(h, &expected);
    for (int k = 0; k < ORDERS; k++) {
        buf_clear(&view);
        buf_clear(&other);
        apply_all(h, &r, k == 0);
        query(&h->w, "SELECT * FROM acme_orders", &view);
        sort_lines(&view);
        ck_assert_msg(strcmp(buf_z(&view), buf_z(&expected)) == 0, "SEED=%llu SEEDS=1, order %d: the view is\n%sthe model\n%s",
                      (unsigned long long)seed, k, buf_z(&view), buf_z(&expected));
        dump_registers(h, k ? &other : &registers);
        ck_assert_msg(!k || strcmp(buf_z(&other), buf_z(&registers)) == 0,
                      "SEED=%llu SEEDS=1, order %d: the registers are\n%sand were\n%s", (unsigned long long)seed, k, buf_z(&other),
                      buf_z(&registers));
        check_counts(h);
        world_wipe(&h->w);
    }
    for (size_t i = 0; i < h->n; i++)
        buf_release(&h->events[i].version);
    buf_release(&expected);
    buf_release(&view);
    buf_release(&registers);
    buf_release(&other);
    world_done(&h->w);
    free(h);
}

START_TEST(any_order_gives_the_models_table)
{
    const char *first = getenv("SEED"), *count = getenv("SEEDS");
    uint64_t seed = first ? strtoull(first, NULL, 10) : 1, n = count ? strtoull(count, NULL, 10) : 240;
    printf("histories %llu to %llu (SEED, SEEDS)\n", (unsigned long long)seed, (unsigned long long)(seed + n - 1));
    for (uint64_t i = 0; i < n; i++)
        check_history(seed + i);
}
END_TEST

static TCase *make(void)
{
    TCase *tc = tcase_create("property");
    tcase_set_timeout(tc, 280);
    tcase_add_test(tc, any_order_gives_the_models_table);
    return tc;
}

int main(void)
{
    return run_suite(make);
}
