/* explain: every state of one key that staging holds, with the verdict on each by the same rules as the registers. */
#include "staging/manifest_live.h"
#include "core/clock.h"
#include "merge/account.h"
#include "merge/cell.h"
#include "merge/tables.h"
#include <stdio.h>
#include <stdlib.h>

#define CANDIDATE_BYTES_MAX ((size_t)64 << 20)

struct found {
    char *line; /* owns what `row` borrows */
    size_t bytes;
    struct buf scratch;
    struct row row;
    char object[STORE_KEY_MAX];
    bool merged, holds;
    char why[160];
};

struct explanation {
    struct tables *t;
    const struct source_config *source;
    const struct table_rule *rule;
    struct cell *wanted; /* of the key's columns; NULL: `plain` */
    struct span plain;
    struct buf key_text, scratch, text;
    struct found **found;
    size_t n, cap, bytes;
    const char *object;
    bool merged;
    struct err *err;
    bool failed;
};

/* ---- the key ---- */

static bool read_key(struct explanation *x, struct span key, struct err *err)
{
    struct json v;
    bool object = key.n && key.p[0] == '{';
    if (!object && x->rule->n_key == 1) {
        x->plain = key;
        return true;
    }
    if (!object || !json_parse(key, &v, NULL)) {
        buf_clear(&x->text);
        for (size_t i = 0; i < x->rule->n_key; i++)
            buf_addf(&x->text, "%s\"%s\":…", i ? "," : "", x->rule->key[i]);
        return err_set(err, ERR_INPUT, "'%.*s' is no key of table %s: write {%s}", (int)(key.n > 80 ? 80 : key.n), key.p,
                       x->rule->name, buf_z(&x->text));
    }
    x->wanted = calloc(x->rule->n_key, sizeof(*x->wanted));
    if (!x->wanted || !buf_reserve(&x->key_text, 2 * key.n + 64))
        return err_set(err, ERR_NOMEM, "out of memory for a key");
    for (size_t i = 0; i < x->rule->n_key; i++) {
        struct json member = json_get(v, span_of(x->rule->key[i]));
        if (member.type == JSON_NONE)
            return err_set(err, ERR_INPUT, "the key has no '%s', which is part of the key of table %s", x->rule->key[i],
                           x->rule->name);
        if (!cell_of(member, true, &x->key_text, &x->wanted[i], err))
            return false;
    }
    return true;
}

static bool matches(struct explanation *x, const struct row *row)
{
    struct json key = {JSON_OBJECT, row->key};
    buf_clear(&x->text);
    if (!buf_reserve(&x->text, 2 * row->key.n + 64))
        return false;
    for (size_t i = 0; i < x->rule->n_key; i++) {
        struct cell c;
        if (!cell_of(json_get(key, span_of(x->rule->key[i])), true, &x->text, &c, NULL))
            return false;
        if (x->wanted) {
            if (!cell_eq(&c, &x->wanted[i]))
                return false;
        } else if (c.type == CELL_TEXT) {
            return span_eq(c.text, x->plain);
        } else {
            buf_clear(&x->text);
            cell_write_json(&x->text, &c);
            return span_eq(buf_span(&x->text), x->plain);
        }
    }
    return true;
}

/* ---- gathering ---- */

static void found_free(struct found *f)
{
    free(f->line);
    buf_release(&f->scratch);
    free(f);
}

static int order_of(struct span a, struct span b)
{
    int order = memcmp(a.n ? a.p : "", b.n ? b.p : "", a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* Accounts apart, upserts before deletes, oldest version first. */
static int by_state(const void *a, const void *b)
{
    const struct found *x = *(struct found *const *)a, *y = *(struct found *const *)b;
    int order = order_of(x->row.account, y->row.account);
    if (!order)
        order = (int)x->row.op - (int)y->row.op;
    if (!order)
        order = order_of(x->row.version, y->row.version);
    return order ? order : strcmp(x->object, y->object);
}

static void forget_oldest(struct explanation *x)
{
    size_t oldest = 0;
    for (size_t i = 1; i < x->n; i++) {
        if (order_of(x->found[i]->row.version, x->found[oldest]->row.version) < 0)
            oldest = i;
    }
    x->bytes -= x->found[oldest]->bytes;
    found_free(x->found[oldest]);
    x->found[oldest] = x->found[--x->n];
}

static bool keep(struct explanation *x, struct span line, struct err *err)
{
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 16;
        struct found **grown = realloc(x->found, cap * sizeof(*grown));
        if (!grown)
            return err_set(err, ERR_NOMEM, "out of memory for the states of a key");
        x->found = grown;
        x->cap = cap;
    }
    struct found *f = calloc(1, sizeof(*f));
    if (!f || !(f->line = malloc(line.n + 1))) {
        free(f);
        return err_set(err, ERR_NOMEM, "out of memory for the states of a key");
    }
    memcpy(f->line, line.p, line.n);
    f->bytes = line.n + sizeof(*f);
    f->merged = x->merged;
    snprintf(f->object, sizeof(f->object), "%s", x->object);
    if (!row_read(span_make(f->line, line.n), &f->row, &f->scratch, err)) {
        found_free(f);
        return false;
    }
    x->found[x->n++] = f;
    x->bytes += f->bytes;
    while (x->bytes > CANDIDATE_BYTES_MAX && x->n > 1)
        forget_oldest(x);
    return true;
}

static bool take_line(void *ctx, struct span line, struct err *err)
{
    struct explanation *x = ctx;
    struct row row;
    /* A line that cannot be read was rejected by the merge; it is no state of any key. */
    if (!row_read(line, &row, &x->scratch, NULL) || !matches(x, &row))
        return true;
    return keep(x, line, err);
}

struct object_list {
    struct explanation *x;
    struct store *store;
    struct live live;
};

static bool take_object(void *ctx, const char *key)
{
    struct object_list *l = ctx;
    struct explanation *x = l->x;
    bool live;
    x->failed = !live_see(&l->live, l->store, key, &live, x->err);
    if (x->failed || !live)
        return !x->failed;
    x->object = key;
    if (account_is_merged(x->t, span_of(key), &x->merged, x->err) && object_lines(l->store, key, take_line, x, x->err))
        return true;
    x->failed = true;
    return false;
}

/* ---- the verdict ---- */

struct verdict { /* registers of one account, by the merged candidates */
    struct found *upsert[SHAPE_COUNT], *tombstone;
};

static bool is_alive(const struct verdict *v, const struct found *f)
{
    return !v->tombstone || f->row.observed_us > v->tombstone->row.observed_us;
}

static void judge(const struct verdict *v, struct found *f, bool many)
{
    const struct found *reg = f->row.op == ROW_DELETE ? v->tombstone : v->upsert[f->row.shape];
    char at[CLOCK_TEXT_MAX];
    if (!f->merged) {
        snprintf(f->why, sizeof(f->why), "not merged yet");
    } else if (f != reg) {
        bool same = order_of(f->row.version, reg->row.version) == 0;
        snprintf(f->why, sizeof(f->why), "%s", same ? "the same row again" : "older version");
    } else if (f->row.op == ROW_UPSERT) {
        f->holds = is_alive(v, f);
        if (f->holds) {
            snprintf(f->why, sizeof(f->why), "newest%s%s", many ? " of shape " : "", many ? shape_name(f->row.shape) : "");
            return;
        }
        clock_iso_us(v->tombstone->row.observed_us, at);
        snprintf(f->why, sizeof(f->why), "not later than the delete of %s", at);
    } else {
        const struct found *later = NULL;
        for (int s = 0; s < SHAPE_COUNT; s++) {
            if (v->upsert[s] && is_alive(v, v->upsert[s]))
                later = v->upsert[s];
        }
        f->holds = !later;
        if (!later) {
            snprintf(f->why, sizeof(f->why), "newest delete, nothing was observed later");
            return;
        }
        clock_iso_us(later->row.observed_us, at);
        snprintf(f->why, sizeof(f->why), "the row was seen again at %s", at);
    }
}

/* found[from, to) are of one account, sorted. */
static void judge_account(struct explanation *x, size_t from, size_t to)
{
    struct verdict v = {.tombstone = NULL};
    for (size_t i = from; i < to; i++) {
        struct found *f = x->found[i];
        struct found **reg = f->row.op == ROW_DELETE ? &v.tombstone : &v.upsert[f->row.shape];
        if (f->merged && (!*reg || order_of(f->row.version, (*reg)->row.version) > 0))
            *reg = f;
    }
    bool many = v.upsert[SHAPE_PULL] || v.upsert[SHAPE_PUSH];
    for (size_t i = from; i < to; i++)
        judge(&v, x->found[i], many);
}

static void judge_all(struct explanation *x)
{
    if (!x->n)
        return;
    if (!x->source->accounts_many) { /* the account is no part of the key */
        for (size_t i = 0; i < x->n; i++)
            x->found[i]->row.account = SPAN_LIT("");
    }
    qsort(x->found, x->n, sizeof(struct found *), by_state);
    for (size_t from = 0, to; from < x->n; from = to) {
        for (to = from + 1; to < x->n && span_eq(x->found[from]->row.account, x->found[to]->row.account);)
            to++;
        judge_account(x, from, to);
    }
}

bool tables_explain(struct tables *t, struct store *store, const struct source_config *s, const struct table_rule *table,
                    struct span key, bool (*each)(void *ctx, const struct candidate *c), void *ctx, struct err *err)
{
    struct explanation x = {.t = t, .source = s, .rule = table, .err = err};
    struct object_list list = {.x = &x, .store = store};
    char prefix[STORE_KEY_MAX];
    int n = snprintf(prefix, sizeof(prefix), "%s/%s/", s->name, table->name);
    bool ok = n > 0 && (size_t)n < sizeof(prefix);
    if (!ok)
        (void)err_set(err, ERR_CONFIG, "the name of table %s of %s is too long", table->name, s->name);
    live_init(&list.live);
    buf_init(&x.scratch, LINE_BYTES_MAX);
    ok = ok && read_key(&x, key, err) && store->ops->list(store, prefix, take_object, &list, err) && !x.failed;
    live_release(&list.live);
    if (ok)
        judge_all(&x);
    for (size_t i = 0; ok && i < x.n; i++) {
        const struct found *f = x.found[i];
        struct candidate c = {.row = f->row, .holds = f->holds, .why = f->why, .object = f->object};
        if (!each(ctx, &c))
            break;
    }
    for (size_t i = 0; i < x.n; i++)
        found_free(x.found[i]);
    free(x.found);
    free(x.wanted);
    buf_release(&x.key_text);
    buf_release(&x.scratch);
    buf_release(&x.text);
    return ok;
}
