#include "providersvc/closing.h"

#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

/* Of one chunk only, and of no other. */
static bool own_member(const char *key)
{
    return strcmp(key, "choices") == 0 || strcmp(key, "usage") == 0 || strcmp(key, "obfuscation") == 0;
}

static enum status add_value(yyjson_val *value, struct buf *out)
{
    size_t n = 0;
    char *text = yyjson_val_write(value, 0, &n);
    enum status st = text != NULL ? buf_add(out, text, n) : ST_NO_MEMORY;

    free(text);
    return st;
}

/* "data: {" and the members that all chunks share, each with a comma after it. */
static enum status begin_chunk(yyjson_val *root, struct buf *out)
{
    enum status st = buf_addf(out, "data: {");
    yyjson_val *key, *value;
    yyjson_obj_iter i;

    yyjson_obj_iter_init(root, &i);
    while (st == ST_OK && (key = yyjson_obj_iter_next(&i)) != NULL) {
        value = yyjson_obj_iter_get_val(key);
        if (own_member(yyjson_get_str(key)) || yyjson_is_ctn(value))
            continue;
        st = add_value(key, out);
        if (st == ST_OK)
            st = buf_addf(out, ":");
        if (st == ST_OK)
            st = add_value(value, out);
        if (st == ST_OK)
            st = buf_addf(out, ",");
    }
    return st;
}

static enum status add_choices(yyjson_val *root, uint64_t choices, struct buf *out)
{
    bool old = yyjson_equals_str(yyjson_obj_get(root, "object"), "text_completion");
    enum status st = buf_addf(out, "\"choices\":[");
    const char *comma = "";

    for (unsigned k = 0; k < FACTS_CHOICES_TRACKED && st == ST_OK; k++) {
        if ((choices >> k & 1) == 0)
            continue;
        st = buf_addf(out, "%s{\"index\":%u,%s,\"finish_reason\":\"length\"}", comma, k,
                      old ? "\"text\":\"\",\"logprobs\":null" : "\"delta\":{}");
        comma = ",";
    }
    return st == ST_OK ? buf_addf(out, "]") : st;
}

enum status closing_chunk(struct slice like, uint64_t choices, bool null_usage, struct buf *out)
{
    yyjson_doc *doc = yyjson_read(like.p, like.n, 0);
    enum status st = begin_chunk(yyjson_doc_get_root(doc), out);

    if (st == ST_OK)
        st = add_choices(yyjson_doc_get_root(doc), choices, out);
    if (st == ST_OK)
        st = buf_addf(out, "%s}\n\n", null_usage ? ",\"usage\":null" : "");
    yyjson_doc_free(doc);
    return st;
}

enum status closing_usage(struct slice like, const struct usage *u, struct buf *out)
{
    yyjson_doc *doc = yyjson_read(like.p, like.n, 0);
    enum status st = begin_chunk(yyjson_doc_get_root(doc), out);
    uint64_t total = u->prompt + u->completion;

    if (st == ST_OK)
        st = buf_addf(out,
                      "\"choices\":[],\"usage\":{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,"
                      "\"total_tokens\":%llu}}\n\n",
                      (unsigned long long)u->prompt, (unsigned long long)u->completion, (unsigned long long)total);
    yyjson_doc_free(doc);
    return st;
}
