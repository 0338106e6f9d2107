/* sluice: finds the command, reads the configuration it needs, and runs it here or in the server that holds the data. */
#include "cli/command.h"
#include "cli/help.h"
#include "cli/instance.h"
#include "cli/registry.h"
#include "cli/remote.h"
#include "cli/who.h"
#include "core/log.h"
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define INPUT_BYTES_MAX ((size_t)64 << 20)

static atomic_bool stop_asked;

static void on_interrupt(int sig)
{
    (void)sig;
    stop_asked = true;
}

struct invocation {
    const struct command *cmd;
    const char *config_file;
    struct command_args args;
    struct buf input;
    bool help;
};

static bool speaks_utf8(void)
{
    locale_t l = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    bool utf8 = l && strcmp(nl_langinfo_l(CODESET, l), "UTF-8") == 0;
    if (l)
        freelocale(l); /* its tables are mapped only as long */
    return utf8;
}

static struct command_io terminal(void)
{
    static char who[128];
    struct winsize w = {0};
    who_is(getuid(), who, sizeof who);
    bool err_tty = isatty(STDERR_FILENO);
    if (err_tty)
        ioctl(STDERR_FILENO, TIOCGWINSZ, &w);
    return (struct command_io){.out = stdout,
                               .err = stderr,
                               .out_tty = isatty(STDOUT_FILENO),
                               .err_tty = err_tty,
                               .utf8 = speaks_utf8(),
                               .columns = w.ws_col ? w.ws_col : 80,
                               .who = who,
                               .stop = &stop_asked};
}

static bool read_input(struct invocation *v, const char *option, const char *path)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "sluice: %s %s: %s\n", option, path, strerror(errno));
        return false;
    }
    char piece[65536];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_add(&v->input, piece, n);
    bool ok = !ferror(f) && buf_ok(&v->input);
    if (!ok)
        fprintf(stderr, "sluice: %s %s: cannot be read, or larger than 64 MiB\n", option, path);
    if (f != stdin)
        fclose(f);
    v->args.input = buf_span(&v->input);
    return ok;
}

static bool names_a_file(const struct command *cmd, const char *option)
{
    size_t n = strlen(option);
    for (const char *at = cmd->file_options; at && (at = strstr(at, option)); at += n)
        if (at[n] == 0 || at[n] == ' ')
            return true;
    return false;
}

/* Options that every command takes are taken here, wherever they stand; the rest is the command's. */
static bool take_common(struct invocation *v, int argc, char **argv)
{
    bool end = false;
    for (int i = 0; i < argc; i++) {
        char *arg = argv[i];
        if (!end && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            v->help = true;
        } else if (!end && strcmp(arg, "--json") == 0) {
            v->args.json = true;
        } else if (!end && strcmp(arg, "--yes") == 0) {
            v->args.yes = true;
        } else if (!end && (strcmp(arg, "-c") == 0 || strcmp(arg, "--config") == 0)) {
            if (i + 1 == argc) {
                fprintf(stderr, "sluice: %s needs a file\n", arg);
                return false;
            }
            v->config_file = argv[++i];
        } else {
            end = end || strcmp(arg, "--") == 0;
            v->args.argv[v->args.argc++] = arg;
            if (!end && names_a_file(v->cmd, arg) && i + 1 < argc) {
                v->args.argv[v->args.argc++] = argv[++i];
                if (!read_input(v, arg, argv[i]))
                    return false;
            }
        }
    }
    return true;
}

static int run_alone(struct invocation *v, const struct config *c, const struct command_io *io)
{
    struct instance in;
    struct err err = {0};
    bool write = v->cmd->needs & NEEDS_WRITE;
    int code = instance_open(&in, c, io_posix(), NULL, write, &err) ? v->cmd->run(&in, &v->args, io)
                                                                    : command_fail(io, &err);
    instance_close(&in);
    return code;
}

static int run_here_or_there(struct invocation *v, const struct config *c, const struct command_io *io)
{
    bool data = v->cmd->needs & NEEDS_INSTANCE;
    int fd = data && !(v->cmd->needs & LOCAL_ONLY) ? remote_connect(c->data_dir) : -1;
    return fd >= 0 ? remote_run(fd, v->cmd, &v->args, io) : run_alone(v, c, io);
}

/* A destructive command says what goes, then asks; without a terminal only --yes lets it. */
static bool agreed(struct invocation *v, const struct config *c, const struct command_io *io, int *ret_code)
{
    *ret_code = run_here_or_there(v, c, io);
    if (*ret_code != EXIT_DONE)
        return false;
    if (!isatty(STDIN_FILENO)) {
        fprintf(io->err, "sluice: nothing was changed; --yes does it\n");
        *ret_code = EXIT_USAGE;
        return false;
    }
    fprintf(io->err, "Go on? [y/N] ");
    char answer[16] = "";
    bool yes = fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
    *ret_code = yes ? EXIT_DONE : EXIT_FAILED;
    v->args.yes = yes;
    return yes;
}

static int run_with_config(struct invocation *v, const struct command_io *io)
{
    struct report report;
    report_init(&report);
    struct err err = {0};
    struct config *c = config_load(v->config_file, &report, &err);
    int code;
    if (!c) {
        if (report.count)
            fwrite(report.text.p, 1, report.text.n, io->err);
        else
            fprintf(io->err, "sluice: %s\n", err.msg);
        code = EXIT_USAGE;
    } else if ((v->cmd->needs & ASKS_FIRST) && !v->args.yes && !agreed(v, c, io, &code)) {
        /* code says why */
    } else {
        code = run_here_or_there(v, c, io);
    }
    config_free(&c);
    report_release(&report);
    return code;
}

static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    log_open(LOG_INFO, false);
    catch_signals();
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        help_all(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("sluice %s\n", SLUICE_VERSION);
        return EXIT_DONE;
    }
    int taken = 0;
    const struct command *cmd = help_find(argc - 1, argv + 1, &taken, stderr);
    if (!cmd)
        return taken ? EXIT_DONE : EXIT_USAGE;
    struct invocation v = {.cmd = cmd};
    buf_init(&v.input, INPUT_BYTES_MAX);
    v.args.argv = mem_alloc((size_t)(argc + 1) * sizeof *v.args.argv);
    struct command_io io = terminal();
    int code = EXIT_USAGE;
    if (!take_common(&v, argc - 1 - taken, argv + 1 + taken)) {
        code = EXIT_USAGE;
    } else if (v.help) {
        help_command(stdout, cmd);
        code = EXIT_DONE;
    } else if (cmd->needs & (NEEDS_CONFIG | NEEDS_INSTANCE)) {
        code = run_with_config(&v, &io);
    } else {
        struct instance none = {.io = io_posix(), .lock_fd = -1};
        none.config_file = v.config_file;
        code = cmd->run(&none, &v.args, &io);
    }
    buf_release(&v.input);
    free(v.args.argv);
    if (fflush(stdout) != 0 && code == EXIT_DONE)
        code = EXIT_FAILED;
    return code;
}
