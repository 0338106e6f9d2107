/* frame: reading and writing whole messages on a stream socket. Threads: one reader, one writer a socket. */
#pragma once
#include "core/buf.h"

bool frame_write(int fd, const void *p, size_t n); /* all of it; false: the other side is gone */
bool frame_read(int fd, void *p, size_t n);        /* all of it; false: end or error */
bool frame_write_block(int fd, struct span bytes); /* u32 length, bytes */
bool frame_read_block(int fd, size_t bytes_max, struct buf *out);
