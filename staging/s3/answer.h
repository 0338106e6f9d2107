/* answer: what a store's answers mean. Private to staging.
 *
 * Bodies come from a network: whatever stands in them, the readers end with false or with bounded texts.
 * Threads: pure functions. */
#pragma once
#include "core/buf.h"
#include "core/err.h"

struct s3_error { /* the <Error> of an answer; texts are cut to fit, and hold printable ASCII only */
    char code[64], message[200], region[40], endpoint[260];
};
/* false: the answer holds none; *ret is empty then. */
bool s3_error_read(struct span body, struct s3_error *ret);

struct s3_list {
    bool truncated;
    struct buf next; /* the token of the next page, or the key marker of uploads */
    struct buf next_upload;
};
/* Keys of a list's page, in the answer's order; each: false ends it without an error. `bytes` of a key. */
bool s3_list_read(struct span body, bool (*each)(void *ctx, struct span key), void *ctx, struct s3_list *ret);
bool s3_uploads_read(struct span body, bool (*each)(void *ctx, struct span key, struct span upload), void *ctx,
                     struct s3_list *ret);
void s3_list_release(struct s3_list *l);
/* The text of the first element of this name, anywhere. false: there is none, or the answer is no XML. */
bool s3_element(struct span body, const char *name, struct buf *out);

enum s3_verdict {
    S3_DONE,
    S3_ABSENT,    /* 404 of a key or an upload: not of the bucket */
    S3_EXISTS,    /* 412: somebody has written this key */
    S3_RETRY,     /* throttled, overloaded, broken: after a while the same again */
    S3_REGION,    /* the bucket is in another region, which error.region names */
    S3_REDIRECT,  /* another host has it: Location or error.endpoint */
    S3_RENEW,     /* the credentials are over: with new ones the same again */
    S3_UNCONDITIONAL, /* the store knows no conditional writes */
    S3_REFUSED,   /* as it is now it will not work: s3_explain */
};
enum s3_verdict s3_judge(long status, const struct s3_error *e);
/* What a person can do about an answer that is not S3_DONE. `what`: "GET key". */
bool s3_explain(struct err *err, long status, const struct s3_error *e, const char *bucket, const char *region, const char *what);
/* How long to wait before try number `tries` + 1 (tries from 1): full jitter over a doubling limit. */
uint64_t s3_backoff_us(unsigned tries, uint64_t random);
