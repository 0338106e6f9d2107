/* chunked: the chunked transfer coding (RFC 9112 section 7.1), decoded where it stands.
 *
 * Chunk extensions and trailers are dropped, both bounded; a line end is CR LF and nothing else.
 * Threads: plain value. Life: zeroed is ready; chunked_decode until it is over. */
#pragma once
#include "core/span.h"
#include <stdint.h>

#define CHUNKED_LINE_MAX 256u      /* of a size with its extensions, or of a trailer's line */
#define CHUNKED_TRAILERS_MAX 8192u /* bytes */

enum chunked_state { CHUNKED_SIZE, CHUNKED_EXTENSION, CHUNKED_SIZE_LF, CHUNKED_DATA, CHUNKED_DATA_CR, CHUNKED_DATA_LF,
                     CHUNKED_TRAILER, CHUNKED_TRAILER_LF, CHUNKED_OVER, CHUNKED_BAD };
struct chunked {
    enum chunked_state state;
    uint64_t left;             /* of a chunk; its size while that is being read */
    unsigned line, trailers;   /* bytes of the present line; of all trailers */
};
/* Reads `in` until the body is over, `in` is, or it is bad; its data go to `out`, which may be where `in` begins or before it.
 * Returns how many bytes it read; *ret_n: how many it wrote. */
size_t chunked_decode(struct chunked *c, struct span in, char *out, size_t *ret_n);
