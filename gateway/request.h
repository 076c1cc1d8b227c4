/*
 * request: one HTTP request as its handler sees it, read off civetweb once. Lives on the stack of the connection's
 * thread; its slices point into civetweb's buffer and the connection's. Knows headers and bodies, not what routes mean.
 */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

#include "gateway/gateway.h"
#include "services/ids.h"

struct mg_connection;
struct route;

#define REQUEST_PARAM_MAX 1024 /* a path parameter as it came: a model's name may be percent-encoded */
#define REQUEST_PASSED_MAX 16u /* headers that upstream may see */
#define REQUEST_SMALL 65536u /* bytes of a body that anybody may send, and that no budget counts */

struct request {
    struct gateway *gw;
    struct conn *conn;
    struct mg_connection *http;
    const struct route *route;
    struct arena *arena;
    char id[ID_TEXT_SIZE];
    uint64_t began_ns;
    struct slice method, path, query; /* path as it came, not decoded */
    struct slice api_path; /* the same, with Azure's paths as they are elsewhere */
    struct slice deployment; /* the model that one of Azure's paths names, decoded; p NULL = it is none of them */
    struct slice param; /* the {…} of the route's path, decoded */
    struct slice authorization, x_api_key, api_key, origin, cors_headers, idempotency_key, forwarded, forwarded_for;
    struct slice client_ip; /* behind TRUSTED_PROXIES too */
    struct slice content_type, accept, accept_encoding, if_none_match, anthropic_version, max_price;
    struct slice user_id, role, session_id; /* of a session that was checked */
    int64_t content_length;
    bool head; /* HEAD: the answer has no body */
    bool anthropic; /* errors are in Anthropic's words */
    bool passes; /* it has a header, beside accept, that upstream may see */
    bool http10;
    bool chunked; /* its body is */
    bool expects; /* 100-continue is awaited */
    bool keep_alive; /* the connection goes on after the answer */
    bool body_read; /* nothing of the body is left in the connection */
    bool quiet; /* nothing can be answered any more */
    bool stranger; /* without a good key: no large body of it is waited for, not even to be read away */
    bool vouched; /* vouch was asked */
    /* Asked once, before more than REQUEST_SMALL of a body is taken; what is not ST_OK ends the reading. NULL = anybody
     * may send what the route takes. */
    enum status (*vouch)(struct request *r, struct err *err);
    struct slice body;
    const uint8_t *body_digest; /* of a body that is not kept: of what it says; NULL = it is kept */
    size_t body_held; /* counted in gateway.body_bytes: of what is larger than REQUEST_SMALL, as it arrives */
    bool settled; /* a call's last callback has counted it, or is about to */
    int status; /* answered; 0 = not yet, 499 = the client was gone */
    uint64_t sent_bytes;
};

void request_init(struct request *r, struct conn *c, struct mg_connection *http);
void request_fini(struct request *r);

/* Reads the whole body into r->body. ST_TOO_LARGE, ST_UNAVAILABLE (too many bodies at once), ST_CANCELLED (the client
 * left, or was too slow: see request_slow). */
enum status request_read_body(struct request *r, size_t max, struct err *err);
/* The same for a body that is not to be kept: hands it over piece by piece. What `take` returns ends the reading when
 * it is not ST_OK. */
enum status request_pass_body(struct request *r, uint64_t max,
                              enum status (*take)(void *ctx, struct slice piece, struct err *err), void *ctx,
                              struct err *err);
bool request_slow(const struct request *r); /* the body came too slowly: 408 */
/* The body is not needed any more: gives its memory back. */
void request_forget_body(struct request *r);
/* Reads the body away, within bounds, so that a client that is still sending gets to see the answer. */
void request_drop_body(struct request *r);

/* Counts a request that is answered, or never will be: it is not in flight any more. */
void request_count(struct gateway *gw, const struct route *of, int status, uint64_t began_ns);

/* The API key: Authorization: Bearer, x-api-key or api-key. Empty = none. */
struct slice request_key(const struct request *r);
/* The bearer token. Empty = none. */
struct slice request_bearer(const struct request *r);

/* The headers that upstream may see, in the arena; accept only if asked for. *ret_n is at most REQUEST_PASSED_MAX.
 * NULL: there are none, or no memory. */
const struct http_header *request_passed(struct request *r, bool accept, size_t *ret_n);

/* Percent-decoding. plus: '+' is a space. false: not valid, holds a NUL or is not UTF-8. */
bool request_decode(struct slice text, bool plus, char *to, size_t size, struct slice *ret);

#endif
