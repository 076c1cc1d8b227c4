#include "providersvc/dialects/making.h"

#include <stdlib.h>

void making_begin(struct making *m)
{
    *m = (struct making){.doc = yyjson_mut_doc_new(NULL)};
    m->root = making_object(m);
    yyjson_mut_doc_set_root(m->doc, m->root);
}

void making_end(struct making *m)
{
    yyjson_mut_doc_free(m->doc);
    *m = (struct making){.lost = true};
}

enum status making_write(const struct making *m, const yyjson_mut_val *v, struct buf *out, struct err *err)
{
    size_t n = 0;
    char *text = m->lost ? NULL : yyjson_mut_val_write(v != NULL ? v : m->root, 0, &n);
    enum status st = text != NULL ? buf_add(out, text, n) : ST_NO_MEMORY;

    free(text);
    return st == ST_OK ? ST_OK : err_set(err, st, "%s", status_text(st));
}

/* ---- values --------------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *got(struct making *m, yyjson_mut_val *v)
{
    m->lost |= v == NULL;
    return v;
}

yyjson_mut_val *making_object(struct making *m)
{
    return got(m, yyjson_mut_obj(m->doc));
}

yyjson_mut_val *making_array(struct making *m)
{
    return got(m, yyjson_mut_arr(m->doc));
}

yyjson_mut_val *making_word(struct making *m, const char *word)
{
    return got(m, yyjson_mut_str(m->doc, word));
}

yyjson_mut_val *making_text(struct making *m, struct slice text)
{
    return got(m, yyjson_mut_strn(m->doc, text.p != NULL ? text.p : "", text.n));
}

yyjson_mut_val *making_copy(struct making *m, struct slice text)
{
    return got(m, yyjson_mut_strncpy(m->doc, text.p != NULL ? text.p : "", text.n));
}

yyjson_mut_val *making_value(struct making *m, yyjson_val *v)
{
    if (yyjson_is_str(v))
        return making_text(m, (struct slice){yyjson_get_str(v), yyjson_get_len(v)});
    return got(m, yyjson_val_mut_copy(m->doc, v));
}

yyjson_mut_val *making_count(struct making *m, uint64_t n)
{
    return got(m, yyjson_mut_uint(m->doc, n));
}

yyjson_mut_val *making_bool(struct making *m, bool b)
{
    return got(m, yyjson_mut_bool(m->doc, b));
}

yyjson_mut_val *making_null(struct making *m)
{
    return got(m, yyjson_mut_null(m->doc));
}

/* ---- into others ---------------------------------------------------------------------------------------------------
 */

yyjson_mut_val *making_put(struct making *m, yyjson_mut_val *object, const char *key, yyjson_mut_val *v)
{
    m->lost |= !yyjson_mut_obj_add_val(m->doc, object, key, v);
    return v;
}

yyjson_mut_val *making_push(struct making *m, yyjson_mut_val *array, yyjson_mut_val *v)
{
    m->lost |= !yyjson_mut_arr_append(array, v);
    return v;
}

yyjson_mut_val *making_put_object(struct making *m, yyjson_mut_val *object, const char *key)
{
    return making_put(m, object, key, making_object(m));
}

yyjson_mut_val *making_put_array(struct making *m, yyjson_mut_val *object, const char *key)
{
    return making_put(m, object, key, making_array(m));
}

yyjson_mut_val *making_put_word(struct making *m, yyjson_mut_val *object, const char *key, const char *word)
{
    return making_put(m, object, key, making_word(m, word));
}

yyjson_mut_val *making_put_text(struct making *m, yyjson_mut_val *object, const char *key, struct slice text)
{
    return making_put(m, object, key, making_text(m, text));
}

yyjson_mut_val *making_put_copy(struct making *m, yyjson_mut_val *object, const char *key, struct slice text)
{
    return making_put(m, object, key, making_copy(m, text));
}

yyjson_mut_val *making_put_value(struct making *m, yyjson_mut_val *object, const char *key, yyjson_val *v)
{
    return making_put(m, object, key, making_value(m, v));
}

yyjson_mut_val *making_push_object(struct making *m, yyjson_mut_val *array)
{
    return making_push(m, array, making_object(m));
}

struct slice making_text_of(yyjson_mut_val *v)
{
    return (struct slice){yyjson_mut_get_str(v), yyjson_mut_is_str(v) ? yyjson_mut_get_len(v) : 0};
}
