/* Request heads: what is read, and that whatever two readers may understand differently is refused. */
#include "../check_main.h"
#include "http/head.h"
#include <string.h>

static const struct good {
    const char *head, *method, *target;
    uint64_t length;
    size_t n_headers;
    bool close, expects;
} good[] = {
    {"POST /in/a HTTP/1.1\r\nHost: x\r\n\r\n", "POST", "/in/a", 0, 1, false, false},
    {"POST /in/a?b=c%20d HTTP/1.1\r\nHost:x\r\nContent-Length: 12\r\n\r\n", "POST", "/in/a?b=c%20d", 12, 2, false, false},
    {"POST /a HTTP/1.1\r\nHost: x\r\ncontent-length:\t 0012 \t\r\n\r\n", "POST", "/a", 12, 2, false, false},
    {"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST", "/a", UINT64_MAX, 2, false, false},
    {"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "POST", "/a", 1, 3, false, true},
    {"POST /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Close\r\n\r\n", "POST", "/a", 0, 2, true, false},
    {"POST /a HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n", "POST", "/a", 0, 2, false, false},
    {"GET http://h:80/a?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a?b", 0, 1, false, false},
    {"GET HTTPS://h HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", 0, 1, false, false},
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "*", 0, 1, false, false},
    {"POST /a HTTP/1.0\r\n\r\n", "POST", "/a", 0, 0, true, false},
    {"POST /a HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", "POST", "/a", 0, 1, true, false},
    {"PURGE /a HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-\xC3\x84: \xC3\xA4\r\n\r\n", NULL, NULL, 0, 0, false, false},
    {"PURGE /a HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Umlaut: \xC3\xA4\r\n\r\n", "PURGE", "/a", 0, 3, false, false},
};

START_TEST(good_heads_are_read)
{
    const struct good *g = &good[_i];
    struct http_header headers[8];
    struct http_head h;
    size_t from = 0;
    struct span bytes = span_of(g->head);
    ck_assert_uint_eq(head_find(bytes, &from), bytes.n);
    unsigned status = head_parse(bytes, &h, headers, 8);
    if (!g->method) { /* a header's name outside ASCII */
        ck_assert_uint_eq(status, 400);
        return;
    }
    ck_assert_uint_eq(status, 0);
    ck_assert(span_eqz(h.method, g->method));
    ck_assert(span_eqz(h.target, g->target));
    ck_assert_uint_eq(h.length, g->length);
    ck_assert_uint_eq(h.n_headers, g->n_headers);
    ck_assert(h.close == g->close);
    ck_assert(h.expects == g->expects);
}
END_TEST

static const struct bad {
    const char *head;
    size_t n; /* 0: up to its NUL */
    unsigned status;
} bad[] = {
    {"POST /a HTTP/1.1\r\n\r\n", 0, 400}, /* no Host */
    {"POST /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\n\r\n", 0, 417},
    {"POST /a HTTP/1.1\r\nHost : x\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nX: a\x7f\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", sizeof "POST /a HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n" - 1, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nX\0: b\r\n\r\n", sizeof "POST /a HTTP/1.1\r\nHost: x\r\nX\0: b\r\n\r\n" - 1, 400},
    {"POST /a HTTP/2.0\r\nHost: x\r\n\r\n", 0, 505},
    {"PRI * HTTP/2.0\r\n\r\n", 0, 505},
    {"POST /a HTTP/1.2\r\nHost: x\r\n\r\n", 0, 505},
    {"POST /a http/1.1\r\nHost: x\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1 \r\nHost: x\r\n\r\n", 0, 400},
    {"POST  /a HTTP/1.1\r\nHost: x\r\n\r\n", 0, 400},
    {"POST /a b HTTP/1.1\r\nHost: x\r\n\r\n", 0, 400},
    {"POST /\xC3\xA4 HTTP/1.1\r\nHost: x\r\n\r\n", 0, 400},
    {"POST /a\tb HTTP/1.1\r\nHost: x\r\n\r\n", 0, 400},
    {"POST a HTTP/1.1\r\nHost: x\r\n\r\n", 0, 400},
    {"CONNECT h:443 HTTP/1.1\r\nHost: x\r\n\r\n", 0, 400},
    {"PO(ST /a HTTP/1.1\r\nHost: x\r\n\r\n", 0, 400},
    {" POST /a HTTP/1.1\r\nHost: x\r\n\r\n", 0, 400},
    {"POST /a\r\nHost: x\r\n\r\n", 0, 400},
    {"\r\n\r\n", 0, 400},
    {"POST /a HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\nG: 7\r\nH: 8\r\n\r\n", 0, 431},
};

START_TEST(bad_heads_are_refused)
{
    const struct bad *b = &bad[_i];
    struct http_header headers[8];
    struct http_head h;
    struct span bytes = {b->head, b->n ? b->n : strlen(b->head)};
    ck_assert_msg(memcmp(bytes.p + bytes.n - 4, "\r\n\r\n", 4) == 0, "%s: the test's own length is wrong", b->head);
    ck_assert_uint_eq(head_parse(bytes, &h, headers, 8), b->status);
}
END_TEST

/* However it comes in, the end is found where it is, and nothing good is given up before. */
START_TEST(the_end_is_found_in_pieces)
{
    const char *text = "POST /in/a HTTP/1.1\r\nHost: x\r\nA: \r\r\n\r\nbody\r\n\r\n";
    size_t end = (size_t)(strstr(text, "body") - text);
    for (size_t step = 1; step < 12; step++) {
        size_t from = 0, found = 0, n = 0;
        while (!found) {
            n += step;
            ck_assert(head_may_begin((struct span){text, n}));
            found = head_find((struct span){text, n}, &from);
            ck_assert(found || n < end);
        }
        ck_assert_uint_eq(found, end);
    }
}
END_TEST

START_TEST(what_can_become_no_head_is_known_early)
{
    ck_assert(head_may_begin((struct span){"", 0}));
    ck_assert(head_may_begin(SPAN_LIT("POST /a HTTP/1.1\r\nA")));
    ck_assert(!head_may_begin(SPAN_LIT("\x16\x03\x01")));
    ck_assert(!head_may_begin(SPAN_LIT("POST /a HTTP/1.1\n")));
    ck_assert(!head_may_begin(SPAN_LIT("\n")));
    ck_assert(!head_may_begin(SPAN_LIT("{\"a\":1}")));
}
END_TEST

/* Mutations of a good head: never read beyond its end (the sanitizers look), and lengths only from digits. */
START_TEST(altered_heads_do_no_harm)
{
    static const char genuine[] = "POST /in/a HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nX-A: b\r\nConnection: close\r\n\r\n";
    uint64_t seed = check_seed();
    struct http_header headers[8];
    for (int i = 0; i < 200000; i++) {
        struct http_head h;
        size_t n = sizeof genuine - 1;
        char *p = malloc(n);
        memcpy(p, genuine, n);
        for (uint64_t k = 1 + check_random(&seed) % 3; k; k--)
            p[check_random(&seed) % n] = (char)check_random(&seed);
        unsigned status = head_parse((struct span){p, n}, &h, headers, 8);
        ck_assert(status == 0 || status == 400 || status == 417 || status == 431 || status == 505);
        ck_assert(status != 0 || h.n_headers <= 8);
        free(p);
    }
}
END_TEST

CHECK_SUITE("http head", t)
{
    tcase_add_loop_test(t, good_heads_are_read, 0, CHECK_ROWS(good));
    tcase_add_loop_test(t, bad_heads_are_refused, 0, CHECK_ROWS(bad));
    tcase_add_test(t, the_end_is_found_in_pieces);
    tcase_add_test(t, what_can_become_no_head_is_known_early);
    tcase_add_test(t, altered_heads_do_no_harm);
}
