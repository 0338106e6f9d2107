#include "cli/frame.h"
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

bool frame_write(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

bool frame_read(int fd, void *p, size_t n)
{
    char *at = p;
    while (n) {
        ssize_t k = recv(fd, at, n, 0);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool frame_write_block(int fd, struct span bytes)
{
    unsigned char head[4] = {(unsigned char)bytes.n, (unsigned char)(bytes.n >> 8), (unsigned char)(bytes.n >> 16),
                             (unsigned char)(bytes.n >> 24)};
    return frame_write(fd, head, 4) && frame_write(fd, bytes.p, bytes.n);
}

bool frame_read_block(int fd, size_t bytes_max, struct buf *out)
{
    unsigned char head[4];
    if (!frame_read(fd, head, 4))
        return false;
    size_t n = le32(head);
    if (n > bytes_max || !buf_reserve(out, n + 1))
        return false;
    if (!frame_read(fd, out->p + out->n, n))
        return false;
    out->n += n;
    out->p[out->n] = 0;
    return true;
}
