/* One step of a run: which page comes next, asking for it, and making it durable with the cursor that follows it. */
#include "backfill/page.h"
#include "backfill/run.h"
#include "core/clock.h"
#include "core/codec.h"

#define EMPTY_PAGES_MAX 100
#define KEPT_HEADERS 12
#define AHEAD_US_MAX (UINT64_C(300) * 1000000) /* a provider's clock further ahead of ours is not believed */

const struct since_rule *run_since(const struct run *r)
{
    return &r->since;
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

bool run_is_leaf(const struct run *r, unsigned level)
{
    return level + 1 == r->cursor.n_levels;
}

struct json run_parent_record(const struct run *r, unsigned level)
{
    return json_at(r->parents[level].records, r->cursor.levels[level].index);
}

static bool time_of(struct json v, enum time_unit unit, uint64_t *ret_us)
{
    struct buf text;
    buf_init(&text, 256);
    bool ok = json_text(v, &text) &&
              (clock_parse_iso(buf_span(&text), ret_us) ||
               clock_parse_digits(buf_span(&text), unit == UNIT_MS ? 'm' : 's', ret_us));
    buf_release(&text);
    return ok;
}

static struct json field_at(struct json record, const char *dotted)
{
    for (struct span rest = span_of(dotted); rest.p;)
        record = json_get(record, span_cut(rest, '.', &rest));
    return record;
}

/* The time a list is filtered or sorted by: the incremental field, else that of its order, for the feed an event's time. */
static bool record_time(const struct run *r, struct json record, uint64_t *ret_us)
{
    const struct since_rule *s = run_since(r);
    const struct table_rule *t = r->levels[r->cursor.n_levels - 1];
    const struct event_rule *e = &r->o->source->manifest->event;
    if (s->kind != SINCE_NONE && s->field)
        return time_of(field_at(record, s->field), s->unit, ret_us);
    if (t && t->order_field)
        return time_of(field_at(record, t->order_field), UNIT_NONE, ret_us);
    if (t || !e->has_time)
        return false;
    struct scope scope = {.body = record};
    struct buf scratch;
    buf_init(&scratch, 256);
    bool ok = time_of(path_eval(&e->time, &scope, &scratch).json, e->time_unit, ret_us);
    buf_release(&scratch);
    return ok;
}

static bool sorted(const struct run *r, bool desc)
{
    const struct api_rule *api = &r->o->source->manifest->api;
    const struct since_rule *s = run_since(r);
    const struct table_rule *t = r->levels[r->cursor.n_levels - 1];
    const char *by = t ? t->order_field : api->order_field;
    bool of_this = s->kind == SINCE_NONE || !s->field || (by && strcmp(by, s->field) == 0);
    return by && of_this && (t ? t->order_desc : api->order_desc) == desc;
}

/* Whether nothing that is asked for can follow a record of this time: the list is sorted, and it lies beyond the window. */
static bool is_beyond(const struct run *r, uint64_t us)
{
    enum since_kind kind = run_since(r)->kind;
    if (r->to_us && us >= r->to_us && sorted(r, false))
        return true;
    return us < r->since_us && (kind == SINCE_STOP || (kind == SINCE_NONE && sorted(r, true)));
}

/* How much of the time that is asked for was read: from the run's beginning down, or up to it. A list below parents has no end
 * that can be seen. */
static void look_how_far(struct run *r)
{
    uint64_t top = r->cursor.began_us, oldest = r->progress.oldest_us, bottom = r->since_us, at = 0;
    if (r->to_us && r->to_us < top)
        top = r->to_us;
    if (r->cursor.n_levels > 1 || !oldest)
        return;
    if (sorted(r, true)) {
        at = bottom && oldest < top ? top - oldest : 0;
    } else if (sorted(r, false)) {
        bottom = bottom ? bottom : oldest;
        at = r->cursor.mark_us > bottom ? r->cursor.mark_us - bottom : 0;
    }
    if (top > bottom && at)
        r->progress.permille = at >= top - bottom ? 999 : (unsigned)(at / ((top - bottom) / 1000 + 1));
}

/* Goes over the leaf's records: the watermark, how far back we are, and whether that is far enough. */
static void look_at_records(struct run *r, struct json records)
{
    struct json_iter it = json_iter(records);
    struct json record;
    r->cursor.stop = false; /* each parent's list is a list of its own */
    while (json_next(&it, NULL, &record)) {
        uint64_t us;
        if (!record_time(r, record, &us))
            continue;
        if (us > r->cursor.mark_us)
            r->cursor.mark_us = us;
        if (!r->progress.oldest_us || us < r->progress.oldest_us)
            r->progress.oldest_us = us;
        r->cursor.stop = r->cursor.stop || is_beyond(r, us);
    }
    look_how_far(r);
}

static struct json last_of(struct json records)
{
    struct json_iter it = json_iter(records);
    struct json v, last = {0};
    while (json_next(&it, NULL, &v))
        last = v;
    return last;
}

/* A list whose cursors come round, or that stays empty for ever, would never end. */
static bool check_ring(struct level_state *l, struct span next, bool empty, struct err *err)
{
    uint64_t hash = hash64(next) >> 1; /* fits JSON's integers */
    l->empties = empty ? l->empties + 1 : 0;
    if (l->empties > EMPTY_PAGES_MAX)
        return err_set(err, ERR_INPUT, "%u pages in a row were empty, and the provider says that there is more", EMPTY_PAGES_MAX);
    if (l->power && hash == l->mark)
        return err_set(err, ERR_INPUT, "the provider's next page is one that was read before: the list would never end");
    /* Brent: the mark moves at powers of two, so a ring of any size meets it. */
    if (++l->lap > l->power) {
        l->mark = hash;
        l->power = l->power ? 2 * l->power : 1;
        l->lap = 0;
    }
    return true;
}

/* Moves the level behind the page that came. */
static bool move_on(struct run *r, unsigned level, struct json records, struct err *err)
{
    const struct page_rule *page = run_page_rule(r, level);
    struct level_state *l = &r->cursor.levels[level];
    struct json last = last_of(records);
    struct buf next;
    bool more;
    buf_init(&next, 16384);
    bool ok = pagination_of(page)->next(page, &r->page, last, &next, &more, err);
    more = ok && more && !(run_is_leaf(r, level) && r->cursor.stop);
    ok = ok && (!more || check_ring(l, buf_span(&next), last.type == JSON_NONE, err));
    if (ok) {
        buf_clear(&l->next);
        hide_secrets(&r->hide, buf_span(&next), &l->next);
        l->started = true;
        l->more = more;
        l->seq = l->index = 0;
        l->pages++;
        if (more && page->cap && l->pages >= page->cap) {
            l->more = false;
            r->cursor.capped = true;
        }
        ok = buf_ok(&l->next) || err_set(err, ERR_INPUT, "what the next page is asked with is too long");
    }
    buf_release(&next);
    return ok;
}

static uint64_t observed(const struct run *r)
{
    const struct io *io = r->o->io;
    uint64_t us, lag = r->o->source->manifest->api.lag_us;
    uint64_t now = io->world->now_us(io);
    if (!clock_parse_http(http_header(&r->page.message, SPAN_LIT("Date"), NULL), &us) || us > now + AHEAD_US_MAX)
        us = now;
    return us > lag ? us - lag : us;
}

static void write_parents(const struct run *r, unsigned level, struct buf *out)
{
    for (unsigned i = 0; i < level; i++) {
        buf_addc(out, i ? ',' : '{');
        json_write_key(out, r->levels[i]->name);
        json_minify(out, run_parent_record(r, i).raw);
    }
    if (level)
        buf_addc(out, '}');
}

/* Of the answer's headers those that somebody will want to see; never a cookie. Link may repeat a secret of our query. */
static size_t keep_headers(const struct run *r, struct http_header out[KEPT_HEADERS], struct buf *link)
{
    const struct api_rule *api = &r->o->source->manifest->api;
    const char *const names[] = {"Date", "Content-Type", "ETag", "Request-Id", "X-Request-Id", "X-GitHub-Request-Id",
                                 api->wait_header, api->left_header, api->reset_header};
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct span value = names[i] ? http_header(&r->page.message, span_of(names[i]), NULL) : (struct span){NULL, 0};
        if (value.n)
            out[n++] = (struct http_header){span_of(names[i]), value};
    }
    hide_secrets(&r->hide, http_header(&r->page.message, SPAN_LIT("Link"), NULL), link);
    if (link->n)
        out[n++] = (struct http_header){SPAN_LIT("Link"), buf_span(link)};
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
    return run_is_leaf(r, level);
}

static bool journal_page(struct run *r, unsigned level, struct err *err)
{
    struct http_header headers[KEPT_HEADERS];
    struct buf cursor, parents, link, url;
    buf_init(&link, 1 << 20);
    buf_init(&url, 1 << 20);
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
                      .began_us = r->progress.started_us,
                      .is_feed = r->levels[level] == NULL,
                      .is_last = nothing_follows(r, level)};
    hide_secrets(&r->hide, r->page.message.url, &url);
    e.message.url = buf_span(&url);
    e.message.headers = headers;
    e.message.n_headers = keep_headers(r, headers, &link);
    r->journalled_last = e.is_last;
    bool ok = (buf_ok(&cursor) && buf_ok(&parents) && buf_ok(&url) && buf_ok(&link)) ||
              err_set(err, ERR_NOMEM, "no memory for a page's entry");
    ok = ok && lane_append_wait(journal_lane(r->o->journal, LANE_BACKFILL), &e, &r->last_seq, err);
    buf_release(&cursor);
    buf_release(&parents);
    buf_release(&link);
    buf_release(&url);
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
    if (run_is_leaf(r, level)) {
        look_at_records(r, records);
        r->cursor.rows += n;
    }
    r->cursor.pages++;
    if (!move_on(r, level, records, err))
        return STEP_FAILED;
    if (!r->o->dry_run && !journal_page(r, level, err))
        return STEP_BROKEN;
    if (!run_is_leaf(r, level) && !keep_parent(r, level, err))
        return STEP_BROKEN;
    r->progress.pages++;
    r->progress.rows += run_is_leaf(r, level) ? n : 0;
    if (r->rows_left && run_is_leaf(r, level))
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
    l->pages = l->mark = l->lap = l->power = 0;
    l->empties = 0;
    r->parents[level].loaded = false;
}

static bool parent_kept(const struct run *r, unsigned level)
{
    const struct table_rule *t = r->levels[level];
    struct scope scope = {.record = run_parent_record(r, level), .object = run_parent_record(r, level)};
    return conditions_hold(t->keep, t->n_keep, &scope);
}

/* The level whose page comes next; -1: the run is complete. */
static int next_level(struct run *r)
{
    unsigned k = 0;
    for (;;) {
        struct level_state *l = &r->cursor.levels[k];
        bool done = l->started && !l->more;
        if (run_is_leaf(r, k)) {
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
    enum fetch_end end = run_address(r, (unsigned)level, &url, err)
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
        r->skipped++;
        r->journalled_last = false;
        step = STEP_PAGE;
    }
    hide_in_message(&r->hide, err);
    if (url.p)
        explicit_bzero(url.p, url.cap); /* a key may stand in its query */
    buf_release(&url);
    return step;
}
