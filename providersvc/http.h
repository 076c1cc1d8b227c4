/*
 * HTTP/1.1 requests to providers on one event loop: libcurl's multi interface, handles that are used again, connections
 * that are kept. Knows nothing of what bodies mean.
 *
 * A POST is never sent twice: the body comes from a read callback without a seek, so that libcurl cannot rewind it, and
 * retries are the caller's decision on HTTP_NOT_SENT. Addresses are judged when a socket is made. Certificates are
 * checked against the file that CURL_CA_BUNDLE or SSL_CERT_FILE names, else the system's. One thread. Callbacks may not
 * call http_stop.
 */
#ifndef PROVIDERSVC_HTTP_H
#define PROVIDERSVC_HTTP_H

#include "proto/messages.h"
#include "providersvc/timers.h"
#include "providersvc/upstream.h"

#define HTTP_CONNECTIONS_MAX 8192 /* kept by one loop, idle ones included */
#define HTTP_CONNECTION_AGE_S                                                                                          \
    30 /* an idle connection older than this is not used again: the other end may just be closing it */
#define HTTP_BUFFER 16384
#define HTTP_POOL_MAX 512 /* idle handles kept for one provider */
#define HTTP_HEADERS_KEPT 16
#define HTTP_LINES_MAX 24 /* header lines of a request, ours and the client's */
#define HTTP_LINES_TEXT 16384 /* and their text */

struct http;
struct http_transfer;

enum http_end {
    HTTP_WHOLE, /* an answer, to its end */
    HTTP_NOT_SENT, /* no connection: upstream has seen nothing */
    HTTP_REFUSED, /* the same, and it will not get better: certificate, forbidden address */
    HTTP_BROKEN, /* upstream may have seen and done it */
};

enum http_take { HTTP_TAKEN, HTTP_PAUSE, HTTP_ABORT };

struct http_answer {
    unsigned status;
    uint64_t retry_after_ms;
    char content_type[LIMIT_NAME + 1];
    struct http_header headers[HTTP_HEADERS_KEPT]; /* those on the allow-list */
    size_t n_headers;
};

struct http_events {
    /* One piece of the answer's body; HTTP_PAUSE: keeps it, it comes again after http_resume. */
    enum http_take (*data)(void *ctx, const struct http_answer *answer, struct slice bytes);
    /* Of a request with upload_bytes: upstream takes more; optional. Bytes come with http_feed, then or later. */
    void (*want)(void *ctx);
    /* Last of all; the transfer is gone when it returns. why lives until it returns. */
    void (*done)(void *ctx, const struct http_answer *answer, enum http_end end, const char *why);
};

struct http_request {
    struct upstream *upstream; /* the transfer takes a reference of its own */
    const char *method; /* a constant; NULL = POST */
    const char *path; /* below the base URL; copied */
    const char *auth; /* a header line with one %s for … */
    const char *secret; /* … this; an empty one is not shown at all. Copied */
    struct slice content_type; /* empty = application/json */
    const struct http_header *headers; /* more lines; safe for a header, or the request is refused */
    size_t n_headers;
    struct slice body; /* lives until done or http_stop */
    uint64_t upload_bytes; /* not 0: the body is so long and comes with http_feed; body is empty */
    struct slice request_id; /* copied */
    bool stream;
    const struct http_events *events;
    void *ctx;
};

struct http_options {
    int epoll;
    struct timers *timers;
    const uint64_t *now_ms; /* the loop's clock */
};

enum status http_new(const struct http_options *options, struct http **ret, struct err *err);
void http_free(struct http *h); /* no callbacks; NULL is fine */

enum status http_start(struct http *h, const struct http_request *request, struct http_transfer **ret, struct err *err);
void http_stop(struct http *h, struct http_transfer *t); /* the connection is closed; no callback comes */
void http_resume(struct http_transfer *t); /* data may be called before it returns */
/* More of an upload's body; lives until want or done. Only after want. */
void http_feed(struct http_transfer *t, struct slice bytes);
bool http_starved(const struct http_transfer *t); /* want was called, and nothing has been fed since */

void http_socket_event(struct http *h, int fd, uint32_t epoll_events);
void http_kick(struct http *h); /* new transfers go to work now, not in the next turn */
void http_reap(struct http *h); /* calls done for what has ended */
/* Lets go of idle handles of providers that are gone, and with them of the provider and its keys. */
void http_sweep(struct http *h);
void http_settle(struct http *h); /* tells epoll what has changed; before every wait */

#endif
