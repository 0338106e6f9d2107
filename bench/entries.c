#include "bench/entries.h"
#include <errno.h>

void entry_of_request(const struct bench_request *q, struct bench_entry *ret)
{
    struct span rest, head = {q->p, q->body - 4}, line = span_cut(head, '\n', &rest), target;
    struct entry *e = &ret->entry;
    *e = (struct entry){.kind = ENTRY_EVENT, .node = SPAN_LIT("bench-00000000"), .lane = SPAN_LIT("events"),
                        .scheme = SPAN_LIT("bench"), .secret_id = SPAN_LIT("000000")};
    e->message = (struct http_message){.headers = ret->headers, .body = {q->p + q->body, q->n - q->body}};
    e->message.method = span_cut(line, ' ', &target);
    e->message.url = span_cut(target, ' ', &target);
    errno = 0;
    if (!span_starts(e->message.url, SPAN_LIT("/in/")))
        die("a request is not for /in/SOURCE");
    e->source = span_skip(e->message.url, 4);
    while (rest.n && e->message.n_headers < ENTRY_HEADERS_MAX) {
        struct span value, name;
        line = span_cut(rest, '\n', &rest);
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        name = span_cut(line, ':', &value);
        ret->headers[e->message.n_headers++] = (struct http_header){name, span_trim(value)};
    }
}
