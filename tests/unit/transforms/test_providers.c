#include "tests/unit/transforms/harness.h"
#include "sources/embedded.h"

/* What the manifests that ship make of a provider's events: "table op key" of each row but those of `events`. */

static const char *text_of(const char *name)
{
    for (const struct embedded_file *f = embedded_sources; f->name; f++) {
        if (strcmp(f->name, name) == 0)
            return f->bytes;
    }
    ck_abort_msg("no manifest '%s'", name);
    return NULL;
}

static const struct {
    const char *provider;
    const char *headers; /* "Name: value" separated by | */
    const char *page;    /* a pulled page of that table; NULL: a delivery */
    const char *body;
    const char *rows;    /* or "dead: reason", or "ignored" */
} cases[] = {
    /* stripe */
    {"stripe", "", NULL,
     "{\"id\":\"evt_1\",\"type\":\"customer.deleted\",\"created\":1700000000,\"livemode\":true,\"api_version\":\"2026-07-29\","
     "\"data\":{\"object\":{\"id\":\"cus_1\",\"object\":\"customer\",\"deleted\":true}}}",
     "customers delete {\"id\":\"cus_1\"}\n"},
    {"stripe", "", NULL,
     "{\"id\":\"evt_1\",\"type\":\"customer.subscription.deleted\",\"created\":1700000000,\"livemode\":true,"
     "\"api_version\":\"2026-07-29\",\"data\":{\"object\":{\"id\":\"sub_1\",\"object\":\"subscription\",\"status\":\"canceled\"}}}",
     "subscriptions upsert {\"id\":\"sub_1\"}\n"},
    {"stripe", "", NULL,
     "{\"id\":\"evt_1\",\"type\":\"invoice.upcoming\",\"created\":1700000000,\"livemode\":true,\"api_version\":\"2026-07-29\","
     "\"data\":{\"object\":{\"object\":\"invoice\"}}}",
     ""},
    {"stripe", "", NULL,
     "{\"id\":\"evt_1\",\"type\":\"customer.created\",\"created\":1700000000,\"livemode\":false,\"api_version\":\"2026-07-29\","
     "\"data\":{\"object\":{\"id\":\"cus_1\",\"object\":\"customer\"}}}",
     "ignored"},
    {"stripe", "", NULL,
     "{\"id\":\"evt_1\",\"type\":\"customer.created\",\"created\":1700000000,\"livemode\":true,\"api_version\":\"2020-08-27\","
     "\"data\":{\"object\":{\"id\":\"cus_1\",\"object\":\"customer\"}}}",
     "dead: /0: body.api_version 2020-08-27 is not the configured config.api_version 2026-07-29\n"},
    {"stripe", "", "charges", "{\"data\":[{\"id\":\"ch_1\"},{\"id\":\"ch_2\"}],\"has_more\":false}",
     "charges upsert {\"id\":\"ch_1\"}\ncharges upsert {\"id\":\"ch_2\"}\n"},
    /* github */
    {"github", "X-GitHub-Event: issues|X-GitHub-Delivery: 1", NULL,
     "{\"action\":\"opened\",\"issue\":{\"id\":5},\"repository\":{\"id\":1,\"full_name\":\"o/r\"}}", "issues upsert {\"id\":5}\n"},
    {"github", "X-GitHub-Event: issues|X-GitHub-Delivery: 1", NULL,
     "{\"action\":\"deleted\",\"issue\":{\"id\":5},\"repository\":{\"id\":1,\"full_name\":\"o/r\"}}", "issues delete {\"id\":5}\n"},
    {"github", "X-GitHub-Event: issues|X-GitHub-Delivery: 1", NULL,
     "{\"action\":\"transferred\",\"issue\":{\"id\":5},\"repository\":{\"id\":1,\"full_name\":\"o/r\"}}",
     "issues delete {\"id\":5}\n"},
    {"github", "X-GitHub-Event: issue_comment|X-GitHub-Delivery: 1", NULL,
     "{\"action\":\"deleted\",\"issue\":{\"id\":5},\"comment\":{\"id\":6},\"repository\":{\"id\":1,\"full_name\":\"o/r\"}}",
     "issue_comments delete {\"id\":6}\n"},
    {"github", "X-GitHub-Event: push|X-GitHub-Delivery: 1", NULL,
     "{\"ref\":\"refs/heads/main\",\"commits\":[{\"id\":\"a1\"},{\"id\":\"b2\"}],\"repository\":{\"id\":1,\"full_name\":\"o/r\"}}",
     "commits upsert {\"sha\":\"a1\"}\ncommits upsert {\"sha\":\"b2\"}\n"},
    {"github", "X-GitHub-Event: star|X-GitHub-Delivery: 1", NULL, "{\"action\":\"deleted\",\"repository\":{\"id\":1}}", ""},
    {"github", "", "issues", "[{\"id\":5},{\"id\":7,\"pull_request\":{\"url\":\"x\"}}]", "issues upsert {\"id\":5}\n"},
    {"github", "", "workflow_runs", "{\"total_count\":1,\"workflow_runs\":[{\"id\":9}]}", "workflow_runs upsert {\"id\":9}\n"},
    /* shopify */
    {"shopify", "X-Shopify-Topic: orders/updated|X-Shopify-API-Version: 2026-07|X-Shopify-Webhook-Id: 1", NULL,
     "{\"id\":1,\"created_at\":\"2026-01-01T00:00:00Z\",\"updated_at\":\"2026-01-01T00:00:00Z\"}", "orders upsert {\"id\":1}\n"},
    {"shopify", "X-Shopify-Topic: orders/delete|X-Shopify-API-Version: 2026-07|X-Shopify-Webhook-Id: 1", NULL, "{\"id\":1}",
     "orders delete {\"id\":1}\n"},
    /* the body of an update under the topic of a delete */
    {"shopify", "X-Shopify-Topic: orders/delete|X-Shopify-API-Version: 2026-07|X-Shopify-Webhook-Id: 1", NULL,
     "{\"id\":1,\"created_at\":\"2026-01-01T00:00:00Z\"}", "orders upsert {\"id\":1}\n"},
    {"shopify", "shopify-topic: products/update|shopify-api-version: 2026-07|shopify-webhook-id: 1", NULL, "{\"id\":2}",
     "products upsert {\"id\":2}\n"},
    {"shopify", "X-Shopify-Topic: orders/updated|X-Shopify-API-Version: 2024-01|X-Shopify-Webhook-Id: 1", NULL, "{\"id\":1}",
     "dead: /0: header.shopify-api-version or header.X-Shopify-API-Version 2024-01 is not the configured config.api_version "
     "2026-07\n"},
    {"shopify", "X-Shopify-Topic: inventory_levels/disconnect|X-Shopify-API-Version: 2026-07|X-Shopify-Webhook-Id: 1", NULL,
     "{\"inventory_item_id\":3,\"location_id\":4}", "inventory_levels delete {\"inventory_item_id\":3,\"location_id\":4}\n"},
    /* slack */
    {"slack", "", NULL,
     "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event_time\":1700000000,"
     "\"event\":{\"type\":\"message\",\"channel\":\"C1\",\"ts\":\"1.1\",\"text\":\"hi\"}}",
     "messages upsert {\"channel\":\"C1\",\"ts\":\"1.1\"}\n"},
    {"slack", "", NULL,
     "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event_time\":1700000000,\"event\":{\"type\":\"message\","
     "\"subtype\":\"message_changed\",\"channel\":\"C1\",\"ts\":\"9.9\",\"message\":{\"ts\":\"1.1\",\"text\":\"ho\"}}}",
     "messages upsert {\"channel\":\"C1\",\"ts\":\"1.1\"}\n"},
    {"slack", "", NULL,
     "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event_time\":1700000000,\"event\":{\"type\":\"message\","
     "\"subtype\":\"message_deleted\",\"channel\":\"C1\",\"ts\":\"9.9\",\"deleted_ts\":\"1.1\"}}",
     "messages delete {\"channel\":\"C1\",\"ts\":\"1.1\"}\n"},
    {"slack", "", NULL,
     "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event_time\":1700000000,"
     "\"event\":{\"type\":\"channel_deleted\",\"channel\":\"C1\"}}",
     "channels delete {\"id\":\"C1\"}\n"},
    {"slack", "", NULL,
     "{\"type\":\"event_callback\",\"event_id\":\"Ev1\",\"event_time\":1700000000,"
     "\"event\":{\"type\":\"channel_rename\",\"channel\":{\"id\":\"C1\",\"name\":\"new\",\"created\":1}}}",
     "channels upsert {\"id\":\"C1\"}\n"},
    {"slack", "", NULL, "{\"type\":\"app_rate_limited\",\"team_id\":\"T1\"}", "ignored"},
    /* demo */
    {"demo", "", NULL, "{\"id\":\"evt_1\",\"type\":\"subscription.cancelled\",\"timestamp\":\"2024-05-01T00:00:00Z\",\"data\":{\"id\":\"s\"}}",
     "subscriptions upsert {\"id\":\"s\"}\n"},
    {"demo", "", NULL, "{\"id\":\"evt_1\",\"type\":\"customer.deleted\",\"timestamp\":\"2024-05-01T00:00:00Z\",\"data\":{\"id\":\"c\"}}",
     "customers delete {\"id\":\"c\"}\n"},
    /* no tables */
    {"svix", "webhook-id: 1", NULL, "{\"type\":\"a.deleted\",\"data\":{\"id\":1}}", ""},
    {"generic", "", NULL, "not json", ""},
};

static size_t split_headers(const char *text, struct http_header *headers)
{
    size_t n = 0;
    struct span rest = span_of(text);
    while (rest.n) {
        struct span value, name = span_cut(span_cut(rest, '|', &rest), ':', &value);
        headers[n++] = (struct http_header){name, span_trim(value)};
    }
    return n;
}

static void describe(struct world *w, struct buf *out)
{
    struct buf scratch = {0};
    struct span rest = buf_span(&w->lines);
    while (rest.n) {
        struct row row;
        struct err err;
        ck_assert(row_read(span_cut(rest, '\n', &rest), &row, &scratch, &err));
        if (!span_eqz(row.table, "events"))
            buf_addf(out, "%.*s %s %.*s\n", SPAN_ARG(row.table), row.op == ROW_DELETE ? "delete" : "upsert", SPAN_ARG(row.key));
    }
    if (w->dead.n)
        buf_addf(out, "dead: %s", buf_z(&w->dead));
    if (w->result.ignored)
        buf_addz(out, "ignored");
    buf_release(&scratch);
}

START_TEST(event_becomes_rows)
{
    struct world w = {.values = {{.name = "api_version", .text = strcmp(cases[_i].provider, "stripe") ? "2026-07" : "2026-07-29"},
                                 {.name = "live", .text = "true"}}};
    struct http_header headers[8];
    struct buf out = {0};
    w.source.n_values = 2;
    world_open(&w, text_of(cases[_i].provider));
    struct entry e = cases[_i].page ? page_entry(cases[_i].page, cases[_i].body) : event_entry(cases[_i].body);
    e.message.headers = headers;
    e.message.n_headers = split_headers(cases[_i].headers, headers);
    world_run(&w, &e);
    describe(&w, &out);
    ck_assert_str_eq(buf_z(&out), cases[_i].rows);
    buf_release(&out);
    world_close(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("providers");
    TCase *t = tcase_create("providers");
    tcase_add_loop_test(t, event_becomes_rows, 0, sizeof(cases) / sizeof(cases[0]));
    suite_add_tcase(s, t);
    return run_suite(s);
}
