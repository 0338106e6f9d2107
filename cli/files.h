/* files: how many files and connections the process may have open.
 *
 * Each connection takes one descriptor; FILES_OWN is for the journal, objects, databases and sockets beside them.
 * Threads: any, before connections are taken. */
#pragma once
#include "config/config.h"

#define FILES_OWN 256
/* Raises the soft limit of open files to what limits.connections needs, as far as the hard limit lets it. False: it does not;
 * *ret_limit is what there is, *ret_needed what there should be. */
bool files_raise(const struct config *c, uint64_t *ret_limit, uint64_t *ret_needed);
