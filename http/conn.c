/* Invariants
 *  1. `over` is called exactly once for each exchange whose `head` or `refused` was called, and nothing of it after that.
 *  2. A connection in PHASE_BUSY is neither read nor freed: the handler has its exchange.
 *  3. Every phase but PHASE_BUSY has a deadline.
 *  4. After a refusal whose body is not read to its end nothing on the connection is taken for a request. */
#include "http/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONN_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define AT_ONCE UINT64_C(65536) /* memory that is taken because of a mere announcement */
#define GROW_MIN ((size_t)4096)
#define BLANKS_MAX 4            /* empty lines before a request */
#define TURN_MAX 64             /* reads of one connection before the others have their turn */

static const struct http_opts *opts(const struct conn *c)
{
    return &c->worker->server->o;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- memory ---- */

/* Room for n bytes in `in`, out of what all may have. */
static bool reserve(struct conn *c, size_t n)
{
    struct http_server *s = c->worker->server;
    if (n <= c->in.cap)
        return true;
    uint64_t more = 2 * (uint64_t)n - c->charged; /* what the buffer may grow to */
    if (atomic_fetch_add(&s->memory, more) + more > s->o.memory_max) {
        atomic_fetch_sub(&s->memory, more);
        return false;
    }
    c->charged += more;
    return buf_reserve(&c->in, n - c->in.n);
}

static void release(struct conn *c)
{
    if (c->charged)
        atomic_fetch_sub(&c->worker->server->memory, c->charged);
    c->charged = 0;
    buf_release(&c->in);
}

/* ---- opening and closing ---- */

static void wait_for_request(struct conn *c)
{
    c->phase = PHASE_WAIT;
    c->scanned = c->head_n = 0;
    c->deadline_us = c->worker->now_us + opts(c)->idle_us;
}

static void over(struct conn *c)
{
    if (!c->open)
        return;
    c->open = false;
    opts(c)->handler->over(opts(c)->ctx, &c->x);
    atomic_fetch_sub(&c->worker->server->exchanges, 1);
}

void conn_open(struct worker *w, int fd, const struct sockaddr *at)
{
    struct http_server *s = w->server;
    struct conn *c = calloc(1, sizeof *c + s->o.handler->state_bytes);
    if (!c) {
        atomic_fetch_sub(&s->conns, 1);
        close(fd);
        return;
    }
    c->worker = w;
    c->fd = fd;
    c->x.worker = w->index;
    c->x.state = c->state;
    buf_init(&c->in, (size_t)s->o.head_bytes_max + s->o.body_bytes_max + SCRATCH_BYTES);
    buf_init(&c->out, (size_t)1 << 20);
    if (address_of(at, &c->x.peer)) {
        c->x.trusted = blocks_have(s->o.proxies, s->o.n_proxies, &c->x.peer);
        c->counted = !c->x.trusted && peers_enter(s->peers, &c->x.peer);
    }
    c->next = w->conns;
    if (c->next)
        c->next->prev = c;
    w->conns = c;
    wait_for_request(c);
    if (s->o.tls) {
        c->deadline_us = w->now_us + s->o.head_us;
        c->ssl = tls_session(s->o.tls, fd);
    }
    struct epoll_event e = {.events = CONN_EVENTS, .data = {.ptr = c}};
    if ((s->o.tls && !c->ssl) || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0)
        conn_close(c);
}

void conn_close(struct conn *c)
{
    struct worker *w = c->worker;
    over(c);
    if (c->prev)
        c->prev->next = c->next;
    else
        w->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (c->counted)
        peers_leave(w->server->peers, &c->x.peer);
    release(c);
    buf_release(&c->out);
    SSL_free(c->ssl);
    close(c->fd);
    atomic_fetch_sub(&w->server->conns, 1);
    free(c);
}

/* ---- answers ---- */

bool http_body_is_short(const struct http_exchange *x)
{
    const struct conn *c = (const struct conn *)(const void *)x;
    return x->declared <= HTTP_DISCARD_MAX && !c->expects;
}

static const char *reason_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *words;
    } reasons[] = {
        {200, "OK"},           {201, "Created"},         {202, "Accepted"},           {204, "No Content"},
        {400, "Bad Request"},  {401, "Unauthorized"},    {403, "Forbidden"},          {404, "Not Found"},
        {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},     {410, "Gone"},
        {413, "Content Too Large"},  {417, "Expectation Failed"}, {422, "Unprocessable Content"},
        {429, "Too Many Requests"},  {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
        {501, "Not Implemented"},    {503, "Service Unavailable"}, {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].words;
    return "";
}

static const char *date_of(struct worker *w)
{
    const struct io *io = w->server->o.io;
    uint64_t second = io->world->now_us(io) / 1000000;
    if (second != w->date_s) {
        w->date_s = second;
        clock_http(second * 1000000, w->date);
    }
    return w->date;
}

static bool headers_ok(const struct http_answer *a)
{
    for (size_t i = 0; i < a->n_headers; i++)
        if (!head_name_ok(a->headers[i].name) || !head_value_ok(a->headers[i].value))
            return false;
    return !a->body.n || head_value_ok(span_of(a->content_type));
}

static void write_number(struct buf *b, size_t v)
{
    char text[24];
    size_t at = sizeof text;
    do
        text[--at] = (char)('0' + v % 10);
    while (v /= 10);
    buf_add(b, text + at, sizeof text - at);
}

static void write_answer(struct conn *c, const struct http_answer *a, struct buf *b)
{
    buf_clear(b);
    buf_adds(b, SPAN_LIT("HTTP/1.1 "));
    write_number(b, a->status);
    buf_addc(b, ' ');
    buf_addz(b, reason_of(a->status));
    buf_adds(b, SPAN_LIT("\r\nDate: "));
    buf_addz(b, date_of(c->worker));
    if (a->body.n) {
        buf_adds(b, SPAN_LIT("\r\nContent-Type: "));
        buf_addz(b, a->content_type);
        buf_adds(b, SPAN_LIT("\r\nX-Content-Type-Options: nosniff"));
    }
    for (size_t i = 0; i < a->n_headers; i++) {
        buf_adds(b, SPAN_LIT("\r\n"));
        buf_adds(b, a->headers[i].name);
        buf_adds(b, SPAN_LIT(": "));
        buf_adds(b, a->headers[i].value);
    }
    if (c->close)
        buf_adds(b, SPAN_LIT("\r\nConnection: close"));
    if (a->status != 204) {
        buf_adds(b, SPAN_LIT("\r\nContent-Length: "));
        write_number(b, a->body.n);
    }
    buf_adds(b, SPAN_LIT("\r\n\r\n"));
    if (!c->bodiless && a->status != 204)
        buf_adds(b, a->body);
}

bool http_answer(struct http_exchange *x, const struct http_answer *a)
{
    struct conn *c = (struct conn *)(void *)x;
    struct buf *b = &c->worker->answer;
    if (!headers_ok(a))
        return false;
    c->answered = true;
    c->close = c->close || a->close || atomic_load(&c->worker->server->draining) ||
               (c->phase == PHASE_HEAD && !http_body_is_short(x));
    write_answer(c, a, b);
    if (!buf_ok(b))
        c->lost = true;
    else
        (void)stream_send(c, buf_span(b));
    return true;
}

/* What follows an answer that is out. */
static void after_answer(struct conn *c)
{
    c->again = c->in.n > 0;
    if (c->left && !c->close) {
        c->phase = PHASE_DISCARD;
        c->deadline_us = earlier(c->worker->now_us + opts(c)->body_us, c->whole_us);
    } else if (c->close) {
        stream_shut(c);
        c->phase = PHASE_LINGER;
        c->left = HTTP_LINGER_MAX;
        c->deadline_us = c->worker->now_us + HTTP_LINGER_US;
    } else {
        wait_for_request(c);
    }
}

/* The handler has answered; `left` of the request is still to come. */
static void answered(struct conn *c)
{
    over(c);
    if (c->lost) {
        c->phase = PHASE_LINGER; /* not the handler's any more: it can go */
        return;
    }
    if (c->out.n) {
        c->phase = PHASE_FLUSH;
        c->deadline_us = c->worker->now_us + opts(c)->idle_us;
        return;
    }
    after_answer(c);
}

/* ---- a request ---- */

static void open_exchange(struct conn *c)
{
    if (c->open)
        return;
    c->open = true;
    atomic_fetch_add(&c->worker->server->exchanges, 1);
}

static void refuse(struct conn *c, unsigned status)
{
    open_exchange(c);
    c->close = true;
    opts(c)->handler->refused(opts(c)->ctx, &c->x, status, c->told);
    answered(c);
}

static void begin(struct conn *c)
{
    const struct http_opts *o = opts(c);
    uint64_t now = c->worker->now_us;
    c->phase = PHASE_HEAD;
    c->told = c->answered = c->close = c->bodiless = c->expects = false;
    c->chunked = (struct chunked){0};
    c->data_n = c->raw_n = 0;
    c->left = 0;
    c->x.message = (struct http_message){.method = {"", 0}, .url = {"", 0}, .body = {"", 0}};
    c->x.declared = 0;
    c->x.began_us = now;
    c->whole_us = now + o->request_us;
    c->deadline_us = earlier(now + o->head_us, c->whole_us);
    memset(c->state, 0, o->handler->state_bytes);
}

/* Reads the head at p into the message. Again for a request that came in pieces: its bytes have moved meanwhile. */
static unsigned read_head(struct conn *c, const char *p, size_t n)
{
    struct http_head h;
    struct worker *w = c->worker;
    unsigned status = head_parse((struct span){p, n}, &h, w->headers, HTTP_HEADERS_MAX);
    c->x.message.method = h.method;
    c->x.message.url = h.target;
    c->x.message.headers = c->x.headers = w->headers;
    c->x.message.n_headers = h.n_headers;
    c->bodiless = span_eqz(h.method, "HEAD");
    c->x.declared = h.length;
    c->expects = h.expects;
    c->close = h.close;
    return status;
}

static void hand_over(struct conn *c, struct span body)
{
    c->x.message.body = body;
    c->phase = PHASE_BUSY;
    c->deadline_us = UINT64_MAX;
    opts(c)->handler->whole(opts(c)->ctx, &c->x);
    if (c->answered)
        answered(c);
}

/* Not all of it is there: it is gathered in `in`, where its bytes are or will be. */
static void begin_body(struct conn *c, size_t head_n)
{
    const struct http_opts *o = opts(c);
    c->phase = PHASE_BODY;
    c->head_n = head_n;
    c->heard_us = c->worker->now_us;
    c->deadline_us = earlier(c->worker->now_us + o->body_us, c->whole_us);
}

/* The head is whole. Returns how many bytes are done with. */
static size_t take_head(struct conn *c, const char *p, size_t head_n, size_t n)
{
    const struct http_opts *o = opts(c);
    unsigned status = read_head(c, p, head_n);
    if (status) {
        refuse(c, status);
        return n;
    }
    if (c->x.declared != HTTP_CHUNKED && c->x.declared > o->body_bytes_max) {
        refuse(c, 413);
        return n;
    }
    open_exchange(c);
    c->told = true;
    if (!o->handler->head(o->ctx, &c->x)) {
        c->left = c->x.declared;
        answered(c);
        return head_n;
    }
    if (c->x.declared <= n - head_n) {
        hand_over(c, (struct span){p + head_n, (size_t)c->x.declared});
        return head_n + (size_t)c->x.declared;
    }
    begin_body(c, head_n);
    if (c->expects && n == head_n)
        (void)stream_send(c, SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
    return 0;
}

static size_t step_head(struct conn *c, const char *p, size_t n)
{
    size_t blank = 0, max = opts(c)->head_bytes_max;
    if (c->phase == PHASE_WAIT) {
        while (blank < 2 * BLANKS_MAX && n >= blank + 2 && p[blank] == '\r' && p[blank + 1] == '\n')
            blank += 2;
        if (blank || (n == 1 && p[0] == '\r'))
            return blank;
        begin(c);
    }
    size_t head_n = head_find((struct span){p, n}, &c->scanned);
    if (head_n ? head_n > max : n > max) {
        refuse(c, 431);
        return n;
    }
    if (head_n)
        return take_head(c, p, head_n, n);
    if (!head_may_begin((struct span){p, n})) {
        refuse(c, 400);
        return n;
    }
    return 0;
}

static size_t step_length(struct conn *c, const char *p, size_t n)
{
    size_t whole = c->head_n + (size_t)c->x.declared;
    if (n < whole)
        return 0;
    (void)read_head(c, p, c->head_n);
    hand_over(c, (struct span){p + c->head_n, (size_t)c->x.declared});
    return whole;
}

/* Decoded in place: p is `in`. */
static size_t step_chunked(struct conn *c, char *p, size_t n)
{
    size_t written, at = c->head_n + c->raw_n;
    c->raw_n += chunked_decode(&c->chunked, (struct span){p + at, n - at}, p + c->head_n + c->data_n, &written);
    c->data_n += written;
    if (c->chunked.state != CHUNKED_BAD && c->data_n <= opts(c)->body_bytes_max) {
        if (c->chunked.state != CHUNKED_OVER) { /* all of it is read: the next bytes come behind the data */
            c->in.n = c->head_n + c->data_n;
            c->raw_n = c->data_n;
            return 0;
        }
        size_t whole = c->head_n + c->raw_n; /* an answer given at once begins anew */
        (void)read_head(c, p, c->head_n);
        hand_over(c, (struct span){p + c->head_n, c->data_n});
        return whole;
    }
    (void)read_head(c, p, c->head_n);
    refuse(c, c->chunked.state == CHUNKED_BAD ? 400 : 413);
    return n;
}

static size_t drop(struct conn *c, size_t n)
{
    size_t used = n < c->left ? n : (size_t)c->left;
    c->left -= used;
    if (!c->left && c->phase == PHASE_DISCARD)
        wait_for_request(c);
    else if (!c->left)
        c->lost = true; /* lingered long enough */
    return used;
}

/* One step with what is there; returns how many bytes it is done with, 0: more is needed. */
static size_t step(struct conn *c, char *p, size_t n)
{
    switch (c->phase) {
    case PHASE_WAIT:
    case PHASE_HEAD:
        return step_head(c, p, n);
    case PHASE_BODY:
        c->heard_us = c->worker->now_us;
        if (c->x.declared != HTTP_CHUNKED)
            return step_length(c, p, n);
        return p == c->in.p ? step_chunked(c, p, n) : 0;
    case PHASE_DISCARD:
    case PHASE_LINGER:
        return drop(c, n);
    default:
        return 0;
    }
}

static bool takes(const struct conn *c)
{
    return !c->lost && c->phase != PHASE_BUSY && c->phase != PHASE_FLUSH;
}

static size_t steps(struct conn *c, char *p, size_t n)
{
    size_t done = 0;
    while (done < n && takes(c)) {
        size_t used = step(c, p + done, n - done);
        if (!used)
            break;
        done += used;
    }
    return done;
}

/* ---- what was received ---- */

static void keep(struct conn *c, const char *p, size_t n)
{
    if (!n || c->lost)
        return;
    if (reserve(c, c->in.n + n + 1))
        buf_add(&c->in, p, n);
    else if (takes(c))
        refuse(c, 503);
    else
        c->lost = true;
}

/* How much `in` should hold, of a request whose end is not there: more than it has. */
static size_t wanted(const struct conn *c)
{
    if (c->phase == PHASE_BODY && c->x.declared != HTTP_CHUNKED) {
        uint64_t whole = c->head_n + c->x.declared;
        if (whole <= AT_ONCE || whole <= 2 * (uint64_t)c->in.n)
            return (size_t)whole;
    }
    size_t n = c->in.n < GROW_MIN ? c->in.n + GROW_MIN : 2 * c->in.n;
    return n < c->in.max ? n : c->in.max - 1;
}

static void consume_kept(struct conn *c)
{
    bool undecoded = true;
    while (undecoded && !c->lost) {
        size_t done = steps(c, c->in.p, c->in.n);
        if (done && done < c->in.n)
            memmove(c->in.p, c->in.p + done, c->in.n - done);
        c->in.n -= done;
        undecoded = c->phase == PHASE_BODY && c->x.declared == HTTP_CHUNKED && c->in.n > c->head_n + c->raw_n;
    }
    if (!c->in.n)
        release(c);
}

/* Behind what is kept, or past it: where a request may be whole in one read. */
static void receive(struct conn *c)
{
    struct worker *w = c->worker;
    if (!c->in.n) {
        size_t n = stream_read(c, w->scratch, SCRATCH_BYTES);
        size_t done = steps(c, w->scratch, n);
        keep(c, w->scratch + done, n - done);
        if (c->in.n && c->phase == PHASE_BODY && c->x.declared == HTTP_CHUNKED)
            consume_kept(c);
        return;
    }
    if (c->in.cap < c->in.n + 2 && !reserve(c, wanted(c) + 1)) {
        if (c->phase == PHASE_BODY)
            (void)read_head(c, c->in.p, c->head_n);
        refuse(c, 503);
        return;
    }
    size_t n = stream_read(c, c->in.p + c->in.n, c->in.cap - c->in.n - 1);
    c->in.n += n;
    if (n)
        consume_kept(c);
}

/* One thing that can be done now; false: nothing can. */
static bool turn(struct conn *c)
{
    if (c->phase == PHASE_BUSY)
        return false;
    if (c->phase == PHASE_FLUSH) {
        if (!c->writable || !stream_flush(c) || c->out.n)
            return false;
        after_answer(c);
        return true;
    }
    if (c->again) { /* what was sent before the answer to the request before it */
        c->again = false;
        consume_kept(c);
        return true;
    }
    if (c->readable)
        receive(c);
    return c->readable || c->again || c->phase == PHASE_FLUSH;
}

/* As far as it goes now, or until others should have their turn. May free it. */
static void run(struct conn *c)
{
    bool more = true;
    for (unsigned i = 0; more && !c->lost && i < TURN_MAX; i++)
        more = turn(c);
    if (c->lost && c->phase != PHASE_BUSY) {
        conn_close(c);
        return;
    }
    struct epoll_event e = {.events = CONN_EVENTS, .data = {.ptr = c}};
    if (more && epoll_ctl(c->worker->epoll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0) /* tells again of what is there */
        conn_close(c);
}

void conn_events(struct conn *c, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->ends = true;
    if (c->ends || (events & EPOLLIN))
        c->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        c->writable = true;
    /* A session's reading may have waited for room, and its writing for bytes. */
    if (c->ssl)
        c->readable = c->writable = true;
    run(c);
}

void conn_resumed(struct conn *c)
{
    opts(c)->handler->resumed(opts(c)->ctx, &c->x);
    if (!c->answered)
        return;
    answered(c);
    run(c);
}

void conn_sweep(struct conn *c, uint64_t now_us)
{
    bool stalled = c->phase == PHASE_BODY && now_us >= c->heard_us + opts(c)->idle_us;
    if (now_us < c->deadline_us && !stalled)
        return;
    if (c->phase == PHASE_BODY)
        (void)read_head(c, c->in.p, c->head_n);
    if (c->phase == PHASE_HEAD || c->phase == PHASE_BODY) {
        refuse(c, 408);
        run(c);
    } else if (c->phase != PHASE_BUSY) {
        conn_close(c);
    }
}
