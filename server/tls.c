#include "server/tls.h"
#include "config/config.h"
#include "core/log.h"
#include "core/mem.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CERT_BYTES_MAX ((size_t)1 << 20)

struct tls_pair {
    gnutls_certificate_credentials_t credentials;
    size_t users; /* guarded by tls.lock; the current one has one for being it */
};
struct stamp { /* of both files: another one, other content */
    struct {
        uint64_t there, device, inode, bytes, changed_s, changed_ns, modified_s, modified_ns; /* no gaps: compared as bytes */
    } file[2];
};
struct tls {
    const char *cert_file, *key_file;
    pthread_mutex_t lock;
    struct tls_pair *current; /* guarded by lock */
    struct stamp tried;       /* the watching thread's: what was read last, with or without success */
    struct stamp seen;        /* the watching thread's: at the last look */
};

/* ---- the files ---- */

static struct stamp stamp_of(const struct tls *t)
{
    const char *const paths[2] = {t->cert_file, t->key_file};
    struct stamp s = {0};
    for (size_t i = 0; i < 2; i++) {
        struct stat st;
        if (stat(paths[i], &st) != 0)
            continue;
        s.file[i].there = 1;
        s.file[i].device = st.st_dev;
        s.file[i].inode = st.st_ino;
        s.file[i].bytes = (uint64_t)st.st_size;
        s.file[i].changed_s = (uint64_t)st.st_ctim.tv_sec;
        s.file[i].changed_ns = (uint64_t)st.st_ctim.tv_nsec;
        s.file[i].modified_s = (uint64_t)st.st_mtim.tv_sec;
        s.file[i].modified_ns = (uint64_t)st.st_mtim.tv_nsec;
    }
    return s;
}

static void pair_free(struct tls_pair *p)
{
    if (!p)
        return;
    if (p->credentials)
        gnutls_certificate_free_credentials(p->credentials);
    free(p);
}

static bool fit(const struct tls *t, struct tls_pair *p, struct span cert, struct span key, struct err *err)
{
    gnutls_datum_t c = {(unsigned char *)(uintptr_t)cert.p, (unsigned)cert.n};
    gnutls_datum_t k = {(unsigned char *)(uintptr_t)key.p, (unsigned)key.n};
    int rc = gnutls_certificate_allocate_credentials(&p->credentials);
    if (rc == GNUTLS_E_SUCCESS)
        rc = gnutls_certificate_set_x509_key_mem2(p->credentials, &c, &k, GNUTLS_X509_FMT_PEM, NULL, 0);
    return rc >= 0 || err_set(err, ERR_CONFIG, "tls: %s and %s are no certificate with its key: %s", t->cert_file, t->key_file,
                              gnutls_strerror(rc));
}

static struct tls_pair *pair_read(const struct tls *t, struct err *err)
{
    const struct secret_ref ref = {.kind = SECRET_FILE, .at = t->key_file};
    char *cert = NULL, *key = NULL;
    size_t cert_n = 0, key_n = 0;
    struct tls_pair *p = mem_alloc(sizeof *p);
    p->users = 1;
    bool ok = io_read_file(io_posix(), t->cert_file, CERT_BYTES_MAX, &cert, &cert_n, err) &&
              secret_read(&ref, &key, &key_n, err) &&
              fit(t, p, span_make(cert, cert_n), span_make(key, key_n), err);
    if (!ok) {
        err->cls = ERR_CONFIG;
        pair_free(p);
        p = NULL;
    }
    secret_free(&key, key_n);
    free(cert);
    return p;
}

/* ---- its life ---- */

bool tls_open(const char *cert_file, const char *key_file, struct tls **ret, struct err *err)
{
    struct tls *t = mem_alloc(sizeof *t);
    t->cert_file = cert_file;
    t->key_file = key_file;
    t->tried = t->seen = stamp_of(t);
    pthread_mutex_init(&t->lock, NULL);
    t->current = pair_read(t, err);
    if (!t->current) {
        tls_free(&t);
        return false;
    }
    *ret = t;
    return true;
}

void tls_free(struct tls **at)
{
    struct tls *t = *at;
    if (!t)
        return;
    pair_free(t->current);
    pthread_mutex_destroy(&t->lock);
    free(t);
    *at = NULL;
}

void tls_watch(struct tls *t)
{
    struct stamp now = stamp_of(t);
    bool still = memcmp(&now, &t->seen, sizeof now) == 0; /* else one of the two may be on its way */
    struct err err = {0};
    t->seen = now;
    if (!still || memcmp(&now, &t->tried, sizeof now) == 0)
        return;
    t->tried = now;
    struct tls_pair *fresh = pair_read(t, &err);
    if (!fresh) {
        log_warn("the replaced certificate is not taken up; the one before stays", "error=\"%s\"", err.msg);
        return;
    }
    pthread_mutex_lock(&t->lock);
    struct tls_pair *before = t->current;
    t->current = fresh;
    pthread_mutex_unlock(&t->lock);
    tls_give(t, &before);
    log_info("the replaced certificate is in use", "file=\"%s\"", t->cert_file);
}

/* ---- sessions ---- */

struct tls_pair *tls_take(struct tls *t, gnutls_session_t session)
{
    pthread_mutex_lock(&t->lock);
    struct tls_pair *p = t->current;
    p->users++;
    pthread_mutex_unlock(&t->lock);
    if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, p->credentials) != GNUTLS_E_SUCCESS)
        tls_give(t, &p);
    return p;
}

void tls_give(struct tls *t, struct tls_pair **pair)
{
    struct tls_pair *p = *pair;
    *pair = NULL;
    if (!p)
        return;
    pthread_mutex_lock(&t->lock);
    bool last = --p->users == 0;
    pthread_mutex_unlock(&t->lock);
    if (last)
        pair_free(p);
}
