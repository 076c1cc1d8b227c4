/* The codec against every declared message: what is not tested here by name is tested from its declaration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/messages.h"
#include "tests/unit/fill.h"

#define TEST_ARENA ((size_t)512 * 1024 * 1024)

struct fixture {
    struct arena a;
    struct buf one, two;
    struct err err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    arena_init(&f->a, TEST_ARENA);
    buf_init(&f->one, WIRE_MESSAGE_MAX * 2);
    buf_init(&f->two, WIRE_MESSAGE_MAX * 2);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    arena_fini(&f->a);
    buf_fini(&f->one);
    buf_fini(&f->two);
    free(f);
    return 0;
}

static void encode(const struct wire_desc *desc, const void *msg, struct buf *out)
{
    struct err err = {0};

    out->n = 0;
    if (wire_encode(desc, msg, out, &err) != ST_OK)
        fail_msg("%s", err.text);
}

/* Decodes a heap copy of exactly n bytes, so that the address sanitizer sees one read too far. */
static enum status decode_copy(const struct wire_desc *desc, const char *bytes, size_t n, struct fixture *f)
{
    struct wire_alloc mem = arena_wire(&f->a);
    void *msg = fill_alloc(&f->a, desc->size);
    char *copy = exact_copy(bytes, n);
    enum status st;

    memset(&f->err, 0, sizeof(f->err));
    st = wire_decode(desc, copy, n, msg, &mem, &f->err);
    exact_free(copy);
    return st;
}

static void round_trip(const struct wire_desc *desc, enum fill_how how, struct fixture *f)
{
    struct wire_alloc mem = arena_wire(&f->a);
    void *in = fill_alloc(&f->a, desc->size), *out = fill_alloc(&f->a, desc->size);

    fill_message(desc, in, &f->a, how);
    encode(desc, in, &f->one);
    if (wire_decode(desc, f->one.p, f->one.n, out, &mem, &f->err) != ST_OK)
        fail_msg("%s", f->err.text);
    encode(desc, out, &f->two);
    if (f->one.n != f->two.n || memcmp(f->one.p, f->two.p, f->one.n) != 0)
        fail_msg("%s is another after a round trip", desc->name);
    arena_reset(&f->a);
}

static void every_message_round_trips(void **state)
{
    size_t i;

    for (i = 0; proto_messages[i]; i++) {
        round_trip(proto_messages[i], FILL_SMALL, *state);
        round_trip(proto_messages[i], FILL_FULL, *state);
    }
}

static void a_zeroed_message_round_trips(void **state)
{
    struct fixture *f = *state;
    size_t i;

    for (i = 0; proto_messages[i]; i++) {
        encode(proto_messages[i], fill_alloc(&f->a, proto_messages[i]->size), &f->one);
        if (decode_copy(proto_messages[i], f->one.p, f->one.n, f) != ST_OK)
            fail_msg("%s", f->err.text);
    }
}

static void every_truncation_is_refused(void **state)
{
    struct fixture *f = *state;
    size_t i, n;

    for (i = 0; proto_messages[i]; i++) {
        const struct wire_desc *desc = proto_messages[i];
        void *msg = fill_alloc(&f->a, desc->size);

        fill_message(desc, msg, &f->a, FILL_SMALL);
        encode(desc, msg, &f->one);
        for (n = 0; n < f->one.n; n++)
            if (decode_copy(desc, f->one.p, n, f) != ST_BAD_MESSAGE)
                fail_msg("%s: %zu of %zu bytes were accepted", desc->name, n, f->one.n);
        assert_int_equal(buf_add(&f->one, "\0", 1), ST_OK);
        if (decode_copy(desc, f->one.p, f->one.n, f) != ST_BAD_MESSAGE)
            fail_msg("%s: a byte after the end was accepted", desc->name);
        arena_reset(&f->a);
    }
}

/* Every byte changed to a few others: whatever comes of it, it comes without reading out of bounds. */
static void damaged_bytes_do_no_harm(void **state)
{
    static const uint8_t with[] = {0x00, 0x80, 0x90, 0xc1, 0xc6, 0xd3, 0xdb, 0xdd, 0xdf, 0xff};
    struct fixture *f = *state;
    size_t i, n, k;

    for (i = 0; proto_messages[i]; i++) {
        const struct wire_desc *desc = proto_messages[i];
        void *msg = fill_alloc(&f->a, desc->size);

        fill_message(desc, msg, &f->a, FILL_SMALL);
        encode(desc, msg, &f->one);
        for (n = 0; n < f->one.n; n++) {
            char was = f->one.p[n];

            for (k = 0; k < sizeof(with); k++) {
                f->one.p[n] = (char)with[k];
                (void)decode_copy(desc, f->one.p, f->one.n, f);
            }
            f->one.p[n] = was;
            arena_reset(&f->a);
        }
    }
}

/* --- limits ----------------------------------------------------------------------------------------------------------
 */

/* A copy of the declaration whose field at index allows anything. Freed by the caller with free(ret->fields). */
static struct wire_desc without_limit(const struct wire_desc *desc, uint32_t index)
{
    struct wire_field *fields = malloc(desc->n_fields * sizeof(*fields));
    struct wire_desc loose = *desc;

    assert_non_null(fields);
    memcpy(fields, desc->fields, desc->n_fields * sizeof(*fields));
    fields[index].limit = UINT64_MAX;
    loose.fields = fields;
    return loose;
}

/* Encoding refuses msg because of its field, and so does decoding what a peer without the limit would send. */
static void refused_for(const struct wire_desc *desc, uint32_t index, const void *msg, struct fixture *f)
{
    struct wire_desc loose = without_limit(desc, index);
    char path[ERR_PARAM_MAX];

    (void)snprintf(path, sizeof(path), "%s.%s", desc->name, desc->fields[index].name);
    f->one.n = 0;
    memset(&f->err, 0, sizeof(f->err));
    if (wire_encode(desc, msg, &f->one, &f->err) != ST_BAD_MESSAGE || f->one.n != 0)
        fail_msg("%s over its limit was encoded", path);
    assert_string_equal(f->err.param, path);

    encode(&loose, msg, &f->one);
    if (decode_copy(desc, f->one.p, f->one.n, f) != ST_BAD_MESSAGE)
        fail_msg("%s over its limit was decoded", path);
    assert_string_equal(f->err.param, path);
    free((void *)(uintptr_t)loose.fields);
}

static void over_limit(const struct wire_desc *desc, uint32_t index, struct fixture *f)
{
    const struct wire_field *field = &desc->fields[index];
    char *msg = fill_alloc(&f->a, desc->size);
    void *to = msg + field->offset;
    size_t over = field->limit + 1;

    switch ((enum wire_kind)field->kind) {
    case WIRE_BOOL: return;
    case WIRE_U64: *(uint64_t *)to = over; break;
    case WIRE_I64:
    case WIRE_NANO:
    case WIRE_PICO:
        *(int64_t *)to = -(int64_t)over;
        refused_for(desc, index, msg, f);
        *(int64_t *)to = (int64_t)over;
        break;
    case WIRE_STR:
    case WIRE_SECRET:
    case WIRE_BIN: *(struct slice *)to = (struct slice){memset(fill_alloc(&f->a, over), 'a', over), over}; break;
    case WIRE_STRS:
    case WIRE_SECRETS:
    case WIRE_LIST: fill_items(field, msg, over, &f->a); break;
    }
    refused_for(desc, index, msg, f);
}

static void every_limit_holds(void **state)
{
    struct fixture *f = *state;
    size_t i;
    uint32_t k;

    for (i = 0; proto_messages[i]; i++) {
        for (k = 0; k < proto_messages[i]->n_fields; k++) {
            over_limit(proto_messages[i], k, f);
            arena_reset(&f->a);
        }
    }
}

static void every_list_may_be_as_long_as_its_limit(void **state)
{
    struct fixture *f = *state;
    size_t i;
    uint32_t k;

    for (i = 0; proto_messages[i]; i++) {
        const struct wire_desc *desc = proto_messages[i];

        for (k = 0; k < desc->n_fields; k++) {
            void *msg = fill_alloc(&f->a, desc->size);

            if (desc->fields[k].kind != WIRE_LIST && desc->fields[k].kind != WIRE_STRS &&
                desc->fields[k].kind != WIRE_SECRETS)
                continue;
            fill_items(&desc->fields[k], msg, desc->fields[k].limit, &f->a);
            encode(desc, msg, &f->one);
            if (decode_copy(desc, f->one.p, f->one.n, f) != ST_OK)
                fail_msg("%s", f->err.text);
            arena_reset(&f->a);
        }
    }
}

static void an_item_of_strings_has_its_limit(void **state)
{
    char text[WIRE_STRS_ITEM_MAX + 1];
    struct slice item = {text, sizeof(text)};
    struct plan plan = {.name = slice_of("free"), .models = {&item, 1}};
    struct fixture *f = *state;
    static const char tail[] = "\x82\x01\xa1"
                               "a"
                               "\x06\x91\xda\x01\x01";
    char *bytes = fill_alloc(&f->a, sizeof(tail) - 1 + sizeof(text));

    memset(text, 'm', sizeof(text));
    assert_int_equal(wire_encode(&plan_desc, &plan, &f->one, &f->err), ST_BAD_MESSAGE);
    assert_string_equal(f->err.text, "plan.models: item 0 has 257 bytes, at most 256 are allowed");
    memcpy(bytes, tail, sizeof(tail) - 1);
    memcpy(bytes + sizeof(tail) - 1, text, sizeof(text));
    assert_int_equal(decode_copy(&plan_desc, bytes, sizeof(tail) - 1 + sizeof(text), f), ST_BAD_MESSAGE);
    assert_string_equal(f->err.text, "plan.models: 257 bytes, at most 256 are allowed");
}

/* --- newer peers -----------------------------------------------------------------------------------------------------
 */

static uint8_t unused_tag(const struct wire_desc *desc)
{
    uint8_t tag;
    uint32_t k;

    for (tag = WIRE_TAG_MAX; tag > 0; tag--) {
        for (k = 0; k < desc->n_fields && desc->fields[k].tag != tag; k++)
            continue;
        if (k == desc->n_fields)
            return tag;
    }
    fail_msg("%s has no tag left", desc->name);
    return 0;
}

/* The encoded message in one with one more field: key, then value. */
static void with_field(struct buf *out, const struct buf *encoded, struct slice key, struct slice value)
{
    uint8_t first = (uint8_t)encoded->p[0];
    size_t head = first == 0xde ? 3 : 1;
    size_t count =
        first == 0xde ? (size_t)((uint8_t)encoded->p[1] << 8 | (uint8_t)encoded->p[2]) : (size_t)(first & 0xf);
    const char map16[3] = {(char)0xde, (char)((count + 1) >> 8), (char)(count + 1)};

    out->n = 0;
    assert_int_equal(buf_add(out, map16, sizeof(map16)), ST_OK);
    assert_int_equal(buf_add(out, key.p, key.n), ST_OK);
    assert_int_equal(buf_add(out, value.p, value.n), ST_OK);
    assert_int_equal(buf_add(out, encoded->p + head, encoded->n - head), ST_OK);
}

#define BYTES(literal) ((struct slice){literal, sizeof(literal) - 1})

static void unknown_fields_are_skipped(void **state)
{
    const struct slice values[] = {
        BYTES("\xc0"),
        BYTES("\xc3"),
        BYTES("\x07"),
        BYTES("\xe7"),
        BYTES("\xcc\xff"),
        BYTES("\xcd\x01\x02"),
        BYTES("\xce\x01\x02\x03\x04"),
        BYTES("\xcf\1\2\3\4\5\6\7\x8"),
        BYTES("\xd0\x80"),
        BYTES("\xd1\x80\0"),
        BYTES("\xd2\x80\0\0\0"),
        BYTES("\xd3\x80\0\0\0\0\0\0\0"),
        BYTES("\xca\1\2\3\4"),
        BYTES("\xcb\1\2\3\4\5\6\7\x8"),
        BYTES("\xa3"
              "abc"),
        BYTES("\xd9\x02\xff\xfe"),
        BYTES("\xda\0\1a"),
        BYTES("\xdb\0\0\0\1a"),
        BYTES("\xc4\1a"),
        BYTES("\xc5\0\1a"),
        BYTES("\xc6\0\0\0\1a"),
        BYTES("\xd4\1a"),
        BYTES("\xd5\1ab"),
        BYTES("\xd6\1abcd"),
        BYTES("\xd7\1abcdefgh"),
        BYTES("\xd8\1abcdefghijklmnop"),
        BYTES("\xc7\1\1a"),
        BYTES("\xc8\0\1\1a"),
        BYTES("\xc9\0\0\0\1\1a"),
        BYTES("\x92\x01\x91\xc0"),
        BYTES("\xdc\0\1\1"),
        BYTES("\xdd\0\0\0\1\1"),
        BYTES("\x81\xa1k\x90"),
        BYTES("\xde\0\1\1\2"),
        BYTES("\xdf\0\0\0\1\1\2"),
    };
    struct fixture *f = *state;
    size_t i, v;

    for (i = 0; proto_messages[i]; i++) {
        const struct wire_desc *desc = proto_messages[i];
        void *msg = fill_alloc(&f->a, desc->size);
        char tag = (char)unused_tag(desc);
        struct buf again = {.max = WIRE_MESSAGE_MAX};

        fill_message(desc, msg, &f->a, FILL_SMALL);
        encode(desc, msg, &f->one);
        for (v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            struct wire_alloc mem = arena_wire(&f->a);

            with_field(&f->two, &f->one, v % 2 ? BYTES("\xcc\xc8") : (struct slice){&tag, 1}, values[v]);
            assert_int_equal(decode_copy(desc, f->two.p, f->two.n, f), ST_OK);
            assert_int_equal(wire_decode(desc, f->two.p, f->two.n, msg, &mem, &f->err), ST_OK);
            encode(desc, msg, &again);
            assert_memory_equal(again.p, f->one.p, f->one.n);
            assert_int_equal(decode_copy(desc, f->two.p, f->two.n - 1, f), ST_BAD_MESSAGE);
        }
        buf_fini(&again);
        arena_reset(&f->a);
    }
}

static void unknown_fields_nest_so_deep_and_no_deeper(void **state)
{
    char value[WIRE_SKIP_DEPTH_MAX + 1];
    struct ack ack = {.source = slice_of("s"), .acked_seq = 1};
    struct fixture *f = *state;

    encode(&ack_desc, &ack, &f->one);
    memset(value, '\x91', sizeof(value));
    value[WIRE_SKIP_DEPTH_MAX] = '\xc0';
    with_field(&f->two, &f->one, BYTES("\x3f"), (struct slice){value, sizeof(value)});
    assert_int_equal(decode_copy(&ack_desc, f->two.p, f->two.n, f), ST_OK);
    value[WIRE_SKIP_DEPTH_MAX] = '\x90';
    with_field(&f->two, &f->one, BYTES("\x3f"), (struct slice){value, sizeof(value)});
    assert_int_equal(decode_copy(&ack_desc, f->two.p, f->two.n, f), ST_BAD_MESSAGE);
    assert_string_equal(f->err.text, "ack: an unknown field is nested deeper than 16");
}

/* A message that contains itself, which no declaration can make by accident. */
struct deep {
    uint64_t has;
    struct wire_list in;
};
static const struct wire_desc deep_desc;
static const struct wire_field deep_fields[] = {
    {"in", "", 1, &deep_desc, (uint32_t)offsetof(struct deep, in), 1, WIRE_LIST, WIRE_OPT}};
static const struct wire_desc deep_desc = {"deep", "", deep_fields, 1, (uint32_t)sizeof(struct deep), 1};

static void messages_nest_so_deep_and_no_deeper(void **state)
{
    struct deep levels[WIRE_DEPTH_MAX + 1] = {0};
    char bytes[4 * (WIRE_DEPTH_MAX + 1)];
    struct fixture *f = *state;
    size_t i;

    for (i = 0; i < WIRE_DEPTH_MAX; i++) {
        levels[i].in = (struct wire_list){&levels[i + 1], 1};
        memcpy(bytes + 3 * i, "\x81\x01\x91", 3);
    }
    bytes[3 * i] = '\x80';
    assert_int_equal(wire_encode(&deep_desc, &levels[1], &f->one, &f->err), ST_OK);
    assert_int_equal(wire_encode(&deep_desc, &levels[0], &f->one, &f->err), ST_BAD_MESSAGE);
    assert_int_equal(decode_copy(&deep_desc, bytes + 3, 3 * (WIRE_DEPTH_MAX - 1) + 1, f), ST_OK);
    assert_int_equal(decode_copy(&deep_desc, bytes, 3 * WIRE_DEPTH_MAX + 1, f), ST_BAD_MESSAGE);
    assert_string_equal(f->err.text, "deep.in[0].in[0].in[0].in[0].in[0].in[0].in[0].in[0]: nested deeper than 8");
}

/* --- sizes -----------------------------------------------------------------------------------------------------------
 */

/* One field of each kind whose size on the wire depends on its value. */
struct sizes {
    uint64_t has;
    uint64_t u;
    int64_t i;
    struct slice str, bin;
    struct wire_strs strs;
};
#define SIZES_FIELD(tag, kind, name)                                                                                   \
    {                                                                                                                  \
#name, "", INT64_MAX, NULL, (uint32_t)offsetof(struct sizes, name), tag, kind, WIRE_OPT                        \
    }
static const struct wire_field sizes_fields[] = {
    SIZES_FIELD(1, WIRE_U64, u),   SIZES_FIELD(2, WIRE_I64, i),     SIZES_FIELD(3, WIRE_STR, str),
    SIZES_FIELD(4, WIRE_BIN, bin), SIZES_FIELD(5, WIRE_STRS, strs),
};
static const struct wire_desc sizes_desc = {"sizes", "", sizes_fields, 5, (uint32_t)sizeof(struct sizes), 1};

/* The encoder reserves what it needs before it writes: neither a byte less (INTERNAL) nor more (TOO_LARGE too early).
 */
static void exactly_fits(const struct wire_desc *desc, const void *msg)
{
    struct err err = {0};
    struct buf roomy = {.max = WIRE_MESSAGE_MAX}, exact, less;

    encode(desc, msg, &roomy);
    buf_init(&exact, roomy.n);
    buf_init(&less, roomy.n - 1);
    if (wire_encode(desc, msg, &exact, &err) != ST_OK)
        fail_msg("%s into %zu bytes: %s", desc->name, roomy.n, err.text);
    assert_int_equal(exact.n, roomy.n);
    if (wire_encode(desc, msg, &less, &err) != ST_TOO_LARGE)
        fail_msg("%s into %zu bytes: %s", desc->name, roomy.n - 1, err.text);
    assert_int_equal(less.n, 0);
    buf_fini(&roomy);
    buf_fini(&exact);
    buf_fini(&less);
}

static void the_room_needed_is_known_exactly(void **state)
{
    static const uint64_t bounds[] = {0,       1,          31,         32,         33,         0x7f,        0x80,
                                      0x81,    0xff,       0x100,      0x7fff,     0x8000,     0x8001,      0xffff,
                                      0x10000, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 0x100000000, INT64_MAX};
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    static const size_t counts[] = {0, 1, 15, 16, 65535, 65536};
    struct fixture *f = *state;
    char *text = memset(fill_alloc(&f->a, 65536), 'a', 65536);
    struct slice *items = fill_alloc(&f->a, 65536 * sizeof(*items));
    size_t k;

    for (k = 0; k < sizeof(bounds) / sizeof(bounds[0]); k++) {
        exactly_fits(&sizes_desc, &(struct sizes){.u = bounds[k], .i = (int64_t)bounds[k]});
        exactly_fits(&sizes_desc, &(struct sizes){.i = -(int64_t)bounds[k]});
    }
    for (k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
        exactly_fits(&sizes_desc, &(struct sizes){.str = {text, lengths[k]}});
        exactly_fits(&sizes_desc, &(struct sizes){.bin = {text, lengths[k]}});
        items[0] = (struct slice){text, lengths[k] < WIRE_STRS_ITEM_MAX ? lengths[k] : WIRE_STRS_ITEM_MAX};
        exactly_fits(&sizes_desc, &(struct sizes){.strs = {items, 1}});
    }
    items[0] = (struct slice){NULL, 0};
    for (k = 0; k < sizeof(counts) / sizeof(counts[0]); k++)
        exactly_fits(&sizes_desc, &(struct sizes){.strs = {items, counts[k]}});
    for (k = 0; proto_messages[k]; k++) {
        void *msg = fill_alloc(&f->a, proto_messages[k]->size);

        fill_message(proto_messages[k], msg, &f->a, FILL_SMALL);
        exactly_fits(proto_messages[k], msg);
    }
}

/* Fields behind a list need room after its items took theirs. */
static void every_ceiling_is_met_without_a_trace(void **state)
{
    struct fixture *f = *state;
    void *msg = fill_alloc(&f->a, session_rep_desc.size);
    struct buf out;
    size_t max;

    fill_message(&session_rep_desc, msg, &f->a, FILL_SMALL);
    encode(&session_rep_desc, msg, &f->one);
    for (max = 0; max < f->one.n; max++) {
        buf_init(&out, max);
        assert_int_equal(wire_encode(&session_rep_desc, msg, &out, &f->err), ST_TOO_LARGE);
        assert_int_equal(out.n, 0);
        buf_fini(&out);
    }
}

static void what_no_peer_would_accept_is_not_sent(void **state)
{
    struct fixture *f = *state;
    const struct slice bad = {"a\0", 2};
    struct plan plan = {.name = slice_of("free"), .models = {&bad, 1}};
    struct state_change *changes = fill_alloc(&f->a, LIMIT_EVENTS * sizeof(*changes));
    struct state_read_rep rep = {.changes = {changes, LIMIT_EVENTS}};
    size_t i;

    assert_int_equal(wire_encode(&plan_desc, &plan, &f->one, &f->err), ST_BAD_MESSAGE);
    assert_string_equal(f->err.text, "plan.models: item 0 is not UTF-8 text without NUL");
    plan.name = slice_of("\xed\xa0\x80");
    assert_int_equal(wire_encode(&plan_desc, &plan, &f->one, &f->err), ST_BAD_MESSAGE);
    assert_string_equal(f->err.text, "plan.name: not UTF-8 text without NUL");
    plan.name = (struct slice){NULL, 4};
    assert_int_equal(wire_encode(&plan_desc, &plan, &f->one, &f->err), ST_BAD_MESSAGE);
    assert_string_equal(f->err.text, "plan.name: 4 bytes at no address");
    for (i = 0; i < LIMIT_EVENTS; i++)
        changes[i].record = (struct slice){fill_alloc(&f->a, LIMIT_RECORD), LIMIT_RECORD};
    buf_fini(&f->one);
    buf_init(&f->one, 4 * WIRE_MESSAGE_MAX);
    assert_int_equal(wire_encode(&state_read_rep_desc, &rep, &f->one, &f->err), ST_TOO_LARGE);
    assert_int_equal(f->one.n, 0);
    assert_int_equal(wire_decode(&state_read_rep_desc, "", WIRE_MESSAGE_MAX + 1, &rep, NULL, &f->err), ST_BAD_MESSAGE);
    assert_string_equal(f->err.text, "state_read_rep: 25165825 bytes, at most 25165824 are allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_message_round_trips, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_zeroed_message_round_trips, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_truncation_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_bytes_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_limit_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_list_may_be_as_long_as_its_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_item_of_strings_has_its_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_fields_are_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_fields_nest_so_deep_and_no_deeper, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_nest_so_deep_and_no_deeper, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_room_needed_is_known_exactly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_ceiling_is_met_without_a_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_no_peer_would_accept_is_not_sent, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
