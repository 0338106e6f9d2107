/* backfill: pulls, with a bar for each table on a terminal and plain lines elsewhere. */
#include "backfill/backfill.h"
#include "cli/entries.h"
#include "cli/progress.h"
#include "cli/registry.h"
#include "core/clock.h"
#include <stdlib.h>

static bool take_instant(const struct command_io *io, const char *option, const char *text, uint64_t *ret)
{
    char day[32] = "";
    if (!text)
        return true;
    if (strlen(text) == 10)
        snprintf(day, sizeof day, "%sT00:00:00Z", text);
    if (clock_parse_iso(span_of(text), ret) || clock_parse_iso(span_of(day), ret))
        return true;
    fprintf(io->err, "sluice backfill: %s %s: write 2024-05-01 or 2024-05-01T00:00:00Z\n", option, text);
    return false;
}

static void print_result(const struct command_io *io, bool as_json, const char *source, const struct backfill_result *r, bool dry)
{
    static const char *const ends[] = {"completed", "stopped", "limited", "failed"};
    char b[2][32];
    if (as_json) {
        struct buf why;
        buf_init(&why, 1 << 16);
        json_write_string(&why, span_of(r->why.msg));
        fprintf(io->out,
                "{\"source\":\"%s\",\"end\":\"%s\",\"pages\":%llu,\"rows\":%llu,\"tables_done\":%llu,\"tables_failed\":%llu,"
                "\"retries\":%llu,\"limits\":%llu,\"skipped\":%llu,\"why\":%s}\n",
                source, ends[r->end], (unsigned long long)r->pages, (unsigned long long)r->rows,
                (unsigned long long)r->tables_done, (unsigned long long)r->tables_failed, (unsigned long long)r->retries,
                (unsigned long long)r->limits, (unsigned long long)r->skipped, buf_z(&why));
        buf_release(&why);
        return;
    }
    fprintf(io->out, "%s %s rows in %s pages\n", dry ? "would begin with" : "pulled",
            thousands(r->rows, b[0]), thousands(r->pages, b[1]));
}

static int tell_end(const struct command_io *io, const struct instance *in, const char *source, const struct backfill_result *r,
                    bool dry)
{
    if (r->tables_paused && r->end == RUN_COMPLETED)
        fprintf(io->err, "%s %s\n", glyph_warn(io), r->why.msg);
    if (r->note[0])
        fprintf(io->err, "%s %s\n", glyph_warn(io), r->note);
    switch (r->end) {
    case RUN_COMPLETED:
        if (!dry && !in->live)
            fprintf(io->err, "next: sluice merge %s\n", source);
        return EXIT_DONE;
    case RUN_STOPPED:
        if (r->why.cls == ERR_STOPPED && r->why.msg[0]) {
            fprintf(io->err, "%s %s\n", glyph_warn(io), r->why.msg);
            return EXIT_RESUMABLE;
        }
        fprintf(io->err, "stopped after a complete page; `sluice backfill %s` continues there.\n", source);
        return EXIT_RESUMABLE;
    case RUN_LIMITED:
        fprintf(io->err, "%s %s\n`sluice backfill %s` continues where it stopped.\n", glyph_warn(io), r->why.msg, source);
        return EXIT_RESUMABLE;
    default:
        fprintf(io->err, "%s %s\n`sluice backfill %s` continues where it stopped.\n", glyph_bad(io), r->why.msg, source);
        return EXIT_FAILED;
    }
}

struct request {
    const char *names[65];
    int n;
    bool full, dry;
    uint64_t from_us, to_us, max_rows;
};

static bool take_request(const struct command_args *a, const struct command_io *io, struct request *q)
{
    const char *from = NULL, *to = NULL, *max = NULL;
    const struct opt spec[] = {{"--full", OPT_FLAG, &q->full},    {"--dry-run", OPT_FLAG, &q->dry}, {"--from", OPT_VALUE, &from},
                               {"--to", OPT_VALUE, &to},          {"--max-rows", OPT_VALUE, &max},  {NULL, 0, NULL}};
    return command_options(a, io, "backfill", spec, q->names, 1, 64, &q->n) &&
           entries_number(io, "--max-rows", max, &q->max_rows) &&
           take_instant(io, "--from", from, &q->from_us) && take_instant(io, "--to", to, &q->to_us);
}

int cmd_backfill(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    struct request q = {0};
    if (!take_request(a, io, &q))
        return EXIT_USAGE;
    const struct source_config *s = instance_source(in, q.names[0], io);
    if (!s)
        return EXIT_USAGE;
    struct span tables[64];
    for (int i = 1; i < q.n; i++) {
        if (!instance_table(s, q.names[i], io))
            return EXIT_USAGE;
        tables[i - 1] = span_of(q.names[i]);
    }
    struct err err = {0};
    struct journal *journal;
    if (!instance_journal(in, &journal, &err))
        return command_fail(io, &err);
    struct progress *progress = progress_new(io, in->io);
    struct backfill_opts o = {.config = in->config,
                              .source = s,
                              .journal = journal,
                              .data_dir = in->config->data_dir,
                              .io = in->io,
                              .tables = tables,
                              .n_tables = (size_t)(q.n - 1),
                              .full = q.full,
                              .from_us = q.from_us,
                              .to_us = q.to_us,
                              .max_rows = q.max_rows,
                              .dry_run = q.dry,
                              .stop = io->stop,
                              .progress = progress_tell,
                              .progress_ctx = progress};
    struct backfill_result r = {0};
    bool ok = backfill_run(&o, &r, &err);
    progress_free(&progress);
    if (!ok)
        return command_fail(io, &err);
    print_result(io, a->json, s->name, &r, q.dry);
    return tell_end(io, in, s->name, &r, q.dry);
}
