/* path: the manifest language's three notions, compiled: paths, templates and `when` conditions.
 *
 *   path       body.a.b   body.items[]   header.X-Name   query["hub.challenge"]   config.api_key
 *              Roots: body form header query method url config secret signature time event object record
 *              item, and the name of a parent table. A path ending in [] stands for each element.
 *              `a or b`: b where a is absent.
 *   template   "{time}.{body}"   "{header.webhook-id}"   filters after | (sha256 sha1 hex base64 crc32 sorted percent, last:
 * what is
 *              behind the last slash),
 *              ? after a path: absent is empty. {{ and }} are literal braces. In answers to handshakes also
 *              {a + b|sha256|hex}, {query.x|hmac-sha256 secret|hex}, {query.x|hmac-sha1 config.key sha1|hex}.
 *   condition  path: value | [values] | glob with * | present | absent | a path on the right (config.live)
 *
 * No expressions. Evaluation allocates only into the caller's buf.
 * Threads: compiled forms are immutable. Life: owned by the manifest's arena; spans in a scope borrow. */
#pragma once
#include "core/http.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/yaml.h"

enum path_root {
    ROOT_BODY, ROOT_FORM, ROOT_HEADER, ROOT_QUERY, ROOT_METHOD, ROOT_URL, ROOT_CONFIG, ROOT_SECRET,
    ROOT_SIGNATURE, ROOT_TIME, ROOT_EVENT, ROOT_OBJECT, ROOT_RECORD, ROOT_ITEM, ROOT_PARENT,
    ROOT_WORD /* a bare word in templates of calls: {types} {id} {since} {source} {table.scope} … */
};

struct path_step {
    struct span name;
    bool each; /* followed by [] */
};

struct path {
    enum path_root root;
    struct span name; /* the header's, query's, config field's, parent table's or word's name */
    struct path_step *steps;
    size_t n_steps;
    bool root_each; /* body[] */
    const struct path *other; /* taken where this one is absent, or NULL */
    const char *text; /* as written */
};

/* What the roots mean while something is judged, transformed or pulled. Unset roots are absent. */
struct scope_pair {
    struct span name, value;
};
struct scope_parent {
    struct span name;
    struct json record;
};
struct scope {
    const struct http_message *message; /* header query method url, and {body} as raw bytes in templates */
    struct json body, event, object, record, item;
    struct span secret, time;
    struct span url; /* for schemes that sign the URL; falls back to message->url */
    const struct scope_pair *signature; /* fields of a listed signature header */
    size_t n_signature;
    const struct scope_pair *config; /* the source's config values, secrets resolved by the caller */
    size_t n_config;
    const struct scope_parent *parents;
    size_t n_parents;
    const struct scope_pair *words;
    size_t n_words;
    struct json_memo *memo; /* of who evaluates many paths over the same bytes; or NULL */
};

enum value_kind { VALUE_ABSENT, VALUE_JSON, VALUE_TEXT };
struct value {
    enum value_kind kind;
    struct json json; /* VALUE_JSON */
    struct span text; /* VALUE_TEXT: borrows the scope, or `scratch` */
};

/* Evaluates without the [] suffix being expanded (an `each` path gives the array). `scratch` takes what had to be
 * decoded (form and query values). Never fails: absent is a value. JSON null counts as present. */
struct value path_eval(const struct path *path, const struct scope *scope, struct buf *scratch);
/* The value as text into out: strings decoded, numbers and booleans as written, containers as raw JSON. false: absent or null. */
bool path_text(const struct path *path, const struct scope *scope, struct buf *out);

struct template_part {
    bool literal;
    struct span text; /* literal */
    struct path path;
    bool optional; /* ? */
    uint8_t filters[4]; /* enum template_filter, 0 ends */
    struct path *joined; /* {path + joined + …}: taken one after another, before the filters */
    size_t n_joined;
    struct template_key *key; /* of the HMAC among the filters, or NULL */
};
enum template_filter {
    FILTER_NONE, FILTER_SHA256, FILTER_HEX, FILTER_CRC32, FILTER_SORTED, FILTER_PERCENT, FILTER_SHA1, FILTER_BASE64, FILTER_LAST,
    FILTER_HMAC_SHA256, FILTER_HMAC_SHA1, FILTER_HMAC_SHA512
};
struct template_key { /* hmac-sha1 config.private_key sha1 */
    struct path path;
    uint8_t digest; /* FILTER_SHA256, FILTER_SHA1: of the value, as raw bytes; FILTER_NONE: the value itself */
};
struct template {
    struct template_part *parts;
    size_t n_parts;
    const char *text; /* as written; NULL: no template */
};
/* Appends to out. ERR_INPUT names the path that is absent. */
bool template_render(const struct template *t, const struct scope *scope, struct buf *out, struct err *err);

enum condition_kind { COND_VALUES, COND_PRESENT, COND_ABSENT, COND_PATH };
struct condition {
    struct path path;
    enum condition_kind kind;
    struct span *values; /* with * as glob */
    size_t n_values;
    struct path other; /* COND_PATH */
};
bool conditions_hold(const struct condition *c, size_t n, const struct scope *scope);
bool glob_match(struct span pattern, struct span text); /* * only */

/* Compilers: false after a message in the report. `parents` are the table names that may be roots, NULL-ended (may be NULL). */
bool path_compile(struct arena *a, const struct yaml_node *at, struct span text, const char *const *parents,
                  struct path *ret, struct report *r);
bool template_compile(struct arena *a, const struct yaml_node *at, struct span text, const char *const *parents,
                      struct template *ret, struct report *r);
bool conditions_compile(struct arena *a, const struct yaml_node *map, const char *const *parents,
                        struct condition **ret, size_t *ret_n, struct report *r);
