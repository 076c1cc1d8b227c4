/* Content parts of a message as content blocks (contract, section 4.1). */
#include "providersvc/dialects/chat_to_messages_private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "proto/utf8.h"

struct data_url {
    struct slice type; /* "image/png" */
    struct slice base64;
};

static bool starts(struct slice s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && strncasecmp(s.p, with, n) == 0;
}

/* data:TYPE[;name=value]…;base64,DATA */
static bool read_data_url(struct slice url, struct data_url *ret)
{
    static const char mark[] = ";base64";
    const size_t n_mark = sizeof(mark) - 1;
    const char *comma, *end;

    if (!starts(url, "data:"))
        return false;
    comma = memchr(url.p, ',', url.n);
    if (comma == NULL || (size_t)(comma - url.p) < 5 + n_mark || strncasecmp(comma - n_mark, mark, n_mark) != 0)
        return false;
    ret->type.p = url.p + 5;
    end = memchr(ret->type.p, ';', (size_t)(comma - ret->type.p));
    ret->type.n = (size_t)(end - ret->type.p); /* the mark's own at the latest */
    ret->base64 = (struct slice){comma + 1, url.n - (size_t)(comma + 1 - url.p)};
    return ret->type.n > 0 && ret->base64.n > 0;
}

static bool type_is(struct slice type, const char *name)
{
    return type.n == strlen(name) && starts(type, name);
}

static yyjson_mut_val *base64_source(struct making *m, const char *media_type, struct slice data)
{
    yyjson_mut_val *source = making_object(m, "base64");

    making_put(m, source, "media_type", yyjson_mut_str(m->doc, media_type));
    making_put(m, source, "data", making_string(m, data));
    return source;
}

static void add_block(struct making *m, const char *type, yyjson_mut_val *source, yyjson_mut_val *to)
{
    yyjson_mut_val *block = making_object(m, type);

    making_put(m, block, "source", source);
    making_append(m, to, block);
}

/* ---- images -------------------------------------------------------------------------------------------------------
 */

static const char *image_type(struct slice type)
{
    static const char *const types[] = {"image/jpeg", "image/png", "image/gif", "image/webp"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (type_is(type, types[i]))
            return types[i];
    return type_is(type, "image/jpg") ? types[0] : NULL;
}

/* `detail` says how many tokens an image may cost, not what it shows: there is nothing like it here. */
static enum status add_image(struct making *m, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_val *image = yyjson_obj_get(part, "image_url");
    struct data_url data = {{NULL, 0}, {NULL, 0}};
    struct slice url, detail;
    yyjson_mut_val *source;
    enum status st;

    if (image == NULL)
        return making_missing(m, "image_url");
    if (!yyjson_is_obj(image))
        return making_type(m, "image_url", "an object");
    st = making_text(m, image, "url", "image_url.url", true, &url);
    if (st == ST_OK)
        st = making_text(m, image, "detail", "image_url.detail", false, &detail);
    if (st != ST_OK)
        return st;
    if (starts(url, "https://")) {
        source = making_object(m, "url");
        making_put(m, source, "url", making_string(m, url));
    } else if (!read_data_url(url, &data)) {
        return making_value(m, "image_url.url", "it is neither an https URL nor a data URL in base64");
    } else if (image_type(data.type) == NULL) {
        return making_value(m, "image_url.url", "the image is none of JPEG, PNG, GIF, WebP");
    } else {
        source = base64_source(m, image_type(data.type), data.base64);
    }
    add_block(m, "image", source, to);
    return ST_OK;
}

/* ---- files --------------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *text_source(struct making *m, struct slice base64)
{
    size_t n = 0, max = base64.n / 4 * 3 + 3;
    char *text = malloc(max);
    yyjson_mut_val *source = NULL;

    if (text == NULL) {
        m->no_memory = true;
        return NULL;
    }
    if (sodium_base642bin((unsigned char *)text, max, base64.p, base64.n, "\r\n", &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) == 0 &&
        utf8_valid(text, n)) {
        source = making_object(m, "text");
        making_put(m, source, "media_type", yyjson_mut_str(m->doc, "text/plain"));
        making_put(m, source, "data", yyjson_mut_strncpy(m->doc, text, n));
    }
    free(text);
    return source;
}

static enum status add_document(struct making *m, struct slice file_data, struct slice filename, yyjson_mut_val *to)
{
    struct data_url data = {{NULL, 0}, {NULL, 0}};
    yyjson_mut_val *source;

    if (!read_data_url(file_data, &data))
        return making_value(m, "file.file_data", "it is no data URL in base64");
    if (type_is(data.type, "application/pdf")) {
        source = base64_source(m, "application/pdf", data.base64);
    } else if (type_is(data.type, "text/plain")) {
        source = text_source(m, data.base64);
        if (source == NULL && !m->no_memory)
            return making_value(m, "file.file_data", "it is no UTF-8 text in base64");
    } else {
        return making_value(m, "file.file_data", "the file is neither application/pdf nor text/plain");
    }
    add_block(m, "document", source, to);
    if (filename.n > 0)
        making_put(m, yyjson_mut_arr_get_last(to), "title", making_string(m, filename));
    return ST_OK;
}

static enum status add_file(struct making *m, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_val *file = yyjson_obj_get(part, "file"), *id = yyjson_obj_get(file, "file_id");
    struct slice data, name;
    enum status st;

    if (file == NULL)
        return making_missing(m, "file");
    if (!yyjson_is_obj(file))
        return making_type(m, "file", "an object");
    if (id != NULL && !yyjson_is_null(id))
        return making_refused(m, "file.file_id", "it does not know files kept elsewhere; send file_data");
    st = making_text(m, file, "file_data", "file.file_data", true, &data);
    if (st == ST_OK)
        st = making_text(m, file, "filename", "file.filename", false, &name);
    return st == ST_OK ? add_document(m, data, name, to) : st;
}

/* ---- any ----------------------------------------------------------------------------------------------------------
 */

void making_text_block(struct making *m, struct slice text, yyjson_mut_val *to)
{
    yyjson_mut_val *block;
    size_t i = 0;

    while (i < text.n && (text.p[i] == ' ' || (text.p[i] >= '\t' && text.p[i] <= '\r')))
        i++;
    if (i == text.n)
        return;
    block = making_object(m, "text");
    making_put(m, block, "text", making_string(m, text));
    making_append(m, to, block);
}

static enum status add_text(struct making *m, yyjson_val *part, const char *key, yyjson_mut_val *to)
{
    struct slice text;
    enum status st = making_text(m, part, key, key, true, &text);

    if (st == ST_OK)
        making_text_block(m, text, to);
    return st;
}

/* Text from everyone, images and files from users, images from tools, too, refusals from assistants. */
static enum status add_part(struct making *m, yyjson_val *part, enum chat_role role, yyjson_mut_val *to)
{
    yyjson_val *type = yyjson_obj_get(part, "type");

    if (!yyjson_is_obj(part))
        return making_type(m, "", "an object");
    if (type == NULL)
        return making_missing(m, "type");
    if (!yyjson_is_str(type))
        return making_type(m, "type", "a string");
    if (yyjson_equals_str(type, "text"))
        return add_text(m, part, "text", to);
    if (yyjson_equals_str(type, "refusal") && role == CHAT_ASSISTANT)
        return add_text(m, part, "refusal", to);
    if (yyjson_equals_str(type, "image_url") && (role == CHAT_USER || role == CHAT_TOOL))
        return add_image(m, part, to);
    if (yyjson_equals_str(type, "file") && role == CHAT_USER)
        return add_file(m, part, to);
    if (yyjson_equals_str(type, "input_audio") && role == CHAT_USER)
        return making_refused(m, "type", "it does not hear");
    return making_value(m, "type", "a message of this role has no such part");
}

enum status making_part(struct making *m, yyjson_val *part, enum chat_role role, yyjson_mut_val *to)
{
    size_t before = yyjson_mut_arr_size(to);
    enum status st = add_part(m, part, role, to);

    if (st != ST_OK)
        return st;
    return making_cache(m, part, yyjson_mut_arr_size(to) > before ? yyjson_mut_arr_get_last(to) : NULL);
}
