/* page: the styles of pagination: from a page to what comes next. Private to backfill/.
 * Threads: pure functions. */
#pragma once
#include "backfill/fetch.h"

struct pagination_ops {
    /* What the next page is asked with: appended to `next`; *ret_more false: this was the last one. */
    bool (*next)(const struct page_rule *r, const struct fetched *p, struct json last, struct buf *next, bool *ret_more,
                 struct err *err);
    bool next_is_url; /* `next` is the whole address of the page */
};
const struct pagination_ops *pagination_of(const struct page_rule *r);
/* The page's records; fails where the manifest's path leads to no array. */
bool page_records(const struct page_rule *r, const struct fetched *p, struct json *ret, struct err *err);
/* The target of a Link header's rel (RFC 8288 section 3); empty when absent. */
struct span link_target(struct span header, const char *rel);
/* Whether both addresses have the same scheme, host and port (RFC 6454 section 4). */
bool same_origin(struct span a, struct span b);
