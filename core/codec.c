#include "core/codec.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* by what the processor has: the build is for any */
#else
#include <xxhash.h>
#endif

/* A refused text leaves nothing behind. */
static bool refuse(struct buf *out, size_t n_before)
{
    if (out->n > n_before) {
        out->n = n_before;
        out->p[n_before] = 0;
    }
    return false;
}

static const char hex_digits[] = "0123456789abcdef";

void hex_encode(struct buf *out, struct span in)
{
    if (!buf_reserve(out, in.n * 2))
        return;
    char *p = out->p + out->n;
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        *p++ = hex_digits[c >> 4];
        *p++ = hex_digits[c & 15];
    }
    *p = 0;
    out->n += in.n * 2;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(struct buf *out, struct span in)
{
    size_t before = out->n;
    if (in.n % 2 || !buf_reserve(out, in.n / 2))
        return false;
    for (size_t i = 0; i < in.n; i += 2) {
        int hi = hex_value(in.p[i]), lo = hex_value(in.p[i + 1]);
        if (hi < 0 || lo < 0)
            return refuse(out, before);
        out->p[out->n++] = (char)(hi << 4 | lo);
    }
    out->p[out->n] = 0;
    return true;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct span in)
{
    if (!buf_reserve(out, (in.n + 2) / 3 * 4))
        return;
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        uint32_t v = (uint32_t)(unsigned char)in.p[i] << 16;
        if (left > 1)
            v |= (uint32_t)(unsigned char)in.p[i + 1] << 8;
        if (left > 2)
            v |= (unsigned char)in.p[i + 2];
        char four[4] = {base64_digits[v >> 18], base64_digits[v >> 12 & 63], left > 1 ? base64_digits[v >> 6 & 63] : '=',
                        left > 2 ? base64_digits[v & 63] : '='};
        buf_add(out, four, 4);
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct buf *out, struct span in)
{
    size_t before = out->n;
    if (in.n % 4)
        return false;
    for (size_t i = 0; i < in.n; i += 4) {
        const char *p = in.p + i;
        bool last = i + 4 == in.n;
        int pad = last && p[3] == '=' ? (p[2] == '=' ? 2 : 1) : 0;
        int v[4];
        for (int k = 0; k < 4; k++) {
            v[k] = k >= 4 - pad ? 0 : base64_value(p[k]);
            if (v[k] < 0)
                return refuse(out, before);
        }
        uint32_t bits = (uint32_t)v[0] << 18 | (uint32_t)v[1] << 12 | (uint32_t)v[2] << 6 | (uint32_t)v[3];
        if ((pad == 1 && (bits & 0xff)) || (pad == 2 && (bits & 0xffff)))
            return refuse(out, before);
        buf_add_u8(out, (uint8_t)(bits >> 16));
        if (pad < 2)
            buf_add_u8(out, (uint8_t)(bits >> 8));
        if (pad < 1)
            buf_add_u8(out, (uint8_t)bits);
    }
    return buf_ok(out);
}

static bool unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

void percent_encode(struct buf *out, struct span in)
{
    for (size_t i = 0; i < in.n; i++) {
        if (unreserved(in.p[i]))
            buf_addc(out, in.p[i]);
        else
            buf_addf(out, "%%%02X", (unsigned char)in.p[i]);
    }
}

bool percent_decode(struct buf *out, struct span in, bool plus_is_space)
{
    size_t before = out->n;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] == '%') {
            if (in.n - i < 3)
                return refuse(out, before);
            int hi = hex_value(in.p[i + 1]), lo = hex_value(in.p[i + 2]);
            if (hi < 0 || lo < 0)
                return refuse(out, before);
            buf_add_u8(out, (uint8_t)(hi << 4 | lo));
            i += 2;
        } else {
            buf_addc(out, in.p[i] == '+' && plus_is_space ? ' ' : in.p[i]);
        }
    }
    return buf_ok(out);
}

void sha256(struct span in, unsigned char out[32])
{
    unsigned n = 32;
    /* It fails only without memory or without the algorithm: no digest to go on with. */
    if (!EVP_Digest(in.p ? in.p : "", in.n, out, &n, EVP_sha256(), NULL))
        abort();
}

void sha1(struct span in, unsigned char out[20])
{
    unsigned n = 20;
    if (!EVP_Digest(in.p ? in.p : "", in.n, out, &n, EVP_sha1(), NULL))
        abort();
}

size_t hmac(enum hmac_digest digest, struct span key, struct span in, unsigned char out[HMAC_BYTES_MAX])
{
    const EVP_MD *md = digest == HMAC_SHA1 ? EVP_sha1() : digest == HMAC_SHA256 ? EVP_sha256() : EVP_sha512();
    unsigned n = 0;
    if (!HMAC(md, key.n ? key.p : "", (int)key.n, (const unsigned char *)(in.n ? in.p : ""), in.n, out, &n))
        abort();
    return n;
}

uint64_t hash64(struct span in)
{
    return XXH3_64bits(in.p ? in.p : "", in.n);
}

uint64_t hash64_seeded(struct span in, uint64_t seed)
{
    return XXH3_64bits_withSeed(in.n ? in.p : "", in.n, seed);
}

struct hash128 hash128(struct span in)
{
    XXH128_hash_t h = XXH3_128bits(in.p ? in.p : "", in.n);
    return (struct hash128){h.low64, h.high64};
}

bool ct_equal(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}
