/*
 * One HTTP conversation with the router: signs in when a request needs it, sends JSON, takes JSON. Knows no commands.
 * Owned by one thread. A failure's text is for the user's terminal and never holds a password or a token.
 */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include <curl/curl.h>

#include "proto/wire.h"
#include "services/settings.h"

#define HTTP_REPLY_MAX (64u * 1024u * 1024u)
#define HTTP_HEADER_VALUE 128
#define HTTP_SHORT_S 30L /* an administration request */
#define HTTP_LONG_S 600L /* a model's answer, a ledger's verification */

struct http {
    const struct settings *settings;
    CURL *curl;
    char *token; /* of this session; NULL = not signed in yet */
};

enum http_auth { HTTP_NO_AUTH, HTTP_SESSION, HTTP_KEY };

struct http_request {
    const char *method, *path; /* path begins with / */
    const char *body; /* JSON or NULL */
    enum http_auth auth;
    const char *key; /* HTTP_KEY: the API key */
    const char *idempotency; /* Idempotency-Key or NULL */
    long timeout_s; /* 0 = HTTP_SHORT_S */
};

struct http_reply {
    long status;
    struct buf body;
    char request_id[HTTP_HEADER_VALUE];
};

enum status http_init(struct http *h, const struct settings *settings, struct err *err);
void http_fini(struct http *h);
/* ST_OK: there is a reply, whatever its status; http_reply_fini it. */
enum status http_send(struct http *h, const struct http_request *req, struct http_reply *reply, struct err *err);
void http_reply_fini(struct http_reply *reply);
/* The reply's error, when its status is not 2xx: message, code, request id. */
enum status http_check(const struct http_reply *reply, struct err *err);

/* The password that sign-ins use: ADMIN_PASSWORD, else that of the file beside the database. */
enum status http_password(const struct settings *settings, char *to, size_t size, struct err *err);
/* It is another one now: where it stood in the file, the file says so. */
enum status http_password_changed(const struct settings *settings, const char *password, struct err *err);

#endif
