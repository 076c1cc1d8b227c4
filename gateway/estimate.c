#include "gateway/estimate.h"

#include <string.h>

#include <yyjson.h>

#include "proto/limits.h"
#include "proto/wire.h"

#define TOKENS_PER_MESSAGE 4u
#define TOKENS_OF_REPLY 3u
#define IMAGE_LOW 85u /* "detail":"low" */
#define IMAGE 765u /* a usual one of the 4o family */
#define IMAGE_UPPER 1445u /* its largest */
#define SOUND_BYTES 1000u /* of base64 for a token: mp3; wav has ten times as many */
#define FILE_BYTES 16u /* of base64 for a token: text and pictures of a PDF */
#define JSON_STRING_EXTRA 3u /* quotes and a comma */

static void count_text(struct estimate *e, const char *p, size_t n)
{
    uint64_t ascii = 0, other = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        ascii += c < 0x80;
        other += c >= 0xc0; /* the first byte of a longer character */
    }
    e->ascii += ascii;
    e->other += other;
}

static void add_extra(struct estimate *e, uint64_t tokens, uint64_t upper)
{
    e->extra += tokens;
    e->extra_upper += upper;
}

static bool key_is(yyjson_val *key, const char *text)
{
    return yyjson_equals_str(key, text);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void keep_file(struct estimate *e, yyjson_val *id)
{
    unsigned i;

    for (i = 0; i < e->n_files && !yyjson_equals(e->files[i], id); i++)
        ;
    if (i == e->n_files && i < ESTIMATE_FILES_MAX)
        e->files[e->n_files++] = id;
}

/* Is this member the ids of files, and nothing else? */
static bool keep_files(struct estimate *e, yyjson_val *key, yyjson_val *value)
{
    yyjson_val *id;
    size_t i, n;

    if (yyjson_is_str(value) && key_is(key, "file_id")) {
        keep_file(e, value);
        return true;
    }
    if (!yyjson_is_arr(value) || !key_is(key, "file_ids"))
        return false;
    yyjson_arr_foreach(value, i, n, id)
    {
        if (yyjson_is_str(id))
            keep_file(e, id);
    }
    return true;
}

/* A function's parameters are a schema: what has such a name there is no file. */
void estimate_files(struct estimate *e, yyjson_val *value)
{
    yyjson_val *k, *v;
    size_t i, n;

    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, i, n, v) estimate_files(e, v);
    } else if (yyjson_is_obj(value)) {
        yyjson_obj_foreach(value, i, n, k, v)
        {
            if (!keep_files(e, k, v) && !key_is(k, "parameters"))
                estimate_files(e, v);
        }
    }
}

/* ---- text and what is not ---------------------------------------------------------------------------------------- */

/* The bytes of an image or a file are never text. Anthropic's are a source. */
static bool count_binary(struct estimate *e, yyjson_val *key, yyjson_val *value)
{
    size_t n = yyjson_get_len(value);
    const char *p = yyjson_get_str(value);

    if (e->sources)
        return false;
    if (key_is(key, "file_url"))
        e->elsewhere = "file_url";
    if (key_is(key, "file_data")) {
        add_extra(e, n / FILE_BYTES + 1, n / FILE_BYTES + 1);
        return true;
    }
    return (key_is(key, "url") || key_is(key, "image_url")) && n >= 5 && !memcmp(p, "data:", 5);
}

void estimate_image(struct estimate *e)
{
    add_extra(e, IMAGE, IMAGE_UPPER);
}

static void count_image(struct estimate *e, yyjson_val *part)
{
    yyjson_val *image = yyjson_obj_get(part, "image_url");
    yyjson_val *detail = yyjson_obj_get(yyjson_is_obj(image) ? image : part, "detail");
    bool low = yyjson_equals_str(detail, "low");

    add_extra(e, low ? IMAGE_LOW : IMAGE, low ? IMAGE_LOW : IMAGE_UPPER);
}

static void count_value(struct estimate *e, yyjson_val *key, yyjson_val *value);

/* Where an image or a document of Anthropic's has its bytes; false: it has text, or what is found elsewhere. */
static bool count_source(struct estimate *e, yyjson_val *type, yyjson_val *source)
{
    size_t n = yyjson_get_len(yyjson_obj_get(source, "data"));

    if (!yyjson_is_obj(source))
        return false;
    if (yyjson_equals_str(type, "image"))
        estimate_image(e);
    else if (yyjson_equals_str(yyjson_obj_get(source, "type"), "base64"))
        add_extra(e, n / FILE_BYTES + 1, n / FILE_BYTES + 1);
    else
        return false;
    estimate_files(e, source);
    return true;
}

/* The "input_audio" of a part of OpenAI's. */
static void count_sound(struct estimate *e, yyjson_val *sound)
{
    yyjson_val *k, *v;
    size_t i, n;

    yyjson_obj_foreach(sound, i, n, k, v)
    {
        size_t bytes = yyjson_get_len(v);

        if (yyjson_is_str(v) && key_is(k, "data"))
            add_extra(e, bytes / SOUND_BYTES + 1, bytes / SOUND_BYTES + 1);
        else
            count_value(e, k, v);
    }
}

/* What has its name for a reason; false: any other member. */
static bool count_member(struct estimate *e, yyjson_val *type, yyjson_val *key, yyjson_val *value)
{
    if (!e->sources) {
        if (!yyjson_is_obj(value) || !key_is(key, "input_audio"))
            return false;
        count_sound(e, value);
        return true;
    }
    if (key_is(key, "source"))
        return count_source(e, type, value);
    if (!key_is(key, "input"))
        return false;
    estimate_schema(e, value); /* of a tool's call: no member of it is ours to know */
    return true;
}

static void count_object(struct estimate *e, yyjson_val *value)
{
    yyjson_val *type = yyjson_obj_get(value, "type"), *k, *v;
    const char *elsewhere = e->elsewhere;
    bool image = yyjson_equals_str(type, "input_image");
    size_t i, n;

    if (image || yyjson_obj_get(value, "image_url"))
        count_image(e, value);
    yyjson_obj_foreach(value, i, n, k, v)
    {
        if (!count_member(e, type, k, v))
            count_value(e, k, v);
    }
    if (image) /* its file is in the count */
        e->elsewhere = elsewhere;
    if (yyjson_equals_str(type, "item_reference"))
        e->elsewhere = "item_reference";
    if (e->sources && yyjson_equals_str(type, "document") &&
        yyjson_equals_str(yyjson_obj_get(yyjson_obj_get(value, "source"), "type"), "url"))
        e->elsewhere = "source";
}

static void count_value(struct estimate *e, yyjson_val *key, yyjson_val *value)
{
    const char *elsewhere = e->elsewhere;
    yyjson_val *v;
    size_t i, n;

    if (key && keep_files(e, key, value)) {
        e->elsewhere = "file_id";
        return;
    }
    if (yyjson_is_str(value)) {
        if (!key || !count_binary(e, key, value))
            count_text(e, yyjson_get_str(value), yyjson_get_len(value));
    } else if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, i, n, v) count_value(e, NULL, v);
    } else if (yyjson_is_obj(value)) {
        count_object(e, value);
    }
    if (key && key_is(key, "annotations")) /* of an answer that is given back: they cite files */
        e->elsewhere = elsewhere;
}

static bool all_numbers(yyjson_val *list)
{
    return yyjson_is_num(yyjson_arr_get_first(list));
}

void estimate_input(struct estimate *e, yyjson_val *value)
{
    yyjson_val *v;
    size_t i, n;

    if (!yyjson_is_arr(value)) {
        count_value(e, NULL, value);
    } else if (all_numbers(value)) { /* tokens already */
        add_extra(e, yyjson_arr_size(value), yyjson_arr_size(value));
    } else {
        yyjson_arr_foreach(value, i, n, v) estimate_input(e, v);
    }
}

void estimate_text(struct estimate *e, struct slice text)
{
    count_text(e, text.p, text.n);
}

void estimate_characters(struct estimate *e, yyjson_val *text)
{
    struct estimate of = {.ascii = 0};

    count_text(&of, yyjson_get_str(text), yyjson_get_len(text));
    add_extra(e, of.ascii + of.other, of.ascii + of.other);
}

void estimate_messages(struct estimate *e, yyjson_val *messages)
{
    yyjson_val *m;
    size_t i, n;

    add_extra(e, TOKENS_OF_REPLY, TOKENS_OF_REPLY);
    yyjson_arr_foreach(messages, i, n, m)
    {
        add_extra(e, TOKENS_PER_MESSAGE, TOKENS_PER_MESSAGE);
        count_value(e, NULL, m);
    }
}

void estimate_schema(struct estimate *e, yyjson_val *value)
{
    yyjson_val *k, *v;
    size_t i, n;

    if (yyjson_is_str(value)) {
        count_text(e, yyjson_get_str(value), yyjson_get_len(value));
        e->ascii += JSON_STRING_EXTRA;
    } else if (yyjson_is_arr(value)) {
        e->ascii += JSON_STRING_EXTRA;
        yyjson_arr_foreach(value, i, n, v) estimate_schema(e, v);
    } else if (yyjson_is_obj(value)) {
        e->ascii += JSON_STRING_EXTRA;
        yyjson_obj_foreach(value, i, n, k, v)
        {
            estimate_schema(e, k);
            estimate_schema(e, v);
        }
    } else if (value) {
        e->ascii += JSON_STRING_EXTRA + 2; /* a short number, true, null */
    }
}

static uint64_t bounded(uint64_t tokens)
{
    return tokens < LIMIT_TOKENS ? tokens : LIMIT_TOKENS;
}

/* ascii / 4 + 0.9 * other, rounded up */
uint64_t estimate_tokens(const struct estimate *e)
{
    return bounded((e->ascii * 10 + e->other * 36 + 39) / 40 + e->extra);
}

/* ascii / 3 + 1.5 * other: dense text such as code and numbers */
uint64_t estimate_upper(const struct estimate *e)
{
    return bounded((e->ascii * 2 + e->other * 9 + 5) / 6 + e->extra_upper);
}
