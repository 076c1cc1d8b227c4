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
        return check_number_of(value, &number) && yyjson_get_uint(&number) <= 1 ? KEEP : SKIP;
    if (!slice_is(key, "format"))
        return KEEP;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (yyjson_equals_str(value, formats[i]))
            return KEEP;
    return SKIP;
}

/* Has the client's key, which may be any string. */
static void put_key(struct c2m *m, yyjson_mut_val *object, yyjson_val *key, yyjson_mut_val *value)
{
    if (!yyjson_mut_obj_add(object, making_value(&m->r.to, key), value))
        m->r.to.lost = true;
}

static yyjson_mut_val *schema_list(struct c2m *m, yyjson_val *list, unsigned depth)
{
    yyjson_mut_val *to = making_array(&m->r.to);
    yyjson_val *item;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, item)
    {
        yyjson_mut_val *copy = c2m_schema(m, item, depth + 1);

        if (copy == NULL)
            return NULL;
        making_push(&m->r.to, to, copy);
    }
    return to;
}

static yyjson_mut_val *schema_map(struct c2m *m, yyjson_val *map, unsigned depth)
{
    yyjson_mut_val *to = making_object(&m->r.to);
    yyjson_val *key, *value;
    size_t i, n;

    yyjson_obj_foreach(map, i, n, key, value)
    {
        yyjson_mut_val *copy = c2m_schema(m, value, depth + 1);

        if (copy == NULL)
            return NULL;
        put_key(m, to, key, copy);
    }
    return to;
}

static yyjson_mut_val *schema_member(struct c2m *m, enum keyword kind, yyjson_val *value, unsigned depth)
{
    if (kind == ONE && yyjson_is_obj(value))
        return c2m_schema(m, value, depth + 1);
    if (kind == LIST && yyjson_is_arr(value))
        return schema_list(m, value, depth);
    if (kind == MAP && yyjson_is_obj(value))
        return schema_map(m, value, depth);
    return making_value(&m->r.to, value);
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

yyjson_mut_val *c2m_schema(struct c2m *m, yyjson_val *schema, unsigned depth)
{
    yyjson_mut_val *to = making_object(&m->r.to);
    yyjson_val *key, *value;
    size_t i, n;

    if (!yyjson_is_obj(schema))
        return making_value(&m->r.to, schema);
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
            making_put(&m->r.to, to, "anyOf", copy);
        else
            put_key(m, to, key, copy);
    }
    if (of_objects(schema))
        making_put(&m->r.to, to, "additionalProperties", making_bool(&m->r.to, false));
    return to;
}

/* ---- tools --------------------------------------------------------------------------------------------------------
 */

struct tools {
    yyjson_mut_val *list;
    size_t strict;
};

static enum status put_parameters(struct c2m *m, yyjson_val *function, bool strict, const char *path,
                                  yyjson_mut_val *tool)
{
    yyjson_val *parameters = yyjson_obj_get(function, "parameters");
    yyjson_mut_val *schema;

    if (parameters == NULL || yyjson_is_null(parameters)) {
        schema = c2m_object(m, "object");
        making_put_object(&m->r.to, schema, "properties");
    } else if (!yyjson_is_obj(parameters)) {
        return check_wrong_type(&m->r.from, path, "an object", parameters);
    } else {
        schema = strict ? c2m_schema(m, parameters, 0) : making_value(&m->r.to, parameters);
        if (schema == NULL && strict && !m->r.to.lost)
            return check_invalid(&m->r.from, path, "a schema that is not nested so deeply");
        if (yyjson_obj_get(parameters, "type") == NULL)
            making_put_word(&m->r.to, schema, "type", "object");
    }
    making_put(&m->r.to, tool, "input_schema", schema);
    return ST_OK;
}

/* May this tool be strict? *ret is written with ST_OK only. */
static enum status read_strict(struct c2m *m, yyjson_val *function, struct tools *tools, bool *ret)
{
    yyjson_val *strict = yyjson_obj_get(function, "strict");

    *ret = false;
    if (strict == NULL || yyjson_is_null(strict) || yyjson_is_false(strict))
        return ST_OK;
    if (!yyjson_is_bool(strict))
        return check_wrong_type(&m->r.from, "function.strict", "a boolean", strict);
    if (!m->can.schemas || tools->strict == STRICT_MAX)
        return check_unsupported_by(&m->r.from, "function.strict", "Anthropic's model");
    tools->strict++;
    *ret = true;
    return ST_OK;
}

/* holder: the tool around the function; old: the function stands alone, in `functions`. */
static enum status add_function(struct c2m *m, yyjson_val *holder, yyjson_val *function, bool old, struct tools *tools)
{
    yyjson_mut_val *tool = making_object(&m->r.to);
    struct slice name, description;
    bool strict = false;
    enum status st = c2m_text(m, function, "name", old ? "name" : "function.name", true, &name);

    if (st == ST_OK)
        st = c2m_text(m, function, "description", old ? "description" : "function.description", false, &description);
    if (st == ST_OK && (!check_word(name) || name.n > TOOL_NAME_MAX))
        st = check_invalid(&m->r.from, old ? "name" : "function.name",
                           "1 to 128 of the characters a-z, A-Z, 0-9, _ and -");
    if (st == ST_OK && !old)
        st = read_strict(m, function, tools, &strict);
    if (st != ST_OK)
        return st;
    making_put_text(&m->r.to, tool, "name", name);
    if (description.n > 0)
        making_put_text(&m->r.to, tool, "description", description);
    st = put_parameters(m, function, strict, old ? "parameters" : "function.parameters", tool);
    if (strict)
        making_put(&m->r.to, tool, "strict", making_bool(&m->r.to, true));
    if (st == ST_OK)
        st = c2m_cache(m, holder, tool);
    if (st == ST_OK)
        st = c2m_cache(m, function, tool);
    making_push(&m->r.to, tools->list, tool);
    return st;
}

static enum status add_tool(struct c2m *m, yyjson_val *tool, bool old, struct tools *tools)
{
    yyjson_val *type = yyjson_obj_get(tool, "type"), *function = yyjson_obj_get(tool, "function");

    if (!yyjson_is_obj(tool))
        return check_wrong_type(&m->r.from, NULL, "an object", tool);
    if (old)
        return add_function(m, NULL, tool, true, tools);
    if (type == NULL)
        return check_missing(&m->r.from, "type");
    if (!yyjson_is_str(type))
        return check_wrong_type(&m->r.from, "type", "a string", type);
    if (!yyjson_equals_str(type, "function"))
        return check_unsupported(&m->r.from, "type");
    if (function == NULL)
        return check_missing(&m->r.from, "function");
    if (!yyjson_is_obj(function))
        return check_wrong_type(&m->r.from, "function", "an object", function);
    return add_function(m, tool, function, false, tools);
}

static enum status add_tools(struct c2m *m, yyjson_val *from, bool old, struct tools *tools)
{
    const char *name = old ? "functions" : "tools";
    yyjson_val *tool;
    size_t i, n;
    enum status st = ST_OK;

    if (!yyjson_is_arr(from))
        return check_wrong_type(&m->r.from, name, "an array", from);
    if (yyjson_arr_size(from) > TOOLS_MAX)
        return check_invalid(&m->r.from, name, "fewer items");
    yyjson_arr_foreach(from, i, n, tool)
    {
        check_enter_item(&m->r.from, name, i);
        st = add_tool(m, tool, old, tools);
        if (st != ST_OK)
            return st;
        check_leave(&m->r.from);
    }
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

static enum status choose_named(struct c2m *m, yyjson_val *holder, const char *path, struct tools *tools,
                                struct choice *ret)
{
    enum status st;

    if (!yyjson_is_obj(holder))
        return check_missing(&m->r.from, path);
    st = c2m_text(m, holder, "name", path, true, &ret->name);
    if (st == ST_OK && !has_tool(tools->list, ret->name))
        st = check_invalid(&m->r.from, path, "the name of one of the tools");
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

static enum status choose_allowed(struct c2m *m, yyjson_val *holder, struct tools *tools, struct choice *ret)
{
    yyjson_val *mode = yyjson_obj_get(holder, "mode"), *allowed = yyjson_obj_get(holder, "tools");
    yyjson_mut_val *left = making_array(&m->r.to), *tool;

    if (!yyjson_is_obj(holder))
        return check_missing(&m->r.from, "tool_choice.allowed_tools");
    if (!yyjson_is_arr(allowed))
        return check_wrong_type(&m->r.from, "tool_choice.allowed_tools.tools", "an array", allowed);
    if (yyjson_arr_size(allowed) > TOOLS_MAX)
        return check_invalid(&m->r.from, "tool_choice.allowed_tools.tools", "fewer items");
    if (yyjson_equals_str(mode, "required"))
        ret->type = "any";
    else if (yyjson_equals_str(mode, "auto"))
        ret->type = "auto";
    else
        return check_invalid(&m->r.from, "tool_choice.allowed_tools.mode", "auto or required");
    while ((tool = yyjson_mut_arr_remove_first(tools->list)) != NULL)
        if (allows(allowed, tool))
            making_push(&m->r.to, left, tool);
    tools->list = left;
    if (yyjson_mut_arr_size(left) == 0)
        return check_invalid(&m->r.from, "tool_choice.allowed_tools.tools", "at least one of the tools");
    return ST_OK;
}

static enum status choose_word(struct c2m *m, yyjson_val *word, const char *path, struct choice *ret)
{
    if (yyjson_equals_str(word, "auto"))
        ret->type = "auto";
    else if (yyjson_equals_str(word, "none"))
        ret->type = "none";
    else if (yyjson_equals_str(word, "required"))
        ret->type = "any";
    else
        return check_invalid(&m->r.from, path, "none, auto or required");
    return ST_OK;
}

static enum status choose_tool(struct c2m *m, struct tools *tools, struct choice *ret)
{
    yyjson_val *v = m->f.tool_choice, *type = yyjson_obj_get(v, "type");

    if (v == NULL)
        return ST_OK;
    if (yyjson_is_str(v))
        return choose_word(m, v, "tool_choice", ret);
    if (!yyjson_is_obj(v))
        return check_wrong_type(&m->r.from, "tool_choice", "a string or an object", v);
    if (type == NULL)
        return check_missing(&m->r.from, "tool_choice.type");
    if (yyjson_equals_str(type, "function"))
        return choose_named(m, yyjson_obj_get(v, "function"), "tool_choice.function.name", tools, ret);
    if (yyjson_equals_str(type, "allowed_tools"))
        return choose_allowed(m, yyjson_obj_get(v, "allowed_tools"), tools, ret);
    if (yyjson_equals_str(type, "custom"))
        return check_unsupported(&m->r.from, "tool_choice.type");
    return check_invalid(&m->r.from, "tool_choice.type", "function or allowed_tools");
}

static enum status choose_function(struct c2m *m, struct tools *tools, struct choice *ret)
{
    if (m->f.function_call == NULL)
        return ST_OK;
    if (yyjson_is_str(m->f.function_call))
        return choose_word(m, m->f.function_call, "function_call", ret);
    return choose_named(m, m->f.function_call, "function_call.name", tools, ret);
}

/* Newer models, and all that think within a budget, choose for themselves: the most there is, is to ask them. */
static enum status unforce(struct c2m *m, struct choice *c)
{
    const char *path = m->state->functions ? "function_call" : "tool_choice";
    bool forced = c->type != NULL && (strcmp(c->type, "any") == 0 || strcmp(c->type, "tool") == 0);
    enum status st;

    if (!forced || (m->can.forced_tools && m->budget == 0))
        return ST_OK;
    st = check_unsupported_by(&m->r.from, path,
                              m->budget > 0 ? "Anthropic's model, while it thinks," : "Anthropic's model");
    if (st == ST_OK)
        c2m_system_line(m, "Answer by calling a tool.");
    c->type = "auto";
    return st;
}

static enum status put_choice(struct c2m *m, struct choice *c, bool one)
{
    enum status st = unforce(m, c);
    yyjson_mut_val *choice;

    if (st != ST_OK || (c->type == NULL && !one))
        return st;
    if (c->type == NULL)
        c->type = "auto";
    choice = c2m_object(m, c->type);
    if (strcmp(c->type, "tool") == 0)
        making_put_text(&m->r.to, choice, "name", c->name);
    if (one && strcmp(c->type, "none") != 0)
        making_put(&m->r.to, choice, "disable_parallel_tool_use", making_bool(&m->r.to, true));
    making_put(&m->r.to, m->r.to.root, "tool_choice", choice);
    return ST_OK;
}

static enum status choose(struct c2m *m, struct tools *tools, struct choice *ret)
{
    yyjson_val *parallel = m->f.parallel_tool_calls;
    const char *path = m->state->functions ? "function_call" : "tool_choice";
    enum status st = m->state->functions ? choose_function(m, tools, ret) : choose_tool(m, tools, ret);

    if (st == ST_OK && parallel != NULL && !yyjson_is_bool(parallel))
        st = check_wrong_type(&m->r.from, "parallel_tool_calls", "a boolean", parallel);
    if (st == ST_OK && yyjson_mut_arr_size(tools->list) == 0 && ret->type != NULL && strcmp(ret->type, "any") == 0)
        st = check_invalid(&m->r.from, path, "none or auto where no tools are given");
    return st;
}

enum status c2m_tools(struct c2m *m)
{
    struct tools tools = {.list = making_array(&m->r.to)};
    struct choice c = {.type = NULL};
    enum status st = ST_OK;

    m->state->functions = m->f.functions != NULL || m->f.function_call != NULL;
    if (m->f.tools != NULL && m->state->functions)
        return check_invalid(&m->r.from, "functions", "to be absent where tools are given");
    if (m->f.tools != NULL)
        st = add_tools(m, m->f.tools, false, &tools);
    if (m->f.functions != NULL)
        st = add_tools(m, m->f.functions, true, &tools);
    if (st == ST_OK)
        st = choose(m, &tools, &c);
    if (st != ST_OK || yyjson_mut_arr_size(tools.list) == 0)
        return st;
    making_put(&m->r.to, m->r.to.root, "tools", tools.list);
    return put_choice(m, &c, m->state->functions || yyjson_is_false(m->f.parallel_tool_calls));
}
