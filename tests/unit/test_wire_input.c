/* What arrives: malformed bytes and what is said about them, hostile counts, and the encodings that are accepted. */
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

#define BYTES(literal) ((struct slice){literal, sizeof(literal) - 1})
#define SETTLED_HEAD "\x84\x01\xa1r\x02\xa1u" /* request_id and user_id; cost_nano and balance_nano are to follow */

/* Counts what it gives, and gives it from the heap in exact sizes. */
struct meter {
    size_t calls, bytes;
    void *given[8];
};

static void *metered(void *ctx, size_t size)
{
    struct meter *m = ctx;
    void *p = m->calls < sizeof(m->given) / sizeof(m->given[0]) ? calloc(1, size) : NULL;

    if (!p)
        return NULL;
    m->given[m->calls++] = p;
    m->bytes += size;
    return p;
}

static void meter_free(struct meter *m)
{
    while (m->calls > 0)
        free(m->given[--m->calls]);
}

struct row {
    const struct wire_desc *desc;
    struct slice bytes;
    const char *text; /* NULL = accepted */
};

static void check_row(const struct row *row)
{
    union {
        struct settled settled;
        struct ack ack;
        struct usage_batch usage_batch;
        struct plan plan;
        struct fault fault;
        struct admit_req admit_req;
        struct health_check health_check;
    } msg;
    struct meter meter = {0};
    struct wire_alloc mem = {metered, &meter};
    struct err err = {0};
    char *copy = exact_copy(row->bytes.p, row->bytes.n);
    enum status st;

    assert_true(row->desc->size <= sizeof(msg));
    st = wire_decode(row->desc, copy, row->bytes.n, &msg, &mem, &err);
    if (st != (row->text ? ST_BAD_MESSAGE : ST_OK))
        fail_msg("expected \"%s\", got %s \"%s\"", row->text ? row->text : "OK", status_name(st), err.text);
    if (row->text) {
        static const union {
            char bytes[sizeof(msg)];
        } zero;

        assert_string_equal(err.text, row->text);
        assert_memory_equal(&msg, &zero, row->desc->size);
    }
    exact_free(copy);
    meter_free(&meter);
}

static void malformed_messages_are_named(void **state)
{
    const struct row rows[] = {
        {&ack_desc, BYTES(""), "ack: expected a map, got the end of the bytes"},
        {&ack_desc, BYTES("\xc0"), "ack: expected a map, got nil"},
        {&ack_desc, BYTES("\xc1"), "ack: expected a map, got no msgpack"},
        {&ack_desc, BYTES("\x90"), "ack: expected a map, got an array"},
        {&ack_desc, BYTES("\x80"), "ack.source: missing"},
        {&ack_desc, BYTES("\x81\x01\xa1s"), "ack.acked_seq: missing"},
        {&ack_desc, BYTES("\x81\x02\x01"), "ack.source: missing"},
        {&ack_desc, BYTES("\x82\x01\xa2st"), "ack: expected a positive tag, got the end of the bytes"},
        {&ack_desc, BYTES("\x8f\x01\xa1s"), "ack: expected a map, got the end of the bytes"},
        {&ack_desc, BYTES("\x82\x01\xa1s\x01\xa1s"), "ack: tag 1 stands there twice"},
        {&ack_desc, BYTES("\x84\x01\xa1s\x02\x05\x3e\x01\x3e\x01"), "ack: tag 62 stands there twice"},
        {&ack_desc, BYTES("\x83\x01\xa1s\x02\x05\x00\x01"), "ack: expected a positive tag, got an integer"},
        {&ack_desc, BYTES("\x83\x01\xa1s\x02\x05\xff\x01"), "ack: expected a positive tag, got a signed integer"},
        {&ack_desc, BYTES("\x83\x01\xa1s\x02\x05\xd0\x05\x01"), "ack: expected a positive tag, got a signed integer"},
        {&ack_desc, BYTES("\x83\x01\xa1s\x02\x05\xa1x\x01"), "ack: expected a positive tag, got a string"},
        {&ack_desc, BYTES("\x83\x01\xa1s\x02\x05\xcb\0\0\0\0\0\0\0\0\x01"),
         "ack: expected a positive tag, got a float"},
        {&ack_desc, BYTES("\x82\x01\xa1s\x02\x05\x00"), "ack: 1 bytes after its end"},
        {&ack_desc, BYTES("\x82\x01\xa1s\x02\xc0"), "ack.acked_seq: expected an unsigned integer, got nil"},
        {&ack_desc, BYTES("\x82\x01\xa1s\x02\xff"),
         "ack.acked_seq: expected an unsigned integer, got a signed integer"},
        {&ack_desc, BYTES("\x82\x01\xa1s\x02\xd0\x05"),
         "ack.acked_seq: expected an unsigned integer, got a signed integer"},
        {&ack_desc, BYTES("\x82\x01\xa1s\x02\xca\0\0\0\0"), "ack.acked_seq: expected an unsigned integer, got a float"},
        {&ack_desc, BYTES("\x82\x01\xa1s\x02\xc3"), "ack.acked_seq: expected an unsigned integer, got a boolean"},
        {&ack_desc, BYTES("\x82\x01\xa1s\x02\xcf\x80\0\0\0\0\0\0\0"),
         "ack.acked_seq: 9223372036854775808 is more than 9223372036854775807"},
        {&ack_desc, BYTES("\x82\x01\xa1s\x02\xcf\x80\0\0\0\0\0\0"),
         "ack.acked_seq: expected an unsigned integer, got the end of the bytes"},
        {&ack_desc, BYTES("\x82\x01\xc4\x01s\x02\x05"), "ack.source: expected a string, got binary"},
        {&ack_desc, BYTES("\x82\x01\xa1\xff\x02\x05"), "ack.source: not UTF-8 text without NUL"},
        {&ack_desc,
         BYTES("\x82\x01\xa2"
               "a\0\x02\x05"),
         "ack.source: not UTF-8 text without NUL"},
        {&ack_desc,
         BYTES("\x82\x01\xac"
               "abcdefgh\xed\xa0\x80x\x02\x05"),
         "ack.source: not UTF-8 text without NUL"},
        {&ack_desc, BYTES("\x82\x01\xdb\xff\xff\xff\xffs\x02\x05"),
         "ack.source: expected a string, got the end of the bytes"},
        {&ack_desc, BYTES("\x83\x01\xa1s\x02\x05\x03\x01"), "ack.gap: expected a boolean, got an integer"},
        {&admit_req_desc, BYTES("\x81\x02\xa1x"), "admit_req.key_digest: expected binary, got a string"},
        {&plan_desc,
         BYTES("\x82\x01\xa1"
               "f\x06\xa1m"),
         "plan.models: expected an array, got a string"},
        {&plan_desc,
         BYTES("\x82\x01\xa1"
               "f\x06\x92\xa1m\xc0"),
         "plan.models: expected a string, got nil"},
        {&fault_desc, BYTES("\x81\x05\x92\x80\x80"), "fault.limits: 2 items, at most 1 are allowed"},
        {&fault_desc, BYTES("\x81\x05\x91\xc0"), "fault.limits: expected more items, got the end of the bytes"},
        {&fault_desc, BYTES("\x81\x05\x91\xc0\0\0\0\0\0\0\0\0\0\0\0\0"), "fault.limits[0]: expected a map, got nil"},
        {&usage_batch_desc,
         BYTES(
             "\x81\x03\x92\x8b\x01\xa0\x02\xa0\x03\xa0\x04\xa0\x05\xa0\x06\xa0\x07\xa0\x09\xa0\x14\x00\x3e\x00\x3f\x00"
             "\x81\x04\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
         "usage_batch.events[1].model: expected a string, got nil"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i]);
}

static void every_way_to_write_a_number_is_read(void **state)
{
    const struct {
        struct slice bytes;
        int64_t value;
    } rows[] = {
        {BYTES("\x00"), 0},
        {BYTES("\x7f"), 127},
        {BYTES("\xcc\x05"), 5},
        {BYTES("\xcd\x00\x05"), 5},
        {BYTES("\xce\x00\x00\x00\x05"), 5},
        {BYTES("\xcf\0\0\0\0\0\0\0\x05"), 5},
        {BYTES("\xe0"), -32},
        {BYTES("\xff"), -1},
        {BYTES("\xd0\x05"), 5},
        {BYTES("\xd0\x80"), -128},
        {BYTES("\xd1\x80\x00"), -32768},
        {BYTES("\xd2\x80\x00\x00\x00"), INT32_MIN},
        {BYTES("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), -1},
        {BYTES("\xcf\x0d\xe0\xb6\xb3\xa7\x64\x00\x00"), MONEY_NANO_MAX},
        {BYTES("\xd3\xf2\x1f\x49\x4c\x58\x9c\x00\x00"), -MONEY_NANO_MAX},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char bytes[64] = SETTLED_HEAD "\x04\x00\x03";
        size_t n = sizeof(SETTLED_HEAD "\x04\x00\x03") - 1;
        struct settled settled;
        struct err err = {0};

        memcpy(bytes + n, rows[i].bytes.p, rows[i].bytes.n);
        if (wire_decode(&settled_desc, bytes, n + rows[i].bytes.n, &settled, NULL, &err) != ST_OK)
            fail_msg("%s", err.text);
        assert_true(settled.cost_nano == rows[i].value);
        if (rows[i].value >= 0 && (unsigned char)rows[i].bytes.p[0] != 0xd0) {
            char ack[32] = "\x82\x01\xa1s\x02";
            struct ack out;

            if (rows[i].value > INT64_C(1000000000000000000) - 1)
                continue;
            memcpy(ack + 5, rows[i].bytes.p, rows[i].bytes.n);
            assert_int_equal(wire_decode(&ack_desc, ack, 5 + rows[i].bytes.n, &out, NULL, &err), ST_OK);
            assert_true(out.acked_seq == (uint64_t)rows[i].value);
        }
    }
}

static void amounts_beyond_their_bound_are_refused(void **state)
{
    const struct row rows[] = {
        {&settled_desc, BYTES(SETTLED_HEAD "\x03\xcf\x0d\xe0\xb6\xb3\xa7\x64\x00\x01"),
         "settled.cost_nano: a number beyond 1000000000000000000"},
        {&settled_desc, BYTES(SETTLED_HEAD "\x03\xd3\xf2\x1f\x49\x4c\x58\x9b\xff\xff"),
         "settled.cost_nano: a number beyond 1000000000000000000"},
        {&settled_desc, BYTES(SETTLED_HEAD "\x03\xd3\x80\0\0\0\0\0\0\0"),
         "settled.cost_nano: a number beyond 1000000000000000000"},
        {&settled_desc, BYTES(SETTLED_HEAD "\x03\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
         "settled.cost_nano: a number beyond 1000000000000000000"},
        {&settled_desc, BYTES(SETTLED_HEAD "\x03\xcb\0\0\0\0\0\0\0\0"),
         "settled.cost_nano: expected an integer, got a float"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i]);
}

/* --- memory ----------------------------------------------------------------------------------------------------------
 */

/* A map of one field with this value, decoded with a meter. */
static size_t bytes_taken(const struct wire_desc *desc, uint8_t tag, struct slice value, size_t padding)
{
    struct meter meter = {0};
    struct wire_alloc mem = {metered, &meter};
    void *msg = calloc(1, desc->size);
    char *bytes = calloc(1, 2 + value.n + padding);
    size_t taken;

    assert_true(msg && bytes);
    bytes[0] = '\x81';
    bytes[1] = (char)tag;
    memcpy(bytes + 2, value.p, value.n);
    assert_int_not_equal(wire_decode(desc, bytes, 2 + value.n + padding, msg, &mem, NULL), ST_OK);
    taken = meter.bytes;
    meter_free(&meter);
    free(bytes);
    free(msg);
    return taken;
}

static void hostile_counts_take_no_memory(void **state)
{
    const struct slice counts[] = {BYTES("\xdd\xff\xff\xff\xff"), BYTES("\xdd\x0f\xff\xff\xff"),
                                   BYTES("\xdc\xff\xff"),         BYTES("\x9f"),
                                   BYTES("\xdf\xff\xff\xff\xff"), BYTES("\xdb\xff\xff\xff\xff"),
                                   BYTES("\xc6\xff\xff\xff\xff"), BYTES("\xc9\xff\xff\xff\xff\x01")};
    size_t i, k, c;

    (void)state;
    for (i = 0; proto_messages[i]; i++)
        for (k = 0; k < proto_messages[i]->n_fields; k++)
            for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
                assert_int_equal(bytes_taken(proto_messages[i], proto_messages[i]->fields[k].tag, counts[c], 0), 0);
}

/* A message of two bytes an item must not become one of hundreds of bytes an item: what is required takes bytes too. */
static void memory_is_in_proportion_to_the_bytes(void **state)
{
    struct err err = {0};
    struct meter meter = {0};
    struct wire_alloc mem = {metered, &meter};
    struct usage_batch batch;
    char bytes[2 + 3 + 1000] = "\x81\x03\xdc\x03\xe8"; /* 1,000 events, a byte each */

    (void)state;
    memset(bytes + 5, '\x80', sizeof(bytes) - 5);
    assert_int_equal(wire_decode(&usage_batch_desc, bytes, sizeof(bytes), &batch, &mem, &err), ST_BAD_MESSAGE);
    assert_int_equal(meter.bytes, 0);
    assert_string_equal(err.text, "usage_batch.events: expected more items, got the end of the bytes");
}

static void a_list_without_memory_is_refused(void **state)
{
    struct plan plan;
    struct arena a;
    struct wire_alloc mem = arena_wire(&a);
    struct err err = {0};
    static const char bytes[] = "\x82\x01\xa1"
                                "f\x06\x92\xa1m\xa1n";

    (void)state;
    assert_int_equal(wire_decode(&plan_desc, bytes, sizeof(bytes) - 1, &plan, NULL, &err), ST_BAD_MESSAGE);
    assert_string_equal(err.text, "plan.models: a list where none is expected");
    arena_init(&a, sizeof(struct slice));
    assert_int_equal(wire_decode(&plan_desc, bytes, sizeof(bytes) - 1, &plan, &mem, &err), ST_NO_MEMORY);
    arena_fini(&a);
    arena_init(&a, 2 * sizeof(struct slice));
    assert_int_equal(wire_decode(&plan_desc, bytes, sizeof(bytes) - 1, &plan, &mem, &err), ST_OK);
    assert_int_equal(plan.models.n, 2);
    assert_true(slice_is(plan.models.items[1], "n"));
    assert_ptr_equal(plan.models.items[1].p, bytes + 9); /* borrowed, not copied */
    arena_fini(&a);
}

static void encoding_stops_at_the_ceiling(void **state)
{
    struct ack ack = {.source = slice_of("12345678"), .acked_seq = 1};
    struct buf out;
    size_t max;

    (void)state;
    for (max = 0; max < 13; max++) {
        buf_init(&out, max);
        assert_int_equal(wire_encode(&ack_desc, &ack, &out, NULL), ST_TOO_LARGE);
        assert_int_equal(out.n, 0);
        buf_fini(&out);
    }
    buf_init(&out, max); /* exactly what it takes */
    assert_int_equal(wire_encode(&ack_desc, &ack, &out, NULL), ST_OK);
    assert_int_equal(out.n, max);
    buf_fini(&out);
}

/* --- presence --------------------------------------------------------------------------------------------------------
 */

static void zero_is_sent_when_it_is_meant(void **state)
{
    struct plan_update_req req = {.actor_id = slice_of("usr_1"), .name = slice_of("free")}, got;
    struct buf out;

    (void)state;
    buf_init(&out, 1024);
    assert_int_equal(wire_encode(&plan_update_req_desc, &req, &out, NULL), ST_OK);
    assert_int_equal(wire_decode(&plan_update_req_desc, out.p, out.n, &got, NULL, NULL), ST_OK);
    assert_false(WIRE_HAS(&got, 3));
    assert_true(WIRE_HAS(&got, 1));
    out.n = 0;
    req.has = UINT64_C(1) << 3 | UINT64_C(1) << 7;
    assert_int_equal(wire_encode(&plan_update_req_desc, &req, &out, NULL), ST_OK);
    assert_int_equal(wire_decode(&plan_update_req_desc, out.p, out.n, &got, NULL, NULL), ST_OK);
    assert_true(WIRE_HAS(&got, 3));
    assert_true(WIRE_HAS(&got, 7));
    assert_int_equal(got.rpm, 0);
    assert_int_equal(got.models.n, 0);
    buf_fini(&out);
}

/* --- printing --------------------------------------------------------------------------------------------------------
 */

static void print_to(struct buf *out, const struct wire_desc *desc, const void *msg, size_t max)
{
    out->n = 0;
    assert_int_equal(wire_print(desc, msg, out, max), ST_OK);
    assert_int_equal(buf_add(out, "", 1), ST_OK);
}

static void secrets_and_control_bytes_are_not_printed(void **state)
{
    struct user user = {.id = slice_of("usr_1"), .email = slice_of("a@b"), .balance_nano = -5};
    struct session_rep rep = {
        .user = {&user, 1}, .access_token = slice_of("hunter2"), .refresh_token = slice_of("hunter3")};
    struct admit_req req = {.request_id = BYTES("a\n\x1b[31m\"\\\x7f\xc2\x9b\xc3\xa9\xff"),
                            .key_digest = BYTES("12345678")};
    struct slice key = slice_of("hunter4");
    struct provider_put_req put = {.name = slice_of("p"), .api_keys = {&key, 1}};
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    print_to(&out, &provider_put_req_desc, &put, 1000);
    assert_string_equal(out.p, "provider_put_req{actor_id=\"\" name=\"p\" api_keys=***}");
    print_to(&out, &session_rep_desc, &rep, 1000);
    assert_string_equal(out.p, "session_rep{user=[user{id=\"usr_1\" email=\"a@b\" role=\"\" plan=\"\" status=\"\" "
                               "balance_nano=-5 created=0}] access_token=*** refresh_token=*** token_type=\"\" "
                               "expires_in=0}");
    print_to(&out, &admit_req_desc, &req, 1000);
    assert_string_equal(out.p, "admit_req{request_id=\"a\\x0a\\x1b[31m\\x22\\x5c\\x7f\\xc2\\x9b\xc3\xa9\\xff\" "
                               "key_digest=<8 bytes> model=\"\" endpoint=\"\" prompt_tokens_estimate=0 deadline_ms=0}");
    buf_fini(&out);
}

static void printing_stops_where_told(void **state)
{
    struct ack ack = {.source = slice_of("outbox"), .acked_seq = 12};
    const char whole[] = "ack{source=\"outbox\" acked_seq=12}";
    struct buf out;
    size_t max;

    (void)state;
    buf_init(&out, 4096);
    for (max = 0; max < sizeof(whole) + 3; max++) {
        size_t n = max < sizeof(whole) - 1 ? max : sizeof(whole) - 1;

        print_to(&out, &ack_desc, &ack, max);
        assert_int_equal(out.n - 1, n);
        if (max >= 3 && max < sizeof(whole) - 1)
            assert_string_equal(out.p + n - 3, "...");
    }
    assert_string_equal(out.p, whole);
    buf_fini(&out);
}

/* The printer against every message: full ones stay within bounds, and none shows a secret. */
static void every_message_prints(void **state)
{
    struct arena a;
    struct buf out;
    size_t i;

    (void)state;
    arena_init(&a, (size_t)256 * 1024 * 1024);
    buf_init(&out, 8192);
    for (i = 0; proto_messages[i]; i++) {
        void *msg = fill_alloc(&a, proto_messages[i]->size);

        fill_message(proto_messages[i], msg, &a, FILL_FULL);
        out.n = 0;
        assert_int_equal(wire_print(proto_messages[i], msg, &out, 4096), ST_OK);
        assert_true(out.n <= 4096);
        arena_reset(&a);
    }
    arena_fini(&a);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_messages_are_named),
        cmocka_unit_test(every_way_to_write_a_number_is_read),
        cmocka_unit_test(amounts_beyond_their_bound_are_refused),
        cmocka_unit_test(hostile_counts_take_no_memory),
        cmocka_unit_test(memory_is_in_proportion_to_the_bytes),
        cmocka_unit_test(a_list_without_memory_is_refused),
        cmocka_unit_test(encoding_stops_at_the_ceiling),
        cmocka_unit_test(zero_is_sent_when_it_is_meant),
        cmocka_unit_test(secrets_and_control_bytes_are_not_printed),
        cmocka_unit_test(printing_stops_where_told),
        cmocka_unit_test(every_message_prints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
