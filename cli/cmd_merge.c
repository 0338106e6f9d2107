/* merge: stages what the journal still holds, then merges what is staged. In a running server it hurries the server's own
 * stager and merger instead: a target has one merger at a time. */
#include "cli/registry.h"
#include "merge/merge.h"
#include "merge/account.h"

#define LOOK_US 100000

static void print_counts(const struct command_io *io, bool as_json, const struct merge_counts *c)
{
    char b[6][32];
    if (as_json)
        fprintf(io->out,
                "{\"objects\":%llu,\"rows\":%llu,\"inserted\":%llu,\"updated\":%llu,\"deleted\":%llu,"
                "\"kept_out\":%llu,\"missed\":%llu,\"rejected\":%llu}\n",
                (unsigned long long)c->objects, (unsigned long long)c->rows, (unsigned long long)c->inserted,
                (unsigned long long)c->updated, (unsigned long long)c->deleted, (unsigned long long)c->kept_out,
                (unsigned long long)c->missed, (unsigned long long)c->rejected);
    else
        fprintf(io->out, "merged %s rows: %s new   %s updated   %s deleted   %s older or repeated, kept out   %s missed events\n",
                thousands(c->rows, b[0]), thousands(c->inserted, b[1]), thousands(c->updated, b[2]),
                thousands(c->deleted, b[3]), thousands(c->kept_out, b[4]), thousands(c->missed, b[5]));
}

static void print_staged(const struct command_io *io, bool as_json)
{
    if (as_json)
        fprintf(io->out, "{\"staged\":true,\"merged\":false}\n");
    else
        fprintf(io->out, "staged: everything journalled until now; who merges it is elsewhere (merge.target: none)\n");
}

static bool merge_once(struct stager *stager, struct merger *merger, struct span source,
                       struct span table, struct merge_counts *counts, struct err *err)
{
    return stager_drain(stager, err) &&
           (!merger || (merger_pass(merger, source, table, counts, err) && merger_settle(merger, err)));
}

static int merge_alone(struct instance *in, const struct command_args *a, const struct command_io *io, struct span source,
                       struct span table, bool follow)
{
    struct err err = {0};
    struct journal *journal;
    struct store *store;
    struct stager *stager = NULL;
    struct merger *merger = NULL;
    struct merge_counts counts = {0};
    bool ok = instance_journal(in, &journal, &err) && instance_store(in, &store, &err);
    if (ok) {
        struct stager_opts so = {
            .config = in->config, .journal = journal, .store = store, .data_dir = in->config->data_dir, .io = in->io};
        struct merger_opts mo = {.config = in->config, .store = store, .io = in->io, .data_dir = in->config->data_dir};
        ok = stager_new(&so, &stager, &err) && (!in->config->merge_db || merger_new(&mo, &merger, &err));
    }
    ok = ok && merge_once(stager, merger, source, table, &counts, &err);
    while (ok && follow && !*io->stop) {
        in->io->world->sleep_us(in->io, in->config->merge_every_us);
        ok = merge_once(stager, merger, source, table, &counts, &err);
    }
    merger_free(&merger);
    stager_free(&stager);
    if (!ok)
        return command_fail(io, &err);
    if (in->config->merge_db)
        print_counts(io, a->json, &counts);
    else
        print_staged(io, a->json);
    return EXIT_DONE;
}

/* Everything that was durable when the command came is merged: nothing waits below the lanes' ends of then. */
static bool caught_up(struct instance *in, const uint64_t ends[LANE_COUNT], bool *ret, struct err *err)
{
    struct state *state;
    struct store *store;
    if (!instance_state(in, &state, err) || !instance_store(in, &store, err))
        return false;
    *ret = true;
    for (int l = 0; l < LANE_COUNT; l++) {
        uint64_t next;
        if (!state_position(state, span_of(lane_name((enum lane_id)l)), &next, err))
            return false;
        if (next <= ends[l])
            *ret = false;
    }
    if (!*ret || !in->config->merge_db) /* merge.target: none: staged is all that it can be here */
        return true;
    struct tables tables;
    if (!tables_open(&tables, in->config, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < in->config->n_sources; i++) {
        uint64_t waiting = 0, merged = 0;
        ok = account_rows(&tables, state, span_of(in->config->sources[i].name), &waiting, &merged, err);
        *ret = *ret && waiting == 0;
    }
    tables_close(&tables);
    return ok;
}

static int merge_live(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    uint64_t ends[LANE_COUNT];
    struct err err = {0};
    for (int l = 0; l < LANE_COUNT; l++)
        ends[l] = lane_durable(journal_lane(in->live->journal, (enum lane_id)l));
    bool done = false;
    while (!done && !*io->stop) {
        stager_cut_now(in->live->stager);
        if (in->live->merger)
            merger_wake(in->live->merger);
        if (!caught_up(in, ends, &done, &err))
            return command_fail(io, &err);
        if (!done)
            in->io->world->sleep_us(in->io, LOOK_US);
    }
    if (!done)
        return EXIT_RESUMABLE;
    if (!in->config->merge_db)
        print_staged(io, a->json);
    else if (a->json)
        fprintf(io->out, "{\"merged\":true}\n");
    else
        fprintf(io->out, "merged: the running server has brought everything journalled until now into the tables\n");
    return EXIT_DONE;
}

int cmd_merge(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    bool once = false, follow = false;
    const struct opt spec[] = {{"--once", OPT_FLAG, &once}, {"--follow", OPT_FLAG, &follow}, {NULL, 0, NULL}};
    const char *names[2] = {NULL, NULL};
    int n;
    if (!command_options(a, io, "merge", spec, names, 0, 2, &n))
        return EXIT_USAGE;
    if (once && follow) {
        fprintf(io->err, "sluice merge: --once and --follow exclude each other\n");
        return EXIT_USAGE;
    }
    const struct source_config *s = n > 0 ? instance_source(in, names[0], io) : NULL;
    if (n > 0 && !s)
        return EXIT_USAGE;
    if (n > 1 && !instance_table(s, names[1], io))
        return EXIT_USAGE;
    if (in->live)
        return merge_live(in, a, io);
    return merge_alone(in, a, io, span_of(names[0]), span_of(names[1]), follow);
}
