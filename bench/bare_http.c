/* bare_http: the ceiling of the HTTP side: libmicrohttpd started as server/server.c starts it, reading each body and
 * answering 200 "ok" at once. Nothing is copied or stored. With --hmac it also takes the HMAC-SHA256 of each body, but
 * compares it with nothing: what no verifying server can be cheaper than. Prints "listening PORT"; SIGTERM or SIGINT ends it. */
#include "bench/measure.h"
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024
#define CONNECTIONS 4096
#define IDLE_S 30
#define MEMORY ((size_t)40 << 10)

static enum MHD_Result answer(void *ctx, struct MHD_Connection *c, const char *url, const char *method, const char *version,
                              const char *data, size_t *size, void **request)
{
    static char begun;
    static char ok[] = "ok\n";
    const EVP_MAC_CTX *key = ctx;
    unsigned char mac[32];
    size_t mac_n;
    (void)url;
    (void)method;
    (void)version;
    if (!*request) {
        *request = key ? (void *)EVP_MAC_CTX_dup(key) : &begun;
        return *request ? MHD_YES : MHD_NO;
    }
    if (*size) {
        bool ok_so_far = !key || EVP_MAC_update(*request, (const unsigned char *)data, *size);
        *size = 0;
        return ok_so_far ? MHD_YES : MHD_NO;
    }
    if (key && !EVP_MAC_final(*request, mac, &mac_n, sizeof mac))
        return MHD_NO;
    struct MHD_Response *response = MHD_create_response_from_buffer(sizeof ok - 1, ok, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
    enum MHD_Result result = MHD_queue_response(c, 200, response);
    MHD_destroy_response(response);
    return result;
}

static void end(void *ctx, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode code)
{
    (void)c;
    (void)code;
    if (ctx)
        EVP_MAC_CTX_free(*request);
    *request = NULL;
}

static EVP_MAC_CTX *keyed(void)
{
    static const unsigned char key[] = "a key as long as they are: 32 b.";
    static char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (!c || !EVP_MAC_init(c, key, sizeof key - 1, params))
        die("OpenSSL has no HMAC-SHA256");
    return c;
}

static int listen_on(uint64_t port, unsigned *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t n = sizeof at;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) != 0)
        die("cannot listen on port %u", (unsigned)port);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

int main(int argc, char **argv)
{
    uint64_t port = 0, workers = 0;
    unsigned bound;
    bool hmac = false;
    const struct bench_option options[] = {
        {"port", NULL, &port, NULL, "on 127.0.0.1; 0: any free one (0)"},
        {"threads", NULL, &workers, NULL, "epoll workers; 0: as many as cores, at most 4 (0)"},
        {"hmac", NULL, NULL, &hmac, "takes the HMAC-SHA256 of each body, too"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    bench_options(argc, argv, "a bare libmicrohttpd that answers 200 to everything", options);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!workers)
        workers = cores > 4 ? 4 : cores < 1 ? 1 : (uint64_t)cores;
    sigset_t stop;
    int caught;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    EVP_MAC_CTX *key = hmac ? keyed() : NULL;
    int fd = listen_on(port, &bound);
    struct MHD_OptionItem pool[] = {
        {workers > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t)workers, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    errno = 0;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, answer, key, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, end, key, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
    if (!daemon)
        die("cannot start libmicrohttpd");
    printf("listening %u\n", bound);
    fflush(stdout);
    sigwait(&stop, &caught);
    MHD_stop_daemon(daemon);
    EVP_MAC_CTX_free(key);
    return 0;
}
