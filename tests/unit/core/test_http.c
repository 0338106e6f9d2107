#include "core/http.h"
#include "tests/unit/check_main.h"

START_TEST(headers_by_name)
{
    const struct http_header headers[] = {
        {SPAN_LIT("Content-Type"), SPAN_LIT("application/json")},
        {SPAN_LIT("X-Sig"), SPAN_LIT("one")},
        {SPAN_LIT("x-sig"), SPAN_LIT("two")},
        {SPAN_LIT("X-Empty"), SPAN_LIT("")},
    };
    struct http_message m = {.headers = headers, .n_headers = CHECK_ROWS(headers)};
    unsigned count = 9;
    ck_assert(span_eqz(http_header(&m, SPAN_LIT("content-type"), &count), "application/json"));
    ck_assert_uint_eq(count, 1);
    ck_assert(span_eqz(http_header(&m, SPAN_LIT("X-SIG"), &count), "one"));
    ck_assert_uint_eq(count, 2);
    struct span empty = http_header(&m, SPAN_LIT("x-empty"), &count);
    ck_assert(empty.p != NULL && empty.n == 0 && count == 1);
    struct span absent = http_header(&m, SPAN_LIT("X-Si"), &count);
    ck_assert(absent.p == NULL && absent.n == 0 && count == 0);
    ck_assert_ptr_null(http_header(&m, SPAN_LIT("X-Sig2"), NULL).p);
    m.n_headers = 0;
    ck_assert_ptr_null(http_header(&m, SPAN_LIT("X-Sig"), NULL).p);
}
END_TEST

CHECK_SUITE("core http", t)
{
    tcase_add_test(t, headers_by_name);
}
