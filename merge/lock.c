#include "merge/lock.h"
#include "core/buf.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

/* The file says who holds it, for the message of whoever comes second. */
static bool write_holder(int fd)
{
    char host[128] = "?", text[192];
    gethostname(host, sizeof(host) - 1);
    int n = snprintf(text, sizeof(text), "process %ld on %s", (long)getpid(), host);
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n;
}

static bool held_by(int fd, const char *db, struct err *err)
{
    char holder[192];
    ssize_t n = pread(fd, holder, sizeof(holder) - 1, 0);
    holder[n > 0 ? n : 0] = '\0';
    return err_set(err, ERR_TRANSIENT, "another merger writes to %s (%s): stop it first, or let it do the work", db,
                   n > 0 ? holder : "it did not leave its name");
}

bool lock_take(struct target_lock *l, const char *db, struct err *err)
{
    struct buf path = {0};
    buf_addf(&path, "%s.lock", db);
    int fd = buf_ok(&path) ? open(buf_z(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    buf_release(&path);
    if (fd < 0)
        return err_sys(err, ERR_DURABLE, "cannot open the lock %s.lock", db);
    bool ok;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        ok = errno == EWOULDBLOCK ? held_by(fd, db, err) : err_sys(err, ERR_DURABLE, "cannot lock %s.lock", db);
    else
        ok = write_holder(fd) || err_sys(err, ERR_DURABLE, "cannot write %s.lock", db);
    if (!ok) {
        close(fd);
        return false;
    }
    l->fd = fd;
    return true;
}

void lock_release(struct target_lock *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
