/* example: an event that a provider could have sent, made from what its manifest says about events.
 *
 * Every path that the manifest reads gets a value: id, type, time, the object with its key and version, and what its
 * conditions (`only`, `must`, a table's `when`) ask for. It is small, and an example only: a real event has more in it.
 * Threads: plain values. Life: example_make -> use -> example_release. */
#pragma once
#include "config/config.h"

#define EXAMPLE_HEADERS_MAX 16

struct example {
    struct buf text; /* what the headers borrow */
    struct buf body;
    struct http_header headers[EXAMPLE_HEADERS_MAX]; /* those that carry id, type, …; none of the signature's */
    size_t n_headers;
    struct span id; /* of the event */
};
/* type NULL: the first that the manifest's tables take. `id` becomes the id of event and object. ERR_INPUT: it cannot be made. */
bool example_make(const struct source_config *s, const char *type, const char *id, uint64_t now_us, struct example *ret,
                  struct err *err);
void example_release(struct example *e);
