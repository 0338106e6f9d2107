#include "cli/notify.h"
#include "core/buf.h"
#include "core/mem.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct notify {
    int fd;
    uint64_t watchdog_us;
    socklen_t n_to;
    struct sockaddr_un to;
};

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long v = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    return v && !*end ? v : 0;
}

static bool set_address(struct notify *n, const char *name, struct err *err)
{
    size_t length = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof n->to.sun_path)
        return err_set(err, ERR_CONFIG, "NOTIFY_SOCKET is '%.100s': a path or @name of at most %zu bytes is needed", name,
                       sizeof n->to.sun_path - 1);
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, name, length);
    if (name[0] == '@')
        n->to.sun_path[0] = 0;
    n->n_to = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

bool notify_open(struct notify **ret, struct err *err)
{
    const char *name = getenv("NOTIFY_SOCKET"), *who = getenv("WATCHDOG_PID");
    uint64_t watchdog_us = number(getenv("WATCHDOG_USEC"));
    if (!name || !*name)
        return true;
    struct notify *n = mem_alloc(sizeof *n);
    *n = (struct notify){.fd = -1};
    if (!who || number(who) == (uint64_t)getpid())
        n->watchdog_us = watchdog_us;
    bool ok = set_address(n, name, err);
    if (ok) {
        n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ok = n->fd >= 0 || err_sys(err, ERR_CONFIG, "cannot make a socket for NOTIFY_SOCKET");
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    if (ok)
        *ret = n;
    else
        notify_close(&n);
    return ok;
}

void notify_close(struct notify **at)
{
    struct notify *n = *at;
    if (!n)
        return;
    *at = NULL;
    if (n->fd >= 0)
        close(n->fd);
    free(n);
}

uint64_t notify_watchdog_us(const struct notify *n)
{
    return n ? n->watchdog_us : 0;
}

/* A manager that is gone or has no room is none of the server's troubles. */
static void tell(const struct notify *n, const char *state, const char *status)
{
    char text[1024];
    if (!n)
        return;
    int length = snprintf(text, sizeof text, "%s%s%.900s", state, status ? "STATUS=" : "", status ? status : "");
    (void)sendto(n->fd, text, (size_t)length, MSG_NOSIGNAL, (const struct sockaddr *)&n->to, n->n_to);
}

void notify_ready(const struct notify *n, const char *status)
{
    tell(n, "READY=1\n", status);
}

void notify_reloading(const struct notify *n, uint64_t now_us)
{
    char state[64];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now_us);
    tell(n, state, NULL);
}

void notify_stopping(const struct notify *n, const char *status)
{
    tell(n, "STOPPING=1\n", status);
}

void notify_status(const struct notify *n, const char *status)
{
    tell(n, "", status);
}

void notify_works(const struct notify *n, const char *status)
{
    tell(n, "WATCHDOG=1\n", status);
}
