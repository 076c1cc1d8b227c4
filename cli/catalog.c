/* Commands of the catalog. A CONFIG file goes to the router as it is, because only meterd reads YAML. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/request.h"
#include "cli/special.h"
#include "proto/limits.h"
#include "services/json.h"

#define BODY_MAX_BYTES (LIMIT_CONFIG * 7u) /* every byte may become an escape of six */

static enum status read_all(FILE *f, const char *name, struct buf *out, struct err *err)
{
    char part[4096];
    enum status st = ST_OK;
    size_t n;

    while (st == ST_OK && (n = fread(part, 1, sizeof(part), f)) > 0)
        st = buf_add(out, part, n);
    if (st == ST_OK && ferror(f))
        return err_set(err, ST_BAD_REQUEST, "%s: cannot be read", name);
    return st == ST_OK ? st : err_set(err, st, "%s: a CONFIG file has at most %u bytes", name, LIMIT_CONFIG);
}

static enum status read_file(const char *name, struct buf *out, struct err *err)
{
    FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
    enum status st;

    if (!f)
        return err_set(err, ST_BAD_REQUEST, "%s: cannot be opened", name);
    st = read_all(f, name, out, err);
    if (f != stdin)
        (void)fclose(f);
    return st;
}

static enum status make_body(const struct args *a, struct slice text, struct buf *body)
{
    enum status st = buf_addc(body, "{\"text\":");

    if (st == ST_OK)
        st = json_add_string(body, text);
    if (st == ST_OK && args_option(a, "dry-run"))
        st = buf_addc(body, ",\"dry_run\":true");
    if (st == ST_OK && args_option(a, "prune"))
        st = buf_addc(body, ",\"prune\":true");
    return st == ST_OK ? buf_add(body, "}", 2) : st; /* with the closing NUL */
}

int special_config_apply(struct http *h, const struct command *c, const struct args *a)
{
    struct http_request req = {.method = c->method, .path = c->path, .auth = HTTP_SESSION, .timeout_s = HTTP_LONG_S};
    const char *name = a->values[0] ? a->values[0] : h->settings->config;
    struct err err = {.status = ST_OK};
    struct http_reply reply;
    struct buf text, body;
    enum status st;
    int code;

    buf_init(&text, LIMIT_CONFIG);
    buf_init(&body, BODY_MAX_BYTES);
    st = name ? read_file(name, &text, &err)
              : err_set(&err, ST_BAD_REQUEST, "FILE is missing, and CONFIG is not set; - reads standard input");
    if (st == ST_OK)
        st = make_body(a, (struct slice){text.p, text.n}, &body);
    req.body = body.p;
    if (st == ST_OK)
        st = http_send(h, &req, &reply, &err);
    buf_fini(&text);
    buf_fini(&body);
    if (st != ST_OK)
        return cli_fail(&err);
    code = http_check(&reply, &err) == ST_OK ? request_print(a, &reply) : cli_fail(&err);
    http_reply_fini(&reply);
    return code;
}

int special_config_export(struct http *h, const struct command *c, const struct args *a)
{
    struct err err = {.status = ST_OK};
    struct http_reply reply;
    yyjson_val *text;
    yyjson_doc *doc;
    int code = CLI_OK;

    (void)c;
    if (request_send(h, a, &reply, &err) != ST_OK)
        return cli_fail(&err);
    doc = yyjson_read(reply.body.p, reply.body.n, 0);
    text = yyjson_obj_get(yyjson_doc_get_root(doc), "text");
    if (a->json || a->field)
        code = request_print(a, &reply);
    else if (yyjson_is_str(text))
        fwrite(yyjson_get_str(text), 1, yyjson_get_len(text), stdout);
    else
        code = cli_fail(&(struct err){.status = ST_INTERNAL});
    yyjson_doc_free(doc);
    http_reply_fini(&reply);
    return code;
}

/* ---- keys from standard input --------------------------------------------------------------------------------------
 */

/* Line ends become commas; false: there is nothing between them. */
static bool make_list(char *keys)
{
    size_t i;

    for (i = 0; keys[i]; i++)
        if (keys[i] == '\n' || keys[i] == '\r')
            keys[i] = ',';
    return keys[strspn(keys, ",")] != '\0';
}

/* "-" keeps a key out of the shell's history and the list of processes: one a line. An input that failed to come must
 * not remove the keys that are there. */
int special_provider_put(struct http *h, const struct command *c, const struct args *a)
{
    const char *given = args_option(a, "api-keys");
    struct err err = {.status = ST_OK};
    struct args with = *a;
    struct buf keys;
    size_t i;
    int code;

    if (!given || strcmp(given, "-") != 0)
        return request_run(h, a);
    buf_init(&keys, LIMIT_UPSTREAM_KEYS * (LIMIT_SECRET + 2));
    if (read_all(stdin, "standard input", &keys, &err) != ST_OK || buf_add(&keys, "", 1) != ST_OK) {
        buf_fini(&keys);
        return cli_fail(&err);
    }
    if (!make_list(keys.p)) {
        buf_fini(&keys);
        err_set(&err, ST_BAD_REQUEST, "standard input holds no key; --api-keys '' removes all of them");
        return cli_fail(&err);
    }
    for (i = 0; i < COMMAND_OPTIONS && c->options[i].name; i++)
        if (!strcmp(c->options[i].name, "api-keys"))
            with.options[i] = keys.p;
    code = request_run(h, &with);
    buf_fini(&keys);
    return code;
}

/* A provider that does not work is a failure of the command. */
int special_provider_test(struct http *h, const struct command *c, const struct args *a)
{
    struct err err = {.status = ST_OK};
    struct http_reply reply;
    yyjson_doc *doc;
    int code;

    (void)c;
    if (request_send(h, a, &reply, &err) != ST_OK)
        return cli_fail(&err);
    doc = yyjson_read(reply.body.p, reply.body.n, 0);
    code = request_print(a, &reply);
    if (code == CLI_OK && !yyjson_is_true(yyjson_obj_get(yyjson_doc_get_root(doc), "ok")))
        code = CLI_FAILED;
    yyjson_doc_free(doc);
    http_reply_fini(&reply);
    return code;
}
