/* instance: what a command works on: the configuration and, opened on demand, the data directory's parts.
 *
 * In `sluice serve` the parts are the server's own, live; in a command that runs alone they are opened for it: read-only,
 * or with the lock on <data_dir>/lock for commands that write. SQLite connections are per instance, so each thread that
 * runs a command has an instance of its own which borrows the live journal.
 * Threads: an instance belongs to one thread. Life: instance_open -> command -> instance_close. */
#pragma once
#include "config/config.h"
#include "core/io.h"
#include "journal/journal.h"
#include "staging/stager.h"
#include "staging/state.h"
#include "staging/store.h"

struct server;
struct merger;
struct kafka_sink;
struct drain;
struct reload;
struct schedule;
struct lookout;

/* The largest entry: a body at its limit plus headers and fields. */
#define JOURNAL_ENTRY_MAX(c) \
    ((uint32_t)((c)->body_bytes_max > PAGE_BYTES_MAX ? (c)->body_bytes_max : PAGE_BYTES_MAX) + (1u << 20))
#define PAGE_BYTES_MAX ((uint64_t)64 << 20) /* of a pulled page's body */

struct live { /* what a running server lends to the commands it runs; NULL elsewhere */
    struct journal *journal;
    struct server *server;
    struct stager *stager;
    struct merger *merger;
    struct kafka_sink *kafka; /* NULL: not configured */
    struct drain *drain;      /* cli/drain.h */
    struct schedule *schedule;
    struct lookout *lookout; /* NULL until it looks */
    struct reload *reload;    /* whose configuration an instance has */
    uint64_t started_us;
};
struct instance {
    const struct config *config; /* NULL for NEEDS_NOTHING */
    const struct config *held;   /* the same, of a running server; NULL: borrowed */
    const struct io *io;
    const struct live *live;     /* NULL: alone */
    bool writable;
    struct journal *journal;     /* live's or own; NULL until instance_journal */
    struct store *store;
    struct state state;
    bool state_open;
    int lock_fd;                 /* -1: none */
    const char *config_file;     /* what -c named, for commands that need no configuration */
};
/* live: with the configuration of the moment. Alone and writable: takes the lock; ERR_CONFIG names who holds it. */
bool instance_open(struct instance *in, const struct config *c, const struct io *io, const struct live *live, bool write,
                   struct err *err);
void instance_close(struct instance *in);
/* Opened at the first call; false: *err. */
bool instance_journal(struct instance *in, struct journal **ret, struct err *err);
bool instance_state(struct instance *in, struct state **ret, struct err *err);
bool instance_store(struct instance *in, struct store **ret, struct err *err);
/* The named source, or false after "no source 'strpe' in sluice.yaml (did you mean stripe?)" on io->err. */
struct command_io;
const struct source_config *instance_source(const struct instance *in, const char *name, const struct command_io *io);
/* The named table of the source, or NULL after a message. `events` included. */
const struct table_rule *instance_table(const struct source_config *s, const char *name, const struct command_io *io);
