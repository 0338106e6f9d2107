/* bare_http: the ceiling of the HTTP side: libmicrohttpd started as server/server.c starts it, reading each body and
 * answering 200 "ok" at once. Nothing is verified, copied or stored. Prints "listening PORT"; SIGTERM or SIGINT ends it. */
#include "bench/measure.h"
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
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
    (void)ctx;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    if (!*request) {
        *request = &begun;
        return MHD_YES;
    }
    if (*size) {
        *size = 0;
        return MHD_YES;
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(sizeof ok - 1, ok, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
    enum MHD_Result result = MHD_queue_response(c, 200, response);
    MHD_destroy_response(response);
    return result;
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
    const struct bench_option options[] = {
        {"port", NULL, &port, NULL, "on 127.0.0.1; 0: any free one (0)"},
        {"threads", NULL, &workers, NULL, "epoll workers; 0: as many as cores, at most 4 (0)"},
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
    int fd = listen_on(port, &bound);
    struct MHD_OptionItem pool[] = {
        {workers > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t)workers, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    errno = 0;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, answer, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
    if (!daemon)
        die("cannot start libmicrohttpd");
    printf("listening %u\n", bound);
    fflush(stdout);
    sigwait(&stop, &caught);
    MHD_stop_daemon(daemon);
    return 0;
}
