/* verify: is this request genuine? The manifest's schemes, judged on the raw bytes.
 *
 * Order of findings: missing_header, malformed, bad_signature, expired. Every candidate signature is compared with
 * every active secret in constant time; unknown versions are skipped, never accepted; a repeated signature header is refused.
 * The time is hashed as received and parsed only for its window. No bypass: a source without usable secret cannot judge.
 * Where a manifest has several schemes, the verdict is that of the first one whose signature is there; a later scheme may
 * still find the request genuine.
 * Threads: a struct verifier is immutable; verify_request from any thread (one struct verify_scratch a thread).
 * Life: verifier_new (reads secrets) -> verify_request* -> verifier_free. Secrets are wiped on free. */
#pragma once
#include "config/config.h"

enum verdict {
    VERDICT_OK,
    VERDICT_BAD_SIGNATURE,
    VERDICT_EXPIRED,
    VERDICT_MISSING_HEADER,
    VERDICT_MALFORMED,
    VERDICT_CANNOT_JUDGE /* no secret loaded: 503, never 4xx */
};
const char *verdict_name(enum verdict v); /* ok bad_signature expired missing_header malformed cannot_judge */
bool verdict_parse(struct span text, enum verdict *ret);

struct verify_secret { /* an active secret, as text */
    struct span text;
    uint64_t retire_at_us; /* 0: never; after it the secret no longer verifies */
};
struct verifier;
/* From a configured source: reads its secrets; one that cannot be read is a warning in *ret_warnings (may be NULL), not a
 * failure. `more` are held beside them. */
bool verifier_new(const struct source_config *s, const struct verify_secret *more, size_t n_more, struct verifier **ret,
                  struct buf *ret_warnings, struct err *err);
/* From a manifest and given secrets (sluice verify, tests). only_scheme NULL: all of the manifest's. `config` pairs are
 * copied. */
bool verifier_of(const struct manifest *m, const struct verify_secret *secrets, size_t n_secrets,
                 const struct scope_pair *config, size_t n_config, const char *only_scheme, struct verifier **ret,
                 struct err *err);
void verifier_free(struct verifier **v);

struct verify_step { /* for `sluice verify`: what was looked at, in order */
    bool ok;
    char text[256]; /* never a secret */
    size_t ids_at;  /* where in it the ids of the secrets that were tried begin, "id, id"; 0: none are listed */
};
#define VERIFY_STEPS_MAX 24
struct verify_result {
    enum verdict verdict;
    const char *scheme;             /* NULL unless ok or the one that failed last */
    char secret[SECRET_ID_MAX];     /* the id that matched */
    size_t secret_index;            /* place among the verifier's secrets; meant only when ok */
    uint64_t time_us;               /* the provider's time where the scheme has one, else 0 */
    struct verify_step *steps;      /* the caller's array of VERIFY_STEPS_MAX, or NULL: not wanted */
    size_t n_steps;
};
struct verify_scratch; /* reused buffers of one thread */
struct verify_scratch *verify_scratch_new(void);
void verify_scratch_free(struct verify_scratch **s);
/* tolerance_us UINT64_MAX: the manifest's. public_url: for schemes that sign it, may be empty. */
enum verdict verify_request(const struct verifier *v, const struct http_message *m, uint64_t now_us, uint64_t tolerance_us,
                            struct span public_url, struct verify_scratch *scratch, struct verify_result *ret);
/* The headers that a provider would send with this body now: appended to out as "Name: value\n" lines (sluice send, tests).
 * public_url: for schemes that sign it, may be empty. */
bool verify_sign(const struct verifier *v, struct span public_url, struct span body, struct span event_id, uint64_t now_us,
                 struct buf *out, struct err *err);
size_t verifier_secrets(const struct verifier *v); /* how many are loaded */
/* The id of the i-th, and when it retires (0: never). */
const char *verifier_secret(const struct verifier *v, size_t i, uint64_t *ret_retire_at_us);
/* The text of the i-th, for whoever answers handshakes; empty when there is none. Borrows. */
struct span verifier_secret_text(const struct verifier *v, size_t i);
bool verifier_holds(const struct verifier *v, struct span secret); /* constant time in the content */
/* Whether there is a scheme with a key that is not retired: without one every verdict is cannot_judge. */
bool verifier_can_judge(const struct verifier *v, uint64_t now_us);
