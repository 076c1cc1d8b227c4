#include "providersvc/object_end.h"

#include <string.h>

#include <yyjson.h>

#include "proto/utf8.h"

/* NULL: it goes on, or says something that nobody knows. */
static const char *final_status(yyjson_val *status)
{
    static const char *const all[] = {"completed", "failed", "expired", "cancelled"};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (yyjson_equals_str(status, all[i]))
            return all[i];
    return NULL;
}

/* A NUL in it would end it elsewhere. */
static bool is_id(struct slice id)
{
    return id.n > 0 && id.n <= LIMIT_OBJECT_ID && memchr(id.p, '\0', id.n) == NULL;
}

static bool count_of(yyjson_val *v, uint64_t *ret)
{
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) > LIMIT_COUNT)
        return false;
    *ret = yyjson_get_uint(v);
    return true;
}

static void read_counts(yyjson_val *counts, struct object_end *e)
{
    uint64_t total = 0, completed = 0;

    if (!count_of(yyjson_obj_get(counts, "total"), &total) ||
        !count_of(yyjson_obj_get(counts, "completed"), &completed) || completed > total)
        return;
    e->requests = total;
    e->completed = completed;
}

/* A part of the tokens; absent or of another type it is none. false: it is a number beyond all bounds. */
static bool part_of(yyjson_val *v, uint64_t whole, uint64_t *ret)
{
    *ret = 0;
    if (!yyjson_is_num(v))
        return true;
    if (!facts_count_of(v, ret))
        return false;
    if (*ret > whole)
        *ret = whole;
    return true;
}

static void read_usage(yyjson_val *usage, struct object_end *e)
{
    yyjson_val *in = yyjson_obj_get(usage, "input_tokens_details");
    yyjson_val *out = yyjson_obj_get(usage, "output_tokens_details");
    uint64_t prompt = 0, cached = 0, completion = 0, reasoning = 0;

    if (!facts_count_of(yyjson_obj_get(usage, "input_tokens"), &prompt) ||
        !facts_count_of(yyjson_obj_get(usage, "output_tokens"), &completion) ||
        !part_of(yyjson_obj_get(in, "cached_tokens"), prompt, &cached) ||
        !part_of(yyjson_obj_get(out, "reasoning_tokens"), completion, &reasoning))
        return;
    if (prompt + completion == 0 && e->completed > 0) /* nobody has counted: answers are made of tokens */
        return;
    e->known = true;
    e->prompt_tokens = prompt;
    e->cached_tokens = cached;
    e->completion_tokens = completion;
    e->reasoning_tokens = reasoning;
}

static bool read_batch(yyjson_val *root, struct arena *a, struct object_end *e)
{
    const char *status = final_status(yyjson_obj_get(root, "status"));
    struct slice id = facts_text(yyjson_obj_get(root, "id"));
    enum status st = ST_OK;

    if (!yyjson_equals_str(yyjson_obj_get(root, "object"), "batch") || status == NULL || !is_id(id))
        return false;
    *e = (struct object_end){.object_id = arena_copy(a, id, &st), .status = slice_of(status)};
    read_counts(yyjson_obj_get(root, "request_counts"), e);
    read_usage(yyjson_obj_get(root, "usage"), e);
    return st == ST_OK;
}

bool batch_read_end(struct slice json, struct arena *a, struct object_end *ret)
{
    yyjson_doc *doc = facts_parse(json, NULL);
    bool over = doc != NULL && read_batch(yyjson_doc_get_root(doc), a, ret);

    yyjson_doc_free(doc);
    return over;
}

/* ---- responses -----------------------------------------------------------------------------------------------------
 */

static void take_usage(const struct usage *u, struct object_end *e)
{
    e->known = true;
    e->prompt_tokens = u->prompt;
    e->cached_tokens = u->cached;
    e->cache_write_tokens = u->write;
    e->cache_write_long_tokens = u->write_long;
    e->completion_tokens = u->completion;
    e->reasoning_tokens = u->reasoning;
    e->audio_input_tokens = u->audio_in;
    e->audio_output_tokens = u->audio_out;
    e->image_input_tokens = u->image_in;
    e->image_output_tokens = u->image_out;
}

/* An id that was cut off in a character is nobody's. */
static bool name_it(struct slice id, const char *status, struct arena *a, struct object_end *ret)
{
    enum status st = ST_OK;

    if (!is_id(id) || !utf8_valid(id.p, id.n))
        return false;
    *ret = (struct object_end){.object_id = arena_copy(a, id, &st), .status = slice_of(status)};
    return st == ST_OK;
}

bool response_end_of(const struct facts *f, const struct tally *shown, struct arena *a, struct object_end *ret)
{
    if (f->state == NULL || facts_pending(f) || !name_it(slice_of(f->object_id), f->state, a, ret))
        return false;
    ret->price_percent = f->price_percent;
    if (f->usage.known && f->usage.prompt + f->usage.completion > 0)
        take_usage(&f->usage, ret);
    else
        ret->completion_tokens = tally_tokens(shown);
    return true;
}

bool response_seen(struct slice id, const struct tally *shown, struct arena *a, struct object_end *ret)
{
    if (tally_tokens(shown) == 0 || !name_it(id, "in_progress", a, ret))
        return false;
    ret->completion_tokens = tally_tokens(shown);
    return true;
}
