#include "sources/manifest.h"
#include <check.h>

/* What a right manifest becomes. */

static struct manifest *parse(const char *text)
{
    struct report r;
    report_init(&r);
    struct manifest *m = manifest_parse("acme.yaml", span_of(text), &r);
    ck_assert_msg(m != NULL, "%s", buf_z(&r.text));
    report_release(&r);
    return m;
}

static const char acme[] =
    "sluice: 1\n"
    "name: acme\n"
    "title: Acme\n"
    "status: beta\n"
    "config:\n"
    "  site: {required: true, pattern: \"^[a-z]+$\", help: the site}\n"
    "  token: {secret: true}\n"
    "  weak: {type: switch, default: false}\n"
    "  region: {type: select, options: [eu, us], default: eu}\n"
    "verify:\n"
    "  hmac:\n"
    "    algorithm: hmac-sha512\n"
    "    signature: {header: [X-Sig, Sig], prefix: \"v1=\", encoding: base64}\n"
    "    key: {encoding: base64, strip: whsec_}\n"
    "    time: {from: header.X-Time, unit: ms, past: 5m, future: 1m}\n"
    "    signed: \"{time}.{body}\"\n"
    "    require: [header.X-Id, header.X-Time]\n"
    "  token: {algorithm: token, signature: {query: token}, enabled: config.weak, when: {header.X-Sig: absent}}\n"
    "  login: {algorithm: basic}\n"
    "handshake: {when: {query.challenge: present}, verified: false, answer: {status: 202, text: \"{query.challenge}\"}}\n"
    "answer: {bad_signature: 403, empty: true}\n"
    "event: {each: \"body.events[]\", id: \"{event.id}/{event.at}\", type: event.name, time: {from: event.at, unit: iso8601},"
    " object: event.data, kind: event.kind}\n"
    "api:\n"
    "  base: \"https://{config.site}.acme.example\"\n"
    "  auth: {header: X-Token, value: config.token}\n"
    "  headers: {X-Version: \"7\"}\n"
    "  page: {records: body.items, size: {query: per_page, max: 200}, next: {query: cursor, value: body.next}, cap: 10}\n"
    "  order: created desc\n"
    "  since: {query: after, field: updated_at, unit: iso8601, overlap: 5m}\n"
    "  rate: {per_second: 3, left: header.Left, reset: header.Reset, unit: epoch, wait: header.Retry-After}\n"
    "  errors:\n"
    "    - {status: 403, when: {body.code: [a, b]}, cause: scope, say: \"needs {table.scope}\", retry: false}\n"
    "  lag: 10s\n"
    "feed: {path: /events, keep: 30d, query: {all: true}}\n"
    "defaults: {key: id, partition: created}\n"
    "tables:\n"
    "  orders:\n"
    "    kind: order\n"
    "    types: [\"order.{b,a}.{x,y}\", other]\n"
    "    deleted: [gone, {type: \"merged.{a,b}\", each: \"event.ids[]\", key: {id: item}}, {object.deleted: true}]\n"
    "    version: {field: [seq, at], unit: ms}\n"
    "    rank: {state: [new, old]}\n"
    "    columns: {email: hash, a.b: drop, old: new, site: {from: config.site}, n: {constant: 7}, s: {constant: \"7\"}}\n"
    "    lacks: {push: others, pull: [extra]}\n"
    "    path: /orders\n"
    "    scope: orders.read\n"
    "  lines:\n"
    "    for_each: orders\n"
    "    key: [order_id, n]\n"
    "    carry: {order_id: orders.id}\n"
    "    path: \"/orders/{orders.id}/lines\"\n"
    "    page: {records: body.lines, next: {link: next}}\n"
    "    since: none\n"
    "  parts: {for_each: lines, path: \"/{orders.id}/{lines.n}\", order: at desc, since: stop, page: {records: body, next: none}}\n"
    "webhook: {by_hand: \"go to {url}\", rotate: by_hand}\n";

START_TEST(head_fields_and_answers)
{
    struct manifest *m = parse(acme);
    ck_assert_str_eq(m->title, "Acme");
    ck_assert_str_eq(m->status, "beta");
    ck_assert_uint_eq(m->n_fields, 4);
    const struct field_rule *site = manifest_field(m, SPAN_LIT("site"));
    ck_assert(site && site->required && !site->secret && strcmp(site->pattern, "^[a-z]+$") == 0);
    ck_assert(manifest_field(m, SPAN_LIT("token"))->secret);
    const struct field_rule *region = manifest_field(m, SPAN_LIT("region"));
    ck_assert(region->type == FIELD_SELECT && strcmp(region->options[1], "us") == 0 && !region->options[2]);
    ck_assert_ptr_null(manifest_field(m, SPAN_LIT("none")));
    ck_assert_uint_eq(m->answer.bad_signature, 403);
    ck_assert_uint_eq(m->answer.missing, 401);
    ck_assert_uint_eq(m->answer.malformed, 400);
    ck_assert(m->answer.empty);
    ck_assert_uint_eq(m->n_handshakes, 1);
    ck_assert(!m->handshakes[0].verified && m->handshakes[0].status == 202 && m->handshakes[0].n_when == 1);
    ck_assert_str_eq(m->webhook.by_hand, "go to {url}");
    ck_assert_int_eq(m->webhook.rotate, ROTATE_BY_HAND);
    manifest_free(&m);
    ck_assert_ptr_null(m);
}
END_TEST

START_TEST(schemes)
{
    struct manifest *m = parse(acme);
    ck_assert_uint_eq(m->n_schemes, 3);
    const struct scheme *s = &m->schemes[0];
    ck_assert_str_eq(s->name, "hmac");
    ck_assert(s->algorithm == ALG_HMAC_SHA512 && s->signature.encoding == ENC_BASE64 && s->key.encoding == ENC_BASE64);
    ck_assert_str_eq(s->signature.headers[0], "X-Sig");
    ck_assert_str_eq(s->signature.headers[1], "Sig");
    ck_assert_ptr_null(s->signature.headers[2]);
    ck_assert_str_eq(s->signature.prefix, "v1=");
    ck_assert_str_eq(s->key.strip, "whsec_");
    ck_assert(s->time.present && s->time.is_signed && s->time.has_past && s->time.has_future && s->time.unit == UNIT_MS);
    ck_assert_uint_eq(s->time.past_us, UINT64_C(300000000));
    ck_assert_str_eq(s->require[1], "X-Time");
    ck_assert_uint_eq(s->signed_text.n_parts, 3);
    s = &m->schemes[1];
    ck_assert(s->algorithm == ALG_TOKEN && !s->signature.headers && s->n_when == 1);
    ck_assert_str_eq(s->signature.query, "token");
    ck_assert_str_eq(s->enabled, "weak");
    ck_assert_str_eq(m->schemes[2].signature.headers[0], "Authorization");
    manifest_free(&m);
}
END_TEST

START_TEST(event_and_api)
{
    struct manifest *m = parse(acme);
    ck_assert(m->event.has_each && m->event.has_object && m->event.has_kind && !m->event.has_account && !m->event.id_is_body_hash);
    ck_assert_uint_eq(m->event.id.n_parts, 3);
    ck_assert_uint_eq(m->event.type.n_parts, 1);
    ck_assert_int_eq(m->event.time_unit, UNIT_ISO8601);
    const struct api_rule *a = &m->api;
    ck_assert(a->present && a->bearer.n_parts == 0 && a->auth_value.n_parts == 1 && a->n_headers == 1);
    ck_assert_str_eq(a->auth_header, "X-Token");
    ck_assert(a->page.style == PAGE_CURSOR && !a->page.has_more && a->page.size_max == 200 && a->page.cap == 10);
    ck_assert(a->order_desc && strcmp(a->order_field, "created") == 0);
    ck_assert(a->since.kind == SINCE_QUERY && a->since.overlap_us == UINT64_C(300000000) && !a->since.sees_creations_only);
    ck_assert(a->per_second == 3 && a->reset_is_epoch && strcmp(a->wait_header, "Retry-After") == 0);
    ck_assert_uint_eq(a->lag_us, UINT64_C(10000000));
    ck_assert_uint_eq(a->n_errors, 1);
    ck_assert(a->errors[0].status == 403 && a->errors[0].n_when == 1 && strcmp(a->errors[0].cause, "scope") == 0);
    ck_assert_str_eq(a->errors[0].say, "needs {table.scope}");
    ck_assert(m->feed.present && m->feed.keep_us == UINT64_C(30) * 86400 * 1000000 && m->feed.n_query == 1);
    ck_assert(m->feed.since.kind == SINCE_QUERY);
    manifest_free(&m);
}
END_TEST

START_TEST(table_of_events)
{
    static const char *const types[] = {"order.a.x", "order.a.y", "order.b.x", "order.b.y", "other"};
    struct manifest *m = parse(acme);
    const struct table_rule *t = manifest_table(m, SPAN_LIT("orders"));
    ck_assert_ptr_nonnull(t);
    for (size_t i = 0; i < 5; i++)
        ck_assert_str_eq(t->types[i], types[i]);
    ck_assert_ptr_null(t->types[5]);
    ck_assert_uint_eq(t->n_deletes, 3);
    ck_assert_str_eq(t->deletes[0].types[0], "gone");
    ck_assert(t->deletes[1].has_each && t->deletes[1].n_key == 1 && strcmp(t->deletes[1].types[1], "merged.b") == 0);
    ck_assert(!t->deletes[2].types && t->deletes[2].n_when == 1);
    ck_assert(t->n_key == 1 && strcmp(t->key[0], "id") == 0 && strcmp(t->partition, "created") == 0);
    ck_assert(strcmp(t->version[0], "seq") == 0 && strcmp(t->version[1], "at") == 0 && !t->version[2]);
    ck_assert_int_eq(t->version_unit, UNIT_MS);
    ck_assert(strcmp(t->rank_field, "state") == 0 && strcmp(t->rank[1], "old") == 0);
    ck_assert_uint_eq(t->n_columns, 6);
    ck_assert_int_eq(t->columns[0].action, COLUMN_HASH);
    ck_assert(t->columns[1].action == COLUMN_DROP && t->columns[1].n_steps == 2 && span_eqz(t->columns[1].steps[1], "b"));
    ck_assert(t->columns[2].action == COLUMN_RENAME && strcmp(t->columns[2].to, "new") == 0);
    ck_assert(t->columns[3].action == COLUMN_FROM && t->columns[3].path.root == ROOT_CONFIG);
    ck_assert_str_eq(t->columns[4].text, "7");
    ck_assert_str_eq(t->columns[5].text, "\"7\"");
    ck_assert_ptr_null(manifest_table(m, SPAN_LIT("order")));
    manifest_free(&m);
}
END_TEST

START_TEST(table_of_a_parent)
{
    struct manifest *m = parse(acme);
    const struct table_rule *orders = manifest_table(m, SPAN_LIT("orders")), *lines = manifest_table(m, SPAN_LIT("lines")),
                            *parts = manifest_table(m, SPAN_LIT("parts"));
    ck_assert(orders->page.style == PAGE_CURSOR && orders->since.kind == SINCE_QUERY);
    ck_assert_str_eq(lines->for_each, "orders");
    ck_assert(lines->n_key == 2 && lines->n_carry == 1 && lines->carry[0].path.root == ROOT_PARENT);
    ck_assert(lines->page.style == PAGE_LINK && lines->page.size_max == 200 && lines->page.next_query == NULL);
    ck_assert_str_eq(lines->page.link_rel, "next");
    ck_assert_int_eq(lines->since.kind, SINCE_NONE);
    ck_assert_uint_eq(parts->path.n_parts, 4);
    ck_assert(parts->since.kind == SINCE_STOP && strcmp(parts->since.field, "at") == 0);
    ck_assert(parts->page.style == PAGE_NONE && parts->page.records_is_root);
    manifest_free(&m);
}
END_TEST

START_TEST(shapes)
{
    struct manifest *m = parse(acme);
    const struct table_rule *t = manifest_table(m, SPAN_LIT("orders")), *plain = manifest_table(m, SPAN_LIT("lines"));
    enum shape s;
    ck_assert(table_many_shapes(t) && !table_many_shapes(plain));
    ck_assert_int_eq(table_shape(t, true), SHAPE_PULL);
    ck_assert_int_eq(table_shape(t, false), SHAPE_PUSH);
    ck_assert_int_eq(table_shape(plain, true), SHAPE_FULL);
    ck_assert(!shape_carries(t, SHAPE_PULL, SPAN_LIT("extra")) && shape_carries(t, SHAPE_PULL, SPAN_LIT("any")));
    ck_assert(shape_carries(t, SHAPE_PUSH, SPAN_LIT("id")) && shape_carries(t, SHAPE_PUSH, SPAN_LIT("new")) &&
              shape_carries(t, SHAPE_PUSH, SPAN_LIT("seq")) && shape_carries(t, SHAPE_PUSH, SPAN_LIT("site")));
    ck_assert(!shape_carries(t, SHAPE_PUSH, SPAN_LIT("any")) && !shape_carries(t, SHAPE_PUSH, SPAN_LIT("old")));
    ck_assert(shape_carries(t, SHAPE_FULL, SPAN_LIT("extra")));
    for (int i = 0; i < SHAPE_COUNT; i++) {
        ck_assert(shape_parse(span_of(shape_name((enum shape)i)), &s));
        ck_assert_int_eq(s, i);
    }
    ck_assert(!shape_parse(SPAN_LIT("half"), &s));
    manifest_free(&m);
}
END_TEST

START_TEST(schemes_from_the_configuration)
{
    struct manifest *m = parse("sluice: 1\nname: x\nverify: configured\n");
    struct report r;
    report_init(&r);
    ck_assert(m->generic && m->n_schemes == 0 && m->event.id_is_body_hash);
    struct yaml *bad = yaml_parse("sluice.yaml", SPAN_LIT("verify: {v: {algorithm: hmac}}\n"), &r);
    ck_assert(!manifest_add_schemes(m, yaml_get(yaml_root(bad), "verify"), &r));
    ck_assert(strstr(buf_z(&r.text), "sluice.yaml:1:25: verify.v.algorithm: 'hmac'") == buf_z(&r.text));
    ck_assert(m->generic && m->n_schemes == 0);
    yaml_free(&bad);
    report_release(&r);
    report_init(&r);
    struct yaml *good = yaml_parse(
        "sluice.yaml", SPAN_LIT("verify: {v: {algorithm: hmac-sha1, signature: {header: S, encoding: hex}, signed: \"{body}\"}}\n"), &r);
    ck_assert_msg(manifest_add_schemes(m, yaml_get(yaml_root(good), "verify"), &r), "%s", buf_z(&r.text));
    yaml_free(&good);
    ck_assert(!m->generic && m->n_schemes == 1 && m->schemes[0].algorithm == ALG_HMAC_SHA1);
    ck_assert_str_eq(m->schemes[0].signature.headers[0], "S");
    manifest_free(&m);
    report_release(&r);
}
END_TEST

START_TEST(fingerprint_follows_the_bytes)
{
    struct manifest *a = parse("sluice: 1\nname: x\nverify: none\n"), *b = parse("sluice: 1\nname: x\nverify: none\n"),
                    *c = parse("sluice: 1\nname: x\nverify: none \n");
    ck_assert(a->fingerprint == b->fingerprint && a->fingerprint != c->fingerprint);
    manifest_free(&a);
    manifest_free(&b);
    manifest_free(&c);
}
END_TEST

START_TEST(every_source_has_events)
{
    const struct table_rule *t = &manifest_events_table;
    ck_assert_str_eq(t->name, "events");
    ck_assert(t->n_key == 1 && strcmp(t->key[0], "id") == 0 && !t->key[1] && !table_many_shapes(t));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("manifest");
    TCase *t = tcase_create("manifest");
    tcase_add_test(t, head_fields_and_answers);
    tcase_add_test(t, schemes);
    tcase_add_test(t, event_and_api);
    tcase_add_test(t, table_of_events);
    tcase_add_test(t, table_of_a_parent);
    tcase_add_test(t, shapes);
    tcase_add_test(t, schemes_from_the_configuration);
    tcase_add_test(t, fingerprint_follows_the_bytes);
    tcase_add_test(t, every_source_has_events);
    suite_add_tcase(s, t);
    SRunner *run = srunner_create(s);
    srunner_run_all(run, CK_NORMAL);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    return failed ? 1 : 0;
}
