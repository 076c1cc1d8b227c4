/*
 * echo: a provider without a network, so that a first call works and has a bill. It answers with the text of the last
 * message of a user or a tool, or of a prompt; an image part is answered as "[image]".
 *
 *     echo        at once
 *     echo-slow   one token each ECHO_TOKEN_MS; not streamed: after the time that all of them take
 *     echo-tools  when the request has function tools and the last message is not a tool's: a call of the first of
 *                 them, its required strings filled with that text, numbers with 1, booleans with true, others with
 * null
 *
 * It speaks chat completions and the older completions; other clients reach it through the translators, as they do any
 * upstream. Tokens are counted by the rule of tally.h, the prompt with its costs for messages and images; the output
 * limit is kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "providersvc/adapters/plans.h"
#include "providersvc/completion.h"
#include "providersvc/dialects/put.h"
#include "providersvc/relay.h"
#include "services/json.h"

#define ECHO_TOKEN_MS 50
#define ECHO_PIECE 4 /* ASCII characters of one streamed token; another character is one by itself */
#define ECHO_HEAD_MAX 2048
#define ECHO_CALL_MAX (1024u * 1024u)

enum step { STEP_BEGIN, STEP_TEXT, STEP_FINISH, STEP_USAGE, STEP_DONE };

struct echo {
    struct buf text; /* what is answered: content, or a tool call's arguments */
    struct buf tool; /* its name as JSON; empty = content */
    size_t at; /* of text, how much went out */
    size_t end; /* of text, how much may go out */
    uint64_t prompt, completion; /* tokens */
    bool cut; /* the output limit ends it */
    bool slow;
    bool old; /* completions, not chat */
    bool usage_asked;
    bool stream;
    enum step step;
    struct buf head; /* of every chunk, up to the choice */
    struct slice id; /* the request's, for the call's */
};

/* ---- reading the request
 * ------------------------------------------------------------------------------------------------- */

struct reading {
    struct echo *e;
    struct tally text;
    uint64_t extra; /* tokens for messages and images */
    struct err *err;
    enum status st;
};

static void add_text(struct reading *r, yyjson_val *v, struct buf *answer)
{
    if (!yyjson_is_str(v))
        return;
    tally_text(&r->text, facts_text(v));
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

/* Of completions: a text, or a list of one. Tokens cannot be told back. */
static void read_prompt(struct reading *r, yyjson_val *prompt)
{
    if (yyjson_arr_size(prompt) == 1)
        prompt = yyjson_arr_get_first(prompt);
    if (yyjson_is_str(prompt))
        add_text(r, prompt, &r->e->text);
    else if (prompt == NULL)
        r->st = err_set_field(r->err, ST_BAD_REQUEST, "missing_required_parameter", "prompt",
                              "Missing required parameter: 'prompt'.");
    else
        r->st = err_set_field(r->err, ST_BAD_REQUEST, "unsupported_value", "prompt",
                              "The echo provider takes one text as prompt.");
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
            st = json_add_string(out, facts_text(name));
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
static enum status choose_tool(const struct completion *c, struct echo *e, yyjson_val *root)
{
    yyjson_val *function = yyjson_obj_get(yyjson_arr_get_first(yyjson_obj_get(root, "tools")), "function");
    yyjson_val *name = yyjson_obj_get(function, "name");
    struct buf arguments;
    enum status st;

    if (!slice_is(c->route->upstream_model, "echo-tools") || !yyjson_is_str(name) || tool_has_answered(root) ||
        yyjson_equals_str(yyjson_obj_get(root, "tool_choice"), "none"))
        return ST_OK;
    buf_init(&arguments, COMPLETION_OUT_MAX);
    st = json_add_string(&e->tool, facts_text(name));
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

static uint64_t output_limit(yyjson_val *root)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens"};
    uint64_t limit = LIMIT_TOKENS;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        yyjson_val *v = yyjson_obj_get(root, names[i]);

        if (yyjson_is_uint(v) && yyjson_get_uint(v) < limit)
            limit = yyjson_get_uint(v);
    }
    return limit;
}

static struct slice tool_name(const struct echo *e)
{
    return e->tool.n > 2 ? (struct slice){e->tool.p + 1, e->tool.n - 2} : (struct slice){NULL, 0};
}

/* How much of the text the limit allows, and what that costs. */
static void limit_text(struct echo *e, uint64_t limit)
{
    struct tally so_far = {0};

    tally_text(&so_far, tool_name(e));
    e->end = 0;
    e->completion = tally_tokens(&so_far);
    while (e->end < e->text.n) {
        size_t n = piece(&e->text, e->end);

        tally_text(&so_far, (struct slice){e->text.p + e->end, n});
        if (tally_tokens(&so_far) > limit)
            break;
        e->completion = tally_tokens(&so_far);
        e->end += n;
    }
    e->cut = e->end < e->text.n;
}

static enum status read_request(const struct completion *c, struct echo *e, yyjson_val *root, struct err *err)
{
    yyjson_val *choices = yyjson_obj_get(root, "n"), *options = yyjson_obj_get(root, "stream_options");
    struct reading r = {.e = e, .err = err, .st = ST_OK};

    if (!yyjson_is_obj(root))
        return err_set(err, ST_BAD_REQUEST, "The request is not a JSON object.");
    if (yyjson_is_uint(choices) && yyjson_get_uint(choices) > 1)
        return err_set_field(err, ST_BAD_REQUEST, "unsupported_value", "n", "The echo provider makes one choice only.");
    e->usage_asked = yyjson_is_true(yyjson_obj_get(options, "include_usage"));
    if (e->old)
        read_prompt(&r, yyjson_obj_get(root, "prompt"));
    else
        read_messages(&r, root);
    count_tools(&r, root);
    if (r.st == ST_OK)
        r.st = choose_tool(c, e, root);
    if (r.st == ST_OK)
        limit_text(e, output_limit(root));
    e->prompt = tally_tokens(&r.text) + r.extra;
    if (e->prompt > LIMIT_TOKENS)
        e->prompt = LIMIT_TOKENS;
    return r.st;
}

/* ---- answering -----------------------------------------------------------------------------------------------------
 */

static const char *finish_reason(const struct echo *e)
{
    if (e->cut)
        return "length";
    return e->tool.n > 0 ? "tool_calls" : "stop";
}

static void put_usage(struct put *p, const struct echo *e)
{
    put_raw(p, "\"usage\":{\"prompt_tokens\":");
    put_count(p, e->prompt);
    put_raw(p, ",\"completion_tokens\":");
    put_count(p, e->completion);
    put_raw(p, ",\"total_tokens\":");
    put_count(p, e->prompt + e->completion);
    put_raw(p, ",\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":"
               "{\"reasoning_tokens\":0}}");
}

static enum status write_head(const struct completion *c, struct echo *e)
{
    struct slice id = translate_bare_id(c->req->request_id);
    const char *object = e->old ? "text_completion" : c->req->stream ? "chat.completion.chunk" : "chat.completion";
    struct put p = {&e->head, ST_OK};

    put_raw(&p, e->old ? "{\"id\":\"cmpl-" : "{\"id\":\"chatcmpl-");
    put_bytes(&p, id.p, id.n);
    put_raw(&p, "\",\"object\":\"");
    put_raw(&p, object);
    put_raw(&p, "\",\"created\":");
    put_count(&p, c->created_ms / 1000);
    put_raw(&p, ",\"model\":");
    put_string(&p, c->route->upstream_model);
    put_raw(&p, ",\"choices\":[");
    e->id = id;
    return p.st;
}

static void put_head(struct put *p, const struct echo *e)
{
    put_bytes(p, e->head.p, e->head.n);
}

/* "tool_calls":[…], with arguments that are as long as they were given. index: as in streams. */
static void put_call(struct put *p, const struct echo *e, const char *index, struct slice arguments)
{
    put_raw(p, ",\"tool_calls\":[{");
    put_raw(p, index);
    put_raw(p, "\"id\":\"call_");
    put_bytes(p, e->id.p, e->id.n);
    put_raw(p, "\",\"type\":\"function\",\"function\":{\"name\":");
    put_bytes(p, e->tool.p, e->tool.n);
    put_raw(p, ",\"arguments\":");
    put_string(p, arguments);
    put_raw(p, "}}]");
}

/* A chunk up to the content of its delta, and from there on. */
static void begin_chunk(struct put *p, const struct echo *e)
{
    put_raw(p, "data: ");
    put_head(p, e);
    put_raw(p, e->old ? "{\"index\":0" : "{\"index\":0,\"delta\":{");
}

static void end_chunk(struct put *p, const struct echo *e, const char *finish)
{
    put_raw(p, e->old ? ",\"logprobs\":null,\"finish_reason\":" : "},\"logprobs\":null,\"finish_reason\":");
    put_raw(p, finish != NULL ? "\"" : "null");
    if (finish != NULL) {
        put_raw(p, finish);
        put_raw(p, "\"");
    }
    put_raw(p, e->usage_asked ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

static void put_first(struct put *p, const struct echo *e)
{
    begin_chunk(p, e);
    put_raw(p, "\"role\":\"assistant\",\"content\":");
    put_raw(p, e->tool.n > 0 ? "null" : "\"\",\"refusal\":null");
    if (e->tool.n > 0)
        put_call(p, e, "\"index\":0,", slice_of(""));
    end_chunk(p, e, NULL);
}

static void put_piece(struct put *p, struct echo *e)
{
    struct slice text = {e->text.p + e->at, piece(&e->text, e->at)};

    begin_chunk(p, e);
    put_raw(p, e->old          ? ",\"text\":"
               : e->tool.n > 0 ? "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
                               : "\"content\":");
    put_string(p, text);
    if (e->tool.n > 0)
        put_raw(p, "}}]");
    end_chunk(p, e, NULL);
    e->at += text.n;
}

static void put_finish(struct put *p, const struct echo *e)
{
    begin_chunk(p, e);
    if (e->old)
        put_raw(p, ",\"text\":\"\"");
    end_chunk(p, e, finish_reason(e));
}

static void put_usage_chunk(struct put *p, const struct echo *e)
{
    put_raw(p, "data: ");
    put_head(p, e);
    put_raw(p, "],");
    put_usage(p, e);
    put_raw(p, "}\n\n");
}

/* One event. */
static enum status next_event(struct echo *e, struct buf *out, struct local_piece *ret)
{
    struct put p = {out, ST_OK};
    bool text = false;

    switch (e->step) {
    case STEP_BEGIN:
        text = e->end > 0;
        if (!e->old)
            put_first(&p, e);
        e->step = text ? STEP_TEXT : STEP_FINISH;
        break;
    case STEP_TEXT:
        put_piece(&p, e);
        text = e->at < e->end;
        e->step = text ? STEP_TEXT : STEP_FINISH;
        break;
    case STEP_FINISH:
        put_finish(&p, e);
        e->step = e->usage_asked ? STEP_USAGE : STEP_DONE;
        break;
    case STEP_USAGE:
        put_usage_chunk(&p, e);
        e->step = STEP_DONE;
        break;
    case STEP_DONE:
        put_raw(&p, "data: [DONE]\n\n");
        ret->last = true;
        break;
    }
    ret->wait_ms = e->slow && text ? ECHO_TOKEN_MS : 0;
    return p.st;
}

static void put_message(struct put *p, const struct echo *e, struct slice text)
{
    put_raw(p, "\"message\":{\"role\":\"assistant\",\"content\":");
    if (e->tool.n == 0)
        put_string(p, text);
    else
        put_raw(p, "null");
    put_raw(p, ",\"refusal\":null");
    if (e->tool.n > 0)
        put_call(p, e, "", text);
    put_raw(p, "}");
}

static enum status whole_answer(const struct echo *e, struct buf *out)
{
    struct slice text = {e->text.p, e->end};
    struct put p = {out, ST_OK};

    put_head(&p, e);
    put_raw(&p, "{\"index\":0,");
    if (e->old) {
        put_raw(&p, "\"text\":");
        put_string(&p, text);
    } else {
        put_message(&p, e, text);
    }
    put_raw(&p, ",\"logprobs\":null,\"finish_reason\":\"");
    put_raw(&p, finish_reason(e));
    put_raw(&p, "\"}],");
    put_usage(&p, e);
    put_raw(&p, "}");
    return p.st;
}

static uint64_t pieces(const struct echo *e)
{
    uint64_t n = 0;

    for (size_t at = 0; at < e->end; n++)
        at += piece(&e->text, at);
    return n;
}

/* ---- the adapter ---------------------------------------------------------------------------------------------------
 */

static enum status echo_begin(const struct completion *c, void *state, struct slice body, struct err *err)
{
    struct echo *e = state;
    yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
    enum status st;

    buf_init(&e->text, COMPLETION_OUT_MAX / 2);
    buf_init(&e->tool, ECHO_CALL_MAX / 2);
    buf_init(&e->head, ECHO_HEAD_MAX);
    e->old = slice_is(c->req->endpoint, ENDPOINT_COMPLETIONS);
    e->slow = slice_is(c->route->upstream_model, "echo-slow");
    e->stream = c->req->stream;
    st = read_request(c, e, yyjson_doc_get_root(doc), err);
    yyjson_doc_free(doc);
    if (st == ST_OK)
        st = write_head(c, e);
    return st == ST_OK || st == ST_BAD_REQUEST ? st : err_set(err, ST_INTERNAL, "The echo provider could not answer.");
}

static enum status echo_next(void *state, struct buf *out, struct local_piece *ret)
{
    struct echo *e = state;

    if (e->stream)
        return next_event(e, out, ret);
    if (e->slow && e->step == STEP_BEGIN) {
        e->step = STEP_DONE;
        ret->wait_ms = pieces(e) * ECHO_TOKEN_MS;
        return ST_OK;
    }
    ret->last = true;
    return whole_answer(e, out);
}

static void echo_fini(void *state)
{
    struct echo *e = state;

    buf_fini(&e->text);
    buf_fini(&e->tool);
    buf_fini(&e->head);
}

static const struct local_source echo_source = {
    .state_size = sizeof(struct echo), .begin = echo_begin, .next = echo_next, .fini = echo_fini};

static enum status echo_plan(const struct completion *c, struct call_plan *ret)
{
    struct slice endpoint = c->req->endpoint;

    if (slice_is(endpoint, ENDPOINT_COUNT_TOKENS))
        return plan_count_here(ret);
    *ret = (struct call_plan){.local = &echo_source};
    if (!slice_is(endpoint, ENDPOINT_CHAT) && !slice_is(endpoint, ENDPOINT_COMPLETIONS) &&
        !slice_is(endpoint, ENDPOINT_RESPONSES) && !slice_is(endpoint, ENDPOINT_MESSAGES))
        return plan_refuses(c);
    plan_take_row(plan_row_of(endpoint), ret);
    if (slice_is(endpoint, ENDPOINT_RESPONSES))
        plan_step(ret, &responses_to_chat);
    else if (slice_is(endpoint, ENDPOINT_MESSAGES))
        plan_step(ret, &messages_to_chat);
    return ST_OK;
}

const struct adapter adapter_echo = {.kind = "echo", RELAY, .plan = echo_plan};
