#include "core/address.h"
#include <arpa/inet.h>
#include <stdio.h>

static const unsigned char v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct address mapped(const void *v4)
{
    struct address a;
    memcpy(a.b, v4_prefix, sizeof v4_prefix);
    memcpy(a.b + sizeof v4_prefix, v4, 4);
    return a;
}

bool address_parse(struct span text, struct address *ret)
{
    char z[ADDRESS_TEXT_MAX];
    unsigned char bytes[16];
    if (!text.n || text.n >= sizeof z || memchr(text.p, 0, text.n))
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = 0;
    if (inet_pton(AF_INET, z, bytes) == 1) {
        *ret = mapped(bytes);
        return true;
    }
    if (inet_pton(AF_INET6, z, bytes) != 1)
        return false;
    memcpy(ret->b, bytes, sizeof ret->b);
    return true;
}

static bool is_port(struct span s)
{
    if (!s.n || s.n > 5)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

bool address_parse_hop(struct span text, struct address *ret)
{
    struct span port, host = text;
    if (text.n && text.p[0] == '[') {
        host = span_cut(span_skip(text, 1), ']', &port);
        if (!port.p || (port.n && (port.p[0] != ':' || !is_port(span_skip(port, 1)))))
            return false;
        struct address a;
        if (!memchr(host.p, ':', host.n) || !address_parse(host, &a))
            return false;
        *ret = a;
        return true;
    }
    host = span_cut(text, ':', &port);
    if (port.p && !memchr(port.p, ':', port.n) && is_port(port)) /* a.b.c.d:port; an IPv6 address has two colons */
        return address_parse(host, ret);
    return address_parse(text, ret);
}

bool address_of(const struct sockaddr *at, struct address *ret)
{
    if (at && at->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)at;
        *ret = mapped(&v4->sin_addr);
        return true;
    }
    if (at && at->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)at;
        memcpy(ret->b, &v6->sin6_addr, sizeof ret->b);
        return true;
    }
    return false;
}

bool address_is_v4(const struct address *a)
{
    return memcmp(a->b, v4_prefix, sizeof v4_prefix) == 0;
}

void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
    bool v4 = address_is_v4(a);
    if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->b + sizeof v4_prefix : a->b, out, ADDRESS_TEXT_MAX))
        snprintf(out, ADDRESS_TEXT_MAX, "-");
}

bool address_is_loopback(const struct address *a)
{
    static const unsigned char v6[16] = {[15] = 1};
    return address_is_v4(a) ? a->b[12] == 127 : memcmp(a->b, v6, sizeof v6) == 0;
}

/* The bits behind the first `bits` are zero. */
static struct address masked(const struct address *a, unsigned bits)
{
    struct address m = *a;
    for (unsigned i = bits; i < 128; i++)
        m.b[i / 8] = (unsigned char)(m.b[i / 8] & ~(0x80u >> i % 8));
    return m;
}

struct address address_group(const struct address *a)
{
    return address_is_v4(a) ? *a : masked(a, 64);
}

bool block_parse(struct span text, struct address_block *ret, struct err *err)
{
    struct span width, host = span_cut(text, '/', &width);
    struct address a;
    unsigned bits = 0;
    if (!address_parse(host, &a))
        return err_set(err, ERR_INPUT, "is no address or block of addresses; write 10.0.0.0/8, fd00::/8 or 192.0.2.7");
    bool v4 = address_is_v4(&a), dotted = !memchr(host.p, ':', host.n);
    unsigned most = dotted ? 32 : 128;
    for (size_t i = 0; i < width.n && bits <= 128; i++)
        bits = width.p[i] >= '0' && width.p[i] <= '9' ? bits * 10 + (unsigned)(width.p[i] - '0') : 999;
    if (width.p && (!width.n || width.n > 3 || bits > most || (width.n > 1 && width.p[0] == '0')))
        return err_set(err, ERR_INPUT, "what follows the / is the number of leading bits, 0 to %u", most);
    bits = !width.p ? 128 : dotted ? bits + 96 : bits;
    if (v4 && bits < 96)
        return err_set(err, ERR_INPUT, "is an IPv4 address with a prefix of IPv6; write it as a.b.c.d/0 to /32");
    struct address first = masked(&a, bits);
    if (memcmp(first.b, a.b, sizeof a.b) != 0) {
        char right[ADDRESS_TEXT_MAX];
        address_text(&first, right);
        return err_set(err, ERR_INPUT, "has bits behind its prefix; write %s/%u, or the address alone", right,
                       v4 ? bits - 96 : bits);
    }
    *ret = (struct address_block){first, bits};
    return true;
}

bool block_has(const struct address_block *b, const struct address *a)
{
    unsigned whole = b->bits / 8, rest = b->bits % 8;
    if (address_is_v4(&b->first) != address_is_v4(a) || memcmp(b->first.b, a->b, whole) != 0)
        return false;
    return !rest || ((b->first.b[whole] ^ a->b[whole]) & (0xff00u >> rest & 0xffu)) == 0;
}

bool blocks_have(const struct address_block *list, size_t n, const struct address *a)
{
    for (size_t i = 0; i < n; i++)
        if (block_has(&list[i], a))
            return true;
    return false;
}
