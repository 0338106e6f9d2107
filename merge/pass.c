/* pass: lists the objects of each table in use, and merges those that are not merged.
 *
 * Objects are read in transactions of at least ROWS_A_TRANSACTION rows (whole objects, with the fact that they are
 * merged). One that cannot be read is set aside, its transaction is rolled back, and the others of it are read again. */
#include "core/clock.h"
#include "core/codec.h"
#include "merge/internal.h"
#include "staging/manifest_live.h"
#include <stdio.h>
#include <stdlib.h>

#define ROWS_A_TRANSACTION 20000
#define OBJECTS_A_TRANSACTION 1000
#define OBJECTS_A_BATCH 4096 /* listed at a time: the list stays small however much waits */
#define BAD_MAX 64
#define GIVE_WAY_US (UINT64_C(10) * 1000000)
#define GIVE_WAY_LOOK_US (UINT64_C(20) * 1000)
#define LINES_BETWEEN_LOOKS 256
#define DAY_US (UINT64_C(86400) * 1000000)

struct table_pass {
    struct merger *m;
    const struct source_config *source;
    const struct table_rule *rule;
    struct err *err;
    bool failed, full;
    struct live live;
};

/* ---- listing ---- */

static bool is_bad(const struct merger *m, const char *key)
{
    for (size_t at = 0; at < m->bad.n; at += strlen(m->bad.p + at) + 1) {
        if (strcmp(m->bad.p + at, key) == 0)
            return true;
    }
    return false;
}

static bool list_one(void *ctx, const char *key)
{
    struct table_pass *p = ctx;
    struct merger *m = p->m;
    struct object_name name;
    bool merged, live;
    if (atomic_load(&m->stop)) {
        p->failed = !err_set(p->err, ERR_STOPPED, "the merge was asked to stop");
        return false;
    }
    if (!live_see(&p->live, m->store, key, &live, p->err)) {
        p->failed = true;
        return false;
    }
    if (!live || !object_name_parse(span_of(key), &name) || !span_eqz(name.source, p->source->name) ||
        !span_eqz(name.table, p->rule->name) || is_bad(m, key))
        return true;
    if (!m->target->ops->is_merged(m->target, key, &merged, p->err)) {
        p->failed = true;
        return false;
    }
    if (merged)
        return true;
    if (m->n_keys == OBJECTS_A_BATCH) {
        p->full = true;
        return false;
    }
    buf_add(&m->keys, key, strlen(key) + 1);
    m->n_keys++;
    return true;
}

static bool list_folder(struct table_pass *p, const char *date)
{
    char prefix[STORE_KEY_MAX];
    int n = snprintf(prefix, sizeof(prefix), "%s/%s/%s%s%s", p->source->name, p->rule->name, date ? "dt=" : "",
                     date ? date : "", date ? "/" : "");
    if (n < 0 || (size_t)n >= sizeof(prefix))
        return err_set(p->err, ERR_CONFIG, "the name of table %s of %s is too long", p->rule->name, p->source->name);
    return p->m->store->ops->list(p->m->store, prefix, list_one, p, p->err) && !p->failed;
}

static bool list_objects(struct table_pass *p)
{
    struct merger *m = p->m;
    uint64_t began = m->io->world->monotonic_us(m->io), now = m->io->world->now_us(m->io);
    char today[CLOCK_TEXT_MAX], yesterday[CLOCK_TEXT_MAX];
    buf_clear(&m->keys);
    m->n_keys = 0;
    p->full = false;
    clock_date(now, today);
    clock_date(now > DAY_US ? now - DAY_US : 0, yesterday);
    bool ok = m->recent ? list_folder(p, yesterday) && (p->full || list_folder(p, today)) : list_folder(p, NULL);
    m->listing_us += m->io->world->monotonic_us(m->io) - began;
    return ok && (buf_ok(&m->keys) || err_set(p->err, ERR_NOMEM, "out of memory for a list of objects"));
}

/* ---- one object ---- */

struct object_pass {
    struct table_pass *p;
    struct merge_counts counts;
    struct rejection rejections[REJECTIONS_KEPT];
    size_t n_rejections;
    struct buf scratch;
};

static void reject(struct object_pass *o, const struct err *why)
{
    if (o->n_rejections < REJECTIONS_KEPT) {
        struct rejection *r = &o->rejections[o->n_rejections++];
        r->line = o->counts.rows;
        snprintf(r->reason, sizeof(r->reason), "%.*s", (int)sizeof(r->reason) - 1, why->msg);
    }
    o->counts.rejected++;
}

static void count(struct merge_counts *c, const struct applied_row *a)
{
    c->inserted += a->what == APPLIED_INSERTED;
    c->updated += a->what == APPLIED_UPDATED;
    c->deleted += a->what == APPLIED_DELETED;
    c->kept_out += a->what == APPLIED_KEPT_OUT;
    c->missed += a->missed;
    if (a->told_late && c->missed)
        c->missed--;
}

static bool merge_line(void *ctx, struct span line, struct err *err)
{
    struct object_pass *o = ctx;
    struct table_pass *p = o->p;
    struct target *target = p->m->target;
    struct row row;
    struct applied_row applied;
    if (o->counts.rows++ % LINES_BETWEEN_LOOKS == 0 && atomic_load(&p->m->stop))
        return err_set(err, ERR_STOPPED, "the merge was asked to stop");
    struct err why = {0};
    bool ok = row_read(line, &row, &o->scratch, &why);
    if (ok && (!span_eqz(row.source, p->source->name) || !span_eqz(row.table, p->rule->name)))
        ok = err_set(&why, ERR_INPUT, "the row is of table '%.*s' of '%.*s'", (int)(row.table.n > 60 ? 60 : row.table.n),
                     row.table.p, (int)(row.source.n > 60 ? 60 : row.source.n), row.source.p);
    ok = ok && target->ops->apply(target, p->source, p->rule, &row, &applied, &why);
    if (ok) {
        count(&o->counts, &applied);
    } else if (why.cls == ERR_INPUT) {
        reject(o, &why);
    } else {
        *err = why;
        return false;
    }
    return true;
}

struct unmerged {
    struct target *target;
    struct err *err;
    uint64_t rows, parts;
    bool ok;
};

static bool add_unmerged(void *ctx, struct span part, uint64_t rows)
{
    struct unmerged *u = ctx;
    char key[STORE_KEY_MAX + 1];
    bool merged = false;
    (void)snprintf(key, sizeof(key), "%.*s", SPAN_ARG(part));
    u->ok = u->target->ops->is_merged(u->target, key, &merged, u->err);
    u->rows += merged ? 0 : rows;
    u->parts += !merged;
    return u->ok;
}

/* Of a joined object those rows are new whose parts were not merged: the others the books have already. */
static bool count_unmerged(struct table_pass *p, const char *key, struct unmerged *u)
{
    struct live l;
    bool found = false;
    *u = (struct unmerged){.target = p->m->target, .err = p->err, .ok = true};
    live_init(&l);
    bool ok = live_load(&l, p->m->store, key, p->err) && live_parts(&l, key, add_unmerged, u, &found, p->err) && u->ok;
    live_release(&l);
    return ok && (found || err_set(p->err, ERR_TRANSIENT, "%s is not in its manifest any more", key));
}

static bool merge_object(struct table_pass *p, const char *key, struct merge_counts *counts)
{
    struct merger *m = p->m;
    struct object_pass *o = calloc(1, sizeof(*o));
    if (!o)
        return err_set(p->err, ERR_NOMEM, "out of memory to merge %s", key);
    o->p = p;
    buf_init(&o->scratch, LINE_BYTES_MAX);
    struct unmerged u = {0};
    bool joined = live_is_joined(key);
    bool ok = !joined || count_unmerged(p, key, &u);
    ok = ok && ((joined && !u.parts) || object_lines(m->store, key, merge_line, o, p->err));
    if (ok && joined)
        o->counts.rows = u.rows;
    if (ok) {
        struct merged_object done = {.object = key,
                                     .source = span_of(p->source->name),
                                     .table = span_of(p->rule->name),
                                     .rows = o->counts.rows,
                                     .rejected = o->counts.rejected,
                                     .rejections = o->rejections,
                                     .n_rejections = o->n_rejections,
                                     .at_us = m->io->world->now_us(m->io)};
        ok = m->target->ops->merged(m->target, &done, p->err);
    }
    o->counts.objects = 1;
    *counts = o->counts;
    buf_release(&o->scratch);
    free(o);
    return ok;
}

/* ---- one batch ---- */

static void add_counts(struct merge_counts *to, const struct merge_counts *c)
{
    to->objects += c->objects;
    to->rows += c->rows;
    to->inserted += c->inserted;
    to->updated += c->updated;
    to->deleted += c->deleted;
    to->kept_out += c->kept_out;
    to->missed += c->missed;
    to->rejected += c->rejected;
}

struct object_ref {
    const char *key;
    struct object_name name;
};

static int span_order(struct span a, struct span b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_place(const void *a, const void *b)
{
    const struct object_ref *x = a, *y = b;
    int order = span_order(x->name.node, y->name.node);
    if (!order)
        order = span_order(x->name.lane, y->name.lane);
    if (!order)
        order = (x->name.first > y->name.first) - (x->name.first < y->name.first);
    return order ? order : strcmp(x->key, y->key);
}

static struct object_ref *refs_of(const struct merger *m)
{
    struct object_ref *refs = calloc(m->n_keys, sizeof(*refs));
    const char *at = m->keys.p;
    for (size_t i = 0; refs && i < m->n_keys; i++, at += strlen(at) + 1) {
        refs[i].key = at;
        (void)object_name_parse(span_of(at), &refs[i].name);
    }
    if (refs)
        qsort(refs, m->n_keys, sizeof(*refs), by_place);
    return refs;
}

/* An object that cannot be read waits; anything else ends the table or the pass. */
static bool set_aside(struct table_pass *p, const char *key)
{
    struct merger *m = p->m;
    if (p->err->cls != ERR_INPUT || m->n_bad == BAD_MAX)
        return false;
    if (!m->first.cls)
        m->first = *p->err;
    m->n_bad++;
    buf_add(&m->bad, key, strlen(key) + 1);
    return buf_ok(&m->bad);
}

/* What is being staged is waited for by whoever looks at the lag; what is staged can be merged later, but not for ever. */
static void give_way(const struct merger *m)
{
    const struct io *io = m->io;
    uint64_t from = io->world->monotonic_us(io);
    while (m->gives_way && !atomic_load(&m->stop) && m->gives_way(m->gives_way_ctx) &&
           io->world->monotonic_us(io) - from < GIVE_WAY_US)
        io->world->sleep_us(io, GIVE_WAY_LOOK_US);
}

static bool merge_refs(struct table_pass *p, const struct object_ref *refs, size_t n, struct merge_counts *counts)
{
    struct target *target = p->m->target;
    struct merge_counts group = {0}, one;
    size_t began = 0;
    bool open = false;
    for (size_t i = 0; i < n; i++) {
        if (is_bad(p->m, refs[i].key))
            continue;
        if (!open)
            give_way(p->m);
        if (!open && !target->ops->begin(target, p->err))
            return false;
        open = true;
        if (!merge_object(p, refs[i].key, &one)) {
            target->ops->rollback(target);
            open = false;
            group = (struct merge_counts){0};
            if (!set_aside(p, refs[i].key))
                return false;
            i = began - 1; /* again from the transaction's first object, without this one */
            continue;
        }
        add_counts(&group, &one);
        bool last = i + 1 == n;
        if (!last && group.rows < ROWS_A_TRANSACTION && group.objects < OBJECTS_A_TRANSACTION)
            continue;
        if (!target->ops->commit(target, p->err)) {
            target->ops->rollback(target);
            return false;
        }
        open = false;
        add_counts(counts, &group);
        group = (struct merge_counts){0};
        began = i + 1;
    }
    if (!open)
        return true;
    if (!target->ops->commit(target, p->err)) { /* the last ones were set aside */
        target->ops->rollback(target);
        return false;
    }
    add_counts(counts, &group);
    return true;
}

static bool pass_table(struct table_pass *p, struct merge_counts *counts)
{
    do {
        if (!list_objects(p))
            return false;
        if (!p->m->n_keys)
            return true;
        struct object_ref *refs = refs_of(p->m);
        if (!refs)
            return err_set(p->err, ERR_NOMEM, "out of memory for a list of objects");
        bool ok = merge_refs(p, refs, p->m->n_keys, counts);
        free(refs);
        if (!ok)
            return false;
    } while (p->full);
    return true;
}

/* ---- orders ---- */

static bool read_orders(struct merger *m, const struct source_config *s, const struct table_rule *rule, struct table_control *ret,
                        struct err *err)
{
    *ret = (struct table_control){0};
    if (!m->data_dir)
        return true;
    m->orders_open = m->orders_open || state_open(&m->orders, m->data_dir, false, err);
    return m->orders_open && controls_read(&m->orders, span_of(s->name), span_of(rule->name), ret, err);
}

/* A crash before the order is crossed out clears once more, before anything else is merged into the table. */
static bool clear_table(struct merger *m, const struct source_config *s, const struct table_rule *rule, struct err *err)
{
    struct target *target = m->target;
    if (!target->ops->begin(target, err) || !target->ops->clear(target, s, rule, err) || !target->ops->commit(target, err)) {
        target->ops->rollback(target);
        return false;
    }
    return controls_cleared(&m->orders, span_of(s->name), span_of(rule->name), err);
}

static bool pass_table_as_ordered(struct table_pass *p, struct merge_counts *counts)
{
    struct table_control c;
    if (!read_orders(p->m, p->source, p->rule, &c, p->err))
        return false;
    if (c.clear) /* what is staged goes with the rest; a list that is short would leave some of it */
        p->m->recent = false;
    if (c.paused && !c.clear) {
        p->m->held += hash128(span_of(p->source->name)).lo ^ hash128(span_of(p->rule->name)).hi;
        return true;
    }
    return pass_table(p, counts) && (!c.clear || clear_table(p->m, p->source, p->rule, p->err));
}

static bool pass_one(struct merger *m, const struct source_config *s, const struct table_rule *rule,
                     struct merge_counts *counts, struct err *err)
{
    struct table_pass p = {.m = m, .source = s, .rule = rule, .err = err};
    live_init(&p.live);
    bool ok = pass_table_as_ordered(&p, counts);
    live_release(&p.live);
    if (ok)
        return true;
    err_prefix(err, "merge of %s of %s", rule->name, s->name);
    if (err->cls != ERR_CONFIG)
        return false;
    if (!m->first.cls) /* this table waits for its operator; the others go on */
        m->first = *err;
    return true;
}

bool merger_pass(struct merger *m, struct span source, struct span table, struct merge_counts *counts, struct err *err)
{
    struct err own = {0};
    m->first = (struct err){0};
    m->n_bad = 0;
    m->listing_us = 0;
    buf_clear(&m->bad);
    for (size_t i = 0; i < m->config->n_sources; i++) {
        const struct source_config *s = &m->config->sources[i];
        if (source.n && !span_eqz(source, s->name))
            continue;
        for (size_t k = 0; k <= s->manifest->n_tables; k++) {
            const struct table_rule *t = k < s->manifest->n_tables ? &s->manifest->tables[k] : &manifest_events_table;
            if ((table.n && !span_eqz(table, t->name)) || !source_has_table(s, span_of(t->name)))
                continue;
            if (!pass_one(m, s, t, counts, &own)) {
                if (err)
                    *err = own;
                return false;
            }
        }
    }
    if (m->first.cls && err)
        *err = m->first;
    return !m->first.cls;
}
