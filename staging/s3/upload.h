/* upload: a file becomes an object, whole, once. Private to staging.
 *
 * Up to one part it is one PUT, above that a multipart upload; the memory is one part. Both carry If-None-Match: *, so that a key
 * once taken keeps its bytes, whoever else writes. An answer that says the key is taken, or none that can be relied on, is
 * followed
 * by a look at what is there: the same bytes, or other bytes that decompress to the same, are as good as ours (an earlier
 * try
 * whose answer was lost; the same range by another zstd). Anything else is an error and stays as it is.
 * A store without conditional writes (501) is asked for the key first.
 * Threads: any, on different keys. */
#pragma once
#include "staging/s3/client.h"
#include "staging/store.h"

#define S3_PART_MIN (UINT64_C(8) << 20)
#define S3_PARTS_MAX UINT64_C(10000)

struct s3_upload {
    struct s3_client *client;
    struct store *store;        /* to look at what is there */
    const struct objects_config *o;
    atomic_bool *unconditional; /* the store has said so; may be set here */
    const struct io *io;
    int fd;
    uint64_t size;
    const char *key;
    char encryption[2][280];    /* private to upload */
};
/* The bytes of one part of a file of this size. */
uint64_t s3_part_bytes(uint64_t size);
bool s3_upload(struct s3_upload *u, struct err *err);
/* Ends multipart uploads under the bucket's prefix whose object's name begins with "<node>.". */
bool s3_upload_sweep(struct s3_client *c, const char *node, struct err *err);
