#include "gateway/request.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>

#include <civetweb.h>

#include "gateway/list.h"
#include "proto/utf8.h"
#include "services/clock.h"

#define BODY "request's body"
#define UPLOAD "upload"
#define DROP_PIECE 8192u
#define DROP_MAX (64u * 1024u * 1024u) /* bytes read away before an answer; a client that sends more is cut off */

static struct slice trimmed(const char *value)
{
    struct slice s = slice_of(value);

    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* Keeps the first of several. */
static void keep(struct slice *to, const char *value)
{
    if (!to->p)
        *to = trimmed(value);
}

/* Headers that mean something to us, by the first letter of their names: most of a request's are none of them. */
struct wanted {
    const char *name;
    size_t at; /* of its slice in struct request */
};

#define WANTED(name, member)                                                                                           \
    {                                                                                                                  \
        name, offsetof(struct request, member)                                                                         \
    }
static const struct wanted wanted[] = {
    WANTED("authorization", authorization),
    WANTED("accept", accept),
    WANTED("accept-encoding", accept_encoding),
    WANTED("api-key", api_key),
    WANTED("access-control-request-headers", cors_headers),
    WANTED("anthropic-version", anthropic_version),
    WANTED("content-type", content_type),
    WANTED("forwarded", forwarded),
    WANTED("idempotency-key", idempotency_key),
    WANTED("if-none-match", if_none_match),
    WANTED("origin", origin),
    WANTED("x-api-key", x_api_key),
    WANTED("x-router-max-price", max_price),
};

/* Of a client's headers these alone may be seen upstream, beside accept. */
static const char *const passed[] = {"anthropic-version", "anthropic-beta", "openai-beta", "x-client-request-id",
                                     "x-claude-code-session-id"};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool named(const char *name, const char *wanted_name)
{
    return lower(name[0]) == wanted_name[0] && !strcasecmp(name, wanted_name);
}

static bool passes(const char *name)
{
    size_t k;

    for (k = 0; k < sizeof(passed) / sizeof(passed[0]); k++)
        if (named(name, passed[k]))
            return true;
    return false;
}

static void read_header(struct request *r, const struct mg_header *h)
{
    size_t k;

    for (k = 0; k < sizeof(wanted) / sizeof(wanted[0]); k++)
        if (named(h->name, wanted[k].name)) {
            keep((struct slice *)(void *)((char *)r + wanted[k].at), h->value);
            break;
        }
    r->passes |= passes(h->name);
}

/* What the fields named Connection say; there may be several (RFC 9110, section 5.3). civetweb lets a connection go on
 * by the first of them alone, and ends one where "upgrade" stands anywhere: no answer may promise more than it does. */
struct persistence {
    bool said, stays, ends;
};

static void read_connection(struct persistence *p, const char *value)
{
    p->stays |= !p->said && list_has(slice_of(value), "keep-alive");
    p->ends |= list_has(slice_of(value), "close") || strcasestr(value, "upgrade");
    p->said = true;
}

static void read_headers(struct request *r, const struct mg_request_info *info)
{
    struct persistence p = {.said = false};
    int i;

    for (i = 0; i < info->num_headers; i++) {
        const struct mg_header *h = &info->http_headers[i];

        if (named(h->name, "connection"))
            read_connection(&p, h->value);
        else if (named(h->name, "transfer-encoding"))
            r->chunked = true;
        else if (named(h->name, "expect"))
            r->expects |= list_has(slice_of(h->value), "100-continue");
        else if (named(h->name, "x-forwarded-for"))
            r->forwarded_for = trimmed(h->value); /* the last: a proxy's own may follow the client's */
        else
            read_header(r, h);
    }
    r->keep_alive = (p.said ? p.stays : !r->http10) && !p.ends;
}

/* Fit for a message: printable ASCII, not too long. */
static bool plain(struct slice s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    return s.n > 0 && s.n <= LIMIT_HEADER;
}

static void pass(struct http_header *headers, size_t *n, struct slice name, struct slice value)
{
    if (*n < REQUEST_PASSED_MAX && plain(value))
        headers[(*n)++] = (struct http_header){.name = name, .value = value};
}

const struct http_header *request_passed(struct request *r, bool accept, size_t *ret_n)
{
    const struct mg_request_info *info;
    struct http_header *headers;
    size_t k;
    int i;

    *ret_n = 0;
    if (!r->passes && !(accept && r->accept.n))
        return NULL;
    headers = arena_alloc(r->arena, REQUEST_PASSED_MAX * sizeof(*headers));
    if (!headers)
        return NULL;
    if (accept)
        pass(headers, ret_n, slice_of("accept"), r->accept);
    info = mg_get_request_info(r->http);
    for (i = 0; r->passes && i < info->num_headers; i++)
        for (k = 0; k < sizeof(passed) / sizeof(passed[0]); k++)
            if (named(info->http_headers[i].name, passed[k]))
                pass(headers, ret_n, slice_of(passed[k]), trimmed(info->http_headers[i].value));
    return headers;
}

static bool begins(struct slice s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && !memcmp(s.p, with, n);
}

void request_init(struct request *r, struct conn *c, struct mg_connection *http)
{
    const struct mg_request_info *info = mg_get_request_info(http);

    *r = (struct request){.gw = c->gw, .conn = c, .http = http, .arena = &c->arena, .began_ns = clock_ns()};
    id_request(r->id);
    r->method = slice_of(info->request_method);
    r->path = slice_of(info->local_uri_raw);
    r->query = slice_of(info->query_string);
    r->http10 = !strcmp(info->http_version, "1.0");
    r->head = slice_is(r->method, "HEAD");
    r->anthropic = begins(r->path, "/v1/messages");
    r->content_length = info->content_length;
    read_headers(r, info);
    r->client_ip = proxies_client(&c->gw->proxies, slice_of(info->remote_addr), r->forwarded_for);
    if (c->tap.guard.verdict != GUARD_OK || c->over_limit || svc_draining(c->gw->svc))
        r->keep_alive = false; /* what follows must not be answered, or not here */
    r->body_read = !r->chunked && r->content_length <= 0;
}

void request_forget_body(struct request *r)
{
    struct buf *b = &r->conn->body;

    if (r->body_held)
        atomic_fetch_sub(&r->gw->body_bytes, r->body_held);
    r->body_held = 0;
    r->body = (struct slice){NULL, 0};
    b->n = 0;
    if (b->cap > GATEWAY_KEEP_BYTES)
        buf_fini(b); /* may be used again: it is empty and keeps its ceiling */
}

void request_fini(struct request *r)
{
    request_forget_body(r);
    if (r->conn->out.cap > GATEWAY_KEEP_BYTES)
        buf_fini(&r->conn->out);
    r->conn->out.n = 0;
    arena_reset(r->arena);
}

/* ---- the body ---------------------------------------------------------------------------------------------------- */

static void say_continue(struct request *r)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char copy[sizeof(text) - 1];
    struct iovec part = {copy, sizeof(copy)};

    if (!r->expects || r->http10)
        return;
    r->expects = false;
    memcpy(copy, text, sizeof(copy));
    conn_write(r->conn, &part, 1);
}

bool request_slow(const struct request *r)
{
    return r->conn->tap.slow || (!r->conn->tap.ended && !r->conn->tap.refused);
}

/* After a body that did not come whole nothing on this connection can be understood. */
static enum status broken_body(struct request *r, struct err *err)
{
    r->keep_alive = false;
    r->body_read = true;
    if (r->conn->tap.ended || r->conn->tap.refused)
        r->quiet = true;
    return err_set(err, ST_CANCELLED, "The request's body did not come in time.");
}

static enum status no_room(struct err *err)
{
    return err_set(err, ST_UNAVAILABLE, "There is no room for the request's body now. Try again later.");
}

static enum status too_large(const char *what, uint64_t max, struct err *err)
{
    return err_set(err, ST_TOO_LARGE, "The %s is larger than %llu bytes.", what, (unsigned long long)max);
}

static enum status hold_bytes(struct request *r, size_t n, struct err *err)
{
    if (atomic_fetch_add(&r->gw->body_bytes, n) + n > GATEWAY_BODIES_MAX) {
        atomic_fetch_sub(&r->gw->body_bytes, n);
        return no_room(err);
    }
    r->body_held += n;
    return ST_OK;
}

/* Before more of a body is taken than anybody may send. */
static enum status ask_vouch(struct request *r, struct err *err)
{
    enum status st;

    if (!r->vouch || r->vouched)
        return ST_OK;
    st = r->vouch(r, err);
    r->vouched = true;
    r->stranger = st != ST_OK;
    return st;
}

/* For twice of what has come, `most` at most: who promises much and sends little takes little. REQUEST_SMALL bytes are
 * the connection's own, which keeps them from request to request. */
static enum status make_room(struct request *r, size_t most, size_t *ret, struct err *err)
{
    struct buf *b = &r->conn->body;
    size_t size = b->n ? b->n * 2 : REQUEST_SMALL;
    enum status st = ST_OK;

    if (size > most)
        size = most;
    if (size > REQUEST_SMALL)
        st = ask_vouch(r, err);
    if (st == ST_OK && size > REQUEST_SMALL)
        st = hold_bytes(r, size - r->body_held, err);
    if (st != ST_OK)
        return st;
    *ret = size - b->n;
    return buf_reserve(b, *ret) == ST_OK ? ST_OK : no_room(err);
}

/* Of a chunked body, whose length nobody knows, one byte more than may come. */
static enum status read_pieces(struct request *r, size_t max, struct err *err)
{
    struct buf *b = &r->conn->body;
    size_t most = r->chunked ? max + 1 : (size_t)r->content_length;

    while (b->n < most) {
        size_t want = 0;
        enum status st = make_room(r, most, &want, err);
        int got;

        if (st != ST_OK)
            return st;
        got = mg_read(r->http, b->p + b->n, want);
        if (got < 0 || (!r->chunked && (size_t)got < want))
            return broken_body(r, err);
        b->n += (size_t)got;
        if ((size_t)got < want) {
            if (r->conn->tap.ended || r->conn->tap.refused || r->conn->tap.slow)
                return broken_body(r, err); /* after the last chunk, before its end */
            break;
        }
    }
    return r->chunked && b->n == most ? too_large(BODY, max, err) : ST_OK;
}

/* Before the first byte of it. what: its name for people. */
static enum status begin_body(struct request *r, const char *what, uint64_t max, struct err *err)
{
    enum status st = ST_OK;

    if (!r->chunked && (uint64_t)r->content_length > max)
        return too_large(what, max, err);
    if (!r->chunked && (uint64_t)r->content_length > REQUEST_SMALL)
        st = ask_vouch(r, err);
    if (st != ST_OK)
        return st;
    say_continue(r);
    tap_body_begin(&r->conn->tap);
    return ST_OK;
}

enum status request_read_body(struct request *r, size_t max, struct err *err)
{
    enum status st;

    if (r->body_read)
        return ST_OK;
    st = begin_body(r, BODY, max, err);
    if (st == ST_OK) {
        st = read_pieces(r, max, err);
        tap_body_end(&r->conn->tap);
    }
    if (st != ST_OK) {
        request_forget_body(r);
        return st;
    }
    r->body = (struct slice){r->conn->body.p, r->conn->body.n};
    r->body_read = true;
    return ST_OK;
}

/* ST_TOO_LARGE: nothing of it, or not all, was handed over. */
static enum status pass_pieces(struct request *r, uint64_t max,
                               enum status (*take)(void *ctx, struct slice piece, struct err *err), void *ctx,
                               struct err *err)
{
    struct buf *b = &r->conn->body;
    uint64_t total = 0;

    if (buf_reserve(b, REQUEST_SMALL) != ST_OK)
        return err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
    for (;;) {
        uint64_t left = r->chunked ? REQUEST_SMALL : (uint64_t)r->content_length - total;
        size_t want = left < REQUEST_SMALL ? (size_t)left : REQUEST_SMALL;
        enum status st = total ? ask_vouch(r, err) : ST_OK;
        int got;

        if (st != ST_OK)
            return st;
        got = want ? mg_read(r->http, b->p, want) : 0;
        if (got < 0 || (!r->chunked && (size_t)got < want))
            return broken_body(r, err);
        total += (uint64_t)got;
        if (total > max)
            return too_large(UPLOAD, max, err);
        st = got ? take(ctx, (struct slice){b->p, (size_t)got}, err) : ST_OK;
        if (st != ST_OK)
            return st;
        if (!r->chunked ? total == (uint64_t)r->content_length : (size_t)got < want)
            break;
    }
    if (r->chunked && (r->conn->tap.ended || r->conn->tap.refused || r->conn->tap.slow))
        return broken_body(r, err); /* after the last chunk, before its end */
    return ST_OK;
}

enum status request_pass_body(struct request *r, uint64_t max,
                              enum status (*take)(void *ctx, struct slice piece, struct err *err), void *ctx,
                              struct err *err)
{
    enum status st;

    if (r->body_read)
        return ST_OK;
    st = begin_body(r, UPLOAD, max, err);
    if (st != ST_OK)
        return st;
    st = pass_pieces(r, max, take, ctx, err);
    tap_body_end(&r->conn->tap);
    request_forget_body(r);
    r->body_read |= st == ST_OK;
    return st;
}

/* Not worth the wait: the client has not sent it yet, it is too much, or nobody vouches for it. */
static bool left_unread(const struct request *r)
{
    if (r->expects || (!r->chunked && (uint64_t)r->content_length > DROP_MAX))
        return true;
    return r->stranger && (r->chunked || (uint64_t)r->content_length > REQUEST_SMALL);
}

void request_drop_body(struct request *r)
{
    char piece[DROP_PIECE];
    size_t total = 0;

    if (r->body_read)
        return;
    if (left_unread(r)) {
        r->keep_alive = false;
        return;
    }
    tap_body_begin(&r->conn->tap);
    while (total < DROP_MAX) {
        int got = mg_read(r->http, piece, sizeof(piece));

        if (got <= 0) {
            r->body_read = got == 0;
            break;
        }
        total += (size_t)got;
    }
    tap_body_end(&r->conn->tap);
    if (!r->chunked)
        r->body_read = total == (size_t)r->content_length;
    if (!r->body_read)
        r->keep_alive = false;
    if (r->conn->tap.refused || r->conn->tap.ended)
        r->quiet = r->conn->tap.refused;
}

/* ---- credentials, decoding --------------------------------------------------------------------------------------- */

struct slice request_bearer(const struct request *r)
{
    static const char scheme[] = "bearer";
    struct slice s = r->authorization;
    size_t n = sizeof(scheme) - 1;

    if (s.n <= n || strncasecmp(s.p, scheme, n) != 0 || s.p[n] != ' ')
        return (struct slice){NULL, 0};
    s.p += n;
    s.n -= n;
    while (s.n && *s.p == ' ') {
        s.p++;
        s.n--;
    }
    return s;
}

struct slice request_key(const struct request *r)
{
    struct slice s = request_bearer(r);

    if (!s.n)
        s = r->x_api_key;
    return s.n ? s : r->api_key;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool request_decode(struct slice text, bool plus, char *to, size_t size, struct slice *ret)
{
    size_t i, n = 0;

    for (i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == '%') {
            int high = i + 2 < text.n ? hex_value(text.p[i + 1]) : -1;
            int low = high >= 0 ? hex_value(text.p[i + 2]) : -1;

            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (n == size)
            return false;
        to[n++] = c;
    }
    *ret = (struct slice){to, n};
    return utf8_valid(to, n);
}
