#include "cli/who.h"
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>

void who_is(uid_t uid, char *out, size_t n)
{
    char text[4096];
    struct passwd one, *found = NULL;
    if (getpwuid_r(uid, &one, text, sizeof text, &found) == 0 && found)
        snprintf(out, n, "user:%s", found->pw_name);
    else
        snprintf(out, n, "user:%lu", (unsigned long)uid);
}

void who_is_peer(int fd, char *out, size_t n)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        who_is(peer.uid, out, n);
    else
        snprintf(out, n, "user:unknown");
}
