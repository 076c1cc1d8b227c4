#include "providersvc/dialects/checking.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_DIGITS 19 /* of a whole number that surely fits */
#define WORD_MAX 64 /* bytes of a member's name that is repeated */
#define MODEL_SHOWN_MAX (LIMIT_MODEL + 16) /* bytes of "the model '…'", closing NUL included */

/* ---- where we are --------------------------------------------------------------------------------------------------
 */

static void enter(struct checking *c, struct checking_step step)
{
    if (c->depth < CHECKING_STEPS_MAX)
        c->steps[c->depth] = step;
    c->depth++;
}

void check_enter(struct checking *c, const char *name)
{
    enter(c, (struct checking_step){.name = name});
}

void check_enter_item(struct checking *c, const char *list, size_t index)
{
    enter(c, (struct checking_step){.name = list, .index = index, .item = true});
}

void check_leave(struct checking *c)
{
    c->depth--;
}

/* All names are ours, or words: a path may come to stand in a header. */
static void add_name(struct buf *path, const char *name)
{
    if (path->n > 0)
        (void)buf_addc(path, ".");
    (void)buf_addc(path, name);
}

static void add_step(struct buf *path, const struct checking_step *step, bool anthropic)
{
    add_name(path, step->name);
    if (!step->item)
        return;
    (void)buf_addc(path, anthropic ? "." : "[");
    (void)buf_addu(path, step->index);
    if (!anthropic)
        (void)buf_addc(path, "]");
}

/* What does not fit is left out. */
static const char *path_of(const struct checking *c, const char *key, char to[ERR_PARAM_MAX])
{
    struct buf path;

    buf_init(&path, ERR_PARAM_MAX - 1);
    for (size_t i = 0; i < c->depth && i < CHECKING_STEPS_MAX; i++)
        add_step(&path, &c->steps[i], c->anthropic);
    if (key != NULL)
        add_name(&path, key);
    if (path.n > 0)
        memcpy(to, path.p, path.n);
    to[path.n] = '\0';
    buf_fini(&path);
    return to;
}

/* ---- what is wrong there -------------------------------------------------------------------------------------------
 */

static const char *kind_text(yyjson_val *v)
{
    if (yyjson_is_null(v))
        return "null";
    if (yyjson_is_bool(v))
        return "a boolean";
    if (yyjson_is_raw(v))
        return "a number";
    if (yyjson_is_str(v))
        return "a string";
    return yyjson_is_arr(v) ? "an array" : "an object";
}

static enum status anthropic_error(struct checking *c, const char *path, const char *code, const char *text)
{
    return err_set_field(c->err, ST_BAD_REQUEST, code, path, "%s: %s", path, text);
}

enum status check_wrong_type(struct checking *c, const char *key, const char *expected, yyjson_val *got)
{
    char path[ERR_PARAM_MAX];

    path_of(c, key, path);
    if (c->anthropic)
        return anthropic_error(c, path, "invalid_type", expected);
    return err_set_field(c->err, ST_BAD_REQUEST, "invalid_type", path,
                         "Invalid type for '%s': expected %s, but got %s instead.", path, expected, kind_text(got));
}

enum status check_invalid(struct checking *c, const char *key, const char *expected)
{
    char path[ERR_PARAM_MAX];

    path_of(c, key, path);
    if (c->anthropic)
        return anthropic_error(c, path, "invalid_value", expected);
    return err_set_field(c->err, ST_BAD_REQUEST, "invalid_value", path, "Invalid value for '%s': expected %s.", path,
                         expected);
}

enum status check_missing(struct checking *c, const char *key)
{
    char path[ERR_PARAM_MAX];

    path_of(c, key, path);
    if (c->anthropic)
        return anthropic_error(c, path, "missing_required_parameter", "Field required");
    return err_set_field(c->err, ST_BAD_REQUEST, "missing_required_parameter", path,
                         "Missing required parameter: '%s'.", path);
}

enum status check_unsupported_by(struct checking *c, const char *key, const char *upstream)
{
    char path[ERR_PARAM_MAX];

    return translate_unsupported(c->call, path_of(c, key, path), upstream, c->err);
}

enum status check_unsupported(struct checking *c, const char *key)
{
    return check_unsupported_by(c, key, c->upstream);
}

enum status check_unsupported_model(struct checking *c, const char *key)
{
    char name[MODEL_SHOWN_MAX];

    snprintf(name, sizeof(name), "the model '" SLICE_FMT "'", SLICE_ARG(c->call->model));
    return check_unsupported_by(c, key, name);
}

enum status check_unsupported_value(struct checking *c, const char *key, yyjson_val *text)
{
    char path[ERR_PARAM_MAX];

    if (c->call->drop_unsupported)
        return check_unsupported(c, key);
    path_of(c, key, path);
    return err_set_field(c->err, ST_BAD_REQUEST, "unsupported_value", path,
                         "Unsupported value: '%s' is '%s', but %s has nothing like it. (With DROP_UNSUPPORTED=on the "
                         "router leaves such things out.)",
                         path, yyjson_get_str(text), c->upstream);
}

enum status check_refuse(struct checking *c, const char *key, const char *why)
{
    char path[ERR_PARAM_MAX];

    path_of(c, key, path);
    return err_set_field(c->err, ST_BAD_REQUEST, "unsupported_parameter", path,
                         "Unsupported parameter: '%s' cannot be used with this model: %s.", path, why);
}

enum status check_refuse_value(struct checking *c, const char *key, const char *why)
{
    char path[ERR_PARAM_MAX];

    path_of(c, key, path);
    return err_set_field(c->err, ST_BAD_REQUEST, "unsupported_value", path,
                         "Unsupported value: '%s' cannot be used with this model: %s.", path, why);
}

enum status check_unknown(struct checking *c, yyjson_val *key)
{
    struct slice name = facts_text(key);
    char word[WORD_MAX], path[ERR_PARAM_MAX];

    if (check_word(name) && slice_copy(name, word, sizeof(word)))
        return check_unsupported(c, word);
    path_of(c, "(a member)", path);
    if (c->anthropic)
        return anthropic_error(c, path, "unknown_parameter", "Its name is not one of this API");
    return err_set_field(c->err, ST_BAD_REQUEST, "unknown_parameter", NULL,
                         "The request has a parameter whose name is not one of any API.");
}

/* ---- members -------------------------------------------------------------------------------------------------------
 */

bool check_absent(yyjson_val *v)
{
    return v == NULL || yyjson_is_null(v);
}

bool check_count_of(yyjson_val *v, uint64_t *ret)
{
    const char *p = yyjson_get_raw(v);
    size_t n = yyjson_get_len(v);
    uint64_t sum = 0;

    if (p == NULL || n == 0 || n > COUNT_DIGITS)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        sum = sum * 10 + (uint64_t)(p[i] - '0');
    }
    *ret = sum;
    return true;
}

bool check_number_of(yyjson_val *v, yyjson_val *ret)
{
    const char *text = yyjson_get_raw(v);

    return text != NULL && yyjson_read_number(text, ret, 0, NULL, NULL) == text + yyjson_get_len(v);
}

double check_real(yyjson_val *v)
{
    const char *text = yyjson_get_raw(v);

    return text != NULL ? strtod(text, NULL) : 0;
}

bool check_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_' && s.p[i] != '-')
            return false;
    return s.n > 0;
}

static const char *openai_name(unsigned kinds)
{
    switch (kinds) {
    case IS_STRING: return "a string";
    case IS_NUMBER: return "a number";
    case IS_COUNT: return "an integer that is not negative";
    case IS_BOOL: return "a boolean";
    case IS_OBJECT: return "an object";
    case IS_ARRAY: return "an array";
    case IS_STRING | IS_OBJECT: return "a string or an object";
    default: return "a string or an array";
    }
}

static const char *anthropic_name(unsigned kinds)
{
    switch (kinds) {
    case IS_STRING: return "Input should be a valid string";
    case IS_NUMBER: return "Input should be a valid number";
    case IS_COUNT: return "Input should be a valid integer that is not negative";
    case IS_BOOL: return "Input should be a valid boolean";
    case IS_OBJECT: return "Input should be an object";
    case IS_ARRAY: return "Input should be a valid array";
    default: return "Input should be a valid string or array";
    }
}

static bool is_kind(yyjson_val *v, unsigned kinds)
{
    uint64_t n;

    return ((kinds & IS_STRING) != 0 && yyjson_is_str(v)) || ((kinds & IS_NUMBER) != 0 && yyjson_is_raw(v)) ||
           ((kinds & IS_BOOL) != 0 && yyjson_is_bool(v)) || ((kinds & IS_OBJECT) != 0 && yyjson_is_obj(v)) ||
           ((kinds & IS_ARRAY) != 0 && yyjson_is_arr(v)) || ((kinds & IS_COUNT) != 0 && check_count_of(v, &n));
}

enum status check_is(struct checking *c, const char *key, yyjson_val *v, unsigned kinds)
{
    if (is_kind(v, kinds))
        return ST_OK;
    return check_wrong_type(c, key, c->anthropic ? anthropic_name(kinds) : openai_name(kinds), v);
}

enum status check_get(struct checking *c, yyjson_val *object, const char *key, unsigned kinds, yyjson_val **ret)
{
    yyjson_val *v = yyjson_obj_get(object, key);
    enum status st;

    *ret = NULL;
    if (check_absent(v))
        return ST_OK;
    st = check_is(c, key, v, kinds);
    if (st == ST_OK)
        *ret = v;
    return st;
}

enum status check_need(struct checking *c, yyjson_val *object, const char *key, unsigned kinds, yyjson_val **ret)
{
    enum status st = check_get(c, object, key, kinds, ret);

    return st == ST_OK && *ret == NULL ? check_missing(c, key) : st;
}

enum status check_name(struct checking *c, yyjson_val *object, const char *key, struct slice *ret)
{
    yyjson_val *v = NULL;
    enum status st = check_need(c, object, key, IS_STRING, &v);

    if (st != ST_OK)
        return st;
    if (yyjson_get_len(v) == 0)
        return check_invalid(c, key, "a string that is not empty");
    *ret = facts_text(v);
    return ST_OK;
}

enum status check_count(struct checking *c, yyjson_val *object, const char *key, bool needed, uint64_t least,
                        yyjson_val **ret)
{
    uint64_t n = 0;
    char text[96];
    enum status st = needed ? check_need(c, object, key, IS_COUNT, ret) : check_get(c, object, key, IS_COUNT, ret);

    if (st != ST_OK || *ret == NULL || (check_count_of(*ret, &n) && n >= least))
        return st;
    snprintf(text, sizeof(text), "%s %llu", c->anthropic ? "Input should be greater than or equal to" : "at least",
             (unsigned long long)least);
    return check_invalid(c, key, text);
}

enum status check_upto(struct checking *c, const char *key, yyjson_val *v, unsigned most, double *ret)
{
    enum status st = check_is(c, key, v, IS_NUMBER);
    char text[64];

    if (st != ST_OK)
        return st;
    *ret = check_real(v);
    if (*ret >= 0 && *ret <= most)
        return ST_OK;
    snprintf(text, sizeof(text), "%s %u", c->anthropic ? "Input should be between 0 and" : "a number of 0 to", most);
    return check_invalid(c, key, text);
}

static bool is_known(yyjson_val *key, const char *const *known)
{
    for (; *known != NULL; known++)
        if (yyjson_equals_str(key, *known))
            return true;
    return false;
}

enum status check_only(struct checking *c, yyjson_val *object, const char *const *known)
{
    yyjson_val *key, *v;
    size_t i, n;

    if (object == NULL)
        return ST_OK;
    yyjson_obj_foreach(object, i, n, key, v)
    {
        enum status st = is_known(key, known) || yyjson_is_null(v) ? ST_OK : check_unknown(c, key);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}
