/* client: requests to one bucket, until they are answered for good. Private to staging.
 *
 * Tries again, five times in all with full jitter between: no answer or half of one, 500, 502, 503, SlowDown and their like, 429.
 * A read goes on where it broke off. Goes where the store says: another region is remembered, another host (301, 307) is used
 * for this request, never from https to http. Credentials that are over are renewed once.
 * A request that was tried again may have been done by an earlier try: whoever sends one that is not idempotent looks at what
 * is there (s3/upload).
 * Failures: ERR_CONFIG with what to do (bad keys, no bucket, wrong region, clock, access), ERR_TRANSIENT, ERR_STOPPED.
 * Threads: any. Life: s3_client_new -> s3_call* -> s3_client_free. */
#pragma once
#include "core/io.h"
#include "staging/s3/answer.h"
#include "staging/s3/credentials.h"
#include "staging/s3/http.h"
#include "staging/s3/place.h"

struct s3_client;
#define S3_HEADERS_MAX 8
struct s3_request {
    const char *method, *key; /* key NULL: the bucket itself */
    struct s3_param params[S3_PARAMS_MAX];
    size_t n_params;
    const char *headers[S3_HEADERS_MAX]; /* NULL-ended */
    bool conditional;         /* has If-Match or If-None-Match */
    struct span body;
    bool (*piece)(void *ctx, struct span bytes); /* of a GET; false: enough. NULL: reply.body */
    void *ctx;
};
/* Borrows the configuration and io. */
struct s3_client *s3_client_new(const struct io *io, const struct objects_config *o, struct err *err);
void s3_client_free(struct s3_client **c);
/* From now on nothing is tried again, and what is under way STOP_US from now ends with ERR_STOPPED. Any thread. */
void s3_client_stop(struct s3_client *c);
/* true: *ret_verdict is S3_DONE, S3_ABSENT, S3_EXISTS or (of a conditional one) S3_UNCONDITIONAL. The reply is released by the
 * caller then, and only then. *ret_tries: how often it was sent; may be NULL. */
bool s3_call(struct s3_client *c, const struct s3_request *r, struct s3_reply *ret, enum s3_verdict *ret_verdict,
             unsigned *ret_tries,
             struct err *err);
const struct s3_place *s3_client_place(const struct s3_client *c);
