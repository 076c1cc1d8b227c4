#include "providersvc/dialects/messages_to_chat.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#define WORD_MAX 64 /* bytes of a member's name that we repeat */
#define DIGITS_MAX 19 /* of a number that surely fits into 64 bits */

/* ---- where ---------------------------------------------------------------------------------------------------------
 */

static void write_path(struct buf *to, const struct m2c_at *at)
{
    if (at == NULL)
        return;
    write_path(to, at->up);
    if (to->n > 0)
        (void)buf_addc(to, ".");
    (void)(at->name != NULL ? buf_addc(to, at->name) : buf_addu(to, at->index));
}

/* As Anthropic writes it: messages.0.content.1.source. What does not fit is left out. */
static void path_of(const struct m2c_at *at, const char *name, char to[ERR_PARAM_MAX])
{
    struct m2c_at member = {at, name, 0};
    struct buf path;

    buf_init(&path, ERR_PARAM_MAX - 1);
    write_path(&path, name != NULL ? &member : at);
    if (path.n > 0)
        memcpy(to, path.p, path.n);
    to[path.n] = '\0';
    buf_fini(&path);
}

enum status m2c_fail(const struct m2c *t, const struct m2c_at *at, const char *name, const char *code, const char *text)
{
    char path[ERR_PARAM_MAX];

    path_of(at, name, path);
    return err_set_field(t->err, ST_BAD_REQUEST, code, path, "%s: %s", path, text);
}

enum status m2c_unsupported(const struct m2c *t, const struct m2c_at *at, const char *name)
{
    char path[ERR_PARAM_MAX];

    path_of(at, name, path);
    return translate_unsupported(t->call, path, M2C_UPSTREAM_NAME, t->err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------
 */

static unsigned kind_of(yyjson_val *v)
{
    if (yyjson_is_str(v))
        return M2C_STRING;
    if (yyjson_is_bool(v))
        return M2C_BOOL;
    if (yyjson_is_raw(v)) /* numbers are read as they stand */
        return M2C_NUMBER;
    if (yyjson_is_obj(v))
        return M2C_OBJECT;
    return yyjson_is_arr(v) ? M2C_ARRAY : 0;
}

static const char *kind_text(unsigned kinds)
{
    switch (kinds & ~(unsigned)M2C_REQUIRED) {
    case M2C_STRING: return "Input should be a valid string";
    case M2C_BOOL: return "Input should be a valid boolean";
    case M2C_NUMBER: return "Input should be a valid number";
    case M2C_OBJECT: return "Input should be an object";
    case M2C_ARRAY: return "Input should be a valid array";
    default: return "Input should be a valid string or array";
    }
}

enum status m2c_check(const struct m2c *t, const struct m2c_at *at, yyjson_val *v, unsigned kinds)
{
    return (kind_of(v) & kinds) != 0 ? ST_OK : m2c_fail(t, at, NULL, "invalid_type", kind_text(kinds));
}

enum status m2c_member(const struct m2c *t, const struct m2c_at *at, yyjson_val *object, const char *name,
                       unsigned kinds, yyjson_val **ret)
{
    yyjson_val *v = yyjson_obj_get(object, name);

    *ret = NULL;
    if (v == NULL || yyjson_is_null(v)) {
        if ((kinds & M2C_REQUIRED) == 0)
            return ST_OK;
        return m2c_fail(t, at, name, "missing_required_parameter", "Field required");
    }
    if ((kind_of(v) & kinds) == 0)
        return m2c_fail(t, at, name, "invalid_type", kind_text(kinds));
    *ret = v;
    return ST_OK;
}

uint64_t m2c_uint(yyjson_val *count)
{
    const char *digits = yyjson_get_raw(count);
    size_t n = yyjson_get_len(count);
    uint64_t number = 0;

    for (size_t i = 0; i < n; i++)
        number = 10 * number + (uint64_t)(digits[i] - '0');
    return number;
}

static bool all_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < '0' || p[i] > '9')
            return false;
    return n > 0 && n <= DIGITS_MAX;
}

enum status m2c_count(const struct m2c *t, const struct m2c_at *at, yyjson_val *object, const char *name, unsigned need,
                      uint64_t least, yyjson_val **ret)
{
    char text[96];
    enum status st = m2c_member(t, at, object, name, M2C_NUMBER | need, ret);

    if (st != ST_OK || *ret == NULL)
        return st;
    if (!all_digits(yyjson_get_raw(*ret), yyjson_get_len(*ret)))
        return m2c_fail(t, at, name, "invalid_type", "Input should be a valid integer that is not negative");
    if (m2c_uint(*ret) >= least)
        return ST_OK;
    snprintf(text, sizeof(text), "Input should be greater than or equal to %llu", (unsigned long long)least);
    return m2c_fail(t, at, name, "invalid_value", text);
}

/* The name goes into a header and into the text of an error. */
static bool is_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
            return false;
    }
    return s.n > 0;
}

static bool is_known(struct slice name, const char *const *known)
{
    for (; *known != NULL; known++)
        if (slice_is(name, *known))
            return true;
    return false;
}

enum status m2c_only(const struct m2c *t, const struct m2c_at *at, yyjson_val *object, const char *const *known)
{
    yyjson_val *key, *v;
    size_t i, n;
    char word[WORD_MAX];
    enum status st;

    if (object == NULL)
        return ST_OK;
    yyjson_obj_foreach(object, i, n, key, v)
    {
        struct slice name = facts_text(key);

        if (is_known(name, known) || yyjson_is_null(v))
            continue;
        if (!is_word(name) || !slice_copy(name, word, sizeof(word)))
            return m2c_fail(t, at, "(a member)", "unknown_parameter", "Its name is not one of this API");
        st = m2c_unsupported(t, at, word);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* ---- names of tools ------------------------------------------------------------------------------------------------
 */

#define NAME_DIGEST 8 /* bytes: enough to tell the tools of one client apart */
#define NAME_KEPT (M2C_NAME_SENT_MAX - 2 * NAME_DIGEST - 1) /* of its beginning */

struct slice m2c_sent_name(struct slice name, char *to)
{
    unsigned char digest[crypto_generichash_BYTES];

    if (name.n <= M2C_NAME_SENT_MAX)
        return name;
    (void)crypto_generichash(digest, sizeof(digest), (const unsigned char *)name.p, name.n, NULL, 0);
    memcpy(to, name.p, NAME_KEPT);
    to[NAME_KEPT] = '_';
    (void)sodium_bin2hex(to + NAME_KEPT + 1, 2 * NAME_DIGEST + 1, digest, NAME_DIGEST);
    return (struct slice){to, M2C_NAME_SENT_MAX};
}

struct slice m2c_given_name(const struct m2c_names *names, struct slice sent)
{
    for (size_t i = 0; sent.n == M2C_NAME_SENT_MAX && i < names->n; i++)
        if (slice_is(sent, names->items[i].sent))
            return slice_of(names->items[i].given);
    return sent;
}

enum status m2c_tool_name(const struct m2c *t, const struct m2c_at *at, yyjson_val *object, char *to, struct slice *ret)
{
    yyjson_val *v = NULL;
    enum status st = m2c_member(t, at, object, "name", M2C_STRING | M2C_REQUIRED, &v);
    struct slice name = facts_text(v);

    if (st != ST_OK)
        return st;
    if (!is_word(name))
        return m2c_fail(t, at, "name", "invalid_value", "String should match pattern '^[a-zA-Z0-9_-]{1,200}$'");
    if (name.n > M2C_NAME_MAX)
        return m2c_fail(t, at, "name", "invalid_value", "String should have at most 200 characters");
    *ret = m2c_sent_name(name, to);
    return ST_OK;
}

/* ---- building ------------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *got(struct m2c *t, yyjson_mut_val *v)
{
    t->lost |= v == NULL;
    return v;
}

yyjson_mut_val *m2c_str(struct m2c *t, struct slice text)
{
    return got(t, yyjson_mut_strn(t->doc, text.p != NULL ? text.p : "", text.n));
}

yyjson_mut_val *m2c_copy(struct m2c *t, struct slice text)
{
    return got(t, yyjson_mut_strncpy(t->doc, text.p != NULL ? text.p : "", text.n));
}

yyjson_mut_val *m2c_obj(struct m2c *t)
{
    return got(t, yyjson_mut_obj(t->doc));
}

yyjson_mut_val *m2c_arr(struct m2c *t)
{
    return got(t, yyjson_mut_arr(t->doc));
}

yyjson_mut_val *m2c_val(struct m2c *t, yyjson_val *v)
{
    return got(t, yyjson_val_mut_copy(t->doc, v));
}

void m2c_put(struct m2c *t, yyjson_mut_val *object, const char *key, yyjson_mut_val *v)
{
    t->lost |= !yyjson_mut_obj_add_val(t->doc, object, key, v);
}

void m2c_add(struct m2c *t, yyjson_mut_val *array, yyjson_mut_val *v)
{
    t->lost |= !yyjson_mut_arr_append(array, v);
}
