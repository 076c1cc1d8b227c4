#include "http.h"

#include <string.h>
#include <strings.h>

static bool name_is(const char *p, size_t n, const char *name)
{
    return n == strlen(name) && strncasecmp(p, name, n) == 0;
}

static bool value_has(const char *p, size_t n, const char *word)
{
    size_t w = strlen(word);

    for (size_t i = 0; i + w <= n; i++) {
        if (strncasecmp(p + i, word, w) == 0)
            return true;
    }
    return false;
}

static bool parse_length(const char *p, size_t n, int64_t *ret)
{
    int64_t v = 0;

    if (n == 0 || n > 15)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (p[i] - '0');
    }
    *ret = v;
    return true;
}

static bool parse_request_line(const char *p, size_t n, struct http_head *h)
{
    const char *sp = memchr(p, ' ', n);
    const char *target = NULL;
    const char *sp2 = NULL;
    const char *query = NULL;

    if (!sp || sp == p)
        return false;
    target = sp + 1;
    sp2 = memchr(target, ' ', n - (size_t)(target - p));
    if (!sp2 || target == sp2 || *target != '/')
        return false;
    if ((size_t)(p + n - sp2) != 9 || memcmp(sp2, " HTTP/1.", 8) != 0)
        return false;
    if (sp2[8] != '0' && sp2[8] != '1')
        return false;
    query = memchr(target, '?', (size_t)(sp2 - target));
    h->method = (struct http_place){0, (size_t)(sp - p)};
    h->path = (struct http_place){(size_t)(target - p), (size_t)((query ? query : sp2) - target)};
    h->minor = sp2[8] - '0';
    h->keep_alive = h->minor == 1;
    return true;
}

static bool take_field(const char *base, const char *name, size_t name_n, struct http_place v, struct http_head *h)
{
    const char *p = base + v.at;

    if (name_is(name, name_n, "content-length")) {
        if (h->content_n >= 0)
            return false;
        return parse_length(p, v.n, &h->content_n);
    }
    if (name_is(name, name_n, "transfer-encoding")) {
        if (h->chunked || !name_is(p, v.n, "chunked"))
            return false;
        h->chunked = true;
    } else if (name_is(name, name_n, "connection")) {
        if (value_has(p, v.n, "close"))
            h->keep_alive = false;
        else if (value_has(p, v.n, "keep-alive"))
            h->keep_alive = true;
    } else if (name_is(name, name_n, "expect")) {
        h->expects_continue = value_has(p, v.n, "100-continue");
    } else if (name_is(name, name_n, "authorization")) {
        h->authorization = v;
    } else if (name_is(name, name_n, "x-client-request-id")) {
        h->client_request_id = v;
    }
    return true;
}

static bool parse_field(const char *base, const char *line, size_t n, struct http_head *h)
{
    const char *colon = memchr(line, ':', n);
    const char *v = NULL;
    const char *end = line + n;

    if (!colon || colon == line || colon[-1] == ' ' || *line == ' ' || *line == '\t')
        return false;
    v = colon + 1;
    while (v < end && (*v == ' ' || *v == '\t'))
        v++;
    while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return take_field(base, line, (size_t)(colon - line), (struct http_place){(size_t)(v - base), (size_t)(end - v)},
                      h);
}

int http_parse_head(const char *p, size_t n, struct http_head *h)
{
    const char *end = n > 0 ? memmem(p, n, "\r\n\r\n", 4) : NULL;
    const char *line = NULL;
    const char *eol = NULL;

    if (!end)
        return 0;
    *h = (struct http_head){.content_n = -1, .head_n = (size_t)(end - p) + 4};
    eol = memmem(p, h->head_n, "\r\n", 2);
    if (!eol || !parse_request_line(p, (size_t)(eol - p), h))
        return -1;
    for (line = eol + 2; line < end; line = eol + 2) {
        eol = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        if (!eol || !parse_field(p, line, (size_t)(eol - line), h))
            return -1;
    }
    if (h->chunked && h->content_n >= 0)
        return -1;
    return 1;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One byte of a chunk's size line. Returns false when malformed. */
static bool size_byte(struct http_chunks *d, char c)
{
    int v = hex_digit(c);

    if (v >= 0 && d->state == HTTP_CHUNK_SIZE) {
        d->left = d->left * 16 + (size_t)v;
        return ++d->digits <= 8;
    }
    if (d->digits == 0)
        return false;
    if (c == '\n') {
        d->state = d->left > 0 ? HTTP_CHUNK_BYTES : HTTP_CHUNK_TRAILER;
        d->digits = 0;
        return true;
    }
    if (c != '\r' && c != ';' && c != ' ' && d->state == HTTP_CHUNK_SIZE)
        return false;
    d->state = HTTP_CHUNK_EXTENSION;
    return true;
}

/* One byte outside a chunk's bytes. Returns 1 at the end of the body, -1 when malformed. */
static int frame_byte(struct http_chunks *d, char c)
{
    switch (d->state) {
    case HTTP_CHUNK_SIZE:
    case HTTP_CHUNK_EXTENSION: return size_byte(d, c) ? 0 : -1;
    case HTTP_CHUNK_END:
        if (c == '\n')
            d->state = HTTP_CHUNK_SIZE;
        return c == '\n' || c == '\r' ? 0 : -1;
    case HTTP_CHUNK_TRAILER:
        if (c == '\n')
            return 1;
        if (c != '\r')
            d->state = HTTP_CHUNK_TRAILER_LINE;
        return 0;
    case HTTP_CHUNK_TRAILER_LINE:
        if (c == '\n')
            d->state = HTTP_CHUNK_TRAILER;
        return 0;
    case HTTP_CHUNK_BYTES: break;
    }
    return -1;
}

int http_dechunk(struct http_chunks *d, char *p, size_t n, size_t *from, size_t *to)
{
    while (*from < n) {
        int r;

        if (d->state == HTTP_CHUNK_BYTES) {
            size_t take = n - *from < d->left ? n - *from : d->left;

            memmove(p + *to, p + *from, take);
            *to += take;
            *from += take;
            d->left -= take;
            if (d->left == 0)
                d->state = HTTP_CHUNK_END;
            continue;
        }
        r = frame_byte(d, p[(*from)++]);
        if (r != 0)
            return r;
    }
    return 0;
}
