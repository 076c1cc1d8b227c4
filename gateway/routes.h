/*
 * routes: every URL of the gateway, declared once: method, path, who may call it, which handler serves it, and for the
 * account and administration API which message it becomes and which service answers it. docs/openapi.yaml describes the
 * same list.
 *
 * A pattern's {name} matches one segment, {name*} everything that is left, slashes included. Azure's paths are read as
 * OpenAI's: /openai/deployments/{model}/x, /openai/v1/x and /openai/x are /v1/x.
 */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "gateway/request.h"

enum route_who {
    ROUTE_ANYBODY,
    ROUTE_KEY, /* an API key, checked by admission */
    ROUTE_USER, /* a session */
    ROUTE_ADMIN, /* an administrator's session */
    ROUTE_OPERATOR, /* METRICS_TOKEN, or loopback when there is none */
};

/* How a message is filled and shown. */
enum route_flags {
    ROUTE_SELF = 1, /* the caller is the object: id = the session's user */
    ROUTE_EVERYBODY = 2, /* actor_id stays empty: an administrator looks at all users */
    ROUTE_NO_BODY = 4, /* a body is not read as arguments */
    ROUTE_UNWRAP = 8, /* the reply's one object is the answer */
    ROUTE_FIRST = 16, /* the reply's first row is the answer; 404 when there is none */
    ROUTE_IDEMPOTENT = 32, /* takes Idempotency-Key */
    ROUTE_SLOW = 64, /* the answer may take minutes */
    ROUTE_NEW = 128, /* makes an object: there must be none of its name */
    ROUTE_LARGE = 256, /* the body may be a file */
};

struct surface;

struct route {
    const char *method, *path; /* method "*": any, but HEAD */
    enum route_who who;
    void (*handler)(struct request *r);
    int success;
    enum svc_peer peer;
    const struct wire_desc *req, *rep;
    unsigned flags;
    const struct surface *surface; /* of a call; surfaces.h */
};

extern const struct route routes[];
extern const size_t n_routes;

/* The route of the request. NULL with *ret_path_known: the path exists for other methods, listed in allow ("GET,
 * POST"). HEAD goes where GET goes. Fills r->param. */
const struct route *route_find(struct request *r, bool *ret_path_known, char *allow, size_t allow_size);

/* Is the path of r->route one that no server takes for another route's, with whose bill and whose owners it would have
 * to do? What is known is known. What is not has no empty segment, no slash at its end, no ';' (which begins parameters
 * of a segment), nothing escaped that needs no escape or that parts a path, and is no other route's in small letters.
 */
bool route_plain(const struct request *r);

/* Does the path match? *ret_param: the part that {…} matched, not decoded. */
bool route_match(const char *pattern, struct slice path, struct slice *ret_param);

/* The handlers. */
void account_handle(struct request *r);
/* Refuses any query parameter by its name, as account_handle() does where none is declared. */
enum status account_no_query(struct request *r, struct err *err);
void call_handle(struct request *r);
void models_handle(struct request *r);
void page_root(struct request *r);
void page_console(struct request *r);
void page_to_console(struct request *r);
void page_docs(struct request *r);
void page_openapi(struct request *r);
void page_health(struct request *r);
void page_live(struct request *r);
void page_ready(struct request *r);
void page_detailed(struct request *r);
void page_system(struct request *r);
void page_metrics(struct request *r);

#endif
