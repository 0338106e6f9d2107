/* kept: the rejected requests that are kept of a source, and when its secrets were last used, as `sluice verify` shows them.
 *
 * A running server is asked for its own, since the newest are still in its memory; without one they are read from the file.
 * Threads: belongs to one command. Life: usage_read -> usage_note* -> usage_release (accepts a zeroed one). */
#pragma once
#include "cli/command.h"
#include "cli/instance.h"
#include "server/verify.h"

/* The newest `n` as a JSON list, the newest first, appended to out. Returns an exit code, after a message when it is not
 * EXIT_DONE. */
int kept_fetch(const struct config *c, const struct io *world, const char *source, uint64_t n, const struct command_io *io,
               struct buf *out);
/* The server's part of it: prints the list. */
int kept_answer(const struct instance *in, const char *source, uint64_t n, const struct command_io *io);

struct usage_row {
    char id[SECRET_ID_MAX];
    uint64_t last_used_us; /* 0: never */
};
struct usage {
    bool known; /* state.db could be read, and a server has told of secrets of this source */
    struct usage_row *rows;
    size_t n;
    uint64_t now_us;
};
/* What state.db says of a source's secrets; where it cannot be read, nothing is known. */
void usage_read(struct usage *u, const char *data_dir, const char *source, uint64_t now_us);
void usage_release(struct usage *u);
bool usage_has(const struct usage *u, const char *id); /* true also where nothing is known */
/* The step's text, with a note after each secret's id. */
void usage_print(const struct usage *u, const struct verify_step *step, FILE *to);
