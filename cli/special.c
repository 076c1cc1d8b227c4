#include "cli/special.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <yyjson.h>

#include "cli/print.h"
#include "cli/request.h"
#include "services/clock.h"
#include "services/ids.h"
#include "services/json.h"

#define WAIT_DEFAULT_S 20u
#define WAIT_MAX_S 3600u
#define WAIT_POLL_US 50000
#define CALL_BODY_MAX (1024u * 1024u)
#define PASSWORD_BYTES 12
#define PROGRAM_PATH_MAX 4096

static enum status seconds_of(const char *text, unsigned *ret, struct err *err)
{
    char *end = NULL;
    unsigned long n = text ? strtoul(text, &end, 10) : WAIT_DEFAULT_S;

    if (text && (end == text || *end || n > WAIT_MAX_S))
        return err_set(err, ST_BAD_REQUEST, "--seconds: expected a whole number up to %u", WAIT_MAX_S);
    *ret = (unsigned)n;
    return ST_OK;
}

int special_wait(struct http *h, const struct command *c, const struct args *a)
{
    struct http_request req = {.method = "GET", .path = c->path, .auth = HTTP_NO_AUTH, .timeout_s = 5};
    struct err err = {.status = ST_OK};
    unsigned seconds = 0;
    uint64_t end;

    if (seconds_of(args_option(a, "seconds"), &seconds, &err) != ST_OK)
        return cli_fail(&err);
    end = clock_ms() + seconds * UINT64_C(1000);
    for (;;) {
        struct http_reply reply;
        enum status st = http_send(h, &req, &reply, &err);

        if (st == ST_OK) {
            st = http_check(&reply, &err);
            http_reply_fini(&reply);
        }
        if (st == ST_OK)
            return CLI_OK;
        if (clock_ms() >= end)
            return cli_fail(&err);
        usleep(WAIT_POLL_US);
    }
}

/* ---- a call -------------------------------------------------------------------------------------------------------
 */

static enum status call_body(const struct args *a, struct buf *b)
{
    enum status st = buf_addf(b, "{\"model\":");

    if (st == ST_OK)
        st = json_add_string(b, slice_of(a->values[0]));
    if (st == ST_OK)
        st = buf_addf(b, ",\"messages\":[{\"role\":\"user\",\"content\":");
    if (st == ST_OK)
        st = json_add_string(b, slice_of(a->values[1]));
    return st == ST_OK ? buf_add(b, "}]}", 4) : st; /* and the closing NUL */
}

static void print_call(const struct http_reply *reply, uint64_t took_ms)
{
    yyjson_doc *doc = yyjson_read(reply->body.p, reply->body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *usage = yyjson_obj_get(root, "usage");

    print_value(stdout, yyjson_ptr_get(root, "/choices/0/message/content"), 0);
    fputs("\n\nmodel ", stdout);
    print_value(stdout, yyjson_obj_get(root, "model"), 0);
    fputs(", prompt tokens ", stdout);
    print_value(stdout, yyjson_obj_get(usage, "prompt_tokens"), 0);
    fputs(", completion tokens ", stdout);
    print_value(stdout, yyjson_obj_get(usage, "completion_tokens"), 0);
    fprintf(stdout, ", %llu ms, request %s\n", (unsigned long long)took_ms, reply->request_id);
    yyjson_doc_free(doc);
}

static const char *key_of(const struct args *a, struct err *err)
{
    const char *key = args_option(a, "key") ? args_option(a, "key") : getenv("OPENAI_API_KEY");

    if (!key)
        err_set(err, ST_BAD_REQUEST, "no API key: give --key, or set OPENAI_API_KEY to a key of this router");
    return key;
}

int special_models(struct http *h, const struct command *c, const struct args *a)
{
    struct http_request req = {.method = "GET", .path = c->path, .auth = HTTP_KEY};
    struct err err = {.status = ST_OK};
    struct http_reply reply;
    int code;

    req.key = key_of(a, &err);
    if (!req.key || http_send(h, &req, &reply, &err) != ST_OK)
        return cli_fail(&err);
    code = http_check(&reply, &err) == ST_OK ? request_print(a, &reply) : cli_fail(&err);
    http_reply_fini(&reply);
    return code;
}

int special_call(struct http *h, const struct command *c, const struct args *a)
{
    struct http_request req = {.method = "POST", .path = c->path, .auth = HTTP_KEY, .timeout_s = HTTP_LONG_S};
    struct err err = {.status = ST_OK};
    uint64_t began = clock_ms();
    struct http_reply reply;
    struct buf body;
    enum status st;
    int code = CLI_OK;

    req.key = key_of(a, &err);
    if (!req.key)
        return cli_fail(&err);
    buf_init(&body, CALL_BODY_MAX);
    st = call_body(a, &body);
    req.body = body.p;
    if (st == ST_OK)
        st = http_send(h, &req, &reply, &err);
    buf_fini(&body);
    if (st != ST_OK)
        return cli_fail(&err);
    if (http_check(&reply, &err) != ST_OK)
        code = cli_fail(&err);
    else if (a->json || a->field)
        code = request_print(a, &reply);
    else
        print_call(&reply, clock_ms() - began);
    http_reply_fini(&reply);
    return code;
}

/* ---- the ledger ---------------------------------------------------------------------------------------------------
 */

static int print_report(yyjson_val *root)
{
    yyjson_val *problems = yyjson_obj_get(root, "problems"), *problem;
    yyjson_val *ok = yyjson_obj_get(root, "ok");
    size_t i, max;

    fputs("accounts recomputed  ", stdout);
    print_value(stdout, yyjson_obj_get(root, "accounts"), 0);
    fputs("\nledger entries read  ", stdout);
    print_value(stdout, yyjson_obj_get(root, "entries"), 0);
    fputs("\ncalls matched        ", stdout);
    print_value(stdout, yyjson_obj_get(root, "requests"), 0);
    fputs("\nholds open           ", stdout);
    print_value(stdout, yyjson_obj_get(root, "holds_open"), 0);
    fputs("\nsources of usage     ", stdout);
    print_value(stdout, yyjson_obj_get(root, "positions"), 0);
    fputs("\nhash of the newest   ", stdout);
    print_value(stdout, yyjson_obj_get(root, "chain_head"), 0);
    fputs("\nsum of all accounts  ", stdout);
    print_value(stdout, yyjson_obj_get(root, "sum_usd"), 0);
    fputs(" USD\n", stdout);
    yyjson_arr_foreach(problems, i, max, problem)
    {
        fputs("DIFFERENCE ", stdout);
        print_value(stdout, yyjson_obj_get(problem, "account"), 0);
        fputs(": ", stdout);
        print_value(stdout, yyjson_obj_get(problem, "problem"), 0);
        fputc('\n', stdout);
    }
    if (yyjson_is_true(ok) && yyjson_arr_size(problems) == 0) {
        fputs("the ledger is clean: every balance is the sum of its entries, every hold has one end, no entry was "
              "changed\n",
              stdout);
        return CLI_OK;
    }
    fputs("the ledger does not agree\n", stderr);
    return CLI_FAILED;
}

int special_ledger_verify(struct http *h, const struct command *c, const struct args *a)
{
    struct err err = {.status = ST_OK};
    struct http_reply reply;
    yyjson_doc *doc;
    int code;

    (void)c;
    if (request_send(h, a, &reply, &err) != ST_OK)
        return cli_fail(&err);
    doc = yyjson_read(reply.body.p, reply.body.n, 0);
    if (a->json || a->field) {
        code = request_print(a, &reply);
        if (code == CLI_OK && !yyjson_is_true(yyjson_obj_get(yyjson_doc_get_root(doc), "ok")))
            code = CLI_FAILED;
    } else {
        code = print_report(yyjson_doc_get_root(doc));
    }
    yyjson_doc_free(doc);
    http_reply_fini(&reply);
    return code;
}

/* ---- restore ------------------------------------------------------------------------------------------------------
 */

/* Only meterd knows its database; the program stands beside this one. */
int special_restore(struct http *h, const struct command *c, const struct args *a)
{
    char path[PROGRAM_PATH_MAX], restore[] = "--restore", name[] = "meterd";
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(name) - 1);
    char *file = strdup(a->values[0]), *slash;
    char *argv[] = {name, restore, file, NULL};
    struct err err = {.status = ST_OK};

    (void)h;
    (void)c;
    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');
    if (file && slash) {
        memcpy(slash + 1, name, sizeof(name));
        execv(path, argv);
    }
    err_set(&err, ST_INTERNAL, "cannot run %s: %s", path, strerror(errno));
    free(file);
    return cli_fail(&err);
}

/* ---- users --------------------------------------------------------------------------------------------------------
 */

int special_user_create(struct http *h, const struct command *c, const struct args *a)
{
    char password[ID_TEXT_SIZE];
    struct args with = *a;
    size_t i;
    int code;

    if (args_option(a, "password"))
        return request_run(h, a);
    id_make(password, "", PASSWORD_BYTES);
    for (i = 0; i < COMMAND_OPTIONS && c->options[i].name; i++)
        if (!strcmp(c->options[i].name, "password"))
            with.options[i] = password;
    code = request_run(h, &with);
    if (code == CLI_OK)
        fprintf(stderr, "password: %s (shown this once)\n", password);
    return code;
}
