/* Tools and the choice among them: functionDeclarations, functionCallingConfig (contract, section 5.1). */
#include "providersvc/dialects/chat_to_gemini_private.h"

#include <string.h>

#define FUNCTION_NAME_MAX 64

struct declaring {
    struct checking *from;
    struct making *to;
    yyjson_mut_val *functions; /* functionDeclarations; NULL = none yet */
    bool knows_strict; /* the model can be held to a schema */
    bool strict; /* a function's arguments must follow its schema */
};

static enum status declare(struct declaring *d, yyjson_val *function)
{
    yyjson_val *description = NULL, *parameters = NULL, *strict = NULL;
    struct slice name = {NULL, 0};
    yyjson_mut_val *made;
    enum status st = check_name(d->from, function, "name", &name);

    if (st == ST_OK)
        st = check_get(d->from, function, "description", IS_STRING, &description);
    if (st == ST_OK)
        st = check_get(d->from, function, "parameters", IS_OBJECT, &parameters);
    if (st == ST_OK && (!check_word(name) || name.n > FUNCTION_NAME_MAX))
        st = check_invalid(d->from, "name", "1 to 64 of the characters a-z, A-Z, 0-9, '_' and '-'");
    if (st == ST_OK)
        st = check_get(d->from, function, "strict", IS_BOOL, &strict);
    if (st != ST_OK)
        return st;
    d->strict |= yyjson_is_true(strict) && d->knows_strict;
    if (d->functions == NULL)
        d->functions = making_put_array(d->to, making_push_object(d->to, making_put_array(d->to, d->to->root, "tools")),
                                        "functionDeclarations");
    made = making_push_object(d->to, d->functions);
    making_put_text(d->to, made, "name", name);
    if (description != NULL)
        making_put_value(d->to, made, "description", description);
    if (parameters != NULL)
        making_put_value(d->to, made, "parametersJsonSchema", parameters);
    return ST_OK;
}

static enum status declare_tool(struct declaring *d, yyjson_val *tool)
{
    yyjson_val *function = NULL;
    struct slice type = {NULL, 0};
    enum status st = check_name(d->from, tool, "type", &type);

    if (st != ST_OK)
        return st;
    if (!slice_is(type, "function"))
        return check_unsupported(d->from, NULL);
    st = check_need(d->from, tool, "function", IS_OBJECT, &function);
    if (st != ST_OK)
        return st;
    check_enter(d->from, "function");
    st = declare(d, function);
    check_leave(d->from);
    return st;
}

static enum status declare_all(struct declaring *d, yyjson_val *list, const char *name,
                               enum status (*take)(struct declaring *d, yyjson_val *v))
{
    enum status st = list != NULL ? check_is(d->from, name, list, IS_ARRAY) : ST_OK;
    yyjson_val *v;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, v)
    {
        check_enter_item(d->from, name, i);
        st = check_is(d->from, NULL, v, IS_OBJECT);
        if (st == ST_OK)
            st = take(d, v);
        if (st != ST_OK)
            break;
        check_leave(d->from);
    }
    return st;
}

/* ---- the choice --------------------------------------------------------------------------------------------------
 */

/* AUTO knows neither a list of names nor arguments that must follow their schema: there its like is VALIDATED. */
static yyjson_mut_val *put_mode(struct declaring *d, const char *mode)
{
    yyjson_mut_val *config =
        making_put_object(d->to, making_put_object(d->to, d->to->root, "toolConfig"), "functionCallingConfig");

    making_put_word(d->to, config, "mode", mode);
    return config;
}

static enum status choose_word(struct declaring *d, yyjson_val *choice, const char *path)
{
    bool declared = d->functions != NULL;

    if (yyjson_equals_str(choice, "none")) {
        if (declared)
            (void)put_mode(d, "NONE");
        return ST_OK;
    }
    if (yyjson_equals_str(choice, "auto")) {
        if (declared)
            (void)put_mode(d, d->strict ? "VALIDATED" : "AUTO");
        return ST_OK;
    }
    if (!yyjson_equals_str(choice, "required"))
        return check_invalid(d->from, path, "one of 'none', 'auto' and 'required', or an object");
    if (!declared)
        return check_invalid(d->from, path, "'none' or 'auto' where no tools are given");
    (void)put_mode(d, "ANY");
    return ST_OK;
}

/* The name in {type: "function", function: {name}}. ret->n == 0: a tool of another kind, left out. */
static enum status chosen_name(struct declaring *d, yyjson_val *choice, struct slice *ret)
{
    yyjson_val *function = NULL;
    struct slice type = {NULL, 0};
    enum status st = check_is(d->from, NULL, choice, IS_OBJECT);

    *ret = (struct slice){NULL, 0};
    if (st == ST_OK)
        st = check_name(d->from, choice, "type", &type);
    if (st != ST_OK)
        return st;
    if (!slice_is(type, "function"))
        return check_unsupported(d->from, NULL);
    st = check_need(d->from, choice, "function", IS_OBJECT, &function);
    if (st != ST_OK)
        return st;
    check_enter(d->from, "function");
    st = check_name(d->from, function, "name", ret);
    check_leave(d->from);
    return st;
}

static enum status choose_allowed(struct declaring *d, yyjson_val *allowed)
{
    yyjson_val *mode = yyjson_obj_get(allowed, "mode"), *tools = yyjson_obj_get(allowed, "tools"), *tool;
    bool required = yyjson_equals_str(mode, "required");
    struct slice name = {NULL, 0};
    yyjson_mut_val *names;
    enum status st = ST_OK;
    size_t i, n;

    if (!required && !yyjson_equals_str(mode, "auto"))
        return check_invalid(d->from, "mode", "one of 'auto' and 'required'");
    if (yyjson_arr_size(tools) == 0)
        return check_invalid(d->from, "tools", "an array of at least one tool");
    names = making_put_array(d->to, put_mode(d, required ? "ANY" : "VALIDATED"), "allowedFunctionNames");
    yyjson_arr_foreach(tools, i, n, tool)
    {
        check_enter_item(d->from, "tools", i);
        st = chosen_name(d, tool, &name);
        if (st != ST_OK)
            break;
        if (name.n > 0)
            making_push(d->to, names, making_text(d->to, name));
        check_leave(d->from);
    }
    return st;
}

static void choose_one(struct declaring *d, struct slice name)
{
    if (name.n > 0)
        making_push(d->to, making_put_array(d->to, put_mode(d, "ANY"), "allowedFunctionNames"),
                    making_text(d->to, name));
}

static enum status choose(struct declaring *d, yyjson_val *choice, const char *path)
{
    yyjson_val *allowed = NULL;
    struct slice name = {NULL, 0};
    enum status st;

    if (choice == NULL) {
        if (d->strict)
            (void)put_mode(d, "VALIDATED");
        return ST_OK;
    }
    if (yyjson_is_str(choice))
        return choose_word(d, choice, path);
    st = check_is(d->from, path, choice, IS_STRING | IS_OBJECT);
    if (st != ST_OK)
        return st;
    if (d->functions == NULL)
        return check_invalid(d->from, path, "'none' or 'auto' where no tools are given");
    check_enter(d->from, path);
    if (strcmp(path, "function_call") == 0) {
        st = check_name(d->from, choice, "name", &name);
    } else if (yyjson_equals_str(yyjson_obj_get(choice, "type"), "allowed_tools")) {
        st = check_need(d->from, choice, "allowed_tools", IS_OBJECT, &allowed);
        check_enter(d->from, "allowed_tools");
        if (st == ST_OK)
            st = choose_allowed(d, allowed);
        check_leave(d->from);
    } else {
        st = chosen_name(d, choice, &name);
    }
    if (st != ST_OK)
        return st;
    choose_one(d, name);
    check_leave(d->from);
    return ST_OK;
}

enum status gemini_tools(struct asking *a, yyjson_val *tools, yyjson_val *functions, yyjson_val *choice,
                         const char *choice_path)
{
    struct declaring d = {.from = &a->r.from, .to = &a->r.to, .knows_strict = a->family != GEMINI_PLAIN};
    enum status st = declare_all(&d, tools, "tools", declare_tool);

    if (st == ST_OK)
        st = declare_all(&d, functions, "functions", declare);
    return st == ST_OK ? choose(&d, choice, choice_path) : st;
}
