/* store: the object store as a small table of operations: a directory, or a bucket of an S3 store (docs/staging.md).
 *
 * Keys are relative paths with / and the characters [A-Za-z0-9._=-]. An object appears whole or not at all: it is written
 * under a provisional name, because what it covers is known only at its end, and gets its key at the commit. What a dead
 * process left provisional shows in no list but that of STORE_PROVISIONAL; its owner sweeps it away.
 * Failures: ERR_DURABLE or ERR_FULL for writes, ERR_INPUT for reads; of a bucket ERR_TRANSIENT, or ERR_CONFIG with what to do.
 * Threads: any, on different keys and writers. Life: store_open -> … -> store_close. */
#pragma once
#include "core/buf.h"
#include "core/io.h"

struct store;
struct store_writer;

#define STORE_PROVISIONAL ".provisional/"
#define STORE_KEY_MAX 512
#define STORE_TAG_MAX 160

struct store_ops {
    /* Starts an object; `name`: characters of keys, without /; another one of this name is overwritten. */
    bool (*create)(struct store *s, const char *name, struct store_writer **ret, struct err *err);
    bool (*write)(struct store_writer *w, struct span bytes, struct err *err);
    /* Durable, then visible under its key. A folder's replaces an older one; a bucket's never does: one of this key that holds
     * the same lines is as good, one with others is an error. Frees the writer, also when it fails. */
    bool (*commit)(struct store_writer **w, const char *key, struct err *err);
    void (*abort)(struct store_writer **w); /* accepts NULL inside */
    bool (*remove)(struct store *s, const char *key, struct err *err); /* absent is done */
    /* Keys with this prefix (a whole folder: empty or ends with /), in byte order. each: false ends the list early, without
     * an error. */
    bool (*list)(struct store *s, const char *prefix, bool (*each)(void *ctx, const char *key), void *ctx, struct err *err);
    /* The whole object in pieces. piece: false ends early, without an error. */
    bool (*read)(struct store *s, const char *key, bool (*piece)(void *ctx, struct span bytes), void *ctx, struct err *err);
    /* A small object that changes. Its bytes and a tag of them; tag "": there is none. Then the same with other bytes, if it
     * still
     * has that tag; *ret_swapped false: somebody was faster. */
    bool (*load)(struct store *s, const char *key, struct buf *out, char ret_tag[STORE_TAG_MAX], struct err *err);
    bool (*swap)(struct store *s, const char *key, const char *tag, struct span bytes, bool *ret_swapped, struct err *err);
    /* Removes what dead processes of this node left provisional; while none of it is being written. */
    bool (*sweep)(struct store *s, const char *node, struct err *err);
    /* From now on nothing waits long. Any thread. NULL: nothing does. */
    void (*stop)(struct store *s);
    void (*close)(struct store *s);
};
struct store {
    const struct store_ops *ops;
    const struct io *io;
};
struct config;
/* The one that the configuration names. Borrows it. Looks at nothing, as below. */
bool store_open(const struct io *io, const struct config *c, struct store **ret, struct err *err);
struct objects_config;
/* A bucket. What is being written is kept in `spool` until it is whole. */
bool store_open_s3(const struct io *io, const struct objects_config *o, const char *spool, struct store **ret, struct err *err);
/* Looks at nothing: a folder that cannot be had is told by the operations, and may come later. */
bool store_open_dir(const struct io *io, const char *dir, struct store **ret, struct err *err);
void store_close(struct store **s);
bool store_key_valid(const char *key);

/* <source>/<table>/dt=YYYY-MM-DD/<node>.<lane>.<first>-<last>.<transform>.ndjson.zst (or .gz); seqs have 20 digits. */
struct object_name {
    struct span source, table, date, node, lane, transform;
    uint64_t first, last;
    bool gzip;
};
void object_name_write(struct buf *out, const struct object_name *n);
bool object_name_parse(struct span key, struct object_name *ret); /* borrows key */

/* What a .zst or .gz object holds, in pieces. Damage is ERR_INPUT and names the object. */
bool object_bytes(struct store *s, const char *key, bool (*piece)(void *ctx, struct span bytes, struct err *err), void *ctx,
                  struct err *err);
/* Lines of a staged object, decompressed in bounded memory (one line at most LINE_BYTES_MAX). The line borrows until the
 * call returns. Damage is ERR_INPUT and names the object; `line` returning false ends with its error. */
#define LINE_BYTES_MAX ((size_t)256 << 20)
bool object_lines(struct store *s, const char *key, bool (*line)(void *ctx, struct span line, struct err *err), void *ctx,
                  struct err *err);
