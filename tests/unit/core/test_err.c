#include "core/err.h"
#include "core/json.h"
#include "tests/unit/check_main.h"
#include <errno.h>

START_TEST(filled_where_it_is_found)
{
    struct err err = {0};
    ck_assert(!err_set(&err, ERR_FULL, "%s has %d", "lane", 3));
    int line = __LINE__ - 1;
    char where[256];
    snprintf(where, sizeof where, "%s:%d", __FILE__, line);
    ck_assert_int_eq(err.cls, ERR_FULL);
    ck_assert_int_eq(err.sys, 0);
    ck_assert_str_eq(err.msg, "lane has 3");
    ck_assert_str_eq(err.where, where);
}
END_TEST

START_TEST(errno_is_told_in_words)
{
    struct err err = {0};
    errno = ENOSPC;
    ck_assert(!err_sys(&err, ERR_DURABLE, "cannot write %s", "x"));
    ck_assert_int_eq(err.cls, ERR_DURABLE);
    ck_assert_int_eq(err.sys, ENOSPC);
    ck_assert_str_eq(err.msg, "cannot write x: No space left on device");
}
END_TEST

START_TEST(context_goes_in_front)
{
    struct err err = {0};
    err_set(&err, ERR_INPUT, "no such key");
    const char *where = err.where;
    ck_assert(!err_prefix(&err, "%s:%d", "a.yaml", 7));
    ck_assert(!err_prefix(&err, "config"));
    ck_assert_str_eq(err.msg, "config: a.yaml:7: no such key");
    ck_assert_int_eq(err.cls, ERR_INPUT);
    ck_assert_ptr_eq(err.where, where);
}
END_TEST

START_TEST(nobody_need_listen)
{
    ck_assert(!err_set(NULL, ERR_INPUT, "x"));
    ck_assert(!err_sys(NULL, ERR_INPUT, "x"));
    ck_assert(!err_prefix(NULL, "x"));
}
END_TEST

/* Texts of characters of each width, shifted a byte at a time over the end of the message. */
START_TEST(cut_at_a_whole_character)
{
    static const char *const chars[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    const size_t room = sizeof((struct err *)0)->msg - 1;
    char text[1200];
    for (int c = 0; c < CHECK_ROWS(chars); c++)
        for (size_t shift = 0; shift < 5; shift++) {
            size_t n = shift, width = strlen(chars[c]);
            memset(text, '.', shift);
            while (n + width < sizeof text - 1) {
                memcpy(text + n, chars[c], width);
                n += width;
            }
            text[n] = 0;
            size_t whole = shift + (room - shift) / width * width; /* what fits, to the byte */
            struct err err = {0};
            err_set(&err, ERR_INPUT, "%s", text);
            ck_assert_uint_eq(strlen(err.msg), whole);
            ck_assert(utf8_valid(span_of(err.msg)));
            /* The same when it is pushed over the end by what comes in front, or is in front itself. */
            err_set(&err, ERR_INPUT, "%s", text);
            err_prefix(&err, "ab");
            ck_assert(utf8_valid(span_of(err.msg)) && strncmp(err.msg, "ab: ", 4) == 0);
            ck_assert_uint_gt(strlen(err.msg), room - 4);
            err_set(&err, ERR_INPUT, "short");
            err_prefix(&err, "%s", text);
            ck_assert(utf8_valid(span_of(err.msg)));
            ck_assert_uint_eq(strlen(err.msg), whole);
            errno = EIO;
            err_sys(&err, ERR_INPUT, "%s", text);
            ck_assert(utf8_valid(span_of(err.msg)));
            ck_assert_int_eq(err.sys, EIO);
        }
}
END_TEST

START_TEST(bytes_that_are_no_text_do_not_hurt)
{
    char text[1200];
    struct err err = {0};
    memset(text, 0x80, sizeof text - 1);
    text[sizeof text - 1] = 0;
    err_set(&err, ERR_INPUT, "%s", text);
    ck_assert_uint_eq(strlen(err.msg), sizeof err.msg - 1);
    memset(text, 0xff, sizeof text - 1);
    err_set(&err, ERR_INPUT, "%s", text);
    ck_assert_uint_ge(strlen(err.msg), sizeof err.msg - 2);
}
END_TEST

CHECK_SUITE("core err", t)
{
    tcase_add_test(t, filled_where_it_is_found);
    tcase_add_test(t, errno_is_told_in_words);
    tcase_add_test(t, context_goes_in_front);
    tcase_add_test(t, nobody_need_listen);
    tcase_add_test(t, cut_at_a_whole_character);
    tcase_add_test(t, bytes_that_are_no_text_do_not_hurt);
}
