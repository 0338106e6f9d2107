#include "http/tls.h"
#include "config/config.h"
#include "core/io.h"
#include "core/log.h"
#include "core/mem.h"
#include <pthread.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CERT_BYTES_MAX ((size_t)1 << 20)

struct stamp { /* of both files: another one, other content */
    struct {
        uint64_t there, device, inode, bytes, changed_s, changed_ns, modified_s, modified_ns; /* no gaps: compared as bytes */
    } file[2];
};
struct tls {
    const char *cert_file, *key_file;
    pthread_mutex_t lock;
    SSL_CTX *current;         /* guarded by lock; sessions hold it by its own count */
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

/* A key with a password is refused; without this the terminal would be asked for it. */
static int no_password(char *out, int size, int writing, void *ctx)
{
    (void)out, (void)size, (void)writing, (void)ctx;
    return -1;
}

static bool use_chain(SSL_CTX *ctx, struct span pem)
{
    BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *own = in ? PEM_read_bio_X509(in, NULL, no_password, NULL) : NULL, *next;
    bool ok = own && SSL_CTX_use_certificate(ctx, own) == 1;
    while (ok && (next = PEM_read_bio_X509(in, NULL, no_password, NULL))) {
        ok = SSL_CTX_add0_chain_cert(ctx, next) == 1;
        if (!ok)
            X509_free(next);
    }
    X509_free(own);
    BIO_free(in);
    if (ok)
        ERR_clear_error(); /* the end of the file is told as an error */
    return ok;
}

static bool use_key(SSL_CTX *ctx, struct span pem)
{
    BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_password, NULL) : NULL;
    bool ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(in);
    return ok;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n,
                           void *ctx)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *found;
    (void)ssl, (void)ctx;
    int rc = SSL_select_next_proto(&found, out_n, ours, sizeof ours - 1, in, in_n);
    *out = found;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_up(SSL_CTX *ctx)
{
    static const unsigned char id[] = "sluice";
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* sessions are resumed by tickets, which peers keep */
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
}

static SSL_CTX *fit(const struct tls *t, struct span cert, struct span key, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ERR_clear_error();
    if (ctx && use_chain(ctx, cert) && use_key(ctx, key)) {
        set_up(ctx);
        return ctx;
    }
    unsigned long code = ERR_peek_last_error();
    const char *why = code ? ERR_reason_error_string(code) : NULL;
    (void)err_set(err, ERR_CONFIG, "tls: %s and %s are no certificate with its key: %s", t->cert_file, t->key_file,
                  why ? why : "they cannot be read");
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return NULL;
}

static SSL_CTX *pair_read(const struct tls *t, struct err *err)
{
    const struct secret_ref ref = {.kind = SECRET_FILE, .at = t->key_file};
    char *cert = NULL, *key = NULL;
    size_t cert_n = 0, key_n = 0;
    SSL_CTX *pair = NULL;
    if (io_read_file(io_posix(), t->cert_file, CERT_BYTES_MAX, &cert, &cert_n, err) && secret_read(&ref, &key, &key_n, err))
        pair = fit(t, span_make(cert, cert_n), span_make(key, key_n), err);
    if (!pair)
        err->cls = ERR_CONFIG;
    secret_free(&key, key_n);
    free(cert);
    return pair;
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
    SSL_CTX_free(t->current);
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
    SSL_CTX *fresh = pair_read(t, &err);
    if (!fresh) {
        log_warn("the replaced certificate is not taken up; the one before stays", "error=\"%s\"", err.msg);
        return;
    }
    pthread_mutex_lock(&t->lock);
    SSL_CTX *before = t->current;
    t->current = fresh;
    pthread_mutex_unlock(&t->lock);
    SSL_CTX_free(before);
    log_info("the replaced certificate is in use", "file=\"%s\"", t->cert_file);
}

/* ---- sessions ---- */

SSL *tls_session(struct tls *t, int fd)
{
    pthread_mutex_lock(&t->lock);
    SSL *ssl = SSL_new(t->current);
    pthread_mutex_unlock(&t->lock);
    if (ssl && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}
