/* hmac_loop: OpenSSL's HMAC-SHA256 alone over the bodies, on one core: what verification cannot be cheaper than. Prints JSON. */
#include "bench/measure.h"
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdio.h>

static EVP_MAC_CTX *keyed(void)
{
    static const unsigned char key[] = "It's a Secret to Everybody";
    static char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (!c || !EVP_MAC_init(c, key, sizeof key - 1, params))
        die("OpenSSL has no HMAC-SHA256");
    return c;
}

int main(int argc, char **argv)
{
    const char *file = NULL;
    uint64_t ms = 1000;
    const struct bench_option options[] = {
        {"requests", &file, NULL, NULL, "file of requests"},
        {"ms", NULL, &ms, NULL, "how long (1000)"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    bench_options(argc, argv, "HMAC-SHA256 over the bodies", options);
    if (!file || !ms) {
        fprintf(stderr, "hmac_loop: --requests FILE is needed, --ms must not be 0 (--help)\n");
        return 2;
    }
    struct requests r;
    requests_load(file, &r);
    EVP_MAC_CTX *key = keyed();
    uint64_t begin = now_ns(), over = begin, n = 0, bytes = 0;
    unsigned sum = 0; /* so that nothing can be left out */
    while (over - begin < ms * 1000000) {
        for (size_t i = 0; i < r.n; i++) {
            const struct bench_request *q = &r.list[i];
            unsigned char out[32];
            size_t size = 0;
            EVP_MAC_CTX *c = EVP_MAC_CTX_dup(key);
            if (!c || !EVP_MAC_update(c, (const unsigned char *)q->p + q->body, q->n - q->body) ||
                !EVP_MAC_final(c, out, &size, sizeof out))
                die("HMAC failed");
            EVP_MAC_CTX_free(c);
            sum += out[0];
            bytes += q->n - q->body;
        }
        n += r.n;
        over = now_ns();
    }
    double seconds = (double)(over - begin) / 1e9;
    printf("{\"macs\": %llu, \"seconds\": %.4f, \"per_second\": %.1f, \"ns_each\": %.1f, "
           "\"bytes_per_second\": %.0f, \"sum\": %u}\n", (unsigned long long)n, seconds, (double)n / seconds, seconds * 1e9 / (double)n, (double)bytes / seconds, sum);
    EVP_MAC_CTX_free(key);
    requests_free(&r);
    return 0;
}
