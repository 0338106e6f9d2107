/* An https server of its own certificate on a free port: it counts what it is asked and answers what it is told to. */
#pragma once
#include <arpa/inet.h>
#include <check.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct tls_world {
    SSL_CTX *ctx;
    int fd;
    uint16_t port;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint asked;
    char first[512]; /* the first request's line; read it when asked is 1 or more */
    const char *answer;
};

static inline void tls_certificate(struct tls_world *t, const char *host, const char *pem)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    char san[300];
    snprintf(san, sizeof san, "DNS:%s", host);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_set_pubkey(x, key);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    ck_assert(X509_sign(x, key, EVP_sha256()) > 0);
    FILE *f = fopen(pem, "w");
    ck_assert(f && PEM_write_X509(f, x));
    fclose(f);
    t->ctx = SSL_CTX_new(TLS_server_method());
    ck_assert(SSL_CTX_use_certificate(t->ctx, x) == 1 && SSL_CTX_use_PrivateKey(t->ctx, key) == 1);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline void tls_serve(struct tls_world *t, int fd)
{
    char text[4096];
    size_t n = 0;
    SSL *ssl = SSL_new(t->ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        text[0] = 0;
        while (n + 1 < sizeof text && !strstr(text, "\r\n\r\n")) {
            int got = SSL_read(ssl, text + n, (int)(sizeof text - n - 1));
            if (got <= 0)
                break;
            n += (size_t)got;
            text[n] = 0;
        }
        if (n && atomic_load(&t->asked) == 0)
            snprintf(t->first, sizeof t->first, "%.*s", (int)strcspn(text, "\r\n"), text);
        SSL_write(ssl, t->answer, (int)strlen(t->answer));
        SSL_shutdown(ssl);
        atomic_fetch_add(&t->asked, 1);
    }
    SSL_free(ssl);
    close(fd);
}

static inline void *tls_loop(void *ctx)
{
    struct tls_world *t = ctx;
    while (!atomic_load(&t->stop)) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        if (poll(&p, 1, 50) == 1) {
            int fd = accept(t->fd, NULL, NULL);
            if (fd >= 0)
                tls_serve(t, fd);
        }
    }
    return NULL;
}

static inline void tls_start(struct tls_world *t, const char *host, const char *pem, const char *answer)
{
    memset(t, 0, sizeof *t);
    signal(SIGPIPE, SIG_IGN); /* as the program does: a client that does not like the certificate is gone */
    tls_certificate(t, host, pem);
    t->answer = answer;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    t->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(bind(t->fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(t->fd, 8) == 0);
    ck_assert_int_eq(getsockname(t->fd, (struct sockaddr *)&at, &n), 0);
    t->port = ntohs(at.sin_port);
    ck_assert_int_eq(pthread_create(&t->thread, NULL, tls_loop, t), 0);
}

static inline void tls_stop(struct tls_world *t)
{
    atomic_store(&t->stop, true);
    pthread_join(t->thread, NULL);
    close(t->fd);
    SSL_CTX_free(t->ctx);
}
