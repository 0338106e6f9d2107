/* events list | show | check: the raw journal for people. */
#include "cli/registry.h"
#include "cli/entries.h"
#include "core/clock.h"
#include "transforms/transform.h"
#include <stdlib.h>

struct listing {
    const struct command_io *io;
    struct entries *entries;
    bool json;
    const char *source, *type;
};

static void print_entry_line(struct listing *l, const struct entry *e, const struct event_facts *f)
{
    char at[CLOCK_TEXT_MAX], id[ENTRY_ID_MAX];
    clock_iso_s(e->received_us, at);
    entry_id(e, id);
    if (l->json) {
        struct buf b;
        buf_init(&b, 1 << 20);
        buf_addz(&b, "{\"entry\":");
        json_write_string(&b, span_of(id));
        buf_addf(&b, ",\"received_at\":\"%s\",\"source\":", at);
        json_write_string(&b, e->source);
        buf_addz(&b, ",\"kind\":");
        buf_addz(&b, e->kind == ENTRY_PAGE ? "\"page\",\"type\":" : "\"event\",\"type\":");
        json_write_string(&b, e->kind == ENTRY_PAGE ? e->table : f->type);
        buf_addz(&b, ",\"id\":");
        json_write_string(&b, f->id);
        buf_addf(&b, ",\"bytes\":%zu}", e->message.body.n);
        fprintf(l->io->out, "%s\n", buf_z(&b));
        buf_release(&b);
        return;
    }
    struct span what = e->kind == ENTRY_PAGE ? (e->is_feed ? SPAN_LIT("feed") : e->table) : f->type;
    fprintf(l->io->out, "%s  %-12.*s %-34.*s %8zu B  %s\n", at, SPAN_ARG(e->source), SPAN_ARG(what), e->message.body.n, id);
}

static bool wanted(const struct listing *l, const struct entry *e, const struct event_facts *f)
{
    if (l->source && !span_eqz(e->source, l->source))
        return false;
    return !l->type || (e->kind == ENTRY_EVENT && glob_match(span_of(l->type), f->type));
}

/* Two passes over the tail keep memory flat: the last `limit` of the wanted ones are found by widening the window backwards. */
static bool print_from(struct listing *l, struct lane *lane, uint64_t from, uint64_t limit, bool print, uint64_t *ret_n,
                       struct err *err)
{
    struct reader *r = reader_open(lane, from);
    uint64_t n = 0;
    bool ok = true, any = true;
    while (ok && any && n < limit) {
        struct entry e;
        ok = reader_next(r, &e, &any, NULL, err);
        if (!ok || !any)
            break;
        struct event_facts f = {0};
        entries_facts(l->entries, &e, &f);
        if (!wanted(l, &e, &f))
            continue;
        n++;
        if (print)
            print_entry_line(l, &e, &f);
    }
    reader_close(&r);
    *ret_n = n;
    return ok;
}

static bool print_tail(struct listing *l, struct lane *lane, uint64_t limit, struct err *err)
{
    uint64_t first = lane_first(lane), end = lane_durable(lane) + 1, back = limit, n = 0, from;
    for (;;) {
        from = end > first + back ? end - back : first;
        if (!print_from(l, lane, from, UINT64_MAX, false, &n, err))
            return false;
        if (n >= limit || from == first)
            break;
        back *= 4;
    }
    /* Skip what is too many, then print. */
    for (; n > limit; n--) {
        struct reader *r = reader_open(lane, from);
        struct entry e;
        struct event_facts f = {0};
        bool any = true, ok = true;
        do {
            ok = reader_next(r, &e, &any, NULL, err);
            if (ok && any)
                entries_facts(l->entries, &e, &f);
        } while (ok && any && !wanted(l, &e, &f));
        from = ok && any ? e.seq + 1 : end;
        reader_close(&r);
        if (!ok)
            return false;
    }
    return print_from(l, lane, from, UINT64_MAX, true, &n, err);
}

int cmd_events_list(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *count = NULL, *type = NULL, *lane_text = NULL, *from = NULL, *source = NULL;
    const struct opt spec[] = {{"-n", OPT_VALUE, &count},
                               {"--type", OPT_VALUE, &type},
                               {"--lane", OPT_VALUE, &lane_text},
                               {"--from", OPT_VALUE, &from},
                               {NULL, 0, NULL}};
    int n;
    if (!command_options(a, io, "events list", spec, &source, 0, 1, &n))
        return EXIT_USAGE;
    if (n && !instance_source(in, source, io))
        return EXIT_USAGE;
    enum lane_id lane;
    uint64_t limit = 20, start = 0;
    if (!entries_lane(io, lane_text, &lane) || !entries_number(io, "-n", count, &limit) ||
        !entries_number(io, "--from", from, &start))
        return EXIT_USAGE;
    struct err err = {0};
    struct journal *journal;
    struct listing l = {.io = io, .json = a->json, .source = n ? source : NULL, .type = type};
    if (!instance_journal(in, &journal, &err) || !entries_open(in->config, &l.entries, &err))
        return command_fail(io, &err);
    struct lane *where = journal_lane(journal, lane);
    bool ok = start ? print_from(&l, where, start, limit, true, &limit, &err) : print_tail(&l, where, limit, &err);
    entries_close(&l.entries);
    return ok ? EXIT_DONE : command_fail(io, &err);
}

static void print_entry(const struct command_io *io, const struct entry *e)
{
    char id[ENTRY_ID_MAX], at[CLOCK_TEXT_MAX];
    entry_id(e, id);
    clock_iso_us(e->received_us, at);
    fprintf(io->out, "entry     %s\nreceived  %s\nsource    %.*s\n", id, at, SPAN_ARG(e->source));
    if (e->kind == ENTRY_EVENT) {
        if (e->scheme.n)
            fprintf(io->out, "verified  %.*s with secret %.*s\n", SPAN_ARG(e->scheme), SPAN_ARG(e->secret_id));
        else
            fprintf(io->out, "verified  not: the source says verification: none\n");
    } else {
        fprintf(io->out, "page      %s %.*s  run %.*s%s\ncursor    %.*s\n", e->is_feed ? "of the feed" : "of table",
                SPAN_ARG(e->table), SPAN_ARG(e->run), e->is_last ? ", its last" : "", SPAN_ARG(e->cursor));
    }
    fprintf(io->out, "request   %.*s %.*s\n", SPAN_ARG(e->message.method), SPAN_ARG(e->message.url));
    for (size_t i = 0; i < e->message.n_headers; i++)
        fprintf(io->out, "  %.*s: %.*s\n", SPAN_ARG(e->message.headers[i].name), SPAN_ARG(e->message.headers[i].value));
    fprintf(io->out, "\n%.*s\n", SPAN_ARG(e->message.body));
}

int cmd_events_show(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    bool body = false;
    const struct opt spec[] = {{"--body", OPT_FLAG, &body}, {NULL, 0, NULL}};
    const char *id;
    int n;
    if (!command_options(a, io, "events show", spec, &id, 1, 1, &n))
        return EXIT_USAGE;
    struct err err = {0};
    struct reader *reader = NULL;
    struct entry e;
    if (!entries_find(in, id, &reader, &e, &err)) {
        reader_close(&reader);
        return command_fail(io, &err);
    }
    if (body)
        fwrite(e.message.body.p, 1, e.message.body.n, io->out);
    else
        print_entry(io, &e);
    reader_close(&reader);
    return EXIT_DONE;
}

struct checking {
    const struct command_io *io;
    bool json;
    uint64_t places;
};

static void print_damage(void *ctx, const struct damage *d)
{
    struct checking *c = ctx;
    c->places++;
    if (c->json)
        fprintf(c->io->out, "{\"segment\":\"%s\",\"offset\":%llu,\"bytes\":%llu,\"what\":\"%s\"}\n", d->segment,
                (unsigned long long)d->offset, (unsigned long long)d->bytes, d->what);
    else
        fprintf(c->io->out, "%s %s at offset %llu: %llu bytes: %s\n", glyph_bad(c->io), d->segment,
                (unsigned long long)d->offset, (unsigned long long)d->bytes, d->what);
}

int cmd_events_check(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    int n;
    const char *none[1];
    if (!command_options(a, io, "events check", NULL, none, 0, 0, &n))
        return EXIT_USAGE;
    struct err err = {0};
    struct journal *journal;
    if (!instance_journal(in, &journal, &err))
        return command_fail(io, &err);
    struct checking c = {.io = io, .json = a->json};
    for (int l = 0; l < LANE_COUNT; l++) {
        uint64_t entries = 0;
        char b[32];
        if (!lane_check(journal_lane(journal, (enum lane_id)l), print_damage, &c, &entries, &err))
            return command_fail(io, &err);
        if (!a->json)
            fprintf(io->out, "%s %-9s %s entries read\n", glyph_ok(io), lane_name((enum lane_id)l), thousands(entries, b));
    }
    if (c.places)
        fprintf(io->err, "sluice: %llu damaged places; what they held is kept beside the segments as *.bad\n",
                (unsigned long long)c.places);
    return c.places ? EXIT_FAILED : EXIT_DONE;
}
