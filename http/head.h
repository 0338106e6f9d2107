/* head: the head of a request, read strictly (RFC 9112 sections 2 to 7).
 *
 * Refused is whatever another reader on the way may have understood differently: line ends other than CR LF, folded lines,
 * spaces before a colon, control characters, two lengths, a length beside a coding, codings other than one `chunked`, more than
 * one Host.
 * Threads: pure functions. Ownership: all spans borrow the bytes. */
#pragma once
#include "core/http.h"
#include <stdbool.h>

struct http_head {
    struct span method, target; /* the target in origin form, as received */
    unsigned minor;             /* of HTTP/1.x: 0 or 1 */
    size_t n_headers;
    uint64_t length;            /* of the body, 0 where none is told; UINT64_MAX: chunked */
    bool close;                 /* after the answer */
    bool expects;               /* 100-continue */
};

/* How long the head is, with its empty line; 0: its end is not there yet. *from: where to look on, 0 at first. */
size_t head_find(struct span bytes, size_t *from);
/* Of a beginning that has no end yet: whether it can still become a head. */
bool head_may_begin(struct span bytes);
/* 0, or the status to refuse with (400, 417, 431, 505). `ret` and `headers` hold what was read until then. */
unsigned head_parse(struct span head, struct http_head *ret, struct http_header *headers, size_t headers_max);
/* A header's value may hold this. */
bool head_value_ok(struct span value);
bool head_name_ok(struct span name);
