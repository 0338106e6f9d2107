/* remote: a command's way into a running server and back, over <data_dir>/sluice.sock (mode 0600).
 *
 * Client to server: u32 length, JSON request {"argv": […], "json", "yes", "out_tty", "err_tty", "utf8", "columns"};
 * u32 length, input bytes. Later any byte, or the end of the stream, asks the command to stop.
 * Server to client: frames of u8 channel ('o' results, 'e' messages, 'x' exit code), u32 length, bytes.
 * All integers little endian. Whoever can open the socket may run commands: it is the file's mode that guards it.
 * Threads: remote_run in the client's main thread. The server has one accepting thread and two a connection.
 * Life: remote_listen -> remote_close (stops running commands and joins them). */
#pragma once
#include "cli/command.h"
#include "cli/instance.h"

struct remote;
bool remote_listen(const struct config *c, const struct io *io, const struct live *live, struct remote **ret,
                   struct err *err);
void remote_close(struct remote **r);

/* Whether a server answers for this data directory: its connection (>= 0), or -1. */
int remote_connect(const char *data_dir);
/* Runs the command there; returns its exit code. Takes fd. `stop` is watched. */
int remote_run(int fd, const struct command *cmd, const struct command_args *a, const struct command_io *io);
