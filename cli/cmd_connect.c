/* connect: check, register, backfill, status, one after the other; what is done already is not done again. */
#include "cli/managed.h"
#include "cli/registry.h"
#include "core/clock.h"
#include <stdlib.h>

#define WAIT_US_DEFAULT (UINT64_C(600) * 1000000)

struct connecting {
    struct instance *in;
    const struct command_io *io;
    const char *source, *url;
    uint64_t wait_us;
};

static void heading(const struct connecting *c, unsigned n, const char *what)
{
    fprintf(c->io->out, "%u/4 %s\n", n, what);
    fflush(c->io->out);
}

/* Another command's function, with the source as its first word. */
static int run(const struct connecting *c, int (*command)(struct instance *, const struct command_args *,
                                                          const struct command_io *),
               bool with_url)
{
    char *argv[4] = {(char *)(uintptr_t)c->source, NULL, NULL, NULL};
    struct command_args a = {.argc = 1, .argv = argv};
    if (with_url && c->url) {
        argv[a.argc++] = (char *)(uintptr_t) "--url";
        argv[a.argc++] = (char *)(uintptr_t)c->url;
    }
    return command(c->in, &a, c->io);
}

/* ---- check ---- */

static int check(const struct connecting *c)
{
    struct report warnings;
    struct scope_pair *pairs;
    size_t n;
    struct err err = {0};
    const struct source_config *s = instance_source(c->in, c->source, c->io);
    if (!s)
        return EXIT_USAGE;
    if (!config_pairs(s, &pairs, &n, &err))
        return command_fail(c->io, &err);
    config_pairs_free(&pairs, n);
    report_init(&warnings);
    config_warnings(c->in->config, &warnings);
    fputs(buf_z(&warnings.text), c->io->err);
    report_release(&warnings);
    fprintf(c->io->out, "%s %s: the configuration and its credentials can be read\n", glyph_ok(c->io), s->manifest->title);
    return EXIT_DONE;
}

/* ---- register ---- */

static int wait_for_delivery(struct managed_command *m, const struct connecting *c)
{
    const struct io *io = c->in->io;
    uint64_t end = io->world->monotonic_us(io) + c->wait_us;
    if (!c->in->live) {
        fprintf(c->io->err,
                "%s no server runs that could take the first delivery: start `sluice serve`, then again: sluice connect %s\n",
                glyph_warn(c->io), c->source);
        return EXIT_RESUMABLE;
    }
    if (!managed_last_delivery(m))
        fprintf(c->io->err, "waiting for the first signed delivery (Ctrl-C stops; the same command continues)\n");
    while (!managed_last_delivery(m)) {
        if ((c->io->stop && *c->io->stop) || io->world->monotonic_us(io) > end) {
            fprintf(c->io->err,
                    "%s no genuine delivery came; sluice verify %s --last-rejected tells of those that were refused\n",
                    glyph_warn(c->io), c->source);
            return EXIT_RESUMABLE;
        }
        io->world->sleep_us(io, 200000);
    }
    fprintf(c->io->out, "%s a genuine delivery came\n", glyph_ok(c->io));
    return EXIT_DONE;
}

static int hook_up(const struct connecting *c)
{
    struct managed_command m;
    int code = managed_begin(&m, c->in, c->io, c->source, c->url, false);
    if (code != EXIT_DONE)
        return code;
    bool by_hand = m.m.api == NULL;
    if (m.m.source->webhook_off) {
        fprintf(c->io->out, "%s webhook: off: pulls only\n", glyph_ok(c->io));
    } else if (by_hand && managed_last_delivery(&m)) {
        fprintf(c->io->out, "%s deliveries come in\n", glyph_ok(c->io));
    } else if (by_hand) {
        managed_print_clicks(&m, c->io->out);
        code = wait_for_delivery(&m, c);
    }
    bool off = m.m.source->webhook_off;
    managed_end(&m);
    return by_hand || off ? code : run(c, cmd_webhook_register, true);
}

/* ---- backfill ---- */

struct pulled {
    struct names tables;
};

static void take_pulled(void *ctx, struct span table, uint64_t finished_us)
{
    struct pulled *p = ctx;
    (void)finished_us;
    names_put(&p->tables, table);
}

static int pull(const struct connecting *c)
{
    const struct source_config *s = config_source(c->in->config, span_of(c->source));
    struct state *state;
    struct err err = {0};
    struct pulled p = {{0}};
    if (!instance_state(c->in, &state, &err) || !state_pulled_each(state, span_of(s->name), take_pulled, &p, &err))
        return command_fail(c->io, &err);
    size_t left = 0, listed = 0;
    for (size_t i = 0; i < s->manifest->n_tables; i++) {
        const struct table_rule *t = &s->manifest->tables[i];
        if (!t->has_path || !source_has_table(s, span_of(t->name)))
            continue;
        listed++;
        left += !names_have(&p.tables, t->name);
    }
    names_release(&p.tables);
    if (left)
        return run(c, cmd_backfill, false);
    fprintf(c->io->out, "%s %s\n", glyph_ok(c->io), listed ? "every table was pulled to its end" : "no table has a list API");
    return EXIT_DONE;
}

int cmd_connect(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    struct connecting c = {.in = in, .io = io, .wait_us = WAIT_US_DEFAULT};
    const char *timeout = NULL;
    const struct opt spec[] = {{"--url", OPT_VALUE, &c.url}, {"--timeout", OPT_VALUE, &timeout}, {NULL, 0, NULL}};
    int n;
    if (!command_options(a, io, "connect", spec, &c.source, 1, 1, &n))
        return EXIT_USAGE;
    if (timeout && !clock_parse_duration(span_of(timeout), &c.wait_us)) {
        fprintf(io->err, "sluice connect: --timeout %s: write it like 30s or 10m\n", timeout);
        return EXIT_USAGE;
    }
    heading(&c, 1, "check");
    int code = check(&c);
    if (code == EXIT_DONE) {
        heading(&c, 2, "register");
        code = hook_up(&c);
    }
    if (code == EXIT_DONE) {
        heading(&c, 3, "backfill");
        code = pull(&c);
    }
    if (code == EXIT_DONE) {
        heading(&c, 4, "status");
        code = run(&c, cmd_status, false);
    } else {
        fprintf(io->err, "`sluice connect %s` goes on from here\n", c.source);
    }
    return code;
}
