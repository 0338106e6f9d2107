/* dead list | show | retry | drop: what could not become rows. */
#include "cli/entries.h"
#include "cli/registry.h"
#include "core/clock.h"
#include <stdlib.h>

struct dead_listing {
    const struct command_io *io;
    bool json;
    int64_t want; /* 0: all */
    bool found;
    char entry[ENTRY_ID_MAX];
};

static bool print_letter(void *ctx, const struct dead_letter *d)
{
    struct dead_listing *l = ctx;
    char at[CLOCK_TEXT_MAX];
    clock_iso_s(d->at_us, at);
    if (l->want && d->id != l->want)
        return true;
    l->found = true;
    snprintf(l->entry, sizeof l->entry, "%.*s", SPAN_ARG(d->entry));
    if (l->json) {
        struct buf b;
        buf_init(&b, 1 << 20);
        buf_addf(&b, "{\"id\":%lld,\"at\":\"%s\",\"item\":%llu,\"source\":", (long long)d->id, at, (unsigned long long)d->item);
        json_write_string(&b, d->source);
        buf_addz(&b, ",\"table\":");
        json_write_string(&b, d->table);
        buf_addz(&b, ",\"sink\":");
        json_write_string(&b, d->sink);
        buf_addz(&b, ",\"entry\":");
        json_write_string(&b, d->entry);
        buf_addz(&b, ",\"reason\":");
        json_write_string(&b, d->reason);
        fprintf(l->io->out, "%s}\n", buf_z(&b));
        buf_release(&b);
        return true;
    }
    fprintf(l->io->out, "%6lld  %s  %.*s%s%.*s  %.*s\n        %.*s\n", (long long)d->id, at, SPAN_ARG(d->source),
            d->table.n ? "." : "", SPAN_ARG(d->table), SPAN_ARG(d->entry), SPAN_ARG(d->reason));
    return true;
}

int cmd_dead_list(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *count = NULL, *source = NULL;
    const struct opt spec[] = {{"-n", OPT_VALUE, &count}, {NULL, 0, NULL}};
    int n;
    uint64_t limit = 50, total = 0;
    if (!command_options(a, io, "dead list", spec, &source, 0, 1, &n) || !entries_number(io, "-n", count, &limit))
        return EXIT_USAGE;
    if (n && !instance_source(in, source, io))
        return EXIT_USAGE;
    struct err err = {0};
    struct state *state;
    struct dead_listing l = {.io = io, .json = a->json};
    if (!instance_state(in, &state, &err) || !state_dead_each(state, span_of(source), (int64_t)limit, print_letter, &l, &err) ||
        !state_dead_count(state, span_of(source), &total, &err))
        return command_fail(io, &err);
    if (!a->json)
        fprintf(io->err, total ? "%llu dead letters; after a fix: sluice dead retry SOURCE\n" : "no dead letters%.0llu\n",
                (unsigned long long)total);
    return EXIT_DONE;
}

static bool dead_id(const struct command_io *io, const char *text, int64_t *ret)
{
    uint64_t id = 0;
    if (!entries_number(io, "ID", text, &id))
        return false;
    *ret = (int64_t)id;
    return true;
}

int cmd_dead_show(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *text;
    int n;
    struct dead_listing l = {.io = io, .json = a->json};
    if (!command_options(a, io, "dead show", NULL, &text, 1, 1, &n) || !dead_id(io, text, &l.want))
        return EXIT_USAGE;
    struct err err = {0};
    struct state *state;
    if (!instance_state(in, &state, &err) || !state_dead_each(state, (struct span){0}, INT64_MAX, print_letter, &l, &err))
        return command_fail(io, &err);
    if (!l.found) {
        fprintf(io->err, "sluice: no dead letter %s; `sluice dead list` shows them\n", text);
        return EXIT_FAILED;
    }
    struct reader *reader = NULL;
    struct entry e;
    if (entries_find(in, l.entry, &reader, &e, &err))
        fprintf(io->out, "\n%.*s\n", SPAN_ARG(e.message.body));
    else
        fprintf(io->err, "sluice: %s\n", err.msg);
    reader_close(&reader);
    return EXIT_DONE;
}

int cmd_dead_retry(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *names[2] = {NULL, NULL};
    int n;
    int64_t id = 0;
    if (!command_options(a, io, "dead retry", NULL, names, 1, 2, &n) || !dead_id(io, names[1], &id))
        return EXIT_USAGE;
    const struct source_config *s = instance_source(in, names[0], io);
    if (!s)
        return EXIT_USAGE;
    struct err err = {0};
    struct journal *journal;
    struct store *store;
    struct stager *stager = NULL;
    uint64_t fixed = 0, still = 0;
    bool ok = instance_journal(in, &journal, &err) && instance_store(in, &store, &err);
    struct stager_opts o = {
        .config = in->config, .journal = journal, .store = store, .data_dir = in->config->data_dir, .io = in->io};
    ok = ok && stager_new(&o, &stager, &err) && stager_retry_dead(stager, span_of(s->name), id, &fixed, &still, &err);
    stager_free(&stager);
    if (!ok)
        return command_fail(io, &err);
    if (in->config->kafka.brokers && fixed)
        fprintf(io->err, "what was fixed also goes to Kafka %s\n", in->live ? "now" : "when the server runs: sluice serve");
    fprintf(io->out, "%llu fixed and staged, %llu still fail\n", (unsigned long long)fixed, (unsigned long long)still);
    if (still)
        fprintf(io->err, "sluice dead list %s tells why\n", s->name);
    return still ? EXIT_FAILED : EXIT_DONE;
}

int cmd_dead_drop(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *names[2] = {NULL, NULL};
    int n;
    int64_t id = 0;
    if (!command_options(a, io, "dead drop", NULL, names, 1, 2, &n) || !dead_id(io, names[1], &id))
        return EXIT_USAGE;
    const struct source_config *s = instance_source(in, names[0], io);
    if (!s)
        return EXIT_USAGE;
    struct err err = {0};
    struct state *state;
    uint64_t count = 0;
    if (!instance_state(in, &state, &err))
        return command_fail(io, &err);
    if (!a->yes) {
        if (!state_dead_count(state, span_of(s->name), &count, &err))
            return command_fail(io, &err);
        fprintf(io->err, "This forgets %s dead letter%s of %s; the raw entries stay in the journal for its retention.\n",
                id ? "one" : "all", id ? "" : "s", s->name);
        fprintf(io->err, "The source has %llu.\n", (unsigned long long)count);
        return EXIT_DONE;
    }
    if (!state_dead_drop(state, span_of(s->name), id, &count, &err))
        return command_fail(io, &err);
    fprintf(io->out, "%llu dropped\n", (unsigned long long)count);
    return id && !count ? EXIT_FAILED : EXIT_DONE;
}
