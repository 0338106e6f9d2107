#include "core/http.h"

struct span http_header(const struct http_message *m, struct span name, unsigned *ret_count)
{
    struct span first = {NULL, 0};
    unsigned count = 0;
    for (size_t i = 0; i < m->n_headers; i++)
        if (span_ieq(m->headers[i].name, name) && count++ == 0)
            first = m->headers[i].value;
    if (ret_count)
        *ret_count = count;
    return first;
}
