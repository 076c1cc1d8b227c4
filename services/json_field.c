#include "services/json_field.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/money.h"
#include "proto/utf8.h"

#define NUMBER_SHOWN_MAX 40 /* bytes of a client's number that an error repeats */

bool json_field_public(const struct wire_field *f)
{
    return f->kind != WIRE_BIN;
}

bool json_field_single(const struct wire_field *f)
{
    return f->kind == WIRE_LIST && f->limit == 1;
}

static bool ends_with(const char *name, size_t n, const char *end)
{
    size_t end_n = strlen(end);

    return n > end_n && memcmp(name + n - end_n, end, end_n) == 0;
}

struct slice json_field_name(const struct wire_field *f, char to[JSON_NAME_MAX])
{
    size_t n = strlen(f->name);

    if (f->kind == WIRE_PICO && ends_with(f->name, n, "_pico"))
        return (struct slice){f->name, n - strlen("_pico")};
    if (f->kind != WIRE_NANO || !ends_with(f->name, n, "_nano"))
        return (struct slice){f->name, n};
    n = (size_t)snprintf(to, JSON_NAME_MAX, "%.*s_usd", (int)(n - strlen("_nano")), f->name);
    return (struct slice){to, n < JSON_NAME_MAX ? n : JSON_NAME_MAX - 1};
}

const struct wire_field *json_field_named(const struct wire_desc *desc, struct slice name)
{
    char text[JSON_NAME_MAX];
    uint32_t i;

    for (i = 0; i < desc->n_fields; i++)
        if (json_field_public(&desc->fields[i]) && slice_eq(name, json_field_name(&desc->fields[i], text)))
            return &desc->fields[i];
    return NULL;
}

/* --- errors, worded as OpenAI's API words them ----------------------------------------------------------------------
 */

static void put(char path[ERR_PARAM_MAX], size_t *n, struct slice text)
{
    size_t room = ERR_PARAM_MAX - 1 - *n;

    if (text.n > room)
        text.n = room;
    if (text.n > 0)
        memcpy(path + *n, text.p, text.n);
    *n += text.n;
    path[*n] = '\0';
}

static void put_path(const struct json_at *at, char path[ERR_PARAM_MAX], size_t *n)
{
    char text[JSON_NAME_MAX];

    if (!at || !at->list)
        return;
    put_path(at->up, path, n); /* as deep as declarations nest */
    put(path, n, json_field_name(at->list, text));
    if (!json_field_single(at->list)) {
        (void)snprintf(text, sizeof(text), "[%zu]", at->index);
        put(path, n, slice_of(text));
    }
    put(path, n, slice_of("."));
}

static void path_of(const struct json_at *at, struct slice name, char path[ERR_PARAM_MAX])
{
    size_t n = 0;

    path[0] = '\0';
    put_path(at, path, &n);
    if (name.n > 0)
        put(path, &n, name);
    else if (n > 0)
        path[n - 1] = '\0'; /* the object itself: no dot behind it */
}

enum status json_fail(const struct json_at *at, const struct wire_field *f, const char *code, const char *format, ...)
{
    char path[ERR_PARAM_MAX], text[JSON_NAME_MAX], why[ERR_TEXT_MAX];
    va_list args;

    path_of(at, f ? json_field_name(f, text) : (struct slice){NULL, 0}, path);
    va_start(args, format);
    (void)vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    return err_set_field(at->err, ST_BAD_REQUEST, code, path, "Invalid %s'%s': %s",
                         strcmp(code, "invalid_type") == 0 ? "type for " : "", path, why);
}

static const char *kind_expected(const struct wire_field *f)
{
    switch ((enum wire_kind)f->kind) {
    case WIRE_BOOL: return "a boolean";
    case WIRE_U64:
    case WIRE_I64: return "an integer";
    case WIRE_NANO:
    case WIRE_PICO: return "a decimal string";
    case WIRE_STR:
    case WIRE_SECRET:
    case WIRE_BIN: return "a string";
    case WIRE_STRS:
    case WIRE_SECRETS: return "an array of strings";
    case WIRE_LIST: return json_field_single(f) ? "an object" : "an array of objects";
    }
    return "another type";
}

enum status json_fail_type(const struct json_at *at, const struct wire_field *f, const char *got)
{
    return json_fail(at, f, "invalid_type", "expected %s, but got %s instead.", f ? kind_expected(f) : "an object",
                     got);
}

enum status json_fail_unknown(const struct json_at *at, struct slice name)
{
    char path[ERR_PARAM_MAX];

    path_of(at, name, path);
    return err_set_field(at->err, ST_BAD_REQUEST, "unknown_parameter", path, "Unknown parameter: '%s'.", path);
}

/* --- values ----------------------------------------------------------------------------------------------------------
 */

static void *member(const struct wire_field *f, void *msg)
{
    return (char *)msg + f->offset;
}

static enum status done(const struct wire_field *f, void *msg)
{
    *(uint64_t *)msg |= UINT64_C(1) << f->tag;
    return ST_OK;
}

static enum status no_memory(const struct json_at *at)
{
    return err_set(at->err, ST_NO_MEMORY, "%s", "");
}

enum status json_put_bool(const struct wire_field *f, bool value, void *msg)
{
    *(bool *)member(f, msg) = value;
    return done(f, msg);
}

enum status json_copy_str(const struct json_at *at, const struct wire_field *f, uint64_t limit, struct slice text,
                          struct slice *to)
{
    enum status st = ST_OK;

    if (text.n > limit)
        return json_fail(at, f, "string_above_max_length",
                         "string too long. Expected a string with maximum length %" PRIu64
                         ", but got a string with length %zu instead.",
                         limit, text.n);
    if (!utf8_valid(text.p, text.n))
        return json_fail(at, f, "invalid_value", "the string holds a NUL character or is not UTF-8.");
    *to = arena_copy(at->arena, text, &st);
    return st == ST_OK ? ST_OK : no_memory(at);
}

/* An amount of money, from a string or from a number's own digits. */
static enum status put_amount(const struct json_at *at, const struct wire_field *f, struct slice text, void *msg)
{
    struct err why = {0};
    int64_t value = 0;
    enum status st = f->kind == WIRE_NANO ? money_parse_usd(text, &value, &why) : money_parse_price(text, &value, &why);

    if (st != ST_OK)
        return json_fail(at, f, "invalid_value", "%s", why.text);
    if ((uint64_t)(value < 0 ? -value : value) > f->limit)
        return json_fail(at, f, "invalid_value", "the amount is too large.");
    *(int64_t *)member(f, msg) = value;
    return done(f, msg);
}

enum status json_put_text(const struct json_at *at, const struct wire_field *f, struct slice text, void *msg)
{
    enum status st;

    if (f->kind == WIRE_NANO || f->kind == WIRE_PICO)
        return put_amount(at, f, text, msg);
    if (f->kind != WIRE_STR && f->kind != WIRE_SECRET)
        return json_fail_type(at, f, "a string");
    st = json_copy_str(at, f, f->limit, text, member(f, msg));
    return st == ST_OK ? done(f, msg) : st;
}

/* "-12" to sign and size. A size beyond uint64_t stays at its maximum, which no declared bound allows. */
static bool parse_integer(struct slice text, bool *ret_minus, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;

    *ret_minus = text.n > 0 && text.p[0] == '-';
    i = *ret_minus ? 1 : 0;
    if (i == text.n)
        return false;
    for (; i < text.n; i++) {
        uint64_t digit = (uint64_t)(text.p[i] - '0');

        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
    }
    *ret = v;
    return true;
}

enum status json_put_number(const struct json_at *at, const struct wire_field *f, struct slice number, void *msg)
{
    uint64_t size = 0, lowest = f->kind == WIRE_I64 ? f->limit : 0;
    int shown = number.n < NUMBER_SHOWN_MAX ? (int)number.n : NUMBER_SHOWN_MAX;
    bool minus = false;

    if (f->kind == WIRE_NANO || f->kind == WIRE_PICO)
        return put_amount(at, f, number, msg);
    if (f->kind != WIRE_U64 && f->kind != WIRE_I64)
        return json_fail_type(at, f, "a number");
    if (!parse_integer(number, &minus, &size))
        return json_fail_type(at, f, "a decimal number");
    if (minus && size > lowest)
        return json_fail(at, f, "integer_below_min_value",
                         "integer below minimum value. Expected a value >= %s%" PRIu64 ", but got %.*s instead.",
                         lowest ? "-" : "", lowest, shown, number.p);
    if (!minus && size > f->limit)
        return json_fail(at, f, "integer_above_max_value",
                         "integer above maximum value. Expected a value <= %" PRIu64 ", but got %.*s instead.",
                         f->limit, shown, number.p);
    if (f->kind == WIRE_U64)
        *(uint64_t *)member(f, msg) = size;
    else
        *(int64_t *)member(f, msg) = minus ? -(int64_t)size : (int64_t)size;
    return done(f, msg);
}

enum status json_put_strs(const struct json_at *at, const struct wire_field *f, size_t n, void *msg, struct slice **ret)
{
    struct wire_strs *to = member(f, msg);

    if (n > f->limit)
        return json_fail(at, f, "array_above_max_length",
                         "array too long. Expected an array with maximum length %" PRIu64
                         ", but got an array with length %zu instead.",
                         f->limit, n);
    *ret = arena_alloc(at->arena, n * sizeof(**ret)); /* n is small: at most the limit */
    if (!*ret)
        return no_memory(at);
    *to = (struct wire_strs){*ret, n};
    return done(f, msg);
}
