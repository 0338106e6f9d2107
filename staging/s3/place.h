/* place: where a bucket is, and the URLs of what is in it. Private to staging.
 *
 * One function builds every URL: libcurl signs what stands in it as it stands, so a path is percent-encoded but for
 * unreserved characters and /, parameters are in the order of their encoded names, / in their values is encoded, and a
 * parameter without a value has its = all the same.
 * Threads: plain values; pure functions. */
#pragma once
#include "core/buf.h"

struct s3_place {
    const char *scheme;         /* "https" */
    const char *authority;      /* host[:port] of the endpoint, without the bucket */
    const char *path;           /* what the endpoint has behind it, "" or "/s3" */
    const char *bucket, *prefix; /* prefix: "" or ends with / */
    bool virtual_style;         /* https://bucket.host/key rather than https://host/bucket/key */
};
struct s3_param {
    const char *name, *value; /* not encoded */
};

/* The three parts of an endpoint's URL, malloc'ed. false: it is no http or https URL of a host; nothing is set. */
bool s3_endpoint_parse(const char *url, char **ret_scheme, char **ret_authority, char **ret_path);
/* The URL of a key (NULL: of the bucket itself); `authority` replaces the place's where it is not NULL (a redirect).
 * `params` are sorted here. */
#define S3_PARAMS_MAX 8
void s3_url_write(struct buf *out, const struct s3_place *p, const char *authority, const char *key,
                  const struct s3_param *params,
                  size_t n_params);
