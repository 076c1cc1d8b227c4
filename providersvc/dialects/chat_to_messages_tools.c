/* Tools, which of them may or must be used, and JSON schemas (contract, section 4.1). */
#include "providersvc/dialects/chat_to_messages_private.h"

#include <string.h>

#include "services/json.h"

#define TOOLS_MAX 1024
#define TOOL_NAME_MAX 128 /* newer models; older ones say no at 64 */
#define STRICT_MAX 20 /* strict tools that Anthropic compiles */

/* ---- schemas ------------------------------------------------------------------------------------------------------
 */

enum keyword { KEEP, SKIP, ONE, LIST, MAP };

#define WORD(text)                                                                                                     \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

/* Of JSON Schema, what is not simply kept: bounds that structured outputs refuse, and where schemas are in schemas. */
static const struct {
    struct slice name;
    enum keyword kind;
} keywords[] = {
    {WORD("minimum"), SKIP},
    {WORD("maximum"), SKIP},
    {WORD("exclusiveMinimum"), SKIP},
    {WORD("exclusiveMaximum"), SKIP},
    {WORD("multipleOf"), SKIP},
    {WORD("minLength"), SKIP},
    {WORD("maxLength"), SKIP},
    {WORD("maxItems"), SKIP},
    {WORD("uniqueItems"), SKIP},
    {WORD("minProperties"), SKIP},
    {WORD("maxProperties"), SKIP},
    {WORD("minContains"), SKIP},
    {WORD("maxContains"), SKIP},
    {WORD("contains"), SKIP},
    {WORD("patternProperties"), SKIP},
    {WORD("additionalProperties"), SKIP},
    {WORD("items"), ONE},
    {WORD("not"), ONE},
    {WORD("anyOf"), LIST},
    {WORD("oneOf"), LIST},
    {WORD("allOf"), LIST},
    {WORD("prefixItems"), LIST},
    {WORD("properties"), MAP},
    {WORD("$defs"), MAP},
    {WORD("definitions"), MAP},
};

static const char *const formats[] = {"date-time", "time", "date", "duration", "email",
                                      "hostname",  "uri",  "ipv4", "ipv6",     "uuid"};

static enum keyword keyword_of(struct slice key, yyjson_val *value)
{
    yyjson_val number;

    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (slice_eq(key, keywords[i].name))
            return keywords[i].kind;
    if (slice_is(key, "minItems"))
        return making_number(value, &number) && yyjson_get_uint(&number) <= 1 ? KEEP : SKIP;
    if (!slice_is(key, "format"))
        return KEEP;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (yyjson_equals_str(value, formats[i]))
            return KEEP;
    return SKIP;
}

/* Has the client's key, which may be any string. */
static void put_key(struct making *m, yyjson_mut_val *object, yyjson_val *key, yyjson_mut_val *value)
{
    if (!yyjson_mut_obj_add(object, making_copy(m, key), value))
        m->no_memory = true;
}

static yyjson_mut_val *schema_list(struct making *m, yyjson_val *list, unsigned depth)
{
    yyjson_mut_val *to = yyjson_mut_arr(m->doc);
    yyjson_val *item;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, item)
    {
        yyjson_mut_val *copy = making_schema(m, item, depth + 1);

        if (copy == NULL)
            return NULL;
        making_append(m, to, copy);
    }
    return to;
}

static yyjson_mut_val *schema_map(struct making *m, yyjson_val *map, unsigned depth)
{
    yyjson_mut_val *to = yyjson_mut_obj(m->doc);
    yyjson_val *key, *value;
    size_t i, n;

    yyjson_obj_foreach(map, i, n, key, value)
    {
        yyjson_mut_val *copy = making_schema(m, value, depth + 1);

        if (copy == NULL)
            return NULL;
        put_key(m, to, key, copy);
    }
    return to;
}

static yyjson_mut_val *schema_member(struct making *m, enum keyword kind, yyjson_val *value, unsigned depth)
{
    if (kind == ONE && yyjson_is_obj(value))
        return making_schema(m, value, depth + 1);
    if (kind == LIST && yyjson_is_arr(value))
        return schema_list(m, value, depth);
    if (kind == MAP && yyjson_is_obj(value))
        return schema_map(m, value, depth);
    return making_copy(m, value);
}

static bool of_objects(yyjson_val *schema)
{
    yyjson_val *type = yyjson_obj_get(schema, "type"), *item;
    size_t i, n;

    yyjson_arr_foreach(type, i, n, item)
    {
        if (yyjson_equals_str(item, "object"))
            return true;
    }
    return yyjson_equals_str(type, "object") || yyjson_obj_get(schema, "properties") != NULL;
}

yyjson_mut_val *making_schema(struct making *m, yyjson_val *schema, unsigned depth)
{
    yyjson_mut_val *to = yyjson_mut_obj(m->doc);
    yyjson_val *key, *value;
    size_t i, n;

    if (!yyjson_is_obj(schema))
        return making_copy(m, schema);
    if (depth >= JSON_DEPTH_MAX)
        return NULL;
    yyjson_obj_foreach(schema, i, n, key, value)
    {
        enum keyword kind = keyword_of(facts_text(key), value);
        yyjson_mut_val *copy = kind != SKIP ? schema_member(m, kind, value, depth) : NULL;

        if (kind == SKIP)
            continue;
        if (copy == NULL)
            return NULL;
        if (yyjson_equals_str(key, "oneOf")) /* anyOf is what there is */
            making_put(m, to, "anyOf", copy);
        else
            put_key(m, to, key, copy);
    }
    if (of_objects(schema))
        making_put(m, to, "additionalProperties", yyjson_mut_false(m->doc));
    return to;
}

/* ---- tools --------------------------------------------------------------------------------------------------------
 */

struct tools {
    yyjson_mut_val *list;
    size_t strict;
};

static bool good_name(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return name.n > 0 && name.n <= TOOL_NAME_MAX;
}

static enum status put_parameters(struct making *m, yyjson_val *function, bool strict, const char *path,
                                  yyjson_mut_val *tool)
{
    yyjson_val *parameters = yyjson_obj_get(function, "parameters");
    yyjson_mut_val *schema;

    if (parameters == NULL || yyjson_is_null(parameters)) {
        schema = making_object(m, "object");
        making_put(m, schema, "properties", yyjson_mut_obj(m->doc));
    } else if (!yyjson_is_obj(parameters)) {
        return making_type(m, path, "an object");
    } else {
        schema = strict ? making_schema(m, parameters, 0) : making_copy(m, parameters);
        if (schema == NULL && strict && !m->no_memory)
            return making_value(m, path, "it is nested too deeply");
        if (yyjson_obj_get(parameters, "type") == NULL)
            making_put(m, schema, "type", yyjson_mut_str(m->doc, "object"));
    }
    making_put(m, tool, "input_schema", schema);
    return ST_OK;
}

/* May this tool be strict? *ret is written with ST_OK only. */
static enum status read_strict(struct making *m, yyjson_val *function, struct tools *tools, bool *ret)
{
    yyjson_val *strict = yyjson_obj_get(function, "strict");

    *ret = false;
    if (strict == NULL || yyjson_is_null(strict) || yyjson_is_false(strict))
        return ST_OK;
    if (!yyjson_is_bool(strict))
        return making_type(m, "function.strict", "a boolean");
    if (!m->can.schemas || tools->strict == STRICT_MAX)
        return making_unsupported(m, "function.strict", "Anthropic's model");
    tools->strict++;
    *ret = true;
    return ST_OK;
}

/* holder: the tool around the function; old: the function stands alone, in `functions`. */
static enum status add_function(struct making *m, yyjson_val *holder, yyjson_val *function, bool old,
                                struct tools *tools)
{
    yyjson_mut_val *tool = making_object(m, NULL);
    struct slice name, description;
    bool strict = false;
    enum status st = making_text(m, function, "name", old ? "name" : "function.name", true, &name);

    if (st == ST_OK)
        st = making_text(m, function, "description", old ? "description" : "function.description", false, &description);
    if (st == ST_OK && !good_name(name))
        st = making_value(m, old ? "name" : "function.name", "it is not made of 1 to 128 of a-z, A-Z, 0-9, _ and -");
    if (st == ST_OK && !old)
        st = read_strict(m, function, tools, &strict);
    if (st != ST_OK)
        return st;
    making_put(m, tool, "name", making_string(m, name));
    if (description.n > 0)
        making_put(m, tool, "description", making_string(m, description));
    st = put_parameters(m, function, strict, old ? "parameters" : "function.parameters", tool);
    if (strict)
        making_put(m, tool, "strict", yyjson_mut_true(m->doc));
    if (st == ST_OK)
        st = making_cache(m, holder, tool);
    if (st == ST_OK)
        st = making_cache(m, function, tool);
    making_append(m, tools->list, tool);
    return st;
}

static enum status add_tool(struct making *m, yyjson_val *tool, bool old, struct tools *tools)
{
    yyjson_val *type = yyjson_obj_get(tool, "type"), *function = yyjson_obj_get(tool, "function");

    if (!yyjson_is_obj(tool))
        return making_type(m, "", "an object");
    if (old)
        return add_function(m, NULL, tool, true, tools);
    if (type == NULL)
        return making_missing(m, "type");
    if (!yyjson_is_str(type))
        return making_type(m, "type", "a string");
    if (!yyjson_equals_str(type, "function"))
        return making_unsupported(m, "type", UPSTREAM_NAME);
    if (function == NULL)
        return making_missing(m, "function");
    if (!yyjson_is_obj(function))
        return making_type(m, "function", "an object");
    return add_function(m, tool, function, false, tools);
}

static enum status add_tools(struct making *m, yyjson_val *from, bool old, struct tools *tools)
{
    const char *name = old ? "functions" : "tools";
    yyjson_val *tool;
    size_t i, n;
    enum status st = ST_OK;

    if (!yyjson_is_arr(from))
        return making_type(m, name, "an array");
    if (yyjson_arr_size(from) > TOOLS_MAX)
        return making_value(m, name, "there are too many");
    yyjson_arr_foreach(from, i, n, tool)
    {
        m->at = (struct place){.list = name, .i = i};
        st = add_tool(m, tool, old, tools);
        if (st != ST_OK)
            return st;
    }
    m->at = (struct place){.list = NULL};
    return ST_OK;
}

/* ---- choice -------------------------------------------------------------------------------------------------------
 */

struct choice {
    const char *type; /* Anthropic's; NULL = not said */
    struct slice name; /* of the tool that must be used */
};

static bool has_tool(yyjson_mut_val *list, struct slice name)
{
    yyjson_mut_val *tool;
    size_t i, n;

    yyjson_mut_arr_foreach(list, i, n, tool)
    {
        if (yyjson_mut_equals_strn(yyjson_mut_obj_get(tool, "name"), name.p, name.n))
            return true;
    }
    return false;
}

static enum status choose_named(struct making *m, yyjson_val *holder, const char *path, struct tools *tools,
                                struct choice *ret)
{
    enum status st;

    if (!yyjson_is_obj(holder))
        return making_missing(m, path);
    st = making_text(m, holder, "name", path, true, &ret->name);
    if (st == ST_OK && !has_tool(tools->list, ret->name))
        st = making_value(m, path, "there is no such tool");
    ret->type = "tool";
    return st;
}

/* Is the tool among those allowed? */
static bool allows(yyjson_val *allowed, yyjson_mut_val *tool)
{
    yyjson_val *item;
    size_t i, n;

    yyjson_arr_foreach(allowed, i, n, item)
    {
        yyjson_val *name = yyjson_obj_get(yyjson_obj_get(item, "function"), "name");

        if (yyjson_is_str(name) &&
            yyjson_mut_equals_strn(yyjson_mut_obj_get(tool, "name"), yyjson_get_str(name), yyjson_get_len(name)))
            return true;
    }
    return false;
}

static enum status choose_allowed(struct making *m, yyjson_val *holder, struct tools *tools, struct choice *ret)
{
    yyjson_val *mode = yyjson_obj_get(holder, "mode"), *allowed = yyjson_obj_get(holder, "tools");
    yyjson_mut_val *left = yyjson_mut_arr(m->doc), *tool;

    if (!yyjson_is_obj(holder))
        return making_missing(m, "tool_choice.allowed_tools");
    if (!yyjson_is_arr(allowed))
        return making_type(m, "tool_choice.allowed_tools.tools", "an array");
    if (yyjson_arr_size(allowed) > TOOLS_MAX)
        return making_value(m, "tool_choice.allowed_tools.tools", "there are too many");
    if (yyjson_equals_str(mode, "required"))
        ret->type = "any";
    else if (yyjson_equals_str(mode, "auto"))
        ret->type = "auto";
    else
        return making_value(m, "tool_choice.allowed_tools.mode", "it is none of auto, required");
    while ((tool = yyjson_mut_arr_remove_first(tools->list)) != NULL)
        if (allows(allowed, tool))
            making_append(m, left, tool);
    tools->list = left;
    if (yyjson_mut_arr_size(left) == 0)
        return making_value(m, "tool_choice.allowed_tools.tools", "there are no such tools");
    return ST_OK;
}

static enum status choose_word(struct making *m, yyjson_val *word, const char *path, struct choice *ret)
{
    if (yyjson_equals_str(word, "auto"))
        ret->type = "auto";
    else if (yyjson_equals_str(word, "none"))
        ret->type = "none";
    else if (yyjson_equals_str(word, "required"))
        ret->type = "any";
    else
        return making_value(m, path, "it is none of none, auto, required");
    return ST_OK;
}

static enum status choose_tool(struct making *m, struct tools *tools, struct choice *ret)
{
    yyjson_val *v = m->f.tool_choice, *type = yyjson_obj_get(v, "type");

    if (v == NULL)
        return ST_OK;
    if (yyjson_is_str(v))
        return choose_word(m, v, "tool_choice", ret);
    if (!yyjson_is_obj(v))
        return making_type(m, "tool_choice", "a string or an object");
    if (type == NULL)
        return making_missing(m, "tool_choice.type");
    if (yyjson_equals_str(type, "function"))
        return choose_named(m, yyjson_obj_get(v, "function"), "tool_choice.function.name", tools, ret);
    if (yyjson_equals_str(type, "allowed_tools"))
        return choose_allowed(m, yyjson_obj_get(v, "allowed_tools"), tools, ret);
    if (yyjson_equals_str(type, "custom"))
        return making_unsupported(m, "tool_choice.type", UPSTREAM_NAME);
    return making_value(m, "tool_choice.type", "it is none of function, allowed_tools");
}

static enum status choose_function(struct making *m, struct tools *tools, struct choice *ret)
{
    if (m->f.function_call == NULL)
        return ST_OK;
    if (yyjson_is_str(m->f.function_call))
        return choose_word(m, m->f.function_call, "function_call", ret);
    return choose_named(m, m->f.function_call, "function_call.name", tools, ret);
}

/* Newer models, and all that think within a budget, choose for themselves: the most there is, is to ask them. */
static enum status unforce(struct making *m, struct choice *c)
{
    const char *path = m->state->functions ? "function_call" : "tool_choice";
    bool forced = c->type != NULL && (strcmp(c->type, "any") == 0 || strcmp(c->type, "tool") == 0);
    enum status st;

    if (!forced || (m->can.forced_tools && m->budget == 0))
        return ST_OK;
    st = making_unsupported(m, path, m->budget > 0 ? "Anthropic's model, while it thinks," : "Anthropic's model");
    if (st == ST_OK)
        making_system_line(m, "Answer by calling a tool.");
    c->type = "auto";
    return st;
}

static enum status put_choice(struct making *m, struct choice *c, bool one)
{
    enum status st = unforce(m, c);
    yyjson_mut_val *choice;

    if (st != ST_OK || (c->type == NULL && !one))
        return st;
    if (c->type == NULL)
        c->type = "auto";
    choice = making_object(m, c->type);
    if (strcmp(c->type, "tool") == 0)
        making_put(m, choice, "name", making_string(m, c->name));
    if (one && strcmp(c->type, "none") != 0)
        making_put(m, choice, "disable_parallel_tool_use", yyjson_mut_true(m->doc));
    making_put(m, m->root, "tool_choice", choice);
    return ST_OK;
}

static enum status choose(struct making *m, struct tools *tools, struct choice *ret)
{
    yyjson_val *parallel = m->f.parallel_tool_calls;
    const char *path = m->state->functions ? "function_call" : "tool_choice";
    enum status st = m->state->functions ? choose_function(m, tools, ret) : choose_tool(m, tools, ret);

    if (st == ST_OK && parallel != NULL && !yyjson_is_bool(parallel))
        st = making_type(m, "parallel_tool_calls", "a boolean");
    if (st == ST_OK && yyjson_mut_arr_size(tools->list) == 0 && ret->type != NULL && strcmp(ret->type, "any") == 0)
        st = making_value(m, path, "there are no tools");
    return st;
}

enum status making_tools(struct making *m)
{
    struct tools tools = {.list = yyjson_mut_arr(m->doc)};
    struct choice c = {.type = NULL};
    enum status st = ST_OK;

    m->state->functions = m->f.functions != NULL || m->f.function_call != NULL;
    if (m->f.tools != NULL && m->state->functions)
        return making_value(m, "functions", "it cannot be used beside tools");
    if (m->f.tools != NULL)
        st = add_tools(m, m->f.tools, false, &tools);
    if (m->f.functions != NULL)
        st = add_tools(m, m->f.functions, true, &tools);
    if (st == ST_OK)
        st = choose(m, &tools, &c);
    if (st != ST_OK || yyjson_mut_arr_size(tools.list) == 0)
        return st;
    making_put(m, m->root, "tools", tools.list);
    return put_choice(m, &c, m->state->functions || yyjson_is_false(m->f.parallel_tool_calls));
}
