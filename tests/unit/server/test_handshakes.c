/* Handshakes: what providers send to prove that an endpoint is ours, by tests/vectors/handshakes.json and the manifests beside it;
 * and who only pretends to be a provider. */
#include "core/codec.h"
#include "tests/unit/server/door_world.h"
#include "tests/unit/server/tls_world.h"
#include <pthread.h>

#define VALUES_MAX 8
#define FIRST "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81"
#define OTHER "00000000000000000000000000000000000000000000000000000000000000ff"
#define SNS_HOST "sns.us-west-2.amazonaws.com"
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

/* One source of one manifest behind a door. */
struct shaken {
    struct world w;
    struct manifest *m;
    struct source_config source;
    struct config_value values[VALUES_MAX];
    struct secret_ref refs[4];
    char paths[VALUES_MAX][300];
    char secret[200];
    struct verifier *signer;
    char *vectors;
    struct tls_world tls;
    bool has_tls;
    char via[100], pem[300];
};
static struct shaken k;

static void read_manifest(const char *name)
{
    char path[400];
    struct report report;
    struct err err = {0};
    report_init(&report);
    snprintf(path, sizeof path, "%s/tests/vectors/handshakes/%s.yaml", SLUICE_ROOT, name);
    k.m = manifest_load_file(path, &report, &err);
    ck_assert_msg(k.m != NULL, "%s%s", buf_z(&report.text), err.msg);
    report_release(&report);
}

/* Every value that the manifest knows as a secret goes into a file. */
static void add_value(const char *name, const char *text)
{
    const struct field_rule *field = manifest_field(k.m, span_of(name));
    if (strcmp(name, "secret") == 0) {
        snprintf(k.secret, sizeof k.secret, "%s", text);
        return;
    }
    ck_assert_ptr_nonnull(field);
    size_t i = k.source.n_values++;
    ck_assert_uint_lt(i, VALUES_MAX);
    k.values[i] = (struct config_value){.name = field->name, .secret = field->secret, .text = mem_dup(text)};
    if (field->secret) {
        struct err err = {0};
        char path[300];
        snprintf(path, sizeof path, "%s/value%zu", k.w.dir, i);
        memcpy(k.paths[i], path, sizeof path);
        ck_assert(io_write_file_atomic(io_posix(), k.paths[i], 0600, span_of(text), &err));
        k.values[i].ref = (struct secret_ref){.kind = SECRET_FILE, .at = k.paths[i]};
    }
}

static void add_secret(const char *text)
{
    struct err err = {0};
    ck_assert(io_write_file_atomic(io_posix(), k.w.secret_path, 0600, span_of(text), &err));
    k.refs[0] = k.w.secret;
    k.source.secrets = k.refs;
    k.source.n_secrets = 1;
}

static void make_signer(const char *text)
{
    struct err err = {0};
    struct verify_secret one = {span_of(text), 0};
    verifier_free(&k.signer);
    ck_assert(verifier_of(k.m, &one, 1, NULL, 0, NULL, &k.signer, &err));
}

static void prepare(const char *name)
{
    memset(&k, 0, sizeof k);
    world_new(&k.w);
    read_manifest(name);
    snprintf(k.secret, sizeof k.secret, "%s", SECRET);
    k.source = (struct source_config){.name = name, .manifest = k.m, .values = k.values, .all_tables = true};
    k.w.config.sources = &k.source;
    k.w.config.n_sources = 1;
}

static void start(void)
{
    struct err err = {0};
    world_open_journal(&k.w);
    struct server_opts so = {.config = &k.w.config, .journal = k.w.journal, .data_dir = k.w.dir, .io = k.w.io};
    if (k.has_tls) {
        so.confirm_via = k.via;
        so.confirm_certificates = k.pem;
    }
    ck_assert_msg(server_start(&so, &k.w.server, &err), "%s", err.msg);
}

static void start_with_secret(void)
{
    add_secret(k.secret);
    make_signer(k.secret);
    start();
}

static void start_tls(const char *answer)
{
    snprintf(k.pem, sizeof k.pem, "%s/cert.pem", k.w.dir);
    tls_start(&k.tls, SNS_HOST, k.pem, answer);
    snprintf(k.via, sizeof k.via, SNS_HOST ":443:127.0.0.1:%u", k.tls.port);
    k.has_tls = true;
}

static void await_asked(unsigned n)
{
    for (int i = 0; i < 2000 && atomic_load(&k.tls.asked) < n; i++)
        usleep(5000);
    ck_assert_uint_eq(atomic_load(&k.tls.asked), n);
}

static void finish(void)
{
    world_stop(&k.w);
    if (k.has_tls)
        tls_stop(&k.tls);
    verifier_free(&k.signer);
    for (size_t i = 0; i < k.source.n_values; i++)
        free((char *)(uintptr_t)k.values[i].text);
    manifest_free(&k.m);
    free(k.vectors);
    world_free(&k.w);
}

/* method, query with its ?, header lines, body; signed by `signer` unless NULL. */
static struct answer say(const char *method, const char *query, const char *headers, struct span body, const struct verifier *signer)
{
    struct buf b;
    buf_init(&b, 8 << 20);
    buf_addf(&b, "%s /in/%s%s HTTP/1.1\r\nHost: x\r\n%s", method, k.source.name, query, headers);
    if (body.n || strcmp(method, "POST") == 0)
        buf_addf(&b, "Content-Length: %zu\r\n", body.n);
    if (signer)
        sign_into(&k.w, signer, body, "x", &b);
    buf_addz(&b, "\r\n");
    buf_adds(&b, body);
    struct answer a = ask(&k.w, buf_span(&b));
    buf_release(&b);
    return a;
}

static bool has_header(const struct answer *a, const char *name, const char *value)
{
    char line[600];
    snprintf(line, sizeof line, "\r\n%s: %s\r\n", name, value);
    return strcasestr(a->head, line) != NULL;
}

static uint64_t count(enum outcome o)
{
    return counts_of(&k.w, k.source.name).by_outcome[o];
}

/* ---- the vectors ---- */

static struct json vectors(void)
{
    size_t n;
    struct err err = {0};
    struct json all;
    ck_assert(io_read_file(io_posix(), SLUICE_ROOT "/tests/vectors/handshakes.json", 1 << 20, &k.vectors, &n, &err));
    ck_assert_msg(json_parse(span_make(k.vectors, n), &all, &err), "%s", err.msg);
    return all;
}

/* Into `out`, as a text of its own. */
static const char *text_of(struct json v, struct buf *out)
{
    buf_clear(out);
    json_text(v, out);
    return buf_z(out);
}

static void same_json(struct json want, const char *body)
{
    struct json got, value;
    struct err err = {0};
    struct span key;
    ck_assert_msg(json_parse(span_of(body), &got, &err), "%s: %s", body, err.msg);
    ck_assert_uint_eq(json_count(got), json_count(want));
    for (struct json_iter it = json_iter(want); json_next(&it, &key, &value);) {
        struct json other = json_get(got, key);
        ck_assert_msg(other.type == value.type && span_eq(other.raw, value.raw), "%.*s: %s", SPAN_ARG(key), body);
    }
}

static void same_answer(const struct answer *a, struct json expect)
{
    struct buf t, name;
    buf_init(&t, 1 << 16);
    buf_init(&name, 1 << 16);
    char status[8];
    snprintf(status, sizeof status, "%u", a->status);
    ck_assert_msg(strstr(text_of(json_get(expect, SPAN_LIT("status")), &t), status), "status %s\n%s%s", status, a->head, a->body);
    struct json body = json_get(expect, SPAN_LIT("body")), json = json_get(expect, SPAN_LIT("json")), value;
    if (body.type)
        ck_assert_str_eq(a->body, text_of(body, &t));
    if (json.type) {
        same_json(json, a->body);
        ck_assert(has_header(a, "Content-Type", "application/json"));
    }
    struct json type = json_get(expect, SPAN_LIT("content_type"));
    if (span_starts(json_inner(type), SPAN_LIT("text/plain")))
        ck_assert(has_header(a, "Content-Type", "text/plain"));
    struct span key;
    for (struct json_iter it = json_iter(json_get(expect, SPAN_LIT("headers"))); json_next(&it, &key, &value);) {
        buf_clear(&name);
        buf_adds(&name, key);
        ck_assert_msg(has_header(a, buf_z(&name), text_of(value, &t)), "%s", a->head);
    }
    buf_release(&t);
    buf_release(&name);
}

static struct answer send_vector(struct json request, bool sign)
{
    struct buf method, query, headers;
    buf_init(&method, 64);
    buf_init(&query, 4096);
    buf_init(&headers, 4096);
    struct json q = json_get(request, SPAN_LIT("query")), value;
    text_of(json_get(request, SPAN_LIT("method")), &method);
    if (q.type) {
        buf_addc(&query, '?');
        json_text(q, &query);
    }
    struct span key;
    for (struct json_iter it = json_iter(json_get(request, SPAN_LIT("headers"))); json_next(&it, &key, &value);)
        buf_addf(&headers, "%.*s: %.*s\r\n", SPAN_ARG(key), SPAN_ARG(json_inner(value)));
    struct answer a = say(buf_z(&method), buf_z(&query), buf_z(&headers), json_get(request, SPAN_LIT("json")).raw, sign ? k.signer : NULL);
    buf_release(&method);
    buf_release(&query);
    buf_release(&headers);
    return a;
}

START_TEST(vectors_are_answered)
{
    struct json v, all, value;
    struct span key;
    struct buf t, name;
    prepare("meta"); /* for its folder; the real one follows */
    all = vectors();
    ck_assert_uint_eq(json_count(all), 15);
    v = json_at(all, (size_t)_i);
    buf_init(&t, 1 << 16);
    buf_init(&name, 1 << 16);
    char provider[64];
    snprintf(provider, sizeof provider, "%s", text_of(json_get(v, SPAN_LIT("provider")), &t));
    char *kept = k.vectors;
    k.vectors = NULL;
    finish();
    prepare(provider);
    k.vectors = kept;
    for (struct json_iter it = json_iter(json_get(v, SPAN_LIT("config"))); json_next(&it, &key, &value);) {
        buf_clear(&name);
        buf_adds(&name, key);
        add_value(buf_z(&name), text_of(value, &t));
    }
    if (strcmp(provider, "aws-sns") == 0)
        start_tls(OK_ANSWER);
    if (manifest_delivers_secrets(k.m))
        start();
    else
        start_with_secret();
    struct json request = json_get(v, SPAN_LIT("request"));
    bool sign = json_get(request, SPAN_LIT("signed")).type == JSON_TRUE || k.has_tls;
    struct answer a = send_vector(request, sign);
    same_answer(&a, json_get(v, SPAN_LIT("expect")));
    await_outcome(&k.w, provider, a.status == 403 ? OUT_BAD_SIGNATURE : OUT_HANDSHAKE, 1);
    ck_assert_uint_eq(entries(&k.w), 0);
    if (k.has_tls) {
        await_asked(1);
        ck_assert_str_eq(k.tls.first, "GET /?Action=ConfirmSubscription HTTP/1.1");
    }
    if (sign && !k.has_tls) { /* whoever cannot sign gets no proof */
        a = send_vector(request, false);
        ck_assert_uint_eq(a.status, 401);
        ck_assert_str_eq(a.body, k.m->answer.empty ? "" : "missing_header\n");
    }
    struct books b;
    struct err err = {0};
    ck_assert(server_flush_books(k.w.server, &err));
    b = books_of(&k.w, provider);
    ck_assert_uint_eq(b.received, b.handshake + b.rejected);
    buf_release(&t);
    buf_release(&name);
    finish();
}
END_TEST

/* ---- attackers ---- */

static const struct {
    const char *provider, *method, *query, *headers, *body;
    bool sign;
    unsigned status;
    const char *answer; /* NULL: any */
} attacks[] = {
    {"meta", "GET", "?hub.mode=subscribe&hub.challenge=1", "", "", false, 403, "bad_signature\n"},
    {"meta", "GET", "?hub.mode=subscribe&hub.verify_token=&hub.challenge=1", "", "", false, 403, "bad_signature\n"},
    {"meta", "GET", "?hub.mode=subscribe&hub.verify_token=*&hub.challenge=1", "", "", false, 403, "bad_signature\n"},
    {"meta", "GET", "?hub.mode=subscribe&hub.verify_token=vt1%00&hub.challenge=1", "", "", false, 403, "bad_signature\n"},
    {"meta", "GET", "?hub.mode=subscribe&hub.verify_token=vt1", "", "", false, 400, "malformed\n"},
    {"meta", "GET", "?hub.mode=subscribe&hub.verify_token=vt1&hub.challenge=%3Cb%3E", "", "", false, 200, "<b>"},
    {"meta", "GET", "", "", "", false, 405, "bad_method\n"},
    {"meta", "DELETE", "?hub.mode=subscribe&hub.verify_token=vt1&hub.challenge=1", "", "", false, 405, "bad_method\n"},
    {"x-twitter", "GET", "?crc_token=%7B%22id%22%3A1%7D", "", "", false, 403, "bad_signature\n"},
    {"x-twitter", "GET", "?crc_token=tok%00", "", "", false, 403, "bad_signature\n"},
    {"x-twitter", "GET", "?crc_token=tok%0a", "", "", false, 403, "bad_signature\n"},
    {"x-twitter", "GET", "?crc_token=", "", "", false, 403, "bad_signature\n"},
    {"braintree", "GET", "?bt_challenge=PG5vdGlmaWNhdGlvbj4=", "", "", false, 403, "bad_signature\n"},
    {"braintree", "GET", "?bt_challenge=<20f9f8ed05f77439fe955c977e4c8a53>", "", "", false, 403, "bad_signature\n"},
    {"braintree", "GET", "?bt_challenge=20f9f8ed05f77439fe955c977e4c8a53>", "", "", false, 403, "bad_signature\n"},
    {"slack", "POST", "", "", "{\"type\":\"url_verification\",\"challenge\":\"x\"}", false, 401, "missing_header\n"},
    {"slack", "GET", "?type=url_verification&challenge=x", "", "", false, 405, "bad_method\n"},
    {"slack", "POST", "", "", "{\"type\":\"url_verification\"}", true, 400, "malformed\n"},
    {"zoom", "POST", "", "", "{\"event\":\"endpoint.url_validation\",\"payload\":{}}", true, 400, "malformed\n"},
    {"zoom", "POST", "", "", "{\"event\":\"endpoint.url_validation\",\"payload\":{\"plainToken\":\"x\"}}", false, 401, "missing_header\n"},
    {"okta", "GET", "", "X-Okta-Verification-Challenge: a\",\"b\":\"\\\r\n", "", false, 200, "{\"verification\":\"a\\\",\\\"b\\\":\\\"\\\\\"}"},
    {"echo", "GET", "?c=plain", "", "", false, 200, "ok"},
    {"echo", "GET", "?c=a%0d%0aSet-Cookie:+a=b", "", "", false, 400, "malformed\n"},
    {"echo", "GET", "?c=a%0aSet-Cookie:+a=b", "", "", false, 400, "malformed\n"},
    {"echo", "GET", "?c=a%0dSet-Cookie:+a=b", "", "", false, 400, "malformed\n"},
    {"echo", "GET", "?c=a%00b", "", "", false, 400, "malformed\n"},
    {"echo", "GET", "?c=%7f", "", "", false, 400, "malformed\n"},
    {"echo", "GET", "?c=", "", "", false, 400, "malformed\n"},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://" SNS_HOST "/\"}", false, 401, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"http://" SNS_HOST "/\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"file:///etc/passwd\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://127.0.0.1/\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://evil.example/?" SNS_HOST "\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://sns.mine.s3.amazonaws.com/\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://" SNS_HOST ".evil.example/\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://" SNS_HOST "@evil.example/\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://evil.example@" SNS_HOST "/\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://evil.example\\\\@" SNS_HOST "/\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://" SNS_HOST ":8443/\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://" SNS_HOST "/ \\r\\nX: y\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://" SNS_HOST "/\\u0000\"}", true, 400, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"\"}", true, 403, NULL},
    {"aws-sns", "POST", "", "", "{\"Type\":\"SubscriptionConfirmation\"}", true, 400, NULL},
    {"asana", "POST", "", "X-Hook-Secret: short\r\n", "", false, 400, "malformed\n"},
    {"asana", "POST", "", "X-Hook-Secret: with a space and long enough\r\n", "", false, 400, "malformed\n"},
    {"asana", "POST", "", "X-Hook-Secret: \r\n", "", false, 400, "malformed\n"},
    {"asana", "POST", "", "X-Hook-Secret: " FIRST "\r\nX-Hook-Secret: " OTHER "\r\n", "", false, 400, "malformed\n"},
    {"asana", "POST", "", "X-Hook-Signature: 00\r\n", "{}", false, 503, "cannot_judge\n"},
};

START_TEST(attackers_get_nothing)
{
    prepare(attacks[_i].provider);
    if (strcmp(attacks[_i].provider, "meta") == 0)
        add_value("verify_token", "vt1");
    if (manifest_delivers_secrets(k.m))
        start();
    else
        start_with_secret();
    struct answer a = say(attacks[_i].method, attacks[_i].query, attacks[_i].headers, span_of(attacks[_i].body),
                          attacks[_i].sign ? k.signer : NULL);
    ck_assert_msg(a.status == attacks[_i].status, "%u\n%s%s", a.status, a.head, a.body);
    if (attacks[_i].answer)
        ck_assert_str_eq(a.body, attacks[_i].answer);
    ck_assert_ptr_null(strstr(a.head, "Set-Cookie"));
    ck_assert_uint_eq(count(OUT_HANDSHAKE), a.status == 200);
    ck_assert_uint_eq(entries(&k.w), 0);
    finish();
}
END_TEST

START_TEST(long_ones_are_refused)
{
    struct buf b;
    buf_init(&b, 8 << 20);
    prepare("echo");
    start_with_secret();
    buf_addz(&b, "?c=");
    for (int i = 0; i < 17000; i++)
        buf_addc(&b, 'x');
    ck_assert_uint_eq(say("GET", buf_z(&b), "", SPAN_LIT(""), NULL).status, 400);
    finish();
    prepare("zoom");
    start_with_secret();
    buf_clear(&b);
    buf_addz(&b, "{\"event\":\"endpoint.url_validation\",\"payload\":{\"plainToken\":\"");
    while (b.n < BODY_MAX + 10)
        buf_addc(&b, 'x');
    buf_addz(&b, "\"}}");
    ck_assert_uint_eq(say("POST", "", "", buf_span(&b), k.signer).status, 413);
    ck_assert_uint_eq(count(OUT_HANDSHAKE), 0);
    finish();
    prepare("asana");
    start();
    buf_clear(&b);
    buf_addz(&b, "X-Hook-Secret: ");
    for (int i = 0; i < 600; i++)
        buf_addc(&b, 'x');
    buf_addz(&b, "\r\n");
    ck_assert_uint_eq(say("POST", "", buf_z(&b), SPAN_LIT(""), NULL).status, 400);
    buf_release(&b);
    finish();
}
END_TEST

/* ---- secrets that are brought ---- */

static unsigned plant(const char *secret)
{
    char line[200];
    snprintf(line, sizeof line, "X-Hook-Secret: %s\r\n", secret);
    struct answer a = say("POST", "", line, SPAN_LIT(""), NULL);
    ck_assert_msg(has_header(&a, "X-Hook-Secret", secret) == (a.status == 200), "%s", a.head);
    return a.status;
}

static unsigned event(const char *secret, const char *body)
{
    make_signer(secret);
    return say("POST", "", "", span_of(body), k.signer).status;
}

static void restart(void)
{
    world_stop(&k.w);
    start();
}

static int n_files;
static void count_file(void *ctx, const char *name)
{
    (void)ctx;
    n_files += strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int delivered_files(void)
{
    char folder[300];
    n_files = 0;
    snprintf(folder, sizeof folder, "%s/secrets/asana", k.w.dir);
    io_posix()->dir->list(io_posix(), folder, count_file, NULL);
    return n_files;
}

START_TEST(the_first_secret_is_taken_and_stays)
{
    prepare("asana");
    start();
    ck_assert_uint_eq(event(FIRST, "{\"id\":0}"), 503);
    ck_assert_uint_eq(plant(FIRST), 200);
    ck_assert_int_eq(delivered_files(), 1);
    ck_assert_uint_eq(event(FIRST, "{\"id\":1}"), 200);
    ck_assert_uint_eq(plant(FIRST), 200); /* its answer was lost */
    ck_assert_uint_eq(plant(OTHER), 403);
    ck_assert_uint_eq(event(OTHER, "{\"id\":2}"), 401);
    restart();
    ck_assert_uint_eq(plant(OTHER), 403);
    ck_assert_uint_eq(event(OTHER, "{\"id\":2}"), 401);
    ck_assert_uint_eq(event(FIRST, "{\"id\":3}"), 200);
    ck_assert_int_eq(delivered_files(), 1);
    ck_assert_uint_eq(entries(&k.w), 2);
    finish();
}
END_TEST

START_TEST(nobody_else_can_read_it)
{
    struct stat st;
    char path[600];
    char **list;
    size_t n, size;
    struct err err = {0};
    char *text;
    prepare("asana");
    start();
    ck_assert_uint_eq(plant(FIRST), 200);
    ck_assert(secrets_delivered(k.w.dir, "asana", &list, &n, &err));
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(stat(list[0], &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert(io_read_file(io_posix(), list[0], 1000, &text, &size, &err));
    ck_assert_str_eq(text, FIRST);
    free(text);
    snprintf(path, sizeof path, "%s/secrets/asana", k.w.dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    snprintf(path, sizeof path, "%s/secrets", k.w.dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    secrets_delivered_free(&list, n);
    finish();
}
END_TEST

START_TEST(a_configured_secret_closes_the_door)
{
    prepare("asana");
    start_with_secret();
    ck_assert_uint_eq(plant(OTHER), 403);
    ck_assert_uint_eq(event(OTHER, "{\"id\":1}"), 401);
    ck_assert_int_eq(delivered_files(), 0);
    finish();
    prepare("asana"); /* also one that cannot be read now, or has retired */
    k.refs[0] = k.w.missing;
    k.source.secrets = k.refs;
    k.source.n_secrets = 1;
    start();
    ck_assert_uint_eq(plant(OTHER), 403);
    ck_assert_uint_eq(event(OTHER, "{\"id\":1}"), 503);
    finish();
}
END_TEST

START_TEST(a_folder_that_cannot_be_listed_closes_the_door)
{
    char path[300];
    struct err err = {0};
    prepare("asana");
    snprintf(path, sizeof path, "%s/secrets", k.w.dir);
    ck_assert(io_write_file_atomic(io_posix(), path, 0600, SPAN_LIT("no folder"), &err));
    start();
    ck_assert_uint_eq(plant(OTHER), 403);
    finish();
}
END_TEST

START_TEST(what_cannot_be_kept_is_not_answered)
{
    char path[300];
    struct err err = {0};
    prepare("asana");
    start();
    snprintf(path, sizeof path, "%s/secrets", k.w.dir); /* after the start */
    ck_assert(io_write_file_atomic(io_posix(), path, 0600, SPAN_LIT("no folder"), &err));
    ck_assert_uint_eq(plant(FIRST), 503);
    ck_assert_uint_eq(event(FIRST, "{\"id\":1}"), 503);
    finish();
}
END_TEST

START_TEST(the_operator_may_open_the_door_for_a_while)
{
    prepare("asana");
    k.source.secrets_until_us = k.w.io->world->now_us(k.w.io) + UINT64_C(3600000000);
    start_with_secret();
    ck_assert_uint_eq(plant(FIRST), 200);
    ck_assert_uint_eq(plant(OTHER), 200);
    ck_assert_uint_eq(event(SECRET, "{\"id\":1}"), 200);
    ck_assert_uint_eq(event(FIRST, "{\"id\":2}"), 200);
    ck_assert_uint_eq(event(OTHER, "{\"id\":3}"), 200);
    k.source.secrets_until_us = 1;
    restart();
    ck_assert_uint_eq(plant(OTHER "00"), 403);
    ck_assert_uint_eq(event(OTHER, "{\"id\":4}"), 200);
    char secret[64];
    k.source.secrets_until_us = UINT64_MAX; /* there is an end to it */
    restart();
    for (int i = 2; i < 32; i++) {
        snprintf(secret, sizeof secret, "many-secrets-%016d", i);
        ck_assert_uint_eq(plant(secret), 200);
    }
    ck_assert_uint_eq(plant("one-secret-too-many-0"), 403);
    finish();
}
END_TEST

START_TEST(a_signed_handshake_rotates)
{
    static const char good[] = "{\"type\":\"secret\",\"secret\":\"" FIRST "\"}", bad[] = "{\"type\":\"secret\",\"secret\":[1]}";
    unsigned char digest[HMAC_BYTES_MAX];
    struct buf want;
    prepare("rotating");
    start_with_secret();
    ck_assert_uint_eq(say("POST", "", "", SPAN_LIT(good), NULL).status, 401);
    ck_assert_uint_eq(say("POST", "", "", SPAN_LIT(bad), k.signer).status, 400);
    struct answer a = say("POST", "", "", SPAN_LIT(good), k.signer);
    ck_assert_uint_eq(a.status, 200);
    buf_init(&want, 1000);
    buf_addz(&want, "{\"proof\":\"");
    base64_encode(&want, span_make((char *)digest, hmac(HMAC_SHA256, SPAN_LIT(SECRET), SPAN_LIT(FIRST), digest)));
    buf_addz(&want, "\"}");
    ck_assert_str_eq(a.body, buf_z(&want));
    ck_assert_uint_eq(event(SECRET, "{\"id\":1}"), 200); /* both, until the operator takes the old one away */
    ck_assert_uint_eq(event(FIRST, "{\"id\":2}"), 200);
    buf_release(&want);
    finish();
}
END_TEST

START_TEST(without_verification_the_first_in_use_is_the_key)
{
    unsigned char key[32], digest[HMAC_BYTES_MAX];
    char path[300];
    struct err err = {0};
    struct buf want;
    prepare("echo");
    add_secret(SECRET);
    snprintf(path, sizeof path, "%s/new", k.w.dir);
    ck_assert(io_write_file_atomic(io_posix(), path, 0600, SPAN_LIT(FIRST), &err));
    k.refs[0].retire_at_us = 1;
    k.refs[1] = (struct secret_ref){.kind = SECRET_FILE, .at = path};
    k.source.n_secrets = 2;
    start();
    buf_init(&want, 1000);
    sha256(SPAN_LIT(FIRST), key);
    hex_encode(&want, span_make((char *)digest, hmac(HMAC_SHA512, span_make((char *)key, 32), SPAN_LIT("123"), digest)));
    ck_assert_str_eq(say("GET", "?s=123", "", SPAN_LIT(""), NULL).body, buf_z(&want));
    ck_assert_uint_eq(say("GET", "?s=12a", "", SPAN_LIT(""), NULL).status, 403);
    buf_release(&want);
    finish();
}
END_TEST

static void *plant_own(void *ctx)
{
    unsigned *status = ctx;
    char secret[64];
    snprintf(secret, sizeof secret, "one-of-many-%020u", *status);
    *status = plant(secret);
    return NULL;
}

START_TEST(of_many_at_once_one_is_taken)
{
    enum { PLANTERS = 12 };
    pthread_t threads[PLANTERS];
    unsigned status[PLANTERS], taken = 0;
    prepare("asana");
    start();
    for (unsigned i = 0; i < PLANTERS; i++) {
        status[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, plant_own, &status[i]), 0);
    }
    for (unsigned i = 0; i < PLANTERS; i++) {
        pthread_join(threads[i], NULL);
        taken += status[i] == 200;
        ck_assert(status[i] == 200 || status[i] == 403);
    }
    ck_assert_uint_eq(taken, 1);
    ck_assert_int_eq(delivered_files(), 1);
    finish();
}
END_TEST

static atomic_bool enough;
static void *deliver_on(void *ctx)
{
    unsigned *bad = ctx;
    char body[64];
    for (unsigned i = 0; !atomic_load(&enough); i++) {
        snprintf(body, sizeof body, "{\"id\":\"%p-%u\"}", ctx, i);
        *bad += say("POST", "", "", span_of(body), k.signer).status != 200;
    }
    return NULL;
}

START_TEST(the_verifier_is_replaced_under_load)
{
    pthread_t threads[3];
    unsigned bad[3] = {0};
    char secret[64];
    prepare("asana");
    k.source.secrets_until_us = UINT64_MAX;
    start_with_secret();
    atomic_store(&enough, false);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, deliver_on, &bad[i]), 0);
    for (int i = 0; i < 20; i++) {
        struct err err = {0};
        snprintf(secret, sizeof secret, "under-load-%020d", i);
        ck_assert_uint_eq(plant(secret), 200);
        ck_assert(server_flush_books(k.w.server, &err));
    }
    atomic_store(&enough, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_uint_eq(bad[i], 0);
    }
    finish();
}
END_TEST

/* ---- URLs that are fetched ---- */

#define CONFIRM "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://" SNS_HOST "/?Action=ConfirmSubscription\"}"

START_TEST(a_redirect_is_not_followed)
{
    prepare("aws-sns");
    start_tls("HTTP/1.1 302 Found\r\nLocation: https://" SNS_HOST "/elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    start_with_secret();
    ck_assert_uint_eq(say("POST", "", "", SPAN_LIT(CONFIRM), k.signer).status, 200);
    await_asked(1);
    usleep(300000);
    ck_assert_uint_eq(atomic_load(&k.tls.asked), 1); /* tried again later, but nothing else is asked for */
    ck_assert_str_eq(k.tls.first, "GET /?Action=ConfirmSubscription HTTP/1.1");
    finish(); /* does not wait for the next try */
}
END_TEST

START_TEST(a_failure_is_tried_again)
{
    prepare("aws-sns");
    start_tls("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    start_with_secret();
    ck_assert_uint_eq(say("POST", "", "", SPAN_LIT(CONFIRM), k.signer).status, 200);
    ck_assert_uint_eq(say("POST", "", "", SPAN_LIT(CONFIRM), k.signer).status, 200); /* the same one, waiting already */
    await_asked(2);
    finish();
}
END_TEST

START_TEST(sixteen_may_wait)
{
    char body[300];
    prepare("aws-sns");
    start_tls("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); /* the first is tried for seconds */
    start_with_secret();
    for (int i = 0; i <= 17; i++) {
        snprintf(body, sizeof body, "{\"Type\":\"SubscriptionConfirmation\",\"SubscribeURL\":\"https://" SNS_HOST "/?%d\"}", i % 17);
        ck_assert_uint_eq(say("POST", "", "", span_of(body), k.signer).status, i == 16 ? 503 : 200); /* the last is the first again */
    }
    await_outcome(&k.w, "aws-sns", OUT_HANDSHAKE, 17);
    await_outcome(&k.w, "aws-sns", OUT_UNAVAILABLE, 1);
    finish();
}
END_TEST

START_TEST(an_unknown_certificate_is_refused)
{
    prepare("aws-sns");
    start_tls(OK_ANSWER);
    snprintf(k.pem, sizeof k.pem, "/etc/ssl/certs/ca-certificates.crt");
    start_with_secret();
    ck_assert_uint_eq(say("POST", "", "", SPAN_LIT(CONFIRM), k.signer).status, 200);
    usleep(300000);
    ck_assert_uint_eq(atomic_load(&k.tls.asked), 0);
    finish();
}
END_TEST

START_TEST(unverified_sources_fetch_nothing)
{
    prepare("aws-sns");
    start_tls(OK_ANSWER);
    k.source.unverified = true;
    start();
    ck_assert_uint_eq(say("POST", "", "", SPAN_LIT(CONFIRM), NULL).status, 403);
    usleep(100000);
    ck_assert_uint_eq(atomic_load(&k.tls.asked), 0);
    finish();
}
END_TEST

START_TEST(a_star_stands_within_a_label)
{
    static const char *const hosts[] = {"sns.*.amazonaws.com", "a-*.b.example", NULL};
    static const struct {
        const char *host;
        bool pinned;
    } rows[] = {
        {"sns.us-east-1.amazonaws.com", true}, {"sns..amazonaws.com", false},    {"sns.amazonaws.com", false},
        {"sns.a.b.amazonaws.com", false},      {"a-x.b.example", true},          {"a-.b.example", true},
        {"a.b.example", false},                {"a-x.c.b.example", false},       {"x.sns.us.amazonaws.com", false},
        {"sns.us.amazonaws.com.", false},      {"sns.us.amazonaws.comx", false}, {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(manifest_host_is_pinned(hosts, span_of(rows[i].host)) == rows[i].pinned, "%s", rows[i].host);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("handshakes");
    TCase *c = tcase_create("handshakes");
    tcase_set_timeout(c, 120);
    suite_add_tcase(s, c);
    tcase_add_loop_test(c, vectors_are_answered, 0, 15);
    tcase_add_loop_test(c, attackers_get_nothing, 0, (int)(sizeof attacks / sizeof attacks[0]));
    tcase_add_test(c, long_ones_are_refused);
    tcase_add_test(c, the_first_secret_is_taken_and_stays);
    tcase_add_test(c, nobody_else_can_read_it);
    tcase_add_test(c, a_configured_secret_closes_the_door);
    tcase_add_test(c, a_folder_that_cannot_be_listed_closes_the_door);
    tcase_add_test(c, what_cannot_be_kept_is_not_answered);
    tcase_add_test(c, the_operator_may_open_the_door_for_a_while);
    tcase_add_test(c, a_signed_handshake_rotates);
    tcase_add_test(c, without_verification_the_first_in_use_is_the_key);
    tcase_add_test(c, of_many_at_once_one_is_taken);
    tcase_add_test(c, the_verifier_is_replaced_under_load);
    tcase_add_test(c, a_redirect_is_not_followed);
    tcase_add_test(c, a_failure_is_tried_again);
    tcase_add_test(c, sixteen_may_wait);
    tcase_add_test(c, an_unknown_certificate_is_refused);
    tcase_add_test(c, unverified_sources_fetch_nothing);
    tcase_add_test(c, a_star_stands_within_a_label);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
