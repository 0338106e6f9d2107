/* capture: takes one request on a port of its own and keeps it as a file for verify. No part of it reaches a journal.
 *
 * The one thread of http/ writes the file when the first request is whole, and answers it 200; whoever comes beside it is
 * answered 503. The command's thread waits for the end of that answer, the time, or Ctrl-C. */
#include "cli/registry.h"
#include "core/clock.h"
#include "core/thread.h"
#include "http/http.h"
#include "server/record.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#define BODY_MAX ((size_t)26 << 20)
#define HEAD_MAX (128u << 10)
#define CONNECTIONS_MAX 8u
#define IDLE_US (UINT64_C(30) * 1000000)
#define NAMES_MAX 9999
#define PATH_BYTES 4096
#define LOOK_NS 20000000
#define TIMEOUT_MAX_US (UINT64_C(7) * 86400 * 1000000)
#define DEFAULT_LISTEN "127.0.0.1:8787"

struct capture {
    const struct command_io *io;
    const struct io *world;
    bool json;
    char path[PATH_BYTES];
    int file_fd; /* open and empty until the request is there */
    struct http_server *http;
    /* The thread of http/, until `over` is set: */
    const struct http_exchange *taken; /* the request that is kept, until it is answered */
    bool any, ok;
    struct err err;
    struct buf summary; /* what is printed of it */
    char source[64];    /* of /in/<source>, or "" */
    atomic_bool over;   /* it is answered, too */
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

static void answer(struct http_exchange *x, unsigned status)
{
    (void)http_answer(x, &(struct http_answer){.status = status, .close = true});
}

static bool on_head(void *capture, struct http_exchange *x)
{
    (void)capture, (void)x;
    return true;
}

static void on_whole(void *capture, struct http_exchange *x)
{
    struct capture *c = capture;
    if (c->any) {
        answer(x, 503);
        return;
    }
    if (x->message.n_headers > ENTRY_HEADERS_MAX) {
        answer(x, 431);
        return;
    }
    c->any = true;
    c->taken = x;
    c->ok = write_file(c, &x->message, &c->err);
    if (c->ok)
        summarize(c, &x->message);
    answer(x, c->ok ? 200 : 500);
}

static void on_resumed(void *capture, struct http_exchange *x)
{
    (void)capture, (void)x;
}

static void on_refused(void *capture, struct http_exchange *x, unsigned status, bool told)
{
    (void)capture, (void)told;
    answer(x, status);
}

static void on_over(void *capture, struct http_exchange *x)
{
    struct capture *c = capture;
    if (c->taken != x)
        return;
    c->taken = NULL;
    c->over = true;
}

static const struct http_handler handler = {0, on_head, on_whole, on_resumed, on_refused, on_over};

/* ---- listening ---- */

/* host:port or [v6]:port into its two parts. */
static bool split_address(const char *text, char host[256], uint16_t *ret_port, struct err *err)
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
    *ret_port = (uint16_t)number;
    return true;
}

static bool listen_on(struct capture *c, const char *text, struct err *err)
{
    char host[256];
    struct http_opts o = {.io = c->world,
                          .key = "--listen",
                          .host = host,
                          .workers = 1,
                          .connections_max = CONNECTIONS_MAX,
                          .head_bytes_max = HEAD_MAX,
                          .body_bytes_max = BODY_MAX,
                          .memory_max = CONNECTIONS_MAX * (uint64_t)BODY_MAX * 2,
                          .idle_us = IDLE_US,
                          .head_us = IDLE_US,
                          .body_us = 2 * IDLE_US,
                          .request_us = 2 * IDLE_US,
                          .handler = &handler,
                          .ctx = c};
    return split_address(text, host, &o.port, err) && http_open(&o, &c->http, err);
}

/* Waits until a request was taken and answered, the time is up, or the user ends it, which is told in *ret_stopped. The signals
 * are blocked: they wait for the next look. */
static bool wait_for_one(struct capture *c, const sigset_t *signals, uint64_t timeout_us, bool *ret_stopped)
{
    const struct timespec look = {.tv_nsec = LOOK_NS};
    uint64_t until = c->world->world->monotonic_us(c->world) + timeout_us;
    while (!c->over && !*ret_stopped && c->world->world->monotonic_us(c->world) < until)
        *ret_stopped = sigtimedwait(signals, NULL, &look) > 0;
    return c->over;
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
    sigset_t signals;
    bool stopped = false;
    thread_hold_signals(&signals);
    if (!http_start(c->http, &err))
        return command_fail(c->io, &err);
    struct span host = span_of(at);
    while (host.n && host.p[host.n - 1] != ':')
        host.n--;
    fprintf(c->io->err, "waiting %s for one request, of any method and path, at http://%.*s%u/ (Ctrl-C ends)\n", timeout,
            SPAN_ARG(host), http_port(c->http));
    fflush(c->io->err);
    bool over = wait_for_one(c, &signals, timeout_us, &stopped);
    http_stop(c->http); /* its thread is gone: all is ours */
    if (c->any && !c->ok)
        return command_fail(c->io, &c->err);
    if (c->any) {
        tell(c);
        return EXIT_DONE;
    }
    if (!over && stopped)
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
    struct capture c = {.io = io, .world = in->io, .json = a->json, .file_fd = -1};
    struct err err = {0};
    buf_init(&c.summary, 1 << 20);
    bool ready = listen_on(&c, at, &err) && make_file(&c, out, &err);
    int code = ready ? run(&c, at, timeout, timeout_us) : command_fail(io, &err);
    http_free(&c.http);
    if (c.file_fd >= 0)
        close(c.file_fd);
    if (c.file_fd >= 0 && code != EXIT_DONE)
        unlink(c.path); /* it holds nothing, or not all */
    buf_release(&c.summary);
    return code;
}
