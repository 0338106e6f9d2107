#include "http/internal.h"
#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

static size_t read_tls(struct conn *c, char *p, size_t n)
{
    ERR_clear_error();
    int got = SSL_read(c->ssl, p, n > 1 << 30 ? 1 << 30 : (int)n);
    if (got > 0)
        return (size_t)got;
    int why = SSL_get_error(c->ssl, got);
    c->readable = false;
    /* WANT_WRITE: the handshake waits for room, and goes on with the event that tells of it. */
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        c->lost = true;
    return 0;
}

size_t stream_read(struct conn *c, char *p, size_t n)
{
    if (c->ssl)
        return read_tls(c, p, n);
    ssize_t got;
    do
        got = recv(c->fd, p, n, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    /* Less than asked for: the kernel has no more, and tells of the next byte. An end that it has told of comes behind it. */
    c->readable = got == (ssize_t)n || (got > 0 && c->ends);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        c->lost = true;
    return got > 0 ? (size_t)got : 0;
}

/* As much as goes; *ret_n: how much did. */
static bool push(struct conn *c, struct span bytes, size_t *ret_n)
{
    *ret_n = 0;
    while (*ret_n < bytes.n) {
        struct span rest = span_skip(bytes, *ret_n);
        ssize_t n;
        if (c->ssl) {
            ERR_clear_error();
            n = SSL_write(c->ssl, rest.p, rest.n > 1 << 30 ? 1 << 30 : (int)rest.n);
            int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, (int)n);
            if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ)
                break;
            if (why != SSL_ERROR_NONE)
                return false;
        } else {
            n = send(c->fd, rest.p, rest.n, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0 && errno == EAGAIN)
                break;
            if (n < 0)
                return false;
        }
        *ret_n += (size_t)n;
    }
    c->writable = *ret_n == bytes.n;
    return true;
}

bool stream_send(struct conn *c, struct span bytes)
{
    size_t n = 0;
    if (c->lost)
        return false;
    if (!c->out.n && !push(c, bytes, &n)) {
        c->lost = true;
        return false;
    }
    buf_adds(&c->out, span_skip(bytes, n));
    c->lost = c->lost || !buf_ok(&c->out);
    return !c->lost;
}

bool stream_flush(struct conn *c)
{
    size_t n;
    if (!c->lost && !push(c, buf_span(&c->out), &n))
        c->lost = true;
    if (c->lost)
        return false;
    memmove(c->out.p, c->out.p + n, c->out.n - n);
    c->out.n -= n;
    if (!c->out.n)
        buf_release(&c->out);
    return true;
}

void stream_shut(struct conn *c)
{
    if (c->ssl && !c->lost) {
        ERR_clear_error();
        (void)SSL_shutdown(c->ssl);
    }
    (void)shutdown(c->fd, SHUT_WR);
}
