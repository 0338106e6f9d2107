/* http: requests to a store by libcurl, signed or plain. Private to staging.
 *
 * A pool keeps handles, so that connections are used again; each request has one to itself. Nothing is followed and nothing is
 * tried again here: s3/client does. A transfer that stands still for 30 s is given up, a connection that takes 10 s, too; each
 * ends at `*until` (monotonic microseconds, 0: none).
 * Threads: any. Life: s3_pool_new -> s3_http* -> s3_pool_free. */
#pragma once
#include "core/buf.h"
#include "core/err.h"
#include <stdatomic.h>

struct s3_pool;
struct s3_keys;
struct s3_reply {
    long status;
    struct buf body;      /* of what `piece` did not take; at most S3_BODY_MAX */
    char etag[160], location[512], region[40]; /* of the headers; "" */
    uint64_t length;      /* Content-Length, UINT64_MAX: none */
    bool stopped;         /* by `piece` */
};
#define S3_BODY_MAX ((size_t)16 << 20)
struct s3_http {
    const char *method, *url;
    const char *const *headers; /* NULL-ended, "Name: value" */
    struct span body;
    const struct s3_keys *keys; /* NULL: not signed */
    const char *region;
    uint64_t from;         /* what a Range header asks for; a store that gives the whole instead has so much cut off */
    /* The body of a 200 or 206 in pieces. false: enough, the transfer ends without an error. NULL: into reply.body. */
    bool (*piece)(void *ctx, struct span bytes);
    void *ctx;
};
struct s3_pool *s3_pool_new(const char *ca_file, const atomic_ullong *until);
void s3_pool_free(struct s3_pool **p);
/* false: no whole answer (ERR_TRANSIENT, ERR_CONFIG where TLS or the URL is wrong); what of it came is in *ret. */
bool s3_http(struct s3_pool *p, const struct s3_http *h, struct s3_reply *ret, struct err *err);
void s3_reply_release(struct s3_reply *r);
/* One unsigned request with a handle of its own: GET, or POST of a form where `form` has bytes. header: or NULL. */
bool s3_fetch(const char *url, const char *header, struct span form, const char *ca_file, struct s3_reply *ret, struct err *err);
