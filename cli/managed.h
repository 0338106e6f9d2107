/* managed: what the commands on webhooks and secrets begin with: the source, state.db, the running server's hooks, the provider's
 * API. Threads: as the instance. Life: managed_begin -> … -> managed_end. */
#pragma once
#include "cli/command.h"
#include "cli/instance.h"
#include "webhooks/managed.h"

struct managed_command {
    struct managed m;
    struct instance *in;
    const struct command_io *io;
    char *url;
    int lock_fd;
};
/* EXIT_DONE, or the code to end with after a message. `url` as the user gave it, or NULL. `changes`: no other command that
 * changes
 * webhooks or secrets runs beside it. */
int managed_begin(struct managed_command *c, struct instance *in, const struct command_io *io, const char *source,
                  const char *url,
                  bool changes);
void managed_end(struct managed_command *c);
/* When a secret of the source last verified a delivery, as state.db or the running server know it; 0: never. */
uint64_t managed_last_delivery(struct managed_command *c);
/* What a person does at a provider without calls. */
void managed_print_clicks(struct managed_command *c, FILE *to);
