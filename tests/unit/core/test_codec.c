#include "core/codec.h"
#include "tests/unit/check_main.h"

#define TEXT(s) s, sizeof(s) - 1

static const struct pair {
    const char *plain;
    size_t n;
    const char *hex, *base64, *percent;
} pairs[] = {
    {TEXT(""), "", "", ""},
    {TEXT("f"), "66", "Zg==", "f"},
    {TEXT("fo"), "666f", "Zm8=", "fo"},
    {TEXT("foo"), "666f6f", "Zm9v", "foo"},
    {TEXT("foob"), "666f6f62", "Zm9vYg==", "foob"},
    {TEXT("fooba"), "666f6f6261", "Zm9vYmE=", "fooba"},
    {TEXT("foobar"), "666f6f626172", "Zm9vYmFy", "foobar"},
    {TEXT("\0\xff\x10"), "00ff10", "AP8Q", "%00%FF%10"},
    {TEXT("\xfb\xef\xff"), "fbefff", "++//", "%FB%EF%FF"},
    {TEXT("a b+c/d~e-f.g_h%"), "6120622b632f647e652d662e675f6825", "YSBiK2MvZH5lLWYuZ19oJQ==", "a%20b%2Bc%2Fd~e-f.g_h%25"},
};

START_TEST(known_pairs)
{
    const struct pair *k = &pairs[_i];
    struct span plain = {k->plain, k->n};
    struct buf b = {0};
    hex_encode(&b, plain);
    ck_assert_str_eq(buf_z(&b), k->hex);
    buf_clear(&b);
    ck_assert(hex_decode(&b, span_of(k->hex)) && span_eq(buf_span(&b), plain));
    buf_clear(&b);
    base64_encode(&b, plain);
    ck_assert_str_eq(buf_z(&b), k->base64);
    buf_clear(&b);
    ck_assert(base64_decode(&b, span_of(k->base64)) && span_eq(buf_span(&b), plain));
    buf_clear(&b);
    percent_encode(&b, plain);
    ck_assert_str_eq(buf_z(&b), k->percent);
    buf_clear(&b);
    ck_assert(percent_decode(&b, span_of(k->percent), false) && span_eq(buf_span(&b), plain));
    buf_release(&b);
}
END_TEST

static bool percent_strict(struct buf *out, struct span in)
{
    return percent_decode(out, in, true);
}

static const struct {
    bool (*decode)(struct buf *out, struct span in);
    const char *text;
    size_t n;
} refused[] = {
    {hex_decode, TEXT("0")},           {hex_decode, TEXT("000")},         {hex_decode, TEXT("0g")},
    {hex_decode, TEXT("00 1")},        {hex_decode, TEXT("0\0")},         {hex_decode, TEXT("0011:2")},
    {base64_decode, TEXT("Z")},        {base64_decode, TEXT("Zg")},       {base64_decode, TEXT("Zg=")},
    {base64_decode, TEXT("Zg===")},    {base64_decode, TEXT("====")},     {base64_decode, TEXT("Z===")},
    {base64_decode, TEXT("Zh==")},     {base64_decode, TEXT("Zm9=")},     {base64_decode, TEXT("Zg==Zg==")},
    {base64_decode, TEXT("Zm9vZ=g=")}, {base64_decode, TEXT("Zm9v\n")},   {base64_decode, TEXT("Zm9v Zm9")},
    {base64_decode, TEXT("Zm-_")},     {base64_decode, TEXT("Zm9\0")},    {base64_decode, TEXT("Zm9vZm9\xc3")},
    {percent_strict, TEXT("%")},       {percent_strict, TEXT("a%2")},     {percent_strict, TEXT("%g0")},
    {percent_strict, TEXT("%0g")},     {percent_strict, TEXT("ok%%20")},
};

START_TEST(strict_decoders_leave_nothing)
{
    struct buf b = {0};
    buf_addz(&b, "before");
    ck_assert_msg(!refused[_i].decode(&b, (struct span){refused[_i].text, refused[_i].n}), "'%s'", refused[_i].text);
    ck_assert(buf_ok(&b) && span_eqz(buf_span(&b), "before"));
    ck_assert_str_eq(buf_z(&b), "before");
    buf_release(&b);
}
END_TEST

START_TEST(lenient_where_it_says)
{
    struct buf b = {0};
    ck_assert(hex_decode(&b, SPAN_LIT("aAfF")) && span_eq(buf_span(&b), SPAN_LIT("\xaa\xff")));
    buf_clear(&b);
    ck_assert(percent_decode(&b, SPAN_LIT("a+b%2b%2B%c3%A9"), true));
    ck_assert_str_eq(buf_z(&b), "a b++\xc3\xa9");
    buf_clear(&b);
    ck_assert(percent_decode(&b, SPAN_LIT("a+b"), false));
    ck_assert_str_eq(buf_z(&b), "a+b");
    buf_release(&b);
}
END_TEST

START_TEST(any_bytes_come_back)
{
    uint64_t state = check_seed();
    for (int round = 0; round < 2000; round++) {
        unsigned char bytes[96];
        size_t n = check_random(&state) % sizeof bytes;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (unsigned char)check_random(&state);
        struct span in = span_make(bytes, n);
        struct buf text = {0}, back = {0};
        hex_encode(&text, in);
        ck_assert(text.n == 2 * n && hex_decode(&back, buf_span(&text)) && span_eq(buf_span(&back), in));
        buf_clear(&text);
        buf_clear(&back);
        base64_encode(&text, in);
        ck_assert(text.n == (n + 2) / 3 * 4 && base64_decode(&back, buf_span(&text)) && span_eq(buf_span(&back), in));
        buf_clear(&text);
        buf_clear(&back);
        percent_encode(&text, in);
        ck_assert(percent_decode(&back, buf_span(&text), true) && span_eq(buf_span(&back), in));
        buf_release(&text);
        buf_release(&back);
    }
}
END_TEST

START_TEST(a_full_buffer_is_told)
{
    struct buf b;
    buf_init(&b, 3);
    ck_assert(!hex_decode(&b, SPAN_LIT("00112233")));
    buf_clear(&b);
    ck_assert(!base64_decode(&b, SPAN_LIT("Zm9vYmFy")));
    buf_clear(&b);
    ck_assert(!percent_decode(&b, SPAN_LIT("abcd"), false));
    buf_clear(&b);
    hex_encode(&b, SPAN_LIT("ab"));
    ck_assert(!buf_ok(&b));
    buf_release(&b);
}
END_TEST

static const struct {
    const char *text, *sha256;
} digests[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

START_TEST(known_digests)
{
    unsigned char out[32];
    struct buf b = {0};
    sha256(span_of(digests[_i].text), out);
    hex_encode(&b, span_make(out, sizeof out));
    ck_assert_str_eq(buf_z(&b), digests[_i].sha256);
    buf_release(&b);
    sha256((struct span){NULL, 0}, out);
    ck_assert_uint_eq(out[0], 0xe3);
}
END_TEST

/* They lie in files: another value after an upgrade of the library would be damage. */
START_TEST(hashes_stay_what_they_are)
{
    ck_assert_uint_eq(hash64((struct span){NULL, 0}), UINT64_C(0x2d06800538d394c2));
    struct hash128 h = hash128((struct span){NULL, 0});
    ck_assert_uint_eq(h.hi, UINT64_C(0x99aa06d3014798d8));
    ck_assert_uint_eq(h.lo, UINT64_C(0x6001c324468d497f));
    ck_assert_uint_eq(hash64(SPAN_LIT("a")), UINT64_C(0xe6c632b61e964e1f));
    ck_assert_uint_ne(hash64(SPAN_LIT("a")), hash64(SPAN_LIT("b")));
}
END_TEST

START_TEST(constant_time_comparison_compares)
{
    ck_assert(ct_equal(SPAN_LIT("abc"), SPAN_LIT("abc")));
    ck_assert(!ct_equal(SPAN_LIT("abc"), SPAN_LIT("abd")));
    ck_assert(!ct_equal(SPAN_LIT("abc"), SPAN_LIT("ab")));
    ck_assert(!ct_equal(SPAN_LIT("a\0b"), SPAN_LIT("a\0c")));
    ck_assert(ct_equal((struct span){NULL, 0}, SPAN_LIT("")));
    ck_assert(!ct_equal((struct span){NULL, 0}, SPAN_LIT("a")));
}
END_TEST

START_TEST(macs_are_those_of_the_standards) /* RFC 2202, RFC 4231, FIPS 180 */
{
    static const struct {
        enum hmac_digest digest;
        const char *hex;
    } rows[] = {
        {HMAC_SHA1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
        {HMAC_SHA256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {HMAC_SHA512, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b"
                      "4b636e070a38bce737"},
    };
    unsigned char out[HMAC_BYTES_MAX];
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_clear(&b);
        hex_encode(&b, span_make((char *)out, hmac(rows[i].digest, SPAN_LIT("Jefe"), SPAN_LIT("what do ya want for nothing?"), out)));
        ck_assert_str_eq(buf_z(&b), rows[i].hex);
    }
    buf_clear(&b);
    sha1(SPAN_LIT("abc"), out);
    hex_encode(&b, span_make((char *)out, 20));
    ck_assert_str_eq(buf_z(&b), "a9993e364706816aba3e25717850c26c9cd0d89d");
    buf_clear(&b);
    hex_encode(&b, span_make((char *)out, hmac(HMAC_SHA1, (struct span){0}, (struct span){0}, out)));
    ck_assert_str_eq(buf_z(&b), "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d");
    buf_release(&b);
}
END_TEST

CHECK_SUITE("core codec", t)
{
    tcase_add_test(t, macs_are_those_of_the_standards);
    tcase_add_loop_test(t, known_pairs, 0, CHECK_ROWS(pairs));
    tcase_add_loop_test(t, strict_decoders_leave_nothing, 0, CHECK_ROWS(refused));
    tcase_add_test(t, lenient_where_it_says);
    tcase_add_test(t, any_bytes_come_back);
    tcase_add_test(t, a_full_buffer_is_told);
    tcase_add_loop_test(t, known_digests, 0, CHECK_ROWS(digests));
    tcase_add_test(t, hashes_stay_what_they_are);
    tcase_add_test(t, constant_time_comparison_compares);
}
