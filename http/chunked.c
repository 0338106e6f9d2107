#include "http/chunked.h"

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum chunked_state take_size(struct chunked *c, char byte)
{
    int digit = digit_of(byte);
    if (digit >= 0 && c->line < 16) {
        c->left = c->left << 4 | (uint64_t)digit;
        c->line++;
        return CHUNKED_SIZE;
    }
    if (digit >= 0 || c->line == 0 || c->left > UINT64_MAX / 4)
        return CHUNKED_BAD;
    if (byte == '\r')
        return CHUNKED_SIZE_LF;
    return byte == ';' || byte == ' ' || byte == '\t' ? CHUNKED_EXTENSION : CHUNKED_BAD;
}

static enum chunked_state take_extension(struct chunked *c, char byte)
{
    if (byte == '\r')
        return CHUNKED_SIZE_LF;
    if (++c->line > CHUNKED_LINE_MAX || (byte != '\t' && (unsigned char)byte < 0x20))
        return CHUNKED_BAD;
    return CHUNKED_EXTENSION;
}

static enum chunked_state take_trailer(struct chunked *c, char byte)
{
    if (byte == '\r')
        return CHUNKED_TRAILER_LF;
    if (++c->line > CHUNKED_LINE_MAX || ++c->trailers > CHUNKED_TRAILERS_MAX || (byte != '\t' && (unsigned char)byte < 0x20))
        return CHUNKED_BAD;
    return CHUNKED_TRAILER;
}

/* All but the data, byte by byte. */
static enum chunked_state take(struct chunked *c, char byte)
{
    bool empty = c->line == 0;
    switch (c->state) {
    case CHUNKED_SIZE:
        return take_size(c, byte);
    case CHUNKED_EXTENSION:
        return take_extension(c, byte);
    case CHUNKED_SIZE_LF:
        c->line = 0;
        return byte != '\n' ? CHUNKED_BAD : c->left ? CHUNKED_DATA : CHUNKED_TRAILER;
    case CHUNKED_DATA_CR:
        return byte == '\r' ? CHUNKED_DATA_LF : CHUNKED_BAD;
    case CHUNKED_DATA_LF:
        return byte == '\n' ? CHUNKED_SIZE : CHUNKED_BAD;
    case CHUNKED_TRAILER:
        return take_trailer(c, byte);
    case CHUNKED_TRAILER_LF:
        c->line = 0;
        return byte != '\n' ? CHUNKED_BAD : empty ? CHUNKED_OVER : CHUNKED_TRAILER;
    default:
        return c->state;
    }
}

size_t chunked_decode(struct chunked *c, struct span in, char *out, size_t *ret_n)
{
    size_t at = 0, written = 0;
    while (at < in.n && c->state != CHUNKED_OVER && c->state != CHUNKED_BAD) {
        if (c->state != CHUNKED_DATA) {
            c->state = take(c, in.p[at++]);
            continue;
        }
        size_t n = in.n - at < c->left ? in.n - at : (size_t)c->left;
        memmove(out + written, in.p + at, n);
        written += n;
        at += n;
        c->left -= n;
        if (!c->left)
            c->state = CHUNKED_DATA_CR;
    }
    *ret_n = written;
    return at;
}
