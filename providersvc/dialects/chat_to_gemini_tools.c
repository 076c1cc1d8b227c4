/* Tools and the choice among them: functionDeclarations, functionCallingConfig (contract, section 5.1). */
#include "providersvc/dialects/chat_to_gemini_private.h"

#include <string.h>

#define FUNCTION_NAME_MAX 64

struct declaring {
    struct asking *a;
    yyjson_mut_val *functions; /* functionDeclarations; NULL = none yet */
    bool strict; /* a function's arguments must follow its schema */
};

static bool name_fits(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return name.n > 0 && name.n <= FUNCTION_NAME_MAX;
}

/* The optional member key of function, of a type of JSON. */
static enum status optional(struct declaring *d, yyjson_val *function, const char *key, const char *path, bool object,
                            yyjson_val **ret)
{
    char at[ERR_PARAM_MAX];

    *ret = yyjson_obj_get(function, key);
    if (asking_absent(*ret))
        *ret = NULL;
    if (*ret == NULL || (object ? yyjson_is_obj(*ret) : yyjson_is_str(*ret)))
        return ST_OK;
    asking_path(at, "%s.%s", path, key);
    return asking_wrong_type(d->a, at, object ? "an object" : "a string", *ret);
}

static enum status declare(struct declaring *d, yyjson_val *function, const char *path)
{
    yyjson_val *description = NULL, *parameters = NULL, *strict = yyjson_obj_get(function, "strict");
    struct making *out = &d->a->out;
    struct slice name = {NULL, 0};
    char at[ERR_PARAM_MAX];
    yyjson_mut_val *made;
    enum status st;

    if (asking_absent(function))
        return asking_missing(d->a, path);
    if (!yyjson_is_obj(function))
        return asking_wrong_type(d->a, path, "an object", function);
    st = asking_name(d->a, function, "name", path, &name);
    if (st == ST_OK)
        st = optional(d, function, "description", path, false, &description);
    if (st == ST_OK)
        st = optional(d, function, "parameters", path, true, &parameters);
    if (st != ST_OK)
        return st;
    asking_path(at, "%s.name", path);
    if (!name_fits(name))
        return asking_invalid(d->a, at, "1 to 64 of the characters a-z, A-Z, 0-9, '_' and '-'");
    asking_path(at, "%s.strict", path);
    if (!asking_absent(strict) && !yyjson_is_bool(strict))
        return asking_wrong_type(d->a, at, "a boolean", strict);
    d->strict |= yyjson_is_true(strict) && d->a->family != GEMINI_PLAIN; /* those know no such mode */
    if (d->functions == NULL)
        d->functions = making_put_array(out, making_push_object(out, making_put_array(out, out->root, "tools")),
                                        "functionDeclarations");
    made = making_push_object(out, d->functions);
    making_put_text(out, made, "name", name);
    if (description != NULL)
        making_put_text(out, made, "description", facts_text(description));
    if (parameters != NULL)
        making_put_value(out, made, "parametersJsonSchema", parameters);
    return ST_OK;
}

static enum status declare_tool(struct declaring *d, yyjson_val *tool, const char *path)
{
    struct slice type = {NULL, 0};
    char at[ERR_PARAM_MAX];
    enum status st;

    if (!yyjson_is_obj(tool))
        return asking_wrong_type(d->a, path, "an object", tool);
    st = asking_name(d->a, tool, "type", path, &type);
    if (st != ST_OK)
        return st;
    if (!slice_is(type, "function"))
        return translate_unsupported(d->a->call, path, GEMINI_NAME, d->a->err);
    asking_path(at, "%s.function", path);
    return declare(d, yyjson_obj_get(tool, "function"), at);
}

static enum status declare_all(struct declaring *d, yyjson_val *list, const char *name,
                               enum status (*take)(struct declaring *d, yyjson_val *v, const char *path))
{
    enum status st = ST_OK;
    char at[ERR_PARAM_MAX];
    yyjson_val *v;
    size_t i, n;

    if (list != NULL && !yyjson_is_arr(list))
        return asking_wrong_type(d->a, name, "an array of objects", list);
    yyjson_arr_foreach(list, i, n, v)
    {
        asking_path(at, "%s[%zu]", name, i);
        st = take(d, v, at);
        if (st != ST_OK)
            break;
    }
    return st;
}

/* ---- the choice --------------------------------------------------------------------------------------------------
 */

/* AUTO knows neither a list of names nor arguments that must follow their schema: there its like is VALIDATED. */
static yyjson_mut_val *put_mode(struct declaring *d, const char *mode)
{
    struct making *out = &d->a->out;
    yyjson_mut_val *config =
        making_put_object(out, making_put_object(out, out->root, "toolConfig"), "functionCallingConfig");

    making_put_word(out, config, "mode", mode);
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
        return asking_invalid(d->a, path, "one of 'none', 'auto' and 'required', or an object");
    if (!declared)
        return asking_invalid(d->a, path, "'none' or 'auto' where no tools are given");
    (void)put_mode(d, "ANY");
    return ST_OK;
}

/* The name in {type: "function", function: {name}}. ret->n == 0: a tool of another kind, left out. */
static enum status chosen_name(struct declaring *d, yyjson_val *choice, const char *path, struct slice *ret)
{
    yyjson_val *function = yyjson_obj_get(choice, "function");
    struct slice type = {NULL, 0};
    char at[ERR_PARAM_MAX];
    enum status st;

    *ret = (struct slice){NULL, 0};
    if (!yyjson_is_obj(choice))
        return asking_wrong_type(d->a, path, "an object", choice);
    st = asking_name(d->a, choice, "type", path, &type);
    if (st != ST_OK)
        return st;
    if (!slice_is(type, "function"))
        return translate_unsupported(d->a->call, path, GEMINI_NAME, d->a->err);
    asking_path(at, "%s.function", path);
    if (asking_absent(function))
        return asking_missing(d->a, at);
    if (!yyjson_is_obj(function))
        return asking_wrong_type(d->a, at, "an object", function);
    return asking_name(d->a, function, "name", at, ret);
}

static enum status choose_allowed(struct declaring *d, yyjson_val *allowed, const char *path)
{
    yyjson_val *mode = yyjson_obj_get(allowed, "mode"), *tools = yyjson_obj_get(allowed, "tools"), *tool;
    bool required = yyjson_equals_str(mode, "required");
    struct slice name = {NULL, 0};
    yyjson_mut_val *names;
    char at[ERR_PARAM_MAX];
    enum status st = ST_OK;
    size_t i, n;

    if (!yyjson_is_obj(allowed))
        return allowed == NULL ? asking_missing(d->a, path) : asking_wrong_type(d->a, path, "an object", allowed);
    asking_path(at, "%s.mode", path);
    if (!required && !yyjson_equals_str(mode, "auto"))
        return asking_invalid(d->a, at, "one of 'auto' and 'required'");
    asking_path(at, "%s.tools", path);
    if (!yyjson_is_arr(tools) || yyjson_arr_size(tools) == 0)
        return asking_invalid(d->a, at, "an array of at least one tool");
    names = making_put_array(&d->a->out, put_mode(d, required ? "ANY" : "VALIDATED"), "allowedFunctionNames");
    yyjson_arr_foreach(tools, i, n, tool)
    {
        asking_path(at, "%s.tools[%zu]", path, i);
        st = chosen_name(d, tool, at, &name);
        if (st != ST_OK)
            break;
        if (name.n > 0)
            making_push(&d->a->out, names, yyjson_mut_strn(d->a->out.doc, name.p, name.n));
    }
    return st;
}

static enum status choose_one(struct declaring *d, struct slice name)
{
    yyjson_mut_val *names;

    if (name.n == 0)
        return ST_OK;
    names = making_put_array(&d->a->out, put_mode(d, "ANY"), "allowedFunctionNames");
    making_push(&d->a->out, names, yyjson_mut_strn(d->a->out.doc, name.p, name.n));
    return ST_OK;
}

static enum status choose(struct declaring *d, yyjson_val *choice, const char *path)
{
    struct slice name = {NULL, 0};
    char at[ERR_PARAM_MAX];
    enum status st;

    if (choice == NULL) {
        if (d->strict)
            (void)put_mode(d, "VALIDATED");
        return ST_OK;
    }
    if (yyjson_is_str(choice))
        return choose_word(d, choice, path);
    if (!yyjson_is_obj(choice))
        return asking_wrong_type(d->a, path, "a string or an object", choice);
    if (d->functions == NULL)
        return asking_invalid(d->a, path, "'none' or 'auto' where no tools are given");
    if (strcmp(path, "function_call") == 0) {
        st = asking_name(d->a, choice, "name", path, &name);
    } else if (yyjson_equals_str(yyjson_obj_get(choice, "type"), "allowed_tools")) {
        asking_path(at, "%s.allowed_tools", path);
        return choose_allowed(d, yyjson_obj_get(choice, "allowed_tools"), at);
    } else {
        st = chosen_name(d, choice, path, &name);
    }
    return st == ST_OK ? choose_one(d, name) : st;
}

enum status gemini_tools(struct asking *a, yyjson_val *tools, yyjson_val *functions, yyjson_val *choice,
                         const char *choice_path)
{
    struct declaring d = {.a = a};
    enum status st = declare_all(&d, tools, "tools", declare_tool);

    if (st == ST_OK)
        st = declare_all(&d, functions, "functions", declare);
    return st == ST_OK ? choose(&d, choice, choice_path) : st;
}
