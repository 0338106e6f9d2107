/* The endpoint as a peer sees it: requests in pieces and in a row, answers now and later, limits, and what is left of memory. */
#include "../check_main.h"
#include "core/thread.h"
#include "http/http.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#define BODY_MAX ((size_t)300000)
#define BIG ((size_t)900000) /* an answer that no socket takes at once */

struct state {
    struct state *next;
    struct http_exchange *x;
    unsigned answer_n; /* of the body that it got */
    uint64_t sum;
    bool open;
};
struct world {
    struct http_server *http;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct state *waiting; /* guarded by lock: to be resumed by the other thread */
    pthread_t thread;
    bool stop;
    atomic_uint heads, wholes, refusals, overs;
    char *big;
};
static struct world w;

/* /now answers at once, /later by another thread, /big with much, /no refuses from the head, /head says what it got. */
static bool on_head(void *ctx, struct http_exchange *x)
{
    struct state *s = x->state;
    (void)ctx;
    w.heads++;
    ck_assert(!s->open && !s->x);
    s->open = true;
    s->x = x;
    if (!span_eqz(x->message.url, "/no"))
        return true;
    ck_assert(http_answer(x, &(struct http_answer){.status = 404, .body = SPAN_LIT("no\n"), .content_type = "text/plain"}));
    return false;
}

static void answer(struct http_exchange *x, unsigned n, uint64_t sum)
{
    char text[64];
    int len = snprintf(text, sizeof text, "%u %016" PRIx64 "\n", n, sum);
    struct http_header h = {SPAN_LIT("X-Worker"), SPAN_LIT("1")};
    ck_assert(http_answer(x, &(struct http_answer){200, {text, (size_t)len}, "text/plain", &h, 1, false}));
}

static uint64_t sum_of(struct span s)
{
    uint64_t v = UINT64_C(1469598103934665603);
    for (size_t i = 0; i < s.n; i++)
        v = (v ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
    return v;
}

static void on_whole(void *ctx, struct http_exchange *x)
{
    struct state *s = x->state;
    (void)ctx;
    w.wholes++;
    ck_assert(s->open && s->x == x);
    s->answer_n = (unsigned)x->message.body.n;
    s->sum = sum_of(x->message.body);
    if (span_eqz(x->message.url, "/big")) {
        ck_assert(http_answer(x, &(struct http_answer){.status = 200, .body = {w.big, BIG}, .content_type = "text/plain"}));
    } else if (span_eqz(x->message.url, "/header")) {
        struct http_header bad = {SPAN_LIT("X-A"), SPAN_LIT("a\r\nX-B: c")};
        ck_assert(!http_answer(x, &(struct http_answer){.status = 200, .headers = &bad, .n_headers = 1}));
        answer(x, s->answer_n, s->sum);
    } else if (span_eqz(x->message.url, "/later")) {
        pthread_mutex_lock(&w.lock);
        s->next = w.waiting;
        w.waiting = s;
        pthread_cond_signal(&w.more);
        pthread_mutex_unlock(&w.lock);
    } else {
        answer(x, s->answer_n, s->sum);
    }
}

static void on_resumed(void *ctx, struct http_exchange *x)
{
    struct state *s = x->state;
    (void)ctx;
    answer(x, s->answer_n, s->sum);
}

static void on_refused(void *ctx, struct http_exchange *x, unsigned status, bool told)
{
    struct state *s = x->state;
    (void)ctx;
    w.refusals++;
    ck_assert(s->open == told);
    s->open = true;
    ck_assert(http_answer(x, &(struct http_answer){.status = status, .body = SPAN_LIT("refused\n"), .content_type = "text/plain"}));
}

static void on_over(void *ctx, struct http_exchange *x)
{
    struct state *s = x->state;
    (void)ctx;
    ck_assert(s->open);
    s->open = false;
    s->x = NULL;
    w.overs++;
}

static const struct http_handler handler = {sizeof(struct state), on_head, on_whole, on_resumed, on_refused, on_over};

static void *resume_loop(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&w.lock);
    while (!w.stop || w.waiting) {
        struct state *s = w.waiting;
        w.waiting = NULL;
        bool any = s != NULL;
        pthread_mutex_unlock(&w.lock);
        while (s) {
            struct state *next = s->next;
            http_resume(s->x);
            s = next;
        }
        if (any)
            http_wake(w.http);
        pthread_mutex_lock(&w.lock);
        if (!w.waiting && !w.stop)
            pthread_cond_wait(&w.more, &w.lock);
    }
    pthread_mutex_unlock(&w.lock);
    return NULL;
}

static void setup(void)
{
    struct err err = {0};
    memset(&w, 0, sizeof w);
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.more, NULL);
    w.big = malloc(BIG);
    memset(w.big, 'b', BIG);
    static struct http_opts o;
    o = (struct http_opts){.io = io_posix(), .key = "listen", .host = "127.0.0.1", .workers = 2, .connections_max = 64, .head_bytes_max = 8192,
                           .body_bytes_max = BODY_MAX, .memory_max = 8 << 20, .idle_us = 1500000, .head_us = 1000000,
                           .body_us = 1500000, .request_us = 2000000, .handler = &handler, .ctx = &w};
    ck_assert_msg(http_open(&o, &w.http, &err) && http_start(w.http, &err), "%s", err.msg);
    ck_assert(pthread_create(&w.thread, NULL, resume_loop, NULL) == 0);
}

/* Every exchange that began is over. */
static void teardown(void)
{
    http_drain(w.http);
    http_quiet(w.http);
    for (int i = 0; i < 2000 && http_open_exchanges(w.http); i++)
        usleep(2000);
    pthread_mutex_lock(&w.lock);
    w.stop = true;
    pthread_cond_signal(&w.more);
    pthread_mutex_unlock(&w.lock);
    pthread_join(w.thread, NULL);
    http_stop(w.http);
    ck_assert_uint_eq(http_open_exchanges(w.http), 0);
    ck_assert_uint_le(w.heads, w.overs);
    ck_assert_uint_ge(w.heads + w.refusals, w.overs);
    http_free(&w.http);
    free(w.big);
}

/* ---- the peer ---- */

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(http_port(w.http)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void put(int fd, const void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t m = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);
        if (m <= 0)
            return; /* it has closed: the answer tells why */
        at += (size_t)m;
    }
}

static void say(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

struct reply {
    unsigned status;
    char head[2048];
    char *body;
    size_t n;
    bool close;
};

static size_t get(int fd, char *p, size_t n)
{
    struct pollfd one = {fd, POLLIN, 0};
    if (poll(&one, 1, 8000) <= 0)
        return 0;
    ssize_t m = recv(fd, p, n, 0);
    return m > 0 ? (size_t)m : 0;
}

/* false: the connection was closed before an answer. */
static bool reply(int fd, struct reply *r)
{
    size_t n = 0;
    memset(r, 0, sizeof *r);
    while (n < sizeof r->head - 1 && !strstr(r->head, "\r\n\r\n")) {
        if (!get(fd, r->head + n, 1))
            return false;
        n++;
    }
    ck_assert_msg(sscanf(r->head, "HTTP/1.1 %u ", &r->status) == 1, "%s", r->head);
    if (r->status == 100)
        return true;
    const char *length = strstr(r->head, "Content-Length: ");
    ck_assert_ptr_nonnull(length);
    ck_assert_ptr_nonnull(strstr(r->head, "\r\nDate: "));
    r->n = strtoul(length + 16, NULL, 10);
    r->close = strstr(r->head, "Connection: close") != NULL;
    r->body = calloc(1, r->n + 1);
    for (size_t at = 0; at < r->n;) {
        size_t m = get(fd, r->body + at, r->n - at);
        ck_assert_uint_gt(m, 0);
        at += m;
    }
    return true;
}

static unsigned status_on(int fd)
{
    struct reply r;
    unsigned status = reply(fd, &r) ? r.status : 0;
    free(r.body);
    return status;
}

static bool closed(int fd)
{
    char c;
    struct pollfd one = {fd, POLLIN, 0};
    return poll(&one, 1, 8000) == 1 && recv(fd, &c, 1, 0) <= 0;
}

static char *request(const char *path, const char *extra, const char *body, size_t n, size_t *ret_n)
{
    char *p = malloc(n + 512);
    int head = snprintf(p, 512, "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n", path, extra, n);
    memcpy(p + head, body, n);
    *ret_n = (size_t)head + n;
    return p;
}

static void expect_sum(int fd, const char *body, size_t n)
{
    struct reply r;
    char want[64];
    snprintf(want, sizeof want, "%zu %016" PRIx64 "\n", n, sum_of((struct span){body, n}));
    ck_assert(reply(fd, &r));
    ck_assert_uint_eq(r.status, 200);
    ck_assert_str_eq(r.body, want);
    free(r.body);
}

/* ---- tests ---- */

static const char *const paths[] = {"/now", "/later"};

START_TEST(a_request_in_any_two_pieces)
{
    const char *body = "{\"a\":[1,2,3]}";
    size_t n;
    char *p = request(paths[_i], "", body, strlen(body), &n);
    int fd = dial();
    for (size_t cut = 0; cut <= n; cut++) {
        put(fd, p, cut);
        if (cut % 3 == 0)
            usleep(300);
        put(fd, p + cut, n - cut);
        expect_sum(fd, body, strlen(body));
    }
    say(fd, "\r\n\r"); /* empty lines before a request, cut within one */
    usleep(2000);
    say(fd, "\n");
    put(fd, p, n);
    expect_sum(fd, body, strlen(body));
    close(fd);
    free(p);
}
END_TEST

START_TEST(many_in_a_row_are_answered_in_order)
{
    char *all = malloc(64 * 4096);
    char bodies[64][128];
    size_t at = 0;
    int fd = dial();
    for (int i = 0; i < 64; i++) {
        size_t n;
        int len = snprintf(bodies[i], sizeof bodies[i], "body %d", i * 7919);
        if (i % 3 == 2) {
            at += (size_t)snprintf(all + at, 4096, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%.3s\r\n%x\r\n%s\r\n0\r\n\r\n",
                                   paths[i % 2], 3, bodies[i], len - 3, bodies[i] + 3);
            continue;
        }
        char *p = request(paths[i % 2], "", bodies[i], (size_t)len, &n);
        memcpy(all + at, p, n);
        at += n;
        free(p);
    }
    for (size_t done = 0; done < at;) {
        size_t n = at - done < (size_t)_i ? at - done : (size_t)_i;
        put(fd, all + done, n);
        done += n;
    }
    for (int i = 0; i < 64; i++)
        expect_sum(fd, bodies[i], strlen(bodies[i]));
    close(fd);
    free(all);
}
END_TEST

START_TEST(bodies_up_to_the_limit)
{
    static const size_t sizes[] = {0, 1, 4095, 65536, 131071, 131072, 200000, BODY_MAX};
    char *body = malloc(BODY_MAX);
    int fd = dial();
    for (size_t i = 0; i < BODY_MAX; i++)
        body[i] = (char)(i * 31 + (i >> 8));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n, head;
        char *p = request(paths[_i], "", body, sizes[i], &n);
        put(fd, p, n);
        expect_sum(fd, body, sizes[i]);
        free(p);
        char line[256];
        head = (size_t)snprintf(line, sizeof line, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", paths[_i]);
        put(fd, line, head);
        for (size_t at = 0; at < sizes[i];) {
            size_t m = sizes[i] - at < 7001 ? sizes[i] - at : 7001;
            put(fd, line, (size_t)snprintf(line, sizeof line, "%zx\r\n", m));
            put(fd, body + at, m);
            say(fd, "\r\n");
            at += m;
        }
        say(fd, "0\r\n\r\n");
        expect_sum(fd, body, sizes[i]);
    }
    close(fd);
    free(body);
}
END_TEST

START_TEST(too_much_is_refused_and_the_connection_closed)
{
    char line[256], *chunk = calloc(1, 20000);
    struct reply r;
    int fd = dial();
    put(fd, line, (size_t)snprintf(line, sizeof line, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", BODY_MAX + 1));
    ck_assert(reply(fd, &r) && r.status == 413 && r.close);
    free(r.body);
    ck_assert(closed(fd));
    close(fd);
    fd = dial();
    put(fd, line, (size_t)snprintf(line, sizeof line, "POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (size_t at = 0; at <= BODY_MAX + 20000; at += 20000) {
        put(fd, line, (size_t)snprintf(line, sizeof line, "%x\r\n", 20000));
        put(fd, chunk, 20000);
        say(fd, "\r\n");
    }
    ck_assert_uint_eq(status_on(fd), 413);
    close(fd);
    fd = dial();
    say(fd, "POST /now HTTP/1.1\r\nHost: x\r\nX: ");
    put(fd, chunk, 9000);
    ck_assert_uint_eq(status_on(fd), 431);
    close(fd);
    free(chunk);
}
END_TEST

START_TEST(a_short_body_that_is_refused_is_dropped)
{
    size_t n, m;
    char *body = calloc(1, 60000), *p = request("/no", "", body, 60000, &n), *good = request("/now", "", "x", 1, &m);
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        put(fd, p, n / 2);
        ck_assert_uint_eq(status_on(fd), 404); /* at once */
        put(fd, p + n / 2, n - n / 2);
        put(fd, good, m);
        expect_sum(fd, "x", 1);
    }
    close(fd);
    free(p);
    free(good);
    free(body);
}
END_TEST

START_TEST(expectations_are_met)
{
    int fd = dial();
    struct reply r;
    say(fd, "POST /later HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    ck_assert(reply(fd, &r) && r.status == 100);
    say(fd, "abc");
    expect_sum(fd, "abc", 3);
    say(fd, "POST /no HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    ck_assert(reply(fd, &r) && r.status == 404 && r.close); /* whether the body comes is not known: nothing more is read */
    free(r.body);
    ck_assert(closed(fd));
    close(fd);
}
END_TEST

START_TEST(old_clients_and_those_who_say_so_are_closed)
{
    static const char *const requests[] = {
        "POST /now HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
        "POST /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    };
    for (size_t i = 0; i < 2; i++) {
        int fd = dial();
        struct reply r;
        put(fd, requests[i], strlen(requests[i]));
        ck_assert(reply(fd, &r) && r.status == 200 && r.close);
        free(r.body);
        ck_assert(closed(fd));
        close(fd);
    }
    int fd = dial(); /* it has sent all it will ever send, and reads on */
    say(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    shutdown(fd, SHUT_WR);
    expect_sum(fd, "x", 1);
    ck_assert(closed(fd));
    close(fd);
}
END_TEST

START_TEST(an_answer_to_head_has_no_body)
{
    int fd = dial();
    char text[512] = "";
    say(fd, "HEAD /now HTTP/1.1\r\nHost: x\r\n\r\nPOST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    for (size_t n = 0; !strstr(text, "\r\n\r\n");)
        n += get(fd, text + n, 1);
    ck_assert_ptr_nonnull(strstr(text, "Content-Length: "));
    expect_sum(fd, "x", 1);
    close(fd);
}
END_TEST

/* The peer reads slowly: the rest waits, and what it sent meanwhile is answered after it. */
START_TEST(large_answers_go_out_as_they_can)
{
    struct reply r;
    int fd = dial();
    say(fd, "POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nxPOST /header HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\ny");
    usleep(50000);
    ck_assert(reply(fd, &r) && r.status == 200 && r.n == BIG);
    ck_assert_mem_eq(r.body, w.big, BIG);
    free(r.body);
    expect_sum(fd, "y", 1);
    close(fd);
}
END_TEST

START_TEST(who_is_slow_is_cut_off)
{
    static const struct {
        const char *begin, *drip;
        unsigned status;
        double most_s;
    } slow[] = {
        {"", "", 0, 2.2},
        {"POST /now HTTP/1.1\r\n", "x", 408, 1.7},
        {"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "x", 408, 2.2},
        {"POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 408, 2.2},
    };
    struct timespec began, now;
    int fd = dial();
    clock_gettime(CLOCK_MONOTONIC, &began);
    put(fd, slow[_i].begin, strlen(slow[_i].begin));
    for (struct pollfd one = {fd, POLLIN, 0}; poll(&one, 1, 50) == 0;)
        put(fd, slow[_i].drip, strlen(slow[_i].drip));
    clock_gettime(CLOCK_MONOTONIC, &now);
    ck_assert_uint_eq(status_on(fd), slow[_i].status);
    double took = (double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9;
    ck_assert_msg(took > 0.7 && took < slow[_i].most_s + 3, "after %.1f s", took); /* a busy machine is late */
    close(fd);
}
END_TEST

START_TEST(no_more_connections_than_allowed)
{
    int fds[80];
    unsigned taken = 0;
    for (int i = 0; i < 80; i++) {
        fds[i] = dial();
        say(fds[i], "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    }
    for (int i = 0; i < 80; i++)
        taken += status_on(fds[i]) == 200;
    ck_assert_uint_eq(taken, 64);
    for (int i = 0; i < 80; i++)
        close(fds[i]);
    unsigned status = 0;
    for (int i = 0; i < 100 && status != 200; i++) { /* there is room again */
        usleep(10000);
        int fd = dial();
        say(fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
        status = status_on(fd);
        close(fd);
    }
    ck_assert_uint_eq(status, 200);
}
END_TEST

/* What is gathered of all bodies together is bounded, and is given back. */
START_TEST(bodies_share_their_memory)
{
    enum { MANY = 40 };
    int fds[MANY];
    size_t n;
    unsigned refused = 0, taken = 0;
    char *body = calloc(1, BODY_MAX), *p = request("/now", "", body, BODY_MAX, &n);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < MANY; i++) {
            fds[i] = dial();
            put(fds[i], p, n - 1);
        }
        for (int i = 0; i < MANY; i++) {
            struct pollfd one = {fds[i], POLLIN, 0};
            if (poll(&one, 1, 20) == 0) /* not refused: a byte more to one that was would be answered by a reset */
                put(fds[i], p + n - 1, 1);
            unsigned status = status_on(fds[i]);
            refused += status == 503;
            taken += status == 200;
            close(fds[i]);
        }
    }
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_gt(taken, 0);
    ck_assert_uint_eq(refused + taken, 2 * MANY);
    unsigned status = 0;
    for (int i = 0; i < 200 && status != 200; i++) {
        int fd = dial();
        put(fd, p, n);
        status = status_on(fd);
        close(fd);
        usleep(10000);
    }
    ck_assert_uint_eq(status, 200);
    free(p);
    free(body);
}
END_TEST

/* Altered bytes, cuts, resets: nothing is harmed, and a genuine request is answered all the while. */
START_TEST(hostile_bytes_do_no_harm)
{
    static const char *const genuine[] = {
        "POST /later HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
        "POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    };
    uint64_t seed = check_seed();
    char *p = malloc(4096), c;
    for (int i = 0; i < 1500; i++) {
        int fd = dial();
        size_t at = 0;
        for (uint64_t k = 1 + check_random(&seed) % 4; k; k--) {
            const char *one = genuine[check_random(&seed) % 3];
            size_t n = strlen(one);
            memcpy(p + at, one, n);
            for (uint64_t m = check_random(&seed) % 3; m; m--)
                p[at + check_random(&seed) % n] = (char)check_random(&seed);
            at += n;
        }
        at -= check_random(&seed) % 40;
        for (size_t done = 0; done < at;) {
            size_t m = 1 + check_random(&seed) % at;
            m = m < at - done ? m : at - done;
            put(fd, p + done, m);
            done += m;
        }
        shutdown(fd, SHUT_WR);
        bool to_its_end = check_random(&seed) % 8;
        while (to_its_end && get(fd, &c, 1))
            ;
        ck_assert(!to_its_end || closed(fd));
        struct linger now = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* what is left is reset */
        close(fd);
    }
    free(p);
    unsigned status = 0;
    for (int i = 0; i < 500 && status != 200; i++) {
        int fd = dial();
        say(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
        status = status_on(fd);
        close(fd);
        usleep(10000);
    }
    ck_assert_uint_eq(status, 200);
}
END_TEST

/* Those that are connected are answered, and told that it is over. */
START_TEST(draining_closes_each_after_its_answer)
{
    int fd = dial();
    struct reply r;
    say(fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    expect_sum(fd, "x", 1);
    http_drain(w.http);
    http_quiet(w.http);
    say(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    ck_assert(reply(fd, &r) && r.status == 200 && r.close);
    free(r.body);
    ck_assert(closed(fd));
    close(fd);
}
END_TEST

CHECK_SUITE("http endpoint", t)
{
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_request_in_any_two_pieces, 0, 2);
    tcase_add_loop_test(t, many_in_a_row_are_answered_in_order, 1, 2);
    tcase_add_loop_test(t, many_in_a_row_are_answered_in_order, 97, 99);
    tcase_add_loop_test(t, many_in_a_row_are_answered_in_order, 100000, 100001);
    tcase_add_loop_test(t, bodies_up_to_the_limit, 0, 2);
    tcase_add_test(t, too_much_is_refused_and_the_connection_closed);
    tcase_add_test(t, a_short_body_that_is_refused_is_dropped);
    tcase_add_test(t, expectations_are_met);
    tcase_add_test(t, old_clients_and_those_who_say_so_are_closed);
    tcase_add_test(t, an_answer_to_head_has_no_body);
    tcase_add_test(t, large_answers_go_out_as_they_can);
    tcase_add_loop_test(t, who_is_slow_is_cut_off, 0, 4);
    tcase_add_test(t, no_more_connections_than_allowed);
    tcase_add_test(t, bodies_share_their_memory);
    tcase_add_test(t, hostile_bytes_do_no_harm);
    tcase_add_test(t, draining_closes_each_after_its_answer);
}
