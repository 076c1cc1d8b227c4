#include "cli/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/times.h"
#include "services/ids.h"

#define PATH_SIZE 4096
#define FIELD_SIZE 64
#define ROUTE_DIGITS_MAX 9 /* of a tier or a weight */
#define REPEAT_OPTION "idempotency-key"
#define REPEAT_KEY_BYTES 16
#define REASON_SHOWN 300 /* characters of an error's text that are kept, so that the key has room behind it */
#define HTTP_UNSURE 500 /* from this status on nobody says that nothing was done */

int cli_fail(const struct err *err)
{
    fprintf(stderr, "routerctl: %s\n", err->text[0] ? err->text : status_text(err->status));
    return CLI_FAILED;
}

/* "max-keys" is the member max_keys. */
static const char *field_of(const struct word *w, char buf[FIELD_SIZE])
{
    size_t i;

    if (w->field)
        return w->field;
    for (i = 0; w->name[i] && i + 1 < FIELD_SIZE; i++)
        buf[i] = (char)(w->name[i] == '-' ? '_' : w->name[i]);
    buf[i] = '\0';
    return buf;
}

/* ---- the body -----------------------------------------------------------------------------------------------------
 */

static bool add_number(yyjson_mut_doc *doc, yyjson_mut_val *body, const char *field, const char *value)
{
    char *end = NULL;
    unsigned long long n;

    errno = 0;
    n = strtoull(value, &end, 10);
    if (errno || end == value || *end || *value == '-')
        return false;
    return yyjson_mut_obj_add(body, yyjson_mut_strcpy(doc, field), yyjson_mut_uint(doc, n));
}

static bool add_time(yyjson_mut_doc *doc, yyjson_mut_val *body, const char *field, const char *value)
{
    uint64_t t = 0;

    return times_read(value, &t) && yyjson_mut_obj_add(body, yyjson_mut_strcpy(doc, field), yyjson_mut_uint(doc, t));
}

static bool add_list(yyjson_mut_doc *doc, yyjson_mut_val *body, const char *field, const char *value)
{
    yyjson_mut_val *list = yyjson_mut_arr(doc);

    while (*value) {
        size_t n = strcspn(value, ",");

        if (n)
            yyjson_mut_arr_add_strncpy(doc, list, value, n);
        value += n + (value[n] == ',');
    }
    return yyjson_mut_obj_add(body, yyjson_mut_strcpy(doc, field), list);
}

static bool add_bool(yyjson_mut_doc *doc, yyjson_mut_val *body, const char *field, const char *value)
{
    bool yes = !strcmp(value, "true");

    if (!yes && strcmp(value, "false") != 0)
        return false;
    return yyjson_mut_obj_add(body, yyjson_mut_strcpy(doc, field), yyjson_mut_bool(doc, yes));
}

/* Cuts a closing ":digits" off; names of models may hold colons, so nothing else is cut. */
static bool cut_number(const char *text, size_t *n, uint64_t *ret)
{
    size_t from = *n, i;
    uint64_t v = 0;

    while (from > 0 && text[from - 1] >= '0' && text[from - 1] <= '9')
        from--;
    if (from < 2 || from == *n || *n - from > ROUTE_DIGITS_MAX || text[from - 1] != ':')
        return false;
    for (i = from; i < *n; i++)
        v = v * 10 + (uint64_t)(text[i] - '0');
    *n = from - 1;
    *ret = v;
    return true;
}

/* PROVIDER/MODEL[:tier[:weight]] */
static bool add_route(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *text, size_t n)
{
    const char *slash = memchr(text, '/', n);
    yyjson_mut_val *route = yyjson_mut_obj(doc);
    uint64_t last = 0, before = 0;
    bool one = cut_number(text, &n, &last), two = one && cut_number(text, &n, &before);
    size_t provider = slash ? (size_t)(slash - text) : 0;

    if (provider == 0 || provider + 1 >= n)
        return false;
    yyjson_mut_obj_add_strncpy(doc, route, "provider", text, provider);
    yyjson_mut_obj_add_strncpy(doc, route, "model", slash + 1, n - provider - 1);
    if (one)
        yyjson_mut_obj_add_uint(doc, route, "tier", two ? before : last);
    if (two)
        yyjson_mut_obj_add_uint(doc, route, "weight", last);
    return yyjson_mut_arr_append(list, route);
}

static bool add_routes(yyjson_mut_doc *doc, yyjson_mut_val *body, const char *field, const char *value)
{
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    bool ok = true;

    while (*value && ok) {
        size_t n = strcspn(value, ",");

        ok = n == 0 || add_route(doc, list, value, n);
        value += n + (value[n] == ',');
    }
    return ok && yyjson_mut_obj_add(body, yyjson_mut_strcpy(doc, field), list);
}

/* "price.input" is a member of the object price, which is made when it is not there yet. */
static yyjson_mut_val *object_of(yyjson_mut_doc *doc, yyjson_mut_val *body, const char **field)
{
    const char *dot = strchr(*field, '.');
    yyjson_mut_val *object;

    if (!dot)
        return body;
    object = yyjson_mut_obj_getn(body, *field, (size_t)(dot - *field));
    if (!object) {
        object = yyjson_mut_obj(doc);
        yyjson_mut_obj_add(body, yyjson_mut_strncpy(doc, *field, (size_t)(dot - *field)), object);
    }
    *field = dot + 1;
    return object;
}

static const char *expected_of(const struct word *w)
{
    if (w->kind == WORD_BOOL)
        return "neither true nor false";
    if (w->kind == WORD_TIME || w->kind == WORD_QUERY_TIME)
        return "no time: expected " TIMES_FORMS;
    return w->kind == WORD_ROUTES ? "not PROVIDER/MODEL[:tier[:weight]], or several with commas" : "not a whole number";
}

static enum status unfit(const struct word *w, const char *value, struct err *err)
{
    return err_set(err, ST_BAD_REQUEST, "%s: '%s' is %s", w->name, value, expected_of(w));
}

static enum status add_member(yyjson_mut_doc *doc, yyjson_mut_val *body, const struct word *w, const char *value,
                              struct err *err)
{
    char buf[FIELD_SIZE];
    const char *field = field_of(w, buf);
    bool ok = true;

    if (!value)
        return ST_OK;
    if (w->kind == WORD_STRING || w->kind == WORD_NUMBER)
        body = object_of(doc, body, &field);
    if (w->kind == WORD_STRING)
        ok = yyjson_mut_obj_add(body, yyjson_mut_strcpy(doc, field), yyjson_mut_strcpy(doc, value));
    else if (w->kind == WORD_NUMBER)
        ok = add_number(doc, body, field, value);
    else if (w->kind == WORD_TIME)
        ok = add_time(doc, body, field, value);
    else if (w->kind == WORD_LIST)
        ok = add_list(doc, body, field, value);
    else if (w->kind == WORD_BOOL)
        ok = add_bool(doc, body, field, value);
    else if (w->kind == WORD_ROUTES)
        ok = add_routes(doc, body, field, value);
    return ok ? ST_OK : unfit(w, value, err);
}

/* NULL in *ret = the command sends no body. */
static enum status make_body(const struct args *a, char **ret, struct err *err)
{
    const struct command *c = a->command;
    yyjson_mut_doc *doc;
    yyjson_mut_val *body;
    enum status st = ST_OK;
    size_t i;

    *ret = NULL;
    if (c->fixed) {
        *ret = strdup(c->fixed);
        return *ret ? ST_OK : ST_NO_MEMORY;
    }
    if (!strcmp(c->method, "GET") || !strcmp(c->method, "DELETE"))
        return ST_OK;
    doc = yyjson_mut_doc_new(NULL);
    body = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, body);
    for (i = 0; i < COMMAND_ARGS && c->args[i].name && st == ST_OK; i++)
        st = add_member(doc, body, &c->args[i], a->values[i], err);
    for (i = 0; i < COMMAND_OPTIONS && c->options[i].name && st == ST_OK; i++)
        st = add_member(doc, body, &c->options[i], a->options[i], err);
    if (st == ST_OK) {
        *ret = yyjson_mut_write(doc, 0, NULL);
        st = *ret ? ST_OK : err_set(err, ST_BAD_REQUEST, "the arguments are not UTF-8");
    }
    yyjson_mut_doc_free(doc);
    return st;
}

/* ---- the path -----------------------------------------------------------------------------------------------------
 */

enum status request_add_escaped(struct buf *b, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    enum status st = ST_OK;

    for (; *text && st == ST_OK; text++)
        st = strchr(plain, *text) ? buf_add(b, text, 1) : buf_addf(b, "%%%02X", (unsigned)(unsigned char)*text);
    return st;
}

/* An e-mail address is looked up; anything else is taken for an id. */
static enum status find_user(struct http *h, const char *who, char *id, size_t size, struct err *err)
{
    struct http_request req = {.method = "GET", .auth = HTTP_SESSION};
    struct http_reply reply;
    struct buf path;
    const char *found;
    yyjson_doc *doc;
    enum status st;

    if (!strchr(who, '@'))
        return slice_copy(slice_of(who), id, size) ? ST_OK : err_set(err, ST_BAD_REQUEST, "the user's id is too long");
    buf_init(&path, PATH_SIZE);
    st = buf_addf(&path, "/api/admin/users?email=");
    if (st == ST_OK)
        st = request_add_escaped(&path, who);
    if (st == ST_OK)
        st = buf_add(&path, "", 1);
    req.path = path.p;
    if (st == ST_OK)
        st = http_send(h, &req, &reply, err);
    buf_fini(&path);
    if (st != ST_OK)
        return st;
    st = http_check(&reply, err);
    doc = st == ST_OK ? yyjson_read(reply.body.p, reply.body.n, 0) : NULL;
    found = yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(doc), "/data/0/id"));
    if (st == ST_OK && (!found || !slice_copy(slice_of(found), id, size)))
        st = err_set(err, ST_NOT_FOUND, "there is no user %s", who);
    yyjson_doc_free(doc);
    http_reply_fini(&reply);
    return st;
}

/* The command's own, or everybody's where an option asks for that. */
static const char *path_of(const struct args *a)
{
    const struct word *w = a->command->options;
    const char *all = NULL;
    bool asked = false;
    size_t i;

    for (i = 0; i < COMMAND_OPTIONS && w[i].name; i++) {
        if (w[i].kind == WORD_ALL_FLAG)
            all = w[i].field;
        asked |= a->options[i] && (w[i].kind == WORD_ALL_FLAG || w[i].kind == WORD_QUERY_USER);
    }
    return all && asked ? all : a->command->path;
}

static enum status add_path(struct http *h, const struct args *a, struct buf *b, struct err *err)
{
    const struct command *c = a->command;
    const char *path = path_of(a), *hole = strstr(path, "%s");
    char user[ID_TEXT_SIZE] = "";
    enum status st = buf_add(b, path, hole ? (size_t)(hole - path) : strlen(path));
    size_t i;

    for (i = 0; hole && st == ST_OK && i < COMMAND_ARGS && c->args[i].name; i++) {
        if (c->args[i].kind == WORD_USER) {
            st = find_user(h, a->values[i], user, sizeof(user), err);
            if (st == ST_OK)
                st = request_add_escaped(b, user);
        } else if (c->args[i].kind == WORD_PATH) {
            st = request_add_escaped(b, a->values[i]);
        }
    }
    if (hole && st == ST_OK)
        st = buf_addf(b, "%s", hole + 2);
    return st;
}

static bool in_query(const struct word *w)
{
    return w->kind == WORD_QUERY || w->kind == WORD_QUERY_TIME || w->kind == WORD_QUERY_FLAG ||
           w->kind == WORD_QUERY_USER;
}

static enum status add_parameter(struct http *h, const struct word *w, const char *value, char mark, struct buf *b,
                                 struct err *err)
{
    char buf[FIELD_SIZE], user[ID_TEXT_SIZE] = "";
    uint64_t t = 0;
    enum status st = ST_OK;

    if (w->kind == WORD_QUERY_TIME && !times_read(value, &t))
        return unfit(w, value, err);
    if (w->kind == WORD_QUERY_USER) {
        st = find_user(h, value, user, sizeof(user), err);
        value = user;
    }
    if (st == ST_OK)
        st = buf_addf(b, "%c%s=", mark, field_of(w, buf));
    if (st != ST_OK)
        return st;
    return w->kind == WORD_QUERY_TIME ? buf_addu(b, t) : request_add_escaped(b, value);
}

static enum status make_path(struct http *h, const struct args *a, struct buf *b, struct err *err)
{
    const struct command *c = a->command;
    enum status st = add_path(h, a, b, err);
    char mark = '?';
    size_t i;

    for (i = 0; st == ST_OK && i < COMMAND_OPTIONS && c->options[i].name; i++) {
        if (!in_query(&c->options[i]) || !a->options[i])
            continue;
        st = add_parameter(h, &c->options[i], a->options[i], mark, b, err);
        mark = '&';
    }
    if (st == ST_OK)
        st = buf_add(b, "", 1);
    if (st == ST_TOO_LARGE)
        st = err_set(err, st, "the arguments are too long");
    return st;
}

/* ---- sending and showing ------------------------------------------------------------------------------------------
 */

static bool takes_repeat_key(const struct command *c)
{
    size_t i;

    for (i = 0; i < COMMAND_OPTIONS && c->options[i].name; i++)
        if (!strcmp(c->options[i].name, REPEAT_OPTION))
            return true;
    return false;
}

/* The user's own key, or one made here, so that a command whose answer was lost can be repeated. NULL = the command
 * takes none. */
static const char *repeat_key(const struct args *a, char made[ID_TEXT_SIZE])
{
    const char *given = args_option(a, REPEAT_OPTION);

    if (given || !takes_repeat_key(a->command))
        return given;
    id_make(made, "ctl-", REPEAT_KEY_BYTES);
    return made;
}

/* Whoever got no answer, or one that does not say no, must not repeat the command without its key. */
static void name_repeat_key(const char *key, struct err *err)
{
    struct err was = *err;

    if (key)
        err_set(err, was.status,
                "%.*s. It may have been done all the same: repeat it with --" REPEAT_OPTION " %s, then it is done once",
                REASON_SHOWN, was.text, key);
}

enum status request_send(struct http *h, const struct args *a, struct http_reply *reply, struct err *err)
{
    char made[ID_TEXT_SIZE];
    const char *key = repeat_key(a, made);
    struct http_request req = {
        .method = a->command->method, .auth = HTTP_SESSION, .idempotency = key, .timeout_s = HTTP_LONG_S};
    char *body = NULL;
    struct buf path;
    enum status st;

    buf_init(&path, PATH_SIZE);
    st = make_body(a, &body, err);
    if (st == ST_OK)
        st = make_path(h, a, &path, err);
    req.path = path.p;
    req.body = body;
    if (st == ST_OK) {
        st = http_send(h, &req, reply, err);
        if (st == ST_UNAVAILABLE)
            name_repeat_key(key, err);
    }
    buf_fini(&path);
    free(body);
    if (st != ST_OK)
        return st;
    st = http_check(reply, err);
    if (st != ST_OK && reply->status >= HTTP_UNSURE)
        name_repeat_key(key, err);
    if (st != ST_OK)
        http_reply_fini(reply);
    return st;
}

int request_print(const struct args *a, const struct http_reply *reply)
{
    struct err err = {.status = ST_OK};
    yyjson_doc *doc;
    int code = CLI_OK;

    if (a->json) {
        fwrite(reply->body.p ? reply->body.p : "", 1, reply->body.n, stdout);
        fputc('\n', stdout);
        return CLI_OK;
    }
    if (reply->body.n == 0)
        return CLI_OK; /* 204: done */
    doc = yyjson_read(reply->body.p, reply->body.n, 0);
    if (!doc) {
        err_set(&err, ST_INTERNAL, "the router's answer is not JSON");
        return cli_fail(&err);
    }
    if (!a->field)
        print_answer(stdout, yyjson_doc_get_root(doc), a->command->columns);
    else if (print_field(stdout, yyjson_doc_get_root(doc), a->field, &err) != ST_OK)
        code = cli_fail(&err);
    yyjson_doc_free(doc);
    return code;
}

int request_run(struct http *h, const struct args *a)
{
    struct err err = {.status = ST_OK};
    struct http_reply reply;
    int code;

    if (request_send(h, a, &reply, &err) != ST_OK)
        return cli_fail(&err);
    code = request_print(a, &reply);
    http_reply_fini(&reply);
    return code;
}
