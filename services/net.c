#include "services/net.h"

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#define V4_BITS 96u /* what IPv4 addresses have in front */

static const uint8_t v4_front[V4_BITS / 8] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const uint8_t address[NET_ADDRESS])
{
    return memcmp(address, v4_front, sizeof(v4_front)) == 0;
}

/* *v4: it was written as one. */
static bool read_address(struct slice s, uint8_t to[NET_ADDRESS], bool *v4)
{
    char text[INET6_ADDRSTRLEN];

    if (!slice_copy(s, text, sizeof(text)))
        return false;
    *v4 = inet_pton(AF_INET, text, to + sizeof(v4_front)) == 1;
    if (*v4)
        memcpy(to, v4_front, sizeof(v4_front));
    return *v4 || inet_pton(AF_INET6, text, to) == 1;
}

bool net_address(struct slice text, uint8_t to[NET_ADDRESS])
{
    bool v4;

    return read_address(text, to, &v4);
}

static bool read_bits(struct slice s, unsigned most, unsigned *ret)
{
    unsigned bits = 0;
    size_t i;

    if (s.n == 0 || s.n > 3)
        return false;
    for (i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        bits = bits * 10 + (unsigned)(s.p[i] - '0');
    }
    *ret = bits;
    return bits <= most;
}

bool net_read(struct slice text, struct net *ret)
{
    const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
    struct slice address = {text.p, slash ? (size_t)(slash - text.p) : text.n};
    unsigned front, bits;
    bool v4;

    if (!read_address(address, ret->address, &v4))
        return false;
    front = v4 ? V4_BITS : 0;
    bits = NET_ADDRESS * 8 - front;
    if (slash && !read_bits((struct slice){slash + 1, text.n - address.n - 1}, bits, &bits))
        return false;
    ret->bits = (uint8_t)(bits + front);
    return true;
}

void net_write(const struct net *net, char to[NET_TEXT_MAX])
{
    bool v4 = is_v4(net->address) && net->bits >= V4_BITS;
    unsigned front = v4 ? V4_BITS : 0, whole = net->bits / 8, rest = net->bits % 8;
    uint8_t address[NET_ADDRESS] = {0};
    size_t n;

    memcpy(address, net->address, whole);
    if (rest)
        address[whole] = (uint8_t)(net->address[whole] & (0xffu << (8 - rest)));
    inet_ntop(v4 ? AF_INET : AF_INET6, address + front / 8, to, NET_TEXT_MAX);
    n = strlen(to);
    if (net->bits < NET_ADDRESS * 8)
        snprintf(to + n, NET_TEXT_MAX - n, "/%u", net->bits - front);
}

bool net_has(const struct net *net, const uint8_t address[NET_ADDRESS])
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (net->bits < V4_BITS && is_v4(address))
        return false;
    return memcmp(net->address, address, whole) == 0 &&
           (rest == 0 || ((net->address[whole] ^ address[whole]) >> (8 - rest)) == 0);
}

bool net_listed(struct wire_strs ranges, struct slice address)
{
    uint8_t asked[NET_ADDRESS];
    struct net net;
    size_t i;

    if (!net_address(address, asked))
        return false;
    for (i = 0; i < ranges.n; i++)
        if (net_read(ranges.items[i], &net) && net_has(&net, asked))
            return true;
    return false;
}
