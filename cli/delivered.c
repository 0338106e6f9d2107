#include "cli/delivered.h"
#include "cli/entries.h"
#include "cli/status.h"
#include "core/clock.h"
#include "core/json.h"
#include "server/deliveries.h"
#include <fnmatch.h>
#include <stdlib.h>

bool delivered_outcome_is_known(const char *outcome)
{
    bool known = !outcome || strcmp(outcome, "rejected") == 0;
    for (int i = 0; i < OUT_COUNT && !known; i++)
        known = strcmp(outcome, outcome_name((enum outcome)i)) == 0;
    return known;
}

static bool outcome_fits(const struct delivered_filter *f, enum outcome o)
{
    return !f->outcome || strcmp(f->outcome, outcome_name(o)) == 0 ||
           (strcmp(f->outcome, "rejected") == 0 && outcome_is_rejection(o));
}

struct looking {
    struct journal *journal;
    struct entries *entries;
    struct buf id, type;
    char entry[ENTRY_ID_MAX];
};

/* The event's id and type from its entry. */
static void find_facts(struct looking *l, const struct source_config *s, struct delivered *d)
{
    struct lane *lane = journal_lane(l->journal, LANE_EVENTS);
    struct reader *reader = d->mark.seq >= lane_first(lane) ? reader_open(lane, d->mark.seq) : NULL;
    struct entry e;
    struct err ignored;
    bool any = false;
    if (reader && reader_next(reader, &e, &any, NULL, &ignored) && any && e.seq == d->mark.seq && span_eqz(e.source, s->name)) {
        struct event_facts facts;
        entries_facts(l->entries, &e, &facts);
        buf_adds(&l->id, facts.id);
        buf_adds(&l->type, facts.type);
        d->id = buf_span(&l->id);
        d->type = buf_span(&l->type);
    }
    reader_close(&reader);
}

static bool text_fits(const struct delivered_filter *f, struct looking *l)
{
    return (!f->id || span_eqz(buf_span(&l->id), f->id)) && (!f->type || fnmatch(f->type, buf_z(&l->type), 0) == 0);
}

static void look_at_one(struct looking *l, const struct source_config *s, struct delivered *d)
{
    buf_clear(&l->id);
    buf_clear(&l->type);
    l->entry[0] = 0;
    d->id = d->type = (struct span){"", 0};
    if (d->mark.seq) {
        struct entry e = {.seq = d->mark.seq, .node = span_of(journal_node(l->journal)), .lane = span_of(lane_name(LANE_EVENTS))};
        entry_id(&e, l->entry);
        find_facts(l, s, d);
    }
    d->entry = span_of(l->entry);
}

static bool read_marks(struct instance *in, const struct source_config *s, struct delivery_mark *marks, size_t max, size_t *ret_n,
                       struct err *err)
{
    if (!in->live)
        return deliveries_read_file(in->io, in->config->data_dir, s->name, marks, max, ret_n, err);
    *ret_n = server_deliveries(in->live->server, span_of(s->name), marks, max);
    return true;
}

bool delivered_each(struct instance *in, const struct source_config *s, const struct delivered_filter *f,
                    void (*each)(void *ctx, const struct delivered *d), void *ctx, size_t *ret_n, struct err *err)
{
    struct looking l = {0};
    size_t max = in->config->deliveries_max, n = 0;
    struct delivery_mark *marks = mem_alloc((max + 1) * sizeof *marks);
    *ret_n = 0;
    buf_init(&l.id, 1 << 16);
    buf_init(&l.type, 1 << 16);
    bool ok = instance_journal(in, &l.journal, err) && entries_open(in->config, &l.entries, err) &&
              read_marks(in, s, marks, max, &n, err);
    for (size_t i = 0; ok && i < n && *ret_n < f->max; i++) {
        struct delivered d = {.mark = marks[i]};
        if (!outcome_fits(f, d.mark.outcome))
            continue;
        look_at_one(&l, s, &d);
        if (!text_fits(f, &l))
            continue;
        each(ctx, &d);
        ++*ret_n;
    }
    entries_close(&l.entries);
    buf_release(&l.id);
    buf_release(&l.type);
    free(marks);
    return ok;
}

void delivered_write(struct buf *out, const struct delivered *d)
{
    char at[CLOCK_TEXT_MAX];
    clock_iso_us(d->mark.received_us, at);
    buf_addf(out, "{\"at\":\"%s\",\"outcome\":\"%s\",\"status\":%u,\"id\":", at, outcome_name(d->mark.outcome), d->mark.status);
    json_write_string(out, d->id);
    buf_addz(out, ",\"type\":");
    json_write_string(out, d->type);
    buf_addf(out, ",\"bytes\":%u,\"latency_us\":%u,\"entry\":", d->mark.bytes, d->mark.latency_us);
    json_write_string(out, d->entry);
    buf_addc(out, '}');
}
