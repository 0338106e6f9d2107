/* Whom a request is from, behind proxies: 10.0.0.0/8 and ::1 are ours, and so is the peer, 10.0.0.1. */
#include "server/door.h"
#include "tests/unit/check_main.h"

static const struct row {
    const char *first, *second; /* X-Forwarded-For headers in this order; NULL: none */
    const char *client;
} rows[] = {
    {NULL, NULL, "10.0.0.1"},
    {"", NULL, "10.0.0.1"},
    {"203.0.113.9", NULL, "203.0.113.9"},
    {" 203.0.113.9 ", NULL, "203.0.113.9"},
    {"203.0.113.9:4711", NULL, "203.0.113.9"},
    {"[2001:db8::7]:4711", NULL, "2001:db8::7"},
    {"2001:db8::7", NULL, "2001:db8::7"},
    {"::ffff:203.0.113.9", NULL, "203.0.113.9"},
    /* What stands left of the first stranger is the stranger's own word. */
    {"198.51.100.1, 203.0.113.9", NULL, "203.0.113.9"},
    {"198.51.100.1, 10.0.0.2, 203.0.113.9", NULL, "203.0.113.9"},
    {"10.9.9.9, 203.0.113.9", NULL, "203.0.113.9"},
    /* Proxies of ours, however many, are passed by. */
    {"198.51.100.1, 203.0.113.9, 10.0.0.2", NULL, "203.0.113.9"},
    {"203.0.113.9,10.0.0.2,\t::1 , 10.0.0.3", NULL, "203.0.113.9"},
    {"10.0.0.4, 10.0.0.2", NULL, "10.0.0.4"},
    /* Several headers are one list. */
    {"198.51.100.1", "203.0.113.9", "203.0.113.9"},
    {"198.51.100.1, 203.0.113.9", "10.0.0.2", "203.0.113.9"},
    {"203.0.113.9", "", "203.0.113.9"},
    /* Empty elements mean nothing; what is no address ends the search at the last proxy of ours. */
    {"203.0.113.9, , ,", NULL, "203.0.113.9"},
    {",,,", NULL, "10.0.0.1"},
    {"203.0.113.9, unknown", NULL, "10.0.0.1"},
    {"203.0.113.9, unknown, 10.0.0.2", NULL, "10.0.0.2"},
    {"203.0.113.9 10.0.0.2", NULL, "10.0.0.1"},
    {"203.0.113.9/32", NULL, "10.0.0.1"},
};

START_TEST(the_rightmost_stranger)
{
    const struct row *row = &rows[_i];
    struct err err = {0};
    struct address_block proxies[2];
    ck_assert(block_parse(SPAN_LIT("10.0.0.0/8"), &proxies[0], &err) && block_parse(SPAN_LIT("::1"), &proxies[1], &err));
    const struct config c = {.proxies = proxies, .n_proxies = 2};
    struct http_header headers[] = {{SPAN_LIT("Host"), SPAN_LIT("198.51.100.200")},
                                    {SPAN_LIT("X-Forwarded-For"), span_of(row->first)},
                                    {SPAN_LIT("Forwarded"), SPAN_LIT("for=198.51.100.201")},
                                    {SPAN_LIT("x-forwarded-for"), span_of(row->second)}};
    const struct http_message m = {.headers = headers, .n_headers = row->second ? 4 : row->first ? 3 : 1};
    struct address peer;
    ck_assert(address_parse(SPAN_LIT("10.0.0.1"), &peer));
    struct address client = forwarded_client(&c, &m, peer);
    char text[ADDRESS_TEXT_MAX];
    address_text(&client, text);
    ck_assert_str_eq(text, row->client);
}
END_TEST

CHECK_SUITE("server forwarded", t)
{
    tcase_add_loop_test(t, the_rightmost_stranger, 0, CHECK_ROWS(rows));
}
