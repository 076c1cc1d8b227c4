/* Responses to chat completions: tools and which of them is to be called (contract, sections 1.3 and 1.9). */
#include "providersvc/dialects/responses_to_chat.h"

/* ---- tools ----------------------------------------------------------------------------------------------------------
 */

/* Flat → nested. What is absent stays absent: `strict` is true by default in Responses as far as a schema allows it,
 * which another upstream does not know. */
static enum status add_function(struct reshape *r, yyjson_val *tool, yyjson_mut_val *name, yyjson_mut_val *to)
{
    yyjson_mut_val *function = making_object(&r->to);
    enum status st = reshape_move(r, tool, "description", IS_STRING, function, "description");
    if (st == ST_OK)
        st = reshape_move(r, tool, "parameters", IS_OBJECT, function, "parameters");
    if (st == ST_OK)
        st = reshape_move(r, tool, "strict", IS_BOOL, function, "strict");
    if (st != ST_OK)
        return st;
    making_put(&r->to, function, "name", name);
    making_put_word(&r->to, to, "type", "function");
    making_put(&r->to, to, "function", function);
    return ST_OK;
}

/* What the model is told of the text beside the tool's own words. */
static enum status describe_grammar(struct reshape *r, yyjson_val *tool, struct buf *to)
{
    yyjson_val *format = NULL, *type = NULL, *syntax = NULL, *definition = NULL;
    enum status st = check_get(&r->from, tool, "format", IS_OBJECT, &format);

    if (st != ST_OK || format == NULL)
        return st;
    check_enter(&r->from, "format");
    st = check_need(&r->from, format, "type", IS_STRING, &type);
    if (st == ST_OK && !yyjson_equals_str(type, "text")) {
        if (!yyjson_equals_str(type, "grammar"))
            return check_invalid(&r->from, "type", "text or grammar");
        st = check_need(&r->from, format, "syntax", IS_STRING, &syntax);
        if (st == ST_OK)
            st = check_need(&r->from, format, "definition", IS_STRING, &definition);
        if (st == ST_OK &&
            buf_addf(to, "%sThe input is text that this %s grammar describes:\n%s", to->n > 0 ? "\n\n" : "",
                     yyjson_get_str(syntax), yyjson_get_str(definition)) != ST_OK)
            st = translate_no_memory(r->from.err);
    }
    if (st == ST_OK)
        check_leave(&r->from);
    return st;
}

static void put_text_parameter(struct making *m, yyjson_mut_val *function)
{
    yyjson_mut_val *parameters = making_put_object(m, function, "parameters");
    yyjson_mut_val *properties = making_put_object(m, parameters, "properties");

    making_put_word(m, parameters, "type", "object");
    making_put_word(m, making_put_object(m, properties, INPUT_TEXT), "type", "string");
    making_push(m, making_put_array(m, parameters, "required"), making_word(m, INPUT_TEXT));
}

/* A tool whose input is text: few upstreams know such, but all know a function that takes one. */
static enum status add_custom(struct reshape *r, yyjson_val *tool, yyjson_mut_val *name, yyjson_mut_val *to)
{
    yyjson_mut_val *function = making_put_object(&r->to, to, "function");
    yyjson_val *v = NULL;
    struct buf description;
    enum status st = check_get(&r->from, tool, "description", IS_STRING, &v);

    buf_init(&description, INPUT_TEXT_MAX);
    if (st == ST_OK && buf_add(&description, yyjson_get_str(v), yyjson_get_len(v)) != ST_OK)
        st = translate_no_memory(r->from.err);
    if (st == ST_OK)
        st = describe_grammar(r, tool, &description);
    making_put_word(&r->to, to, "type", "function");
    making_put(&r->to, function, "name", name);
    if (description.n > 0)
        making_put_copy(&r->to, function, "description", (struct slice){description.p, description.n});
    put_text_parameter(&r->to, function);
    buf_fini(&description);
    return st;
}

/* A tool that the client runs itself. t: where it stands. *ret: upstream is told it; else it was left out. */
static enum status add_own(struct input_making *q, yyjson_val *tool, struct slice space, struct output_tool t,
                           bool *ret)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *to = making_object(&r->to), *name = NULL;
    yyjson_val *type = NULL;
    enum status st = check_is(&r->from, NULL, tool, IS_OBJECT);

    if (st == ST_OK)
        st = check_need(&r->from, tool, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    t.custom = yyjson_equals_str(type, "custom");
    t.place = yyjson_mut_arr_size(q->tools);
    if (!t.custom && !yyjson_equals_str(type, "function")) /* OpenAI runs it: web_search … */
        return check_unsupported_value(&r->from, "type", type);
    st = input_name(q, tool, space, t.custom, &name);
    if (st == ST_OK)
        st = t.custom ? add_custom(r, tool, name, to) : add_function(r, tool, name, to);
    if (st == ST_OK)
        st = input_keep_tool(q, tool, space, name, t);
    if (st != ST_OK)
        return st;
    making_push(&r->to, q->tools, to);
    *ret = true;
    return ST_OK;
}

/* Its description is not said: there is no place for it but every tool's own, again and again. */
static enum status add_namespace(struct input_making *q, yyjson_val *namespace, struct output_tool t)
{
    struct reshape *r = &q->r;
    struct slice space = {NULL, 0};
    yyjson_val *list = NULL, *tool;
    enum status st = check_name(&r->from, namespace, "name", &space);
    bool told = false;
    size_t i, n;

    if (st == ST_OK)
        st = check_need(&r->from, namespace, "tools", IS_ARRAY, &list);
    yyjson_arr_foreach(list, i, n, tool)
    {
        t.inner = i;
        check_enter_item(&r->from, "tools", i);
        st = add_own(q, tool, space, t, &told);
        if (st != ST_OK)
            return st;
        check_leave(&r->from);
    }
    return st;
}

/* A model that makes pictures itself is asked for them. How they are to be, it takes from words only. */
static enum status add_pictures(struct input_making *q, yyjson_val *tool)
{
    static const char *const known[] = {"type", NULL};
    struct reshape *r = &q->r;
    yyjson_mut_val *list = making_array(&r->to);

    making_push(&r->to, list, making_word(&r->to, "text"));
    making_push(&r->to, list, making_word(&r->to, "image"));
    making_put(&r->to, r->to.root, "modalities", list);
    return check_only(&r->from, tool, known);
}

static enum status add_tool(struct input_making *q, yyjson_val *tool, struct output_tool t)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *shown;
    yyjson_val *type = yyjson_obj_get(tool, "type");
    bool function = yyjson_equals_str(type, "function"), told = false;
    bool pictures = yyjson_equals_str(type, "image_generation") && r->from.call->own_pictures;
    enum status st;

    if (pictures || yyjson_equals_str(type, "namespace")) {
        st = pictures ? add_pictures(q, tool) : add_namespace(q, tool, t);
        making_push(&r->to, q->tools_shown, making_value(&r->to, tool));
        return st;
    }
    st = add_own(q, tool, (struct slice){NULL, 0}, t, &told);
    if (st != ST_OK || !told)
        return st;
    shown = making_value(&r->to, tool);
    if (function && yyjson_obj_get(tool, "parameters") == NULL)
        making_put(&r->to, shown, "parameters", making_null(&r->to));
    if (function && yyjson_obj_get(tool, "strict") == NULL)
        making_put(&r->to, shown, "strict", making_bool(&r->to, false));
    making_push(&r->to, q->tools_shown, shown);
    return ST_OK;
}

enum status input_add_tools(struct input_making *q, yyjson_val *list, size_t item)
{
    yyjson_val *tool;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, tool)
    {
        struct output_tool t = {.item = item, .at = i, .inner = OUTPUT_NOWHERE};
        enum status st;

        check_enter_item(&q->r.from, "tools", i);
        st = add_tool(q, tool, t);
        if (st != ST_OK)
            return st;
        check_leave(&q->r.from);
    }
    return ST_OK;
}

enum status input_finish_tools(struct input_making *q)
{
    enum status st = input_check_tools(q);

    making_put(&q->r.to, q->echo, "tools", q->tools_shown);
    if (yyjson_mut_arr_size(q->tools) > 0) /* an empty list is an error at some upstreams */
        making_put(&q->r.to, q->r.to.root, "tools", q->tools);
    return st;
}

/* ---- the choice -----------------------------------------------------------------------------------------------------
 */

/* {type: function, name} → {type: function, function: {name}}; custom ones are functions, too. */
static enum status name_tool(struct input_making *q, yyjson_val *choice, yyjson_mut_val *to)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *named = making_object(&r->to), *name = NULL;
    yyjson_val *type = NULL;
    enum status st = check_is(&r->from, NULL, choice, IS_OBJECT);

    if (st == ST_OK)
        st = check_need(&r->from, choice, "type", IS_STRING, &type);
    if (st != ST_OK)
        return st;
    if (!yyjson_equals_str(type, "custom") && !yyjson_equals_str(type, "function"))
        return check_unsupported_value(&r->from, "type", type);
    st = input_spaced_name(q, choice, yyjson_equals_str(type, "custom"), &name);
    if (st != ST_OK)
        return st;
    making_put(&r->to, named, "name", name);
    making_put_word(&r->to, to, "type", "function");
    making_put(&r->to, to, "function", named);
    return ST_OK;
}

static enum status allow_tools(struct input_making *q, yyjson_val *choice, yyjson_mut_val *to)
{
    struct reshape *r = &q->r;
    yyjson_mut_val *tools = making_array(&r->to), *allowed = making_object(&r->to);
    yyjson_val *list = NULL, *mode = NULL, *tool;
    enum status st = check_need(&r->from, choice, "mode", IS_STRING, &mode);
    size_t i, n;

    if (st == ST_OK)
        st = check_need(&r->from, choice, "tools", IS_ARRAY, &list);
    if (st != ST_OK)
        return st;
    yyjson_arr_foreach(list, i, n, tool)
    {
        yyjson_mut_val *item = making_object(&r->to);

        check_enter_item(&r->from, "tools", i);
        st = name_tool(q, tool, item);
        if (st != ST_OK)
            return st;
        if (yyjson_mut_obj_size(item) > 0)
            making_push(&r->to, tools, item);
        check_leave(&r->from);
    }
    making_put_value(&r->to, allowed, "mode", mode);
    making_put(&r->to, allowed, "tools", tools);
    making_put_word(&r->to, to, "type", "allowed_tools");
    making_put(&r->to, to, "allowed_tools", allowed);
    return ST_OK;
}

/* Without tools a choice is an error in chat, even one that chooses nothing. */
enum status input_finish_choice(struct input_making *q)
{
    struct reshape *r = &q->r;
    yyjson_val *choice = q->tool_choice;
    bool has_tools = yyjson_mut_arr_size(q->tools) > 0;
    yyjson_mut_val *to;
    enum status st;

    if (choice == NULL)
        return ST_OK;
    if (yyjson_is_str(choice)) {
        bool must = yyjson_equals_str(choice, "required");

        if (!must && !yyjson_equals_str(choice, "none") && !yyjson_equals_str(choice, "auto"))
            return check_invalid(&r->from, "tool_choice", "none, auto or required, or a tool");
        making_put_value(&r->to, q->echo, "tool_choice", choice);
        if (has_tools || must)
            making_put_value(&r->to, r->to.root, "tool_choice", choice);
        return ST_OK;
    }
    to = making_object(&r->to);
    check_enter(&r->from, "tool_choice");
    if (yyjson_equals_str(yyjson_obj_get(choice, "type"), "allowed_tools"))
        st = allow_tools(q, choice, to);
    else
        st = name_tool(q, choice, to);
    if (st != ST_OK)
        return st;
    check_leave(&r->from);
    if (yyjson_mut_obj_size(to) > 0) { /* else it was left out */
        making_put(&r->to, r->to.root, "tool_choice", to);
        making_put_value(&r->to, q->echo, "tool_choice", choice);
    }
    return ST_OK;
}
