/* Keys out of secrets. A secret may fit some schemes of a manifest and not others: whsec_… is a shared key, whpk_… a public one.
 * Telling them apart must be strict: a public key that were taken as a shared one would let anybody sign. */
#include "server/verify_internal.h"
#include "core/codec.h"
#include "core/mem.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

size_t digest_bytes(enum algorithm a)
{
    switch (a) {
    case ALG_HMAC_SHA1:
        return 20;
    case ALG_HMAC_SHA256:
        return 32;
    case ALG_HMAC_SHA512:
    case ALG_ED25519:
        return 64;
    default:
        return 0;
    }
}

bool key_is_active(const struct verifier *v, const struct verify_key *k, uint64_t now_us)
{
    uint64_t retire = v->secrets[k->secret].retire_at_us;
    return retire == 0 || now_us < retire;
}

static bool has_prefix(struct span text, const char *prefix)
{
    return prefix && prefix[0] && span_starts(text, span_of(prefix));
}

static bool is_public(const struct scheme *s)
{
    return s->algorithm == ALG_ED25519;
}

/* Whether the secret's text says that it is meant for another scheme of this manifest. */
static bool belongs_elsewhere(const struct manifest *m, const struct scheme *s, struct span text)
{
    if (has_prefix(text, s->key.strip))
        return false;
    for (size_t i = 0; i < m->n_schemes; i++) {
        const struct scheme *other = &m->schemes[i];
        if (is_public(other) != is_public(s) && has_prefix(text, other->key.strip))
            return true;
    }
    return false;
}

/* A manifest with shared and public keys, and a text that could be either. */
static bool is_ambiguous(const struct manifest *m, const struct scheme *s, struct span text, size_t key_bytes)
{
    bool mixed = false;
    for (size_t i = 0; i < m->n_schemes; i++)
        mixed = mixed || is_public(&m->schemes[i]) != is_public(s);
    return mixed && s->key.strip && !has_prefix(text, s->key.strip) && (is_public(s) || key_bytes == 32);
}

static bool key_bytes(const struct scheme *s, struct span text, struct buf *out)
{
    if (has_prefix(text, s->key.strip))
        text = span_skip(text, strlen(s->key.strip));
    switch (s->key.encoding) {
    case ENC_HEX:
        return hex_decode(out, text) && out->n > 0;
    case ENC_BASE64:
        return base64_decode(out, text) && out->n > 0;
    default:
        buf_adds(out, text);
        return buf_ok(out) && out->n > 0;
    }
}

static EVP_MAC_CTX *mac_new(enum algorithm a, struct span key)
{
    const char *digest = a == ALG_HMAC_SHA1 ? "SHA1" : a == ALG_HMAC_SHA512 ? "SHA512" : "SHA256";
    char name[8];
    memcpy(name, digest, strlen(digest) + 1);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (c && !EVP_MAC_init(c, (const unsigned char *)key.p, key.n, params)) {
        EVP_MAC_CTX_free(c);
        return NULL;
    }
    return c;
}

/* false: the library failed. *ret_fits false: the bytes are no key of this algorithm. */
static bool key_make(const struct scheme *s, struct span bytes, struct verify_key *key, bool *ret_fits)
{
    *ret_fits = true;
    switch (s->algorithm) {
    case ALG_ED25519:
        *ret_fits = bytes.n == 32;
        if (*ret_fits)
            key->public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.p, 32);
        return !*ret_fits || key->public_key;
    case ALG_TOKEN:
    case ALG_BASIC:
        sha256(bytes, key->token);
        return true;
    default:
        key->mac = mac_new(s->algorithm, bytes);
        return key->mac != NULL;
    }
}

static void warn(struct buf *warnings, const struct verifier *v, const struct held_secret *secret, const struct scheme *s,
                 const char *why)
{
    if (warnings)
        buf_addf(warnings, "%s: secret %s cannot be used for %s: %s\n", v->manifest->name, secret->id, s->name, why);
}

static void form_words(const struct scheme *s, char out[160])
{
    static const char *const encodings[] = {"hex digits", "base64", "text"};
    snprintf(out, 160, "it is not %s%s%s%s", encodings[s->key.encoding], s->algorithm == ALG_ED25519 ? " of 32 bytes" : "",
             s->key.strip ? " after " : "", s->key.strip ? s->key.strip : "");
}

bool keys_make(struct verifier *v, struct verify_scheme *s, struct buf *warnings, struct err *err)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 16);
    s->keys = mem_alloc((v->n_secrets + 1) * sizeof *s->keys);
    bool ok = true;
    for (size_t i = 0; ok && i < v->n_secrets; i++) {
        const struct held_secret *secret = &v->secrets[i];
        struct span text = {secret->text, secret->n};
        struct verify_key key = {.secret = i};
        bool fits = false;
        char why[160];
        if (belongs_elsewhere(v->manifest, s->rule, text))
            continue;
        buf_clear(&bytes);
        if (key_bytes(s->rule, text, &bytes) && !is_ambiguous(v->manifest, s->rule, text, bytes.n))
            ok = key_make(s->rule, buf_span(&bytes), &key, &fits);
        if (ok && fits) {
            s->keys[s->n_keys++] = key;
        } else if (ok && !is_public(s->rule)) {
            bool unclear = buf_ok(&bytes) && is_ambiguous(v->manifest, s->rule, text, bytes.n);
            form_words(s->rule, why);
            warn(warnings, v, secret, s->rule,
                 unclear ? "it could as well be a public key; write it with the prefix that the provider shows" : why);
        } else if (ok && has_prefix(text, s->rule->key.strip)) {
            form_words(s->rule, why);
            warn(warnings, v, secret, s->rule, why);
        }
    }
    if (bytes.p)
        OPENSSL_cleanse(bytes.p, bytes.cap);
    buf_release(&bytes);
    return ok || err_set(err, ERR_BUG, "the cryptographic library refused a key of %s", s->rule->name);
}

void keys_free(struct verify_scheme *s)
{
    for (size_t i = 0; i < s->n_keys; i++) {
        EVP_MAC_CTX_free(s->keys[i].mac);
        EVP_PKEY_free(s->keys[i].public_key);
        OPENSSL_cleanse(s->keys[i].token, sizeof s->keys[i].token);
    }
    free(s->keys);
    s->keys = NULL;
    s->n_keys = 0;
}
