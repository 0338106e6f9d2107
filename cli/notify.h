/* notify: what a service manager is told, as systemd's sd_notify has it: datagrams to the socket that $NOTIFY_SOCKET names (a
 * path, or @name: an abstract one). Without that variable nothing is told.
 *
 * $WATCHDOG_USEC says how often the manager wants to hear that the process works ($WATCHDOG_PID: whom it means); else it ends the
 * process. The variables are taken out of the environment, so that no child speaks in this process' name.
 * Nothing here blocks: a datagram that the manager has no room for is dropped, and the next one tells again.
 * Threads: any, once it is open. Life: notify_open -> notify_* -> notify_close; each accepts NULL: nobody is told. */
#pragma once
#include "core/err.h"
#include <stdint.h>

struct notify;
/* *ret NULL: nobody wants to know. Fails when the socket's name cannot be used. */
bool notify_open(struct notify **ret, struct err *err);
void notify_close(struct notify **n);
/* How often it wants to hear; 0: it does not. */
uint64_t notify_watchdog_us(const struct notify *n);

void notify_ready(const struct notify *n, const char *status);    /* after the start, and after a reload */
/* A new configuration is being taken; notify_ready tells when that is over. now_us: monotonic */
void notify_reloading(const struct notify *n, uint64_t now_us);
void notify_stopping(const struct notify *n, const char *status);
void notify_status(const struct notify *n, const char *status);   /* one line */
void notify_works(const struct notify *n, const char *status);    /* the watchdog's sign, with a line */
