/* yaml: a YAML file as a tree whose every node knows its place, and a report of what is wrong in it.
 *
 * Shared by sluice.yaml and the manifests. Anchors, aliases, tags, doubled keys and several documents are
 * refused. A report collects every mistake (up to REPORT_MAX) in the form
 *   sources/acme.yaml:13:53: verify.v1.signature.encoding: 'hexx' is not one of hex, base64 (did you mean hex?)
 *      13 |     signature: {header: X-Acme-Signature, encoding: hexx}
 *         |                                                     ^^^^
 * A message about a map, a list or an empty value points at its key.
 * Threads: a tree belongs to one thread while read; afterwards it may be dropped (readers copy what they keep).
 * Life: yaml_parse -> yaml_* -> yaml_free. Nodes borrow the tree. */
#pragma once
#include "core/buf.h"
#include "core/err.h"
#include <stdint.h>

struct yaml;      /* a file */
struct yaml_node; /* a place in it */

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP };

#define REPORT_MAX 20
struct report {
    struct buf text; /* one or more messages, each ending with a newline */
    unsigned count;
};
void report_init(struct report *r);
void report_release(struct report *r);

/* Borrows `bytes` until yaml_free. `name` is what messages call the file. Syntax errors go to the report; NULL then. */
struct yaml *yaml_parse(const char *name, struct span bytes, struct report *r);
void yaml_free(struct yaml **y);
const struct yaml_node *yaml_root(const struct yaml *y);

enum yaml_kind yaml_kind(const struct yaml_node *n);     /* NULL node -> YAML_NULL */
struct span yaml_text(const struct yaml_node *n);        /* a scalar's text, quotes and escapes resolved; else empty */
bool yaml_quoted(const struct yaml_node *n);             /* "true" is text, true is a switch */
size_t yaml_count(const struct yaml_node *n);            /* items or pairs */
const struct yaml_node *yaml_item(const struct yaml_node *list, size_t i);
const struct yaml_node *yaml_key(const struct yaml_node *map, size_t i);   /* the key's own node */
const struct yaml_node *yaml_value(const struct yaml_node *map, size_t i);
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key); /* NULL when absent */
uint32_t yaml_line(const struct yaml_node *n);           /* from 1 */
uint32_t yaml_col(const struct yaml_node *n);            /* from 1 */
/* No message shows this node's text any more: call it for whatever is, or could be, a secret written into the file. */
void yaml_hide(const struct yaml_node *n);
/* Dotted path of keys from the root to this node: "verify.v1.signature.encoding", "tables.orders". */
void yaml_path(const struct yaml_node *n, struct buf *out);

/* Adds a message that points at `n`, with the path and the source line with a caret. */
void report_at(struct report *r, const struct yaml_node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same without the dotted path in front (the message names what it speaks of). */
void report_plain(struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "'hexx' is not one of hex, base64 (did you mean hex?)"; `words` ends with NULL. */
void report_word(struct report *r, const struct yaml_node *n, const char *const *words);
/* Reports every key of the map that is not among `keys` ("no such key 'tabels' (did you mean tables?)"). */
void report_unknown_keys(struct report *r, const struct yaml_node *map, const char *const *keys);
/* The nearest of `words` within an edit distance that a slip of the finger makes, or NULL. */
const char *nearest_word(struct span word, const char *const *words);
