/* secret list: which secrets verify a source's deliveries, since when, until when, and when each last did. Never a value. */
#include "cli/registry.h"
#include "core/clock.h"
#include "server/server.h"
#include "server/verify.h"

struct seen_times {
    const char *id;
    uint64_t first_us, used_us;
};

static bool find_times(void *ctx, const struct secret_seen *seen)
{
    struct seen_times *t = ctx;
    if (!span_eqz(seen->id, t->id))
        return true;
    t->first_us = seen->first_us;
    if (seen->last_used_us > t->used_us)
        t->used_us = seen->last_used_us;
    return false;
}

static void say_time(struct buf *b, const char *name, uint64_t us, bool json)
{
    char at[CLOCK_TEXT_MAX];
    if (us)
        clock_iso_s(us, at);
    if (json)
        buf_addf(b, ",\"%s\":%s%s%s", name, us ? "\"" : "", us ? at : "null", us ? "\"" : "");
    else
        buf_addf(b, "  %s %s", name, us ? at : "never");
}

struct one_secret {
    const char *source, *state;
    uint64_t retires_us;
    struct seen_times times;
};

static void print_secret(const struct command_io *io, bool json, const struct one_secret *s)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    if (json)
        buf_addf(&b, "{\"source\":\"%s\",\"id\":\"%s\",\"state\":\"%s\"", s->source, s->times.id, s->state);
    else
        buf_addf(&b, "%-16s %s  %-8s", s->source, s->times.id, s->state);
    say_time(&b, json ? "first_seen" : "first seen", s->times.first_us, json);
    say_time(&b, json ? "last_used" : "last used", s->times.used_us, json);
    if (json || s->retires_us)
        say_time(&b, "retires", s->retires_us, json);
    fprintf(io->out, "%s%s\n", buf_z(&b), json ? "}" : "");
    buf_release(&b);
}

struct secret_listing {
    struct instance *in;
    const struct command_io *io;
    struct state *state;
    bool json;
    size_t n;
};

static bool list_one(struct secret_listing *l, const char *source, const char *id, uint64_t retires_us, uint64_t used_us,
                     struct err *err)
{
    uint64_t now = l->in->io->world->now_us(l->in->io);
    struct one_secret s = {.source = source,
                           .state = !retires_us ? "active" : retires_us > now ? "retiring" : "retired",
                           .retires_us = retires_us,
                           .times = {.id = id, .used_us = used_us}};
    if (!state_secret_each(l->state, span_of(source), find_times, &s.times, err))
        return false;
    print_secret(l->io, l->json, &s);
    l->n++;
    return true;
}

/* As the running server holds them. */
static bool list_live(struct secret_listing *l, const struct source_config *c, struct err *err)
{
    struct held_id held;
    for (size_t i = 0; server_secret(l->in->live->server, span_of(c->name), i, &held); i++)
        if (!list_one(l, c->name, held.id, held.retire_us, held.last_used_us, err))
            return false;
    return true;
}

/* As a server would take them up now. */
static bool list_configured(struct secret_listing *l, const struct source_config *c, struct err *err)
{
    struct verifier *v = NULL;
    struct buf warnings;
    buf_init(&warnings, 1 << 16);
    bool ok = verifier_new(c, NULL, 0, &v, &warnings, err);
    for (size_t i = 0; ok && i < verifier_secrets(v); i++) {
        uint64_t retires;
        const char *id = verifier_secret(v, i, &retires);
        ok = list_one(l, c->name, id, retires, 0, err);
    }
    fputs(buf_z(&warnings), l->io->err);
    buf_release(&warnings);
    verifier_free(&v);
    return ok;
}

int cmd_secret_list(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *source = NULL;
    int n;
    struct err err = {0};
    struct secret_listing l = {.in = in, .io = io, .json = a->json};
    if (!command_options(a, io, "secret list", NULL, &source, 0, 1, &n) || (n && !instance_source(in, source, io)))
        return EXIT_USAGE;
    if (!instance_state(in, &l.state, &err))
        return command_fail(io, &err);
    for (size_t i = 0; i < in->config->n_sources; i++) {
        const struct source_config *c = &in->config->sources[i];
        if (c->unverified || (n && strcmp(c->name, source) != 0))
            continue;
        bool live = in->live && in->live->server && !c->webhook_off;
        if (!(live ? list_live : list_configured)(&l, c, &err))
            return command_fail(io, &err);
    }
    if (!l.n && !a->json)
        fprintf(io->err, "no secrets\n");
    return EXIT_DONE;
}
