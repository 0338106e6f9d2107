/* table list | head | explain: the merged tables for people. */
#include "cli/entries.h"
#include "cli/registry.h"
#include "core/clock.h"
#include "merge/tables.h"

/* Calls `each` for every table in use of one source (or of all): the manifest's, then events. */
static bool each_table(const struct instance *in, const struct source_config *only,
                       bool (*each)(void *ctx, const struct source_config *s, const struct table_rule *t), void *ctx)
{
    for (size_t i = 0; i < in->config->n_sources; i++) {
        const struct source_config *s = &in->config->sources[i];
        if (only && s != only)
            continue;
        for (size_t k = 0; k <= s->manifest->n_tables; k++) {
            const struct table_rule *t = k < s->manifest->n_tables ? &s->manifest->tables[k] : &manifest_events_table;
            if (source_has_table(s, span_of(t->name)) && !each(ctx, s, t))
                return false;
        }
    }
    return true;
}

struct table_listing {
    struct instance *in;
    const struct command_io *io;
    bool json;
    struct tables tables;
    struct err err;
};

static bool list_one(void *ctx, const struct source_config *s, const struct table_rule *t)
{
    struct table_listing *l = ctx;
    struct table_facts f = {0};
    if (!tables_facts(&l->tables, s, t, &f, &l->err))
        return false;
    struct buf name;
    buf_init(&name, 512);
    table_public_name(span_of(s->name), span_of(t->name), &name);
    char ago[CLOCK_TEXT_MAX] = "-", b[2][32];
    if (f.newest_us)
        clock_ago(f.newest_us, l->in->io->world->now_us(l->in->io), ago);
    if (l->json)
        fprintf(l->io->out,
                "{\"source\":\"%s\",\"table\":\"%s\",\"name\":\"%s\",\"rows\":%llu,\"deleted\":%llu,\"kept_out\":%llu,"
                "\"missed\":%llu}\n",
                s->name, t->name, buf_z(&name), (unsigned long long)f.rows, (unsigned long long)f.deleted_keys,
                (unsigned long long)f.counts.kept_out, (unsigned long long)f.counts.missed);
    else
        fprintf(l->io->out, "%-36s %12s %10s   %s\n", buf_z(&name), thousands(f.rows, b[0]), thousands(f.deleted_keys, b[1]),
                ago);
    buf_release(&name);
    return true;
}

int cmd_table_list(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *name = NULL;
    int n;
    if (!command_options(a, io, "table list", NULL, &name, 0, 1, &n))
        return EXIT_USAGE;
    const struct source_config *s = n ? instance_source(in, name, io) : NULL;
    if (n && !s)
        return EXIT_USAGE;
    struct table_listing l = {.in = in, .io = io, .json = a->json};
    if (!tables_open(&l.tables, in->config, &l.err))
        return command_fail(io, &l.err);
    if (!a->json)
        fprintf(io->out, "%-36s %12s %10s   %s\n", "TABLE", "ROWS", "DELETED", "NEWEST");
    bool ok = each_table(in, s, list_one, &l);
    tables_close(&l.tables);
    if (ok && !a->json && in->config->merge_db)
        fprintf(io->err, "in %s: sqlite3 -readonly %s 'select * from <table>'\n", in->config->merge_db, in->config->merge_db);
    return ok ? EXIT_DONE : command_fail(io, &l.err);
}

static bool print_row(void *ctx, struct span row)
{
    const struct command_io *io = ctx;
    fprintf(io->out, "%.*s\n", SPAN_ARG(row));
    return true;
}

int cmd_table_head(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *count = NULL, *names[2];
    const struct opt spec[] = {{"-n", OPT_VALUE, &count}, {NULL, 0, NULL}};
    int n;
    uint64_t limit = 10;
    if (!command_options(a, io, "table head", spec, names, 2, 2, &n) || !entries_number(io, "-n", count, &limit))
        return EXIT_USAGE;
    const struct source_config *s = instance_source(in, names[0], io);
    const struct table_rule *t = s ? instance_table(s, names[1], io) : NULL;
    if (!t)
        return EXIT_USAGE;
    struct err err = {0};
    struct tables tables;
    if (!tables_open(&tables, in->config, &err))
        return command_fail(io, &err);
    struct command_io copy = *io;
    bool ok = tables_head(&tables, s, t, (int64_t)limit, print_row, &copy, &err);
    tables_close(&tables);
    return ok ? EXIT_DONE : command_fail(io, &err);
}

struct explaining {
    const struct command_io *io;
    bool json;
    uint64_t candidates, held;
};

static bool print_candidate(void *ctx, const struct candidate *c)
{
    struct explaining *x = ctx;
    const struct command_io *io = x->io;
    const struct row *r = &c->row;
    char observed[CLOCK_TEXT_MAX];
    clock_iso_us(r->observed_us, observed);
    x->candidates++;
    x->held += c->holds;
    const char *origin = r->origin == ORIGIN_WEBHOOK ? "webhook" : r->origin == ORIGIN_BACKFILL ? "backfill" : "replay";
    const char *op = r->op == ROW_DELETE ? "delete" : "upsert";
    if (x->json) {
        struct buf b;
        buf_init(&b, 64 << 20);
        buf_addf(&b, "{\"holds\":%s,\"why\":\"%s\",\"op\":\"%s\",\"origin\":\"%s\",\"observed_at\":\"%s\",\"shape\":\"%s\","
                     "\"entry\":",
                 c->holds ? "true" : "false", c->why, op, origin, observed, shape_name(r->shape));
        json_write_string(&b, r->entry);
        buf_addz(&b, ",\"version\":");
        json_write_string(&b, r->version);
        buf_addz(&b, ",\"row\":");
        buf_adds(&b, r->op == ROW_DELETE ? SPAN_LIT("null") : r->row);
        buf_addz(&b, "}");
        fprintf(io->out, "%s\n", buf_z(&b));
        buf_release(&b);
        return true;
    }
    fprintf(io->out, "%-2s %-6s %-8s observed %s  %-28.*s %.*s\n   %s\n", c->holds ? glyph_ok(io) : "-", op, origin, observed,
            SPAN_ARG(r->event_type), SPAN_ARG(r->entry), c->why);
    if (c->holds && r->op == ROW_UPSERT)
        fprintf(io->out, "   %.*s\n", SPAN_ARG(r->row));
    return true;
}

int cmd_table_explain(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *names[3];
    int n;
    if (!command_options(a, io, "table explain", NULL, names, 3, 3, &n))
        return EXIT_USAGE;
    const struct source_config *s = instance_source(in, names[0], io);
    const struct table_rule *t = s ? instance_table(s, names[1], io) : NULL;
    if (!t)
        return EXIT_USAGE;
    struct err err = {0};
    struct store *store;
    struct tables tables;
    if (!instance_store(in, &store, &err) || !tables_open(&tables, in->config, &err))
        return command_fail(io, &err);
    struct explaining x = {.io = io, .json = a->json};
    bool ok = tables_explain(&tables, store, s, t, span_of(names[2]), print_candidate, &x, &err);
    tables_close(&tables);
    if (!ok)
        return command_fail(io, &err);
    if (!x.candidates)
        fprintf(io->err, "sluice: no staged row has the key %s; `sluice events list %s` shows what came\n", names[2], s->name);
    return x.candidates ? EXIT_DONE : EXIT_FAILED;
}
