/* The door, spoken to in raw bytes. */
#include "door_world.h"
#include "core/json.h"
#include <errno.h>
#include <pthread.h>

#define EVENT "{\"id\":\"evt_1\",\"type\":\"a.b\"}"

static struct world w;

static void begin(void)
{
    world_new(&w);
    world_start(&w);
}

static void end(void)
{
    world_free(&w);
}

/* ---- what is accepted ---- */

static bool has_header(const struct entry *e, const char *name, const char *value)
{
    return span_eqz(http_header(&e->message, span_of(name), NULL), value);
}

static void read_entry(uint64_t seq, struct entry *ret, struct reader **reader)
{
    struct err err = {0};
    bool any = false;
    uint64_t damage = 0;
    *reader = reader_open(journal_lane(w.journal, LANE_EVENTS), seq);
    ck_assert_msg(reader_next(*reader, ret, &any, &damage, &err), "%s", err.msg);
    ck_assert(any);
    ck_assert_uint_eq(ret->seq, seq);
}

START_TEST(accepted_is_in_the_journal)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    delivery(&w, "demo", SPAN_LIT(EVENT), "evt_1", "X-More: yes\r\nAuthorization: Bearer abc\r\nCookie: c=1\r\n", &b);
    struct answer a = ask(&w, buf_span(&b));
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_eq(a.body, "ok\n");
    ck_assert_uint_eq(entries(&w), 1); /* durable before it was answered */
    struct entry e;
    struct reader *reader;
    read_entry(1, &e, &reader);
    char id[ENTRY_ID_MAX], secret[SECRET_ID_MAX];
    entry_id(&e, id);
    secret_id(SPAN_LIT(SECRET), secret);
    ck_assert_str_eq(a.entry, id);
    ck_assert(span_eqz(e.message.body, EVENT));
    ck_assert(span_eqz(e.message.method, "POST"));
    ck_assert(span_eqz(e.message.url, "/in/demo"));
    ck_assert(span_eqz(e.source, "demo"));
    ck_assert(span_eqz(e.scheme, "standard-webhooks-v1"));
    ck_assert(span_eqz(e.secret_id, secret));
    ck_assert_uint_gt(e.verified_us, 0);
    ck_assert(has_header(&e, "X-More", "yes"));
    ck_assert(has_header(&e, "webhook-id", "evt_1"));
    ck_assert(has_header(&e, "Authorization", "redacted"));
    ck_assert(has_header(&e, "Cookie", "redacted"));
    reader_close(&reader);
    buf_release(&b);
    ck_assert_uint_eq(counts_of(&w, "demo").by_outcome[OUT_ACCEPTED], 1);
    ck_assert_uint_eq(counts_of(&w, "demo").in_flight, 0);
}
END_TEST

START_TEST(binary_and_empty_bodies)
{
    static const struct span bodies[] = {{"", 0}, {"\0\xff\x80\r\n\r\n\0", 8}, {"not json", 8}};
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < 3; i++) {
        buf_clear(&b);
        delivery(&w, "demo", bodies[i], "x", "", &b);
        ck_assert_uint_eq(ask(&w, buf_span(&b)).status, 200);
        struct entry e;
        struct reader *reader;
        read_entry(i + 1, &e, &reader);
        ck_assert(span_eq(e.message.body, bodies[i]));
        reader_close(&reader);
    }
    buf_release(&b);
}
END_TEST

START_TEST(chunked_bodies)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_addz(&b, "POST /in/demo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n");
    sign_into(&w, w.signer, SPAN_LIT(EVENT), "evt_1", &b);
    buf_addz(&b, "\r\n");
    for (size_t i = 0; i < sizeof EVENT - 1; i += 7) {
        size_t n = sizeof EVENT - 1 - i > 7 ? 7 : sizeof EVENT - 1 - i;
        buf_addf(&b, "%zx\r\n%.*s\r\n", n, (int)n, EVENT + i);
    }
    buf_addz(&b, "0\r\n\r\n");
    ck_assert_uint_eq(ask(&w, buf_span(&b)).status, 200);
    buf_release(&b);
}
END_TEST

START_TEST(expect_continue)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    delivery(&w, "demo", SPAN_LIT(EVENT), "evt_1", "Expect: 100-continue\r\n", &b);
    size_t head = b.n - (sizeof EVENT - 1);
    int fd = dial(&w);
    push(fd, (struct span){b.p, head});
    ck_assert_uint_eq(hear(fd).status, 100);
    push(fd, span_skip(buf_span(&b), head));
    ck_assert_uint_eq(hear(fd).status, 200);
    close(fd);
    buf_release(&b);
    /* Refused without asking for the body. */
    ck_assert_uint_eq(ask(&w, SPAN_LIT("POST /in/demo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 900000\r\n\r\n")).status,
                      413);
    ck_assert_uint_eq(ask(&w, SPAN_LIT("POST /in/none HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")).status,
                      404);
}
END_TEST

START_TEST(keep_alive_and_pipelining)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    int fd = dial(&w);
    for (int i = 0; i < 3; i++) { /* one after the other, a refusal between them */
        buf_clear(&b);
        delivery(&w, "demo", SPAN_LIT(EVENT), i == 0 ? "a" : "b", "", &b);
        if (i == 1)
            memcpy(b.p + b.n - 3, "x", 1);
        push(fd, buf_span(&b));
        ck_assert_uint_eq(hear(fd).status, i == 1 ? 401 : 200);
    }
    buf_clear(&b);
    for (int i = 0; i < 20; i++) {
        char body[64], id[16];
        snprintf(body, sizeof body, "{\"id\":\"p%d\"}", i);
        snprintf(id, sizeof id, "p%d", i);
        delivery(&w, "demo", span_of(body), id, "", &b);
    }
    push(fd, buf_span(&b)); /* all at once */
    char last[200] = "";
    for (int i = 0; i < 20; i++) {
        struct answer a = hear(fd);
        ck_assert_uint_eq(a.status, 200);
        ck_assert_str_ne(a.entry, last);
        memcpy(last, a.entry, sizeof last);
    }
    close(fd);
    buf_release(&b);
}
END_TEST

START_TEST(old_http_closes)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_addf(&b, "POST /in/demo HTTP/1.0\r\nContent-Length: %zu\r\n", sizeof EVENT - 1);
    sign_into(&w, w.signer, SPAN_LIT(EVENT), "evt_1", &b);
    buf_addz(&b, "\r\n" EVENT);
    int fd = dial(&w);
    push(fd, buf_span(&b));
    ck_assert_uint_eq(hear(fd).status, 200);
    ck_assert_uint_eq(hear(fd).status, 0);
    close(fd);
    buf_release(&b);
}
END_TEST

/* ---- what is refused ---- */

static const struct {
    const char *request;
    size_t n;
    unsigned status;
    const char *source; /* NULL: counted as unknown */
    enum outcome outcome;
    const char *body;
} refusals[] = {
#define ROW(text, ...) {text, sizeof text - 1, __VA_ARGS__}
    ROW("POST /in/none HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 404, NULL, 0, "unknown_source\n"),
    ROW("POST /in/off HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 404, NULL, 0, "unknown_source\n"),
    ROW("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 404, NULL, 0, NULL),
    ROW("POST /in/demo/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 404, NULL, 0, NULL),
    ROW("POST /in/%64emo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 404, NULL, 0, NULL),
    ROW("GET /in/demo HTTP/1.1\r\nHost: x\r\n\r\n", 405, "demo", OUT_BAD_METHOD, "bad_method\n"),
    ROW("PUT /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 405, "demo", OUT_BAD_METHOD, NULL),
    ROW("POST /in/mute HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 503, "mute", OUT_CANNOT_JUDGE, "cannot_judge\n"),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 401, "demo", OUT_MISSING_HEADER, "missing_header\n"),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\n\r\n", 401, "demo", OUT_MISSING_HEADER, NULL),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n", 413, "demo", OUT_TOO_LARGE, "too_large\n"),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, "demo",
        OUT_BAD_REQUEST, "bad_request\n"),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "demo", OUT_BAD_REQUEST, NULL),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "demo", OUT_BAD_REQUEST, NULL),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400, "demo", OUT_BAD_REQUEST,
        NULL),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 2\r\n\r\n{}", 400, "demo", OUT_BAD_REQUEST, NULL),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nwebhook-id: a\0bcdef\r\nContent-Length: 2\r\n\r\n{}", 400, "demo", OUT_BAD_REQUEST, NULL),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nwebhook-id : a\r\nContent-Length: 2\r\n\r\n{}", 400, "demo", OUT_BAD_REQUEST, NULL),
    ROW("POST /in/demo HTTP/1.1\r\nHost: x\r\nwebhook-id: a\x01\r\nContent-Length: 2\r\n\r\n{}", 400, "demo", OUT_BAD_REQUEST, NULL),
};

START_TEST(refusals_one_by_one)
{
    struct answer a = ask(&w, (struct span){refusals[_i].request, refusals[_i].n});
    ck_assert_msg(a.status == refusals[_i].status, "%u to %s", a.status, refusals[_i].request);
    if (refusals[_i].body)
        ck_assert_str_eq(a.body, refusals[_i].body);
    if (a.status == 405)
        ck_assert_ptr_nonnull(strstr(a.head, "Allow: POST\r\n"));
    if (a.status == 503)
        ck_assert_ptr_nonnull(strstr(a.head, "Retry-After: 5\r\n"));
    if (a.status == 413)
        ck_assert_ptr_nonnull(strstr(a.head, "Connection: close\r\n"));
    ck_assert_uint_eq(entries(&w), 0);
    if (!refusals[_i].source) {
        ck_assert_uint_eq(server_unknown_source(w.server), 1);
        return;
    }
    struct source_counts c = counts_of(&w, refusals[_i].source);
    ck_assert_uint_eq(c.by_outcome[refusals[_i].outcome], 1);
    ck_assert_int_eq(c.last_rejected, refusals[_i].outcome);
    ck_assert_uint_eq(c.in_flight, 0);
    /* And a genuine one is accepted after each. */
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
}
END_TEST

START_TEST(a_body_in_chunks_is_cut_off_at_the_limit)
{
    struct buf b;
    buf_init(&b, 4 << 20);
    buf_addz(&b, "POST /in/demo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 30; i++) {
        char chunk[4096];
        memset(chunk, 'y', sizeof chunk);
        buf_addz(&b, "1000\r\n");
        buf_add(&b, chunk, sizeof chunk);
        buf_addz(&b, "\r\n");
    }
    int fd = dial(&w);
    push(fd, buf_span(&b)); /* no end: it is answered before there is one */
    struct answer a = hear(fd);
    ck_assert_uint_eq(a.status, 413);
    ck_assert_str_eq(a.body, "too_large\n");
    ck_assert_uint_eq(hear(fd).status, 0);
    close(fd);
    buf_release(&b);
    await_outcome(&w, "demo", OUT_TOO_LARGE, 1);
}
END_TEST

START_TEST(a_body_of_the_limit_is_taken)
{
    struct buf body, b;
    buf_init(&body, BODY_MAX);
    buf_init(&b, 4 << 20);
    for (size_t i = 0; i < BODY_MAX; i++)
        buf_addc(&body, (char)('a' + i % 26));
    delivery(&w, "demo", buf_span(&body), "big", "", &b);
    ck_assert_uint_eq(ask(&w, buf_span(&b)).status, 200);
    buf_release(&b);
    buf_release(&body);
}
END_TEST

START_TEST(large_heads_are_refused)
{
    struct buf b;
    buf_init(&b, 4 << 20);
    buf_addz(&b, "POST /in/demo HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 300; i++)
        buf_addf(&b, "X-%d: y\r\n", i);
    buf_addz(&b, "Content-Length: 0\r\n\r\n");
    ck_assert_uint_eq(ask(&w, buf_span(&b)).status, 431);
    buf_clear(&b);
    buf_addz(&b, "POST /in/demo HTTP/1.1\r\nHost: x\r\nX: ");
    for (int i = 0; i < 70000; i++)
        buf_addc(&b, 'y');
    buf_addz(&b, "\r\nContent-Length: 0\r\n\r\n");
    unsigned status = ask(&w, buf_span(&b)).status;
    ck_assert_msg(status == 431 || status == 0, "%u", status);
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
    buf_release(&b);
}
END_TEST

START_TEST(forged_and_stale)
{
    struct buf b;
    struct err err = {0};
    buf_init(&b, 1 << 20);
    delivery(&w, "demo", SPAN_LIT(EVENT), "evt_1", "", &b);
    b.p[b.n - 3] ^= 1;
    ck_assert_uint_eq(ask(&w, buf_span(&b)).status, 401);
    buf_clear(&b);
    buf_addf(&b, "POST /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n", sizeof EVENT - 1);
    struct buf lines;
    buf_init(&lines, 1 << 16);
    ck_assert(verify_sign(w.signer, (struct span){0}, SPAN_LIT(EVENT), SPAN_LIT("evt_1"),
                          w.io->world->now_us(w.io) - UINT64_C(3600) * 1000000, &lines, &err));
    for (struct span rest = buf_span(&lines); rest.n;) {
        buf_adds(&b, span_cut(rest, '\n', &rest));
        buf_addz(&b, "\r\n");
    }
    buf_addz(&b, "\r\n" EVENT);
    struct answer a = ask(&w, buf_span(&b));
    ck_assert_uint_eq(a.status, 401);
    ck_assert_str_eq(a.body, "expired\n");
    ck_assert_uint_eq(counts_of(&w, "demo").by_outcome[OUT_BAD_SIGNATURE], 1);
    ck_assert_uint_eq(counts_of(&w, "demo").by_outcome[OUT_EXPIRED], 1);
    ck_assert_uint_eq(entries(&w), 0);
    buf_release(&lines);
    buf_release(&b);
}
END_TEST

START_TEST(half_requests_are_aborted)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    delivery(&w, "demo", SPAN_LIT(EVENT), "evt_1", "", &b);
    size_t head = b.n - (sizeof EVENT - 1);
    for (size_t cut = 1; cut < b.n; cut += cut < head ? 17 : 3) {
        int fd = dial(&w);
        push(fd, (struct span){b.p, cut});
        close(fd);
    }
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
    ck_assert_uint_eq(entries(&w), 1);
    struct source_counts c;
    for (int i = 0; i < 1000; i++) { /* another worker may not have seen its own yet */
        c = counts_of(&w, "demo");
        if (!c.in_flight && c.by_outcome[OUT_ABORTED] > 3)
            break;
        usleep(5000);
    }
    ck_assert_uint_eq(c.in_flight, 0);
    ck_assert_uint_gt(c.by_outcome[OUT_ABORTED], 3); /* those whose headers were complete */
    buf_release(&b);
}
END_TEST

START_TEST(who_drips_is_cut_off)
{
    world_stop(&w);
    w.config.request_us = 1000000;
    w.config.idle_us = 1000000;
    world_start(&w);
    struct buf b;
    buf_init(&b, 1 << 20);
    delivery(&w, "demo", SPAN_LIT(EVENT), "evt_1", "", &b);
    size_t start = _i == 0 ? 3 : _i == 1 ? 60 : b.n - 20; /* in the request line, the headers, the body */
    int fd = dial(&w);
    push(fd, (struct span){b.p, start});
    uint64_t began = w.io->world->monotonic_us(w.io), took = 0;
    char c;
    for (size_t i = start; i < start + 18 && took == 0; i++) {
        usleep(200000);
        if (send(fd, b.p + i, 1, MSG_NOSIGNAL) < 0 || recv(fd, &c, 1, MSG_DONTWAIT) == 0)
            took = w.io->world->monotonic_us(w.io) - began;
    }
    close(fd);
    ck_assert_msg(took > 0, "never cut off");
    ck_assert_uint_lt(took, 3500000);
    buf_release(&b);
}
END_TEST

/* ---- after verification ---- */

START_TEST(duplicates_are_answered_and_not_stored)
{
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
    struct answer a = deliver(&w, "demo", EVENT, "evt_1");
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_eq(a.entry, "");
    ck_assert_uint_eq(entries(&w), 1);
    /* The same id with another body is no duplicate, nor the same body at another source. */
    ck_assert_uint_eq(deliver(&w, "demo", "{\"id\":\"evt_1\",\"type\":\"a.c\"}", "evt_1").status, 200);
    ck_assert_uint_eq(deliver(&w, "open", EVENT, "evt_1").status, 200);
    ck_assert_uint_eq(entries(&w), 3);
    /* Without an id nothing is called a duplicate. */
    ck_assert_uint_eq(deliver(&w, "demo", "{\"a\":1}", "x").status, 200);
    ck_assert_uint_eq(deliver(&w, "demo", "{\"a\":1}", "x").status, 200);
    ck_assert_uint_eq(entries(&w), 5);
    /* And all of it is still known after a restart. */
    world_stop(&w);
    world_start(&w);
    ck_assert_str_eq(deliver(&w, "demo", EVENT, "evt_1").entry, "");
    ck_assert_str_eq(deliver(&w, "open", EVENT, "evt_1").entry, "");
    ck_assert_uint_eq(entries(&w), 5);
    ck_assert_uint_eq(counts_of(&w, "demo").by_outcome[OUT_DUPLICATE], 1);
}
END_TEST

START_TEST(handshakes_are_answered)
{
    struct buf b;
    struct span body = SPAN_LIT("{\"type\":\"url_verification\",\"challenge\":\"3eZbrw1a\"}");
    for (int good = 1; good >= 0; good--) {
        buf_init(&b, 1 << 20);
        buf_addf(&b, "POST /in/slack HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n", body.n);
        sign_into(&w, good ? w.slack : w.signer, body, "x", &b);
        buf_addz(&b, "\r\n");
        buf_adds(&b, body);
        struct answer a = ask(&w, buf_span(&b));
        ck_assert_uint_eq(a.status, good ? 200 : 401);
        if (good)
            ck_assert_str_eq(a.body, "3eZbrw1a");
        buf_release(&b);
    }
    ck_assert_uint_eq(counts_of(&w, "slack").by_outcome[OUT_HANDSHAKE], 1);
    ck_assert_uint_eq(entries(&w), 0);
}
END_TEST

START_TEST(tokens_do_not_reach_the_journal)
{
    static const char *const requests[] = {
        "POST /in/tok HTTP/1.1\r\nHost: x\r\nX-Token: " SECRET "\r\nContent-Length: 10\r\n\r\n{\"id\":\"1\"}",
        "POST /in/tok?a=1&key=" SECRET "&b=2 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"id\":\"2\"}",
        "POST /in/tok?k%65y=" SECRET " HTTP/1.1\r\nHost: x\r\nX-Token: wrong\r\nContent-Length: 10\r\n\r\n{\"id\":\"3\"}",
    };
    char secret[SECRET_ID_MAX], expected[64];
    secret_id(SPAN_LIT(SECRET), secret);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(ask(&w, span_of(requests[i])).status, 200);
        struct entry e;
        struct reader *reader;
        read_entry(i + 1, &e, &reader);
        snprintf(expected, sizeof expected, "secret:%s", secret);
        if (i == 0)
            ck_assert(has_header(&e, "X-Token", expected));
        snprintf(expected, sizeof expected, "/in/tok?a=1&key=secret:%s&b=2", secret);
        if (i == 1)
            ck_assert_msg(span_eqz(e.message.url, expected), "%.*s", SPAN_ARG(e.message.url));
        ck_assert_ptr_null(memmem(e.message.url.p, e.message.url.n, SECRET, sizeof SECRET - 1));
        for (size_t k = 0; k < e.message.n_headers; k++)
            ck_assert(!span_eqz(e.message.headers[k].value, SECRET));
        reader_close(&reader);
    }
}
END_TEST

static void await_rejected(const char *source, size_t n, struct buf *out)
{
    buf_init(out, 1 << 20);
    ck_assert(server_rejected(w.server, span_of(source), SIZE_MAX, out));
    struct json list;
    ck_assert(json_parse(buf_span(out), &list, NULL));
    ck_assert_uint_eq(json_count(list), n);
}

static void restart_keeping(uint32_t n)
{
    world_stop(&w);
    w.config.rejected_max = n;
    world_start(&w);
}

START_TEST(what_is_refused_is_kept_without_credentials)
{
    static const char *const requests[] = {
        "POST /in/tok HTTP/1.1\r\nHost: x\r\nX-Token: tok_guess\r\nX-Token: tok_other\r\nContent-Length: 2\r\n\r\n{}",
        "POST /in/tok?a=1&key=tok_guess&ke%79=tok_other HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        "POST /in/tok HTTP/1.1\r\nHost: x\r\nX-Token: tok_guess\r\nAuthorization: secret:tok_x\r\nAuthorization: tok_y\r\n"
        "Proxy-Authorization: tok_z\r\nCookie: tok_c\r\nContent-Length: 2\r\n\r\n{}",
    };
    restart_keeping(10);
    struct buf kept;
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_eq(ask(&w, span_of(requests[i])).status / 100, 4);
    await_rejected("tok", 3, &kept);
    ck_assert_ptr_null(strstr(buf_z(&kept), "tok_"));
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "[\"X-Token\",\"redacted\"]"));
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "?a=1&key=redacted&ke%79=redacted"));
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "[\"Cookie\",\"redacted\"]"));
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "\"blanked\":true"));
    buf_release(&kept);
    /* Of a signature nothing is blanked. */
    ck_assert_uint_eq(ask(&w, SPAN_LIT("POST /in/demo HTTP/1.1\r\nHost: x\r\nwebhook-id: 1\r\nwebhook-timestamp: 1\r\n"
                                       "webhook-signature: v1,AAAA\r\nContent-Length: 2\r\n\r\n{}")).status, 401);
    await_rejected("demo", 1, &kept);
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "\"v1,AAAA\""));
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "\"body_base64\":\"e30=\""));
    ck_assert_ptr_null(strstr(buf_z(&kept), "blanked"));
    buf_release(&kept);
    ck_assert_uint_eq(entries(&w), 0);
    ck_assert(!server_rejected(w.server, SPAN_LIT("nobody"), 1, &kept));
}
END_TEST

/* Answered from the headers: a short body is taken all the same, a longer one or one in chunks is told to be missing. */
START_TEST(what_no_secret_could_judge_is_kept)
{
    restart_keeping(10);
    struct buf b, kept;
    buf_init(&b, 1 << 20);
    ck_assert_uint_eq(ask(&w, SPAN_LIT("POST /in/mute HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")).status, 503);
    await_rejected("mute", 1, &kept);
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "\"outcome\":\"cannot_judge\""));
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "\"body_base64\":\"e30=\""));
    ck_assert_ptr_null(strstr(buf_z(&kept), "body_bytes"));
    buf_release(&kept);
    buf_addz(&b, "POST /in/mute HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
    for (size_t i = 0; i < 65537; i++)
        buf_addc(&b, 'x');
    ck_assert_uint_eq(ask(&w, buf_span(&b)).status, 503);
    await_rejected("mute", 2, &kept);
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "\"body_bytes\":65537,\"body_base64\":\"\""));
    buf_release(&kept);
    ck_assert_uint_eq(ask(&w, SPAN_LIT("POST /in/mute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")).status,
                      503);
    await_rejected("mute", 3, &kept);
    ck_assert_ptr_nonnull(strstr(buf_z(&kept), "\"body_bytes\":null,\"body_base64\":\"\""));
    buf_release(&kept);
    buf_release(&b);
    restart_keeping(10);
    await_rejected("mute", 3, &kept);
    buf_release(&kept);
    restart_keeping(0);
    ck_assert_uint_eq(ask(&w, SPAN_LIT("POST /in/mute HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")).status, 503);
    await_rejected("mute", 0, &kept);
    buf_release(&kept);
}
END_TEST

START_TEST(unverified_sources_say_so)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    ck_assert_uint_eq(ask(&w, SPAN_LIT("POST /in/open HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")).status, 200);
    server_warnings(w.server, &b);
    ck_assert_ptr_nonnull(strstr(buf_z(&b), "open: verification: none"));
    ck_assert_ptr_nonnull(strstr(buf_z(&b), "mute: no usable secret"));
    ck_assert_ptr_null(strstr(buf_z(&b), SECRET));
    ck_assert(counts_of(&w, "demo").can_judge);
    ck_assert(!counts_of(&w, "mute").can_judge);
    struct entry e;
    struct reader *reader;
    read_entry(1, &e, &reader);
    ck_assert_uint_eq(e.scheme.n, 0);
    ck_assert_uint_eq(e.verified_us, 0);
    reader_close(&reader);
    buf_release(&b);
}
END_TEST

/* ---- when it cannot be stored ---- */

START_TEST(a_full_journal_is_unavailable)
{
    world_stop(&w);
    w.journal_bytes_max = 1000;
    world_start(&w);
    struct answer a = deliver(&w, "demo", EVENT, "evt_1");
    ck_assert_uint_eq(a.status, 503);
    ck_assert_ptr_nonnull(strstr(a.head, "Retry-After: 5\r\n"));
    ck_assert_uint_eq(entries(&w), 0);
    ck_assert_uint_eq(counts_of(&w, "demo").by_outcome[OUT_UNAVAILABLE], 1);
}
END_TEST

static struct io_file_ops failing_files;
static struct io failing_io;
static _Atomic int syncs_fail;

static int failing_sync(const struct io *io, int fd)
{
    (void)io;
    return syncs_fail ? -EIO : io_posix()->file->sync(io_posix(), fd);
}

START_TEST(a_failed_sync_is_never_acknowledged)
{
    world_stop(&w);
    failing_io = *io_posix();
    failing_files = *failing_io.file;
    failing_files.sync = failing_sync;
    failing_io.file = &failing_files;
    w.io = &failing_io;
    world_start(&w);
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
    syncs_fail = 1;
    struct answer a = deliver(&w, "demo", "{\"id\":\"evt_2\"}", "evt_2");
    ck_assert_uint_eq(a.status, 503);
    ck_assert_str_eq(a.entry, "");
    ck_assert_ptr_nonnull(strstr(a.head, "Retry-After: 5\r\n"));
    syncs_fail = 0;
    /* The same delivery again is no duplicate of what was lost. */
    a = deliver(&w, "demo", "{\"id\":\"evt_2\"}", "evt_2");
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_ne(a.entry, "");
    world_stop(&w);
    struct books b = books_of(&w, "demo");
    ck_assert_uint_eq(b.received, 3);
    ck_assert_uint_eq(b.journalled, 2);
    ck_assert_uint_eq(b.rejected, 1);
}
END_TEST

/* ---- books ---- */

START_TEST(books_balance_over_restarts)
{
    struct err err = {0};
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
    ck_assert_uint_eq(ask(&w, SPAN_LIT("GET /in/demo HTTP/1.1\r\nHost: x\r\n\r\n")).status, 405);
    ck_assert_uint_eq(ask(&w, SPAN_LIT("GET /in/nobody HTTP/1.1\r\nHost: x\r\n\r\n")).status, 404);
    ck_assert_msg(server_flush_books(w.server, &err), "%s", err.msg);
    struct books b = books_of(&w, "demo");
    ck_assert_uint_eq(b.received, 3);
    ck_assert_uint_eq(b.journalled, 1);
    ck_assert_uint_eq(b.duplicate, 1);
    ck_assert_uint_eq(b.rejected, 1);
    ck_assert(server_flush_books(w.server, &err)); /* adds nothing twice */
    ck_assert_uint_eq(books_of(&w, "demo").received, 3);
    /* Entries that a crash left uncounted: durable, but above the mark. */
    server_stop(&w.server);
    for (int i = 0; i < 5; i++) {
        struct entry e = {.kind = ENTRY_EVENT, .received_us = 1, .source = i < 3 ? SPAN_LIT("demo") : SPAN_LIT("gone")};
        ck_assert(lane_append_wait(journal_lane(w.journal, LANE_EVENTS), &e, NULL, &err));
    }
    world_start(&w);
    ck_assert_uint_eq(books_of(&w, "demo").received, 6);
    ck_assert_uint_eq(books_of(&w, "demo").journalled, 4);
    ck_assert_uint_eq(books_of(&w, "gone").journalled, 2);
    world_stop(&w);
    world_start(&w);
    ck_assert_uint_eq(books_of(&w, "demo").received, 6); /* once */
    ck_assert_uint_eq(deliver(&w, "demo", "{\"id\":\"evt_9\"}", "evt_9").status, 200);
    world_stop(&w);
    ck_assert_uint_eq(books_of(&w, "demo").journalled, 5);
}
END_TEST

static bool see(void *ctx, const struct secret_seen *seen)
{
    struct secret_seen *last = ctx;
    last->first_us = seen->first_us;
    last->last_used_us = seen->last_used_us;
    return true;
}

START_TEST(the_last_use_of_a_secret_is_known)
{
    struct err err = {0};
    struct state state;
    struct secret_seen last = {.first_us = 1};
    for (int used = 0; used < 2; used++) {
        if (used)
            ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
        ck_assert(server_flush_books(w.server, &err));
        ck_assert(state_open(&state, w.dir, true, &err));
        ck_assert(state_secret_each(&state, SPAN_LIT("demo"), see, &last, &err));
        state_close(&state);
        ck_assert_uint_gt(last.first_us, 1);
        ck_assert_msg((last.last_used_us > 0) == (used > 0), "used %d: %llu", used, (unsigned long long)last.last_used_us);
    }
}
END_TEST

/* ---- many at once ---- */

#define CLIENTS 8
#define EACH 60

static void *client(void *arg)
{
    int me = *(int *)arg;
    struct buf b;
    buf_init(&b, 1 << 20);
    int fd = dial(&w);
    for (int i = 0; i < EACH; i++) {
        char body[80], id[32];
        snprintf(id, sizeof id, "c%d_%d", i % 10 == 9 ? 0 : me, i); /* every tenth is the same from all of them */
        snprintf(body, sizeof body, "{\"id\":\"%s\"}", id);
        buf_clear(&b);
        delivery(&w, "demo", span_of(body), id, "", &b);
        if (i % 5 == 3)
            b.p[b.n - 3] ^= 1;
        push(fd, buf_span(&b));
        struct answer a = hear(fd);
        ck_assert_uint_eq(a.status, i % 5 == 3 ? 401 : 200);
        if (i % 20 == 19) {
            push(fd, (struct span){b.p, b.n / 2}); /* goes away in the middle */
            close(fd);
            fd = dial(&w);
        }
    }
    close(fd);
    buf_release(&b);
    return NULL;
}

START_TEST(many_clients_at_once)
{
    pthread_t threads[CLIENTS];
    int ids[CLIENTS];
    struct err err = {0};
    for (int i = 0; i < CLIENTS; i++) {
        ids[i] = i + 1;
        pthread_create(&threads[i], NULL, client, &ids[i]);
    }
    for (int i = 0; i < 20; i++) { /* the books balance at any moment */
        ck_assert(server_flush_books(w.server, &err));
        struct books b = books_of(&w, "demo");
        ck_assert_uint_eq(b.received, b.handshake + b.rejected + b.duplicate + b.journalled);
        usleep(10000);
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    world_stop(&w);
    world_open_journal(&w);
    struct books b = books_of(&w, "demo");
    ck_assert_uint_eq(b.journalled, entries(&w));
    ck_assert_uint_eq(b.received, b.handshake + b.rejected + b.duplicate + b.journalled);
    ck_assert_uint_eq(b.journalled + b.duplicate, CLIENTS * EACH * 4 / 5);
    ck_assert_uint_ge(b.journalled, CLIENTS * EACH * 4 / 5 - CLIENTS * EACH / 10);
}
END_TEST

START_TEST(times_are_observed)
{
    struct histogram_snapshot verify, request;
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200); /* a duplicate is verified, too */
    ck_assert_uint_eq(deliver(&w, "open", EVENT, "evt_1").status, 200); /* verifies nothing */
    ck_assert_uint_eq(deliver(&w, "nobody", EVENT, "evt_1").status, 404);
    for (int i = 0; i < 2000; i++) { /* a request ends a moment after its answer is there */
        server_times(w.server, &verify, &request);
        if (request.count == 4)
            break;
        usleep(1000);
    }
    ck_assert_uint_eq(request.count, 4);
    ck_assert_uint_eq(verify.count, 2);
    ck_assert_uint_ge(request.sum_us, verify.sum_us);
    ck_assert_uint_lt(request.sum_us, 60000000);
}
END_TEST

START_TEST(secrets_are_told_by_their_ids)
{
    char id[SECRET_ID_MAX];
    struct held_id held = {.last_used_us = 7};
    secret_id(SPAN_LIT(SECRET), id);
    ck_assert(server_secret(w.server, SPAN_LIT("demo"), 0, &held));
    ck_assert_str_eq(held.id, id);
    ck_assert_uint_eq(held.last_used_us, 0);
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
    ck_assert(server_secret(w.server, SPAN_LIT("demo"), 0, &held));
    ck_assert_str_eq(held.id, id);
    ck_assert_uint_gt(held.last_used_us, 0);
    ck_assert(!server_secret(w.server, SPAN_LIT("demo"), 1, &held));
    ck_assert(!server_secret(w.server, SPAN_LIT("open"), 0, &held));
    ck_assert(!server_secret(w.server, SPAN_LIT("nobody"), 0, &held));
}
END_TEST

START_TEST(a_drained_server_can_be_asked)
{
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
    server_drain(w.server);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(server_port(w.server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_ne(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    close(fd);
    ck_assert_uint_eq(counts_of(&w, "demo").by_outcome[OUT_ACCEPTED], 1);
    server_drain(w.server); /* and server_stop drains no second time */
}
END_TEST

START_TEST(stopping_answers_what_is_in_flight)
{
    pthread_t threads[CLIENTS];
    struct buf requests[CLIENTS];
    int fds[CLIENTS];
    (void)threads;
    for (int i = 0; i < CLIENTS; i++) {
        char id[16];
        snprintf(id, sizeof id, "s%d", i);
        buf_init(&requests[i], 1 << 20);
        delivery(&w, "demo", SPAN_LIT(EVENT), id, "", &requests[i]);
        fds[i] = dial(&w);
        push(fds[i], buf_span(&requests[i]));
    }
    for (int i = 0; i < 2000 && counts_of(&w, "demo").by_outcome[OUT_ACCEPTED] + counts_of(&w, "demo").by_outcome[OUT_DUPLICATE] == 0; i++)
        usleep(1000);
    world_stop(&w);
    world_open_journal(&w);
    uint64_t told = 0;
    for (int i = 0; i < CLIENTS; i++) {
        struct answer a = hear(fds[i]);
        ck_assert_msg(a.status == 200 || a.status == 503 || a.status == 0, "%u", a.status);
        told += a.status == 200 && a.entry[0];
        close(fds[i]);
        buf_release(&requests[i]);
    }
    ck_assert_uint_ge(entries(&w), told); /* what was told is there */
}
END_TEST

START_TEST(a_port_in_use_is_said)
{
    struct err err = {0};
    struct server *second = NULL;
    struct config config = w.config;
    config.listen.port = server_port(w.server);
    struct server_opts so = {.config = &config, .journal = w.journal, .data_dir = w.dir, .io = w.io};
    ck_assert(!server_start(&so, &second, &err));
    ck_assert_ptr_null(second);
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.msg, "127.0.0.1"));
    ck_assert_uint_eq(deliver(&w, "demo", EVENT, "evt_1").status, 200);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("server");
    TCase *c = tcase_create("server");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, begin, end);
    suite_add_tcase(s, c);
    tcase_add_test(c, accepted_is_in_the_journal);
    tcase_add_test(c, binary_and_empty_bodies);
    tcase_add_test(c, chunked_bodies);
    tcase_add_test(c, expect_continue);
    tcase_add_test(c, keep_alive_and_pipelining);
    tcase_add_test(c, old_http_closes);
    tcase_add_loop_test(c, refusals_one_by_one, 0, (int)(sizeof refusals / sizeof refusals[0]));
    tcase_add_test(c, a_body_in_chunks_is_cut_off_at_the_limit);
    tcase_add_test(c, a_body_of_the_limit_is_taken);
    tcase_add_test(c, large_heads_are_refused);
    tcase_add_test(c, forged_and_stale);
    tcase_add_test(c, half_requests_are_aborted);
    tcase_add_loop_test(c, who_drips_is_cut_off, 0, 3);
    tcase_add_test(c, duplicates_are_answered_and_not_stored);
    tcase_add_test(c, handshakes_are_answered);
    tcase_add_test(c, tokens_do_not_reach_the_journal);
    tcase_add_test(c, what_is_refused_is_kept_without_credentials);
    tcase_add_test(c, what_no_secret_could_judge_is_kept);
    tcase_add_test(c, unverified_sources_say_so);
    tcase_add_test(c, a_full_journal_is_unavailable);
    tcase_add_test(c, a_failed_sync_is_never_acknowledged);
    tcase_add_test(c, books_balance_over_restarts);
    tcase_add_test(c, the_last_use_of_a_secret_is_known);
    tcase_add_test(c, many_clients_at_once);
    tcase_add_test(c, times_are_observed);
    tcase_add_test(c, secrets_are_told_by_their_ids);
    tcase_add_test(c, a_drained_server_can_be_asked);
    tcase_add_test(c, stopping_answers_what_is_in_flight);
    tcase_add_test(c, a_port_in_use_is_said);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
