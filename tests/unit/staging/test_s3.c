/* What of the S3 store needs no network: URLs, XML and its hostile forms, what answers mean, credentials as text, parts. */
#include "staging/s3/answer.h"
#include "tests/unit/check_main.h"
#include "staging/s3/credentials.h"
#include "staging/s3/place.h"
#include "staging/s3/sign_v2.h"
#include "staging/s3/upload.h"
#include "staging/s3/xml.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- URLs ---- */
static const struct {
    struct s3_place place;
    const char *key;
    struct s3_param params[4];
    size_t n;
    const char *url;
} urls[] = {
    {{"http", "h:9000", "", "b", "", false}, NULL, {{0}}, 0, "http://h:9000/b"},
    {{"https", "h", "", "b", "", true}, NULL, {{0}}, 0, "https://b.h/"},
    {{"https", "h", "/s3", "b", "p/q/", false}, "t/dt=2026-01-01/x~y z+.zst", {{0}}, 0,
     "https://h/s3/b/p/q/t/dt%3D2026-01-01/x~y%20z%2B.zst"},
    {{"https", "h", "", "b", "p/", true}, "k", {{"uploadId", "a/b=="}, {"partNumber", "7"}}, 2,
     "https://b.h/p/k?partNumber=7&uploadId=a%2Fb%3D%3D"},
    {{"http", "h", "", "b", "", false}, NULL, {{"uploads", ""}, {"prefix", "a/ä"}, {"key-marker", "&"}}, 3,
     "http://h/b?key-marker=%26&prefix=a%2F%C3%A4&uploads="},
};

START_TEST(a_url_is_sorted_and_encoded)
{
    struct buf out = {0};
    s3_url_write(&out, &urls[_i].place, NULL, urls[_i].key, urls[_i].params, urls[_i].n);
    ck_assert_str_eq(buf_z(&out), urls[_i].url);
    buf_release(&out);
}
END_TEST

static const struct {
    const char *url, *scheme, *authority, *path;
} endpoints[] = {
    {"http://127.0.0.1:9000", "http", "127.0.0.1:9000", ""},
    {"https://minio.example.com/", "https", "minio.example.com", ""},
    {"https://[::1]:1/s3/", "https", "[::1]:1", "/s3"},
    {"ftp://h", NULL, NULL, NULL},
    {"https://", NULL, NULL, NULL},
    {"https:///x", NULL, NULL, NULL},
    {"https://user@h", NULL, NULL, NULL},
    {"https://h?x", NULL, NULL, NULL},
    {"https://h/ x", NULL, NULL, NULL},
};

START_TEST(an_endpoint_has_three_parts)
{
    char *scheme = NULL, *authority = NULL, *path = NULL;
    bool ok = s3_endpoint_parse(endpoints[_i].url, &scheme, &authority, &path);
    ck_assert_int_eq(ok, endpoints[_i].scheme != NULL);
    if (ok) {
        ck_assert_str_eq(scheme, endpoints[_i].scheme);
        ck_assert_str_eq(authority, endpoints[_i].authority);
        ck_assert_str_eq(path, endpoints[_i].path);
    }
    free(scheme);
    free(authority);
    free(path);
}
END_TEST

/* The texts of the requests that the specification of signature v2 signs as its examples. */
START_TEST(v2_signs_what_the_store_will_see)
{
    static const struct s3_place place = {"https", "s3.amazonaws.com", "", "johnsmith", "", true};
    static const struct s3_param parts[] = {{"uploadId", "a/b"}, {"prefix", "x"}, {"partNumber", "2"}};
    static const char *const none[] = {NULL}, *const typed[] = {"Content-Type: image/jpeg", "x-amz-meta-a: b", NULL};
    struct s3_keys keys = {.access = (char *)(uintptr_t)"AKIAIOSFODNN7EXAMPLE",
                           .secret = (char *)(uintptr_t)"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
    struct s3_v2 r = {"GET", "Tue, 27 Mar 2007 19:36:42 +0000", none, &place, "photos/puppy.jpg", NULL, 0};
    struct buf out = {0};
    s3_v2_text(&out, &r);
    ck_assert_str_eq(buf_z(&out), "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/johnsmith/photos/puppy.jpg");
    buf_clear(&out);
    s3_v2_header(&out, &r, &keys);
    ck_assert_str_eq(buf_z(&out), "Authorization: AWS AKIAIOSFODNN7EXAMPLE:bWq2s1WEIj+Ydj0vQ697zp+IXMU=");
    r = (struct s3_v2){"PUT", "D", typed, &place, "k", parts, 3};
    buf_clear(&out);
    s3_v2_text(&out, &r);
    ck_assert_str_eq(buf_z(&out), "PUT\n\nimage/jpeg\nD\nx-amz-meta-a:b\n/johnsmith/k?partNumber=2&uploadId=a/b");
    buf_release(&out);
}
END_TEST

/* ---- XML ---- */
static void transcribe(struct span in, struct buf *out)
{
    struct xml x;
    struct buf text = {0};
    xml_init(&x, in);
    for (;;) {
        switch (xml_next(&x)) {
        case XML_OPEN:
            buf_addf(out, "<%.*s ", SPAN_ARG(xml_name(&x)));
            continue;
        case XML_CLOSE:
            buf_addz(out, "> ");
            continue;
        case XML_TEXT:
            buf_clear(&text);
            buf_addz(out, xml_text(&x, &text) ? "" : "!");
            buf_addf(out, "%s ", buf_z(&text));
            continue;
        case XML_END:
            buf_addz(out, "end");
            break;
        case XML_BAD:
            buf_addz(out, "bad");
            break;
        }
        break;
    }
    buf_release(&text);
}

static const char *const xmls[][2] = {
    {"<a/>", "<a > end"},
    {"<?xml version=\"1.0\"?>\n<a x=\"1>2\"><b>t</b></a>\n", "<a <b t > > end"},
    {"\xef\xbb\xbf<s:a xmlns:s='u'><s:b/></s:a>", "<a <b > > end"},
    {"<a>&lt;&amp;&#65;&#x20ac;&apos;</a>", "<a <&A\xe2\x82\xac' > end"},
    {"<a><![CDATA[<&]]></a>", "<a <& > end"},
    {"<a><!-- <b> -->t</a>", "<a t > end"},
    {"<a>&nope;</a>", "<a ! > end"},
    {"<a>&#0;</a>", "<a ! > end"},
    {"<a>&#xd800;</a>", "<a ! > end"},
    {"<a>&#99999999999999999999;</a>", "<a ! > end"},
    {"<a>&amp</a>", "<a ! > end"},
    {"<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "bad"},
    {"<a><b></a></b>", "<a <b bad"},
    {"<a>", "<a bad"},
    {"<a", "bad"},
    {"</a>", "bad"},
    {"<>", "bad"},
    {"< a/>", "bad"},
    {"<a/><b/>", "<a > bad"},
    {"<a/>text", "<a > bad"},
    {"text", "bad"},
    {"", "bad"},
    {"<a><![CDATA[x</a>", "<a bad"},
    {"<a><!-- x</a>", "<a bad"},
    {"<?xml", "bad"},
    {"<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>", "<a <a <a <a <a <a <a <a <a <a <a <a <a <a <a <a bad"},
};

START_TEST(xml_is_read_or_refused)
{
    struct buf out = {0};
    transcribe(span_of(xmls[_i][0]), &out);
    ck_assert_str_eq(buf_z(&out), xmls[_i][1]);
    buf_release(&out);
}
END_TEST

static bool note(void *ctx, struct span key)
{
    buf_addf(ctx, "%.*s ", SPAN_ARG(key));
    return true;
}

static bool note_upload(void *ctx, struct span key, struct span upload)
{
    buf_addf(ctx, "%.*s=%.*s ", SPAN_ARG(key), SPAN_ARG(upload));
    return true;
}

START_TEST(lists_give_keys_and_what_follows)
{
    static const char page[] = "<ListBucketResult xmlns=\"x\"><IsTruncated>true</IsTruncated><Name>b</Name>"
                               "<Contents><Key>a&amp;b</Key><Owner><Key>no</Key></Owner><Size>1</Size></Contents>"
                               "<Contents><Size>1</Size><Key>c</Key></Contents><Contents><Size>2</Size></Contents>"
                               "<Key>no</Key><NextContinuationToken>t/=</NextContinuationToken></ListBucketResult>";
    static const char ups[] = "<R><Upload><Key>k</Key><UploadId>1</UploadId></Upload><Upload><UploadId>2</UploadId><Key>l</Key></Upload>"
                              "<IsTruncated>false</IsTruncated><NextKeyMarker>l</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker></R>";
    struct buf keys = {0};
    struct s3_list list = {0};
    ck_assert(s3_list_read(SPAN_LIT(page), note, &keys, &list));
    ck_assert_str_eq(buf_z(&keys), "a&b c ");
    ck_assert(list.truncated);
    ck_assert_str_eq(buf_z(&list.next), "t/=");
    buf_clear(&keys);
    ck_assert(s3_uploads_read(SPAN_LIT(ups), note_upload, &keys, &list));
    ck_assert_str_eq(buf_z(&keys), "k=1 l=2 ");
    ck_assert(!list.truncated);
    ck_assert_str_eq(buf_z(&list.next), "l");
    ck_assert_str_eq(buf_z(&list.next_upload), "2");
    ck_assert(!s3_list_read(SPAN_LIT("<ListBucketResult><Contents>"), note, &keys, &list));
    ck_assert(!s3_list_read(SPAN_LIT("Service Unavailable"), note, &keys, &list));
    s3_list_release(&list);
    buf_release(&keys);
}
END_TEST

/* Every cut of an answer, and answers with bytes changed: nothing is read beyond them, and every text is bounded. */
START_TEST(broken_answers_are_refused)
{
    static const char page[] = "<?xml version='1.0'?><E x='>'><Error><Code>NoSuchKey</Code><Message>a&lt;&#x41;</Message></Error>"
                               "<Contents><Key><![CDATA[k]]></Key><!-- c --></Contents><IsTruncated>true</IsTruncated></E>";
    srand((unsigned)check_seed());
    for (unsigned i = 0; i < 40000; i++) {
        size_t n = i < sizeof(page) ? i : sizeof(page) - 1;
        char *copy = malloc(n + 1); /* its own block, so that reading past it is seen */
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, page, n);
        for (unsigned k = 0; n && i >= sizeof(page) && k < 1 + i % 4; k++)
            copy[(size_t)rand() % n] = "<>/&;!-[]?'\"x\0\xff"[rand() % 15];
        struct span in = {copy, n};
        struct buf keys = {0}, text = {0};
        struct s3_list list = {0};
        struct s3_error e;
        (void)s3_list_read(in, note, &keys, &list);
        (void)s3_uploads_read(in, note_upload, &keys, &list);
        if (s3_error_read(in, &e))
            ck_assert(strlen(e.code) < sizeof(e.code) && strlen(e.message) < sizeof(e.message));
        (void)s3_element(in, "Key", &text);
        transcribe(in, &text);
        s3_list_release(&list);
        buf_release(&keys);
        buf_release(&text);
        free(copy);
    }
}
END_TEST

/* ---- what answers mean ---- */
static const struct {
    long status;
    const char *body;
    enum s3_verdict verdict;
} answers[] = {
    {200, "", S3_DONE},
    {204, "", S3_DONE},
    {206, "", S3_DONE},
    {200, "<Error><Code>InternalError</Code></Error>", S3_RETRY}, /* of a completed multipart upload */
    {200, "<Error><Code>InvalidPart</Code></Error>", S3_REFUSED},
    {404, "<Error><Code>NoSuchKey</Code></Error>", S3_ABSENT},
    {404, "<Error><Code>NoSuchUpload</Code></Error>", S3_ABSENT},
    {404, "<Error><Code>NoSuchBucket</Code></Error>", S3_REFUSED},
    {412, "<Error><Code>PreconditionFailed</Code></Error>", S3_EXISTS},
    {409, "<Error><Code>ConditionalRequestConflict</Code></Error>", S3_RETRY},
    {500, "", S3_RETRY},
    {502, "<html>", S3_RETRY},
    {503, "<Error><Code>SlowDown</Code></Error>", S3_RETRY},
    {400, "<Error><Code>RequestTimeout</Code></Error>", S3_RETRY},
    {429, "", S3_RETRY},
    {501, "<Error><Code>NotImplemented</Code></Error>", S3_UNCONDITIONAL},
    {400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>", S3_REGION},
    {400, "<Error><Code>AuthorizationHeaderMalformed</Code></Error>", S3_REFUSED},
    {301, "<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint></Error>", S3_REDIRECT},
    {307, "<Error><Code>TemporaryRedirect</Code></Error>", S3_REDIRECT},
    {400, "<Error><Code>ExpiredToken</Code></Error>", S3_RENEW},
    {403, "<Error><Code>AccessDenied</Code></Error>", S3_REFUSED},
    {403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", S3_REFUSED},
    {400, "<Error><Code>InvalidDigest</Code></Error>", S3_REFUSED},
};

START_TEST(each_answer_has_its_verdict)
{
    struct s3_error e;
    (void)s3_error_read(span_of(answers[_i].body), &e);
    ck_assert_int_eq(s3_judge(answers[_i].status, &e), answers[_i].verdict);
}
END_TEST

static const struct {
    long status;
    const char *code, *words;
    enum err_class cls;
} troubles[] = {
    {403, "InvalidAccessKeyId", "does not know the access key", ERR_CONFIG},
    {403, "SignatureDoesNotMatch", "secret key does not belong", ERR_CONFIG},
    {404, "NoSuchBucket", "there is no bucket 'b'", ERR_CONFIG},
    {403, "RequestTimeTooSkewed", "clock is wrong", ERR_CONFIG},
    {403, "AccessDenied", "access denied; the credentials need s3:PutObject", ERR_CONFIG},
    {400, "ExpiredToken", "session token is not valid any more", ERR_CONFIG},
    {301, "PermanentRedirect", "'b' is not in region r", ERR_CONFIG},
    {400, "MalformedXML", "the store refuses the request", ERR_CONFIG},
    {503, "SlowDown", "overloaded", ERR_TRANSIENT},
};

START_TEST(each_trouble_is_named)
{
    struct s3_error e = {0};
    struct err err;
    (void)snprintf(e.code, sizeof(e.code), "%s", troubles[_i].code);
    ck_assert(!s3_explain(&err, troubles[_i].status, &e, "b", "r", "PUT k"));
    ck_assert_msg(strstr(err.msg, troubles[_i].words) != NULL, "%s", err.msg);
    ck_assert(strstr(err.msg, "(PUT k: ") != NULL);
    ck_assert_int_eq(err.cls, troubles[_i].cls);
}
END_TEST

START_TEST(waits_grow_and_stay_bounded)
{
    for (unsigned tries = 1; tries < 20; tries++) {
        uint64_t most = s3_backoff_us(tries, UINT64_C(4611686018427387903));
        ck_assert_uint_le(most, 4000000);
        ck_assert_uint_ge(s3_backoff_us(tries, 0), 1);
    }
    ck_assert_uint_le(s3_backoff_us(1, 99999), 100000);
    ck_assert_uint_eq(s3_backoff_us(3, 399999), 400000);
}
END_TEST

/* ---- credentials ---- */
static const struct {
    const char *file, *profile, *access, *token; /* access NULL: refused */
} profiles[] = {
    {"[default]\naws_access_key_id = A\naws_secret_access_key=S\n", "default", "A", NULL},
    {"# c\r\n[x]\r\naws_access_key_id=N\r\n[ p ]\r\naws_secret_access_key = S \r\naws_access_key_id=A\r\naws_session_token=T==\r\n", "p",
     "A", "T=="},
    {"[default]\naws_access_key_id=A\n", "default", NULL, NULL},
    {"[other]\naws_access_key_id=A\naws_secret_access_key=S\n", "default", NULL, NULL},
    {"aws_access_key_id=A\naws_secret_access_key=S\n", "default", NULL, NULL},
    {"[default]\naws_access_key_id=A B\naws_secret_access_key=S\n", "default", NULL, NULL},
    {"[default]\naws_access_key_id\naws_secret_access_key=S\n", "default", NULL, NULL},
    {"[", "default", NULL, NULL},
    {"", "default", NULL, NULL},
};

START_TEST(a_profile_is_whole_or_refused)
{
    struct s3_keys k = {0};
    struct err err;
    bool ok = s3_profile_read(span_of(profiles[_i].file), span_of(profiles[_i].profile), &k, &err);
    ck_assert_int_eq(ok, profiles[_i].access != NULL);
    if (ok) {
        ck_assert_str_eq(k.access, profiles[_i].access);
        ck_assert_str_eq(k.secret, "S");
        ck_assert_pstr_eq(k.token, profiles[_i].token);
    }
    s3_keys_wipe(&k);
}
END_TEST

#define STS(expiration) \
    "<AssumeRoleWithWebIdentityResponse xmlns='u'><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A</AccessKeyId>" \
    "<SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>" expiration \
    "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"

START_TEST(temporary_keys_have_an_end)
{
    struct s3_keys k = {0};
    struct err err;
    uint64_t until = 0;
    ck_assert(s3_identity_read(SPAN_LIT(STS("<Expiration>2026-01-01T00:00:00Z</Expiration>")), &k, &until, &err));
    ck_assert_str_eq(k.token, "T");
    ck_assert_uint_eq(until, UINT64_C(1767225600000000));
    s3_keys_wipe(&k);
    ck_assert(!s3_identity_read(SPAN_LIT(STS("")), &k, &until, &err));
    ck_assert(!s3_identity_read(SPAN_LIT(STS("<Expiration>soon</Expiration>")), &k, &until, &err));
    ck_assert(!s3_identity_read(SPAN_LIT("<x/>"), &k, &until, &err));
    ck_assert(s3_container_read(SPAN_LIT("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\","
                                         "\"Expiration\":\"2026-01-01T00:00:00Z\"}"), &k, &until, &err));
    ck_assert_str_eq(k.secret, "S");
    s3_keys_wipe(&k);
    ck_assert(!s3_container_read(SPAN_LIT("{\"AccessKeyId\":\"A\"}"), &k, &until, &err));
    ck_assert(!s3_container_read(SPAN_LIT("{\"AccessKeyId\":\"A\\u0000\",\"SecretAccessKey\":\"S\"}"), &k, &until, &err));
    ck_assert(!s3_container_read(SPAN_LIT("not json"), &k, &until, &err));
    ck_assert_ptr_null(k.access);
}
END_TEST

static const struct {
    const char *url;
    bool safe;
} containers[] = {
    {"https://anything.example/x", true},    {"http://127.0.0.1:51679/v2", true}, {"http://169.254.170.23/v1/credentials", true},
    {"http://[fd00:ec2::23]/v1", true},      {"http://localhost/", true},         {"http://localhost.evil.example/", false},
    {"http://127.0.0.1@evil.example/", false}, {"http://127.0.0.1:1@evil.example/", false}, {"http://evil.example/", false},
    {"ftp://127.0.0.1/", false},
};

START_TEST(a_token_stays_on_this_machine)
{
    ck_assert_int_eq(s3_container_url_safe(containers[_i].url), containers[_i].safe);
}
END_TEST

START_TEST(ten_thousand_parts_are_enough)
{
    static const uint64_t sizes[] = {0, 1, S3_PART_MIN, S3_PART_MIN * S3_PARTS_MAX, S3_PART_MIN * S3_PARTS_MAX + 1, UINT64_C(5) << 40};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t part = s3_part_bytes(sizes[i]);
        ck_assert_uint_ge(part, S3_PART_MIN);
        ck_assert_uint_le((sizes[i] + part - 1) / part, S3_PARTS_MAX);
        if (sizes[i] <= S3_PART_MIN * S3_PARTS_MAX)
            ck_assert_uint_eq(part, S3_PART_MIN);
    }
}
END_TEST

#define EACH(test, table) tcase_add_loop_test(t, test, 0, CHECK_ROWS(table))

CHECK_SUITE("staging s3", t)
{
    EACH(a_url_is_sorted_and_encoded, urls);
    EACH(an_endpoint_has_three_parts, endpoints);
    tcase_add_test(t, v2_signs_what_the_store_will_see);
    EACH(xml_is_read_or_refused, xmls);
    tcase_add_test(t, lists_give_keys_and_what_follows);
    tcase_add_test(t, broken_answers_are_refused);
    EACH(each_answer_has_its_verdict, answers);
    EACH(each_trouble_is_named, troubles);
    tcase_add_test(t, waits_grow_and_stay_bounded);
    EACH(a_profile_is_whole_or_refused, profiles);
    tcase_add_test(t, temporary_keys_have_an_end);
    EACH(a_token_stays_on_this_machine, containers);
    tcase_add_test(t, ten_thousand_parts_are_enough);
}
