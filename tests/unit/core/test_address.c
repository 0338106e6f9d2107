/* Addresses and blocks: what is taken, what is refused, what holds what. */
#include "core/address.h"
#include "tests/unit/check_main.h"
#include <arpa/inet.h>

static const struct spelled {
    const char *text, *plain, *hop; /* as read alone and as a hop; NULL: refused */
} spelled[] = {
    {"10.0.0.1", "10.0.0.1", "10.0.0.1"},
    {"255.255.255.255", "255.255.255.255", "255.255.255.255"},
    {"::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1"},
    {"::FFFF:a00:1", "10.0.0.1", "10.0.0.1"},
    {"::1", "::1", "::1"},
    {"2001:DB8::A", "2001:db8::a", "2001:db8::a"},
    {"2001:db8:0:0:0:0:0:a", "2001:db8::a", "2001:db8::a"},
    {"10.0.0.1:80", NULL, "10.0.0.1"},
    {"10.0.0.1:65535", NULL, "10.0.0.1"},
    {"[::1]", NULL, "::1"},
    {"[2001:db8::a]:443", NULL, "2001:db8::a"},
    {"[10.0.0.1]:80", NULL, NULL},
    {"[::1]443", NULL, NULL},
    {"[::1]:", NULL, NULL},
    {"[::1", NULL, NULL},
    {"[]", NULL, NULL},
    {"10.0.0.1:", NULL, NULL},
    {"10.0.0.1:8o", NULL, NULL},
    {"10.0.0.1:123456", NULL, NULL},
    {"10.0.0", NULL, NULL},
    {"10.0.0.256", NULL, NULL},
    {"010.0.0.1", NULL, NULL},
    {"10.0.0.1 ", NULL, NULL},
    {" 10.0.0.1", NULL, NULL},
    {"fe80::1%eth0", NULL, NULL},
    {"1:2:3:4:5:6:7:8:9", NULL, NULL},
    {"unknown", NULL, NULL},
    {"_hidden", NULL, NULL},
    {"", NULL, NULL},
    {"10.0.0.1/32", NULL, NULL},
    {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL, NULL},
};

static void expect(bool done, const struct address *a, const char *expected)
{
    char text[ADDRESS_TEXT_MAX];
    ck_assert_int_eq(done, expected != NULL);
    if (!done)
        return;
    address_text(a, text);
    ck_assert_str_eq(text, expected);
}

START_TEST(spellings)
{
    const struct spelled *s = &spelled[_i];
    struct address a = {{0}}, b = {{0}};
    expect(address_parse(span_of(s->text), &a), &a, s->plain);
    expect(address_parse_hop(span_of(s->text), &b), &b, s->hop);
    static const struct address untouched = {{0}};
    if (!s->plain)
        ck_assert_mem_eq(&a, &untouched, sizeof a);
    if (!s->hop)
        ck_assert_mem_eq(&b, &untouched, sizeof b);
}
END_TEST

START_TEST(a_nul_ends_nothing)
{
    struct address a;
    ck_assert(!address_parse(span_make("10.0.0.1\0x", 10), &a));
    ck_assert(!address_parse_hop(span_make("10.0.0.1\0", 9), &a));
}
END_TEST

static const struct holding {
    const char *block, *in, *out;
} holding[] = {
    {"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
    {"10.0.0.0/8", "::ffff:10.1.2.3", "9.255.255.255"},
    {"192.168.128.0/17", "192.168.128.0", "192.168.127.255"},
    {"192.0.2.4/31", "192.0.2.5", "192.0.2.6"},
    {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
    {"192.0.2.7/32", "192.0.2.7", "192.0.2.8"},
    {"0.0.0.0/0", "203.0.113.9", "::1"},
    {"::/0", "2001:db8::1", "203.0.113.9"},
    {"::1", "::1", "::2"},
    {"fd00::/8", "fdff::1", "fc00::1"},
    {"2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
    {"2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::"},
    {"::ffff:10.0.0.0/104", "10.9.8.7", "11.9.8.7"},
};

START_TEST(blocks_hold)
{
    const struct holding *h = &holding[_i];
    struct address_block b;
    struct address in, out;
    struct err err = {0};
    ck_assert_msg(block_parse(span_of(h->block), &b, &err), "%s: %s", h->block, err.msg);
    ck_assert(address_parse(span_of(h->in), &in) && address_parse(span_of(h->out), &out));
    ck_assert_msg(block_has(&b, &in), "%s lacks %s", h->block, h->in);
    ck_assert_msg(!block_has(&b, &out), "%s has %s", h->block, h->out);
    ck_assert(blocks_have(&b, 1, &in) && !blocks_have(&b, 0, &in));
}
END_TEST

static const struct refused {
    const char *block, *why;
} refused[] = {
    {"", "is no address"},
    {"/8", "is no address"},
    {"10.0.0.0/", "0 to 32"},
    {"10.0.0.0/33", "0 to 32"},
    {"10.0.0.0/-1", "0 to 32"},
    {"10.0.0.0/08", "0 to 32"},
    {"10.0.0.0/8x", "0 to 32"},
    {"10.0.0.0/8/8", "0 to 32"},
    {"10.0.0.0/4294967304", "0 to 32"},
    {"::/129", "0 to 128"},
    {"10.1.2.3/8", "write 10.0.0.0/8"},
    {"2001:db8::1/64", "write 2001:db8::/64"},
    {"::ffff:10.0.0.0/8", "as a.b.c.d/0 to /32"},
    {"localhost", "is no address"},
    {"10.0.0.0 /8", "is no address"},
};

START_TEST(blocks_refused)
{
    struct address_block b;
    struct err err = {0};
    ck_assert(!block_parse(span_of(refused[_i].block), &b, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    ck_assert_msg(strstr(err.msg, refused[_i].why) != NULL, "%s: %s", refused[_i].block, err.msg);
}
END_TEST

static const struct grouped {
    const char *a, *b;
    bool same, loopback; /* loopback: a */
} grouped[] = {
    {"10.0.0.1", "10.0.0.2", false, false},
    {"10.0.0.1", "::ffff:10.0.0.1", true, false},
    {"2001:db8::1", "2001:db8::ffff:0:0:1", true, false},
    {"2001:db8::1", "2001:db8:0:1::1", false, false},
    {"127.0.0.1", "127.0.0.2", false, true},
    {"::1", "::2", true, true},
    {"128.0.0.1", "127.0.0.1", false, false},
    {"::2", "10.0.0.1", false, false},
};

START_TEST(groups)
{
    const struct grouped *g = &grouped[_i];
    struct address a, b;
    ck_assert(address_parse(span_of(g->a), &a) && address_parse(span_of(g->b), &b));
    struct address ga = address_group(&a), gb = address_group(&b);
    ck_assert_int_eq(memcmp(&ga, &gb, sizeof ga) == 0, g->same);
    ck_assert_int_eq(address_is_loopback(&a), g->loopback);
}
END_TEST

START_TEST(of_sockets)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000207)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct address a;
    ck_assert(address_of((struct sockaddr *)&v4, &a));
    expect(true, &a, "192.0.2.7");
    ck_assert(address_of((struct sockaddr *)&v6, &a));
    expect(true, &a, "::1");
    ck_assert(!address_of(&other, &a) && !address_of(NULL, &a));
}
END_TEST

CHECK_SUITE("core address", t)
{
    tcase_add_loop_test(t, spellings, 0, CHECK_ROWS(spelled));
    tcase_add_test(t, a_nul_ends_nothing);
    tcase_add_loop_test(t, blocks_hold, 0, CHECK_ROWS(holding));
    tcase_add_loop_test(t, blocks_refused, 0, CHECK_ROWS(refused));
    tcase_add_loop_test(t, groups, 0, CHECK_ROWS(grouped));
    tcase_add_test(t, of_sockets);
}
