/* load: posts prepared requests over many connections, one in flight on each, and measures every answer.
 *
 * Closed loop: a connection sends its next request when it has the answer to the one before. With --rate the requests have due
 * times instead, spread evenly; a latency then counts from when the request was due, not from when a connection was free for it,
 * so that a server that stalls cannot hide it.
 * Each thread has an epoll of its own, its share of the connections, and its own counters; nothing is shared while it runs.
 * A connection is watched edge-triggered for both directions once and never again, requests leave in one writev with the id put
 * between, so a request costs about one epoll_wait, one writev and one recv. */
#include "bench/measure.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define THREADS_MAX 16
#define ANSWER_MAX 8192
#define EVENTS 256
#define ERRORS_MAX 10000 /* then the server is gone, or worse */

struct options {
    const char *file;
    uint64_t port, connections, threads, seconds_ms, warmup_ms, rate, run, count;
    bool close;
};

enum state { IDLE, SENDING, RECEIVING };

struct connection {
    int fd;
    enum state state;
    const struct bench_request *request;
    char id[ID_BYTES];
    size_t sent;
    uint64_t began_ns; /* when the request was sent, or due */
    char answer[ANSWER_MAX];
    size_t n;     /* bytes of the head so far */
    size_t left;  /* bytes of the body that are still to come */
    bool has_head, ends;
    unsigned status;
};

struct worker {
    const struct options *o;
    const struct requests *requests;
    pthread_t thread;
    unsigned index;
    int epoll;
    struct connection *connections;
    struct connection **idle; /* a stack; only with --rate, or when all is sent */
    size_t n, n_idle;
    uint64_t begin_ns, count_from_ns, end_ns;
    uint64_t turn;     /* requests begun */
    uint64_t quota;    /* at most so many; UINT64_MAX: no end */
    uint64_t answered; /* all, also those before the counting */
    uint64_t errors, reconnects, bytes;
    uint64_t status[600];
    struct latencies latencies;
};

static void connect_to(struct worker *w, struct connection *c)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->o->port)};
    int on = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("no socket for a connection");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&at, sizeof at) != 0 && errno != EINPROGRESS)
        die("cannot connect to port %u", (unsigned)w->o->port);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
        die("cannot watch a connection");
}

/* Closed with a reset, so that many thousand closed connections do not keep their ports. */
static void close_connection(struct connection *c)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(c->fd);
}

static void reconnect(struct worker *w, struct connection *c)
{
    close_connection(c);
    connect_to(w, c);
    c->n = c->left = 0;
    c->has_head = c->ends = false;
}

/* The connection failed in the middle of a request: that one is lost. */
static void lose_request(struct worker *w, struct connection *c)
{
    if (++w->errors > ERRORS_MAX) {
        errno = 0;
        die("more than %d requests failed; is the server still there?", ERRORS_MAX);
    }
    reconnect(w, c);
}

/* false: failed. */
static bool send_some(struct connection *c)
{
    const struct bench_request *q = c->request;
    size_t at = q->id_offset, ends[3] = {at, at ? at + ID_BYTES : 0, q->n}, begin = 0;
    const char *part[3] = {q->p, c->id, q->p + ends[1]};
    while (c->sent < q->n) {
        struct iovec v[3];
        int n = 0;
        begin = 0;
        for (int i = 0; i < 3; begin = ends[i++]) {
            if (c->sent >= ends[i] || ends[i] == begin)
                continue;
            size_t skip = c->sent > begin ? c->sent - begin : 0;
            v[n++] = (struct iovec){(void *)(uintptr_t)(part[i] + skip), ends[i] - begin - skip};
        }
        struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)n};
        ssize_t k = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return errno == EAGAIN || errno == ENOTCONN;
        c->sent += (size_t)k;
    }
    c->state = RECEIVING;
    return true;
}

static uint64_t due_ns(const struct worker *w)
{
    double per_ns = (double)w->o->rate / (double)w->o->threads / 1e9;
    return w->begin_ns + (uint64_t)((double)w->turn / per_ns);
}

static void rest(struct worker *w, struct connection *c)
{
    c->state = IDLE;
    w->idle[w->n_idle++] = c;
}

static void begin_request(struct worker *w, struct connection *c, uint64_t now)
{
    for (;;) {
        uint64_t began = now;
        if (w->turn >= w->quota || (w->o->rate && (began = due_ns(w)) > now)) {
            rest(w, c);
            return;
        }
        uint64_t number = w->turn++ * w->o->threads + w->index;
        c->request = &w->requests->list[number % w->requests->n];
        request_id((uint32_t)w->o->run, number, c->id);
        c->sent = c->n = c->left = 0;
        c->has_head = c->ends = false;
        c->began_ns = began;
        c->state = SENDING;
        if (send_some(c))
            return;
        lose_request(w, c);
    }
}

static void failed(struct worker *w, struct connection *c)
{
    lose_request(w, c);
    begin_request(w, c, now_ns());
}

/* The value of a header of the answer's head, or NULL; the head ends with NUL. */
static const char *header_of(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
            return line + 3 + n + strspn(line + 3 + n, " ");
    return NULL;
}

/* false: no HTTP. Sets has_head once the head is whole. */
static bool read_head(struct connection *c)
{
    char *end = memmem(c->answer, c->n, "\r\n\r\n", 4);
    if (!end)
        return c->n < ANSWER_MAX - 1;
    size_t body = c->n - (size_t)(end + 4 - c->answer);
    end[2] = 0;
    if (strncmp(c->answer, "HTTP/1.1 ", 9) != 0)
        return false;
    c->status = (unsigned)strtoul(c->answer + 9, NULL, 10);
    const char *length = header_of(c->answer, "Content-Length"), *connection = header_of(c->answer, "Connection");
    size_t wanted = length ? strtoul(length, NULL, 10) : 0;
    c->ends = connection && strncasecmp(connection, "close", 5) == 0;
    c->has_head = true;
    c->left = wanted > body ? wanted - body : 0;
    return c->status >= 100 && c->status < 600 && body <= wanted;
}

static void answered(struct worker *w, struct connection *c)
{
    uint64_t now = now_ns();
    w->answered++;
    if (now >= w->count_from_ns && now < w->end_ns) {
        w->status[c->status]++;
        w->bytes += c->request->n;
        latencies_add(&w->latencies, now - c->began_ns);
    }
    if (c->ends || w->o->close) {
        w->reconnects++;
        reconnect(w, c);
    }
    begin_request(w, c, now);
}

static void receive_some(struct worker *w, struct connection *c)
{
    for (;;) {
        char *into = c->has_head ? c->answer : c->answer + c->n;
        size_t room = c->has_head ? ANSWER_MAX : ANSWER_MAX - 1 - c->n;
        ssize_t k = recv(c->fd, into, room, 0);
        if (k < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (k <= 0 && c->state == IDLE) { /* closed for having been idle */
            w->reconnects++;
            reconnect(w, c);
            return;
        }
        if (k <= 0 || c->state == IDLE) {
            failed(w, c);
            return;
        }
        if (c->has_head)
            c->left -= (size_t)k < c->left ? (size_t)k : c->left;
        else
            c->n += (size_t)k;
        if (!c->has_head && !read_head(c)) {
            failed(w, c);
            return;
        }
        if (c->has_head && c->left == 0) {
            answered(w, c);
            return;
        }
    }
}

static void start_due(struct worker *w, uint64_t now)
{
    while (w->n_idle && w->turn < w->quota && due_ns(w) <= now)
        begin_request(w, w->idle[--w->n_idle], now);
}

static void run_until(struct worker *w)
{
    struct epoll_event events[EVENTS];
    for (uint64_t now = now_ns(); now < w->end_ns && w->answered + w->errors < w->quota; now = now_ns()) {
        uint64_t until = w->end_ns;
        if (w->o->rate && w->n_idle) {
            start_due(w, now);
            until = w->n_idle && due_ns(w) < until ? due_ns(w) : until;
        }
        uint64_t wait = until > now ? until - now : 0;
        struct timespec t = {(time_t)(wait / 1000000000), (long)(wait % 1000000000)};
        int n = epoll_pwait2(w->epoll, events, EVENTS, &t, NULL);
        if (n < 0 && errno != EINTR)
            die("epoll failed");
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->state == SENDING && !send_some(c))
                failed(w, c);
            else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive_some(w, c);
        }
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->connections = calloc(w->n ? w->n : 1, sizeof *w->connections);
    w->idle = calloc(w->n ? w->n : 1, sizeof(struct connection *));
    if (w->epoll < 0 || !w->connections || !w->idle)
        die("cannot set up %zu connections", w->n);
    for (size_t i = 0; i < w->n; i++) {
        connect_to(w, &w->connections[i]);
        begin_request(w, &w->connections[i], now_ns());
    }
    run_until(w);
    for (size_t i = 0; i < w->n; i++)
        close_connection(&w->connections[i]);
    close(w->epoll);
    free(w->connections);
    free(w->idle);
    return NULL;
}

/* into: its answers, errors and reconnections; what else is in it stays. */
static void gather(struct worker *into, const struct worker *from)
{
    for (size_t i = 0; i < 600; i++)
        into->status[i] += from->status[i];
    into->errors += from->errors;
    into->reconnects += from->reconnects;
    into->bytes += from->bytes;
    into->answered += from->answered;
    latencies_merge(&into->latencies, &from->latencies);
}

static void print(const struct options *o, const struct worker *all, uint64_t ns)
{
    double seconds = (double)ns / 1e9;
    uint64_t n = all->latencies.total;
    printf("{\"requests\": %llu, \"seconds\": %.4f, \"rate\": %.1f, \"bytes_per_second\": %.0f, ", (unsigned long long)n, seconds,
           (double)n / seconds, (double)all->bytes / seconds);
    printf("\"connections\": %llu, \"threads\": %llu, ", (unsigned long long)o->connections, (unsigned long long)o->threads);
    latencies_print(&all->latencies);
    printf(", \"cpu_us_each\": %.2f, \"sent_in_all\": %llu, \"statuses\": {",
           (double)cpu_ns() / 1e3 / (double)(all->answered ? all->answered : 1), (unsigned long long)all->answered);
    const char *comma = "";
    for (unsigned i = 0; i < 600; i++) {
        if (!all->status[i])
            continue;
        printf("%s\"%u\": %llu", comma, i, (unsigned long long)all->status[i]);
        comma = ", ";
    }
    printf("}, \"errors\": %llu, \"reconnects\": %llu}\n", (unsigned long long)all->errors, (unsigned long long)all->reconnects);
}

static void read_options(int argc, char **argv, struct options *o)
{
    const struct bench_option options[] = {
        {"requests", &o->file, NULL, NULL, "file of requests"},
        {"port", NULL, &o->port, NULL, "on 127.0.0.1"},
        {"connections", NULL, &o->connections, NULL, "one request in flight on each (1)"},
        {"threads", NULL, &o->threads, NULL, "1 to 16 (1)"},
        {"ms", NULL, &o->seconds_ms, NULL, "how long is counted (1000)"},
        {"warmup-ms", NULL, &o->warmup_ms, NULL, "how long before that is not (200)"},
        {"rate", NULL, &o->rate, NULL, "requests a second, evenly; 0: as fast as they are answered (0)"},
        {"count", NULL, &o->count, NULL, "ends after so many requests, without a warm-up; 0: by the time (0)"},
        {"run", NULL, &o->run, NULL, "first part of the ids; another one for each run against the same server"},
        {"close", NULL, NULL, &o->close, "a new connection for each request"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    bench_options(argc, argv, "posts prepared requests, one in flight on each connection; prints JSON", options);
    if (!o->file || !o->port || o->port > 65535 || !o->connections || !o->threads || o->threads > THREADS_MAX || !o->seconds_ms) {
        fprintf(stderr, "load: --requests FILE and --port N are needed, the others must not be 0 (--help)\n");
        exit(2);
    }
    if (o->threads > o->connections)
        o->threads = o->connections;
}

int main(int argc, char **argv)
{
    struct options o = {.connections = 1, .threads = 1, .seconds_ms = 1000, .warmup_ms = 200};
    struct requests requests;
    read_options(argc, argv, &o);
    requests_load(o.file, &requests);
    struct worker *workers = calloc(o.threads + 1, sizeof *workers), *all = workers ? &workers[o.threads] : NULL;
    if (!workers)
        die("no memory for %llu threads", (unsigned long long)o.threads);
    uint64_t begin = now_ns(), from = begin + (o.count ? 0 : o.warmup_ms * 1000000), end = from + o.seconds_ms * 1000000;
    for (unsigned i = 0; i < o.threads; i++) {
        workers[i] = (struct worker){.o = &o, .requests = &requests, .index = i, .begin_ns = begin, .end_ns = end};
        workers[i].count_from_ns = from;
        workers[i].n = o.connections / o.threads + (i < o.connections % o.threads);
        workers[i].quota = o.count ? o.count / o.threads + (i < o.count % o.threads) : UINT64_MAX;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            die("cannot start a thread");
    }
    for (unsigned i = 0; i < o.threads; i++) {
        pthread_join(workers[i].thread, NULL);
        gather(all, &workers[i]);
    }
    uint64_t over = now_ns();
    print(&o, all, o.count && over < end ? over - begin : end - from);
    free(workers);
    requests_free(&requests);
    return 0;
}
