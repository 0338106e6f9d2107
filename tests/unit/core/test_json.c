/* JSON read in place: what is accepted, what a refusal says, and what the getters hand out. Every
 * document lies in memory of exactly its size, so that a sanitizer sees a byte read too far. */
#include "core/json.h"
#include "tests/unit/check_main.h"

/* A copy without a NUL behind it. */
static struct span exact(const void *p, size_t n)
{
    char *copy = malloc(n ? n : 1);
    ck_assert_ptr_nonnull(copy);
    if (n)
        memcpy(copy, p, n);
    return (struct span){copy, n};
}

static void drop(struct span s)
{
    union {
        const char *borrowed;
        void *owned;
    } u = {.borrowed = s.p};
    free(u.owned);
}

#define TEXT(s) s, sizeof(s) - 1

static const struct document {
    const char *text;
    size_t n;
    enum json_type type; /* JSON_NONE: refused */
    const char *raw;     /* of the value, where it is not the whole text */
    size_t at;           /* refused: the byte the message names */
    const char *words;   /* refused: what it says */
} documents[] = {
    {TEXT("null"), JSON_NULL, NULL, 0, NULL},
    {TEXT(" \t\r\n true \n"), JSON_TRUE, "true", 0, NULL},
    {TEXT("false"), JSON_FALSE, NULL, 0, NULL},
    {TEXT("0"), JSON_NUMBER, NULL, 0, NULL},
    {TEXT("-0"), JSON_NUMBER, NULL, 0, NULL},
    {TEXT("-0.0e-0"), JSON_NUMBER, NULL, 0, NULL},
    {TEXT("1E+2"), JSON_NUMBER, NULL, 0, NULL},
    {TEXT("1e400"), JSON_NUMBER, NULL, 0, NULL},
    {TEXT("9007199254740993"), JSON_NUMBER, NULL, 0, NULL},
    {TEXT("123456789012345678901234567890123456789 "), JSON_NUMBER, "123456789012345678901234567890123456789", 0, NULL},
    {TEXT("\"\""), JSON_STRING, NULL, 0, NULL},
    {TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uFFFF\""), JSON_STRING, NULL, 0, NULL},
    {TEXT("\"\\uD83D\\uDE00\""), JSON_STRING, NULL, 0, NULL},
    {TEXT("\"\\uD800\""), JSON_STRING, NULL, 0, NULL},
    {TEXT("\"\\uDC00\\uD800\""), JSON_STRING, NULL, 0, NULL},
    {TEXT("\"\x7f\""), JSON_STRING, NULL, 0, NULL},
    {TEXT("\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\""), JSON_STRING, NULL, 0, NULL},
    {TEXT("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""), JSON_STRING, NULL, 0, NULL},
    {TEXT("[]"), JSON_ARRAY, NULL, 0, NULL},
    {TEXT(" [ ] "), JSON_ARRAY, "[ ]", 0, NULL},
    {TEXT("{}"), JSON_OBJECT, NULL, 0, NULL},
    {TEXT("{ }"), JSON_OBJECT, NULL, 0, NULL},
    {TEXT("{\"\":[{},[],\"\"]}"), JSON_OBJECT, NULL, 0, NULL},
    {TEXT("[1 , 2 ,{ \"a\" : [ null ] } ]"), JSON_ARRAY, NULL, 0, NULL},
    {TEXT("{\"a\":1,\"a\":2}"), JSON_OBJECT, NULL, 0, NULL},

    {TEXT(""), JSON_NONE, NULL, 0, "the text is empty"},
    {TEXT("  "), JSON_NONE, NULL, 2, "a value"},
    {TEXT("nul"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("nulL"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("nullx"), JSON_NONE, NULL, 4, "the end"},
    {TEXT("True"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("NaN"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("Infinity"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("1 2"), JSON_NONE, NULL, 2, "the end"},
    {TEXT("null\0"), JSON_NONE, NULL, 4, "the end"},
    {TEXT("\0"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("\xef\xbb\xbf{}"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("\v1"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("+1"), JSON_NONE, NULL, 0, "a value"},
    {TEXT(".5"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("-"), JSON_NONE, NULL, 1, "a digit"},
    {TEXT("-a"), JSON_NONE, NULL, 1, "a digit"},
    {TEXT("01"), JSON_NONE, NULL, 1, "the end"},
    {TEXT("-01"), JSON_NONE, NULL, 2, "the end"},
    {TEXT("1."), JSON_NONE, NULL, 2, "a digit after the point"},
    {TEXT("1.e1"), JSON_NONE, NULL, 2, "a digit after the point"},
    {TEXT("1e"), JSON_NONE, NULL, 2, "a digit in the exponent"},
    {TEXT("1e+"), JSON_NONE, NULL, 3, "a digit in the exponent"},
    {TEXT("0x1"), JSON_NONE, NULL, 1, "the end"},
    {TEXT("'a'"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("\"a"), JSON_NONE, NULL, 2, "the end of a string"},
    {TEXT("\"a\\\""), JSON_NONE, NULL, 4, "the end of a string"},
    {TEXT("\"\\"), JSON_NONE, NULL, 1, "the rest of an escape"},
    {TEXT("\"\\x\""), JSON_NONE, NULL, 1, "one of"},
    {TEXT("\"\\\0\""), JSON_NONE, NULL, 1, "one of"},
    {TEXT("\"\\u12"), JSON_NONE, NULL, 1, "four hex digits"},
    {TEXT("\"\\u12G4\""), JSON_NONE, NULL, 1, "four hex digits"},
    {TEXT("\"0123456\n\""), JSON_NONE, NULL, 8, "no control character"},
    {TEXT("\"01234567\x1f\""), JSON_NONE, NULL, 9, "no control character"},
    {TEXT("\"\0\""), JSON_NONE, NULL, 1, "no control character"},
    {TEXT("\"\x80\""), JSON_NONE, NULL, 1, "UTF-8"},
    {TEXT("\"\xc0\xaf\""), JSON_NONE, NULL, 1, "UTF-8"},
    {TEXT("\"\xc1\xbf\""), JSON_NONE, NULL, 1, "UTF-8"},
    {TEXT("\"\xe0\x9f\xbf\""), JSON_NONE, NULL, 1, "UTF-8"},
    {TEXT("\"\xed\xa0\x80\""), JSON_NONE, NULL, 1, "UTF-8"},
    {TEXT("\"\xf0\x8f\xbf\xbf\""), JSON_NONE, NULL, 1, "UTF-8"},
    {TEXT("\"\xf4\x90\x80\x80\""), JSON_NONE, NULL, 1, "UTF-8"},
    {TEXT("\"\xf5\x80\x80\x80\""), JSON_NONE, NULL, 1, "UTF-8"},
    {TEXT("\"abcdefgh\xe2\x82\""), JSON_NONE, NULL, 9, "UTF-8"},
    {TEXT("\"\xc3\xa9\xc3"), JSON_NONE, NULL, 3, "UTF-8"},
    {TEXT("["), JSON_NONE, NULL, 1, "a value"},
    {TEXT("[1"), JSON_NONE, NULL, 2, "a comma or ]"},
    {TEXT("[1,"), JSON_NONE, NULL, 3, "a value"},
    {TEXT("[1,]"), JSON_NONE, NULL, 3, "a value"},
    {TEXT("[,1]"), JSON_NONE, NULL, 1, "a value"},
    {TEXT("[1 2]"), JSON_NONE, NULL, 3, "a comma or ]"},
    {TEXT("[1}"), JSON_NONE, NULL, 2, "a comma or ]"},
    {TEXT("[}"), JSON_NONE, NULL, 1, "a value"},
    {TEXT("]"), JSON_NONE, NULL, 0, "a value"},
    {TEXT("[]]"), JSON_NONE, NULL, 2, "the end"},
    {TEXT("{"), JSON_NONE, NULL, 1, "a key in quotes"},
    {TEXT("{]"), JSON_NONE, NULL, 1, "a key in quotes"},
    {TEXT("{a:1}"), JSON_NONE, NULL, 1, "a key in quotes"},
    {TEXT("{1:1}"), JSON_NONE, NULL, 1, "a key in quotes"},
    {TEXT("{\"a\"}"), JSON_NONE, NULL, 4, "a colon"},
    {TEXT("{\"a\":}"), JSON_NONE, NULL, 5, "a value"},
    {TEXT("{\"a\":1]"), JSON_NONE, NULL, 6, "a comma or }"},
    {TEXT("{\"a\":1,}"), JSON_NONE, NULL, 7, "a key in quotes"},
    {TEXT("{\"a\":1 \"b\":2}"), JSON_NONE, NULL, 7, "a comma or }"},
    {TEXT("[1] // no"), JSON_NONE, NULL, 4, "the end"},
};

START_TEST(documents_are_judged)
{
    const struct document *d = &documents[_i];
    struct span text = exact(d->text, d->n);
    struct json v = {JSON_NONE, {"untouched", 9}};
    struct err err = {0};
    bool ok = json_parse(text, &v, &err);
    ck_assert_msg(ok == (d->type != JSON_NONE), "%s: %s", d->text, ok ? "accepted" : err.msg);
    if (ok) {
        ck_assert_int_eq(v.type, d->type);
        ck_assert_msg(span_eq(v.raw, d->raw ? span_of(d->raw) : text), "%.*s", SPAN_ARG(v.raw));
    } else {
        char at[32];
        snprintf(at, sizeof at, "at byte %zu ", d->at);
        ck_assert_int_eq(err.cls, ERR_INPUT);
        ck_assert_msg(d->n == 0 || strstr(err.msg, at), "%s: %s", d->text, err.msg);
        ck_assert_msg(strstr(err.msg, d->words) != NULL, "%s: %s", d->text, err.msg);
        ck_assert_int_eq(v.type, JSON_NONE);
        ck_assert(span_eqz(v.raw, "untouched"));
    }
    drop(text);
}
END_TEST

/* Any byte at any place of a string, so that each lane of the eight-byte loops is met. */
START_TEST(each_byte_at_each_place)
{
    for (size_t len = 1; len <= 20; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                char text[32];
                memset(text, 'x', sizeof text);
                text[0] = text[len + 1] = '"';
                text[at + 1] = (char)c;
                struct span s = exact(text, len + 2);
                struct json v;
                bool want = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
                ck_assert_msg(json_parse(s, &v, NULL) == want, "byte %d at %zu of %zu", c, at, len);
                ck_assert_msg(utf8_valid((struct span){s.p + 1, len}) == (c < 0x80), "byte %d", c);
                drop(s);
            }
}
END_TEST

static void nest(struct buf *out, size_t depth, bool objects)
{
    for (size_t i = 0; i < depth; i++)
        buf_addz(out, objects && i % 3 ? "{\"a\":" : "[");
    buf_addz(out, "7");
    for (size_t i = depth; i-- > 0;)
        buf_addz(out, objects && i % 3 ? "}" : "]");
}

START_TEST(depth_is_bounded)
{
    for (size_t depth = 1; depth <= JSON_DEPTH_MAX + 2; depth++) {
        struct buf b = {0};
        nest(&b, depth, depth % 2);
        struct json v;
        struct err err = {0};
        bool ok = json_parse(buf_span(&b), &v, &err);
        ck_assert_msg(ok == (depth <= JSON_DEPTH_MAX), "depth %zu: %s", depth, err.msg);
        ck_assert(ok || strstr(err.msg, "at most 128 levels"));
        buf_release(&b);
    }
    struct buf b = {0};
    for (size_t i = 0; i < (size_t)1 << 20; i++)
        buf_addc(&b, '[');
    struct json v;
    ck_assert(!json_parse(buf_span(&b), &v, NULL));
    buf_release(&b);
}
END_TEST

static struct json parsed(struct span text)
{
    struct json v;
    struct err err = {0};
    ck_assert_msg(json_parse(text, &v, &err), "%.*s: %s", SPAN_ARG(text), err.msg);
    return v;
}

static const struct lookup {
    const char *doc;
    const char *key;
    size_t key_n;
    const char *raw; /* NULL: absent */
} lookups[] = {
    {"{\"a\":1,\"b\":2}", TEXT("b"), "2"},
    {"{\"a\":1,\"b\":2}", TEXT("c"), NULL},
    {"{\"a\":1,\"b\":2}", TEXT(""), NULL},
    {"{\"\":3,\"b\":2}", TEXT(""), "3"},
    {"{ \"a\" : 1 , \"a\" : { } , \"a\":[2] }", TEXT("a"), "[2]"},
    {"{\"x\":{\"a\":1},\"y\":\"{\\\"a\\\":2}\",\"a\":3}", TEXT("a"), "3"},
    {"{\"x\":{\"a\":1},\"y\":[{\"a\":2}]}", TEXT("a"), NULL},
    {"{\"\\u0061\":1}", TEXT("a"), "1"},
    {"{\"a\":0,\"\\u0061\":1}", TEXT("a"), "1"},
    {"{\"\\u0061\":1,\"a\":0}", TEXT("a"), "0"},
    {"{\"a\\\\b\":1}", TEXT("a\\b"), "1"},
    {"{\"a\\\\b\":1}", TEXT("a\\\\b"), NULL},
    {"{\"\\u0061\":1}", TEXT("\\u0061"), NULL},
    {"{\"a\\nb\":1}", TEXT("a\nb"), "1"},
    {"{\"a\\u0000b\":1}", TEXT("a\0b"), "1"},
    {"{\"a\\u0000b\":1}", TEXT("a"), NULL},
    {"{\"caf\\u00e9\":1}", TEXT("caf\xc3\xa9"), "1"},
    {"{\"caf\xc3\xa9\":1}", TEXT("caf\xc3\xa9"), "1"},
    {"{\"\\ud83d\\ude00\":1}", TEXT("\xf0\x9f\x98\x80"), "1"},
    {"{\"\\ud83d\":1}", TEXT("\xef\xbf\xbd"), "1"},
    {"{\"ab\\t\":1}", TEXT("ab"), NULL},
    {"{\"ab\":1}", TEXT("ab\t"), NULL},
    {"{\"id\":9007199254740993}", TEXT("id"), "9007199254740993"},
    {"{\"id\":123456789012345678901}", TEXT("id"), "123456789012345678901"},
    {"{\"id\":0.10 }", TEXT("id"), "0.10"},
    {"{\"id\":-1e-7\n}", TEXT("id"), "-1e-7"},
    {"{\"s\":\"]}\\\\\",\"t\":true}", TEXT("t"), "true"},
    {"{\"s\":[\"\\\"]\",[[\"}\"]]],\"t\":null}", TEXT("t"), "null"},
    {"{\"s\":false,\"t\":\"12345678\\\"90\"}", TEXT("t"), "\"12345678\\\"90\""},
    {"[1]", TEXT("0"), NULL},
    {"\"a\"", TEXT("a"), NULL},
    {"null", TEXT(""), NULL},
};

START_TEST(members_by_name)
{
    const struct lookup *l = &lookups[_i];
    struct span text = exact(l->doc, strlen(l->doc)), key = exact(l->key, l->key_n);
    struct json v = json_get(parsed(text), key);
    if (l->raw)
        ck_assert_msg(span_eqz(v.raw, l->raw), "%s: '%.*s'", l->doc, SPAN_ARG(v.raw));
    else
        ck_assert_msg(v.type == JSON_NONE && v.raw.n == 0, "%s: '%.*s'", l->doc, SPAN_ARG(v.raw));
    drop(text);
    drop(key);
}
END_TEST

START_TEST(elements_in_their_order)
{
    struct json a = parsed(SPAN_LIT(" [ 1,\"two\" , [3,[3]],{\"4\":[]}, null,true,false , -6.5e1 ] "));
    static const struct {
        enum json_type type;
        const char *raw;
    } want[] = {{JSON_NUMBER, "1"},      {JSON_STRING, "\"two\""}, {JSON_ARRAY, "[3,[3]]"}, {JSON_OBJECT, "{\"4\":[]}"},
                {JSON_NULL, "null"},     {JSON_TRUE, "true"},      {JSON_FALSE, "false"},   {JSON_NUMBER, "-6.5e1"}};
    ck_assert_uint_eq(json_count(a), CHECK_ROWS(want));
    struct json_iter it = json_iter(a);
    struct json v;
    for (int i = 0; i < CHECK_ROWS(want); i++) {
        ck_assert(json_next(&it, NULL, &v));
        ck_assert_int_eq(v.type, want[i].type);
        ck_assert(span_eqz(v.raw, want[i].raw));
        ck_assert(span_eq(json_at(a, (size_t)i).raw, v.raw));
    }
    ck_assert(!json_next(&it, NULL, &v));
    ck_assert(!json_next(&it, NULL, &v));
    ck_assert_int_eq(json_at(a, CHECK_ROWS(want)).type, JSON_NONE);
}
END_TEST

START_TEST(containers_only)
{
    static const char *const docs[] = {"1", "\"[1]\"", "null", "{}", "[]", " { } ", " [\n] "};
    struct json v;
    for (int i = 0; i < CHECK_ROWS(docs); i++) {
        struct json d = parsed(span_of(docs[i]));
        struct json_iter it = json_iter(d);
        ck_assert_msg(!json_next(&it, NULL, &v), "%s", docs[i]);
        ck_assert_uint_eq(json_count(d), 0);
        ck_assert_int_eq(json_at(d, 0).type, JSON_NONE);
    }
    struct json none = {0};
    ck_assert_uint_eq(json_count(none), 0);
    ck_assert_int_eq(json_get(none, SPAN_LIT("a")).type, JSON_NONE);
    ck_assert_int_eq(json_at(parsed(SPAN_LIT("{\"0\":1}")), 0).type, JSON_NONE);
    ck_assert_uint_eq(json_count(parsed(SPAN_LIT("{\"a\":1,\"a\":2}"))), 2);
}
END_TEST

START_TEST(keys_keep_their_spelling)
{
    struct json_iter it = json_iter(parsed(SPAN_LIT("{\"a\\u0062\" : 1, \"\":2}")));
    struct span key;
    struct json v;
    ck_assert(json_next(&it, &key, &v) && span_eqz(key, "a\\u0062") && span_eqz(v.raw, "1"));
    ck_assert(json_next(&it, &key, &v) && key.n == 0 && span_eqz(v.raw, "2"));
    ck_assert(!json_next(&it, &key, &v));
}
END_TEST

static const struct {
    const char *inner;
    const char *text;
    size_t n;
} escapes[] = {
    {"", TEXT("")},
    {"plain", TEXT("plain")},
    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", TEXT("\"\\/\b\f\n\r\t")},
    {"\\u0000|\\u007f|\\u0080|\\u07FF|\\u0800|\\uffff", TEXT("\0|\x7f|\xc2\x80|\xdf\xbf|\xe0\xa0\x80|\xef\xbf\xbf")},
    {"\\ud800\\udc00\\uDBFF\\uDFFF", TEXT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
    {"\\ud800", TEXT("\xef\xbf\xbd")},
    {"\\udc00", TEXT("\xef\xbf\xbd")},
    {"\\ud800x", TEXT("\xef\xbf\xbdx")},
    {"\\ud800\\n", TEXT("\xef\xbf\xbd\n")},
    {"\\ud800\\u0041", TEXT("\xef\xbf\xbd" "A")},
    {"\\ud800\\ud800\\udc00", TEXT("\xef\xbf\xbd\xf0\x90\x80\x80")},
    {"\\udc00\\ud800", TEXT("\xef\xbf\xbd\xef\xbf\xbd")},
    {"\\udc00\\udc00", TEXT("\xef\xbf\xbd\xef\xbf\xbd")},
    {"a\\u0020b\\u00e9\xc3\xa9", TEXT("a b\xc3\xa9\xc3\xa9")},
};

START_TEST(escapes_are_resolved)
{
    struct span inner = exact(escapes[_i].inner, strlen(escapes[_i].inner));
    struct span want = {escapes[_i].text, escapes[_i].n};
    struct buf b = {0};
    ck_assert(json_unescape(&b, inner));
    ck_assert_msg(span_eq(buf_span(&b), want), "%s: '%s'", escapes[_i].inner, buf_z(&b));
    ck_assert(utf8_valid(buf_span(&b)));
    /* Written and read again it is the same text. */
    struct buf out = {0}, back = {0};
    json_write_string(&out, want);
    ck_assert(json_text(parsed(buf_span(&out)), &back));
    ck_assert(span_eq(buf_span(&back), want));
    buf_release(&b);
    buf_release(&out);
    buf_release(&back);
    drop(inner);
}
END_TEST

START_TEST(a_full_buffer_is_told)
{
    struct buf b;
    buf_init(&b, 4);
    ck_assert(!json_unescape(&b, SPAN_LIT("five\\n")));
    buf_clear(&b);
    ck_assert(!json_text(parsed(SPAN_LIT("12345")), &b));
    buf_clear(&b);
    ck_assert(json_text(parsed(SPAN_LIT("1234")), &b));
    buf_release(&b);
}
END_TEST

static const struct {
    const char *text;
    size_t n;
    const char *json;
} written[] = {
    {TEXT(""), "\"\""},
    {TEXT("plain text, longer than eight bytes"), "\"plain text, longer than eight bytes\""},
    {TEXT("\"\\/\n\r\t\b\f"), "\"\\\"\\\\/\\n\\r\\t\\u0008\\u000c\""},
    {TEXT("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\""},
    {TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {TEXT("a\x80z"), "\"a\xef\xbf\xbdz\""},
    {TEXT("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {TEXT("12345678\xff"), "\"12345678\xef\xbf\xbd\""},
    {TEXT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
};

START_TEST(strings_are_written)
{
    struct span text = exact(written[_i].text, written[_i].n);
    struct buf b = {0};
    json_write_string(&b, text);
    ck_assert_str_eq(buf_z(&b), written[_i].json);
    ck_assert_int_eq(parsed(buf_span(&b)).type, JSON_STRING);
    buf_release(&b);
    drop(text);
}
END_TEST

static const struct {
    const char *doc;
    bool is;
    int64_t value;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"42", true, 42},
    {"-42", true, -42},
    {"9007199254740993", true, INT64_C(9007199254740993)},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"18446744073709551616", false, 0},
    {"100000000000000000000000000000000", false, 0},
    {"1.0", false, 0},
    {"1e3", false, 0},
    {"1E3", false, 0},
    {"\"1\"", false, 0},
    {"true", false, 0},
    {"[1]", false, 0},
};

START_TEST(integers_that_fit)
{
    int64_t v = 77;
    ck_assert_msg(json_int64(parsed(span_of(integers[_i].doc)), &v) == integers[_i].is, "%s", integers[_i].doc);
    ck_assert_int_eq(v, integers[_i].is ? integers[_i].value : 77);
}
END_TEST

static const struct {
    const char *doc, *z;
    bool equal;
    const char *text; /* of json_text; NULL: it has none */
} scalars[] = {
    {"\"abc\"", "abc", true, "abc"},
    {"\"a\\u0062c\"", "abc", true, "abc"},
    {"\"a\\u0062c\"", "a\\u0062c", false, "abc"},
    {"\"abc\"", "ab", false, "abc"},
    {"\"ab\"", "abc", false, "ab"},
    {"\"\"", "", true, ""},
    {"\"\\\\n\"", "\\n", true, "\\n"},
    {"1.50", "1.50", true, "1.50"},
    {"1.50", "1.5", false, "1.50"},
    {"true", "true", true, "true"},
    {"false", "true", false, "false"},
    {"null", "null", true, NULL},
    {"[]", "[]", false, NULL},
    {"{}", "{}", false, NULL},
};

START_TEST(scalars_as_text)
{
    struct json v = parsed(span_of(scalars[_i].doc));
    ck_assert(json_eqz(v, scalars[_i].z) == scalars[_i].equal);
    struct buf b = {0};
    ck_assert(json_text(v, &b) == (scalars[_i].text != NULL));
    ck_assert_str_eq(buf_z(&b), scalars[_i].text ? scalars[_i].text : "");
    ck_assert(!json_eqz((struct json){0}, ""));
    ck_assert(!json_text((struct json){0}, &b));
    buf_release(&b);
}
END_TEST

START_TEST(inner_text_of_strings)
{
    ck_assert(span_eqz(json_inner(parsed(SPAN_LIT("\"a\\n\""))), "a\\n"));
    ck_assert(json_inner(parsed(SPAN_LIT("\"\""))).n == 0);
    ck_assert(json_inner(parsed(SPAN_LIT("12"))).n == 0);
    ck_assert(json_inner((struct json){0}).n == 0);
}
END_TEST

static const struct {
    const char *doc, *minified;
} minify[] = {
    {" { \"a b\" : [ 1 , 2.50 ] ,\n\"c\\\" \" : \" \\\\\" , \"\\\\\" : null }\t",
     "{\"a b\":[1,2.50],\"c\\\" \":\" \\\\\",\"\\\\\":null}"},
    {" \" x \" ", "\" x \""},
    {"7 ", "7"},
    {"{}", "{}"},
};

START_TEST(space_that_means_nothing_goes)
{
    struct buf b = {0};
    json_minify(&b, parsed(span_of(minify[_i].doc)).raw);
    ck_assert_str_eq(buf_z(&b), minify[_i].minified);
    buf_release(&b);
}
END_TEST

START_TEST(keys_are_written)
{
    struct buf b = {0};
    json_write_key(&b, "a\"b");
    ck_assert_str_eq(buf_z(&b), "\"a\\\"b\":");
    buf_release(&b);
}
END_TEST

CHECK_SUITE("core json", t)
{
    tcase_add_loop_test(t, documents_are_judged, 0, CHECK_ROWS(documents));
    tcase_add_test(t, each_byte_at_each_place);
    tcase_add_test(t, depth_is_bounded);
    tcase_add_loop_test(t, members_by_name, 0, CHECK_ROWS(lookups));
    tcase_add_test(t, elements_in_their_order);
    tcase_add_test(t, containers_only);
    tcase_add_test(t, keys_keep_their_spelling);
    tcase_add_loop_test(t, escapes_are_resolved, 0, CHECK_ROWS(escapes));
    tcase_add_test(t, a_full_buffer_is_told);
    tcase_add_loop_test(t, strings_are_written, 0, CHECK_ROWS(written));
    tcase_add_loop_test(t, integers_that_fit, 0, CHECK_ROWS(integers));
    tcase_add_loop_test(t, scalars_as_text, 0, CHECK_ROWS(scalars));
    tcase_add_test(t, inner_text_of_strings);
    tcase_add_loop_test(t, space_that_means_nothing_goes, 0, CHECK_ROWS(minify));
    tcase_add_test(t, keys_are_written);
}
