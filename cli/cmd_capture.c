/* capture: takes one request on a port of its own and keeps it as a file for verify. No part of it reaches a journal.
 *
 * The library's one thread gathers bodies, writes the file when the first request is whole, and answers it 200; whoever comes
 * beside it is answered 503. The command's thread waits for the end of that answer, the time, or Ctrl-C. */
#include "cli/registry.h"
#include "core/clock.h"
#include "core/wait.h"
#include "server/record.h"
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_MAX ((size_t)26 << 20)
#define HEAD_MAX ((size_t)128 << 10)
#define CONNECTIONS_MAX 8u
#define IDLE_S 30u
#define NAMES_MAX 9999
#define PATH_BYTES 4096
#define LOOK_US UINT64_C(100000)
#define TIMEOUT_MAX_US (UINT64_C(7) * 86400 * 1000000)
#define DEFAULT_LISTEN "127.0.0.1:8787"

struct capture {
    const struct command_io *io;
    const struct io *world;
    bool json;
    char path[PATH_BYTES];
    int file_fd; /* open and empty until the request is there */
    int listen_fd;
    uint16_t port;
    struct MHD_Daemon *daemon;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    /* The library's thread, until `over` is set: */
    struct arriving *taken; /* the request that is kept, until it is answered */
    bool any, ok;
    struct err err;
    struct buf summary; /* what is printed of it */
    char source[64];    /* of /in/<source>, or "" */
    bool over;          /* guarded by lock: it is answered, too */
};

struct arriving { /* a request */
    char *url;
    struct buf body;
    struct http_header headers[ENTRY_HEADERS_MAX];
    size_t n_headers;
    bool begun, too_many, too_large;
};

/* ---- the file ---- */

/* Opens a file that was not there: NAME.EXT, NAME-2.EXT, … Named and made before the request comes, so that nothing can be
 * wrong with it afterwards. */
static bool make_file(struct capture *c, const char *wanted, struct err *err)
{
    const char *slash = strrchr(wanted, '/'), *dot = strrchr(slash ? slash : wanted, '.');
    int stem = (int)(dot && dot != wanted && dot[-1] != '/' ? (size_t)(dot - wanted) : strlen(wanted));
    for (int i = 1; i <= NAMES_MAX; i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof number, "-%d", i);
        if (snprintf(c->path, sizeof c->path, "%.*s%s%s", stem, wanted, number, wanted + stem) >= (int)sizeof c->path)
            return err_set(err, ERR_CONFIG, "--out is longer than %d bytes", PATH_BYTES);
        c->file_fd = open(c->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (c->file_fd >= 0)
            return true;
        if (errno != EEXIST)
            return err_sys(err, ERR_CONFIG, "cannot make %s", c->path);
    }
    return err_set(err, ERR_CONFIG, "%s and %d more files of that name are there already", wanted, NAMES_MAX - 1);
}

static bool write_file(struct capture *c, const struct http_message *m, struct err *err)
{
    struct buf text;
    buf_init(&text, 0);
    struct record record = {.message = *m, .received_us = c->world->world->now_us(c->world), .outcome = OUT_COUNT};
    record_write(&text, &record);
    buf_addc(&text, '\n');
    bool ok = buf_ok(&text) || err_set(err, ERR_NOMEM, "no memory for the request's %zu bytes", m->body.n);
    ok = ok && (io_write_all(c->world, c->file_fd, text.p, text.n, err) || err_prefix(err, "%s", c->path));
    buf_release(&text);
    return ok;
}

/* ---- what is told of it ---- */

static bool speaks_of(struct span name, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= name.n; i++)
        if (strncasecmp(name.p + i, word, n) == 0)
            return true;
    return false;
}

/* Whether a header's name is one under which signatures, their times or credentials come. */
static bool signature_like(struct span name)
{
    static const char *const words[] = {"signature", "hmac", "digest", "webhook", "timestamp", "token", "authorization", "-sign",
                                        "hash", "secret", "api-key"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (speaks_of(name, words[i]))
            return true;
    return false;
}

static void take_source(struct capture *c, struct span path)
{
    struct span prefix = SPAN_LIT("/in/");
    bool ok = span_starts(path, prefix) && path.n > prefix.n && path.n - prefix.n < sizeof c->source;
    path = span_skip(path, prefix.n);
    for (size_t i = 0; ok && i < path.n; i++)
        ok = (path.p[i] >= 'a' && path.p[i] <= 'z') || (i && ((path.p[i] >= '0' && path.p[i] <= '9') || path.p[i] == '_'));
    snprintf(c->source, sizeof c->source, "%.*s", ok ? (int)path.n : 0, ok ? path.p : "");
}

/* Names and lengths of headers, never values: some are credentials. So may a query be. */
static void summarize(struct capture *c, const struct http_message *m)
{
    struct span query, path = span_cut(m->url, '?', &query);
    struct buf *b = &c->summary;
    char bytes[32];
    take_source(c, path);
    if (c->json) {
        buf_addz(b, "{\"file\":");
        json_write_string(b, span_of(c->path));
        buf_addz(b, ",\"method\":");
        json_write_string(b, m->method);
        buf_addz(b, ",\"path\":");
        json_write_string(b, path);
        buf_addf(b, ",\"headers\":%zu,\"body_bytes\":%zu}\n", m->n_headers, m->body.n);
        return;
    }
    add_visible(b, m->method);
    buf_addc(b, ' ');
    add_visible(b, path);
    buf_addf(b, "%s   %s bytes, %zu headers\n", query.p ? "?…" : "", thousands(m->body.n, bytes), m->n_headers);
    for (size_t i = 0; i < m->n_headers; i++) {
        if (!signature_like(m->headers[i].name))
            continue;
        buf_addz(b, "  ");
        add_visible(b, m->headers[i].name);
        buf_addf(b, " (%zu bytes)\n", m->headers[i].value.n);
    }
}

/* ---- one request ---- */

static void *begin(void *capture, const char *url, struct MHD_Connection *connection)
{
    struct arriving *r = calloc(1, sizeof *r);
    (void)capture;
    (void)connection;
    if (r && !(r->url = strdup(url))) {
        free(r);
        r = NULL;
    }
    if (r)
        buf_init(&r->body, BODY_MAX);
    return r;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result take_header(void *ctx, enum MHD_ValueKind kind, const char *name, size_t name_n, const char *value,
                                   size_t value_n)
{
    struct arriving *r = ctx;
    (void)kind;
    r->too_many = r->n_headers == ENTRY_HEADERS_MAX;
    if (r->too_many)
        return MHD_NO;
    r->headers[r->n_headers++] = (struct http_header){{name, name_n}, {value ? value : "", value ? value_n : 0}};
    return MHD_YES;
}

static enum MHD_Result keep(struct capture *c, struct MHD_Connection *connection, struct arriving *r, const char *method)
{
    if (c->any)
        return answer(connection, 503);
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, take_header, r);
    if (r->too_many)
        return answer(connection, 431);
    struct http_message m = {.method = span_of(method),
                             .url = span_of(r->url),
                             .headers = r->headers,
                             .n_headers = r->n_headers,
                             .body = buf_span(&r->body)};
    c->any = true;
    c->taken = r;
    c->ok = write_file(c, &m, &c->err);
    if (c->ok)
        summarize(c, &m);
    return answer(connection, c->ok ? 200 : 500);
}

static enum MHD_Result step(void *capture, struct MHD_Connection *connection, const char *url, const char *method,
                            const char *version, const char *data, size_t *size, void **request)
{
    struct arriving *r = *request;
    (void)url;
    (void)version;
    if (!r)
        return MHD_NO;
    if (!r->begun) {
        r->begun = true;
        return MHD_YES;
    }
    if (*size == 0)
        return r->too_large ? answer(connection, 413) : keep(capture, connection, r, method);
    if (!r->too_large)
        buf_add(&r->body, data, *size);
    if (!buf_ok(&r->body)) {
        r->too_large = true;
        buf_release(&r->body);
        buf_init(&r->body, BODY_MAX);
    }
    *size = 0;
    return MHD_YES;
}

static void end(void *capture, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode code)
{
    struct capture *c = capture;
    struct arriving *r = *request;
    (void)connection;
    (void)code;
    if (!r)
        return;
    if (c->taken == r) {
        c->taken = NULL;
        pthread_mutex_lock(&c->lock);
        c->over = true;
        pthread_cond_broadcast(&c->ended);
        pthread_mutex_unlock(&c->lock);
    }
    buf_release(&r->body);
    free(r->url);
    free(r);
    *request = NULL;
}

/* ---- listening ---- */

/* host:port or [v6]:port into its two parts. */
static bool split_address(const char *text, char host[256], char port[8], struct err *err)
{
    const char *colon = strrchr(text, ':');
    struct span name = {text, colon ? (size_t)(colon - text) : 0};
    uint64_t number;
    if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        name = (struct span){name.p + 1, name.n - 2};
    else if (name.n && memchr(name.p, ':', name.n))
        name.n = 0;
    if (!name.n || name.n > 255 || !clock_parse_digits(span_of(colon + 1), 'u', &number) || number > 65535)
        return err_set(err, ERR_CONFIG, "--listen: '%s' is no address; write host:port, such as " DEFAULT_LISTEN, text);
    snprintf(host, 256, "%.*s", SPAN_ARG(name));
    snprintf(port, 8, "%u", (unsigned)number);
    return true;
}

static bool listen_on(struct capture *c, const char *text, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list = NULL;
    char host[256], port[8], service[16] = "0";
    if (!split_address(text, host, port, err))
        return false;
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0)
        return err_set(err, ERR_CONFIG, "--listen: %s is no address of this machine: %s", host, gai_strerror(rc));
    int on = 1;
    c->listen_fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = c->listen_fd >= 0 && setsockopt(c->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
              bind(c->listen_fd, list->ai_addr, list->ai_addrlen) == 0 && listen(c->listen_fd, 16) == 0;
    int why = errno;
    freeaddrinfo(list);
    errno = why;
    if (!ok)
        return err_sys(err, ERR_CONFIG, "cannot listen on %s", text);
    struct sockaddr_storage bound;
    socklen_t n = sizeof bound;
    if (getsockname(c->listen_fd, (struct sockaddr *)&bound, &n) == 0)
        getnameinfo((struct sockaddr *)&bound, n, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    c->port = (uint16_t)strtoul(service, NULL, 10);
    return true;
}

static bool start(struct capture *c, struct err *err)
{
    c->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, step, c, MHD_OPTION_LISTEN_SOCKET, c->listen_fd,
                                 MHD_OPTION_URI_LOG_CALLBACK, begin, c, MHD_OPTION_NOTIFY_COMPLETED, end, c,
                                 MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
                                 MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEAD_MAX, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!c->daemon)
        return err_sys(err, ERR_NOMEM, "cannot start the HTTP server");
    c->listen_fd = -1; /* the daemon's now */
    return true;
}

/* Whether a request was taken and answered before the time was up. */
static bool wait_for_one(struct capture *c, uint64_t timeout_us)
{
    uint64_t until = c->world->world->monotonic_us(c->world) + timeout_us;
    pthread_mutex_lock(&c->lock);
    while (!c->over && !*c->io->stop && c->world->world->monotonic_us(c->world) < until) {
        struct timespec look = wait_until(LOOK_US);
        pthread_cond_timedwait(&c->ended, &c->lock, &look);
    }
    bool over = c->over;
    pthread_mutex_unlock(&c->lock);
    return over;
}

/* ---- the command ---- */

static void tell(struct capture *c)
{
    const struct command_io *io = c->io;
    const char *source = *c->source ? c->source : "SOURCE";
    fputs(buf_z(&c->summary), io->out);
    if (c->json)
        return;
    fprintf(io->out, "%s kept in %s, which only you can read (0600): it holds the request as it came, credentials included\n",
            glyph_ok(io), c->path);
    fprintf(io->out, "  sluice verify %s --request %s\n", source, c->path);
    fprintf(io->out, "  jq -r .body_base64 %s | base64 -d | sluice transform %s --data -\n", c->path, source);
}

static int run(struct capture *c, const char *at, const char *timeout, uint64_t timeout_us)
{
    struct err err = {0};
    if (!start(c, &err))
        return command_fail(c->io, &err);
    struct span host = span_of(at);
    while (host.n && host.p[host.n - 1] != ':')
        host.n--;
    fprintf(c->io->err, "waiting %s for one request, of any method and path, at http://%.*s%u/ (Ctrl-C ends)\n", timeout,
            SPAN_ARG(host), c->port);
    fflush(c->io->err);
    bool over = wait_for_one(c, timeout_us);
    MHD_stop_daemon(c->daemon); /* its thread is gone: all is ours */
    c->daemon = NULL;
    if (c->any && !c->ok)
        return command_fail(c->io, &c->err);
    if (c->any) {
        tell(c);
        return EXIT_DONE;
    }
    if (!over && *c->io->stop)
        fprintf(c->io->err, "sluice capture: stopped; no request came\n");
    else
        fprintf(c->io->err, "sluice capture: no request came within %s\n", timeout);
    return EXIT_FAILED;
}

int cmd_capture(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *none[1], *at = DEFAULT_LISTEN, *out = "captured.json", *timeout = "10m";
    const struct opt spec[] = {
        {"--listen", OPT_VALUE, &at}, {"--out", OPT_VALUE, &out}, {"--timeout", OPT_VALUE, &timeout}, {NULL, 0, NULL}};
    int n;
    uint64_t timeout_us = 0;
    if (!command_options(a, io, "capture", spec, none, 0, 0, &n))
        return EXIT_USAGE;
    if (!clock_parse_duration(span_of(timeout), &timeout_us) || !timeout_us || timeout_us > TIMEOUT_MAX_US) {
        fprintf(io->err, "sluice capture: --timeout '%s' is no duration up to 7d; write 30s, 10m or 1h\n", timeout);
        return EXIT_USAGE;
    }
    struct capture c = {.io = io, .world = in->io, .json = a->json, .file_fd = -1, .listen_fd = -1};
    struct err err = {0};
    pthread_mutex_init(&c.lock, NULL);
    wait_cond_init(&c.ended);
    buf_init(&c.summary, 1 << 20);
    bool ready = listen_on(&c, at, &err) && make_file(&c, out, &err);
    int code = ready ? run(&c, at, timeout, timeout_us) : command_fail(io, &err);
    if (c.listen_fd >= 0)
        close(c.listen_fd);
    if (c.file_fd >= 0)
        close(c.file_fd);
    if (c.file_fd >= 0 && code != EXIT_DONE)
        unlink(c.path); /* it holds nothing, or not all */
    buf_release(&c.summary);
    pthread_cond_destroy(&c.ended);
    pthread_mutex_destroy(&c.lock);
    return code;
}
