/* codec: hex, base64, percent-encoding, digests, integers. Strict decoders: any other byte is a refusal, and a
 * refused text adds nothing to `out`.
 * Threads: pure functions. */
#pragma once
#include "core/buf.h"
#include <endian.h>
#include <stdint.h>
#include <string.h>

void hex_encode(struct buf *out, struct span in);                  /* lower case */
bool hex_decode(struct buf *out, struct span in);                  /* both cases; even length */
void base64_encode(struct buf *out, struct span in);               /* RFC 4648 section 4, padded */
bool base64_decode(struct buf *out, struct span in);               /* section 4, padding required, no spaces,
                                                                      unused bits must be zero */
void percent_encode(struct buf *out, struct span in);              /* all but RFC 3986 unreserved */
bool percent_decode(struct buf *out, struct span in, bool plus_is_space); /* false: bad escape */

void sha256(struct span in, unsigned char out[32]);
void sha1(struct span in, unsigned char out[20]);
enum hmac_digest { HMAC_SHA1, HMAC_SHA256, HMAC_SHA512 };
#define HMAC_BYTES_MAX 64
size_t hmac(enum hmac_digest digest, struct span key, struct span in, unsigned char out[HMAC_BYTES_MAX]); /* its length */
uint64_t hash64_seeded(struct span in, uint64_t seed);
uint64_t hash64(struct span in);                                   /* XXH3, seed 0: stable across versions */
struct hash128 {
    uint64_t lo, hi;
};
struct hash128 hash128(struct span in);                            /* XXH3 128 */
bool ct_equal(struct span a, struct span b);                       /* constant time in the content; lengths may show */

/* An unsigned integer of n <= 8 bytes, little-endian. */
static inline uint64_t get_le(const char *p, size_t n)
{
    uint64_t v = 0;
    memcpy(&v, p, n);
    return le64toh(v);
}
