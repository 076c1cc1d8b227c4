/* Limits on sizes that messages and the HTTP API share. Bytes, unless the name says otherwise. */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

#include <stdint.h>

#include "proto/money.h"

#define LIMIT_NAME 128 /* a word: role, kind, content type, prefix, address */
#define LIMIT_TITLE 512 /* a line for people */
#define LIMIT_ID_TEXT 64 /* req_…, usr_…, key_… */
#define LIMIT_MODEL 256 /* a model name, provider/model included */
#define LIMIT_PERCENT MONEY_PERCENT_MAX
#define LIMIT_OBJECTS 4 /* that one call tells of */
#define LIMIT_OBJECT_ID 256 /* of an object that an upstream keeps: resp_…, file-…, batch_… */
#define LIMIT_EMAIL 254 /* RFC 5321, section 4.5.3.1.3: a path of 256 with its brackets */
#define LIMIT_PASSWORD 1024
#define LIMIT_TOKEN 8192 /* JWT, refresh token, cursor */
#define LIMIT_DIGEST 32 /* SHA-256 */
#define LIMIT_HEADER 4096 /* value of one response header */
#define LIMIT_BODY (16u * 1024u * 1024u) /* body of a request */
#define LIMIT_UPLOAD (UINT64_C(1024) * 1024 * 1024) /* a body that is not kept in memory */
#define LIMIT_METRICS (4096u * 1024u)
#define LIMIT_RECORD 65536u /* a state record, encoded */
#define LIMIT_ROUTES 16 /* of a model */
#define LIMIT_TIER 1000
#define LIMIT_WEIGHT 1000000
#define LIMIT_PROVIDERS 100 /* of the catalog */
#define LIMIT_SERVED (LIMIT_PROVIDERS * 2 + 4) /* by one providersvc: all change places at once, and those built in */
#define LIMIT_CHECKS (LIMIT_SERVED + 32) /* of one service's health */
#define LIMIT_UPSTREAM_KEYS 32 /* of a provider */
#define LIMIT_SECRET 1024 /* an upstream key */
#define LIMIT_SEALED (LIMIT_SECRET + 64) /* with its nonce and tag */
#define LIMIT_URL 1024
#define LIMIT_CONFIG (2048u * 1024u) /* a CONFIG file */
#define LIMIT_MODELS 64 /* patterns in a list of allowed models */
#define LIMIT_IP_ALLOW 32 /* addresses and ranges that a key may be used from */
#define LIMIT_GRACE_S (UINT64_C(7) * 24 * 3600) /* that a rotated key's former secret may go on */
#define LIMIT_PAGE 500 /* rows of a page */
#define LIMIT_LIST 10000 /* items of an internal list */
#define LIMIT_EVENTS 1000 /* usage events in one message */
#define LIMIT_ID INT64_MAX /* a number that SQLite can hold */
#define LIMIT_COUNT UINT64_C(1000000000) /* requests or tokens per minute */
#define LIMIT_TOKENS MONEY_TOKENS_MAX
#define LIMIT_CHOICES 16384 /* answers to one request: OpenAI takes 2,048 prompts, with several answers each */
#define LIMIT_MS (UINT64_C(7) * 24 * 3600 * 1000) /* a duration: a week */
#define LIMIT_TIME UINT64_C(253402300799) /* Unix seconds: the end of the year 9999 */
#define LIMIT_TIME_MS UINT64_C(253402300799999)

#endif
