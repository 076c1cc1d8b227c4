#include "services/env_ref.h"

#include <string.h>

#define NAME_MAX_BYTES 128

static const char *const own_secrets[] = {"MASTER_KEY",    "JWT_SECRET", "BUS_SECRET",  "ADMIN_PASSWORD",
                                          "METRICS_TOKEN", "REDIS_URL",  "ROUTER_TOKEN"};

static bool name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool env_ref_is(struct slice text, struct slice *ret_name)
{
    if (text.n < 3 || memcmp(text.p, "${", 2) != 0 || text.p[text.n - 1] != '}' ||
        memchr(text.p, '}', text.n) != text.p + text.n - 1)
        return false;
    *ret_name = (struct slice){text.p + 2, text.n - 3};
    return true;
}

enum status env_ref_check(struct slice name, const char *field, struct err *err)
{
    bool ok = name.n > 0 && name.n <= NAME_MAX_BYTES && !(name.p[0] >= '0' && name.p[0] <= '9');
    size_t i;

    for (i = 0; i < name.n && ok; i++)
        ok = name_char(name.p[i]);
    if (!ok)
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", field,
                             "Invalid '%s': the name in ${…} has capital letters, digits and '_' only, at most %d.",
                             field, NAME_MAX_BYTES);
    for (i = 0; i < sizeof(own_secrets) / sizeof(own_secrets[0]); i++)
        if (slice_is(name, own_secrets[i]))
            return err_set_field(err, ST_BAD_REQUEST, "invalid_value", field,
                                 "Invalid '%s': ${%s} is a secret of the router itself and cannot be used here.", field,
                                 own_secrets[i]);
    return ST_OK;
}

static enum status add_value(struct slice name, char *(*env)(const char *name), const char *field, struct buf *out,
                             struct err *err)
{
    char text[NAME_MAX_BYTES + 1];
    enum status st = env_ref_check(name, field, err);
    const char *value;

    if (st != ST_OK)
        return st;
    slice_copy(name, text, sizeof(text));
    value = env(text);
    if (!value)
        return err_set_field(err, ST_BAD_REQUEST, "invalid_value", field,
                             "Invalid '%s': ${%s} is not set in the environment of meterd.", field, text);
    st = buf_addc(out, value);
    return st == ST_OK ? st : err_set(err, st, "'%s' is too long", field);
}

enum status env_ref_expand(struct slice text, char *(*env)(const char *name), const char *field, struct buf *out,
                           struct err *err)
{
    enum status st = ST_OK;

    while (text.n > 0 && st == ST_OK) {
        const char *from = memmem(text.p, text.n, "${", 2);
        size_t plain = from ? (size_t)(from - text.p) : text.n;
        const char *end = from ? memchr(from, '}', text.n - plain) : NULL;
        size_t used = plain;

        if (from && !end)
            return err_set_field(err, ST_BAD_REQUEST, "invalid_value", field, "Invalid '%s': ${ has no closing }.",
                                 field);
        st = buf_add(out, text.p, plain);
        if (st != ST_OK)
            return err_set(err, st, "'%s' is too long", field);
        if (from) {
            st = add_value((struct slice){from + 2, (size_t)(end - from) - 2}, env, field, out, err);
            used += (size_t)(end - from) + 1;
        }
        text = (struct slice){text.p + used, text.n - used};
    }
    return st;
}
