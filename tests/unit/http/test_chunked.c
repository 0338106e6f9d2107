/* The chunked coding: the same body however it is cut, and strict about what it is. */
#include "../check_main.h"
#include "http/chunked.h"
#include <string.h>

static const struct {
    const char *coded, *body;
    size_t rest; /* bytes behind its end */
} good[] = {
    {"0\r\n\r\n", "", 0},
    {"5\r\nhello\r\n0\r\n\r\nPOST", "hello", 4},
    {"5\r\nhello\r\n6\r\n, you!\r\n0\r\n\r\n", "hello, you!", 0},
    {"00000005\r\nhello\r\n000\r\n\r\n", "hello", 0},
    {"5;name=value\r\nhello\r\n0 ; x=\"y\"\r\n\r\n", "hello", 0},
    {"1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", "abcdefghijklmnopqrstuvwxyz", 0},
    {"1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-Trailer: y\r\nZ: \r\n\r\n", "abcdefghijklmnopqrstuvwxyz", 0},
    {"4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", 0},
};

START_TEST(bodies_come_out_however_they_are_cut)
{
    size_t n = strlen(good[_i].coded), want = strlen(good[_i].body);
    for (size_t piece = 1; piece <= n; piece++) {
        struct chunked c = {0};
        char p[256];
        size_t data = 0, at = 0, wrote;
        memcpy(p, good[_i].coded, n);
        while (at < n && c.state != CHUNKED_OVER) {
            size_t m = n - at < piece ? n - at : piece;
            at += chunked_decode(&c, (struct span){p + at, m}, p + data, &wrote);
            data += wrote;
            ck_assert_int_ne(c.state, CHUNKED_BAD);
        }
        ck_assert_int_eq(c.state, CHUNKED_OVER);
        ck_assert_uint_eq(n - at, good[_i].rest);
        ck_assert_uint_eq(data, want);
        ck_assert_mem_eq(p, good[_i].body, want);
    }
}
END_TEST

static const char *const bad[] = {
    "\r\n", "x\r\n", "5\nhello", "5\r\nhelloX", "5\r\nhello\n", "5\r\nhello\rX", "-1\r\n", "+5\r\n", "0x5\r\n", "5\r\r\n", " 5\r\n",
    "fffffffffffffffff\r\n", "ffffffffffffffff\r\n", "7fffffffffffffff\r\n", "5;a\nb\r\n", "5;\x01\r\n", "0\r\nX: y\n", "0\r\nX: \x01\r\n",
    "0\r\n\rX",
};

START_TEST(other_spellings_are_refused)
{
    struct chunked c = {0};
    char p[64];
    size_t n = strlen(bad[_i]), wrote;
    memcpy(p, bad[_i], n);
    (void)chunked_decode(&c, (struct span){p, n}, p, &wrote);
    ck_assert_msg(c.state == CHUNKED_BAD, "%s: state %d", bad[_i], c.state);
    ck_assert_uint_eq(chunked_decode(&c, SPAN_LIT("5"), p, &wrote), 0);
}
END_TEST

START_TEST(extensions_and_trailers_are_bounded)
{
    struct chunked c = {0};
    char line[CHUNKED_LINE_MAX + 8], out[16];
    size_t wrote;
    memset(line, 'x', sizeof line);
    (void)chunked_decode(&c, SPAN_LIT("5;"), out, &wrote);
    (void)chunked_decode(&c, (struct span){line, sizeof line}, line, &wrote);
    ck_assert_int_eq(c.state, CHUNKED_BAD);
    c = (struct chunked){0};
    (void)chunked_decode(&c, SPAN_LIT("0\r\n"), out, &wrote);
    for (unsigned i = 0; i < 2 * CHUNKED_TRAILERS_MAX / 100 && c.state != CHUNKED_BAD; i++) {
        memset(line, 'x', 100);
        (void)chunked_decode(&c, (struct span){line, 100}, line, &wrote);
        (void)chunked_decode(&c, SPAN_LIT("\r\n"), out, &wrote);
    }
    ck_assert_int_eq(c.state, CHUNKED_BAD);
}
END_TEST

CHECK_SUITE("http chunked", t)
{
    tcase_add_loop_test(t, bodies_come_out_however_they_are_cut, 0, CHECK_ROWS(good));
    tcase_add_loop_test(t, other_spellings_are_refused, 0, CHECK_ROWS(bad));
    tcase_add_test(t, extensions_and_trailers_are_bounded);
}
