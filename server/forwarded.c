/* Whom a request is from: the peer, or whoever a trusted proxy says. */
#include "server/door.h"

static bool trusted(const struct config *c, const struct address *a)
{
    return blocks_have(c->proxies, c->n_proxies, a);
}

/* The last element of a list with commas; *list loses it. */
static struct span take_last(struct span *list)
{
    size_t at = list->n;
    while (at && list->p[at - 1] != ',')
        at--;
    struct span last = span_skip(*list, at);
    list->n = at ? at - 1 : 0;
    return span_trim(last);
}

/* Each proxy appended whom it heard from, so from the right: as long as an address is that of a trusted proxy, what stands before
 * it was written by one of ours. What is no address ends the search: then the last proxy of ours answers for it. */
struct address forwarded_client(const struct config *c, const struct http_message *m, struct address peer)
{
    struct address client = peer;
    for (size_t i = m->n_headers; i; i--) {
        const struct http_header *h = &m->headers[i - 1];
        if (!span_ieq(h->name, SPAN_LIT("X-Forwarded-For")))
            continue;
        for (struct span rest = h->value; rest.n;) {
            struct span hop = take_last(&rest);
            if (!hop.n)
                continue; /* an empty element of a list means nothing */
            if (!address_parse_hop(hop, &client) || !trusted(c, &client))
                return client;
        }
    }
    return client;
}
