/* call_address: where a call of a provider's API goes. What a template puts into the path is percent-encoded, but for the
 * slashes of
 * names like owner/name, and refused where it would lead to another call. For backfill/, and for the calls of webhooks/.
 * Threads: pure functions. The address may hold a secret: for the request alone. */
#pragma once
#include "config/config.h"

struct call_parts {
    const char *base; /* NULL: the manifest's */
    const struct template *path;
    const struct query_param *query;
    size_t n_query;
};
/* Appends to url. */
bool call_address(const struct manifest *m, const struct call_parts *a, const struct scope *scope, struct buf *url,
                  struct err *err);
void call_address_add(struct buf *url, const char *name, struct span value); /* one more parameter */
