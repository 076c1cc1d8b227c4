#include "providersvc/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "providersvc/header.h"

#define PATH_MAX_BYTES 4096
#define URL_MAX (UPSTREAM_URL_MAX + PATH_MAX_BYTES)
#define FIELD_TEXT 2048 /* room for the values of kept headers */
/* An answer may take minutes, so silence says nothing. A host that is gone or cut off is noticed because its kernel no
 * longer acknowledges: neither what was sent nor these probes (tcp(7), TCP_USER_TIMEOUT). */
#define UNHEARD_MS 60000
#define PROBE_S 15L

/* What libcurl wants to hear of a socket, and what epoll has been told. They differ within a turn only, or when a kept
 * connection of ours rests: then epoll keeps its registration, which saves two calls a request. */
struct sock {
    bool ours; /* made by our callback, so that its end is seen too */
    bool dirty;
    uint8_t want, have;
};

struct http_transfer {
    struct http *http;
    struct http_transfer *next; /* in the pool, or of all */
    CURL *easy;
    struct upstream *upstream;
    const char *method;
    bool has_body;
    char path[PATH_MAX_BYTES]; /* the URL's, as it is set */
    const struct http_events *events;
    void *ctx;
    struct slice body;
    size_t body_at;
    uint64_t body_left; /* of an upload, not yet taken */
    bool uploads; /* the body comes in pieces */
    bool starved; /* libcurl was told to wait for the next one */
    bool read_body; /* libcurl has taken some of the body */
    bool forbidden; /* an address was refused */
    bool active;
    struct curl_slist lines[HTTP_LINES_MAX];
    size_t n_lines, text_n;
    char text[HTTP_LINES_TEXT];
    char why[CURL_ERROR_SIZE];
    struct http_answer answer;
    char fields[FIELD_TEXT];
    size_t fields_n;
};

struct http {
    struct http_options options;
    const char *ca_file; /* of the environment; NULL = the system's */
    CURLM *multi;
    struct timer timer;
    struct sock *socks;
    int *dirty;
    size_t n_socks, n_dirty, cap_dirty;
    struct http_transfer *pool[UPSTREAMS_MAX];
    unsigned pooled[UPSTREAMS_MAX];
    struct http_transfer **all; /* every transfer made, for http_free */
    size_t n_all, cap_all;
};

static struct http *http_of_timer(struct timer *t)
{
    return (struct http *)(void *)((char *)t - offsetof(struct http, timer));
}

/* ---- sockets -------------------------------------------------------------------------------------------------------
 */

static struct sock *sock_of(struct http *h, curl_socket_t fd)
{
    size_t n = h->n_socks == 0 ? 256 : h->n_socks;
    struct sock *socks;

    if ((size_t)fd < h->n_socks)
        return &h->socks[fd];
    while (n <= (size_t)fd)
        n *= 2;
    socks = realloc(h->socks, n * sizeof(*socks));
    if (socks == NULL)
        return NULL;
    memset(socks + h->n_socks, 0, (n - h->n_socks) * sizeof(*socks));
    h->socks = socks;
    h->n_socks = n;
    return &socks[fd];
}

static bool mark_dirty(struct http *h, int fd, struct sock *s)
{
    if (s->dirty)
        return true;
    if (h->n_dirty == h->cap_dirty) {
        size_t cap = h->cap_dirty == 0 ? 64 : h->cap_dirty * 2;
        int *dirty = realloc(h->dirty, cap * sizeof(*dirty));

        if (dirty == NULL)
            return false;
        h->dirty = dirty;
        h->cap_dirty = cap;
    }
    h->dirty[h->n_dirty++] = fd;
    s->dirty = true;
    return true;
}

static void tell_epoll(struct http *h, int fd, struct sock *s, uint8_t want)
{
    struct epoll_event ev = {.data.fd = fd};
    int op = s->have == 0 ? EPOLL_CTL_ADD : want == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (want == s->have)
        return;
    if ((want & CURL_POLL_IN) != 0)
        ev.events |= EPOLLIN;
    if ((want & CURL_POLL_OUT) != 0)
        ev.events |= EPOLLOUT;
    if (epoll_ctl(h->options.epoll, op, fd, &ev) != 0 && op == EPOLL_CTL_MOD && errno == ENOENT)
        (void)epoll_ctl(h->options.epoll, EPOLL_CTL_ADD, fd, &ev);
    s->have = want;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
    struct http *h = userp;
    struct sock *s = sock_of(h, fd);

    (void)easy;
    (void)socketp;
    if (s == NULL)
        return -1;
    s->want = what == CURL_POLL_REMOVE ? 0 : (uint8_t)what;
    /* libcurl closes sockets of its own (of the resolver) without a word: no lazy books for those */
    if (!s->ours || !mark_dirty(h, fd, s))
        tell_epoll(h, fd, s, s->want);
    return 0;
}

void http_settle(struct http *h)
{
    for (size_t i = 0; i < h->n_dirty; i++) {
        struct sock *s = &h->socks[h->dirty[i]];

        s->dirty = false;
        if (s->ours && s->want != 0)
            tell_epoll(h, h->dirty[i], s, s->want);
    }
    h->n_dirty = 0;
}

void http_socket_event(struct http *h, int fd, uint32_t epoll_events)
{
    struct sock *s = sock_of(h, fd);
    int mask = 0, running = 0;

    if (s == NULL)
        return;
    if (s->want == 0) { /* a resting connection: libcurl looks at it when it wants it again */
        tell_epoll(h, fd, s, 0);
        return;
    }
    if ((epoll_events & EPOLLIN) != 0)
        mask |= CURL_CSELECT_IN;
    if ((epoll_events & EPOLLOUT) != 0)
        mask |= CURL_CSELECT_OUT;
    if ((epoll_events & (EPOLLERR | EPOLLHUP)) != 0)
        mask |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
    curl_multi_socket_action(h->multi, fd, mask, &running);
}

static curl_socket_t open_socket(void *clientp, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_transfer *t = clientp;
    unsigned unheard = UNHEARD_MS;
    struct sock *s;
    int fd;

    if (purpose != CURLSOCKTYPE_IPCXN || address_reach(&address->addr) > t->upstream->reach) {
        t->forbidden = true;
        return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    s = sock_of(t->http, fd);
    if (s == NULL) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    s->ours = true;
    s->want = s->have = 0;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard, sizeof(unheard));
    return fd;
}

/* A kept connection may have been made for a provider that was allowed more. */
static int before_request(void *clientp, char *remote, char *local, int remote_port, int local_port)
{
    struct http_transfer *t = clientp;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    enum address_reach reach = ADDRESS_NEVER;

    (void)local;
    (void)remote_port;
    (void)local_port;
    if (inet_pton(AF_INET, remote, &in.sin_addr) == 1)
        reach = address_reach((const struct sockaddr *)&in);
    else if (inet_pton(AF_INET6, remote, &in6.sin6_addr) == 1)
        reach = address_reach((const struct sockaddr *)&in6);
    t->forbidden = reach > t->upstream->reach;
    return t->forbidden ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int close_socket(void *clientp, curl_socket_t fd)
{
    struct http *h = clientp;
    struct sock *s = sock_of(h, fd);

    if (s != NULL) {
        s->ours = false; /* epoll forgets a closed socket by itself */
        s->want = s->have = 0;
    }
    return close(fd);
}

/* ---- time ----------------------------------------------------------------------------------------------------------
 */

static int on_timer(CURLM *multi, long timeout_ms, void *userp)
{
    struct http *h = userp;

    (void)multi;
    if (timeout_ms < 0)
        timers_clear(h->options.timers, &h->timer);
    else
        timers_set(h->options.timers, &h->timer, *h->options.now_ms + (uint64_t)timeout_ms);
    return 0;
}

static void timer_fired(struct timer *t)
{
    http_kick(http_of_timer(t));
}

void http_kick(struct http *h)
{
    int running = 0;

    curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

/* ---- a transfer's callbacks
 * ------------------------------------------------------------------------------------------ */

static size_t read_body(char *to, size_t size, size_t n, void *userp)
{
    struct http_transfer *t = userp;
    size_t most = size * n, left = t->body.n - t->body_at;

    if (t->uploads && left == 0 && t->body_left > 0) {
        if (t->starved) /* it is on its way */
            return CURL_READFUNC_PAUSE;
        t->starved = true;
        t->events->want(t->ctx);
        left = t->body.n - t->body_at;
        if (left == 0)
            return CURL_READFUNC_PAUSE;
        t->starved = false;
    }
    if (most > left)
        most = left;
    if (most > 0)
        memcpy(to, t->body.p + t->body_at, most);
    t->body_at += most;
    if (t->uploads)
        t->body_left -= most;
    t->read_body = true;
    return most;
}

static void keep_header(struct http_transfer *t, const char *name, struct slice value)
{
    struct http_answer *a = &t->answer;

    if (a->n_headers == HTTP_HEADERS_KEPT || value.n == 0 || value.n > sizeof(t->fields) - t->fields_n ||
        !upstream_header_safe(value))
        return;
    memcpy(t->fields + t->fields_n, value.p, value.n);
    a->headers[a->n_headers++] =
        (struct http_header){.name = slice_of(name), .value = {t->fields + t->fields_n, value.n}};
    t->fields_n += value.n;
}

static void read_header(struct http_transfer *t, struct slice line)
{
    /* upstream's name, the name under which the client sees it: its request id must not hide ours */
    static const char *const kept[][2] = {
        {"x-request-id", "x-upstream-request-id"},
        {"request-id", "x-upstream-request-id"},
        {"openai-version", "openai-version"},
        {"openai-model", "openai-model"},
        {"x-generation-id", "x-generation-id"},
        {"content-disposition", "content-disposition"},
        {"x-should-retry", "x-should-retry"},
        {"anthropic-ratelimit-unified-status", "anthropic-ratelimit-unified-status"},
        {"anthropic-ratelimit-unified-reset", "anthropic-ratelimit-unified-reset"},
    };
    struct slice v;

    if (header_named(line, "content-type", &v)) {
        if (upstream_header_safe(v)) /* it is shown to the client; a lone CR would be a line's end to some */
            (void)slice_copy(v, t->answer.content_type, sizeof(t->answer.content_type));
    } else if (header_named(line, "retry-after-ms", &v)) {
        t->answer.retry_after_ms = header_wait_ms(v, 1);
    } else if (header_named(line, "retry-after", &v)) {
        if (t->answer.retry_after_ms == 0)
            t->answer.retry_after_ms = header_wait_ms(v, 1000);
    } else {
        for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
            if (header_named(line, kept[i][0], &v))
                keep_header(t, kept[i][1], v);
    }
}

static void reset_answer(struct http_transfer *t)
{
    t->answer.status = 0;
    t->answer.retry_after_ms = 0;
    t->answer.content_type[0] = '\0';
    t->answer.n_headers = 0;
    t->fields_n = 0;
}

static size_t on_header(char *p, size_t size, size_t n, void *userp)
{
    struct http_transfer *t = userp;
    struct slice line = {p, size * n};

    if (line.n >= 12 && strncasecmp(p, "HTTP/", 5) == 0) { /* also after a 100 or 103 */
        const char *space = memchr(p, ' ', line.n);

        reset_answer(t);
        if (space != NULL && (size_t)(p + line.n - space) > 3)
            t->answer.status =
                (unsigned)(space[1] - '0') * 100 + (unsigned)(space[2] - '0') * 10 + (unsigned)(space[3] - '0');
    } else {
        read_header(t, line);
    }
    return line.n;
}

static size_t on_data(char *p, size_t size, size_t n, void *userp)
{
    struct http_transfer *t = userp;

    switch (t->events->data(t->ctx, &t->answer, (struct slice){p, size * n})) {
    case HTTP_TAKEN: return size * n;
    case HTTP_PAUSE: return CURL_WRITEFUNC_PAUSE;
    case HTTP_ABORT: break;
    }
    return size * n == 0 ? 1 : 0;
}

/* ---- handles -------------------------------------------------------------------------------------------------------
 */

/* What holds for a handle for ever. */
static bool set_up(struct http_transfer *t)
{
    CURL *e = t->easy;
    CURLcode r = CURLE_OK;

    r |= curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    r |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    r |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, t->upstream->https ? "https" : "http");
    r |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    r |= curl_easy_setopt(e, CURLOPT_UNRESTRICTED_AUTH, 0L);
    r |= curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    r |= curl_easy_setopt(e, CURLOPT_PROXY, "");
    r |= curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    r |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    r |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    if (t->http->ca_file != NULL)
        r |= curl_easy_setopt(e, CURLOPT_CAINFO, t->http->ca_file);
    r |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    r |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    r |= curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, PROBE_S);
    r |= curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, PROBE_S);
    r |= curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)HTTP_CONNECTION_AGE_S);
    r |= curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)HTTP_BUFFER);
    r |= curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)HTTP_BUFFER);
    r |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)t->upstream->connect_ms);
    r |= curl_easy_setopt(e, CURLOPT_USERAGENT, "openai-router");
    r |= curl_easy_setopt(e, CURLOPT_READFUNCTION, read_body); /* and no seek: the body cannot be sent twice */
    r |= curl_easy_setopt(e, CURLOPT_READDATA, t);
    r |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    r |= curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    r |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
    r |= curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    r |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->why);
    r |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    r |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    r |= curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_request);
    r |= curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    r |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    r |= curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, t->http);
    return r == CURLE_OK;
}

static bool add_line(struct http_transfer *t, const char *name, struct slice value)
{
    size_t n = strlen(name);
    struct curl_slist *line = &t->lines[t->n_lines];

    if (t->n_lines == HTTP_LINES_MAX || t->text_n + n + value.n + 1 > sizeof(t->text) || !upstream_header_safe(value))
        return false;
    line->data = t->text + t->text_n;
    memcpy(line->data, name, n);
    if (value.n > 0)
        memcpy(line->data + n, value.p, value.n);
    line->data[n + value.n] = '\0';
    t->text_n += n + value.n + 1;
    line->next = NULL;
    if (t->n_lines > 0)
        t->lines[t->n_lines - 1].next = line;
    t->n_lines++;
    return true;
}

/* auth is a line with one %s. */
static bool add_secret(struct http_transfer *t, const char *auth, const char *secret)
{
    char name[64];
    size_t n = strcspn(auth, "%");

    if (secret[0] == '\0')
        return true;
    if (n >= sizeof(name))
        return false;
    memcpy(name, auth, n);
    name[n] = '\0';
    return add_line(t, name, slice_of(secret));
}

static bool has_body(const struct http_request *r)
{
    return r->body.n > 0 || r->upload_bytes > 0;
}

static bool set_lines(struct http_transfer *t, const struct http_request *r)
{
    static const struct slice none = {NULL, 0};
    struct slice json = slice_of("application/json");
    char name[LIMIT_NAME + 3];
    bool accept = false, ok;

    t->n_lines = t->text_n = 0;
    ok = add_secret(t, r->auth, r->secret);
    if (!has_body(r))
        ok = ok && add_line(t, "Content-Type:", none); /* libcurl would call an empty body a form */
    else
        ok = ok && add_line(t, "Content-Type: ", r->content_type.n > 0 ? r->content_type : json);
    ok = ok && add_line(t, "Expect:", none); /* it would cost a round trip */
    ok = ok && add_line(t, "X-Client-Request-Id: ", r->request_id);
    for (size_t i = 0; ok && i < r->n_headers; i++) {
        int n = snprintf(name, sizeof(name), SLICE_FMT ": ", SLICE_ARG(r->headers[i].name));

        accept |= slice_is(r->headers[i].name, "accept");
        ok = n > 0 && (size_t)n < sizeof(name) && upstream_header_safe(r->headers[i].name) &&
             add_line(t, name, r->headers[i].value);
    }
    if (ok && !accept)
        ok = add_line(t, "Accept: ", slice_of(r->stream ? "text/event-stream" : "application/json"));
    return ok;
}

static bool remember(struct http *h, struct http_transfer *t)
{
    if (h->n_all == h->cap_all) {
        size_t cap = h->cap_all == 0 ? 64 : h->cap_all * 2;
        struct http_transfer **all = realloc(h->all, cap * sizeof(struct http_transfer *));

        if (all == NULL)
            return false;
        h->all = all;
        h->cap_all = cap;
    }
    h->all[h->n_all++] = t;
    return true;
}

static void free_transfer(struct http *h, struct http_transfer *t)
{
    for (size_t i = h->n_all; i-- > 0;) {
        if (h->all[i] != t)
            continue;
        h->all[i] = h->all[--h->n_all];
        break;
    }
    curl_easy_cleanup(t->easy);
    explicit_bzero(t->text, sizeof(t->text)); /* the key */
    upstream_unref(t->upstream);
    free(t);
}

static struct http_transfer *make_transfer(struct http *h, struct upstream *p)
{
    struct http_transfer *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->http = h;
    t->upstream = upstream_ref(p);
    t->easy = curl_easy_init();
    if (t->easy == NULL || !set_up(t) || !remember(h, t)) {
        curl_easy_cleanup(t->easy);
        upstream_unref(p);
        free(t);
        return NULL;
    }
    return t;
}

/* Handles of a provider that has been changed meanwhile are not used again. */
static struct http_transfer *take_transfer(struct http *h, struct upstream *p)
{
    unsigned i = p->seat->index;

    while (h->pool[i] != NULL) {
        struct http_transfer *t = h->pool[i];

        h->pool[i] = t->next;
        h->pooled[i]--;
        if (t->upstream == p)
            return t;
        free_transfer(h, t);
    }
    return make_transfer(h, p);
}

/* A handle whose transfer did not end well is not used again: libcurl 8 keeps the wish to send a body again (a kept
 * connection was lost) beyond the transfer, cannot fulfil it, and every later transfer of that handle fails. */
static void give_transfer(struct http *h, struct http_transfer *t, bool ended_well)
{
    unsigned i = t->upstream->seat->index;

    t->active = false;
    t->events = NULL;
    if (!ended_well || h->pooled[i] >= HTTP_POOL_MAX || atomic_load(&t->upstream->gone)) {
        free_transfer(h, t);
        return;
    }
    t->next = h->pool[i];
    h->pool[i] = t;
    h->pooled[i]++;
}

void http_sweep(struct http *h)
{
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++) {
        struct http_transfer **at = &h->pool[i];

        while (*at != NULL) {
            struct http_transfer *t = *at;

            if (!atomic_load(&t->upstream->gone)) {
                at = &t->next;
                continue;
            }
            *at = t->next;
            h->pooled[i]--;
            free_transfer(h, t);
        }
    }
}

static CURLcode set_method(struct http_transfer *t, const struct http_request *r)
{
    const char *method = r->method != NULL ? r->method : "POST";
    bool body =
        has_body(r) || (strcmp(method, "GET") != 0 && strcmp(method, "DELETE") != 0); /* else no length is said */
    const char *own = body ? "POST" : "GET"; /* what libcurl would say */
    CURLcode code = CURLE_OK;

    if (t->method == NULL || t->has_body != body || strcmp(t->method, method) != 0) {
        code |= curl_easy_setopt(t->easy, body ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
        code |= curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, strcmp(method, own) == 0 ? NULL : method);
        t->method = method;
        t->has_body = body;
    }
    if (body)
        code |= curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                 (curl_off_t)(r->upload_bytes > 0 ? r->upload_bytes : r->body.n));
    return code;
}

static bool prepare(struct http_transfer *t, const struct http_request *r)
{
    char url[URL_MAX];
    CURLcode code = CURLE_OK;

    t->events = r->events;
    t->ctx = r->ctx;
    t->body = r->body;
    t->body_at = 0;
    t->uploads = r->upload_bytes > 0;
    t->body_left = r->upload_bytes;
    t->read_body = t->forbidden = t->starved = false;
    t->why[0] = '\0';
    reset_answer(t);
    if (!set_lines(t, r) || strlen(r->path) >= sizeof(t->path))
        return false;
    if (strcmp(t->path, r->path) != 0) {
        snprintf(t->path, sizeof(t->path), "%s", r->path);
        snprintf(url, sizeof(url), "%s%s", t->upstream->base_url, r->path);
        code |= curl_easy_setopt(t->easy, CURLOPT_URL, url);
    }
    code |= curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->lines);
    code |= set_method(t, r);
    return code == CURLE_OK;
}

enum status http_start(struct http *h, const struct http_request *request, struct http_transfer **ret, struct err *err)
{
    struct http_transfer *t;

    t = take_transfer(h, request->upstream);
    if (t == NULL)
        return err_set(err, ST_NO_MEMORY, "No memory for a connection to the provider.");
    t->active = true;
    if (!prepare(t, request)) {
        give_transfer(h, t, false);
        return err_set(err, ST_BAD_REQUEST, "The request's headers or path cannot be said to the provider.");
    }
    if (curl_multi_add_handle(h->multi, t->easy) != CURLM_OK) {
        give_transfer(h, t, false);
        return err_set(err, ST_NO_MEMORY, "No memory for a connection to the provider.");
    }
    *ret = t;
    return ST_OK;
}

void http_stop(struct http *h, struct http_transfer *t)
{
    curl_multi_remove_handle(h->multi, t->easy);
    give_transfer(h, t, false);
}

void http_resume(struct http_transfer *t)
{
    curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

bool http_starved(const struct http_transfer *t)
{
    return t->starved;
}

void http_feed(struct http_transfer *t, struct slice bytes)
{
    t->body = bytes;
    t->body_at = 0;
    if (!t->starved)
        return;
    t->starved = false;
    curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

/* Nothing sent = no byte of a request has left on any connection of this transfer. */
static enum http_end judge(struct http_transfer *t, CURLcode code)
{
    long sent = 0;

    if (code == CURLE_OK)
        return HTTP_WHOLE;
    curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
    if (sent > 0 || t->read_body)
        return HTTP_BROKEN;
    if (t->forbidden)
        return HTTP_REFUSED;
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_OPERATION_TIMEDOUT: return HTTP_NOT_SENT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR: return HTTP_REFUSED;
    default: return HTTP_BROKEN;
    }
}

void http_reap(struct http *h)
{
    struct CURLMsg *m;
    int left = 0;

    for (m = curl_multi_info_read(h->multi, &left); m != NULL; m = curl_multi_info_read(h->multi, &left)) {
        CURL *easy = m->easy_handle;
        CURLcode code = m->data.result;
        struct http_transfer *t = NULL;
        enum http_end end;

        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
        end = judge(t, code);
        curl_multi_remove_handle(h->multi, easy);
        t->events->done(t->ctx, &t->answer, end,
                        t->forbidden        ? "its address is not a public one"
                        : t->why[0] != '\0' ? t->why
                                            : curl_easy_strerror(code));
        give_transfer(h, t, code == CURLE_OK);
    }
}

/* ---- all of it ------------------------------------------------------------------------------------------------------
 */

/* As curl and OpenSSL's programs do it; libcurl itself looks at neither. */
static const char *ca_file(void)
{
    const char *path = getenv("CURL_CA_BUNDLE");

    if (path == NULL || path[0] == '\0')
        path = getenv("SSL_CERT_FILE");
    return path != NULL && path[0] != '\0' ? path : NULL;
}

enum status http_new(const struct http_options *options, struct http **ret, struct err *err)
{
    struct http *h = calloc(1, sizeof(*h));
    CURLMcode r = CURLM_OK;

    if (h == NULL)
        return err_set(err, ST_NO_MEMORY, "no memory for the upstream connections");
    h->options = *options;
    h->ca_file = ca_file();
    h->timer.fire = timer_fired;
    h->multi = curl_multi_init();
    if (h->multi != NULL) {
        r |= curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        r |= curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
        r |= curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
        r |= curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
        r |= curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_CONNECTIONS_MAX);
        r |= curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    }
    if (h->multi == NULL || r != CURLM_OK) {
        http_free(h);
        return err_set(err, ST_NO_MEMORY, "libcurl could not be set up");
    }
    *ret = h;
    return ST_OK;
}

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    while (h->n_all > 0) {
        struct http_transfer *t = h->all[h->n_all - 1];

        if (t->active)
            curl_multi_remove_handle(h->multi, t->easy);
        free_transfer(h, t);
    }
    curl_multi_cleanup(h->multi);
    timers_clear(h->options.timers, &h->timer);
    free(h->socks);
    free(h->dirty);
    free(h->all);
    free(h);
}
