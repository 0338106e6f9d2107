/* table pause | resume | cancel | pull | reset | drop | set | audit: what operators order for a table, and who did. */
#include "backfill/backfill.h"
#include "cli/entries.h"
#include "cli/orders.h"
#include "cli/progress.h"
#include "cli/registry.h"
#include "core/clock.h"
#include "core/json.h"
#include "merge/tables.h"

struct ordering {
    struct instance *in;
    const struct command_args *a;
    const struct command_io *io;
    const struct source_config *source;
    const struct table_rule *table;
    struct control_order order;
};

/* false: after a message. */
static bool take(struct ordering *o, const char *who, const struct opt *spec)
{
    const char *names[2];
    int n;
    if (!command_options(o->a, o->io, who, spec, names, 2, 2, &n))
        return false;
    o->source = instance_source(o->in, names[0], o->io);
    o->table = o->source ? instance_table(o->source, names[1], o->io) : NULL;
    o->order.who = o->io->who ? o->io->who : "user:unknown";
    return o->table != NULL;
}

static void print_control(const struct ordering *o, const struct table_control *c, const char *words)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    if (o->a->json) {
        buf_addf(&b, "{\"source\":\"%s\",\"table\":\"%s\",\"orders\":", o->source->name, o->table->name);
        control_write(&b, c);
        buf_addc(&b, '}');
    } else {
        buf_addf(&b, "%s %s %s", o->source->name, o->table->name, words);
    }
    fprintf(o->io->out, "%s\n", buf_z(&b));
    buf_release(&b);
}

static int fail(const struct ordering *o, const struct err *err)
{
    int code = command_fail(o->io, err);
    return err->cls == ERR_INPUT ? EXIT_USAGE : code;
}

static int simple(struct instance *in, const struct command_args *a, const struct command_io *io, const char *who,
                  enum table_order order, const char *words)
{
    struct ordering o = {.in = in, .a = a, .io = io, .order = {.order = order}};
    struct table_control c;
    struct err err = {0};
    if (!take(&o, who, NULL))
        return EXIT_USAGE;
    if (!orders_give(in, o.source, o.table, &o.order, &c, &err))
        return fail(&o, &err);
    print_control(&o, &c, words);
    return EXIT_DONE;
}

int cmd_table_pause(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    return simple(in, a, io, "table pause", ORDER_PAUSE,
                  "is paused: no pulls, no merge; what comes in is kept and staged until `sluice table resume`");
}

int cmd_table_resume(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    return simple(in, a, io, "table resume", ORDER_RESUME, "goes on");
}

int cmd_table_cancel(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    return simple(in, a, io, "table cancel", ORDER_CANCEL, "is not pulled any more; the next pull begins anew");
}

static int pull_here(struct ordering *o, struct table_control *c)
{
    struct instance *in = o->in;
    struct err err = {0};
    struct journal *journal;
    struct state *state;
    struct span name = span_of(o->table->name);
    if (!instance_journal(in, &journal, &err) || !instance_state(in, &state, &err))
        return command_fail(o->io, &err);
    struct progress *progress = progress_new(o->io, in->io);
    struct backfill_opts b = {.config = in->config, .source = o->source, .journal = journal, .data_dir = in->config->data_dir,
                              .io = in->io, .tables = &name, .n_tables = 1, .stop = o->io->stop,
                              .progress = progress_tell, .progress_ctx = progress};
    struct backfill_result r = {0};
    bool ok = backfill_run(&b, &r, &err) && controls_pulled(state, span_of(o->source->name), name, c->pull_us, &err);
    progress_free(&progress);
    if (!ok)
        return command_fail(o->io, &err);
    if (r.end == RUN_COMPLETED)
        print_control(o, c, "is pulled; next: sluice merge");
    else
        fprintf(o->io->err, "%s %s\n", glyph_warn(o->io), r.why.msg);
    return r.end == RUN_COMPLETED ? EXIT_DONE : r.end == RUN_FAILED ? EXIT_FAILED : EXIT_RESUMABLE;
}

int cmd_table_pull(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    struct ordering o = {.in = in, .a = a, .io = io, .order = {.order = ORDER_PULL}};
    struct table_control c;
    struct err err = {0};
    if (!take(&o, "table pull", NULL))
        return EXIT_USAGE;
    if (!orders_give(in, o.source, o.table, &o.order, &c, &err))
        return fail(&o, &err);
    if (c.paused)
        fprintf(io->err, "%s it is paused: it is pulled once it is resumed\n", glyph_warn(io));
    if (!in->live && !c.paused)
        return pull_here(&o, &c);
    print_control(&o, &c, "is pulled now; `sluice status` shows how it gets on");
    return EXIT_DONE;
}

/* ---- what destroys ---- */

static int say_what_goes(const struct ordering *o)
{
    struct tables tables;
    struct table_facts f = {0};
    struct err err = {0};
    char b[32];
    bool reset = o->order.order == ORDER_RESET;
    if (!tables_open(&tables, o->in->config, &err))
        return command_fail(o->io, &err);
    bool ok = tables_facts(&tables, o->source, o->table, &f, &err);
    tables_close(&tables);
    if (!ok)
        return command_fail(o->io, &err);
    fprintf(o->io->err, "This empties the table %s_%s: %s rows go.\n", o->source->name, o->table->name, thousands(f.rows, b));
    if (reset && orders_can_pull(o->source, o->table))
        fprintf(o->io->err, "What is known of its last pull goes, too; it is then pulled from its beginning.\n");
    else
        fprintf(o->io->err, "Staged objects and the raw entries stay for their retention; nothing is pulled again for it.\n");
    return EXIT_DONE;
}

static int destroy(struct instance *in, const struct command_args *a, const struct command_io *io, const char *who,
                   enum table_order order)
{
    struct ordering o = {.in = in, .a = a, .io = io, .order = {.order = order}};
    struct table_control c;
    struct err err = {0};
    bool done = false;
    if (!take(&o, who, NULL))
        return EXIT_USAGE;
    if (!a->yes)
        return say_what_goes(&o);
    if (!orders_give(in, o.source, o.table, &o.order, &c, &err))
        return fail(&o, &err);
    if (!orders_settle(in, o.source, o.table, &done, &err))
        return command_fail(io, &err);
    c.clear = !done;
    print_control(&o, &c, !done ? "will be emptied by the merge's next pass" : order == ORDER_DROP ? "is empty"
                          : in->live ? "is empty and is pulled anew" : "is empty; the next pull reads everything");
    return EXIT_DONE;
}

int cmd_table_reset(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    return destroy(in, a, io, "table reset", ORDER_RESET);
}

int cmd_table_drop(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    return destroy(in, a, io, "table drop", ORDER_DROP);
}

/* ---- settings ---- */

int cmd_table_set(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    struct ordering o = {.in = in, .a = a, .io = io, .order = {.order = ORDER_SET}};
    const struct opt spec[] = {
        {"--mode", OPT_VALUE, &o.order.mode}, {"--incremental", OPT_VALUE, &o.order.field}, {NULL, 0, NULL}};
    struct table_control c;
    struct err err = {0};
    if (!take(&o, "table set", spec))
        return EXIT_USAGE;
    const char *const words[] = {"manifest", ""};
    o.order.mode = o.order.mode && strcmp(o.order.mode, words[0]) == 0 ? words[1] : o.order.mode;
    o.order.field = o.order.field && strcmp(o.order.field, words[0]) == 0 ? words[1] : o.order.field;
    if (!orders_give(in, o.source, o.table, &o.order, &c, &err))
        return fail(&o, &err);
    print_control(&o, &c, "is set; the next pull follows it");
    return EXIT_DONE;
}

/* ---- the trail ---- */

struct listing {
    const struct command_io *io;
    bool json;
    uint64_t n;
};

static bool print_record(void *ctx, const struct audit_record *r)
{
    struct listing *l = ctx;
    char at[CLOCK_TEXT_MAX];
    struct buf b;
    buf_init(&b, 1 << 16);
    l->n++;
    clock_iso_us(r->at_us, at);
    if (l->json) {
        audit_write(&b, r);
    } else {
        buf_addf(&b, "%s  %-8.*s ", at, SPAN_ARG(r->what));
        add_visible(&b, r->source);
        buf_addc(&b, ' ');
        add_visible(&b, r->table);
        buf_addz(&b, "  by ");
        add_visible(&b, r->who);
        if (r->before.n)
            buf_addf(&b, "\n    before %.*s\n    after  %.*s", SPAN_ARG(r->before), SPAN_ARG(r->after));
    }
    fprintf(l->io->out, "%s\n", buf_z(&b));
    buf_release(&b);
    return true;
}

int cmd_table_audit(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *count = NULL, *names[2] = {"", ""};
    const struct opt spec[] = {{"-n", OPT_VALUE, &count}, {NULL, 0, NULL}};
    int n;
    uint64_t limit = 20;
    struct err err = {0};
    struct state *state;
    struct listing l = {.io = io, .json = a->json};
    if (!command_options(a, io, "table audit", spec, names, 0, 2, &n) || !entries_number(io, "-n", count, &limit))
        return EXIT_USAGE;
    if (!instance_state(in, &state, &err) ||
        !audit_each(state, span_of(names[0]), span_of(names[1]), (int64_t)limit, print_record, &l, &err))
        return command_fail(io, &err);
    if (!l.n && !a->json)
        fprintf(io->err, "nothing was ordered yet\n");
    return EXIT_DONE;
}
