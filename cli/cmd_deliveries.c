/* deliveries: the last deliveries of a source. */
#include "cli/delivered.h"
#include "cli/entries.h"
#include "cli/registry.h"
#include "core/clock.h"

struct listing {
    const struct command_io *io;
    bool json;
};

static void print_one(void *ctx, const struct delivered *d)
{
    struct listing *l = ctx;
    char at[CLOCK_TEXT_MAX];
    struct buf b;
    buf_init(&b, 1 << 18);
    if (l->json) {
        delivered_write(&b, d);
    } else {
        clock_iso_us(d->mark.received_us, at);
        buf_addf(&b, "%s  %-14s %3u %9u B %8.1f ms  ", at, outcome_name(d->mark.outcome), d->mark.status, d->mark.bytes,
                 (double)d->mark.latency_us / 1000);
        add_visible(&b, d->type.n ? d->type : SPAN_LIT("-"));
        buf_addz(&b, "  ");
        add_visible(&b, d->id.n ? d->id : SPAN_LIT("-"));
        if (d->entry.n)
            buf_addf(&b, "  %.*s", SPAN_ARG(d->entry));
    }
    fprintf(l->io->out, "%s\n", buf_z(&b));
    buf_release(&b);
}

int cmd_deliveries(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *count = NULL, *name = NULL;
    struct delivered_filter f = {0};
    const struct opt spec[] = {{"-n", OPT_VALUE, &count},     {"--outcome", OPT_VALUE, &f.outcome}, {"--id", OPT_VALUE, &f.id},
                               {"--type", OPT_VALUE, &f.type}, {NULL, 0, NULL}};
    struct listing l = {.io = io, .json = a->json};
    struct err err = {0};
    uint64_t max = 20;
    size_t found;
    int n;
    if (!command_options(a, io, "deliveries", spec, &name, 1, 1, &n) || !entries_number(io, "-n", count, &max))
        return EXIT_USAGE;
    if (!delivered_outcome_is_known(f.outcome)) {
        fprintf(io->err, "sluice deliveries: --outcome %s: there are rejected, accepted, duplicate, bad_signature, …\n",
                f.outcome);
        return EXIT_USAGE;
    }
    const struct source_config *s = instance_source(in, name, io);
    if (!s)
        return EXIT_USAGE;
    f.max = max;
    if (!delivered_each(in, s, &f, print_one, &l, &found, &err))
        return command_fail(io, &err);
    if (!found && !a->json)
        fprintf(io->err, in->config->deliveries_max ? "no such delivery among the last %u\n" : "retention.deliveries is %u\n",
                in->config->deliveries_max);
    return EXIT_DONE;
}
