#include "gateway/estimate.h"

#include <string.h>
#include <strings.h>

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
#define N(names) (sizeof(names) / sizeof((names)[0]))
#define JSON_STRING_EXTRA 3u /* quotes and a comma */

static void count_text(struct estimate *e, const char *p, size_t n)
{
    uint64_t ascii = 0, other = 0, eight;
    size_t i = 0, end;

    while (i < n) {
        end = n;
        if (n - i >= sizeof(eight)) { /* most text is ASCII */
            end = i + sizeof(eight);
            memcpy(&eight, p + i, sizeof(eight));
            if (!(eight & UINT64_C(0x8080808080808080))) {
                ascii += sizeof(eight);
                i = end;
            }
        }
        for (; i < end; i++) {
            unsigned char c = (unsigned char)p[i];

            ascii += c < 0x80;
            other += c >= 0xc0; /* the first byte of a longer character */
        }
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

static bool key_is_but_for_case(yyjson_val *key, struct slice name)
{
    return yyjson_get_len(key) == name.n && !strncasecmp(yyjson_get_str(key), name.p, name.n);
}

/* Empty of what is no text, whose length is another. */
static struct slice text_of(yyjson_val *v)
{
    return yyjson_is_str(v) ? (struct slice){yyjson_get_str(v), yyjson_get_len(v)} : (struct slice){NULL, 0};
}

static bool begins(struct slice s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && !strncasecmp(s.p, with, n);
}

#define NAME(text)                                                                                                     \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

/* Members of one part that say what it costs; found[i] is NULL where it is null or not there. Of two, some servers read
 * the first, others the last, and others again do not mind their case. */
static void find_members(struct estimate *e, yyjson_val *part, const struct slice *names, size_t n_names,
                         yyjson_val **found)
{
    unsigned seen = 0;
    yyjson_val *k, *v;
    size_t i, n, m;

    memset(found, 0, n_names * sizeof(*found));
    yyjson_obj_foreach(part, i, n, k, v)
    {
        for (m = 0; m < n_names && !key_is_but_for_case(k, names[m]); m++)
            ;
        if (m == n_names)
            continue;
        if (seen >> m & 1u)
            e->twice = names[m].p;
        seen |= 1u << m;
        if (!yyjson_is_null(v) && !memcmp(yyjson_get_str(k), names[m].p, names[m].n))
            found[m] = v;
    }
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

/* Is this member the ids of files, and nothing else? All of them count, and in any case: whose they are is asked. */
static bool keep_files(struct estimate *e, yyjson_val *key, yyjson_val *value)
{
    static const struct slice one = NAME("file_id"), several = NAME("file_ids");
    yyjson_val *id;
    size_t i, n;

    if (yyjson_is_str(value) && key_is_but_for_case(key, one)) {
        keep_file(e, value);
        return true;
    }
    if (!yyjson_is_arr(value) || !key_is_but_for_case(key, several))
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

/* ---- files and images in the request ----------------------------------------------------------------------------- */

static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* Text in base64. What is no UTF-8 becomes a replacement character, byte by byte. */
static void count_encoded(struct estimate *e, struct slice s)
{
    unsigned bits = 0, n_bits = 0, follow = 0;
    size_t i;

    for (i = 0; i < s.n; i++) {
        int six = base64_value((unsigned char)s.p[i]);
        unsigned byte;

        if (six < 0)
            continue;
        bits = (bits << 6 | (unsigned)six) & 0xffffu;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        byte = bits >> n_bits & 0xffu;
        if (byte >= 0x80 && byte < 0xc0 && follow) {
            follow--;
            continue;
        }
        e->ascii += byte < 0x80;
        e->other += byte >= 0x80;
        follow = byte < 0xc0 || byte > 0xf4 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    }
}

static bool begins_with_one(struct slice s, const char *const *list)
{
    while (*list && !begins(s, *list))
        list++;
    return *list != NULL;
}

/* Is a file of this media type (empty = none is said) and with this base64 surely not read as text? */
static bool is_binary(struct slice type, struct slice bytes)
{
    static const char *const media[] = {"image/", "audio/", "video/", NULL};
    static const char *const documents[] = {"application/pdf",    "application/vnd.", "application/octet-stream",
                                            "application/msword", "application/zip",  NULL};
    static const char *const beginnings[] = {"JVBERi", "UEsDB", "0M8R4", NULL}; /* %PDF, zip, Word before 2007 */

    if (begins_with_one(type, media))
        return !begins(type, "image/svg");
    return (!type.n || begins_with_one(type, documents)) && begins_with_one(bytes, beginnings);
}

/* A file's bytes: base64, or a data URL. type: of base64 alone; empty = not known. */
static void count_file(struct estimate *e, struct slice type, struct slice bytes)
{
    const char *comma = begins(bytes, "data:") ? memchr(bytes.p, ',', bytes.n) : NULL;

    if (comma) {
        struct slice head = {bytes.p + 5, (size_t)(comma - bytes.p) - 5};
        const char *end = head.n ? memchr(head.p, ';', head.n) : NULL;

        type = (struct slice){head.p, end ? (size_t)(end - head.p) : head.n};
        bytes = (struct slice){comma + 1, bytes.n - 6 - head.n};
        if (head.n < 7 || strncasecmp(head.p + head.n - 7, ";base64", 7) != 0) {
            count_text(e, bytes.p, bytes.n);
            return;
        }
    }
    if (is_binary(type, bytes))
        add_extra(e, bytes.n / FILE_BYTES + 1, bytes.n / FILE_BYTES + 1);
    else
        count_encoded(e, bytes);
}

void estimate_image(struct estimate *e)
{
    add_extra(e, IMAGE, IMAGE_UPPER);
}

static bool is_data_url(yyjson_val *v)
{
    return yyjson_is_str(v) && begins(text_of(v), "data:");
}

static void count_data_url(struct estimate *e, yyjson_val *url)
{
    if (begins(text_of(url), "data:image/"))
        estimate_image(e);
    else
        count_file(e, (struct slice){NULL, 0}, text_of(url));
}

/* image: its "image_url", a string or an object with the detail; NULL = it is a file. detail: beside it. */
static void count_image(struct estimate *e, yyjson_val *image, yyjson_val *detail)
{
    static const struct slice names[] = {NAME("detail")};
    yyjson_val *inside = NULL, *where = detail, *other = NULL;
    bool low;

    if (yyjson_is_obj(image)) {
        find_members(e, image, names, N(names), &inside);
        where = inside;
        other = detail;
    }
    low = yyjson_equals_str(where, "low") && (!other || yyjson_equals_str(other, "low"));
    add_extra(e, low ? IMAGE_LOW : IMAGE, low ? IMAGE_LOW : IMAGE_UPPER);
}

/* ---- text and what is not ---------------------------------------------------------------------------------------- */

static void count_value(struct estimate *e, yyjson_val *key, yyjson_val *value);

/* An "image_url": what is beside the image's bytes. */
static void count_beside_image(struct estimate *e, yyjson_val *value)
{
    yyjson_val *k, *v;
    size_t i, n;

    if (!yyjson_is_obj(value)) {
        if (!is_data_url(value))
            count_value(e, NULL, value);
        return;
    }
    yyjson_obj_foreach(value, i, n, k, v)
    {
        if (!is_data_url(v) || !key_is(k, "url"))
            count_value(e, k, v);
    }
}

/* Where an image or a document of Anthropic's has its bytes; false: it has text, or what is found elsewhere. */
static bool count_source(struct estimate *e, yyjson_val *type, yyjson_val *source)
{
    enum { TYPE, MEDIA_TYPE, DATA };
    static const struct slice names[] = {NAME("type"), NAME("media_type"), NAME("data")};
    yyjson_val *found[N(names)], *k, *v;
    const char *elsewhere = e->elsewhere;
    bool image = yyjson_equals_str(type, "image");
    size_t i, n;

    if (!yyjson_is_obj(source))
        return false;
    find_members(e, source, names, N(names), found);
    if (!image && yyjson_equals_str(found[TYPE], "url") && yyjson_equals_str(type, "document"))
        e->elsewhere = "source";
    if (!image && !yyjson_equals_str(found[TYPE], "base64"))
        return false;
    if (image)
        estimate_image(e);
    yyjson_obj_foreach(source, i, n, k, v)
    {
        if (v != found[DATA] || !yyjson_is_str(v))
            count_value(e, k, v);
        else if (!image)
            count_file(e, text_of(found[MEDIA_TYPE]), text_of(v));
    }
    if (image) /* its file is in the count */
        e->elsewhere = elsewhere;
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

static bool is_remote(struct slice url)
{
    return begins(url, "http://") || begins(url, "https://");
}

/* The member that names what upstream fetches or keeps; NULL = it does not. Of images the usual size is counted. */
static const char *input_elsewhere(yyjson_val *key, yyjson_val *value)
{
    static const char *const media[] = {"video_url", "audio_url"};
    yyjson_val *url = yyjson_is_obj(value) ? yyjson_obj_get(value, "url") : value;

    for (size_t i = 0; i < N(media); i++)
        if (key_is(key, media[i]))
            return is_data_url(url) ? NULL : media[i];
    if (key_is(key, "file_url"))
        return "file_url";
    if (key_is(key, "file_data") && yyjson_is_str(value) && is_remote(text_of(value)))
        return "file_data";
    return key_is(key, "audio") && yyjson_is_str(yyjson_obj_get(value, "id")) ? "audio" : NULL; /* of an answer */
}

/* What has its name for a reason; false: any other member. */
static bool count_member(struct estimate *e, yyjson_val *key, yyjson_val *value)
{
    size_t n = yyjson_get_len(key);
    const char *elsewhere;

    if (n == 4 || n == 7) /* type, text, role, content: not one of those below, and most that there are */
        return false;
    elsewhere = input_elsewhere(key, value);
    if (elsewhere)
        e->elsewhere = elsewhere;
    if (key_is(key, "image_url")) {
        count_beside_image(e, value);
    } else if (yyjson_is_obj(value) && key_is(key, "input_audio")) {
        count_sound(e, value);
    } else if (yyjson_is_str(value) && key_is(key, "file_data")) {
        count_file(e, (struct slice){NULL, 0}, text_of(value));
    } else if (is_data_url(value) && key_is(key, "url")) {
        count_data_url(e, value);
    } else {
        return false;
    }
    return true;
}

/* The same of Anthropic's. */
static bool count_block_member(struct estimate *e, yyjson_val *type, yyjson_val *key, yyjson_val *value)
{
    if (key_is(key, "source"))
        return count_source(e, type, value);
    if (!key_is(key, "input"))
        return false;
    estimate_schema(e, value); /* of a tool's call: no member of it is ours to know */
    return true;
}

static void count_object(struct estimate *e, yyjson_val *value)
{
    enum { TYPE, IMAGE_URL, DETAIL, ID };
    static const struct slice names[] = {NAME("type"), NAME("image_url"), NAME("detail"), NAME("id")};
    yyjson_val *found[N(names)], *k, *v;
    const char *elsewhere = e->elsewhere;
    size_t i, n;
    bool image;

    find_members(e, value, names, N(names), found);
    image = yyjson_equals_str(found[TYPE], "input_image");
    if (image || found[IMAGE_URL])
        count_image(e, found[IMAGE_URL], found[DETAIL]);
    yyjson_obj_foreach(value, i, n, k, v)
    {
        if (!(e->sources ? count_block_member(e, found[TYPE], k, v) : count_member(e, k, v)))
            count_value(e, k, v);
    }
    if (image) /* its file is in the count */
        e->elsewhere = elsewhere;
    if (yyjson_equals_str(found[TYPE], "item_reference"))
        e->elsewhere = "item_reference";
    if (yyjson_equals_str(found[TYPE], "file_id") && yyjson_is_str(found[ID])) /* as evals name one */
        keep_file(e, found[ID]);
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
        count_text(e, yyjson_get_str(value), yyjson_get_len(value));
    } else if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, i, n, v) count_value(e, NULL, v);
    } else if (yyjson_is_obj(value)) {
        count_object(e, value);
    }
    if (key && key_is(key, "annotations")) /* of an answer that is given back: they cite files */
        e->elsewhere = elsewhere;
}

void estimate_input(struct estimate *e, yyjson_val *value)
{
    yyjson_val *v;
    size_t i, n;

    if (yyjson_is_num(value)) { /* a token already */
        add_extra(e, 1, 1);
    } else if (!yyjson_is_arr(value)) {
        count_value(e, NULL, value);
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

/* An item of the Responses API that has nothing but an id is one that upstream keeps. */
static bool is_reference(yyjson_val *item)
{
    return yyjson_is_str(yyjson_obj_get(item, "id")) && !yyjson_is_str(yyjson_obj_get(item, "type")) &&
           !yyjson_is_str(yyjson_obj_get(item, "role"));
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
        if (!e->sources && is_reference(m))
            e->elsewhere = "item_reference";
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
