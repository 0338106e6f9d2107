/* manifest_live: which objects of a folder are live, where small ones were joined (docs/staging.md).
 *
 *   <source>/<table>/dt=<day>/_manifest.json
 *   {"format":1,"joined":[{"object":"<key>","parts":[{"object":"<key>","rows":12},…]},…]}
 *
 * An object is live unless it is a part of a joined one; a joined one (its lane begins with "joined-") is live only if the
 * manifest
 * lists it. The manifest is replaced whole, by a conditional write: before it the parts are what readers see, after it the joined
 * one, never both. It sorts before the objects of its folder, so that one walk over a list meets it first.
 * Threads: one a struct. Life: live_init -> live_see* -> live_release. */
#pragma once
#include "core/codec.h"
#include "core/json.h"
#include "staging/store.h"

#define MANIFEST_NAME "_manifest.json"

struct live {
    char folder[STORE_KEY_MAX + 1]; /* "" or with its / */
    struct buf text;                /* the manifest; empty: there is none */
    char tag[STORE_TAG_MAX];
    struct json joined;             /* borrows text */
    struct hash128 *dead, *listed;  /* sorted */
    size_t n_dead, n_listed;
};
void live_init(struct live *l);
void live_release(struct live *l);
/* Reads the manifest of the folder that this key is in. */
bool live_load(struct live *l, struct store *s, const char *key, struct err *err);
/* A key of a list in byte order: loads manifests as they come. *ret: an object that is live. */
bool live_see(struct live *l, struct store *s, const char *key, bool *ret, struct err *err);
bool live_is_joined(const char *key);
/* Parts of a joined object that the manifest lists; false from each ends it. *ret_found false: it does not. */
bool live_parts(const struct live *l, const char *key, bool (*each)(void *ctx, struct span part, uint64_t rows), void *ctx,
                bool *ret_found, struct err *err);
