/* Content parts of a message as content blocks (contract, section 4.1). */
#include "providersvc/dialects/chat_to_messages_private.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "proto/utf8.h"
#include "providersvc/dialects/data_url.h"

/* ---- what all parts of the request are made with -------------------------------------------------------------------
 */

yyjson_mut_val *c2m_object(struct c2m *m, const char *type)
{
    yyjson_mut_val *object = making_object(&m->r.to);

    making_put_word(&m->r.to, object, "type", type);
    return object;
}

void c2m_system_line(struct c2m *m, const char *text)
{
    making_put_word(&m->r.to, making_push(&m->r.to, m->system, c2m_object(m, "text")), "text", text);
}

enum status c2m_text(struct c2m *m, yyjson_val *object, const char *key, const char *path, bool needed,
                     struct slice *ret)
{
    yyjson_val *v = yyjson_obj_get(object, key);

    *ret = facts_text(v);
    if (check_absent(v))
        return needed ? check_missing(&m->r.from, path) : ST_OK;
    return check_is(&m->r.from, path, v, IS_STRING);
}

enum status c2m_cache(struct c2m *m, yyjson_val *from, yyjson_mut_val *block)
{
    yyjson_val *cache = yyjson_obj_get(from, "cache_control"), *ttl = yyjson_obj_get(cache, "ttl");

    if (check_absent(cache))
        return ST_OK;
    if (!yyjson_is_obj(cache))
        return check_wrong_type(&m->r.from, "cache_control", "an object", cache);
    if (!yyjson_equals_str(yyjson_obj_get(cache, "type"), "ephemeral"))
        return check_invalid(&m->r.from, "cache_control.type", "ephemeral");
    if (ttl != NULL && !yyjson_equals_str(ttl, "5m") && !yyjson_equals_str(ttl, "1h"))
        return check_invalid(&m->r.from, "cache_control.ttl", "5m or 1h");
    if (block != NULL && yyjson_mut_obj_get(block, "cache_control") == NULL)
        making_put_value(&m->r.to, block, "cache_control", cache);
    return ST_OK;
}

static bool type_is(struct slice type, const char *name)
{
    return type.n == strlen(name) && slice_starts(type, name);
}

static yyjson_mut_val *base64_source(struct c2m *m, const char *media_type, struct slice data)
{
    yyjson_mut_val *source = c2m_object(m, "base64");

    making_put_word(&m->r.to, source, "media_type", media_type);
    making_put_text(&m->r.to, source, "data", data);
    return source;
}

static void add_block(struct c2m *m, const char *type, yyjson_mut_val *source, yyjson_mut_val *to)
{
    yyjson_mut_val *block = c2m_object(m, type);

    making_put(&m->r.to, block, "source", source);
    making_push(&m->r.to, to, block);
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
static enum status add_image(struct c2m *m, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_val *image = yyjson_obj_get(part, "image_url");
    struct data_url data = {{NULL, 0}, {NULL, 0}};
    struct slice url, detail;
    yyjson_mut_val *source;
    enum status st;

    if (image == NULL)
        return check_missing(&m->r.from, "image_url");
    if (!yyjson_is_obj(image))
        return check_wrong_type(&m->r.from, "image_url", "an object", image);
    st = c2m_text(m, image, "url", "image_url.url", true, &url);
    if (st == ST_OK)
        st = c2m_text(m, image, "detail", "image_url.detail", false, &detail);
    if (st != ST_OK)
        return st;
    if (slice_starts(url, "https://")) {
        source = c2m_object(m, "url");
        making_put_text(&m->r.to, source, "url", url);
    } else if (!data_url_read(url, &data)) {
        return check_invalid(&m->r.from, "image_url.url", "an https URL or a data URL in base64");
    } else if (image_type(data.type) == NULL) {
        return check_invalid(&m->r.from, "image_url.url", "an image that is JPEG, PNG, GIF or WebP");
    } else {
        source = base64_source(m, image_type(data.type), data.base64);
    }
    add_block(m, "image", source, to);
    return ST_OK;
}

/* ---- files --------------------------------------------------------------------------------------------------------
 */

static yyjson_mut_val *text_source(struct c2m *m, struct slice base64)
{
    size_t n = 0, max = base64.n / 4 * 3 + 3;
    char *text = malloc(max);
    yyjson_mut_val *source = NULL;

    if (text == NULL) {
        m->r.to.lost = true;
        return NULL;
    }
    if (sodium_base642bin((unsigned char *)text, max, base64.p, base64.n, "\r\n", &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) == 0 &&
        utf8_valid(text, n)) {
        source = c2m_object(m, "text");
        making_put_word(&m->r.to, source, "media_type", "text/plain");
        making_put(&m->r.to, source, "data", yyjson_mut_strncpy(m->r.to.doc, text, n));
    }
    free(text);
    return source;
}

static enum status add_document(struct c2m *m, struct slice file_data, struct slice filename, yyjson_mut_val *to)
{
    struct data_url data = {{NULL, 0}, {NULL, 0}};
    yyjson_mut_val *source;

    if (!data_url_read(file_data, &data))
        return check_invalid(&m->r.from, "file.file_data", "a data URL in base64");
    if (type_is(data.type, "application/pdf")) {
        source = base64_source(m, "application/pdf", data.base64);
    } else if (type_is(data.type, "text/plain")) {
        source = text_source(m, data.base64);
        if (source == NULL && !m->r.to.lost)
            return check_invalid(&m->r.from, "file.file_data", "UTF-8 text in base64");
    } else {
        return check_invalid(&m->r.from, "file.file_data", "application/pdf or text/plain");
    }
    add_block(m, "document", source, to);
    if (filename.n > 0)
        making_put_text(&m->r.to, yyjson_mut_arr_get_last(to), "title", filename);
    return ST_OK;
}

static enum status add_file(struct c2m *m, yyjson_val *part, yyjson_mut_val *to)
{
    yyjson_val *file = yyjson_obj_get(part, "file"), *id = yyjson_obj_get(file, "file_id");
    struct slice data, name;
    enum status st;

    if (file == NULL)
        return check_missing(&m->r.from, "file");
    if (!yyjson_is_obj(file))
        return check_wrong_type(&m->r.from, "file", "an object", file);
    if (id != NULL && !yyjson_is_null(id))
        return check_refuse_value(&m->r.from, "file.file_id", "it does not know files kept elsewhere; send file_data");
    st = c2m_text(m, file, "file_data", "file.file_data", true, &data);
    if (st == ST_OK)
        st = c2m_text(m, file, "filename", "file.filename", false, &name);
    return st == ST_OK ? add_document(m, data, name, to) : st;
}

/* ---- any ----------------------------------------------------------------------------------------------------------
 */

void c2m_text_block(struct c2m *m, struct slice text, yyjson_mut_val *to)
{
    yyjson_mut_val *block;
    size_t i = 0;

    while (i < text.n && (text.p[i] == ' ' || (text.p[i] >= '\t' && text.p[i] <= '\r')))
        i++;
    if (i == text.n)
        return;
    block = c2m_object(m, "text");
    making_put_text(&m->r.to, block, "text", text);
    making_push(&m->r.to, to, block);
}

static enum status add_text(struct c2m *m, yyjson_val *part, const char *key, yyjson_mut_val *to)
{
    struct slice text;
    enum status st = c2m_text(m, part, key, key, true, &text);

    if (st == ST_OK)
        c2m_text_block(m, text, to);
    return st;
}

/* Text from everyone, images and files from users, images from tools, too, refusals from assistants. */
static enum status add_part(struct c2m *m, yyjson_val *part, enum chat_role role, yyjson_mut_val *to)
{
    yyjson_val *type = yyjson_obj_get(part, "type");

    if (!yyjson_is_obj(part))
        return check_wrong_type(&m->r.from, NULL, "an object", part);
    if (type == NULL)
        return check_missing(&m->r.from, "type");
    if (!yyjson_is_str(type))
        return check_wrong_type(&m->r.from, "type", "a string", type);
    if (yyjson_equals_str(type, "text"))
        return add_text(m, part, "text", to);
    if (yyjson_equals_str(type, "refusal") && role == CHAT_ASSISTANT)
        return add_text(m, part, "refusal", to);
    if (yyjson_equals_str(type, "image_url") && (role == CHAT_USER || role == CHAT_TOOL))
        return add_image(m, part, to);
    if (yyjson_equals_str(type, "file") && role == CHAT_USER)
        return add_file(m, part, to);
    if (yyjson_equals_str(type, "input_audio") && role == CHAT_USER)
        return check_refuse_value(&m->r.from, "type", "it does not hear");
    return check_invalid(&m->r.from, "type", "a kind of part that a message of this role may have");
}

enum status c2m_part(struct c2m *m, yyjson_val *part, enum chat_role role, yyjson_mut_val *to)
{
    size_t before = yyjson_mut_arr_size(to);
    enum status st = add_part(m, part, role, to);

    if (st != ST_OK)
        return st;
    return c2m_cache(m, part, yyjson_mut_arr_size(to) > before ? yyjson_mut_arr_get_last(to) : NULL);
}
