/* store: the object store as a small table of operations; a directory is the first, others follow.
 * Keys are relative paths with / and the characters [A-Za-z0-9._=-]. An object appears whole or not at all.
 * Threads: any, on different keys. Life: store_open -> … -> store_close. */
#pragma once
#include "core/buf.h"
#include "core/io.h"

struct store;
struct store_writer;

struct store_ops {
    /* Starts an object; nothing shows under its key before commit. */
    bool (*create)(struct store *s, const char *key, struct store_writer **ret, struct err *err);
    bool (*write)(struct store_writer *w, struct span bytes, struct err *err);
    bool (*commit)(struct store_writer **w, struct err *err); /* durable, then visible; replaces an older one */
    void (*abort)(struct store_writer **w);
    bool (*remove)(struct store *s, const char *key, struct err *err); /* absent is done */
    /* Keys with this prefix (a whole folder: ends with /), in byte order. */
    bool (*list)(struct store *s, const char *prefix, bool (*each)(void *ctx, const char *key), void *ctx, struct err *err);
    /* The whole object in pieces. */
    bool (*read)(struct store *s, const char *key, bool (*piece)(void *ctx, struct span bytes), void *ctx, struct err *err);
};
struct store {
    const struct store_ops *ops;
    const struct io *io;
};
bool store_open_dir(const struct io *io, const char *dir, struct store **ret, struct err *err);
void store_close(struct store **s);

/* <source>/<table>/dt=YYYY-MM-DD/<node>.<lane>.<first>-<last>.<transform>.ndjson.zst ; seqs have 20 digits. */
struct object_name {
    struct span source, table, date, node, lane, transform;
    uint64_t first, last;
};
void object_name_write(struct buf *out, const struct object_name *n);
bool object_name_parse(struct span key, struct object_name *ret); /* borrows key */

/* Lines of a staged object, decompressed in bounded memory. */
bool object_lines(struct store *s, const char *key, bool (*line)(void *ctx, struct span line, struct err *err), void *ctx,
                  struct err *err);
