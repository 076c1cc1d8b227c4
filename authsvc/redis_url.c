#include <stdlib.h>
#include <string.h>

#include "authsvc/redis.h"
#include "authsvc/redis_link.h"

#define FORM "allowed is redis://[[user]:password@]host[:port][/db] or unix:///path[?db=N]"

static enum status bad(struct err *err, const char *what)
{
    return err_set(err, ST_BAD_REQUEST, "REDIS_URL: %s; " FORM, what);
}

/* Digits only, as strtoul would also take signs and blanks. */
static bool number(struct slice text, unsigned max, unsigned *ret)
{
    unsigned value = 0;
    size_t i;

    for (i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.p[i] - '0');
        if (value > max)
            return false;
    }
    *ret = value;
    return text.n > 0;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* %XX is a byte (RFC 3986, section 2.1), but none that would end the text. */
static bool decode(struct slice text, char *to, size_t size)
{
    size_t i, n = 0;

    for (i = 0; i < text.n; i++) {
        int c = (unsigned char)text.p[i];

        if (c == '%') {
            int high = i + 2 < text.n ? hex(text.p[i + 1]) : -1, low = high < 0 ? -1 : hex(text.p[i + 2]);

            if (low < 0)
                return false;
            c = high * 16 + low;
            i += 2;
        }
        if (c == 0 || n + 1 >= size)
            return false;
        to[n++] = (char)c;
    }
    to[n] = '\0';
    return true;
}

/* Cuts off what is before the mark, and the mark; an empty piece with p NULL when there is no mark. */
static struct slice cut(struct slice *text, char mark)
{
    const char *at = text->n ? memchr(text->p, mark, text->n) : NULL;
    struct slice head = {NULL, 0};

    if (!at)
        return head;
    head = (struct slice){text->p, (size_t)(at - text->p)};
    *text = (struct slice){at + 1, text->n - head.n - 1};
    return head;
}

static bool host_char(char c, bool v6)
{
    return hex(c) >= 0 || c == '.' || (v6 ? c == ':' : c == '-' || c == '_' || ((c | 32) >= 'a' && (c | 32) <= 'z'));
}

static enum status parse_host(struct slice text, struct redis_address *to, struct err *err)
{
    bool v6 = text.n > 0 && text.p[0] == '[';
    struct slice host = text, port = {NULL, 0};
    size_t i;

    if (v6) {
        text = (struct slice){text.p + 1, text.n - 1};
        host = cut(&text, ']');
        port = text;
        if (!host.p || (port.n > 0 && port.p[0] != ':'))
            return bad(err, "an IPv6 address is written as [::1]");
        if (port.n > 0)
            port = (struct slice){port.p + 1, port.n - 1};
        else
            port.p = NULL;
    } else if (text.n > 0 && memchr(text.p, ':', text.n)) {
        host = cut(&text, ':');
        port = text;
    }
    for (i = 0; i < host.n; i++)
        if (!host_char(host.p[i], v6))
            return bad(err, "the host is not a name or an address (other characters of a password are written as %XX)");
    if (host.n == 0 || !slice_copy(host, to->host, sizeof(to->host)))
        return bad(err, host.n == 0 ? "there is no host" : "the host is too long");
    if (port.p && (!number(port, UINT16_MAX, &to->port) || to->port == 0))
        return bad(err, "the port is not a number from 1 to 65535");
    return ST_OK;
}

static enum status parse_tcp(struct slice rest, struct redis_address *to, struct err *err)
{
    struct slice authority = rest, user = {NULL, 0}, password;
    const char *at;

    if (memchr(rest.p, '/', rest.n)) {
        authority = cut(&rest, '/');
        if (rest.n > 0 && !number(rest, REDIS_DB_MAX, &to->db))
            return bad(err, "what is behind the host is not the number of a database ('/' in a password is %2F)");
    }
    at = authority.n > 0 ? memrchr(authority.p, '@', authority.n) : NULL;
    if (at) {
        password = (struct slice){authority.p, (size_t)(at - authority.p)};
        authority = (struct slice){at + 1, authority.n - password.n - 1};
        user = cut(&password, ':');
        if (!user.p || password.n == 0)
            return bad(err, "before '@' stands user:password or :password");
        if (!decode(user, to->user, sizeof(to->user)) || !decode(password, to->password, sizeof(to->password)))
            return bad(err, "user or password have a '%' that is not followed by two hex digits ('%' itself is %25)");
    }
    return parse_host(authority, to, err);
}

static enum status parse_unix(struct slice rest, struct redis_address *to, struct err *err)
{
    struct slice path = cut(&rest, '?');

    if (!path.p)
        path = rest;
    else if (rest.n < 3 || memcmp(rest.p, "db=", 3) != 0 ||
             !number((struct slice){rest.p + 3, rest.n - 3}, REDIS_DB_MAX, &to->db))
        return bad(err, "behind '?' stands db= and the number of a database");
    if (path.n < 2 || path.p[0] != '/')
        return bad(err, "there is no path from the root");
    if (!decode(path, to->path, sizeof(to->path)))
        return bad(err, "the path is too long for a socket, or has a '%' without two hex digits");
    return ST_OK;
}

enum status redis_address_parse(const char *url, struct redis_address *to, struct err *err)
{
    static const char tcp[] = "redis://", tls[] = "rediss://", local[] = "unix://";
    size_t n = strlen(url);

    *to = (struct redis_address){.port = REDIS_PORT};
    if (n > REDIS_URL_MAX)
        return bad(err, "it is too long");
    if (strncmp(url, tls, sizeof(tls) - 1) == 0)
        return err_set(err, ST_BAD_REQUEST,
                       "REDIS_URL: rediss:// (TLS) is not spoken here. Put a TLS tunnel such as stunnel beside authsvc "
                       "and name it as redis://127.0.0.1:port, or use redis:// within a private network");
    if (strncmp(url, tcp, sizeof(tcp) - 1) == 0)
        return parse_tcp(slice_of(url + sizeof(tcp) - 1), to, err);
    if (strncmp(url, local, sizeof(local) - 1) == 0)
        return parse_unix(slice_of(url + sizeof(local) - 1), to, err);
    return bad(err, "this is no address of a Redis server");
}

enum status redis_url_check(const char *url, struct err *err)
{
    struct redis_address at;

    return redis_address_parse(url, &at, err);
}
