/* init: asks what a provider needs and writes sluice.yaml, secrets/ (0700) and .gitignore. Never overwrites. */
#include "cli/registry.h"
#include "core/io.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

struct setup {
    struct instance *in;
    const struct command_io *io;
    const char *dir;
    const struct manifest *manifest;
    struct buf yaml;
};

/* Reads a line from stdin; without echo when it is a secret on a terminal. false at the end of input. */
static bool ask(const struct setup *s, const char *what, bool secret, struct buf *answer)
{
    struct termios old;
    bool tty = isatty(STDIN_FILENO), hide = secret && tty && tcgetattr(STDIN_FILENO, &old) == 0;
    if (tty)
        fprintf(s->io->err, "  %s%s: ", what, secret ? " (not shown)" : "");
    if (hide) {
        struct termios quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    char line[8192];
    bool got = fgets(line, sizeof line, stdin) != NULL;
    if (hide) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        fputc('\n', s->io->err);
    }
    buf_clear(answer);
    if (got)
        buf_add(answer, line, strcspn(line, "\r\n"));
    explicit_bzero(line, sizeof line);
    return got;
}

static bool write_secret(const struct setup *s, const char *name, struct span secret, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/secrets", s->dir);
    if (!io_mkdirs(s->in->io, path, 0700, err))
        return false;
    snprintf(path, sizeof path, "%s/secrets/%s", s->dir, name);
    return io_write_file_atomic(s->in->io, path, 0600, secret, err);
}

static bool ask_secret(struct setup *s, const char *file, const char *what, struct err *err)
{
    struct buf answer;
    buf_init(&answer, 16384);
    bool ok = true;
    if (!ask(s, what, true, &answer) || answer.n == 0)
        fprintf(s->io->err, "%s no value: put it into secrets/%s later\n", glyph_warn(s->io), file);
    else
        ok = write_secret(s, file, buf_span(&answer), err);
    if (answer.p)
        explicit_bzero(answer.p, answer.cap);
    buf_release(&answer);
    return ok;
}

static bool ask_field(struct setup *s, const struct field_rule *f, struct err *err)
{
    char what[512], file[256];
    snprintf(what, sizeof what, "%s%s%s", f->name, f->help ? ": " : "", f->help ? f->help : "");
    if (f->secret) {
        snprintf(file, sizeof file, "%s-%s", s->manifest->name, f->name);
        buf_addf(&s->yaml, "      %s: {file: ./secrets/%s}\n", f->name, file);
        return ask_secret(s, file, what, err);
    }
    if (f->fallback)
        return true;
    struct buf answer;
    buf_init(&answer, 8192);
    ask(s, what, false, &answer);
    if (answer.n) {
        buf_addf(&s->yaml, "      %s: ", f->name);
        json_write_string(&s->yaml, buf_span(&answer));
        buf_addc(&s->yaml, '\n');
    } else if (f->required) {
        buf_addf(&s->yaml, "      %s: \"\"   # required\n", f->name);
    }
    buf_release(&answer);
    return true;
}

static bool write_files(struct setup *s, const char *url, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/sluice.yaml", s->dir);
    if (access(path, F_OK) == 0)
        return err_set(err, ERR_CONFIG, "%s is there already; add the source to it by hand (sluice source show %s)", path,
                       s->manifest->name);
    buf_addf(&s->yaml, "# Sluice. Every key: docs/configuration.md; check with: sluice config check\n"
                       "listen: 127.0.0.1:8080\n");
    if (url)
        buf_addf(&s->yaml, "public_url: %s\n", url);
    buf_addf(&s->yaml, "data_dir: ./data\nsources:\n  %s:\n", s->manifest->name);
    for (char *p = s->yaml.p + s->yaml.n - strlen(s->manifest->name) - 2; *p; p++)
        if (*p == '-')
            *p = '_'; /* a source's name is part of SQL names */
    if (strchr(s->manifest->name, '-'))
        buf_addf(&s->yaml, "    manifest: %s\n", s->manifest->name);
    buf_addf(&s->yaml, "    secrets:\n      - {file: ./secrets/%s}\n", s->manifest->name);
    if (!ask_secret(s, s->manifest->name, "signing secret of the webhook, where you have it already", err))
        return false;
    if (s->manifest->n_fields)
        buf_addz(&s->yaml, "    config:\n");
    for (size_t i = 0; i < s->manifest->n_fields; i++)
        if (!ask_field(s, &s->manifest->fields[i], err))
            return false;
    if (!io_write_file_atomic(s->in->io, path, 0644, buf_span(&s->yaml), err))
        return false;
    snprintf(path, sizeof path, "%s/.gitignore", s->dir);
    return access(path, F_OK) == 0 || io_write_file_atomic(s->in->io, path, 0644, SPAN_LIT("/secrets/\n/data/\n"), err);
}

int cmd_init(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *name, *url = NULL, *dir = ".";
    const struct opt spec[] = {{"--url", OPT_VALUE, &url}, {"--dir", OPT_VALUE, &dir}, {NULL, 0, NULL}};
    int n;
    if (!command_options(a, io, "init", spec, &name, 1, 1, &n))
        return EXIT_USAGE;
    struct report report;
    report_init(&report);
    struct err err = {0};
    struct manifest *m = manifest_load(dir, span_of(name), &report, &err);
    struct setup s = {.in = in, .io = io, .dir = dir, .manifest = m};
    buf_init(&s.yaml, 1 << 20);
    int code;
    if (!m && report.count)
        code = (fwrite(report.text.p, 1, report.text.n, io->err), EXIT_USAGE);
    else if (!m || !io_mkdirs(in->io, dir, 0755, &err) || !write_files(&s, url, &err))
        code = command_fail(io, &err);
    else
        code = EXIT_DONE;
    if (code == EXIT_DONE)
        fprintf(io->out,
                "%s wrote sluice.yaml, secrets/ and .gitignore\n"
                "next: sluice serve, and beside it sluice connect <source>; the provider posts to /in/<source>\n",
                glyph_ok(io));
    buf_release(&s.yaml);
    manifest_free(&m);
    report_release(&report);
    return code;
}
