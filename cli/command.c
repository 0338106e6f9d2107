#include "cli/command.h"
#include <stdarg.h>
#include <stdlib.h>

static const struct opt *find_option(const struct opt *spec, const char *arg, size_t n)
{
    for (; spec && spec->name; spec++)
        if (strlen(spec->name) == n && strncmp(spec->name, arg, n) == 0)
            return spec;
    return NULL;
}

static void unknown_option(const struct command_io *io, const char *who, const struct opt *spec, const char *arg)
{
    const char *words[32];
    size_t n = 0;
    for (; spec && spec->name && n < 31; spec++)
        words[n++] = spec->name;
    words[n] = NULL;
    struct span name = span_of(arg), rest;
    name = span_cut(name, '=', &rest);
    const char *near = nearest_word(name, words);
    fprintf(io->err, "sluice %s: no option %.*s", who, SPAN_ARG(name));
    fprintf(io->err, near ? " (did you mean %s?)\n" : "; see sluice %s --help\n", near ? near : who);
}

/* Takes one option with its value; *i moves past both. */
static bool take_option(const struct command_args *a, const struct command_io *io, const char *who,
                        const struct opt *spec, int *i)
{
    const char *arg = a->argv[*i], *eq = strchr(arg, '=');
    const struct opt *o = find_option(spec, arg, eq ? (size_t)(eq - arg) : strlen(arg));
    if (!o) {
        unknown_option(io, who, spec, arg);
        return false;
    }
    if (o->kind == OPT_FLAG) {
        if (eq) {
            fprintf(io->err, "sluice %s: %s takes no value\n", who, o->name);
            return false;
        }
        *(bool *)o->at = true;
        return true;
    }
    if (!eq && *i + 1 >= a->argc) {
        fprintf(io->err, "sluice %s: %s needs a value\n", who, o->name);
        return false;
    }
    *(const char **)o->at = eq ? eq + 1 : a->argv[++*i];
    return true;
}

bool command_options(const struct command_args *a, const struct command_io *io, const char *who, const struct opt *spec,
                     const char **positional, int positional_min, int positional_max, int *ret_n)
{
    int n = 0;
    bool only_positional = false;
    for (int i = 0; i < a->argc; i++) {
        const char *arg = a->argv[i];
        if (!only_positional && strcmp(arg, "--") == 0) {
            only_positional = true;
        } else if (!only_positional && arg[0] == '-' && arg[1]) {
            if (!take_option(a, io, who, spec, &i))
                return false;
        } else if (n == positional_max) {
            fprintf(io->err, "sluice %s: '%s' is one argument too many; see sluice %s --help\n", who, arg, who);
            return false;
        } else {
            positional[n++] = arg;
        }
    }
    if (n < positional_min) {
        fprintf(io->err, "sluice %s: an argument is missing; see sluice %s --help\n", who, who);
        return false;
    }
    *ret_n = n;
    return true;
}

int command_fail(const struct command_io *io, const struct err *err)
{
    fprintf(io->err, "sluice: %s\n", err->msg);
    switch (err->cls) {
    case ERR_CONFIG:
        return EXIT_USAGE;
    case ERR_STOPPED:
        return EXIT_RESUMABLE;
    default:
        return EXIT_FAILED;
    }
}

const char *glyph_ok(const struct command_io *io)
{
    return io->utf8 ? "✓" : "ok";
}

const char *glyph_warn(const struct command_io *io)
{
    (void)io;
    return "!";
}

const char *glyph_bad(const struct command_io *io)
{
    return io->utf8 ? "✗" : "X";
}

void add_visible(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_addc(out, s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?');
}

const char *thousands(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}
