/* help: finding a command by its words, and its manual on the terminal. Threads: main's. */
#pragma once
#include "cli/command.h"

/* The command that argv's first words name; *ret_words how many were taken. NULL: a message with the nearest word is on
 * `err`, or (words > 0) the help of a group was printed because that was asked for. */
const struct command *help_find(int argc, char **argv, int *ret_words, FILE *err);
void help_all(FILE *to);
void help_command(FILE *to, const struct command *cmd);
