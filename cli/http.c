#include "cli/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <yyjson.h>

#include "services/json.h"
#include "services/version.h"

#define CONNECT_S 5L
#define PASSWORD_FILE "admin_password"
#define PATH_SIZE 4200
#define URL_SIZE 9000
#define HEADER_SIZE 9000
#define PASSWORD_MAX 1024

enum status http_init(struct http *h, const struct settings *settings, struct err *err)
{
    memset(h, 0, sizeof(*h));
    h->settings = settings;
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return err_set(err, ST_INTERNAL, "libcurl cannot be used");
    h->curl = curl_easy_init();
    return h->curl ? ST_OK : err_set(err, ST_NO_MEMORY, "no memory");
}

void http_fini(struct http *h)
{
    if (h->curl)
        curl_easy_cleanup(h->curl);
    curl_global_cleanup();
    free(h->token);
    memset(h, 0, sizeof(*h));
}

void http_reply_fini(struct http_reply *reply)
{
    buf_fini(&reply->body);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct http_reply *reply = ctx;

    return buf_add(&reply->body, bytes, size * n) == ST_OK ? size * n : 0;
}

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
    static const char name[] = "x-request-id:";
    struct http_reply *reply = ctx;
    size_t len = size * n, at = sizeof(name) - 1;

    if (len < at || strncasecmp(line, name, at) != 0)
        return len;
    while (at < len && line[at] == ' ')
        at++;
    while (len > at && (line[len - 1] == '\r' || line[len - 1] == '\n'))
        len--;
    slice_copy((struct slice){line + at, len - at}, reply->request_id, sizeof(reply->request_id));
    return size * n;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char line[HEADER_SIZE];
    struct curl_slist *longer;
    int n = snprintf(line, sizeof(line), "%s: %s", name, value);

    longer = n > 0 && (size_t)n < sizeof(line) ? curl_slist_append(list, line) : NULL;
    if (!longer)
        curl_slist_free_all(list);
    memset(line, 0, sizeof(line));
    return longer;
}

static struct curl_slist *make_headers(const struct http *h, const struct http_request *req)
{
    const char *secret = req->auth == HTTP_KEY ? req->key : h->token;
    struct curl_slist *list = add_header(NULL, "Content-Type", "application/json");

    if (list)
        list = add_header(list, "Expect", "");
    if (list && req->auth != HTTP_NO_AUTH) {
        char bearer[HEADER_SIZE];

        snprintf(bearer, sizeof(bearer), "Bearer %s", secret ? secret : "");
        list = add_header(list, "Authorization", bearer);
        memset(bearer, 0, sizeof(bearer));
    }
    if (list && req->idempotency)
        list = add_header(list, "Idempotency-Key", req->idempotency);
    return list;
}

static enum status perform(struct http *h, const struct http_request *req, struct http_reply *reply, struct err *err)
{
    char url[URL_SIZE];
    struct curl_slist *headers = make_headers(h, req);
    size_t base = strlen(h->settings->router_url);
    CURLcode code;

    if (!headers)
        return err_set(err, ST_NO_MEMORY, "no memory");
    while (base && h->settings->router_url[base - 1] == '/')
        base--;
    snprintf(url, sizeof(url), "%.*s%s", (int)base, h->settings->router_url, req->path);
    curl_easy_reset(h->curl);
    curl_easy_setopt(h->curl, CURLOPT_URL, url);
    curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h->curl, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "routerctl/" ROUTER_VERSION);
    curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, req->timeout_s ? req->timeout_s : HTTP_SHORT_S);
    curl_easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, req->method);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, reply);
    curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, reply);
    if (req->body) {
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(req->body));
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, req->body);
    }
    code = curl_easy_perform(h->curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK)
        return err_set(err, ST_UNAVAILABLE, "%s %s: %s (is the router running? ROUTER_URL says where)", req->method,
                       h->settings->router_url, curl_easy_strerror(code));
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &reply->status);
    return ST_OK;
}

/* ---- signing in ---------------------------------------------------------------------------------------------------
 */

static void password_path(const struct settings *s, const char *end, char to[PATH_SIZE])
{
    const char *slash = strrchr(s->db_path, '/');

    snprintf(to, PATH_SIZE, "%.*s" PASSWORD_FILE "%s", slash ? (int)(slash - s->db_path) + 1 : 0, s->db_path, end);
}

static enum status read_password_file(const struct settings *s, char *to, size_t size, struct err *err)
{
    char path[PATH_SIZE];
    ssize_t n;
    int fd;

    password_path(s, "", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ST_UNAUTHENTICATED,
                       "nobody to sign in as: set ROUTER_TOKEN, or ADMIN_EMAIL and ADMIN_PASSWORD (%s: %s)", path,
                       strerror(errno));
    n = read(fd, to, size - 1);
    close(fd);
    while (n > 0 && (to[n - 1] == '\n' || to[n - 1] == '\r'))
        n--;
    if (n <= 0)
        return err_set(err, ST_UNAUTHENTICATED, "%s is empty", path);
    to[n] = '\0';
    return ST_OK;
}

enum status http_password(const struct settings *s, char *to, size_t size, struct err *err)
{
    if (s->router_token)
        return err_set(err, ST_BAD_REQUEST,
                       "a token is no password: unset ROUTER_TOKEN, and set ADMIN_EMAIL and "
                       "ADMIN_PASSWORD");
    if (!s->admin_password)
        return read_password_file(s, to, size, err);
    snprintf(to, size, "%s", s->admin_password);
    return ST_OK;
}

enum status http_password_changed(const struct settings *s, const char *password, struct err *err)
{
    char path[PATH_SIZE], fresh[PATH_SIZE];
    bool written;
    int fd;

    if (s->admin_password)
        return ST_OK;
    password_path(s, "", path);
    password_path(s, ".new", fresh);
    (void)unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    written = fd >= 0 && dprintf(fd, "%s\n", password) == (int)strlen(password) + 1 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    if (written && rename(fresh, path) == 0)
        return ST_OK;
    err_set(err, ST_INTERNAL, "the password was changed, but %s could not be written: %s", path, strerror(errno));
    (void)unlink(fresh);
    return ST_INTERNAL;
}

static enum status login_body(const struct settings *s, struct buf *body, struct err *err)
{
    char password[PASSWORD_MAX + 1];
    enum status st = http_password(s, password, sizeof(password), err);

    if (st != ST_OK)
        return st;
    st = buf_addf(body, "{\"email\":");
    if (st == ST_OK)
        st = json_add_string(body, slice_of(s->admin_email));
    if (st == ST_OK)
        st = buf_addf(body, ",\"password\":");
    if (st == ST_OK)
        st = json_add_string(body, slice_of(password));
    if (st == ST_OK)
        st = buf_add(body, "}", 2); /* and the closing NUL */
    memset(password, 0, sizeof(password));
    return st;
}

static enum status take_token(struct http *h, const struct http_reply *reply, struct err *err)
{
    yyjson_doc *doc = yyjson_read(reply->body.p, reply->body.n, 0);
    const char *token = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "access_token"));

    h->token = token ? strdup(token) : NULL;
    yyjson_doc_free(doc);
    return h->token ? ST_OK : err_set(err, ST_INTERNAL, "the router's answer to the sign-in has no token");
}

static enum status sign_in(struct http *h, struct err *err)
{
    struct http_request req = {.method = "POST", .path = "/auth/login", .auth = HTTP_NO_AUTH};
    struct http_reply reply;
    struct buf body;
    enum status st;

    if (h->token)
        return ST_OK;
    if (h->settings->router_token) {
        h->token = strdup(h->settings->router_token);
        return h->token ? ST_OK : err_set(err, ST_NO_MEMORY, "no memory");
    }
    buf_init(&body, HEADER_SIZE);
    st = login_body(h->settings, &body, err);
    if (st == ST_OK) {
        req.body = body.p;
        st = http_send(h, &req, &reply, err);
        memset(body.p, 0, body.n);
    }
    buf_fini(&body);
    if (st != ST_OK)
        return st;
    st = http_check(&reply, err);
    if (st == ST_OK)
        st = take_token(h, &reply, err);
    http_reply_fini(&reply);
    return st;
}

enum status http_send(struct http *h, const struct http_request *req, struct http_reply *reply, struct err *err)
{
    enum status st = req->auth == HTTP_SESSION ? sign_in(h, err) : ST_OK;

    if (st != ST_OK)
        return st;
    memset(reply, 0, sizeof(*reply));
    buf_init(&reply->body, HTTP_REPLY_MAX);
    st = perform(h, req, reply, err);
    if (st != ST_OK)
        http_reply_fini(reply);
    return st;
}

enum status http_check(const struct http_reply *reply, struct err *err)
{
    yyjson_doc *doc;
    const char *text, *code;

    if (reply->status >= 200 && reply->status < 300)
        return ST_OK;
    doc = reply->body.n ? yyjson_read(reply->body.p, reply->body.n, 0) : NULL;
    text = yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(doc), "/error/message"));
    code = yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(doc), "/error/code"));
    err_set(err, ST_BAD_REQUEST, "%s%s%s%s (HTTP %ld%s%s)", text ? text : "the router refused", code ? " [" : "",
            code ? code : "", code ? "]" : "", reply->status, reply->request_id[0] ? ", " : "", reply->request_id);
    yyjson_doc_free(doc);
    return ST_BAD_REQUEST;
}
