/* One step of a run: which page comes next, asking for it, and making it durable with the cursor that follows it. */
#include "backfill/page.h"
#include "backfill/run.h"
#include "core/clock.h"
#include "core/codec.h"
#include <stdio.h>

const struct since_rule *run_since(const struct run *r)
{
    const struct manifest *m = r->o->source->manifest;
    const struct table_rule *t = r->levels[r->cursor.n_levels - 1];
    return t ? &t->since : &m->feed.since;
}

const struct page_rule *run_page_rule(const struct run *r, unsigned level)
{
    const struct table_rule *t = r->levels[level];
    return t ? &t->page : &r->o->source->manifest->api.page;
}

const char *run_table_name(const struct run *r)
{
    const struct table_rule *t = r->levels[r->cursor.n_levels - 1];
    return t ? t->name : "";
}

static bool is_leaf(const struct run *r, unsigned level)
{
    return level + 1 == r->cursor.n_levels;
}

/* The current record of a parent level. */
static struct json parent_record(const struct run *r, unsigned level)
{
    return json_at(r->parents[level].records, r->cursor.levels[level].index);
}

static void since_text(const struct run *r, char out[CLOCK_TEXT_MAX])
{
    const struct since_rule *s = run_since(r);
    if (s->unit == UNIT_ISO8601)
        clock_iso_s(r->since_us, out);
    else
        snprintf(out, CLOCK_TEXT_MAX, "%llu", (unsigned long long)(r->since_us / (s->unit == UNIT_MS ? 1000 : 1000000)));
}

/* What templates of a call may name: config, the parents' records, and the words since, source, table.scope. */
struct call {
    struct scope_parent parents[LEVELS_MAX];
    struct scope_pair words[3];
    char since[CLOCK_TEXT_MAX];
    struct scope scope;
};

static void make_call(const struct run *r, unsigned level, struct call *c)
{
    const struct table_rule *t = r->levels[level];
    for (unsigned i = 0; i < level; i++)
        c->parents[i] = (struct scope_parent){span_of(r->levels[i]->name), parent_record(r, i)};
    since_text(r, c->since);
    c->words[0] = (struct scope_pair){SPAN_LIT("since"), span_of(c->since)};
    c->words[1] = (struct scope_pair){SPAN_LIT("source"), span_of(r->o->source->name)};
    c->words[2] = (struct scope_pair){SPAN_LIT("table.scope"), span_of(t && t->scope ? t->scope : "")};
    c->scope = (struct scope){.config = r->config,
                              .n_config = r->n_config,
                              .parents = c->parents,
                              .n_parents = level,
                              .words = c->words,
                              .n_words = 3};
}

static void add_param(struct buf *url, const char *name, struct span value)
{
    buf_addc(url, memchr(url->p, '?', url->n) ? '&' : '?');
    percent_encode(url, span_of(name));
    buf_addc(url, '=');
    percent_encode(url, value);
}

static void add_since(const struct run *r, struct buf *url)
{
    const struct since_rule *s = run_since(r);
    char text[CLOCK_TEXT_MAX];
    if (s->kind != SINCE_QUERY || !r->since_us)
        return;
    since_text(r, text);
    add_param(url, s->query, span_of(text));
}

static bool add_query(const struct query_param *q, size_t n, const struct scope *scope, struct buf *url, struct err *err)
{
    struct buf value;
    buf_init(&value, 1 << 16);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        buf_clear(&value);
        ok = template_render(&q[i].value, scope, &value, err);
        if (ok)
            add_param(url, q[i].name, buf_span(&value));
    }
    buf_release(&value);
    return ok;
}

/* The address of the next page of a level. */
static bool make_url(const struct run *r, unsigned level, struct buf *url, struct err *err)
{
    const struct manifest *m = r->o->source->manifest;
    const struct table_rule *t = r->levels[level];
    const struct page_rule *page = run_page_rule(r, level);
    const struct level_state *l = &r->cursor.levels[level];
    struct call c;
    make_call(r, level, &c);
    buf_clear(url);
    if (l->started && pagination_of(page)->next_is_url) {
        buf_adds(url, buf_span(&l->next));
        return true;
    }
    if (r->o->source->base_url)
        buf_addz(url, r->o->source->base_url);
    else if (!template_render(&m->api.base, &c.scope, url, err))
        return false;
    while (url->n && url->p[url->n - 1] == '/')
        url->p[--url->n] = 0;
    if (!template_render(t ? &t->path : &m->feed.path, &c.scope, url, err) ||
        !add_query(t ? t->query : m->feed.query, t ? t->n_query : m->feed.n_query, &c.scope, url, err))
        return false;
    char size[16];
    snprintf(size, sizeof size, "%u", page->size_max);
    if (page->size_query && page->size_max)
        add_param(url, page->size_query, span_of(size));
    if (is_leaf(r, level))
        add_since(r, url);
    if (l->started && l->next.n)
        add_param(url, page->next_query, buf_span(&l->next));
    return buf_ok(url) || err_set(err, ERR_INPUT, "the address of a page is too long");
}

static bool time_of(struct json v, enum time_unit unit, uint64_t *ret_us)
{
    struct buf text;
    buf_init(&text, 256);
    bool ok = json_text(v, &text) &&
              (clock_parse_iso(buf_span(&text), ret_us) || clock_parse_digits(buf_span(&text), unit == UNIT_MS ? 'm' : 's', ret_us));
    buf_release(&text);
    return ok;
}

static struct json field_at(struct json record, const char *dotted)
{
    for (struct span rest = span_of(dotted); rest.p;)
        record = json_get(record, span_cut(rest, '.', &rest));
    return record;
}

/* The incremental field of a record: a table's own, or an event's time for the feed. */
static bool record_time(const struct run *r, struct json record, uint64_t *ret_us)
{
    const struct since_rule *s = run_since(r);
    const struct event_rule *e = &r->o->source->manifest->event;
    if (s->kind != SINCE_NONE && s->field)
        return time_of(field_at(record, s->field), s->unit, ret_us);
    if (r->levels[r->cursor.n_levels - 1] || !e->has_time)
        return false;
    struct scope scope = {.body = record};
    struct buf scratch;
    buf_init(&scratch, 256);
    bool ok = time_of(path_eval(&e->time, &scope, &scratch).json, e->time_unit, ret_us);
    buf_release(&scratch);
    return ok;
}

static bool stops_at_watermark(const struct run *r)
{
    const struct since_rule *s = run_since(r);
    bool feed = !r->levels[r->cursor.n_levels - 1];
    return r->since_us && (s->kind == SINCE_STOP || (feed && s->kind == SINCE_NONE && r->o->source->manifest->api.order_desc));
}

/* Goes over the leaf's records: the watermark, how far back we are, and whether that is far enough. */
static void look_at_records(struct run *r, struct json records)
{
    struct json_iter it = json_iter(records);
    struct json record;
    while (json_next(&it, NULL, &record)) {
        uint64_t us;
        if (!record_time(r, record, &us))
            continue;
        if (us > r->cursor.mark_us)
            r->cursor.mark_us = us;
        if (!r->progress.oldest_us || us < r->progress.oldest_us)
            r->progress.oldest_us = us;
        if (us < r->since_us && stops_at_watermark(r))
            r->cursor.stop = true;
    }
}

static struct json last_of(struct json records)
{
    struct json_iter it = json_iter(records);
    struct json v, last = {0};
    while (json_next(&it, NULL, &v))
        last = v;
    return last;
}

/* Moves the level behind the page that came. */
static bool move_on(struct run *r, unsigned level, struct json records, struct err *err)
{
    const struct page_rule *page = run_page_rule(r, level);
    struct level_state *l = &r->cursor.levels[level];
    struct buf next;
    bool more;
    buf_init(&next, 16384);
    bool ok = pagination_of(page)->next(page, &r->page, last_of(records), &next, &more, err);
    if (ok && more && l->started && next.n && span_eq(buf_span(&next), buf_span(&l->next)))
        ok = err_set(err, ERR_INPUT, "the provider's next page is the one just read: the list would never end");
    if (ok) {
        buf_clear(&l->next);
        buf_adds(&l->next, buf_span(&next));
        l->started = true;
        l->more = more && !(is_leaf(r, level) && r->cursor.stop);
        l->seq = 0;
        l->index = 0;
    }
    buf_release(&next);
    return ok;
}

static uint64_t observed(const struct run *r)
{
    const struct io *io = r->o->io;
    uint64_t us, lag = r->o->source->manifest->api.lag_us;
    if (!clock_parse_http(http_header(&r->page.message, SPAN_LIT("Date"), NULL), &us))
        us = io->world->now_us(io);
    return us > lag ? us - lag : us;
}

static void write_parents(const struct run *r, unsigned level, struct buf *out)
{
    for (unsigned i = 0; i < level; i++) {
        buf_addc(out, i ? ',' : '{');
        json_write_key(out, r->levels[i]->name);
        json_minify(out, parent_record(r, i));
    }
    if (level)
        buf_addc(out, '}');
}

/* Of the answer's headers those that somebody will want to see; never a cookie. */
static size_t keep_headers(const struct fetched *p, struct http_header out[8])
{
    static const char *const names[] = {"Date", "Content-Type", "Link", "ETag", "Request-Id", "X-Request-Id", "X-GitHub-Request-Id"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct span value = http_header(&p->message, span_of(names[i]), NULL);
        if (value.n)
            out[n++] = (struct http_header){span_of(names[i]), value};
    }
    return n;
}

/* Whether nothing can follow the page just read: told in the entry, so that a crash right behind it costs nothing. */
static bool nothing_follows(const struct run *r, unsigned level)
{
    for (unsigned i = 0; i <= level; i++) {
        const struct level_state *l = &r->cursor.levels[i];
        if (i == level ? l->more : l->more || l->index + 1 < json_count(r->parents[i].records))
            return false;
    }
    return is_leaf(r, level);
}

static bool journal_page(struct run *r, unsigned level, struct err *err)
{
    struct http_header headers[8];
    struct buf cursor, parents;
    buf_init(&cursor, 1 << 18);
    buf_init(&parents, PAGE_BODY_MAX);
    const struct io *io = r->o->io;
    r->cursor.level = level;
    cursor_write(&r->cursor, &cursor);
    write_parents(r, level, &parents);
    struct entry e = {.kind = ENTRY_PAGE,
                      .received_us = io->world->now_us(io),
                      .source = span_of(r->o->source->name),
                      .message = r->page.message,
                      .table = span_of(r->levels[level] ? r->levels[level]->name : ""),
                      .run = span_of(r->id),
                      .cursor = buf_span(&cursor),
                      .parents = buf_span(&parents),
                      .observed_us = observed(r),
                      .is_feed = r->levels[level] == NULL,
                      .is_last = nothing_follows(r, level)};
    e.message.headers = headers;
    e.message.n_headers = keep_headers(&r->page, headers);
    r->journalled_last = e.is_last;
    bool ok = (buf_ok(&cursor) && buf_ok(&parents)) || err_set(err, ERR_NOMEM, "no memory for a page's entry");
    ok = ok && lane_append_wait(journal_lane(r->o->journal, LANE_BACKFILL), &e, &r->last_seq, err);
    buf_release(&cursor);
    buf_release(&parents);
    return ok;
}

bool parent_records(struct run *r, unsigned level, struct err *err)
{
    struct parent_page *p = &r->parents[level];
    struct fetched page = {.message = {.method = SPAN_LIT("GET"), .body = buf_span(&p->body)}};
    p->loaded = json_parse(buf_span(&p->body), &page.json, err) &&
                page_records(run_page_rule(r, level), &page, &p->records, err);
    return p->loaded;
}

/* The page just journalled is the level's current one. */
static bool keep_parent(struct run *r, unsigned level, struct err *err)
{
    struct buf *body = &r->parents[level].body;
    buf_clear(body);
    buf_adds(body, buf_span(&r->page.body));
    r->cursor.levels[level].seq = r->last_seq;
    return (buf_ok(body) || err_set(err, ERR_NOMEM, "no memory for a parent's page")) && parent_records(r, level, err);
}

static enum step_end take_page(struct run *r, unsigned level, struct err *err)
{
    struct json records;
    if (!page_records(run_page_rule(r, level), &r->page, &records, err))
        return STEP_FAILED;
    if (!r->cursor.began_us)
        r->cursor.began_us = observed(r);
    size_t n = json_count(records);
    if (is_leaf(r, level)) {
        look_at_records(r, records);
        r->cursor.rows += n;
    }
    r->cursor.pages++;
    const struct page_rule *page = run_page_rule(r, level);
    if (!move_on(r, level, records, err))
        return STEP_FAILED;
    if (page->cap && r->cursor.pages >= page->cap)
        r->cursor.levels[level].more = false;
    if (!r->o->dry_run && !journal_page(r, level, err))
        return STEP_BROKEN;
    if (!is_leaf(r, level) && !keep_parent(r, level, err))
        return STEP_BROKEN;
    r->progress.pages++;
    r->progress.rows += is_leaf(r, level) ? n : 0;
    if (r->rows_left && is_leaf(r, level))
        *r->rows_left -= n < *r->rows_left ? n : *r->rows_left;
    return STEP_PAGE;
}

static void reset_level(struct run *r, unsigned level)
{
    struct level_state *l = &r->cursor.levels[level];
    buf_clear(&l->next);
    l->started = false;
    l->more = true;
    l->seq = l->index = 0;
    r->parents[level].loaded = false;
}

static bool parent_kept(const struct run *r, unsigned level)
{
    const struct table_rule *t = r->levels[level];
    struct scope scope = {.record = parent_record(r, level), .object = parent_record(r, level)};
    return conditions_hold(t->keep, t->n_keep, &scope);
}

/* The level whose page comes next; -1: the run is complete. */
static int next_level(struct run *r)
{
    unsigned k = 0;
    for (;;) {
        struct level_state *l = &r->cursor.levels[k];
        bool done = l->started && !l->more;
        if (is_leaf(r, k)) {
            if (!done)
                return (int)k;
            if (k == 0)
                return -1;
            reset_level(r, k--);
            r->cursor.levels[k].index++;
            continue;
        }
        if (!r->parents[k].loaded)
            return done ? -1 : (int)k;
        if (l->index < json_count(r->parents[k].records)) {
            if (parent_kept(r, k))
                k++;
            else
                l->index++;
            continue;
        }
        if (l->more)
            return (int)k;
        if (k == 0)
            return -1;
        reset_level(r, k--);
        r->cursor.levels[k].index++;
    }
}

enum step_end run_step(struct run *r, struct err *err)
{
    int level = next_level(r);
    if (level < 0)
        return STEP_COMPLETE;
    struct buf url;
    buf_init(&url, 1 << 16);
    enum fetch_end end = make_url(r, (unsigned)level, &url, err)
                             ? fetch_page(r->fetcher, buf_z(&url), r->levels[level], &r->watch, &r->page, err)
                             : FETCH_FAILED;
    enum step_end step = STEP_FAILED;
    if (end == FETCH_OK)
        step = take_page(r, (unsigned)level, err);
    else if (end == FETCH_STOPPED)
        step = STEP_STOPPED;
    else if (end == FETCH_LIMITED)
        step = STEP_LIMITED;
    else if (end == FETCH_GONE && level > 0) {
        /* The parent went away between its page and now: it has no such rows any more. */
        r->cursor.levels[level].started = true;
        r->cursor.levels[level].more = false;
        step = STEP_PAGE;
    }
    buf_release(&url);
    return step;
}
