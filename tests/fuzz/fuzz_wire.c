/*
 * Decodes any bytes as any declared message. The first two bytes choose it: its type number, as in tests/golden, which
 * serves as the seeds; any other number chooses by remainder. What decodes must encode, and come back the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/messages.h"
#include "services/arena.h"
#include "services/json.h"

#define FUZZ_ARENA (64u * 1024u * 1024u)
#define PRINT_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static const struct wire_desc *choose(uint16_t number)
{
    const struct wire_desc *desc = proto_message_by_type(number);
    size_t count = 0;

    if (desc)
        return desc;
    while (proto_messages[count])
        count++;
    must(count > 0);
    return proto_messages[number % count];
}

static void *alloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);

    must(p != NULL);
    return p;
}

/* The message as decoded, encoded again, must be a fixed point; it can also be printed and shown. */
static void check_accepted(const struct wire_desc *desc, const void *msg, size_t size, struct arena *a)
{
    struct wire_alloc mem = arena_wire(a);
    void *again = alloc(a, desc->size);
    struct buf one, two, shown;

    buf_init(&one, WIRE_MESSAGE_MAX);
    buf_init(&two, WIRE_MESSAGE_MAX);
    buf_init(&shown, WIRE_MESSAGE_MAX);
    must(wire_encode(desc, msg, &one, NULL) == ST_OK);
    must(one.n <= size); /* ours is the shortest form */
    must(wire_decode(desc, one.p, one.n, again, &mem, NULL) == ST_OK);
    must(wire_encode(desc, again, &two, NULL) == ST_OK);
    must(one.n == two.n && memcmp(one.p, two.p, one.n) == 0);
    must(wire_print(desc, msg, &shown, PRINT_MAX) == ST_OK && shown.n <= PRINT_MAX);
    must(json_encode(desc, msg, &shown) == ST_OK);
    buf_fini(&one);
    buf_fini(&two);
    buf_fini(&shown);
}

static void check_refused(enum status st, const struct err *err)
{
    struct fault fault = {.param = slice_of(err->param), .text = slice_of(err->text)};
    struct buf out;

    must(st == ST_BAD_MESSAGE || st == ST_NO_MEMORY);
    must(err->status == st && err->text[0] != '\0');
    buf_init(&out, 4096);
    must(wire_encode(&fault_desc, &fault, &out, NULL) == ST_OK);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct wire_desc *desc;
    struct arena a;
    struct wire_alloc mem = arena_wire(&a);
    struct err err = {0};
    enum status st;
    void *msg;

    if (size < 2)
        return 0;
    desc = choose((uint16_t)(data[0] << 8 | data[1]));
    arena_init(&a, FUZZ_ARENA);
    msg = alloc(&a, desc->size);
    st = wire_decode(desc, data + 2, size - 2, msg, &mem, &err);
    if (st == ST_OK)
        check_accepted(desc, msg, size - 2, &a);
    else
        check_refused(st, &err);
    arena_fini(&a);
    return 0;
}
