/* secret add | rotate: a source's signing secret, stored or replaced without losing a delivery. */
#include "cli/managed.h"
#include "cli/registry.h"
#include "core/clock.h"
#include <stdlib.h>

#define UNUSED_US_DEFAULT (UINT64_C(3600) * 1000000)
#define LOOK_US 200000

/* What the file holds, without white space around it. */
static bool given_secret(const struct command_args *a, const struct command_io *io, const char *from, struct span *ret)
{
    struct span text = span_trim_lines(a->input);
    *ret = (struct span){NULL, 0};
    if (!from)
        return true;
    bool ok = text.n > 0 && text.n <= 65536;
    for (size_t i = 0; ok && i < text.n; i++)
        ok = (unsigned char)text.p[i] >= ' ' && text.p[i] != 127;
    if (ok)
        *ret = text;
    else
        fprintf(io->err, "sluice: --from %s: is %s\n", from, text.n ? "no secret: one line of text" : "empty");
    return ok;
}

int cmd_secret_add(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *source, *from = NULL;
    const struct opt spec[] = {{"--from", OPT_VALUE, &from}, {NULL, 0, NULL}};
    struct managed_command c;
    struct span secret;
    int n;
    if (!command_options(a, io, "secret add", spec, &source, 1, 1, &n))
        return EXIT_USAGE;
    if (!from) {
        fprintf(io->err, "sluice: secret add needs --from FILE (- is stdin): a secret on the command line is seen by others\n");
        return EXIT_USAGE;
    }
    if (!given_secret(a, io, from, &secret))
        return EXIT_USAGE;
    int code = managed_begin(&c, in, io, source, NULL, true);
    if (code != EXIT_DONE)
        return code;
    struct err err = {0};
    struct buf present;
    char id[SECRET_ID_MAX];
    buf_init(&present, 1 << 17);
    if (!c.m.vault) {
        fprintf(io->err, "sluice: %s brings its secrets by handshake\n", c.m.source->manifest->title);
        code = EXIT_FAILED;
    } else if (!vault_read(c.m.vault, VAULT_PRESENT, &present, &err)) {
        code = command_fail(io, &err);
    } else if (present.n && !span_eq(buf_span(&present), secret)) {
        fprintf(io->err, "sluice: there is a secret in %s already: sluice secret rotate %s --from FILE\n",
                vault_where(c.m.vault), source);
        code = EXIT_FAILED;
    } else if (!present.n && !managed_store(&c.m, VAULT_PRESENT, secret, id, &err)) {
        code = command_fail(io, &err);
    } else {
        secret_id(secret, id);
        fprintf(io->out, "%s %s %s in %s\n", glyph_ok(io), id, present.n ? "is" : "stored", vault_where(c.m.vault));
    }
    buf_wipe(&present);
    managed_end(&c);
    return code;
}

/* ---- rotate ---- */

static bool take_time(const struct command_io *io, const char *option, const char *text, uint64_t *ret_us)
{
    if (!text || clock_parse_duration(span_of(text), ret_us))
        return true;
    fprintf(io->err, "sluice secret rotate: %s %s: write it like 30m, 24h or 7d\n", option, text);
    return false;
}

static int needs_person(struct managed_command *c)
{
    managed_print_clicks(c, c->io->out);
    const char *at = c->m.source->manifest->webhook.secret_at;
    if (at)
        fprintf(c->io->out, "  The secret: %s\n", at);
    fprintf(c->io->err,
            "%s %s has no call that makes another secret. Make it there, then at once:\n"
            "    sluice secret rotate %s --from FILE\n"
            "%s",
            glyph_warn(c->io), c->m.source->manifest->title, c->m.source->name,
            c->in->live ? "For 15 minutes deliveries that no secret fits are told to come again (503), not refused.\n" : "");
    return EXIT_RESUMABLE;
}

static bool pause_for_a_moment(const struct managed_command *c)
{
    for (uint64_t us = 0; us < 1000000 && !(c->io->stop && *c->io->stop); us += LOOK_US)
        c->in->io->world->sleep_us(c->in->io, LOOK_US);
    return !(c->io->stop && *c->io->stop);
}

static int rotate(struct managed_command *c, const struct rotate_opts *o, bool wait)
{
    struct err err = {0};
    struct buf why;
    char said[600] = "";
    int code = -1;
    buf_init(&why, 4096);
    while (code < 0) {
        enum rotate_end end = managed_rotate(&c->m, o, &why, &err);
        if (end == ROTATION_FAILED)
            code = command_fail(c->io, &err);
        else if (end == ROTATION_DONE)
            code = EXIT_DONE;
        else if (end == ROTATION_NEEDS_PERSON)
            code = needs_person(c);
        else if (!why.n)
            continue; /* the next step at once */
        else if (!wait)
            code = EXIT_RESUMABLE;
        if (code < 0 && strcmp(said, buf_z(&why)) != 0) {
            snprintf(said, sizeof said, "%s", buf_z(&why));
            fprintf(c->io->err, "waiting %s\n", said);
            fflush(c->io->err);
        }
        if (code < 0 && !pause_for_a_moment(c))
            code = EXIT_RESUMABLE;
    }
    if (code == EXIT_RESUMABLE && why.n)
        fprintf(c->io->err, "both secrets verify; `sluice secret rotate %s` goes on %s\n", c->m.source->name, buf_z(&why));
    buf_release(&why);
    return code;
}

int cmd_secret_rotate(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *source, *from = NULL, *grace = NULL, *unused = NULL;
    bool no_wait = false;
    const struct opt spec[] = {{"--from", OPT_VALUE, &from},
                               {"--grace", OPT_VALUE, &grace},
                               {"--unused", OPT_VALUE, &unused},
                               {"--no-wait", OPT_FLAG, &no_wait},
                               {NULL, 0, NULL}};
    struct rotate_opts o = {.grace_us = in->config->secret_grace_us, .unused_us = UNUSED_US_DEFAULT};
    struct managed_command c;
    int n;
    if (!command_options(a, io, "secret rotate", spec, &source, 1, 1, &n) || !given_secret(a, io, from, &o.given) ||
        !take_time(io, "--grace", grace, &o.grace_us) || !take_time(io, "--unused", unused, &o.unused_us))
        return EXIT_USAGE;
    int code = managed_begin(&c, in, io, source, NULL, true);
    if (code != EXIT_DONE)
        return code;
    code = rotate(&c, &o, !no_wait);
    managed_end(&c);
    return code;
}
