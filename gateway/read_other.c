/* What is read of the requests that are not a conversation: embeddings, images, sound, files, and what we do not know.
 */
#include <string.h>

#include <yyjson.h>

#include "gateway/call_request.h"
#include "gateway/estimate.h"
#include "gateway/form.h"
#include "proto/utf8.h"

#define N(names) (sizeof(names) / sizeof((names)[0]))
#define IMAGE_TOKENS 6240u /* of one that is made: a large one of the highest quality (gpt-image-1) */
#define IMAGE_FAITHFUL                                                                                                 \
    6240u /* more of an image that is edited with "input_fidelity": "high", when it is a large one                     \
           */
#define SOUND_BYTES 1000u /* of a recording for a token: mp3; wav has ten times as many */

/* Embeddings and moderations: "input" is text, texts, tokens or lists of tokens. */
enum status read_embeddings(struct call_reading *r, yyjson_val *root)
{
    enum { MODEL, INPUT };
    static const char *const names[] = {"model", "input"};
    yyjson_val *found[N(names)];
    struct estimate e = {.ascii = 0};
    enum status st = members_find(r, root, names, N(names), found);

    if (st == ST_OK)
        st = member_model(r, found[MODEL]);
    if (st == ST_OK && !found[INPUT])
        st = member_missing(r, "input");
    if (st == ST_OK && !yyjson_is_str(found[INPUT]) && !yyjson_is_arr(found[INPUT]))
        st = member_type(r, "input", "a string or an array", found[INPUT]);
    if (st != ST_OK)
        return st;
    estimate_input(&e, found[INPUT]);
    return call_set_estimate(r, &e);
}

/* fidelity: empty = not said, which is low. */
static void hold_faithful(struct estimate *e, struct slice fidelity, size_t images)
{
    if (fidelity.n && !slice_is(fidelity, "low"))
        e->extra_upper += IMAGE_FAITHFUL * (uint64_t)images;
}

enum status read_images(struct call_reading *r, yyjson_val *root)
{
    enum { MODEL, PROMPT, CHOICES, STREAM, IMAGES, MASK, FIDELITY };
    static const char *const names[] = {"model", "prompt", "n", "stream", "images", "mask", "input_fidelity"};
    yyjson_val *found[N(names)];
    struct estimate e = {.ascii = 0};
    enum status st = members_find(r, root, names, N(names), found);

    if (st == ST_OK)
        st = member_model(r, found[MODEL]);
    if (st == ST_OK && !found[PROMPT])
        st = member_missing(r, "prompt");
    if (st == ST_OK)
        st = member_text(r, found[PROMPT], "prompt");
    if (st == ST_OK)
        st = member_integer(r, found[CHOICES], "n", CALL_CHOICES_MAX, &r->ret->choices);
    if (st == ST_OK)
        st = member_flag(r, found[STREAM], "stream", &r->ret->stream);
    if (st != ST_OK)
        return st;
    r->ret->output_limit = IMAGE_TOKENS;
    estimate_input(&e, found[PROMPT]);
    estimate_input(&e, found[IMAGES]);
    estimate_input(&e, found[MASK]);
    if (yyjson_is_str(found[FIDELITY]))
        hold_faithful(&e, (struct slice){yyjson_get_str(found[FIDELITY]), yyjson_get_len(found[FIDELITY])},
                      yyjson_arr_size(found[IMAGES]));
    return call_set_estimate(r, &e);
}

/* Billed by character where it is billed by the text, and by sound elsewhere: a character is a token. */
enum status read_speech(struct call_reading *r, yyjson_val *root)
{
    enum { MODEL, INPUT, STREAM_FORMAT, INSTRUCTIONS };
    static const char *const names[] = {"model", "input", "stream_format", "instructions"};
    yyjson_val *found[N(names)];
    struct estimate e = {.ascii = 0};
    enum status st = members_find(r, root, names, N(names), found);

    if (st == ST_OK)
        st = member_model(r, found[MODEL]);
    if (st == ST_OK && !found[INPUT])
        st = member_missing(r, "input");
    if (st == ST_OK)
        st = member_text(r, found[INPUT], "input");
    if (st == ST_OK)
        st = member_text(r, found[STREAM_FORMAT], "stream_format");
    if (st != ST_OK)
        return st;
    r->ret->stream = yyjson_equals_str(found[STREAM_FORMAT], "sse");
    estimate_characters(&e, found[INPUT]);
    estimate_input(&e, found[INSTRUCTIONS]);
    return call_set_estimate(r, &e);
}

/* A body that is upstream's alone, but for what routes it. */
enum status read_other(struct call_reading *r, yyjson_val *root)
{
    enum { MODEL, STREAM, INPUT_FILE, TRAINING, VALIDATION };
    static const char *const names[] = {"model", "stream", "input_file_id", "training_file", "validation_file"};
    yyjson_val *found[N(names)];
    struct estimate e = {.ascii = 0};
    enum status st = members_find(r, root, names, N(names), found);

    if (st == ST_OK)
        st = member_model(r, yyjson_is_str(found[MODEL]) ? found[MODEL] : NULL);
    if (st == ST_OK)
        r->ret->stream = yyjson_get_bool(found[STREAM]);
    if (st == ST_OK)
        st = member_object(r, found[INPUT_FILE], "input_file_id");
    if (st == ST_OK && yyjson_is_str(found[TRAINING]))
        st = member_object(r, found[TRAINING], "training_file");
    if (st == ST_OK && yyjson_is_str(found[VALIDATION]))
        st = member_object(r, found[VALIDATION], "validation_file");
    if (st != ST_OK)
        return st;
    estimate_input(&e, root);
    return call_set_estimate(r, &e);
}

/* ---- forms ------------------------------------------------------------------------------------------------------- */

static bool part_is(const struct form *f, enum form_part p, const char *text)
{
    return f->part[p].seen && slice_is(f->part[p].kept, text);
}

/* The model and where it stands, n, stream: what forms have in common. */
static enum status read_form(struct call_reading *r, const struct form *f)
{
    enum status st;

    if (f->part[FORM_MODEL].seen) {
        if (f->part[FORM_MODEL].bytes > f->part[FORM_MODEL].kept.n)
            return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", "model",
                                 "Invalid 'model': expected 1 to %d bytes, but got %llu.", LIMIT_MODEL,
                                 (unsigned long long)f->part[FORM_MODEL].bytes);
        if (!utf8_valid(f->part[FORM_MODEL].kept.p, f->part[FORM_MODEL].kept.n))
            return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", "model", "Invalid 'model': it is not UTF-8.");
        st = call_set_model(r, f->part[FORM_MODEL].kept);
        r->ret->model_at = f->part[FORM_MODEL].at;
        r->ret->model_bytes = f->part[FORM_MODEL].bytes;
    } else {
        st = member_model(r, NULL);
    }
    r->ret->stream = part_is(f, FORM_STREAM, "true") || part_is(f, FORM_STREAM, "True");
    return st;
}

/* Digits alone, 1 to CALL_CHOICES_MAX. */
static enum status read_form_choices(struct call_reading *r, const struct form *f)
{
    struct slice text = f->part[FORM_N].kept;
    uint64_t n = 0;
    size_t i;

    if (!f->part[FORM_N].seen)
        return ST_OK;
    for (i = 0; i < text.n && i < 4 && text.p[i] >= '0' && text.p[i] <= '9'; i++)
        n = n * 10 + (uint64_t)(text.p[i] - '0');
    if (i < text.n || n < 1 || n > CALL_CHOICES_MAX)
        return err_set_field(r->err, ST_BAD_REQUEST, "invalid_value", "n",
                             "Invalid 'n': expected an integer from 1 to %d.", CALL_CHOICES_MAX);
    r->ret->choices = n;
    return ST_OK;
}

static void count_prompt(struct estimate *e, const struct form *f)
{
    uint64_t more = f->part[FORM_PROMPT].bytes - f->part[FORM_PROMPT].kept.n;

    estimate_text(e, f->part[FORM_PROMPT].kept);
    e->ascii += more;
}

enum status read_images_form(struct call_reading *r, const struct form *f)
{
    struct estimate e = {.ascii = 0};
    enum status st = read_form(r, f);
    unsigned i;

    if (st == ST_OK)
        st = read_form_choices(r, f);
    if (st != ST_OK)
        return st;
    r->ret->output_limit = IMAGE_TOKENS;
    count_prompt(&e, f);
    for (i = 0; i < f->files; i++)
        estimate_image(&e);
    hold_faithful(&e, f->part[FORM_INPUT_FIDELITY].kept, f->files);
    return call_set_estimate(r, &e);
}

enum status read_sound_form(struct call_reading *r, const struct form *f)
{
    struct estimate e = {.ascii = 0};
    enum status st = read_form(r, f);

    if (st != ST_OK)
        return st;
    count_prompt(&e, f);
    e.extra = e.extra_upper = f->file_bytes / SOUND_BYTES + 1;
    return call_set_estimate(r, &e);
}

enum status read_file_form(struct call_reading *r, const struct form *f)
{
    if (!f->part[FORM_PURPOSE].seen)
        return member_missing(r, "purpose");
    return f->files ? ST_OK : member_missing(r, "file");
}

enum status read_other_form(struct call_reading *r, const struct form *f)
{
    struct estimate e = {.ascii = f->bytes - f->file_bytes};
    enum status st = read_form(r, f);

    if (st == ST_OK && f->part[FORM_FILE_ID].seen)
        st = call_add_object(r, "file_id", f->part[FORM_FILE_ID].kept);
    return st == ST_OK ? call_set_estimate(r, &e) : st;
}
