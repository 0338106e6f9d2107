/* JSON against a second opinion: damaged and made-up documents are accepted or refused as jansson
 * does, and where both accept, every value, key and text is the same. */
/* Some of the other's names for types are ours too, with other values: here they are THEIR_…, and its
 * json_is_… macros must not be used. */
#define JSON_OBJECT THEIR_OBJECT
#define JSON_ARRAY THEIR_ARRAY
#define JSON_STRING THEIR_STRING
#define JSON_TRUE THEIR_TRUE
#define JSON_FALSE THEIR_FALSE
#define JSON_NULL THEIR_NULL
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL
#include "core/json_loops.h"
#include "tests/unit/check_main.h"

#define ROUNDS 60000

static uint64_t state;

static size_t below(size_t n)
{
    return (size_t)(check_random(&state) % n);
}

static const char *const seeds[] = {
    "{\"id\":\"evt_1\",\"object\":\"event\",\"data\":{"
    "\"object\":{\"id\":\"cus_9\",\"balance\":-10,\"metadata\":{}}},\"live\":false}",
    "[0,-0,1.5,1e10,-1.25E-3,9007199254740993,18446744073709551615,123456789012345678901234567890]",
    "{\"a\":1,\"a\":2,\"\\u0061\":3,\"b\":[{\"a\":null},[],[[]],{}]}",
    "[\"\\ud83d\\ude00\",\"\\u0000\",\"caf\xc3\xa9\",\"\xe2\x82\xac\",\"\xf0\x9f\x98\x80\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    " { \"x\" : [ true , false , null ] , \"y\" : \"long enough for several words of eight\" } \n",
    "\"just a string with \\\\ and \\\" inside\"",
    "-12.75e+2",
};

static const char *const tokens[] = {
    "{",    "}",    "[",    "]",            ",",                ":",                "\"",   "\\",     "\\u", "\\ud800",
    "true", "null", "-",    ".",            "e",                "1",                "0",    " ",      "\n",  "false",
    "\xc3", "\xa9", "\x1f", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x9f\x98\x80", "\\n",  "\"k\":", "[[",  "]]"};

static void put(struct buf *b, size_t at, size_t cut, struct span with)
{
    struct buf out = {0};
    buf_add(&out, b->p, at);
    buf_adds(&out, with);
    buf_add(&out, b->p + at + cut, b->n - at - cut);
    buf_release(b);
    *b = out;
}

static void damage(struct buf *b)
{
    size_t at = below(b->n + 1), left = b->n - at;
    char byte = (char)check_random(&state);
    switch (below(6)) {
    case 0:
        put(b, at, left ? 1 : 0, (struct span){&byte, 1});
        break;
    case 1:
        put(b, at, left ? below(left < 8 ? left : 8) : 0, (struct span){"", 0});
        break;
    case 2: {
        size_t from = below(b->n + 1), n = below(b->n - from + 1);
        struct buf piece = {0};
        buf_add(&piece, b->p + from, n < 40 ? n : 40);
        put(b, at, 0, buf_span(&piece));
        buf_release(&piece);
        break;
    }
    case 3:
        put(b, at, left, (struct span){"", 0});
        break;
    default:
        put(b, at, below(2) && left ? 1 : 0, span_of(tokens[below(CHECK_ROWS(tokens))]));
        break;
    }
}

/* A document that is valid by its making, four levels deep at most. */
static void make(struct buf *b, int level)
{
    static const char *const scalar[] = {"null", "true", "false", "0", "-1", "1.5e3", "9007199254740993", "\"\"", "\"a\\u0041\"",
                                         "\"]\\\"}\"", "\"\xc3\xa9t\xc3\xa9\"", "\"\\\\\"", "\"0123456789abcdef\""};
    static const char *const key[] = {"a", "b", "\\u0061", "a\\\\b", "", "key_of_some_length", "\\ud83d\\ude00", "\xc3\xa9"};
    size_t kind = level < 4 ? below(4) : 0;
    if (kind < 2) {
        buf_addz(b, scalar[below(CHECK_ROWS(scalar))]);
        return;
    }
    buf_addz(b, kind == 2 ? "[ " : "{");
    for (size_t i = 0, n = below(5); i < n; i++) {
        if (i)
            buf_addz(b, below(2) ? "," : " ,\n");
        if (kind == 3)
            buf_addf(b, "\"%s\"%s", key[below(CHECK_ROWS(key))], below(2) ? ":" : " : ");
        make(b, level + 1);
    }
    buf_addz(b, kind == 2 ? "]" : " }");
}

/* Refusals of jansson that are its own limits, not JSON's. */
static bool limit_of_jansson(const json_error_t *e)
{
    enum json_error_code code = json_error_code(e);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key || code == json_error_null_character ||
           code == json_error_stack_overflow || strstr(e->text, "invalid Unicode '\\u");
}

static bool too_deep(struct span text)
{
    size_t depth = 0, most = 0;
    bool inside = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (inside && c == '\\')
            i++;
        else if (c == '"')
            inside = !inside;
        else if (!inside && (c == '[' || c == '{') && ++depth > most)
            most = depth;
        else if (!inside && (c == ']' || c == '}'))
            depth--;
    }
    return most > JSON_DEPTH_MAX;
}

static void same(struct json ours, const json_t *theirs);

static void same_object(struct json ours, const json_t *theirs)
{
    const char *key;
    json_t *value;
    struct span raw;
    struct json v;
    size_t n = 0;
    json_t *copy = json_deep_copy(theirs);
    ck_assert_int_eq(ours.type, JSON_OBJECT);
    json_object_foreach(copy, key, value)
    {
        same(json_get(ours, span_of(key)), value);
        n++;
    }
    ck_assert_uint_ge(json_count(ours), n); /* doubled keys */
    struct json_iter it = json_iter(ours);
    while (json_next(&it, &raw, &v)) {
        struct buf name = {0};
        ck_assert(json_unescape(&name, raw));
        ck_assert_ptr_nonnull(json_object_get(copy, buf_z(&name)));
        buf_release(&name);
    }
    json_decref(copy);
}

static void same(struct json ours, const json_t *theirs)
{
    struct buf text = {0};
    int64_t n;
    switch (json_typeof(theirs)) {
    case THEIR_OBJECT:
        same_object(ours, theirs);
        break;
    case THEIR_ARRAY:
        ck_assert_int_eq(ours.type, JSON_ARRAY);
        ck_assert_uint_eq(json_count(ours), json_array_size(theirs));
        for (size_t i = 0; i < json_array_size(theirs); i++)
            same(json_at(ours, i), json_array_get(theirs, i));
        break;
    case THEIR_STRING:
        ck_assert(ours.type == JSON_STRING && json_text(ours, &text));
        ck_assert(span_eq(buf_span(&text), (struct span){json_string_value(theirs), json_string_length(theirs)}));
        break;
    case JSON_INTEGER:
        ck_assert(json_int64(ours, &n));
        ck_assert_int_eq(n, json_integer_value(theirs));
        break;
    case JSON_REAL:
        ck_assert(ours.type == JSON_NUMBER && !json_int64(ours, &n) && json_text(ours, &text));
        ck_assert_double_eq(strtod(buf_z(&text), NULL), json_real_value(theirs));
        break;
    case THEIR_TRUE:
        ck_assert_int_eq(ours.type, JSON_TRUE);
        break;
    case THEIR_FALSE:
        ck_assert_int_eq(ours.type, JSON_FALSE);
        break;
    case THEIR_NULL:
        ck_assert_int_eq(ours.type, JSON_NULL);
        break;
    }
    buf_release(&text);
}

/* What must hold of every accepted text, whoever else accepts it. */
static void hold_together(struct json v)
{
    struct json again;
    ck_assert(json_parse(v.raw, &again, NULL) && again.raw.n == v.raw.n && again.type == v.type);
    struct buf small = {0}, smaller = {0};
    json_minify(&small, v.raw);
    ck_assert(json_parse(buf_span(&small), &again, NULL));
    ck_assert(again.type == v.type && json_count(again) == json_count(v));
    json_minify(&smaller, again.raw);
    ck_assert(span_eq(buf_span(&small), buf_span(&smaller)));
    struct json_iter it = json_iter(v);
    struct span key;
    struct json value;
    while (json_next(&it, v.type == JSON_OBJECT ? &key : NULL, &value))
        ck_assert(json_parse(value.raw, &again, NULL) && again.raw.n == value.raw.n && again.type == value.type);
    buf_release(&small);
    buf_release(&smaller);
}

static void judge(struct span text, size_t *accepted)
{
    char *copy = malloc(text.n ? text.n : 1); /* no byte behind it */
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text.p, text.n);
    struct json v;
    struct err err = {0};
    json_error_t other = {0};
    bool ok = json_parse((struct span){copy, text.n}, &v, &err);
    json_t *theirs = json_loadb(copy, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &other);
    if (ok && !theirs)
        ck_assert_msg(limit_of_jansson(&other), "accepted, jansson says %s: %.*s", other.text, SPAN_ARG(text));
    if (!ok && theirs) /* a NUL where a token should be is an end to it, and JSON nowhere */
        ck_assert_msg(too_deep(text) || memchr(text.p, 0, text.n), "%s: %.*s", err.msg, SPAN_ARG(text));
    if (ok)
        hold_together(v);
    if (ok && theirs) {
        same(v, theirs);
        ++*accepted;
    }
    json_decref(theirs);
    free(copy);
}

START_TEST(damaged_documents)
{
    size_t accepted = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct buf b = {0};
        buf_addz(&b, seeds[below(CHECK_ROWS(seeds))]);
        for (size_t i = 0, n = 1 + below(3); i < n; i++)
            damage(&b);
        judge(buf_span(&b), &accepted);
        buf_release(&b);
    }
    /* The damage must leave enough that is JSON for the comparison to mean something. */
    ck_assert_uint_gt(accepted, ROUNDS / 50);
    ck_assert_uint_lt(accepted, ROUNDS);
}
END_TEST

START_TEST(made_documents)
{
    size_t accepted = 0;
    for (int round = 0; round < ROUNDS / 4; round++) {
        struct buf b = {0};
        make(&b, 0);
        judge(buf_span(&b), &accepted);
        buf_release(&b);
    }
    ck_assert_uint_eq(accepted, ROUNDS / 4);
}
END_TEST

/* Brackets, quotes and runs of backslashes inside long strings, at every place of a block: a skip ends where the value does. */
START_TEST(skips_end_where_values_end)
{
    static const char *const pieces[] = {"\\\\", "\\\"", "[", "]", "{", "}", "a", ",", "\\u005c", "0123456789abcdef"};
    struct buf value = {0}, whole = {0};
    struct err err;
    for (int round = 0; round < ROUNDS; round++) {
        size_t depth = 1 + below(3);
        buf_clear(&value);
        for (size_t i = 0; i < depth; i++)
            buf_addz(&value, i % 2 ? "{\"k\":" : "[");
        buf_addc(&value, '"');
        for (size_t n = below(60); n; n--)
            buf_addz(&value, pieces[below(CHECK_ROWS(pieces))]);
        buf_addz(&value, below(2) ? "\"" : "\" ");
        for (size_t i = depth; i-- > 0;)
            buf_addz(&value, i % 2 ? "}" : "]");
        buf_clear(&whole);
        buf_addf(&whole, "{\"%.*s\":", (int)below(70), "0123456789012345678901234567890123456789012345678901234567890123456789");
        size_t at = whole.n;
        buf_adds(&whole, buf_span(&value));
        buf_addz(&whole, ",\"z\":[1]}");
        struct json doc, v;
        struct span key;
        ck_assert_msg(json_parse(buf_span(&whole), &doc, &err), "%s: %s", err.msg, buf_z(&whole));
        struct json_iter it = json_iter(doc);
        ck_assert(json_next(&it, &key, &v));
        ck_assert(v.raw.p == whole.p + at && span_eq(v.raw, buf_span(&value)));
        ck_assert(json_next(&it, &key, &v) && span_eqz(key, "z") && span_eqz(v.raw, "[1]") && !json_next(&it, &key, &v));
    }
    buf_release(&value);
    buf_release(&whole);
}
END_TEST

#ifdef JSON_HAS_WIDE
static void loops_agree(struct span text, size_t *accepted)
{
    struct json_proof plain = {0}, wide = {0};
    const char *end = text.p + text.n;
    bool ok = json_prove_plain(text.p, end, &plain);
    ck_assert(json_prove_wide(text.p, end, &wide) == ok && wide.end == plain.end && wide.at == plain.at);
    ck_assert_msg(ok || strcmp(plain.what, wide.what) == 0, "%s, %s: %.*s", plain.what, wide.what, SPAN_ARG(text));
    if (!ok)
        return;
    ++*accepted;
    if (*text.p == '{' || *text.p == '[') {
        ck_assert_ptr_eq(json_skip_plain(text.p, end), plain.end);
        ck_assert_ptr_eq(json_skip_wide(text.p, end), plain.end);
    }
    char *out[2] = {malloc(text.n + JSON_SLACK), malloc(text.n + JSON_SLACK)};
    ck_assert(out[0] && out[1]);
    size_t n = json_squeeze_plain(out[0], text.p, plain.end);
    ck_assert_uint_eq(n, json_squeeze_wide(out[1], text.p, plain.end));
    ck_assert(n == 0 || memcmp(out[0], out[1], n) == 0);
    free(out[0]);
    free(out[1]);
}

/* The loops for any processor and those for AVX2: the same judgement, place, words and bytes. */
START_TEST(both_loops_agree)
{
    if (!json_can_wide())
        return;
    struct buf b = {0};
    size_t accepted = 0;
    for (int round = 0; round < ROUNDS; round++) {
        buf_clear(&b);
        buf_addz(&b, "[");
        make(&b, 0);
        for (size_t n = below(40); n; n--)
            buf_addz(&b, below(4) ? "  " : ",\"\\u00e9 \\\\ more text of a string, and \xc3\xa9\"");
        buf_addz(&b, "]");
        for (size_t n = below(3); n; n--)
            damage(&b);
        char *copy = malloc(b.n ? b.n : 1); /* no byte behind it */
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, b.n ? b.p : "", b.n);
        loops_agree((struct span){copy, b.n}, &accepted);
        free(copy);
    }
    ck_assert_uint_gt(accepted, ROUNDS / 3);
    ck_assert_uint_lt(accepted, ROUNDS);
    buf_release(&b);
}
END_TEST
#endif

/* A byte that may stand nowhere is told where it stands, however far into a text; or where the word, escape or sequence begins that
 * it breaks. */
START_TEST(a_wrong_byte_is_told_by_its_place)
{
    struct buf b = {0};
    for (int round = 0; round < ROUNDS / 4; round++) {
        struct json v;
        struct err err = {0};
        buf_clear(&b);
        buf_addz(&b, "[");
        for (size_t n = below(12); n; n--) {
            make(&b, 1);
            buf_addz(&b, below(2) ? "," : ",\n          ");
        }
        make(&b, 0);
        buf_addz(&b, "]");
        ck_assert(json_parse(buf_span(&b), &v, &err));
        size_t at = below(b.n + 1), said = 0;
        put(&b, at, 0, (struct span){"\x01", 1});
        ck_assert(!json_parse(buf_span(&b), &v, &err));
        ck_assert_msg(sscanf(err.msg, "not JSON: at byte %zu", &said) == 1, "%s", err.msg);
        unsigned char c = (unsigned char)b.p[said];
        ck_assert_msg(said == at || (said < at && at - said <= 5 && (c >= 0xc2 || strchr("\\tfn", c))), "%s, not %zu: %s", err.msg,
                      at, b.p);
    }
    buf_release(&b);
}
END_TEST

/* What a memo says of a document's objects is what a walk over them says. */
static void memo_agrees(struct json_memo *m, struct json doc)
{
    struct json todo[64] = {doc}, value, again;
    size_t n = 1;
    while (n) {
        struct json at = todo[--n];
        struct json_iter it = json_iter(at);
        struct span key;
        while (json_next(&it, at.type == JSON_OBJECT ? &key : NULL, &value)) {
            if (at.type == JSON_OBJECT) {
                struct buf name = {0};
                json_unescape(&name, key);
                again = json_get_memo(m, at, buf_span(&name));
                value = json_get(at, buf_span(&name)); /* of doubled keys the last */
                ck_assert(again.type == value.type && again.raw.p == value.raw.p && again.raw.n == value.raw.n);
                buf_release(&name);
            }
            if ((value.type == JSON_OBJECT || value.type == JSON_ARRAY) && n < CHECK_ROWS(todo))
                todo[n++] = value;
        }
        ck_assert_int_eq(json_get_memo(m, at, SPAN_LIT("not there")).type, JSON_NONE);
    }
}

START_TEST(a_memo_agrees_with_walks)
{
    static const size_t counts[] = {0, 1, 5, 40, JSON_MEMO_CONTAINERS - 300, JSON_MEMO_CONTAINERS, 3 * JSON_MEMO_CONTAINERS};
    struct json_memo *m = calloc(1, sizeof *m);
    struct buf b = {0};
    ck_assert_ptr_nonnull(m);
    for (int round = 0; round < 400; round++) {
        struct json doc;
        buf_clear(&b);
        buf_addz(&b, " {\"first\":");
        for (size_t i = 0, n = counts[below(round % 20 ? 4 : CHECK_ROWS(counts))]; i < n; i++)
            buf_addf(&b, "%s%zu\":[{\"long enough to be remembered\": [ ] }]", i ? ",\"" : "{\"", i);
        buf_addz(&b, b.p[b.n - 1] == ']' ? "}" : "null");
        for (size_t i = 0, n = below(70); i < n; i++) {
            buf_addf(&b, ",\n\"member %zu\":", below(60));
            make(&b, 1);
        }
        buf_addz(&b, "}");
        ck_assert(json_parse_memo(m, buf_span(&b), &doc, NULL));
        memo_agrees(m, doc);
        json_memo_clear(m);
        memo_agrees(m, doc);
        json_memo_clear(m);
        ck_assert(!json_parse_memo(m, (struct span){b.p, b.n - 1}, &doc, NULL) && m->n_containers == 0);
    }
    buf_release(&b);
    free(m);
}
END_TEST

CHECK_SUITE("core json fuzz", t)
{
    state = check_seed();
#ifdef JSON_HAS_WIDE
    tcase_add_test(t, both_loops_agree);
#endif
    tcase_add_test(t, a_wrong_byte_is_told_by_its_place);
    tcase_add_test(t, a_memo_agrees_with_walks);
    tcase_add_test(t, skips_end_where_values_end);
    tcase_add_test(t, damaged_documents);
    tcase_add_test(t, made_documents);
}
