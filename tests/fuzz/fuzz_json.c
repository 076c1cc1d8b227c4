/*
 * Any bytes as JSON from a client. The first byte chooses the message, the rest is the text; it is also cut, whether it
 * is JSON or not. Of valid JSON the cuts must be valid again, and say what they were told to.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "proto/messages.h"
#include "services/arena.h"
#include "services/json.h"

#define FUZZ_ARENA (16u * 1024u * 1024u)
#define KEY "rpm"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_decode(const struct wire_desc *desc, struct slice text)
{
    struct arena a;
    struct err err = {0};
    struct buf one, two;
    enum status st;
    void *msg, *again;

    arena_init(&a, FUZZ_ARENA);
    buf_init(&one, FUZZ_ARENA);
    buf_init(&two, FUZZ_ARENA);
    msg = arena_alloc(&a, desc->size);
    again = arena_alloc(&a, desc->size);
    must(msg && again);
    st = json_decode(desc, text, NULL, msg, &a, &err);
    if (st == ST_OK) {
        must(wire_encode(desc, msg, &one, NULL) == ST_OK); /* what clients may say, the bus can carry */
        one.n = 0;
        must(json_encode(desc, msg, &one) == ST_OK);
        must(json_decode(desc, (struct slice){one.p, one.n}, NULL, again, &a, &err) == ST_OK);
        must(json_encode(desc, again, &two) == ST_OK);
        must(one.n == two.n && memcmp(one.p, two.p, one.n) == 0);
    } else {
        must(st == ST_BAD_REQUEST && err.text[0] != '\0');
    }
    buf_fini(&one);
    buf_fini(&two);
    arena_fini(&a);
}

/* The number of members named KEY, and whether the last of them is the number 1. */
static size_t count_key(yyjson_val *object, bool *ret_last_is_one)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(object);
    yyjson_val *key;
    size_t n = 0;

    while ((key = yyjson_obj_iter_next(&it))) {
        if (!yyjson_equals_str(key, KEY))
            continue;
        n++;
        *ret_last_is_one =
            yyjson_is_uint(yyjson_obj_iter_get_val(key)) && yyjson_get_uint(yyjson_obj_iter_get_val(key)) == 1;
    }
    return n;
}

static void check_cuts(struct slice text)
{
    yyjson_doc *doc = text.n > 0 ? yyjson_read(text.p, text.n, YYJSON_READ_NUMBER_AS_RAW) : NULL;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool object = yyjson_is_obj(root), last_is_one = false;
    size_t keys = object ? count_key(root, &last_is_one) : 0;
    struct buf with, without;
    struct json_cut cut = {0};
    bool found = json_find(text, KEY, &cut);

    buf_init(&with, FUZZ_ARENA);
    buf_init(&without, FUZZ_ARENA);
    if (found)
        must(cut.key < cut.key_end && cut.key_end <= cut.value && cut.value < cut.value_end && cut.value_end <= text.n);
    if (json_splice(text, KEY, (struct slice){"1", 1}, &with) == ST_OK && object) {
        yyjson_doc *out = yyjson_read(with.p, with.n, YYJSON_READ_NOFLAG);

        must(!out || count_key(yyjson_doc_get_root(out), &last_is_one) == (keys > 0 ? keys : 1));
        must(!out || last_is_one);
        yyjson_doc_free(out);
    } else {
        must(!object);
    }
    if (json_remove(text, KEY, &without) == ST_OK && object) {
        yyjson_doc *out = yyjson_read(without.p, without.n, YYJSON_READ_NUMBER_AS_RAW);

        must(out && count_key(yyjson_doc_get_root(out), &last_is_one) == 0);
        must(yyjson_obj_size(yyjson_doc_get_root(out)) == yyjson_obj_size(root) - keys);
        yyjson_doc_free(out);
    }
    if (object)
        must(found == (keys > 0));
    buf_fini(&with);
    buf_fini(&without);
    yyjson_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text;
    size_t count = 0;

    if (size < 1)
        return 0;
    text = (struct slice){(const char *)data + 1, size - 1};
    while (proto_messages[count])
        count++;
    must(count > 0);
    check_decode(proto_messages[data[0] % count], text);
    check_cuts(text);
    return 0;
}
