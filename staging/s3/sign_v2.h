/* sign_v2: signature version 2, for stores that know nothing newer. Private to staging.
 * HMAC-SHA1 over the request's method, type, date, x-amz- headers and resource; it covers neither body nor host.
 * Threads: pure functions. */
#pragma once
#include "staging/s3/credentials.h"
#include "staging/s3/place.h"

struct s3_v2 {
    const char *method, *date; /* as the Date header has it */
    const char *const *headers; /* NULL-ended, "Name: value"; x-amz- ones in the order of their names */
    const struct s3_place *place;
    const char *key;            /* NULL: the bucket */
    const struct s3_param *params;
    size_t n_params;
};
/* What is signed. */
void s3_v2_text(struct buf *out, const struct s3_v2 *r);
/* "Authorization: AWS …"; wipe it. */
void s3_v2_header(struct buf *out, const struct s3_v2 *r, const struct s3_keys *keys);
