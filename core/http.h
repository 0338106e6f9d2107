/* http: an HTTP message as both doors see it: what a provider posted, or what its API answered.
 * Threads: plain values. Life: all spans borrow. */
#pragma once
#include "core/span.h"
#include <stdint.h>

struct http_header {
    struct span name, value;
};

struct http_message {
    struct span method; /* "POST"; for a pulled page "GET" */
    struct span url;    /* the target as received, "/in/stripe?x=1"; for a page the absolute URL, no credentials */
    const struct http_header *headers;
    size_t n_headers;
    struct span body; /* raw bytes */
    uint32_t status;  /* a pulled page's status, else 0 */
};

/* The first value of a header, name compared without case; {NULL,0} when absent.
 * *ret_count (may be NULL): how often it is there. */
struct span http_header(const struct http_message *m, struct span name, unsigned *ret_count);
