/* lists: what the tests' provider holds: rows r1 … rN read by id cursor or by Link header, parents with children, and faults
 * that strike the n-th request. */
#pragma once
#include "harness.h"

struct fault {
    size_t request; /* from 1 */
    unsigned status;
    const char *headers, *body;
    bool cut;
};
struct lists {
    unsigned n;             /* rows of every top list */
    unsigned children[16];  /* of parent i + 1; 99: 404 */
    bool descending;        /* r1 is the newest */
    const struct fault *faults;
    size_t n_faults;
    const char *link_to;    /* an origin to put into Link instead of our own */
    unsigned secret_row;    /* rows from here on carry skip: true, 0: none */
};

/* Row i was created a day after row i - 1 (or before it). */
static inline unsigned long created_of(const struct lists *l, unsigned i)
{
    unsigned day = l->descending ? 100 - i : i;
    return 1700000000UL + day * 86400UL;
}

static inline void add_row(const struct lists *l, struct buf *out, const char *prefix, unsigned parent, unsigned i)
{
    if (parent)
        buf_addf(out, "{\"id\":\"%s%u_%u\",\"created\":%lu}", prefix, parent, i, created_of(l, i));
    else
        buf_addf(out, "{\"id\":\"%s%u\",\"created\":%lu,\"skip\":%s}", prefix, i, created_of(l, i),
                 l->secret_row && i >= l->secret_row ? "true" : "false");
}

/* A page of rows start+1 … of n. */
static inline void answer_rows(const struct lists *l, const char *prefix, unsigned parent, unsigned start, unsigned n, long limit,
                               struct reply *r)
{
    unsigned end = start + (unsigned)limit < n ? start + (unsigned)limit : n;
    buf_addz(&r->body, "{\"data\":[");
    for (unsigned i = start + 1; i <= end; i++) {
        if (i > start + 1)
            buf_addc(&r->body, ',');
        add_row(l, &r->body, prefix, parent, i);
    }
    buf_addf(&r->body, "],\"more\":%s}", end < n ? "true" : "false");
}

static inline bool strike(struct provider *p, struct reply *r)
{
    struct lists *l = p->ctx;
    for (size_t i = 0; i < l->n_faults; i++) {
        const struct fault *f = &l->faults[i];
        if (f->request != p->n_asked)
            continue;
        if (f->headers)
            buf_addz(&r->headers, f->headers);
        r->cut = f->cut;
        if (f->status) {
            r->status = f->status;
            buf_addz(&r->body, f->body ? f->body : "{}");
            return true;
        }
    }
    return false;
}

/* /rows?after=rN, /rows/rN/lines?after=xN_M, /linked?page=, /events */
static inline void answer_lists(struct provider *p, const char *target, struct reply *r)
{
    struct lists *l = p->ctx;
    unsigned parent = 0, after = 0, ignored;
    const char *at = strstr(target, "after=");
    long limit = provider_param(target, "limit", 10);
    if (strike(p, r))
        return;
    if (sscanf(target, "/rows/r%u/lines", &parent) == 1) {
        if (parent > 16 || l->children[parent - 1] == 99) {
            r->status = 404;
            buf_addz(&r->body, "{\"error\":{\"message\":\"no such row\"}}");
            return;
        }
        if (at && sscanf(at, "after=x%u_%u", &ignored, &after) != 2)
            after = 0;
        answer_rows(l, "x", parent, after, l->children[parent - 1], limit, r);
    } else if (strncmp(target, "/linked", 7) == 0) {
        long page = provider_param(target, "page", 1);
        unsigned start = (unsigned)(page - 1) * (unsigned)limit;
        char base[64];
        (void)snprintf(base, sizeof base, "http://127.0.0.1:%u", p->port);
        buf_addc(&r->body, '[');
        for (unsigned i = start + 1; i <= l->n && i <= start + (unsigned)limit; i++) {
            if (i > start + 1)
                buf_addc(&r->body, ',');
            add_row(l, &r->body, "r", 0, i);
        }
        buf_addc(&r->body, ']');
        if (start + (unsigned)limit < l->n)
            buf_addf(&r->headers, "Link: <%s/first>; rel=\"first\", <%s/linked?limit=%ld&page=%ld>; rel=\"next\"\r\n", base,
                     l->link_to ? l->link_to : base, limit, page + 1);
    } else {
        if (at)
            (void)sscanf(at, "after=r%u", &after);
        answer_rows(l, "r", 0, after, l->n, limit, r);
    }
}

/* The ids of all records of a table in the journal, in order, with a space behind each; and what must hold for every entry. */
struct gathered {
    const char *table;
    struct buf ids, parents;
    size_t pages, lasts;
    bool clean;
};

static inline void gather(void *ctx, const struct entry *e)
{
    struct gathered *g = ctx;
    struct json body = {0}, record;
    ck_assert_int_eq(e->kind, ENTRY_PAGE);
    ck_assert(e->run.n > 0 && e->cursor.n > 0 && json_parse(e->cursor, &body, NULL));
    ck_assert(span_eqz(e->message.method, "GET") && e->message.status == 200);
    for (size_t i = 0; i < e->message.n_headers; i++)
        ck_assert(!span_ieq(e->message.headers[i].name, SPAN_LIT("set-cookie")));
    g->lasts += e->is_last;
    if (!span_eqz(e->table, g->table))
        return;
    g->pages++;
    ck_assert(json_parse(e->message.body, &body, NULL));
    struct json list = body.type == JSON_ARRAY ? body : json_get(body, SPAN_LIT("data"));
    struct json_iter it = json_iter(list);
    while (json_next(&it, NULL, &record)) {
        json_text(json_get(record, SPAN_LIT("id")), &g->ids);
        buf_addc(&g->ids, ' ');
    }
    if (e->parents.n) {
        struct json parents;
        ck_assert(json_parse(e->parents, &parents, NULL));
        json_text(json_get(json_get(parents, SPAN_LIT("rows")), SPAN_LIT("id")), &g->parents);
        buf_addc(&g->parents, ' ');
    }
}

static inline void gathered_init(struct gathered *g, const char *table)
{
    *g = (struct gathered){.table = table};
    buf_init(&g->ids, 0);
    buf_init(&g->parents, 0);
}

static inline void gathered_release(struct gathered *g)
{
    buf_release(&g->ids);
    buf_release(&g->parents);
}

/* Asserts which records of a table the journal holds. */
static inline void assert_ids(struct world *w, const char *table, const char *ids)
{
    struct gathered g;
    gathered_init(&g, table);
    world_entries(w, gather, &g);
    ck_assert_str_eq(buf_z(&g.ids), ids);
    gathered_release(&g);
}
