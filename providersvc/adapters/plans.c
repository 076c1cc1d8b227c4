#include "providersvc/adapters/plans.h"

#include <stdio.h>
#include <string.h>

#include "providersvc/completion.h"
#include "services/json.h"

static const struct plan_row rows[] = {
    {ENDPOINT_CHAT, "/chat/completions", &dialect_chat, true, true},
    {ENDPOINT_COMPLETIONS, "/completions", &dialect_chat, true, true},
    {ENDPOINT_RESPONSES, "/responses", &dialect_responses, true, false},
    {ENDPOINT_RESPONSES_COMPACT, "/responses/compact", &dialect_responses, true, false},
    {ENDPOINT_MESSAGES, "/chat/completions", &dialect_chat, true, true},
    {ENDPOINT_EMBEDDINGS, "/embeddings", &dialect_chat, true, false},
    {ENDPOINT_MODERATIONS, "/moderations", &dialect_chat, true, false},
    {ENDPOINT_RESPONSES_OBJECT, NULL, &dialect_responses, false, false},
    {ENDPOINT_RESPONSES_TOKENS, "/responses/input_tokens", &dialect_chat, false, false},
    {ENDPOINT_IMAGES, NULL, &dialect_chat, false, false},
    {ENDPOINT_SPEECH, "/audio/speech", &dialect_chat, false, false},
    {ENDPOINT_TRANSCRIPTIONS, NULL, &dialect_chat, false, false},
    {ENDPOINT_FILES, "/files", &dialect_chat, false, false},
    {ENDPOINT_FILES_OBJECT, NULL, &dialect_chat, false, false},
    {ENDPOINT_BATCHES, "/batches", &dialect_chat, false, false},
    {ENDPOINT_BATCHES_OBJECT, NULL, &dialect_chat, false, false},
    {ENDPOINT_OTHER, NULL, &dialect_chat, false, false},
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
    ret->limit_member = endpoint_limit_member(slice_of(row->endpoint));
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

/* The next character as a server may read it: percent-encoded ones decoded. */
static char next_char(const char *p, size_t n, size_t *at)
{
    size_t i = *at;

    if (p[i] == '%' && n - i >= 3 && hex(p[i + 1]) >= 0 && hex(p[i + 2]) >= 0) {
        *at += 3;
        return (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
    }
    *at += 1;
    return p[i];
}

/* Is no segment "." or "..", however it and what parts it from others is written? libcurl and servers would take it for
 * a way up. Nor is there a character that ends a line or a string once it is decoded. */
static bool segments_safe(const char *p, size_t n)
{
    size_t dots = 0, others = 0;

    for (size_t i = 0; i < n;) {
        char c = next_char(p, n, &i);

        if (c == '/' || c == '\\') {
            if (others == 0 && (dots == 1 || dots == 2))
                return false;
            dots = others = 0;
        } else if (c == '\r' || c == '\n' || c == '\0') {
            return false;
        } else if (c == '.') {
            dots++;
        } else {
            others++;
        }
    }
    return others > 0 || dots == 0 || dots > 2;
}

bool plan_path_safe(struct slice path)
{
    const char *query = path.n > 0 ? memchr(path.p, '?', path.n) : NULL;
    size_t n = query != NULL ? (size_t)(query - path.p) : path.n;

    if (n == 0 || path.p[0] != '/')
        return false;
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] <= ' ' || (unsigned char)path.p[i] >= 0x7f || path.p[i] == '#' ||
            path.p[i] == '\\')
            return false;
    return segments_safe(path.p, n);
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
    if (path.n >= sizeof(ret->path) || !plan_path_safe(path))
        return plan_refuses(c);
    memcpy(ret->path, path.p, path.n);
    ret->path[path.n] = '\0';
    return ST_OK;
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
