/* entries: a prepared request as the entry that the server would make of it.
 * Threads: plain values. Life: the entry borrows the request, the headers and the id. */
#pragma once
#include "bench/measure.h"
#include "journal/entry.h"

struct bench_entry {
    struct http_header headers[ENTRY_HEADERS_MAX];
    struct entry entry;
};
void entry_of_request(const struct bench_request *q, struct bench_entry *ret);
