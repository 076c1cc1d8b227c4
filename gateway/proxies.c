#include "gateway/proxies.h"

#include <string.h>

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
        if (!net_read(one, &ret->nets[ret->n]))
            return err_set(err, ST_BAD_REQUEST,
                           "TRUSTED_PROXIES: '" SLICE_FMT "' is neither an address nor a network such as 10.0.0.0/8",
                           SLICE_ARG(one));
        ret->n++;
    }
    return ST_OK;
}

/* ---- a request --------------------------------------------------------------------------------------------------- */

static bool trusted(const struct proxies *p, struct slice s)
{
    uint8_t address[NET_ADDRESS];

    if (!net_address(s, address))
        return false;
    for (unsigned i = 0; i < p->n; i++)
        if (net_has(&p->nets[i], address))
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
    uint8_t unused[NET_ADDRESS];

    while (forwarded_for.n > 0 && trusted(p, client)) {
        size_t at = find_last(forwarded_for, ',');
        struct slice heard = without_port(trimmed(after(forwarded_for, at)));

        if (!net_address(heard, unused))
            break;
        client = heard;
        forwarded_for.n = at > 0 ? at - 1 : 0;
    }
    return client;
}
