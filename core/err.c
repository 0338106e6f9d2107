#include "core/err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Drops the UTF-8 character that a text which did not fit was cut through, if it was. */
static void cut_whole(char *msg)
{
    size_t n = strlen(msg), tail = 0;
    while (tail < n && tail < 3 && ((unsigned char)msg[n - 1 - tail] & 0xc0) == 0x80)
        tail++;
    unsigned char lead = tail < n ? (unsigned char)msg[n - 1 - tail] : 0;
    size_t wants = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (wants > tail)
        msg[n - 1 - tail] = 0;
}

static void fill(struct err *err, enum err_class cls, int sys, const char *where, const char *fmt, va_list ap)
{
    err->cls = cls;
    err->sys = sys;
    err->where = where;
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    if (n < 0)
        err->msg[0] = 0;
    else if (n >= (int)sizeof err->msg)
        cut_whole(err->msg);
}

bool err_fill(struct err *err, enum err_class cls, int sys, const char *where, const char *fmt, ...)
{
    if (!err)
        return false;
    va_list ap;
    va_start(ap, fmt);
    fill(err, cls, sys, where, fmt, ap);
    va_end(ap);
    return false;
}

bool err_fill_errno(struct err *err, enum err_class cls, const char *where, const char *fmt, ...)
{
    int sys = errno;
    if (!err)
        return false;
    va_list ap;
    va_start(ap, fmt);
    fill(err, cls, sys, where, fmt, ap);
    va_end(ap);
    char text[128];
    size_t n = strlen(err->msg);
    const char *words = strerror_r(sys, text, sizeof text);
    if (snprintf(err->msg + n, sizeof err->msg - n, ": %s", words) >= (int)(sizeof err->msg - n))
        cut_whole(err->msg);
    return false;
}

bool err_prefix(struct err *err, const char *fmt, ...)
{
    if (!err)
        return false;
    char old[sizeof err->msg];
    memcpy(old, err->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if (n >= (int)sizeof err->msg)
        n = (int)sizeof err->msg - 1;
    size_t left = sizeof err->msg - (size_t)n;
    if (snprintf(err->msg + n, left, ": %s", old) >= (int)left)
        cut_whole(err->msg);
    return false;
}
