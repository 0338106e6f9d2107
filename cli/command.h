/* command: what every command is: a function of an opened instance, its arguments and two streams.
 *
 * The same function runs in the sluice process that was started, or inside a running server when one holds the data
 * directory (cli/remote.h): the client sends its arguments over <data_dir>/sluice.sock, the server runs the command in a
 * thread of its own and streams what it prints. So commands work beside a running server and without one.
 * Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 stopped early and resumable.
 * Threads: a command runs in one thread; it may not touch process state (no exit, no signals, no stdout of its own). */
#pragma once
#include "config/config.h"
#include "core/io.h"
#include "journal/journal.h"
#include "staging/stager.h"
#include <stdatomic.h>
#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_RESUMABLE = 3 };

struct instance; /* cli/instance.h */

struct command_io {
    FILE *out, *err;           /* results, messages */
    bool out_tty, err_tty;     /* progress bars and colours only on terminals */
    bool utf8;                 /* ✓ ! ✗ or their ASCII twins */
    unsigned columns;          /* of the terminal, 80 when unknown */
    const atomic_bool *stop; /* set when the user pressed Ctrl-C or the client went away */
    const char *who;           /* for the trail: "user:anna"; NULL: nobody is known */
    const char *cwd;           /* the client's folder: relative file arguments are read by the client, see NEEDS_FILE */
};
struct command_args {
    int argc;    /* positional arguments and options after the command's name */
    char **argv;
    bool json;   /* --json */
    bool yes;    /* --yes */
    struct span input; /* content of the file that --request, --vectors, --data … names, or of stdin */
};

enum command_needs {
    NEEDS_NOTHING = 0,
    NEEDS_CONFIG = 1,    /* a configuration; no data directory */
    NEEDS_INSTANCE = 2,  /* the data directory: through the server, or alone */
    NEEDS_WRITE = 4,     /* with NEEDS_INSTANCE: appends to the journal or changes state: takes the lock when alone */
    LOCAL_ONLY = 8,      /* never sent to a server (serve, init, …) */
    ASKS_SERVER = 32,    /* with LOCAL_ONLY: sends a part of itself to a running server, where it sees in->live */
    ASKS_FIRST = 16      /* destructive: run once without --yes it prints what goes and exits; main asks and runs it with --yes */
};
struct command {
    const char *name;     /* "table explain" is name "table", sub "explain" */
    const char *sub;      /* NULL: none */
    const char *usage;    /* "SOURCE TABLE KEY" */
    const char *summary;  /* one line */
    const char *help;     /* the rest of --help: options, examples */
    unsigned needs;
    const char *file_options; /* options whose value is a file for command_args.input: "--request --vectors", or NULL */
    int (*run)(struct instance *in, const struct command_args *a, const struct command_io *io);
};
extern const struct command commands[]; /* ends with name NULL; cli/registry.c */

/* Options of a command, parsed in any order: fills positional in order; false after a message on io->err (exit EXIT_USAGE).
 * `spec` rows: {"--max-rows", OPT_VALUE, &ptr} … ends with NULL. */
enum opt_kind { OPT_FLAG, OPT_VALUE };
struct opt {
    const char *name;
    enum opt_kind kind;
    void *at; /* bool * or const char ** */
};
bool command_options(const struct command_args *a, const struct command_io *io, const char *who, const struct opt *spec,
                     const char **positional, int positional_min, int positional_max, int *ret_n);
/* Prints the error as "sluice: message" and returns the exit code for its class. */
int command_fail(const struct command_io *io, const struct err *err);
const char *glyph_ok(const struct command_io *io);
const char *glyph_warn(const struct command_io *io);
const char *glyph_bad(const struct command_io *io);
/* Appends what somebody else wrote; a byte that a terminal might obey becomes a question mark. */
void add_visible(struct buf *out, struct span s);
/* 1,234,567 */
const char *thousands(uint64_t n, char out[32]);
