/* address: IP addresses and blocks of them (CIDR), as text and as bytes.
 *
 * One form for both families: 16 bytes, IPv4 as ::ffff:a.b.c.d, so that an IPv4 peer of an IPv6 socket is the same address. A
 * block of IPv6 never holds an IPv4 address, not even ::/0: who trusts a network means that family.
 * Threads: plain values, pure functions. A refused text leaves *ret untouched. */
#pragma once
#include "core/err.h"
#include "core/span.h"
#include <stdint.h>

struct sockaddr;

#define ADDRESS_TEXT_MAX 46
struct address {
    unsigned char b[16];
};
struct address_block {
    struct address first;
    unsigned bits; /* of 128 */
};

/* 10.0.0.1, 2001:db8::1, ::ffff:10.0.0.1; no zone, no brackets. */
bool address_parse(struct span text, struct address *ret);
/* The same as proxies spell it in X-Forwarded-For: with or without a port, IPv6 with or without brackets. */
bool address_parse_hop(struct span text, struct address *ret);
/* false: neither IPv4 nor IPv6. */
bool address_of(const struct sockaddr *at, struct address *ret);
void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX]); /* IPv4 as a.b.c.d */
bool address_is_v4(const struct address *a);
bool address_is_loopback(const struct address *a);
/* Who is counted as one: an IPv4 address, or the /64 of an IPv6 address, of which one sender has all. */
struct address address_group(const struct address *a);

/* 10.0.0.0/8, fd00::/8, or one address. ERR_INPUT says what would be right: bits behind the prefix must be zero. */
bool block_parse(struct span text, struct address_block *ret, struct err *err);
bool block_has(const struct address_block *b, const struct address *a);
bool blocks_have(const struct address_block *list, size_t n, const struct address *a);
