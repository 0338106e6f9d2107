#include "cli/certificate.h"
#include "core/clock.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>

static bool end_of(const X509 *certificate, uint64_t *ret_us)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm))
        return false;
    time_t at = timegm(&tm);
    *ret_us = at > 0 ? (uint64_t)at * 1000000 : 0;
    return true;
}

bool certificate_ends(const char *file, uint64_t *ret_us, struct err *err)
{
    FILE *f = fopen(file, "re");
    if (!f)
        return err_sys(err, ERR_CONFIG, "tls.cert: cannot read %s", file);
    X509 *certificate;
    bool any = false, ok = true;
    *ret_us = UINT64_MAX;
    while (ok && (certificate = PEM_read_X509(f, NULL, NULL, NULL))) {
        uint64_t end;
        ok = end_of(certificate, &end);
        *ret_us = ok && end < *ret_us ? end : *ret_us;
        any = true;
        X509_free(certificate);
    }
    ERR_clear_error(); /* the end of the file is one */
    fclose(f);
    return (ok && any) || err_set(err, ERR_CONFIG, "tls.cert: %s holds no certificate whose end could be read", file);
}

bool certificate_warning(const char *file, uint64_t now_us, char *out, size_t n)
{
    uint64_t end;
    struct err err = {0};
    char at[CLOCK_TEXT_MAX];
    if (!certificate_ends(file, &end, &err)) {
        snprintf(out, n, "%s", err.msg);
        return true;
    }
    if (end > now_us + CERTIFICATE_SOON_US)
        return false;
    clock_iso_us(end, at);
    if (end <= now_us)
        snprintf(out, n, "the certificate of tls.cert has expired, at %s: no provider delivers any more", at);
    else
        snprintf(out, n, "the certificate of tls.cert expires in %llu h, at %s",
                 (unsigned long long)((end - now_us) / 3600000000), at);
    return true;
}
