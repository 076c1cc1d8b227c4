#include "providersvc/adapters/plans.h"

#include <stdio.h>
#include <string.h>

#include "providersvc/completion.h"
#include "services/json.h"

static const struct plan_row rows[] = {
    {ENDPOINT_CHAT, "/chat/completions", &dialect_chat, NULL, true, true},
    {ENDPOINT_COMPLETIONS, "/completions", &dialect_chat, "max_tokens", true, true},
    {ENDPOINT_RESPONSES, "/responses", &dialect_responses, "max_output_tokens", true, false},
    {ENDPOINT_MESSAGES, "/chat/completions", &dialect_chat, NULL, true, true},
    {ENDPOINT_EMBEDDINGS, "/embeddings", &dialect_chat, "", true, false},
    {ENDPOINT_MODERATIONS, "/moderations", &dialect_chat, "", true, false},
    {ENDPOINT_RESPONSES_OBJECT, NULL, &dialect_responses, "", false, false},
    {ENDPOINT_RESPONSES_TOKENS, NULL, &dialect_chat, "", false, false},
    {ENDPOINT_IMAGES, NULL, &dialect_chat, "", false, false},
    {ENDPOINT_SPEECH, "/audio/speech", &dialect_chat, "", false, false},
    {ENDPOINT_TRANSCRIPTIONS, NULL, &dialect_chat, "", false, false},
    {ENDPOINT_FILES, "/files", &dialect_chat, "", false, false},
    {ENDPOINT_FILES_OBJECT, NULL, &dialect_chat, "", false, false},
    {ENDPOINT_BATCHES, "/batches", &dialect_chat, "", false, false},
    {ENDPOINT_BATCHES_OBJECT, NULL, &dialect_chat, "", false, false},
    {ENDPOINT_OTHER, NULL, &dialect_chat, "", false, false},
};

const struct plan_row *plan_row_of(struct slice endpoint)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (slice_is(endpoint, rows[i].endpoint))
            return &rows[i];
    return NULL;
}

void plan_take_row(const struct plan_row *row, struct call_plan *ret)
{
    ret->client = ret->upstream = row->dialect;
    ret->limit_member = row->limit_member;
    ret->json = row->json;
    ret->usage_option = row->usage_option;
}

void plan_step(struct call_plan *p, const struct translator *step)
{
    if (p->n_steps == 0)
        p->client = step->client;
    p->upstream = step->upstream;
    p->steps[p->n_steps++] = step;
    p->usage_option = p->pass_headers = false;
    p->json = true;
}

enum status plan_path(struct call_plan *p, const char *path)
{
    size_t n = strlen(path);

    if (n >= sizeof(p->path))
        return ST_NOT_FOUND;
    memcpy(p->path, path, n + 1);
    return ST_OK;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Is a segment "." or "..", however it is written? libcurl and servers would take it for a way up. */
static bool leads_up(const char *p, size_t n)
{
    size_t dots = 0;

    for (size_t i = 0; i < n; dots++) {
        if (p[i] == '.') {
            i++;
        } else if (n - i >= 3 && p[i] == '%' && hex(p[i + 1]) == 2 && hex(p[i + 2]) == 14) {
            i += 3;
        } else {
            return false;
        }
    }
    return dots == 1 || dots == 2;
}

/* A path and a query that can only lead below the base URL. */
static bool path_safe(struct slice path)
{
    const char *query = path.n > 0 ? memchr(path.p, '?', path.n) : NULL;
    size_t n = query != NULL ? (size_t)(query - path.p) : path.n, at = 1;

    if (n == 0 || path.p[0] != '/')
        return false;
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] <= ' ' || (unsigned char)path.p[i] >= 0x7f || path.p[i] == '#' ||
            path.p[i] == '\\')
            return false;
    while (at <= n) {
        const char *slash = memchr(path.p + at, '/', n - at);
        size_t end = slash != NULL ? (size_t)(slash - path.p) : n;

        if (leads_up(path.p + at, end - at))
            return false;
        at = end + 1;
    }
    return true;
}

enum status plan_refuses(const struct completion *c)
{
    return err_set_field(&c->call->err, ST_NOT_FOUND, "unknown_url", NULL,
                         "The provider `%s` does not serve this endpoint (" SLICE_FMT ").", c->upstream->name,
                         SLICE_ARG(c->req->endpoint));
}

enum status plan_own_path(const struct completion *c, const struct plan_row *row, struct call_plan *ret)
{
    struct slice path = c->req->path;

    if (path.n == 0 && row->path != NULL)
        return plan_path(ret, row->path);
    if (path.n >= sizeof(ret->path) || !path_safe(path))
        return plan_refuses(c);
    memcpy(ret->path, path.p, path.n);
    ret->path[path.n] = '\0';
    return ST_OK;
}

const char *plan_below_v1(const struct completion *c, const char *path)
{
    static const struct {
        const char *bare, *full;
    } paths[] = {{"/messages", "/v1/messages"}, {"/messages/count_tokens", "/v1/messages/count_tokens"}};
    size_t n = strlen(c->upstream->base_url);

    if (n >= 3 && strcmp(c->upstream->base_url + n - 3, "/v1") == 0)
        return path;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (strcmp(paths[i].bare, path) == 0)
            return paths[i].full;
    return path;
}

void plan_encode(struct slice text, char *to, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;

    for (size_t i = 0; i < text.n && n + 4 <= size; i++) {
        unsigned char b = (unsigned char)text.p[i];

        if ((b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || strchr("-._~", b) != NULL) {
            to[n++] = (char)b;
        } else {
            to[n++] = '%';
            to[n++] = digits[b >> 4];
            to[n++] = digits[b & 15];
        }
    }
    to[n] = '\0';
}

static struct slice member(struct slice body, const char *key)
{
    struct json_cut cut;

    if (!json_find(body, key, &cut))
        return (struct slice){NULL, 0};
    return (struct slice){body.p + cut.value, cut.value_end - cut.value};
}

bool plan_has_tools(struct slice body)
{
    struct slice tools = member(body, "tools");

    for (size_t i = 1; i < tools.n; i++)
        if (tools.p[i] == '{')
            return tools.p[0] == '[';
    return false;
}

bool plan_effort_none(struct slice body)
{
    return slice_is(member(body, "reasoning_effort"), "\"none\"");
}
