/* columns: drop, hash, rename, set: from a received object to a row's object. Private to transforms.
 *
 * Untouched values are copied as received; only objects on the way to a touched member are written anew. A drop or hash
 * goes through lists on its way ("items.email" means the email of every item), so that what is redacted cannot hide in
 * one. A column that is set (renamed to, from, constant, carried) replaces one of that name.
 * Threads: one thread. Life: columns_new -> columns_apply* -> columns_free. */
#pragma once
#include "sources/manifest.h"

struct columns;
struct columns *columns_new(void);
void columns_free(struct columns **c); /* accepts NULL inside */

struct columns_job {
    const struct column_rule *rules;
    size_t n_rules;
    const struct key_map *carry; /* further columns, from other records */
    size_t n_carry;
    const struct scope *scope; /* of FROM and carry paths; may be NULL where there are none */
};
/* Whether the job changes anything at all. */
static inline bool columns_any(const struct columns_job *job)
{
    return job->n_rules || job->n_carry;
}
/* Appends the resulting object to out. `object` must be an object. ERR_NOMEM only. */
bool columns_apply(struct columns *c, const struct columns_job *job, struct json object, struct buf *out, struct err *err);
