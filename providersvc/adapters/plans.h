/* What the adapters need to make their plans. */
#ifndef PROVIDERSVC_ADAPTERS_PLANS_H
#define PROVIDERSVC_ADAPTERS_PLANS_H

#include "proto/endpoints.h"
#include "providersvc/adapter.h"

/* How OpenAI's API itself serves an endpoint. */
struct plan_row {
    const char *endpoint;
    const char *path; /* NULL = the client's own */
    const struct dialect *dialect;
    bool json; /* answers are one JSON object or a stream of the dialect */
    bool usage_option;
};

const struct plan_row *plan_row_of(struct slice endpoint); /* NULL = none */
void plan_take_row(const struct plan_row *row, struct call_plan *ret);
/* One more translator on the way to upstream; the first says what the client speaks. */
void plan_step(struct call_plan *p, const struct translator *step);
enum status plan_path(struct call_plan *p, const char *path); /* ST_NOT_FOUND when it is too long */
/* The client's path where it has one, else the row's. ST_NOT_FOUND: it leads elsewhere. */
enum status plan_own_path(const struct completion *c, const struct plan_row *row, struct call_plan *ret);
bool plan_path_safe(struct slice path); /* and its query: it can only lead below the base URL */
void plan_encode(struct slice text, char *to, size_t size); /* percent-encoded (RFC 3986, section 2.1); cut to size */
/* The endpoint messages.count_tokens is answered here, by an estimate. */
enum status plan_count_here(struct call_plan *ret);
enum status plan_refuses(const struct completion *c); /* ST_NOT_FOUND, the call's err set */

bool plan_has_tools(struct slice body); /* "tools" is an array that is not empty */
bool plan_effort_none(struct slice body);

#endif
