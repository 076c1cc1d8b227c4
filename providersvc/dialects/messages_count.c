#include "providersvc/dialects/messages_count.h"

#include <stdlib.h>

#include "providersvc/dialects/checking.h"
#include "services/json.h"

#define FILE_BYTES 16u /* of base64 for a token: text and pictures of a PDF */

struct counting {
    struct tally text;
    uint64_t extra; /* tokens */
    bool lost; /* memory ran out */
};

static void count_text(struct counting *c, yyjson_val *v)
{
    if (yyjson_is_str(v))
        tally_text(&c->text, facts_text(v));
}

static void count_json(struct counting *c, yyjson_val *v)
{
    struct slice json = {NULL, 0};
    char *text;

    if (v == NULL)
        return;
    text = yyjson_val_write(v, 0, &json.n);
    json.p = text;
    c->lost |= text == NULL;
    if (text != NULL)
        tally_text(&c->text, json);
    free(text);
}

static void count_content(struct counting *c, yyjson_val *content, unsigned depth);

static void count_document(struct counting *c, yyjson_val *block, unsigned depth)
{
    yyjson_val *source = yyjson_obj_get(block, "source"), *data = yyjson_obj_get(source, "data");

    count_text(c, yyjson_obj_get(block, "title"));
    count_text(c, yyjson_obj_get(block, "context"));
    if (yyjson_equals_str(yyjson_obj_get(source, "type"), "text"))
        count_text(c, data);
    else
        c->extra += yyjson_get_len(data) / FILE_BYTES + 1;
    count_content(c, yyjson_obj_get(source, "content"), depth);
}

static void count_block(struct counting *c, yyjson_val *block, unsigned depth)
{
    yyjson_val *type = yyjson_obj_get(block, "type");

    if (yyjson_equals_str(type, "image"))
        c->extra += TALLY_IMAGE;
    else if (yyjson_equals_str(type, "document"))
        count_document(c, block, depth);
    else if (yyjson_equals_str(type, "tool_result"))
        count_content(c, yyjson_obj_get(block, "content"), depth);
    else if (yyjson_equals_str(type, "tool_use")) {
        count_text(c, yyjson_obj_get(block, "name"));
        count_json(c, yyjson_obj_get(block, "input"));
    } else if (yyjson_equals_str(type, "text"))
        count_text(c, yyjson_obj_get(block, "text"));
    else if (!yyjson_equals_str(type, "thinking") && !yyjson_equals_str(type, "redacted_thinking"))
        count_json(c, block); /* thinking of earlier turns is not sent again */
}

/* A text, or blocks. */
static void count_content(struct counting *c, yyjson_val *content, unsigned depth)
{
    yyjson_val *block;
    size_t i, n;

    count_text(c, content);
    if (depth == JSON_DEPTH_MAX)
        return;
    yyjson_arr_foreach(content, i, n, block) count_block(c, block, depth + 1);
}

static enum status count_turns(struct counting *c, yyjson_val *turns, struct checking *from)
{
    yyjson_val *turn, *content = NULL;
    enum status st;
    size_t i, n;

    yyjson_arr_foreach(turns, i, n, turn)
    {
        check_enter_item(from, "messages", i);
        st = check_is(from, NULL, turn, IS_OBJECT);
        if (st == ST_OK)
            st = check_need(from, turn, "content", IS_STRING | IS_ARRAY, &content);
        if (st != ST_OK)
            return st;
        check_leave(from);
        c->extra += TALLY_PER_MESSAGE;
        count_content(c, content, 0);
    }
    return ST_OK;
}

static enum status count_body(struct counting *c, yyjson_val *body, struct checking *from)
{
    yyjson_val *system = NULL, *turns = NULL, *tools = NULL, *config = NULL;
    enum status st = check_get(from, body, "system", IS_STRING | IS_ARRAY, &system);

    if (st == ST_OK)
        st = check_need(from, body, "messages", IS_ARRAY, &turns);
    if (st == ST_OK)
        st = check_get(from, body, "tools", IS_ARRAY, &tools);
    if (st == ST_OK)
        st = check_get(from, body, "output_config", IS_OBJECT, &config);
    if (st == ST_OK)
        st = count_turns(c, turns, from);
    if (st != ST_OK)
        return st;
    if (system != NULL)
        c->extra += TALLY_PER_MESSAGE;
    count_content(c, system, 0);
    count_json(c, tools);
    count_json(c, yyjson_obj_get(config, "format"));
    c->extra += TALLY_PER_REPLY;
    return c->lost ? ST_NO_MEMORY : ST_OK;
}

enum status messages_count_tokens(struct slice body, uint64_t *ret, struct err *err)
{
    yyjson_doc *doc = yyjson_read(body.p, body.n, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct counting c = {.extra = 0};
    struct checking from = {.err = err, .anthropic = true};
    enum status st = yyjson_is_obj(root) ? count_body(&c, root, &from)
                                         : err_set(err, ST_BAD_REQUEST, "The body is not a JSON object.");
    uint64_t n = tally_tokens(&c.text) + c.extra;

    if (st == ST_OK)
        *ret = n < LIMIT_TOKENS ? n : LIMIT_TOKENS;
    yyjson_doc_free(doc);
    return st;
}
