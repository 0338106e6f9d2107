#include "core/buf.h"
#include "core/codec.h"
#include "tests/unit/check_main.h"

START_TEST(grows_and_ends_with_nul)
{
    struct buf b;
    char model[5000];
    size_t n = 0;
    buf_init(&b, 0);
    ck_assert_str_eq(buf_z(&b), "");
    ck_assert_uint_eq(buf_span(&b).n, 0);
    for (int i = 0; n + 20 < sizeof model; i++) {
        int k = snprintf(model + n, sizeof model - n, "%d,", i * 37);
        buf_addf(&b, "%d", i * 37);
        buf_addc(&b, ',');
        n += (size_t)k;
        ck_assert_uint_eq(strlen(buf_z(&b)), n);
    }
    ck_assert(buf_ok(&b) && span_eq(buf_span(&b), (struct span){model, n}));
    buf_release(&b);
    buf_release(&b);
}
END_TEST

START_TEST(zeroed_is_ready)
{
    struct buf b = {0};
    buf_add(&b, NULL, 0);
    buf_addz(&b, "");
    ck_assert_str_eq(buf_z(&b), "");
    buf_adds(&b, SPAN_LIT("a"));
    ck_assert_str_eq(buf_z(&b), "a");
    buf_release(&b);
}
END_TEST

/* Room that was only reserved is no text: memory that was used before shows whether the NUL is set. */
START_TEST(a_reservation_is_empty)
{
    for (int i = 0; i < 20; i++) {
        struct buf b = {0};
        ck_assert(buf_reserve(&b, 600));
        ck_assert_str_eq(buf_z(&b), "");
        hex_encode(&b, (struct span){"", 0});
        ck_assert_str_eq(buf_z(&b), "");
        memset(b.p, 'x', b.cap);
        free(b.p);
    }
    struct buf b = {0};
    buf_addz(&b, "kept");
    ck_assert(buf_reserve(&b, 5000));
    ck_assert_str_eq(buf_z(&b), "kept");
    buf_release(&b);
}
END_TEST

/* Each way to append, at and over the maximum. */
static void add_way(struct buf *b, int way)
{
    switch (way) {
    case 0:
        buf_add(b, "abcd", 4);
        break;
    case 1:
        buf_addz(b, "abcd");
        break;
    case 2:
        buf_addf(b, "%s", "abcd");
        break;
    case 3:
        buf_adds(b, SPAN_LIT("abcd"));
        break;
    case 4:
        for (int i = 0; i < 4; i++)
            buf_addc(b, (char)('a' + i));
        break;
    default:
        buf_add_u32(b, 0x64636261);
        break;
    }
}

START_TEST(the_maximum_holds)
{
    struct buf b;
    buf_init(&b, 8);
    add_way(&b, _i);
    add_way(&b, _i);
    ck_assert(buf_ok(&b));
    ck_assert_str_eq(buf_z(&b), "abcdabcd");
    buf_addc(&b, 'e');
    ck_assert(!buf_ok(&b));
    ck_assert_str_eq(buf_z(&b), "abcdabcd");
    buf_clear(&b);
    ck_assert(buf_ok(&b));
    ck_assert_str_eq(buf_z(&b), "");
    buf_add(&b, "12345", 5);
    add_way(&b, _i);
    ck_assert(!buf_ok(&b));
    size_t n = b.n;
    ck_assert_uint_le(n, 8);
    buf_addc(&b, 'z'); /* sticky: nothing more, though there may be room */
    buf_addf(&b, "%s", "");
    ck_assert_uint_eq(b.n, n);
    buf_release(&b);
    ck_assert(buf_ok(&b) && b.n == 0 && b.max == 8);
}
END_TEST

START_TEST(absurd_sizes_are_refused)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1, (size_t)PTRDIFF_MAX};
    for (int i = 0; i < CHECK_ROWS(sizes); i++) {
        struct buf b;
        buf_init(&b, SIZE_MAX);
        buf_addz(&b, "ab");
        ck_assert(!buf_reserve(&b, sizes[i]) && !buf_ok(&b));
        buf_release(&b);
        buf_init(&b, 0);
        ck_assert(!buf_reserve(&b, BUF_MAX_DEFAULT + 1));
        buf_release(&b);
    }
}
END_TEST

START_TEST(integers_are_little_endian)
{
    struct buf b = {0};
    buf_add_u8(&b, 0xfe);
    buf_add_u32(&b, 0x01020304);
    buf_add_u64(&b, UINT64_C(0x1112131415161718));
    static const unsigned char want[] = {0xfe, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11};
    ck_assert(span_eq(buf_span(&b), span_make(want, sizeof want)));
    buf_release(&b);
}
END_TEST

START_TEST(bytes_are_handed_over)
{
    struct buf b;
    size_t n = 9;
    buf_init(&b, 4);
    char *p = buf_take(&b, &n);
    ck_assert_str_eq(p, "");
    ck_assert_uint_eq(n, 0);
    free(p);
    buf_addz(&b, "abc");
    p = buf_take(&b, &n);
    ck_assert_str_eq(p, "abc");
    ck_assert_uint_eq(n, 3);
    ck_assert(b.p == NULL && b.n == 0 && b.max == 4);
    free(p);
    buf_addz(&b, "xy");
    p = buf_take(&b, NULL);
    ck_assert_str_eq(p, "xy");
    free(p);
    buf_addz(&b, "abc");
    buf_addz(&b, "de");
    ck_assert_ptr_null(buf_take(&b, &n));
    ck_assert_uint_eq(n, 0);
    ck_assert(buf_ok(&b) && b.p == NULL);
}
END_TEST

CHECK_SUITE("core buf", t)
{
    tcase_add_test(t, grows_and_ends_with_nul);
    tcase_add_test(t, zeroed_is_ready);
    tcase_add_test(t, a_reservation_is_empty);
    tcase_add_loop_test(t, the_maximum_holds, 0, 6);
    tcase_add_test(t, absurd_sizes_are_refused);
    tcase_add_test(t, integers_are_little_endian);
    tcase_add_test(t, bytes_are_handed_over);
}
