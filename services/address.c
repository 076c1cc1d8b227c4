#include "services/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define HOST_MAX 256

struct net4 {
    uint32_t net;
    unsigned bits;
    enum address_reach reach;
};

struct net6 {
    unsigned char net[16];
    unsigned bits;
    enum address_reach reach;
};

/* IANA's special-purpose registries; what is not listed is public. */
static const struct net4 nets4[] = {
    {0x00000000, 8, ADDRESS_NEVER},   {0x0a000000, 8, ADDRESS_PRIVATE},  {0x64400000, 10, ADDRESS_PRIVATE},
    {0x7f000000, 8, ADDRESS_PRIVATE}, {0xa9fe0000, 16, ADDRESS_NEVER},   {0xac100000, 12, ADDRESS_PRIVATE},
    {0xc0000000, 24, ADDRESS_NEVER},  {0xc0a80000, 16, ADDRESS_PRIVATE}, {0xc6120000, 15, ADDRESS_PRIVATE},
    {0xe0000000, 3, ADDRESS_NEVER},
};

static const struct net6 nets6[] = {
    {{0}, 128, ADDRESS_NEVER},
    {{[15] = 1}, 128, ADDRESS_PRIVATE},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, ADDRESS_NEVER}, /* local-use NAT64 */
    {{0x20, 0x01, 0x00, 0x00}, 32, ADDRESS_NEVER}, /* Teredo */
    {{0x20, 0x02}, 16, ADDRESS_NEVER}, /* 6to4 */
    {{0xfc}, 7, ADDRESS_PRIVATE},
    {{0xfe, 0x80}, 10, ADDRESS_NEVER},
    {{0xfe, 0xc0}, 10, ADDRESS_NEVER},
    {{0xff}, 8, ADDRESS_NEVER},
};

static enum address_reach reach4(uint32_t a)
{
    for (size_t i = 0; i < sizeof(nets4) / sizeof(nets4[0]); i++)
        if ((a >> (32 - nets4[i].bits)) == (nets4[i].net >> (32 - nets4[i].bits)))
            return nets4[i].reach;
    return ADDRESS_PUBLIC;
}

static bool inside6(const unsigned char a[16], const struct net6 *n)
{
    unsigned bytes = n->bits / 8, rest = n->bits % 8;

    if (memcmp(a, n->net, bytes) != 0)
        return false;
    return rest == 0 || (a[bytes] >> (8 - rest)) == (n->net[bytes] >> (8 - rest));
}

static uint32_t last4(const unsigned char a[16])
{
    return (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];
}

static enum address_reach reach6(const unsigned char a[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const unsigned char nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const unsigned char zero[12] = {0};

    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return reach4(last4(a)); /* an IPv4 address in other clothes */
    for (size_t i = 0; i < sizeof(nets6) / sizeof(nets6[0]); i++)
        if (inside6(a, &nets6[i]))
            return nets6[i].reach;
    return memcmp(a, zero, 12) == 0 ? ADDRESS_NEVER : ADDRESS_PUBLIC;
}

enum address_reach address_reach(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, address, sizeof(in));
        return reach4(ntohl(in.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, address, sizeof(in6));
        return reach6(in6.sin6_addr.s6_addr);
    }
    return ADDRESS_NEVER;
}

static bool ends_with(const char *host, size_t n, const char *end)
{
    size_t m = strlen(end);

    return n >= m && strncasecmp(host + n - m, end, m) == 0;
}

enum address_reach address_host_reach(struct slice host)
{
    static const char *const local[] = {"localhost", ".localhost", ".local", ".internal", ".home.arpa"};
    char name[HOST_MAX];
    unsigned char raw[16];
    struct in_addr in;
    size_t n;

    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct slice){host.p + 1, host.n - 2};
    if (!slice_copy(host, name, sizeof(name)) || name[0] == '\0')
        return ADDRESS_PUBLIC;
    if (inet_aton(name, &in) != 0) /* also 127.1, 0x7f.1 and 2130706433, as the resolver reads them */
        return reach4(ntohl(in.s_addr));
    if (inet_pton(AF_INET6, name, raw) == 1)
        return reach6(raw);
    n = strlen(name);
    if (n > 1 && name[n - 1] == '.')
        name[--n] = '\0';
    if (strchr(name, '.') == NULL)
        return ADDRESS_PRIVATE;
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        if (ends_with(name, n, local[i]))
            return ADDRESS_PRIVATE;
    return ADDRESS_PUBLIC;
}
