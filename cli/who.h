/* who: whom the trail of orders names. Threads: any. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

/* "user:anna", or "user:1000" where the user has no name. */
void who_is(uid_t uid, char *out, size_t n);
/* Whoever is at the other end of a Unix socket. */
void who_is_peer(int fd, char *out, size_t n);
