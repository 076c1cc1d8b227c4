#include "providersvc/embeddings.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "services/json.h"

#define NUMBERS_MAX (1u << 20) /* of one embedding */

bool embeddings_want_base64(struct slice request)
{
    struct json_cut cut;

    return json_find(request, "encoding_format", &cut) &&
           slice_is((struct slice){request.p + cut.value, cut.value_end - cut.value}, "\"base64\"");
}

/* Four bytes a number, whatever this machine's order is; NULL: something in it is no number, or there is no memory. */
static unsigned char *pack(yyjson_val *list)
{
    size_t i, max;
    unsigned char *bytes = malloc(yyjson_arr_size(list) * 4 + 1);
    yyjson_val *v;

    if (bytes == NULL)
        return NULL;
    yyjson_arr_foreach(list, i, max, v)
    {
        float number = (float)yyjson_get_num(v);
        uint32_t bits;

        if (!yyjson_is_num(v)) {
            free(bytes);
            return NULL;
        }
        memcpy(&bits, &number, sizeof(bits));
        for (unsigned k = 0; k < 4; k++)
            bytes[i * 4 + k] = (unsigned char)(bits >> (8 * k));
    }
    return bytes;
}

/* The embedding becomes a text of the document. true: it did. */
static bool encode(yyjson_mut_doc *doc, yyjson_mut_val *item, yyjson_val *list)
{
    size_t n = yyjson_arr_size(list) * 4, size = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_ORIGINAL);
    unsigned char *bytes = n / 4 <= NUMBERS_MAX ? pack(list) : NULL;
    char *text = bytes != NULL ? malloc(size) : NULL;
    bool done = false;

    if (text != NULL) {
        sodium_bin2base64(text, size, bytes, n, sodium_base64_VARIANT_ORIGINAL);
        done = yyjson_mut_obj_put(item, yyjson_mut_str(doc, "embedding"), yyjson_mut_strcpy(doc, text));
    }
    free(text);
    free(bytes);
    return done;
}

static bool encode_all(yyjson_doc *from, yyjson_mut_doc *to)
{
    yyjson_val *data = yyjson_obj_get(yyjson_doc_get_root(from), "data"), *item;
    yyjson_mut_val *items = yyjson_mut_obj_get(yyjson_mut_doc_get_root(to), "data");
    bool changed = false;
    size_t i, max;

    if (!yyjson_is_arr(data))
        return false;
    yyjson_arr_foreach(data, i, max, item)
    {
        yyjson_val *list = yyjson_obj_get(item, "embedding");

        if (yyjson_is_arr(list))
            changed |= encode(to, yyjson_mut_arr_get(items, i), list);
    }
    return changed;
}

enum status embeddings_to_base64(struct slice answer, struct buf *out, bool *ret_changed)
{
    yyjson_doc *from = yyjson_read(answer.p, answer.n, 0);
    yyjson_mut_doc *to = yyjson_doc_mut_copy(from, NULL);
    enum status st = from == NULL ? ST_BAD_REQUEST : to == NULL ? ST_NO_MEMORY : ST_OK;
    char *text = NULL;
    size_t n = 0;

    *ret_changed = st == ST_OK && encode_all(from, to);
    if (*ret_changed) {
        text = yyjson_mut_write(to, 0, &n);
        st = text != NULL ? buf_add(out, text, n) : ST_NO_MEMORY;
    }
    free(text);
    yyjson_mut_doc_free(to);
    yyjson_doc_free(from);
    return st;
}
