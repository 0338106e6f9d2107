/* One table's run: found again where the last one stopped, stepped to its end, and told to state.db.
 * See run.h for the invariants. */
#include "backfill/run.h"
#include "core/clock.h"
#include "core/mem.h"
#include <stdio.h>
#include <stdlib.h>

#define FEED_OVERLAP_US (UINT64_C(300) * 1000000)

static struct span source_name(const struct run *r)
{
    return span_of(r->o->source->name);
}

/* The parents of a table, from the top; false: nested deeper than a run can be. */
static bool find_levels(struct run *r, const struct table_rule *table, struct err *err)
{
    const struct table_rule *chain[LEVELS_MAX + 1];
    unsigned n = 0;
    for (const struct table_rule *t = table; n <= LEVELS_MAX; t = manifest_table(r->o->source->manifest, span_of(t->for_each))) {
        chain[n++] = t;
        if (!t || !t->for_each)
            break;
    }
    if (n > LEVELS_MAX)
        return err_set(err, ERR_CONFIG, "table %s is nested deeper than %d parents", table->name, LEVELS_MAX - 1);
    for (unsigned i = 0; i < n; i++)
        r->levels[i] = chain[n - 1 - i];
    cursor_init(&r->cursor, n);
    return true;
}

/* What the operator ordered for the table: the field to ask by, in the parameter's name, too. */
static bool take_orders(struct run *r, const struct table_rule *table, struct err *err)
{
    const struct manifest *m = r->o->source->manifest;
    r->since = table ? table->since : m->feed.since;
    if (r->o->dry_run)
        return true;
    if (!controls_read(r->state, source_name(r), r->progress.table, &r->control, err))
        return false;
    if (!table || !r->control.field[0] || r->since.kind == SINCE_NONE)
        return true;
    const char *query = r->since.query, *field = r->since.field, *at = query && field && *field ? strstr(query, field) : NULL;
    if (at) {
        struct buf b;
        buf_init(&b, 4096);
        buf_addf(&b, "%.*s%s%s", (int)(at - query), query, r->control.field, at + strlen(field));
        r->since_query = mem_dup(buf_z(&b));
        buf_release(&b);
        r->since.query = r->since_query;
    }
    r->since.field = r->control.field;
    return true;
}

/* Looked at after each page, so that an order is obeyed by who pulls, wherever that is. */
static bool is_called_off(struct run *r, const char **ret_status, struct err *err)
{
    struct table_control c = {0};
    *ret_status = NULL;
    if (r->o->dry_run || !controls_read(r->state, source_name(r), r->progress.table, &c, err))
        return r->o->dry_run;
    if (c.cancelled_us > r->progress.started_us)
        *ret_status = "cancelled";
    else if (c.paused)
        *ret_status = "paused";
    return true;
}

static void new_id(struct run *r)
{
    const struct io *io = r->o->io;
    unsigned char random[3] = {0};
    char at[CLOCK_TEXT_MAX];
    io->world->random(io, random, sizeof random);
    clock_iso_s(io->world->now_us(io), at);
    snprintf(r->id, sizeof r->id, "%.19s-%02x%02x%02x", at, random[0], random[1], random[2]);
}

static bool put(struct run *r, const char *status, const char *why, struct span watermark, struct err *err)
{
    const struct io *io = r->o->io;
    bool over = strcmp(status, "running") != 0;
    if (r->o->dry_run)
        return true;
    struct run_record rec = {.run = span_of(r->id),
                             .source = source_name(r),
                             .table = span_of(run_table_name(r)),
                             .started_us = r->progress.started_us,
                             .finished_us = over ? io->world->now_us(io) : 0,
                             .pages = r->cursor.pages,
                             .rows = r->cursor.rows,
                             .status = span_of(status),
                             .last_seq = r->last_seq,
                             .error = span_of(why),
                             .watermark = watermark,
                             .from_us = r->since_us,
                             .to_us = r->to_us,
                             .page_us = r->page_us,
                             .waiting = span_of(!over && r->progress.waiting ? r->progress.waiting : ""),
                             .wait_until_us = over ? 0 : r->progress.wait_until_us,
                             .cause = span_of(strcmp(status, "failed") == 0 ? r->watch.cause : "")};
    return state_run_put(r->state, &rec, err);
}

/* Reads the backfill lane from `from` on for the run's last durable page; fills cursor and last_seq. */
static bool find_last_page(struct run *r, uint64_t from, bool *ret_last, struct err *err)
{
    struct lane *lane = journal_lane(r->o->journal, LANE_BACKFILL);
    struct reader *reader = reader_open(lane, from ? from : lane_first(lane));
    bool ok = true, any = true;
    *ret_last = false;
    while (ok && any) {
        struct entry e;
        ok = reader_next(reader, &e, &any, NULL, err);
        if (!ok || !any)
            break;
        if (!span_eq(e.source, source_name(r)) || !span_eqz(e.run, r->id))
            continue;
        ok = cursor_read(e.cursor, &r->cursor, err);
        r->last_seq = e.seq;
        *ret_last = e.is_last;
        if (ok && r->cursor.level + 1 < r->cursor.n_levels)
            r->cursor.levels[r->cursor.level].seq = e.seq;
    }
    reader_close(&reader);
    return ok;
}

static bool load_parent(struct run *r, unsigned level, struct err *err)
{
    struct parent_page *p = &r->parents[level];
    uint64_t seq = r->cursor.levels[level].seq;
    struct reader *reader = reader_open(journal_lane(r->o->journal, LANE_BACKFILL), seq);
    struct entry e;
    bool any, ok = reader_next(reader, &e, &any, NULL, err);
    if (ok && (!any || e.seq != seq))
        ok = err_set(err, ERR_INPUT, "the journal does not hold the page of %s that the run stands in; `--full` begins anew",
                     r->levels[level]->name);
    if (ok) {
        buf_clear(&p->body);
        buf_adds(&p->body, e.message.body);
        ok = buf_ok(&p->body) && parent_records(r, level, err);
    }
    reader_close(&reader);
    return ok;
}

static bool load_parents(struct run *r, struct err *err)
{
    for (unsigned i = 0; i + 1 < r->cursor.n_levels; i++)
        if (r->cursor.levels[i].seq && !load_parent(r, i, err))
            return false;
    return true;
}

/* An unfinished run goes on. *ret_done: its last page was durable, only state.db had not heard of it. */
static bool resume(struct run *r, bool *ret_resumed, bool *ret_done, struct err *err)
{
    struct run_record rec;
    struct buf text;
    bool found = false;
    buf_init(&text, 1 << 18);
    *ret_resumed = *ret_done = false;
    bool ok = state_run_get(r->state, source_name(r), span_of(run_table_name(r)), (struct span){NULL, 0}, &rec, &text,
                            &found, err);
    bool over = ok && found && (span_eqz(rec.status, "completed") || rec.started_us <= r->control.cancelled_us ||
                                 (r->o->full && !span_eqz(rec.status, "running")));
    bool other = ok && found && ((r->o->from_us && rec.from_us != r->o->from_us) || (r->o->to_us && rec.to_us != r->o->to_us) ||
                                 (r->o->full && (rec.from_us || rec.to_us)));
    if (ok && found && !over && !other) {
        snprintf(r->id, sizeof r->id, "%.*s", SPAN_ARG(rec.run));
        r->progress.started_us = rec.started_us;
        r->since_us = rec.from_us;
        r->to_us = rec.to_us;
        bool last;
        struct err why = {0};
        ok = find_last_page(r, rec.last_seq, &last, &why) && load_parents(r, &why);
        *ret_done = ok && last;
        *ret_resumed = ok;
        if (!ok) {
            /* Its pages are gone from the journal, or of an older form: a new run reads everything again, which harms nothing. */
            unsigned n = r->cursor.n_levels;
            cursor_release(&r->cursor);
            cursor_init(&r->cursor, n);
            for (unsigned i = 0; i < n; i++)
                r->parents[i].loaded = false;
            r->last_seq = r->to_us = 0;
            ok = true;
        }
    }
    buf_release(&text);
    return ok;
}

/* Where an incremental run begins. */
static bool find_since(struct run *r, struct err *err)
{
    const struct manifest *m = r->o->source->manifest;
    const struct since_rule *s = run_since(r);
    const struct io *io = r->o->io;
    bool feed = !r->levels[r->cursor.n_levels - 1], found = false;
    uint64_t mark = 0, overlap = s->overlap_us ? s->overlap_us : feed ? FEED_OVERLAP_US : 0;
    struct buf text;
    buf_init(&text, 64);
    bool ok = state_watermark(r->state, source_name(r), span_of(run_table_name(r)), &text, &found, err);
    if (ok && found && !r->o->full && strcmp(r->control.mode, "full") != 0)
        clock_parse_digits(buf_span(&text), 'u', &mark);
    buf_release(&text);
    r->since_us = mark > overlap ? mark - overlap : 0;
    if (feed && !r->since_us && m->feed.keep_us)
        r->since_us = io->world->now_us(io) - m->feed.keep_us;
    if (!r->since_us)
        r->since_us = r->o->source->backfill_from_us;
    if (r->o->from_us)
        r->since_us = r->o->from_us;
    r->to_us = r->o->to_us;
    return ok;
}

static bool begin(struct run *r, bool *ret_done, struct err *err)
{
    bool resumed = false;
    r->page_us = r->o->io->world->now_us(r->o->io);
    if (!r->o->dry_run && !resume(r, &resumed, ret_done, err))
        return false;
    r->progress.resumed = resumed;
    if (resumed) /* it may have stood as failed, limited or paused */
        return *ret_done || put(r, "running", "", (struct span){NULL, 0}, err);
    new_id(r);
    r->progress.started_us = r->o->io->world->now_us(r->o->io);
    return find_since(r, err) && put(r, "running", "", (struct span){NULL, 0}, err);
}

static void tell(struct run *r)
{
    r->progress.retries = r->watch.retries;
    r->progress.limits = r->watch.limits;
    if (r->o->progress)
        r->o->progress(r->o->progress_ctx, &r->progress);
}

/* Told each second. What `status` shows is written when the words change: a failure to do so is met again with the next page. */
static void waiting(void *ctx, const char *words, uint64_t until_us)
{
    struct run *r = ctx;
    const char *before = r->progress.waiting;
    r->progress.waiting = words;
    r->progress.wait_until_us = until_us;
    if (words && !before)
        (void)put(r, "running", "", (struct span){NULL, 0}, NULL);
    tell(r);
}

/* Whether everything from the last watermark on was read: a window that began later, or ended early, leaves a gap. */
static bool leaves_no_gap(const struct run *r, bool found, uint64_t old)
{
    bool feed = !r->levels[r->cursor.n_levels - 1];
    if (r->to_us || r->cursor.capped || (run_since(r)->kind == SINCE_NONE && !feed))
        return false;
    if (found)
        return r->since_us <= old;
    return feed || r->since_us <= r->o->source->backfill_from_us;
}

/* Invariant 3: never beyond the time at which the run began. Empty: the watermark stays. */
static bool watermark(const struct run *r, char out[32], struct err *err)
{
    uint64_t mark = r->cursor.mark_us, old = 0;
    bool found = false;
    struct buf text;
    buf_init(&text, 64);
    out[0] = 0;
    bool ok = state_watermark(r->state, source_name(r), span_of(run_table_name(r)), &text, &found, err);
    found = ok && found && clock_parse_digits(buf_span(&text), 'u', &old);
    buf_release(&text);
    if (r->cursor.began_us && mark > r->cursor.began_us)
        mark = r->cursor.began_us;
    if (ok && mark > old && leaves_no_gap(r, found, old))
        snprintf(out, 32, "%llu", (unsigned long long)mark);
    return ok;
}

/* What a person should know of a run that is complete all the same. */
static void note(const struct run *r, struct backfill_result *sum)
{
    const char *name = r->progress.table.p;
    if (r->cursor.capped && !sum->note[0])
        snprintf(sum->note, sizeof sum->note,
                 "%.60s: a list is longer than the %u pages that the provider gives (cap); older rows were not read",
                 name, run_page_rule(r, r->cursor.n_levels - 1)->cap);
    if (r->skipped && !sum->note[0])
        snprintf(sum->note, sizeof sum->note, "%.60s: %llu parents had no such list any more (404) and were passed over", name,
                 (unsigned long long)r->skipped);
    sum->skipped += r->skipped;
}

static bool step_to_end(struct run *r, bool done, enum run_end *ret_end, struct err *why, struct err *err)
{
    enum step_end step = done ? STEP_COMPLETE : STEP_PAGE;
    const char *called_off = NULL;
    while (step == STEP_PAGE) {
        step = run_step(r, why);
        r->page_us = step == STEP_PAGE ? r->o->io->world->now_us(r->o->io) : r->page_us;
        if (step == STEP_PAGE && !put(r, "running", "", (struct span){NULL, 0}, err))
            return false;
        tell(r);
        if (step == STEP_PAGE && !is_called_off(r, &called_off, err))
            return false;
        if (step == STEP_PAGE && r->journalled_last)
            step = STEP_COMPLETE;
        else if (step == STEP_PAGE && called_off)
            step = STEP_STOPPED;
        else if (step == STEP_PAGE && ((r->o->stop && *r->o->stop) || (r->rows_left && !*r->rows_left)))
            step = STEP_STOPPED;
        else if (step == STEP_PAGE && r->o->dry_run)
            step = STEP_COMPLETE;
    }
    if (step == STEP_BROKEN) {
        *err = *why;
        return false;
    }
    static const enum run_end ends[] = {[STEP_COMPLETE] = RUN_COMPLETED, [STEP_STOPPED] = RUN_STOPPED,
                                        [STEP_LIMITED] = RUN_LIMITED, [STEP_FAILED] = RUN_FAILED};
    static const char *const names[] = {"completed", "paused", "limited", "failed"};
    *ret_end = ends[step];
    char mark[32] = "";
    if (*ret_end == RUN_COMPLETED && !r->o->dry_run && !watermark(r, mark, err))
        return false;
    if (step == STEP_STOPPED && called_off)
        err_set(why, ERR_STOPPED, "%.*s was %s by an operator", SPAN_ARG(r->progress.table), called_off);
    bool told = *ret_end == RUN_LIMITED || *ret_end == RUN_FAILED;
    return put(r, step == STEP_STOPPED && called_off ? called_off : names[*ret_end], told ? why->msg : "", span_of(mark), err);
}

bool run_table(const struct backfill_opts *o, const struct table_rule *table, struct fetcher *f, struct state *state,
               const struct scope_pair *config, size_t n_config, uint64_t *rows_left, struct backfill_result *sum,
               enum run_end *ret_end, struct err *why, struct err *err)
{
    struct run *r = mem_alloc(sizeof *r);
    *r = (struct run){.o = o, .fetcher = f, .state = state, .config = config, .n_config = n_config, .rows_left = rows_left};
    r->hide = (struct hide){o->source, config, n_config};
    r->watch = (struct fetch_watch){.ctx = r, .waiting = waiting};
    fetched_init(&r->page);
    for (unsigned i = 0; i < LEVELS_MAX; i++)
        buf_init(&r->parents[i].body, PAGE_BODY_MAX);
    r->progress.table = span_of(table ? table->name : manifest_events_table.name);
    bool done = false, ok = find_levels(r, table, err) && take_orders(r, table, err);
    ok = ok && begin(r, &done, err);
    if (ok)
        tell(r);
    ok = ok && step_to_end(r, done, ret_end, why, err);
    r->progress.done = ok && *ret_end == RUN_COMPLETED;
    if (ok)
        tell(r);
    if (ok)
        note(r, sum);
    sum->pages += r->progress.pages;
    sum->rows += r->progress.rows;
    sum->retries += r->watch.retries;
    sum->limits += r->watch.limits;
    for (unsigned i = 0; i < LEVELS_MAX; i++)
        buf_release(&r->parents[i].body);
    fetched_release(&r->page);
    cursor_release(&r->cursor);
    free(r->since_query);
    free(r);
    return ok;
}
