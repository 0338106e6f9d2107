/* trace: where one event is now, step by step: journal, staging, table. */
#include "cli/entries.h"
#include "cli/registry.h"
#include "core/clock.h"
#include "merge/account.h"
#include "staging/trace.h"

struct tracing {
    struct instance *in;
    const struct command_io *io;
    struct tables tables;
    const struct entry *entry;
    struct err err;
    uint64_t objects, merged;
};

static bool print_object(void *ctx, const struct staged_object *o)
{
    struct tracing *t = ctx;
    bool merged = false;
    if (!account_is_merged(&t->tables, o->key, &merged, &t->err))
        return false;
    t->objects++;
    t->merged += merged;
    fprintf(t->io->out, "%s staged    %.*s  (%llu rows)%s\n", glyph_ok(t->io), SPAN_ARG(o->key), (unsigned long long)o->rows,
            merged ? ", merged" : ", waits for the merge");
    return true;
}

static void print_stand(const struct tracing *t, enum staged_stand stand)
{
    switch (stand) {
    case STAND_WAITING:
        fprintf(t->io->out, "- waits to be staged\n");
        break;
    case STAND_IGNORED:
        fprintf(t->io->out, "- ignored: no table takes it, or it is filtered (`only`)\n");
        break;
    case STAND_DEAD:
        fprintf(t->io->out, "%s dead letter: `sluice dead list %.*s` tells why\n", glyph_bad(t->io),
                SPAN_ARG(t->entry->source));
        break;
    case STAND_STAGED:
        break;
    }
}

static int trace(struct tracing *t, struct state *state)
{
    const struct entry *e = t->entry;
    char at[CLOCK_TEXT_MAX];
    clock_iso_us(e->received_us, at);
    fprintf(t->io->out, "%s journalled %s, source %.*s, %zu bytes%s\n", glyph_ok(t->io), at, SPAN_ARG(e->source),
            e->message.body.n, e->kind == ENTRY_PAGE ? ", a pulled page" : "");
    enum staged_stand stand;
    if (!trace_entry(state, e->source, e->lane, e->seq, &stand, print_object, t, &t->err))
        return command_fail(t->io, t->err.cls ? &t->err : &(struct err){.cls = ERR_BUG, .msg = "trace ended early"});
    print_stand(t, stand);
    if (t->objects && t->merged == t->objects)
        fprintf(t->io->out, "%s merged    `sluice table explain %.*s TABLE KEY` shows whether it holds its row\n",
                glyph_ok(t->io), SPAN_ARG(e->source));
    return EXIT_DONE;
}

int cmd_trace(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *id;
    int n;
    if (!command_options(a, io, "trace", NULL, &id, 1, 1, &n))
        return EXIT_USAGE;
    struct tracing t = {.in = in, .io = io};
    struct reader *reader = NULL;
    struct entry e;
    struct state *state;
    int code;
    if (!entries_find(in, id, &reader, &e, &t.err) || !instance_state(in, &state, &t.err) ||
        !tables_open(&t.tables, in->config, &t.err)) {
        code = command_fail(io, &t.err);
    } else {
        t.entry = &e;
        code = trace(&t, state);
        tables_close(&t.tables);
    }
    reader_close(&reader);
    return code;
}
