#include "cli/drain.h"
#include "cli/admin.h"
#include "cli/sinks.h"
#include "core/log.h"

#define LOOK_US 50000

void drain_begin(struct drain *d)
{
    atomic_store(&d->asked, true);
    admin_drain(d->admin);
}

static bool all_taken(struct instance *in, const uint64_t ends[LANE_COUNT], bool *ret, struct err *err)
{
    const char *sinks[SINKS_MAX];
    size_t n = sinks_configured(in->config, sinks);
    *ret = true;
    for (size_t i = 0; i < n; i++) {
        for (enum lane_id l = 0; l < LANE_COUNT; l++) {
            uint64_t next;
            if (!sink_next(in, sinks[i], l, &next, err))
                return false;
            *ret = *ret && next > ends[l];
        }
    }
    return true;
}

bool drain_sinks(struct instance *in, uint64_t within_us, const atomic_bool *stop)
{
    const struct io *io = in->io;
    uint64_t ends[LANE_COUNT], until = io->world->monotonic_us(io) + within_us;
    struct err err = {0};
    bool done = false;
    if (!in->live || !in->live->stager)
        return false;
    for (enum lane_id i = 0; i < LANE_COUNT; i++)
        ends[i] = lane_durable(journal_lane(in->live->journal, i));
    for (;;) {
        stager_cut_now(in->live->stager);
        if (!all_taken(in, ends, &done, &err)) {
            log_warn("how far the sinks are could not be read", "error=\"%s\"", err.msg);
            return false;
        }
        if (done || (stop && *stop) || io->world->monotonic_us(io) >= until)
            return done;
        io->world->sleep_us(io, LOOK_US);
    }
}
