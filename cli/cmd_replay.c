/* events replay: entries of the archive and the journal become rows once more. */
#include "cli/entries.h"
#include "cli/registry.h"
#include "core/clock.h"
#include "core/codec.h"
#include "staging/replay.h"

struct choosing {
    struct entries *entries;
    const char *source, *id, *type;
};

static bool wanted(void *ctx, const struct entry *e)
{
    struct choosing *c = ctx;
    char id[ENTRY_ID_MAX];
    struct event_facts f = {0};
    if (c->source && !span_eqz(e->source, c->source))
        return false;
    if (!c->id && !c->type)
        return true;
    entry_id(e, id);
    entries_facts(c->entries, e, &f);
    if (c->id && strcmp(id, c->id) != 0 && !span_eqz(f.id, c->id))
        return false;
    return !c->type || glob_match(span_of(c->type), f.type);
}

/* A day is taken from its beginning. */
static bool instant(const struct command_io *io, const char *option, const char *text, uint64_t *ret)
{
    struct buf day = {0};
    if (!text)
        return true;
    bool ok = clock_parse_iso(span_of(text), ret);
    if (!ok && strlen(text) == strlen("2026-01-01")) {
        buf_addf(&day, "%sT00:00:00Z", text);
        ok = clock_parse_iso(buf_span(&day), ret);
    }
    buf_release(&day);
    if (!ok)
        fprintf(io->err, "sluice: %s '%s' is no day and no instant; write 2026-05-01 or 2026-05-01T00:00:00Z\n", option, text);
    return ok;
}

static uint64_t selection_of(const struct choosing *c, const struct replay_opts *o)
{
    struct buf b = {0};
    buf_addf(&b, "%s\n%s\n%s\n%llu %llu", c->source ? c->source : "", c->id ? c->id : "", c->type ? c->type : "",
             (unsigned long long)o->from_us, (unsigned long long)o->to_us);
    uint64_t hash = hash64(buf_span(&b));
    buf_release(&b);
    return hash;
}

static void tell(const struct command_io *io, const struct command_args *a, const struct replay_opts *o,
                 const struct replay_counts *n)
{
    unsigned long long entries = n->entries, rows = n->rows, failed = n->failed, strangers = n->strangers;
    if (a->json)
        fprintf(io->out, "{\"entries\":%llu,\"rows\":%llu,\"failed\":%llu,\"not_configured\":%llu,\"segments\":%llu}\n", entries,
                rows,
                failed, strangers, (unsigned long long)n->segments);
    else if (o->dry_run)
        fprintf(io->out, "%llu entries would be replayed, %llu segments of the archive hold some of that time\n", entries,
                (unsigned long long)n->segments);
    else
        fprintf(io->out, "%llu entries replayed, %llu rows staged, %llu failed\n", entries, rows, failed);
    if (strangers)
        fprintf(io->err, "sluice: %llu more are of sources that are not in the configuration\n", strangers);
    if (n->damage)
        fprintf(io->err, "sluice: %llu bytes are damaged and were passed over\n", (unsigned long long)n->damage);
}

int cmd_events_replay(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    struct choosing c = {0};
    const char *from = NULL, *to = NULL, *lane = NULL;
    bool dry = false;
    const struct opt spec[] = {{"--from", OPT_VALUE, &from}, {"--to", OPT_VALUE, &to},     {"--id", OPT_VALUE, &c.id},
                               {"--type", OPT_VALUE, &c.type}, {"--lane", OPT_VALUE, &lane}, {"--dry-run", OPT_FLAG, &dry},
                               {NULL, 0, NULL}};
    struct replay_opts o = {.to_us = UINT64_MAX, .wanted = wanted, .ctx = &c};
    int n;
    if (!command_options(a, io, "events replay", spec, &c.source, 0, 1, &n))
        return EXIT_USAGE;
    if (n && !instance_source(in, c.source, io))
        return EXIT_USAGE;
    if (!from && !to && !c.id) {
        fprintf(io->err, "sluice: say which: --from and --to, or --id; --dry-run counts them first\n");
        return EXIT_USAGE;
    }
    if (!entries_lane(io, lane, &o.lane) || !instant(io, "--from", from, &o.from_us) || !instant(io, "--to", to, &o.to_us))
        return EXIT_USAGE;
    o.dry_run = dry;
    o.selection = selection_of(&c, &o);
    struct err err = {0};
    struct journal *journal;
    struct store *store;
    struct stager *stager = NULL;
    struct replay_counts counts = {0};
    bool ok = instance_journal(in, &journal, &err) && instance_store(in, &store, &err) &&
              entries_open(in->config, &c.entries, &err);
    struct stager_opts so = {
        .config = in->config, .journal = journal, .store = store, .data_dir = in->config->data_dir, .io = in->io};
    ok = ok && stager_new(&so, &stager, &err) && stager_replay(stager, &o, &counts, &err);
    stager_free(&stager);
    entries_close(&c.entries);
    if (!ok)
        return command_fail(io, &err);
    tell(io, a, &o, &counts);
    return counts.failed ? EXIT_FAILED : EXIT_DONE;
}
