/* verify_internal: what the files of verification share. Private to server/.
 * keys.c makes keys of secrets, signature.c takes a signature header apart, verify.c judges, sign.c does what a provider does. */
#pragma once
#include "server/verify.h"
#include <openssl/evp.h>

#define CANDIDATES_MAX 32        /* signatures of one request; each costs a comparison with every secret */
#define SIGNATURE_FIELDS_MAX 32  /* k=v entries of one signature header */
#define SIGNED_PARTS_MAX 32
#define DIGEST_BYTES_MAX 64

struct held_secret {
    char *text;
    size_t n;
    uint64_t retire_at_us; /* 0: never */
    char id[SECRET_ID_MAX];
};
struct verify_key { /* one secret as one scheme uses it; by algorithm one of the three */
    size_t secret;       /* its place in the verifier */
    EVP_MAC_CTX *mac;    /* initialised; duplicated for each request */
    EVP_PKEY *public_key;
    unsigned char token[32]; /* SHA-256 of the shared token */
};
struct verify_scheme {
    const struct scheme *rule;
    bool on; /* its switch, where it has one */
    struct verify_key *keys;
    size_t n_keys;
};
struct verifier {
    const struct manifest *manifest;
    struct held_secret *secrets;
    size_t n_secrets;
    struct verify_scheme *schemes;
    size_t n_schemes;
    struct scope_pair *config; /* own copies */
    size_t n_config;
    bool needs_json; /* a path leads into the body */
};
struct verify_scratch {
    struct buf text;    /* rendered parts of the signed text */
    struct buf decoded; /* candidates */
    struct buf whole;   /* the signed text in one piece, for Ed25519 */
};

/* ---- keys.c ---- */
/* Fills the scheme's keys from the verifier's secrets; one that does not fit is a warning, not a failure. */
bool keys_make(struct verifier *v, struct verify_scheme *s, struct buf *warnings, struct err *err);
void keys_free(struct verify_scheme *s);
size_t digest_bytes(enum algorithm a); /* of a signature, decoded; 0: any */
bool key_is_active(const struct verifier *v, const struct verify_key *k, uint64_t now_us);

/* ---- signature.c ---- */
struct candidate {
    size_t at, n; /* in the decoded buffer */
};
struct signature {
    const char *name;  /* of the header or query parameter, as the manifest spells it */
    struct span value; /* without the prefix */
    struct scope_pair fields[SIGNATURE_FIELDS_MAX];
    size_t n_fields;
    struct candidate candidates[CANDIDATES_MAX];
    size_t n_candidates;
    size_t n_tagged; /* entries that carry our tag, decodable or not */
    size_t n_other;  /* entries of other versions */
};
/* VERDICT_OK: it is there once. `text` takes what had to be decoded. `why` takes the reason otherwise. */
enum verdict signature_find(const struct scheme *s, const struct http_message *m, struct buf *text, struct signature *ret,
                            char *why, size_t why_size);
/* Takes it apart into fields and decoded candidates. VERDICT_OK even when no candidate is left: see the counts. */
enum verdict signature_split(const struct scheme *s, struct signature *sig, struct buf *decoded, char *why, size_t why_size);

/* ---- verify.c ---- */
struct signed_part {
    enum { PART_TEXT, PART_BODY, PART_SECRET } kind;
    struct span literal; /* p NULL: at/n in the scratch's text */
    size_t at, n;
};
/* The parts of the signed text, all but body and secret rendered into `text`. */
enum verdict signed_parts(const struct scheme *s, const struct scope *scope, struct buf *text,
                          struct signed_part parts[SIGNED_PARTS_MAX], char *why, size_t why_size);
struct span part_span(const struct signed_part *part, struct span text, struct span body, struct span secret);
/* The MAC of the parts; returns its length, 0 when it failed. */
size_t mac_of(const struct verify_key *key, const struct signed_part *parts, size_t n, struct span text, struct span body,
              struct span secret, unsigned char out[DIGEST_BYTES_MAX]);
