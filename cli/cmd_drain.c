/* drain: see cli/drain.h. */
#include "cli/drain.h"
#include "cli/registry.h"
#include "cli/sinks.h"
#include "core/clock.h"

#define WITHIN_US_MAX (UINT64_C(24) * 3600 * 1000000)
#define LOOK_US 50000

static bool wait_for_balancers(struct instance *in, const atomic_bool *stop)
{
    for (uint64_t waited = 0; waited < in->config->drain_us && !*stop; waited += LOOK_US)
        in->io->world->sleep_us(in->io, LOOK_US);
    return !*stop;
}

static int tell(struct instance *in, const struct command_args *a, const struct command_io *io, bool done)
{
    const char *sinks[SINKS_MAX];
    struct err err = {0};
    uint64_t behind = 0, one;
    for (size_t i = 0, n = sinks_configured(in->config, sinks); i < n; i++) {
        if (!sink_behind(in, sinks[i], &one, &err))
            return command_fail(io, &err);
        behind = one > behind ? one : behind;
    }
    if (a->json)
        fprintf(io->out, "{\"drained\":%s,\"behind\":%llu}\n", done ? "true" : "false", (unsigned long long)behind);
    else if (done)
        fprintf(io->out, "%s drained: every sink has what was journalled; %llu entries came since\n", glyph_ok(io),
                (unsigned long long)behind);
    else
        fprintf(io->err,
                "%s not drained: %llu entries wait in the journal; `sluice status` says what keeps them. They are staged\n"
                "  when a server runs on this data directory again\n",
                glyph_bad(io), (unsigned long long)behind);
    return done ? EXIT_DONE : EXIT_FAILED;
}

int cmd_drain(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *within = "60s";
    const struct opt spec[] = {{"--within", OPT_VALUE, &within}, {NULL, 0, NULL}};
    const char *none[1];
    uint64_t within_us;
    int n;
    if (!command_options(a, io, "drain", spec, none, 0, 0, &n))
        return EXIT_USAGE;
    if (!clock_parse_duration(span_of(within), &within_us) || !within_us || within_us > WITHIN_US_MAX) {
        fprintf(io->err, "sluice drain: --within '%s' is no duration up to 1d; write 30s, 10m or 1h\n", within);
        return EXIT_USAGE;
    }
    if (!in->live || !in->live->drain) {
        fprintf(io->err, "sluice drain: no server runs on %s; `sluice merge` brings its journal to the objects\n",
                in->config->data_dir);
        return EXIT_USAGE;
    }
    uint64_t began = in->io->world->monotonic_us(in->io);
    drain_begin(in->live->drain);
    if (!wait_for_balancers(in, io->stop))
        return EXIT_RESUMABLE;
    uint64_t spent = in->io->world->monotonic_us(in->io) - began;
    bool done = drain_sinks(in, within_us > spent ? within_us - spent : 0, io->stop);
    return !done && *io->stop ? EXIT_RESUMABLE : tell(in, a, io, done);
}
