/* What a request brings: its source, its headers, whether its framing can be read in one way only, and its body. */
#include "server/door.h"
#include <stdlib.h>

struct door_source *source_of(struct server *s, struct span url, size_t *ret_index)
{
    struct span query, prefix = SPAN_LIT("/in/"), path = span_cut(url, '?', &query);
    if (!span_starts(path, prefix))
        return NULL;
    path = span_skip(path, prefix.n);
    for (size_t i = 0; i < s->n_sources; i++) {
        if (span_eqz(path, s->sources[i].config->name)) {
            *ret_index = i;
            return s->sources[i].config->webhook_off ? NULL : &s->sources[i];
        }
    }
    return NULL;
}

static bool refuse(struct request *r, enum outcome o, unsigned status)
{
    r->outcome = o;
    r->status = status;
    return false;
}

/* ---- headers ---- */

struct gathering {
    struct request *r;
    size_t n, bytes; /* bytes: as the head would be spelled */
    bool bad;
};

static bool token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool value_char(char c)
{
    return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static enum MHD_Result take_header(void *ctx, enum MHD_ValueKind kind, const char *name, size_t name_n, const char *value,
                                   size_t value_n)
{
    struct gathering *g = ctx;
    (void)kind;
    if (g->n == ENTRY_HEADERS_MAX) {
        g->n++;
        return MHD_NO;
    }
    g->bad = g->bad || name_n == 0;
    for (size_t i = 0; i < name_n; i++)
        g->bad = g->bad || !token_char(name[i]);
    for (size_t i = 0; i < value_n; i++)
        g->bad = g->bad || !value_char(value[i]);
    g->bytes += name_n + value_n + sizeof ": \r\n" - 1;
    g->r->headers[g->n++] = (struct http_header){{name, name_n}, {value ? value : "", value ? value_n : 0}};
    return MHD_YES;
}

/* The library cuts a value at a NUL and unfolds lines: then its head was longer than what it shows. What another reader on the
 * way may have understood differently is refused. */
static bool head_is_whole(const struct request *r, const struct gathering *g)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t shown = r->message.method.n + 1 + r->message.url.n + 1 + strlen(r->version) + 2 + g->bytes + 2;
    return !info || info->header_size <= shown;
}

static unsigned count_of(const struct request *r, const char *name, struct span *ret)
{
    unsigned n = 0;
    *ret = http_header(&r->message, span_of(name), &n);
    return n;
}

static bool length_of(struct span text, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || v > UINT64_MAX / 16)
            return false;
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    *ret = v;
    return text.n > 0;
}

/* One length, told in one way. */
static bool check_framing(struct request *r)
{
    struct span length, coding, host, expect;
    unsigned n_length = count_of(r, "Content-Length", &length), n_coding = count_of(r, "Transfer-Encoding", &coding);
    uint64_t bytes = 0;
    r->must_close = true;
    if (n_length > 1 || n_coding > 1 || (n_length && n_coding) || count_of(r, "Host", &host) > 1)
        return refuse(r, OUT_BAD_REQUEST, 400);
    if (n_coding && !span_ieq(coding, SPAN_LIT("chunked")))
        return refuse(r, OUT_BAD_REQUEST, 400);
    if (n_length && !length_of(span_trim(length), &bytes))
        return refuse(r, OUT_BAD_REQUEST, 400);
    r->declared = n_coding ? UINT64_MAX : bytes;
    /* A short body that is refused early is dropped, so that the connection lives on; after Expect none comes. */
    r->must_close = n_coding > 0 || bytes > DISCARD_MAX || count_of(r, "Expect", &expect) > 0;
    r->must_linger = r->must_close && count_of(r, "Expect", &expect) == 0;
    return bytes <= r->server->config->body_bytes_max || refuse(r, OUT_TOO_LARGE, 413);
}

bool gather_headers(struct request *r)
{
    struct gathering g = {.r = r};
    r->must_close = true;
    MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, take_header, &g);
    if (g.n > ENTRY_HEADERS_MAX || g.bytes > r->server->config->header_bytes_max)
        return refuse(r, OUT_BAD_REQUEST, 431);
    r->message.headers = r->headers;
    r->message.n_headers = g.n;
    if (g.bad || !head_is_whole(r, &g))
        return refuse(r, OUT_BAD_REQUEST, 400);
    return check_framing(r);
}

/* ---- body ---- */

#define AT_ONCE UINT64_C(65536) /* memory that is taken because of a mere announcement */

bool gather_body(struct request *r, const char *p, size_t n)
{
    struct server *s = r->server;
    if (n > s->config->body_bytes_max - r->body.n)
        return refuse(r, OUT_TOO_LARGE, 413);
    size_t want = r->body.n + n + 1;
    if (want > r->body.cap) {
        if (r->declared <= AT_ONCE && want <= r->declared)
            want = (size_t)r->declared + 1;
        uint64_t most = 2 * (uint64_t)want; /* what the buffer may grow to */
        if (atomic_fetch_add(&s->body_bytes, most) + most > BODY_BUDGET) {
            atomic_fetch_sub(&s->body_bytes, most);
            return refuse(r, OUT_UNAVAILABLE, 503);
        }
        atomic_fetch_sub(&s->body_bytes, r->charged);
        r->charged = most;
        (void)buf_reserve(&r->body, want - 1 - r->body.n);
    }
    buf_add(&r->body, p, n);
    return buf_ok(&r->body) || refuse(r, OUT_UNAVAILABLE, 503);
}

void gather_release(struct request *r)
{
    if (r->body.cap > SPARE_BODY)
        buf_release(&r->body);
    else
        buf_clear(&r->body);
    atomic_fetch_sub(&r->server->body_bytes, r->charged);
    r->charged = 0;
}
