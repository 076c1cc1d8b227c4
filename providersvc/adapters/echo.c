/*
 * echo: a provider without a network, so that a first call works and has a bill. It answers with the text of the last
 * message of a user or a tool; an image part is answered as "[image]". echo        at once echo-slow   one token each
 * ECHO_TOKEN_MS; not streamed: after the time that all of them take echo-tools  when the request has function tools and
 * the last message is not a tool's: a call of the first of them, its required strings filled with that text, numbers
 * with 1, booleans with true, others with null Tokens are counted by the rule of tally.h, the prompt with its costs for
 * messages and images; the output limit is kept.
 */
#include "providersvc/adapter.h"

#include <stdio.h>
#include <string.h>

#include <yyjson.h>

#include "providersvc/completion.h"
#include "providersvc/loop.h"
#include "services/json.h"

#define ECHO_TOKEN_MS 50
#define ECHO_PIECE 4 /* ASCII characters of one streamed token; another character is one by itself */
#define ECHO_HEAD_MAX 2048
#define ECHO_CALL_MAX (1024u * 1024u)

enum step { STEP_HEAD, STEP_TEXT, STEP_FINISH, STEP_OVER };

struct echo {
    struct buf text; /* what is answered: content, or a tool call's arguments */
    struct buf tool; /* its name as JSON; empty = content */
    size_t at; /* of text, how much went out */
    size_t end; /* of text, how much may go out */
    uint64_t prompt; /* tokens */
    bool cut; /* the output limit ends it */
    bool slow;
    enum step step;
    char head[ECHO_HEAD_MAX]; /* of every chunk, up to the choice */
    size_t head_n;
};

/* ---- reading the request
 * ------------------------------------------------------------------------------------------------- */

struct reading {
    struct echo *e;
    struct tally text;
    uint64_t extra; /* tokens for messages and images */
    enum status st;
};

static struct slice text_of(yyjson_val *v)
{
    return (struct slice){yyjson_get_str(v), yyjson_get_len(v)};
}

static void add_text(struct reading *r, yyjson_val *v, struct buf *answer)
{
    if (!yyjson_is_str(v))
        return;
    tally_text(&r->text, text_of(v));
    if (answer != NULL && r->st == ST_OK)
        r->st = buf_add(answer, yyjson_get_str(v), yyjson_get_len(v));
}

static void add_part(struct reading *r, yyjson_val *part, struct buf *answer)
{
    yyjson_val *image = yyjson_obj_get(part, "image_url");

    add_text(r, yyjson_obj_get(part, "text"), answer);
    if (image == NULL)
        return;
    r->extra += yyjson_equals_str(yyjson_obj_get(image, "detail"), "low") ? TALLY_IMAGE_LOW : TALLY_IMAGE;
    if (answer != NULL && r->st == ST_OK)
        r->st = buf_add(answer, "[image]", strlen("[image]"));
}

/* Counts a message; the text of one that is to be answered goes to answer. */
static void read_message(struct reading *r, yyjson_val *message, struct buf *answer)
{
    yyjson_val *content = yyjson_obj_get(message, "content");
    yyjson_val *part;
    size_t i, n;

    r->extra += TALLY_PER_MESSAGE;
    if (answer != NULL)
        answer->n = 0;
    add_text(r, content, answer);
    yyjson_arr_foreach(content, i, n, part) add_part(r, part, answer);
}

static bool is_answered(yyjson_val *message)
{
    yyjson_val *role = yyjson_obj_get(message, "role");

    return yyjson_equals_str(role, "user") || yyjson_equals_str(role, "tool");
}

static void read_messages(struct reading *r, yyjson_val *root)
{
    yyjson_val *messages = yyjson_obj_get(root, "messages");
    yyjson_val *message;
    size_t i, n;

    yyjson_arr_foreach(messages, i, n, message) read_message(r, message, is_answered(message) ? &r->e->text : NULL);
    r->extra += TALLY_PER_REPLY;
}

/* The last message that is answered is a tool's: its call has been made. */
static bool tool_has_answered(yyjson_val *root)
{
    yyjson_val *messages = yyjson_obj_get(root, "messages");
    yyjson_val *message;
    bool tool = false;
    size_t i, n;

    yyjson_arr_foreach(messages, i, n, message) if (is_answered(message)) tool =
        yyjson_equals_str(yyjson_obj_get(message, "role"), "tool");
    return tool;
}

static const char *filler(yyjson_val *type)
{
    if (yyjson_equals_str(type, "integer") || yyjson_equals_str(type, "number"))
        return "1";
    return yyjson_equals_str(type, "boolean") ? "true" : "null";
}

static enum status write_arguments(yyjson_val *parameters, struct slice text, struct buf *out)
{
    yyjson_val *properties = yyjson_obj_get(parameters, "properties");
    yyjson_val *required = yyjson_obj_get(parameters, "required");
    enum status st = buf_add(out, "{", 1);
    yyjson_val *name;
    size_t i, n;

    yyjson_arr_foreach(required, i, n, name)
    {
        yyjson_val *type =
            yyjson_obj_get(yyjson_obj_getn(properties, yyjson_get_str(name), yyjson_get_len(name)), "type");

        if (!yyjson_is_str(name) || st != ST_OK)
            continue;
        if (i > 0)
            st = buf_add(out, ",", 1);
        if (st == ST_OK)
            st = json_add_string(out, text_of(name));
        if (st == ST_OK)
            st = buf_add(out, ":", 1);
        if (st == ST_OK && yyjson_equals_str(type, "string"))
            st = json_add_string(out, text);
        else if (st == ST_OK)
            st = buf_addf(out, "%s", filler(type));
    }
    return st == ST_OK ? buf_add(out, "}", 1) : st;
}

/* Turns the answer into a tool call when this is the model, the time and the request for one. */
static enum status choose_tool(struct completion *c, struct echo *e, yyjson_val *root)
{
    yyjson_val *function = yyjson_obj_get(yyjson_arr_get_first(yyjson_obj_get(root, "tools")), "function");
    yyjson_val *name = yyjson_obj_get(function, "name");
    struct buf arguments;
    enum status st;

    if (!slice_is(c->route->upstream_model, "echo-tools") || !yyjson_is_str(name) || tool_has_answered(root) ||
        yyjson_equals_str(yyjson_obj_get(root, "tool_choice"), "none"))
        return ST_OK;
    buf_init(&arguments, COMPLETION_OUT_MAX);
    st = json_add_string(&e->tool, text_of(name));
    if (st == ST_OK)
        st = write_arguments(yyjson_obj_get(function, "parameters"), (struct slice){e->text.p, e->text.n}, &arguments);
    if (st == ST_OK) {
        struct buf text = e->text;

        e->text = arguments;
        arguments = text;
    }
    buf_fini(&arguments);
    return st;
}

/* Names, schemas and so on are text, too. */
static void count_tools(struct reading *r, yyjson_val *root)
{
    yyjson_val *tools = yyjson_obj_get(root, "tools");
    size_t n = 0;
    char *json = tools != NULL ? yyjson_val_write(tools, 0, &n) : NULL;

    if (json != NULL)
        tally_text(&r->text, (struct slice){json, n});
    free(json);
}

/* One token's worth of text at `at`. */
static size_t piece(const struct buf *text, size_t at)
{
    size_t n = 1;

    if ((unsigned char)text->p[at] < 0x80) {
        while (n < ECHO_PIECE && at + n < text->n && (unsigned char)text->p[at + n] < 0x80)
            n++;
        return n;
    }
    while (at + n < text->n && ((unsigned char)text->p[at + n] & 0xc0) == 0x80)
        n++;
    return n;
}

static uint64_t output_limit(const struct completion *c, yyjson_val *root)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens"};
    uint64_t limit = c->req->output_limit > 0 ? c->req->output_limit : LIMIT_TOKENS;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        yyjson_val *v = yyjson_obj_get(root, names[i]);

        if (yyjson_is_uint(v) && yyjson_get_uint(v) < limit)
            limit = yyjson_get_uint(v);
    }
    return limit;
}

/* How much of the text the limit allows. */
static void limit_text(struct echo *e, uint64_t limit)
{
    struct tally so_far = {0};

    if (e->tool.n > 2)
        tally_text(&so_far, (struct slice){e->tool.p + 1, e->tool.n - 2});
    e->end = 0;
    while (e->end < e->text.n) {
        size_t n = piece(&e->text, e->end);

        tally_text(&so_far, (struct slice){e->text.p + e->end, n});
        if (tally_tokens(&so_far) > limit)
            break;
        e->end += n;
    }
    e->cut = e->end < e->text.n;
}

static enum status read_request(struct completion *c, struct echo *e)
{
    yyjson_doc *doc = yyjson_read(c->req->body.p, c->req->body.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *choices = yyjson_obj_get(root, "n");
    struct reading r = {.e = e, .st = ST_OK};

    if (!yyjson_is_obj(root))
        r.st = err_set(&c->call->err, ST_BAD_REQUEST, "The request is not a JSON object.");
    if (yyjson_is_uint(choices) && yyjson_get_uint(choices) > 1)
        r.st = err_set_field(&c->call->err, ST_BAD_REQUEST, "unsupported_value", "n",
                             "The echo provider makes one choice only.");
    if (r.st == ST_OK) {
        read_messages(&r, root);
        count_tools(&r, root);
    }
    if (r.st == ST_OK)
        r.st = choose_tool(c, e, root);
    if (r.st == ST_OK)
        limit_text(e, output_limit(c, root));
    e->prompt = tally_tokens(&r.text) + r.extra;
    if (e->prompt > LIMIT_TOKENS)
        e->prompt = LIMIT_TOKENS;
    yyjson_doc_free(doc);
    return r.st;
}

/* ---- answering
 * --------------------------------------------------------------------------------------------------------- */

static const char *finish_reason(const struct echo *e)
{
    if (e->cut)
        return "length";
    return e->tool.n > 0 ? "tool_calls" : "stop";
}

static struct slice call_id(const struct completion *c)
{
    struct slice id = c->req->request_id;

    if (id.n > 4 && memcmp(id.p, "req_", 4) == 0)
        id = (struct slice){id.p + 4, id.n - 4};
    return id;
}

static enum status write_usage(struct completion *c, const struct echo *e, struct buf *out)
{
    uint64_t completion = tally_tokens(&c->text), total = e->prompt + completion;

    c->usage = (struct usage){.known = true, .prompt = e->prompt, .completion = completion};
    return buf_addf(
        out,
        "\"usage\":{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}}",
        (unsigned long long)e->prompt, (unsigned long long)completion, (unsigned long long)total);
}

static enum status write_head(struct completion *c, struct echo *e, const char *object)
{
    struct buf b;
    struct slice id = call_id(c);
    enum status st;

    buf_init(&b, sizeof(e->head));
    st = buf_addf(&b, "{\"id\":\"chatcmpl-");
    for (size_t i = 0; i < id.n && st == ST_OK; i++) /* only what needs no escape */
        if (strchr("\"\\", id.p[i]) == NULL && (unsigned char)id.p[i] >= ' ')
            st = buf_add(&b, &id.p[i], 1);
    if (st == ST_OK)
        st = buf_addf(&b, "\",\"object\":\"%s\",\"created\":%llu,\"model\":", object,
                      (unsigned long long)(c->created_ms / 1000));
    if (st == ST_OK)
        st = json_add_string(&b, c->route->upstream_model);
    if (st == ST_OK)
        st = buf_addf(&b, ",\"choices\":[");
    if (st == ST_OK) {
        memcpy(e->head, b.p, b.n);
        e->head_n = b.n;
    }
    buf_fini(&b);
    return st;
}

static void tell_head(struct completion *c, const char *content_type)
{
    struct answer_head head = {.status = 200, .content_type = slice_of(content_type)};

    completion_alive(c, true);
    completion_quiet_off(c);
    completion_head(c, &head);
}

/* A chunk around one delta, which is given as JSON. */
static enum status write_chunk(struct completion *c, struct echo *e, struct slice delta, const char *finish)
{
    struct buf *out = &c->out;
    enum status st = buf_add(out, "data: ", 6);

    if (st == ST_OK)
        st = buf_add(out, e->head, e->head_n);
    if (st == ST_OK)
        st = buf_addf(out, "{\"index\":0,\"delta\":{");
    if (st == ST_OK)
        st = buf_add(out, delta.p, delta.n);
    if (st == ST_OK)
        st = finish == NULL ? buf_addf(out, "},\"logprobs\":null,\"finish_reason\":null}]")
                            : buf_addf(out, "},\"logprobs\":null,\"finish_reason\":\"%s\"}]", finish);
    if (st == ST_OK && c->req->usage_asked)
        st = buf_addf(out, ",\"usage\":null");
    if (st == ST_OK)
        st = completion_write(c, slice_of("}\n\n"));
    return st;
}

static enum status write_first(struct completion *c, struct echo *e)
{
    struct buf delta;
    enum status st;

    buf_init(&delta, ECHO_CALL_MAX);
    if (e->tool.n == 0)
        st = buf_addf(&delta, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    else
        st = buf_addf(&delta,
                      "\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"index\":0,\"id\":\"call_" SLICE_FMT
                      "\",\"type\":\"function\",\"function\":{\"name\":" SLICE_FMT ",\"arguments\":\"\"}}]",
                      SLICE_ARG(call_id(c)), (int)e->tool.n, e->tool.p);
    if (st == ST_OK)
        st = write_chunk(c, e, (struct slice){delta.p, delta.n}, NULL);
    if (e->tool.n > 2)
        tally_text(&c->text, (struct slice){e->tool.p + 1, e->tool.n - 2});
    buf_fini(&delta);
    return st;
}

static enum status write_piece(struct completion *c, struct echo *e)
{
    struct slice text = {e->text.p + e->at, piece(&e->text, e->at)};
    struct buf delta;
    enum status st;

    buf_init(&delta, ECHO_CALL_MAX);
    st =
        buf_addf(&delta, e->tool.n == 0 ? "\"content\":" : "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":");
    if (st == ST_OK)
        st = json_add_string(&delta, text);
    if (st == ST_OK && e->tool.n > 0)
        st = buf_addf(&delta, "}}]");
    if (st == ST_OK)
        st = write_chunk(c, e, (struct slice){delta.p, delta.n}, NULL);
    buf_fini(&delta);
    tally_text(&c->text, text);
    e->at += text.n;
    return st;
}

static enum status write_last(struct completion *c, struct echo *e)
{
    enum status st = write_chunk(c, e, (struct slice){NULL, 0}, finish_reason(e));

    if (st == ST_OK && c->req->usage_asked) {
        st = buf_add(&c->out, "data: ", 6);
        if (st == ST_OK)
            st = buf_add(&c->out, e->head, e->head_n);
        if (st == ST_OK)
            st = buf_add(&c->out, "],", 2);
        if (st == ST_OK)
            st = write_usage(c, e, &c->out);
        if (st == ST_OK)
            st = completion_write(c, slice_of("}\n\n"));
    } else {
        c->usage = (struct usage){.known = true, .prompt = e->prompt, .completion = tally_tokens(&c->text)};
    }
    if (st == ST_OK && c->req->credit_limited && e->cut)
        st = completion_tell_limit(c, c->req->output_limit);
    if (st == ST_OK)
        st = completion_write(c, slice_of("data: [DONE]\n\n"));
    return st;
}

static enum status next_chunk(struct completion *c, struct echo *e)
{
    switch (e->step) {
    case STEP_HEAD:
        e->step = e->end > 0 ? STEP_TEXT : STEP_FINISH;
        tell_head(c, "text/event-stream; charset=utf-8");
        return write_first(c, e);
    case STEP_TEXT:
        if (e->at + piece(&e->text, e->at) >= e->end)
            e->step = STEP_FINISH;
        return write_piece(c, e);
    case STEP_FINISH: e->step = STEP_OVER; return write_last(c, e);
    case STEP_OVER: break;
    }
    return ST_OK;
}

static void over(struct completion *c, enum status st)
{
    if (st != ST_OK) {
        completion_fail(c, ATTEMPT_ERROR, ST_INTERNAL, "The answer became too large.");
        return;
    }
    completion_count(c, ATTEMPT_OK);
    completion_end(c, OUTCOME_OK, ST_OK);
}

static void go_on(struct completion *c, struct echo *e)
{
    enum status st = ST_OK;

    while (st == ST_OK && e->step != STEP_OVER) {
        if (completion_full(c)) {
            c->starved = true;
            return;
        }
        st = next_chunk(c, e);
        if (e->slow && e->step == STEP_TEXT && st == ST_OK) {
            completion_wake_at(c, c->loop->now_ms + ECHO_TOKEN_MS);
            return;
        }
    }
    over(c, st);
}

static void answer_whole(struct completion *c, struct echo *e)
{
    struct slice text = {e->text.p, e->end};
    struct buf *out = &c->out;
    enum status st;

    tell_head(c, "application/json");
    tally_text(&c->text, text);
    if (e->tool.n > 2)
        tally_text(&c->text, (struct slice){e->tool.p + 1, e->tool.n - 2});
    st = buf_add(out, e->head, e->head_n);
    if (st == ST_OK)
        st = buf_addf(out, "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    if (st == ST_OK)
        st = e->tool.n == 0 ? json_add_string(out, text) : buf_addf(out, "null");
    if (st == ST_OK)
        st = buf_addf(out, ",\"refusal\":null");
    if (st == ST_OK && e->tool.n > 0) {
        st = buf_addf(out,
                      ",\"tool_calls\":[{\"id\":\"call_" SLICE_FMT
                      "\",\"type\":\"function\",\"function\":{\"name\":" SLICE_FMT ",\"arguments\":",
                      SLICE_ARG(call_id(c)), (int)e->tool.n, e->tool.p);
        if (st == ST_OK)
            st = json_add_string(out, text);
        if (st == ST_OK)
            st = buf_addf(out, "}}]");
    }
    if (st == ST_OK)
        st = buf_addf(out, "},\"logprobs\":null,\"finish_reason\":\"%s\"}],", finish_reason(e));
    if (st == ST_OK)
        st = write_usage(c, e, out);
    if (st == ST_OK)
        st = completion_write(c, slice_of("}"));
    over(c, st);
}

/* ---- the adapter
 * ------------------------------------------------------------------------------------------------------- */

static uint64_t pieces(const struct echo *e)
{
    uint64_t n = 0;

    for (size_t at = 0; at < e->end; n++)
        at += piece(&e->text, at);
    return n;
}

static enum status echo_start(struct completion *c)
{
    struct echo *e = c->state;
    enum status st;

    buf_init(&e->text, COMPLETION_OUT_MAX / 2);
    buf_init(&e->tool, ECHO_CALL_MAX / 2);
    st = read_request(c, e);
    if (st == ST_OK)
        st = write_head(c, e, c->req->stream ? "chat.completion.chunk" : "chat.completion");
    if (st != ST_OK)
        return st == ST_BAD_REQUEST ? st : err_set(&c->call->err, ST_INTERNAL, "The echo provider could not answer.");
    e->slow = slice_is(c->route->upstream_model, "echo-slow");
    completion_quiet_off(c);
    if (c->req->stream)
        go_on(c, e);
    else if (e->slow)
        completion_wake_at(c, c->loop->now_ms + pieces(e) * ECHO_TOKEN_MS);
    else
        answer_whole(c, e);
    return ST_OK;
}

static void echo_go_on(struct completion *c)
{
    if (c->req->stream)
        go_on(c, c->state);
    else
        answer_whole(c, c->state);
}

static void echo_stop(struct completion *c)
{
    (void)c; /* nothing is under way */
}

static void echo_fini(struct completion *c)
{
    struct echo *e = c->state;

    buf_fini(&e->text);
    buf_fini(&e->tool);
}

const struct adapter adapter_echo = {
    .kind = "echo",
    .state_size = sizeof(struct echo),
    .start = echo_start,
    .stop = echo_stop,
    .resume = echo_go_on,
    .wake = echo_go_on,
    .fini = echo_fini,
};
