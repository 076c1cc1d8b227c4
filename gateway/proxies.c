#include "gateway/proxies.h"

#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#define MAPPED_BITS 96u /* what IPv4 addresses have in front */

static const uint8_t mapped[PROXIES_ADDRESS - 4] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool read_address(struct slice s, uint8_t to[PROXIES_ADDRESS], bool *v4)
{
    char text[INET6_ADDRSTRLEN];

    if (!slice_copy(s, text, sizeof(text)))
        return false;
    *v4 = inet_pton(AF_INET, text, to + sizeof(mapped)) == 1;
    if (*v4)
        memcpy(to, mapped, sizeof(mapped));
    return *v4 || inet_pton(AF_INET6, text, to) == 1;
}

static struct slice after(struct slice s, size_t n)
{
    return (struct slice){s.p + n, s.n - n};
}

static struct slice trimmed(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = after(s, 1);
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

static size_t find_last(struct slice s, char c)
{
    size_t i = s.n;

    while (i > 0 && s.p[i - 1] != c)
        i--;
    return i; /* behind it; 0 = none */
}

/* ---- the setting ------------------------------------------------------------------------------------------------- */

static bool read_bits(struct slice s, unsigned most, unsigned *ret)
{
    unsigned bits = 0;

    if (s.n == 0 || s.n > 3)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        bits = bits * 10 + (unsigned)(s.p[i] - '0');
    }
    *ret = bits;
    return bits <= most;
}

static bool read_net(struct slice s, struct proxy_net *net)
{
    size_t slash = find_last(s, '/');
    struct slice address = {s.p, slash > 0 ? slash - 1 : s.n};
    unsigned front;
    bool v4;

    if (!read_address(address, net->address, &v4))
        return false;
    front = v4 ? MAPPED_BITS : 0;
    net->bits = PROXIES_ADDRESS * 8 - front;
    if (slash > 0 && !read_bits(after(s, slash), net->bits, &net->bits))
        return false;
    net->bits += front;
    return true;
}

enum status proxies_parse(struct proxies *ret, const char *text, struct err *err)
{
    struct slice left = slice_of(text != NULL ? text : "");

    ret->n = 0;
    while (left.n > 0) {
        const char *comma = memchr(left.p, ',', left.n);
        struct slice one = {left.p, comma != NULL ? (size_t)(comma - left.p) : left.n};

        left = after(left, one.n + (comma != NULL));
        one = trimmed(one);
        if (ret->n == PROXIES_MAX)
            return err_set(err, ST_BAD_REQUEST, "TRUSTED_PROXIES has more than %u entries", PROXIES_MAX);
        if (!read_net(one, &ret->nets[ret->n]))
            return err_set(err, ST_BAD_REQUEST,
                           "TRUSTED_PROXIES: '" SLICE_FMT "' is neither an address nor a network such as 10.0.0.0/8",
                           SLICE_ARG(one));
        ret->n++;
    }
    return ST_OK;
}

/* ---- a request --------------------------------------------------------------------------------------------------- */

static bool inside(const struct proxy_net *net, const uint8_t address[PROXIES_ADDRESS])
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    return memcmp(net->address, address, whole) == 0 &&
           (rest == 0 || ((net->address[whole] ^ address[whole]) >> (8 - rest)) == 0);
}

static bool trusted(const struct proxies *p, struct slice s)
{
    uint8_t address[PROXIES_ADDRESS];
    bool v4;

    if (!read_address(s, address, &v4))
        return false;
    for (unsigned i = 0; i < p->n; i++)
        if (inside(&p->nets[i], address))
            return true;
    return false;
}

/* 192.0.2.1, 192.0.2.1:4711, 2001:db8::1, [2001:db8::1], [2001:db8::1]:4711 */
static struct slice without_port(struct slice s)
{
    size_t colon = find_last(s, ':');

    if (s.n > 0 && s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.n);

        return (struct slice){s.p + 1, end != NULL ? (size_t)(end - s.p) - 1 : 0};
    }
    if (colon > 0 && memchr(s.p, ':', colon - 1) == NULL)
        s.n = colon - 1;
    return s;
}

struct slice proxies_client(const struct proxies *p, struct slice peer, struct slice forwarded_for)
{
    struct slice client = peer;
    uint8_t unused[PROXIES_ADDRESS];
    bool v4;

    while (forwarded_for.n > 0 && trusted(p, client)) {
        size_t at = find_last(forwarded_for, ',');
        struct slice heard = without_port(trimmed(after(forwarded_for, at)));

        if (!read_address(heard, unused, &v4))
            break;
        client = heard;
        forwarded_for.n = at > 0 ? at - 1 : 0;
    }
    return client;
}
