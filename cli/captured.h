/* captured: a request in a file, as `sluice verify` reads it and as vector files list them.
 *
 *   {"method": "POST", "url": "/in/stripe", "headers": [["Name", "value"], …], "body_base64": "…",
 *    "now_unix": 1760000000, "tolerance_seconds": 300, "secrets": ["…"], "public_keys": ["…"], "aux": {"name": "value"},
 *    "expect": "ok", "also_acceptable": ["malformed"], "description": "…"}
 * A request that Sluice kept itself (server/record.h) also has received_at, outcome, body_bytes and blanked.
 * Only headers and a body (`body_base64`, or `body` as text) have to be there; headers may also be an object.
 * Threads: plain values. Life: captured_read -> use -> captured_release. Spans borrow it and the text it was read from. */
#pragma once
#include "core/http.h"
#include "core/json.h"
#include "server/verify.h"

#define CAPTURED_HEADERS_MAX 256
#define CAPTURED_SECRETS_MAX 32
#define CAPTURED_AUX_MAX 32

struct captured {
    struct json json;
    struct buf text; /* decoded texts */
    struct http_header headers[CAPTURED_HEADERS_MAX];
    struct http_message message;
    struct verify_secret secrets[CAPTURED_SECRETS_MAX];
    size_t n_secrets;
    struct scope_pair aux[CAPTURED_AUX_MAX];
    size_t n_aux;
    uint64_t now_us, tolerance_us; /* now_us 0: not said; tolerance_us UINT64_MAX: the manifest's */
    struct span outcome;           /* of one that was refused: how; else empty */
    bool body_cut;                 /* the body is not all there */
    uint64_t body_bytes;           /* how long it was; 0: not known */
    bool blanked;                  /* what a scheme looks at was blanked */
};
bool captured_read(struct json json, struct captured *ret, struct err *err);
void captured_release(struct captured *c); /* wipes the secrets */
/* Whether the outcome is the one expected, or an acceptable one. */
bool captured_accepts(const struct captured *c, const char *verdict);
/* A member as text for messages; empty when absent. Appends to out. */
void captured_word(const struct captured *c, const char *member, struct buf *out);
