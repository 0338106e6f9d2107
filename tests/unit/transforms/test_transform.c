/* Entries to rows: which tables take an event, keys, deletes, pages, feeds, and what becomes a dead letter. */
#include "harness.h"

#define VERIFY \
    "verify:\n" \
    "  v1:\n" \
    "    algorithm: hmac-sha256\n" \
    "    signature: {header: X-Signature, encoding: hex}\n" \
    "    signed: \"{body}\"\n"

static const char acme[] =
    "sluice: 1\n"
    "name: acme\n"
    "title: Acme\n"
    "config:\n"
    "  live: {type: switch, default: true, help: live}\n"
    "  api_version: {help: version}\n"
    "  token: {secret: true, help: token}\n" VERIFY
    "event:\n"
    "  id: body.id\n"
    "  type: body.type\n"
    "  time: {from: body.created, unit: s}\n"
    "  object: body.data.object\n"
    "  kind: body.data.object.object\n"
    "  account: body.account\n"
    "  api_version: body.api_version\n"
    "  only: {body.livemode: config.live}\n"
    "  must: {body.api_version: config.api_version}\n"
    "api:\n"
    "  base: https://api.acme.example\n"
    "  auth: {bearer: config.token}\n"
    "  page: {records: body.data, size: {query: limit, max: 100},"
    " next: {query: starting_after, value: record.id, more: body.has_more}}\n"
    "feed: {path: /v1/events, keep: 30d}\n"
    "tables:\n"
    "  customers: {key: id, kind: customer, types: \"customer.{created,updated,deleted}\", deleted: customer.deleted,"
    " path: /v1/customers}\n"
    "  subscriptions: {key: id, kind: subscription, types: \"customer.subscription.*\", path: /v1/subscriptions}\n"
    "  invoices: {key: id, kind: invoice, types: \"invoice.{created,paid}\", path: /v1/invoices,"
    " rank: {status: [draft, open, paid]}}\n"
    "  lines: {for_each: invoices, path: \"/v1/invoices/{invoices.id}/lines\", carry: {invoice_id: invoices.id},"
    " key: [invoice_id, id]}\n";

static void open_acme(struct world *w)
{
    w->values[0] = (struct config_value){.name = "live", .text = "true"};
    w->values[1] = (struct config_value){.name = "api_version", .text = "2026-07-29"};
    w->source.n_values = 2;
    world_open(w, acme);
}

#define EVENT(type, time, object) \
    "{\"id\":\"evt_1\",\"type\":\"" type "\",\"created\":" time ",\"livemode\":true,\"api_version\":\"2026-07-29\"," \
    "\"account\":\"acct_1\",\"data\":{\"object\":" object "}}"

START_TEST(an_event_becomes_its_row)
{
    struct world w = {0};
    struct buf scratch = {0};
    open_acme(&w);
    world_event(&w, EVENT("customer.created", "1799999990",
                          "{\"id\":\"cus_1\", \"object\":\"customer\", \"big\": 12345678901234567890, \"f\":1.10}"));
    ck_assert_uint_eq(w.n_rows, 2);
    struct row r = world_row(&w, "customers", 0, &scratch);
    ck_span(r.source, "acme");
    ck_span(r.account, "acct_1");
    ck_span(r.key, "{\"id\":\"cus_1\"}");
    ck_span(r.api_version, "2026-07-29");
    ck_span(r.event_id, "evt_1");
    ck_span(r.event_type, "customer.created");
    ck_span(r.entry, "n-1/events/7");
    ck_assert_int_eq(r.op, ROW_UPSERT);
    ck_assert_int_eq(r.origin, ORIGIN_WEBHOOK);
    ck_assert_uint_eq(r.received_us, RECEIVED);
    ck_assert_uint_eq(r.observed_us, UINT64_C(1799999990000000));
    ck_span(r.row, "{\"id\":\"cus_1\", \"object\":\"customer\", \"big\": 12345678901234567890, \"f\":1.10}");
    ck_span(r.version, "00001799999990000000 0000 1 00001800000000000000 n-1 events 00000000000000000007 0000000000 0000000003");
    r = world_row(&w, "events", 0, &scratch);
    ck_span(r.key, "{\"id\":\"evt_1\"}");
    struct json row = {JSON_OBJECT, r.row};
    ck_assert(json_eqz(json_get(row, SPAN_LIT("type")), "customer.created"));
    ck_assert(json_eqz(json_get(row, SPAN_LIT("account")), "acct_1"));
    ck_assert(json_eqz(json_get(row, SPAN_LIT("received_at")), "2027-01-15T08:00:00.000000Z"));
    ck_assert(json_eqz(json_get(json_get(row, SPAN_LIT("body")), SPAN_LIT("id")), "evt_1"));
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

/* What an event with this type and kind becomes, besides its row of events. */
static const struct {
    const char *type, *kind;
    const char *table; /* NULL: no table takes it */
    enum row_op op;
} routes[] = {
    {"customer.created", "customer", "customers", ROW_UPSERT},
    {"customer.deleted", "customer", "customers", ROW_DELETE},
    {"customer.subscription.deleted", "subscription", "subscriptions", ROW_UPSERT},
    {"customer.subscription.deleted", "customer", NULL, ROW_UPSERT},
    {"customer.created", "subscription", NULL, ROW_UPSERT},
    {"invoice.paid", "invoice", "invoices", ROW_UPSERT},
    {"invoice.voided", "invoice", NULL, ROW_UPSERT},
    {"charge.created", "charge", NULL, ROW_UPSERT},
};

START_TEST(tables_take_what_is_theirs)
{
    struct world w = {0};
    struct buf scratch = {0};
    char body[512];
    open_acme(&w);
    (void)snprintf(body, sizeof(body),
                   "{\"id\":\"e\",\"type\":\"%s\",\"created\":1,\"livemode\":true,\"api_version\":\"2026-07-29\","
                   "\"data\":{\"object\":{\"id\":\"x\",\"object\":\"%s\"}}}",
                   routes[_i].type, routes[_i].kind);
    world_event(&w, body);
    ck_assert_uint_eq(w.n_dead, 0);
    ck_assert_uint_eq(w.n_rows, routes[_i].table ? 2 : 1);
    if (routes[_i].table) {
        struct row r = world_row(&w, routes[_i].table, 0, &scratch);
        ck_assert_int_eq(r.op, routes[_i].op);
        ck_span(r.key, "{\"id\":\"x\"}");
        if (r.op == ROW_DELETE)
            ck_span(r.row, "null");
    }
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

static const struct {
    const char *body;
    const char *dead;    /* words of the only dead letter, or NULL */
    const char *ignored; /* words, or NULL */
} odd[] = {
    {"not json", "/0: the body is no JSON: ", NULL},
    {"", "/0: the body is no JSON: ", NULL},
    {"{\"livemode\":false}", NULL, "filtered by only: body.livemode"},
    {"{\"livemode\":true,\"api_version\":\"2024-04-10\"}",
     "body.api_version 2024-04-10 is not the configured config.api_version 2026-07-29", NULL},
    {"{\"livemode\":true}", "body.api_version is absent, must be the configured config.api_version 2026-07-29", NULL},
    {EVENT("customer.created", "\"soon\"", "{}"), "/0: body.created is 'soon', not a time in seconds", NULL},
};

START_TEST(odd_events_are_told)
{
    struct world w = {0};
    open_acme(&w);
    world_event(&w, odd[_i].body);
    ck_assert_uint_eq(w.n_rows, 0);
    ck_assert_uint_eq(w.n_dead, odd[_i].dead ? 1 : 0);
    if (odd[_i].dead)
        ck_assert_msg(strstr(buf_z(&w.dead), odd[_i].dead), "%s", buf_z(&w.dead));
    if (odd[_i].ignored)
        ck_assert_str_eq(w.result.why_ignored, odd[_i].ignored);
    world_close(&w);
}
END_TEST

/* The event is kept in `events`, its row is a dead letter. */
static const struct {
    const char *object, *words;
} bad_objects[] = {
    {"{\"object\":\"customer\"}", "customers/0: key column 'id' of table 'customers' is absent"},
    {"{\"object\":\"customer\",\"id\":null}", "key column 'id' of table 'customers' is null"},
    {"{\"object\":\"customer\",\"id\":{\"a\":1}}", "key column 'id' of table 'customers' is an object"},
    {"{\"object\":\"customer\",\"id\":[]}", "key column 'id' of table 'customers' is a list"},
};

START_TEST(bad_keys_are_dead_letters)
{
    struct world w = {0};
    char body[512];
    open_acme(&w);
    (void)snprintf(body, sizeof(body),
                   "{\"id\":\"e\",\"type\":\"customer.%s\",\"created\":1,\"livemode\":true,\"api_version\":\"2026-07-29\","
                   "\"data\":{\"object\":%s}}",
                   _i % 2 ? "created" : "deleted", bad_objects[_i / 2].object);
    world_event(&w, body);
    ck_assert_uint_eq(world_rows(&w, "events"), 1);
    ck_assert_uint_eq(w.n_rows, 1);
    ck_assert_uint_eq(w.n_dead, 1);
    ck_assert_msg(strstr(buf_z(&w.dead), bad_objects[_i / 2].words), "%s", buf_z(&w.dead));
    world_close(&w);
}
END_TEST

START_TEST(a_time_ahead_is_the_receive_time)
{
    struct world w = {0};
    struct buf scratch = {0};
    open_acme(&w);
    world_event(&w, EVENT("customer.created", "1800000301", "{\"id\":\"c\",\"object\":\"customer\"}"));
    ck_assert_uint_eq(world_row(&w, "customers", 0, &scratch).observed_us, RECEIVED);
    world_event(&w, EVENT("customer.created", "1800000300", "{\"id\":\"c\",\"object\":\"customer\"}"));
    ck_assert_uint_eq(world_row(&w, "customers", 0, &scratch).observed_us, RECEIVED + CLOCK_AHEAD_US_MAX);
    world_event(&w, EVENT("customer.created", "null", "{\"id\":\"c\",\"object\":\"customer\"}"));
    ck_assert_uint_eq(world_row(&w, "customers", 0, &scratch).observed_us, RECEIVED);
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

START_TEST(rank_breaks_a_tie)
{
    struct world w = {0};
    struct buf scratch = {0}, first = {0};
    open_acme(&w);
    world_event(&w, EVENT("invoice.paid", "5", "{\"id\":\"i\",\"object\":\"invoice\",\"status\":\"paid\"}"));
    buf_adds(&first, world_row(&w, "invoices", 0, &scratch).version);
    world_event(&w, EVENT("invoice.paid", "5", "{\"id\":\"i\",\"object\":\"invoice\",\"status\":\"open\"}"));
    ck_assert_int_gt(strcmp(buf_z(&first), world_row(&w, "invoices", 0, &scratch).version.p), 0);
    ck_assert_ptr_nonnull(strstr(buf_z(&first), " 0003 1 "));
    world_event(&w, EVENT("invoice.paid", "5", "{\"id\":\"i\",\"object\":\"invoice\",\"status\":\"odd\"}"));
    ck_assert_ptr_nonnull(strstr(world_row(&w, "invoices", 0, &scratch).version.p, " 0000 1 "));
    buf_release(&scratch);
    buf_release(&first);
    world_close(&w);
}
END_TEST

START_TEST(a_page_gives_its_records)
{
    struct world w = {0};
    struct buf scratch = {0};
    open_acme(&w);
    world_page(&w, "customers", "{\"data\":[{\"id\":\"a\"},\n {\"id\":\"b\",\n\"x\":[1,\n2]},{\"x\":1},7],\"has_more\":false}");
    ck_assert_uint_eq(w.n_rows, 2);
    ck_assert_uint_eq(w.n_dead, 2);
    ck_assert_uint_eq(w.result.records, 4);
    ck_assert_msg(strstr(buf_z(&w.dead), "customers/2: key column 'id'"), "%s", buf_z(&w.dead));
    ck_assert_msg(strstr(buf_z(&w.dead), "customers/3: the record of table 'customers' is a number"), "%s", buf_z(&w.dead));
    struct row r = world_row(&w, "customers", 1, &scratch);
    ck_assert_int_eq(r.origin, ORIGIN_BACKFILL);
    ck_assert_uint_eq(r.observed_us, RECEIVED - 5000000);
    ck_assert_uint_eq(r.event_id.n, 0);
    ck_span(r.api_version, "2026-07-29");
    ck_span(r.row, "{\"id\":\"b\",\"x\":[1,2]}");
    ck_assert_ptr_nonnull(strstr(r.version.p, " 0000 0 "));
    ck_assert_ptr_nonnull(strstr(r.version.p, " 0000000001 0000000003"));
    world_page(&w, "customers", "{\"data\":[]}");
    ck_assert_str_eq(w.result.why_ignored, "the page has no records");
    world_page(&w, "customers", "{\"error\":1}");
    ck_assert_msg(strstr(buf_z(&w.dead), "customers/0: body.data of the page is absent"), "%s", buf_z(&w.dead));
    world_page(&w, "nothing", "{}");
    ck_assert_msg(strstr(buf_z(&w.dead), "has no table 'nothing'"), "%s", buf_z(&w.dead));
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

START_TEST(children_carry_their_parent)
{
    struct world w = {0};
    struct buf scratch = {0};
    open_acme(&w);
    struct entry e = page_entry("lines", "{\"data\":[{\"id\":7,\"invoice_id\":\"old\"},{\"id\":8}]}");
    e.parents = SPAN_LIT("{\"invoices\":{\"id\":18446744073709551617}}");
    world_run(&w, &e);
    ck_assert_uint_eq(w.n_rows, 2);
    struct row r = world_row(&w, "lines", 0, &scratch);
    ck_span(r.key, "{\"invoice_id\":18446744073709551617,\"id\":7}");
    ck_span(r.row, "{\"id\":7,\"invoice_id\":18446744073709551617}");
    e.parents = (struct span){NULL, 0};
    world_run(&w, &e);
    ck_assert_uint_eq(w.n_rows, 1); /* the one that brings it itself */
    ck_assert_uint_eq(w.n_dead, 1);
    ck_assert_msg(strstr(buf_z(&w.dead), "lines/1: key column 'invoice_id'"), "%s", buf_z(&w.dead));
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

START_TEST(a_feed_is_what_would_have_been_posted)
{
    static const char event[] = EVENT("customer.deleted", "1700000000", "{\"id\":\"c\",\"object\":\"customer\"}");
    struct world w = {0};
    struct buf scratch = {0}, pushed = {0}, body = {0};
    open_acme(&w);
    world_event(&w, event);
    buf_adds(&pushed, world_row(&w, "customers", 0, &scratch).version);
    buf_addf(&body, "{\"data\":[%s,{\"livemode\":false}]}", event);
    struct entry e = page_entry("", buf_z(&body));
    e.is_feed = true;
    e.lane = SPAN_LIT("events"); /* so that the versions can be compared */
    world_run(&w, &e);
    ck_assert_uint_eq(w.n_rows, 2);
    struct row r = world_row(&w, "customers", 0, &scratch);
    ck_assert_int_eq(r.op, ROW_DELETE);
    ck_assert_int_eq(r.origin, ORIGIN_BACKFILL);
    ck_assert_uint_eq(r.observed_us, UINT64_C(1700000000000000));
    ck_span(r.event_id, "evt_1");
    ck_span(r.version, buf_z(&pushed));
    ck_assert_uint_eq(world_rows(&w, "events"), 1);
    buf_release(&scratch);
    buf_release(&pushed);
    buf_release(&body);
    world_close(&w);
}
END_TEST

static const char backwards[] =
    "sluice: 1\n"
    "name: acme\n"
    "title: Acme\n" VERIFY
    "event: {id: body.id, type: body.type, time: {from: body.at, unit: s}, object: body.row}\n"
    "api: {base: \"https://api.acme.example\", page: {records: body.data, next: none}, order: at desc}\n"
    "feed: {path: /v1/events, keep: 30d}\n"
    "tables: {orders: {key: id, types: \"order.*\"}}\n";

/* The same second, one key: what happened last wins, on whichever page and place it was read. */
START_TEST(a_feed_newest_first_is_read_backwards)
{
#define ORDER(id, n) "{\"id\":\"" id "\",\"type\":\"order.changed\",\"at\":1700000000,\"row\":{\"id\":1,\"n\":" n "}}"
    struct world w = {0};
    struct buf scratch = {0}, last = {0};
    world_open(&w, backwards);
    struct entry e = page_entry("", "{\"data\":[" ORDER("e4", "4") "," ORDER("e3", "3") "]}");
    e.is_feed = true;
    e.began_us = RECEIVED - 50;
    e.seq = 7;
    for (int page = 0; page < 2; page++) {
        world_run(&w, &e);
        ck_assert_uint_eq(world_rows(&w, "orders"), 2);
        for (size_t i = 0; i < 2; i++) {
            struct span version = world_row(&w, "orders", i, &scratch).version;
            ck_assert(!last.n || strncmp(buf_z(&last), version.p, version.n) > 0);
            buf_clear(&last);
            buf_adds(&last, version);
        }
        e.message.body = SPAN_LIT("{\"data\":[" ORDER("e2", "2") "," ORDER("e1", "1") "]}");
        e.seq++;
        e.received_us += 1000;
    }
    buf_release(&scratch);
    buf_release(&last);
    world_close(&w);
}
END_TEST

/* A clock that is a year ahead: pushed, the event counts as just received; in a feed, as its neighbour. */
START_TEST(an_impossible_time_in_a_feed_is_its_neighbours)
{
    struct world w = {0};
    struct buf scratch = {0};
    world_open(&w, backwards);
#define AT(id, at) "{\"id\":\"" id "\",\"type\":\"order.changed\",\"at\":" at ",\"row\":{\"id\":1}}"
    struct entry e = page_entry("", "{\"data\":[" AT("e4", "1900000000") "," AT("e3", "1700000003") "," AT("e2", "1900000000") ","
                                    AT("e1", "1700000001") "]}");
    e.is_feed = true;
    world_run(&w, &e);
    static const uint64_t seconds[] = {1700000003, 1700000003, 1700000003, 1700000001};
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(world_row(&w, "orders", i, &scratch).observed_us, seconds[i] * 1000000);
    world_event(&w, AT("e5", "1900000000"));
    ck_assert_uint_eq(world_row(&w, "orders", 0, &scratch).observed_us, RECEIVED);
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

static const char several[] =
    "sluice: 1\n"
    "name: acme\n"
    "title: Acme\n" VERIFY
    "event: {each: \"body.events[]\", id: \"{event.id}/{event.at}\", type: event.name, time: {from: event.at, unit: iso8601},"
    " object: event.data}\n"
    "tables:\n"
    "  orders:\n"
    "    key: [shop, id]\n"
    "    version: updated_at\n"
    "    types: \"order.*\"\n"
    "    deleted: [{type: order.removed}, {type: order.merge, each: \"event.merged[]\", key: {id: item, shop: event.shop}}]\n"
    "    keep: {record.draft: absent}\n"
    "  items: {key: sku, types: \"order.placed\", each: \"event.data.items[]\"}\n";

START_TEST(several_events_in_one_delivery)
{
    struct world w = {0};
    struct buf scratch = {0};
    world_open(&w, several);
    world_event(&w, "{\"events\":["
                    "{\"id\":1,\"at\":\"2024-01-01T00:00:00Z\",\"name\":\"order.placed\",\"data\":{\"shop\":\"s\\u0031\",\"id\":10,"
                    "\"updated_at\":\"2024-01-01T00:00:01Z\",\"items\":[{\"sku\":\"a\"},{\"sku\":\"b\"},{}]}},"
                    "{\"id\":2,\"at\":\"2024-01-02T00:00:00Z\",\"name\":\"order.removed\",\"data\":{\"shop\":\"s1\",\"id\":11}},"
                    "{\"id\":3,\"at\":\"2024-01-03T00:00:00Z\",\"name\":\"order.merge\",\"shop\":\"s2\",\"merged\":[12,13]},"
                    "{\"id\":4,\"at\":\"2024-01-04T00:00:00Z\",\"name\":\"order.placed\",\"data\":{\"shop\":\"s1\",\"id\":14,\"draft\":1}},"
                    "{\"id\":5,\"at\":\"2024-01-05T00:00:00Z\",\"name\":\"order.placed\"},"
                    "{\"id\":6,\"at\":\"2024-01-06T00:00:00Z\",\"name\":\"other\"}]}");
    ck_assert_uint_eq(world_rows(&w, "events"), 6);
    ck_assert_uint_eq(world_rows(&w, "orders"), 4);
    ck_assert_uint_eq(world_rows(&w, "items"), 2);
    ck_assert_uint_eq(w.n_dead, 2);
    ck_assert_msg(strstr(buf_z(&w.dead), "items/2: key column 'sku'"), "%s", buf_z(&w.dead));
    ck_assert_msg(strstr(buf_z(&w.dead), "orders/5: the record of table 'orders' is absent"), "%s", buf_z(&w.dead));
    struct row r = world_row(&w, "orders", 0, &scratch);
    ck_span(r.key, "{\"shop\":\"s1\",\"id\":10}");
    ck_assert(span_starts(r.version, SPAN_LIT("200001704067201000000 00001704067200000000 ")));
    r = world_row(&w, "orders", 1, &scratch);
    ck_assert_int_eq(r.op, ROW_DELETE);
    ck_span(r.key, "{\"shop\":\"s1\",\"id\":11}");
    r = world_row(&w, "orders", 3, &scratch);
    ck_assert_int_eq(r.op, ROW_DELETE);
    ck_span(r.key, "{\"shop\":\"s2\",\"id\":13}");
    ck_span(r.event_id, "3/2024-01-03T00:00:00Z");
    struct buf other = {0};
    ck_assert(!span_eq(r.version, world_row(&w, "orders", 2, &other).version));
    world_event(&w, "{\"events\":{}}");
    ck_assert_msg(strstr(buf_z(&w.dead), "body.events[] is an object, must be a list of events"), "%s", buf_z(&w.dead));
    world_event(&w, "{\"events\":[]}");
    ck_assert_str_eq(w.result.why_ignored, "its list of events is empty");
    buf_release(&scratch);
    buf_release(&other);
    world_close(&w);
}
END_TEST

static const char bare[] =
    "sluice: 1\n"
    "name: acme\n"
    "title: Acme\n" VERIFY;

static const struct {
    const char *body;
    size_t n;
    const char *expected; /* body column */
} anything[] = {
    {"{\"a\": 1}", 8, "\"body\":{\"a\": 1}}"},
    {"plain \"text\"\n", 13, "\"body\":\"plain \\\"text\\\"\\n\"}"},
    {"\xff\xfe", 2, "\"body\":{\"base64\":\"//4=\"}}"},
    {"", 0, "\"body\":\"\"}"},
};

START_TEST(a_source_without_tables_keeps_any_body)
{
    struct world w = {0};
    struct buf scratch = {0};
    world_open(&w, bare);
    struct entry e = event_entry("");
    e.message.body = (struct span){anything[_i].body, anything[_i].n};
    world_run(&w, &e);
    ck_assert_uint_eq(w.n_rows, 1);
    struct row r = world_row(&w, "events", 0, &scratch);
    ck_assert_uint_eq(r.event_id.n, 32);
    ck_assert_msg(strstr(r.row.p, anything[_i].expected), "%.*s", SPAN_ARG(r.row));
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

START_TEST(facts_of_a_message)
{
    struct world w = {0};
    struct event_facts f;
    open_acme(&w);
    struct entry e = event_entry(EVENT("customer.created", "1", "{}"));
    transform_facts(w.transform, &e.message, &f);
    ck_span(f.id, "evt_1");
    ck_span(f.type, "customer.created");
    ck_span(f.account, "acct_1");
    e.message.body = SPAN_LIT("nonsense");
    transform_facts(w.transform, &e.message, &f);
    ck_assert_uint_eq(f.id.n + f.type.n + f.account.n, 0);
    world_close(&w);
}
END_TEST

/* An event on several lines becomes one; a row of it that had no break stays as received, spaces and all. */
static const struct {
    const char *name;
    const char *before, *object, *behind;
    const char *row;
} breaks[] = {
    {"most of the event", "{\n  \"id\": \"evt_1\",\r\n  ", "{\n\t\"id\": \"c 1\",\n \"object\": \"customer\",\n \"l\": [\n\n{ } ,\r1 ]\n }",
     "\n}\n}\n", "{\"id\":\"c 1\",\"object\":\"customer\",\"l\":[{},1]}"},
    {"the least of it", "{\n  \"id\": \"evt_1\", \"and more\": [\"0123456789 0123456789 0123456789 0123456789\", [ ] ],\n",
     "{\n\"id\":\"c\",\n\"object\":\"customer\" }", "}}\n", "{\"id\":\"c\",\"object\":\"customer\"}"},
    {"on one line of many", "{\n  \"id\": \"evt_1\",\n  ", "{\"id\": \"c\", \"object\": \"customer\", \"a\" : [ 1 ]}", "\n}\n}",
     "{\"id\": \"c\", \"object\": \"customer\", \"a\" : [ 1 ]}"},
};

START_TEST(lines_hold_no_breaks)
{
    struct world w = {0};
    struct buf body = {0}, scratch = {0}, whole = {0};
    struct json parsed;
    open_acme(&w);
    for (int again = 0; again < 2; again++) {
        buf_clear(&body);
        buf_addf(&body, "%s\"type\":\"customer.created\", \"created\":5,\"livemode\":true,\"api_version\":\"2026-07-29\",\n\"data\": {\n"
                        "\"object\": %s%s", breaks[_i].before, breaks[_i].object, breaks[_i].behind);
        world_event(&w, buf_z(&body));
        ck_assert_msg(w.n_rows == 2, "%s: %s", breaks[_i].name, buf_z(&w.dead));
        ck_span(world_row(&w, "customers", 0, &scratch).row, breaks[_i].row);
        ck_assert(json_parse(buf_span(&body), &parsed, NULL));
        buf_clear(&whole);
        json_minify(&whole, parsed.raw);
        struct json row = {JSON_OBJECT, world_row(&w, "events", 0, &scratch).row};
        ck_span(json_get(row, SPAN_LIT("body")).raw, buf_z(&whole));
        world_page(&w, "customers", "{\"data\":[\n{\"id\": \"p\" }, {\n\"id\": \"q\" }]}"); /* what was kept of the event is not taken for this */
        ck_span(world_row(&w, "customers", 0, &scratch).row, "{\"id\": \"p\" }");
        ck_span(world_row(&w, "customers", 1, &scratch).row, "{\"id\":\"q\"}");
    }
    buf_release(&body);
    buf_release(&whole);
    buf_release(&scratch);
    world_close(&w);
}
END_TEST

START_TEST(the_same_input_gives_the_same_bytes)
{
    struct world a = {0}, b = {0};
    static const char event[] = EVENT("customer.created", "5", "{\"id\":\"c\",\"object\":\"customer\"}");
    open_acme(&a);
    open_acme(&b);
    world_event(&b, EVENT("invoice.paid", "9", "{\"id\":\"i\",\"object\":\"invoice\",\"status\":\"paid\"}"));
    world_event(&b, "garbage");
    world_page(&b, "customers", "{\"data\":[{\"id\":\"a\"}]}");
    world_event(&a, event);
    world_event(&b, event);
    ck_assert_str_eq(buf_z(&a.lines), buf_z(&b.lines));
    world_close(&a);
    world_close(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transform");
    TCase *tc = tcase_create("events and pages");
    tcase_add_test(tc, an_event_becomes_its_row);
    tcase_add_loop_test(tc, tables_take_what_is_theirs, 0, sizeof(routes) / sizeof(routes[0]));
    tcase_add_loop_test(tc, odd_events_are_told, 0, sizeof(odd) / sizeof(odd[0]));
    tcase_add_loop_test(tc, bad_keys_are_dead_letters, 0, 2 * (sizeof(bad_objects) / sizeof(bad_objects[0])));
    tcase_add_test(tc, a_time_ahead_is_the_receive_time);
    tcase_add_test(tc, rank_breaks_a_tie);
    tcase_add_test(tc, a_page_gives_its_records);
    tcase_add_test(tc, children_carry_their_parent);
    tcase_add_test(tc, a_feed_is_what_would_have_been_posted);
    tcase_add_test(tc, a_feed_newest_first_is_read_backwards);
    tcase_add_test(tc, an_impossible_time_in_a_feed_is_its_neighbours);
    tcase_add_test(tc, several_events_in_one_delivery);
    tcase_add_loop_test(tc, a_source_without_tables_keeps_any_body, 0, sizeof(anything) / sizeof(anything[0]));
    tcase_add_test(tc, facts_of_a_message);
    tcase_add_loop_test(tc, lines_hold_no_breaks, 0, sizeof(breaks) / sizeof(breaks[0]));
    tcase_add_test(tc, the_same_input_gives_the_same_bytes);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
