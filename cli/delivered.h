/* delivered: the last deliveries of a source with their events' ids and types, searched; for the command and the API.
 * With a server its list, else the file. Ids and types are read from the journal, as the manifest reads them; they are empty
 * where an entry is gone, and where nothing was stored: what was refused is not believed.
 * Threads: as the instance. */
#pragma once
#include "cli/instance.h"
#include "server/server.h"

struct delivered_filter {
    const char *outcome, *id, *type; /* NULL: any; outcome also "rejected"; type may be a glob */
    size_t max;                      /* of those that fit */
};
struct delivered {
    struct delivery_mark mark;
    struct span id, type, entry; /* borrow until the call returns */
};
/* NULL, a name of an outcome or "rejected". */
bool delivered_outcome_is_known(const char *outcome);
/* The newest first. *ret_n: how many fitted. */
bool delivered_each(struct instance *in, const struct source_config *s, const struct delivered_filter *f,
                    void (*each)(void *ctx, const struct delivered *d), void *ctx, size_t *ret_n, struct err *err);
/* {"at":"…","outcome":"accepted","status":200,"id":"evt_1","type":"…","bytes":12,"latency_us":900,"entry":"…"} */
void delivered_write(struct buf *out, const struct delivered *d);
