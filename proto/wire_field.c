#include "proto/wire_path.h"

#include <stdarg.h>
#include <stdio.h>

/* Appends to path, silently cut at its end: a path that long still says where to look. */
static void put(char path[ERR_PARAM_MAX], size_t *n, const char *text)
{
    while (*text && *n + 1 < ERR_PARAM_MAX)
        path[(*n)++] = *text++;
    path[*n] = '\0';
}

static void put_path(const struct wire_path *at, char path[ERR_PARAM_MAX], size_t *n)
{
    const struct wire_path *from_top[WIRE_DEPTH_MAX + 1];
    size_t levels = 0;

    for (; at && levels < sizeof(from_top) / sizeof(from_top[0]); at = at->up)
        from_top[levels++] = at;
    while (levels-- > 0) {
        char index[32];

        if (!from_top[levels]->field) {
            put(path, n, from_top[levels]->desc->name);
            continue;
        }
        (void)snprintf(index, sizeof(index), "[%zu]", from_top[levels]->index);
        put(path, n, ".");
        put(path, n, from_top[levels]->field->name);
        put(path, n, index);
    }
}

enum status wire_fail(const struct wire_path *at, const struct wire_field *f, enum status st, struct err *err,
                      const char *format, ...)
{
    char path[ERR_PARAM_MAX] = "", why[ERR_TEXT_MAX - ERR_PARAM_MAX - 2];
    size_t n = 0;
    va_list args;

    if (!err)
        return st;
    put_path(at, path, &n);
    if (f) {
        put(path, &n, ".");
        put(path, &n, f->name);
    }
    va_start(args, format);
    (void)vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    return err_set_field(err, st, NULL, path, "%s: %s", path, why);
}

const struct wire_field *wire_field_named(const struct wire_desc *desc, struct slice name)
{
    uint32_t i;

    for (i = 0; i < desc->n_fields; i++)
        if (slice_is(name, desc->fields[i].name))
            return &desc->fields[i];
    return NULL;
}

bool wire_field_zero(const struct wire_field *f, const void *msg)
{
    const void *p = (const char *)msg + f->offset;

    switch ((enum wire_kind)f->kind) {
    case WIRE_BOOL: return !*(const bool *)p;
    case WIRE_U64: return *(const uint64_t *)p == 0;
    case WIRE_I64:
    case WIRE_NANO:
    case WIRE_PICO: return *(const int64_t *)p == 0;
    case WIRE_STR:
    case WIRE_SECRET:
    case WIRE_BIN: return ((const struct slice *)p)->n == 0;
    case WIRE_STRS:
    case WIRE_SECRETS:
    case WIRE_LIST: return ((const struct wire_list *)p)->n == 0;
    }
    return true;
}

size_t wire_item_max(const struct wire_field *f)
{
    return f->kind == WIRE_SECRETS ? WIRE_SECRETS_ITEM_MAX : WIRE_STRS_ITEM_MAX;
}
