/*
 * The wire format held by files: tests/golden/MESSAGE.bin is the message's type number (two bytes, most significant
 * first) and its bytes with every field filled as FILL_SMALL does. Services of two versions talk during a rolling
 * upgrade, so a file that exists must stay readable for ever. docs/proto.md is made from the same declarations and held
 * the same way.
 *
 * After adding a message or an optional field:  UPDATE_GOLDEN=1 make check-unit T=golden
 * That writes what is missing or has grown; it refuses where an existing field changed its tag, kind or need.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/messages.h"
#include "services/json_field.h"
#include "tests/unit/fill.h"

#define GOLDEN_DIR "tests/golden" /* tests run at the top of the tree */
#define DOCS_PATH "docs/proto.md"
#define FILE_MAX (1024u * 1024u)
#define HOW_TO " (after adding a message or an optional field: UPDATE_GOLDEN=1 make check-unit T=golden)"

static bool updating(void)
{
    const char *wanted = getenv("UPDATE_GOLDEN");

    return wanted && strcmp(wanted, "1") == 0;
}

/* false when there is no such file */
static bool read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    char part[4096];
    size_t n;

    out->n = 0;
    if (!f)
        return false;
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        assert_int_equal(buf_add(out, part, n), ST_OK);
    assert_false(ferror(f));
    (void)fclose(f);
    return true;
}

static void write_file(const char *path, const struct buf *b)
{
    FILE *f = fopen(path, "wb");

    if (!f)
        fail_msg("%s cannot be written", path);
    assert_int_equal(fwrite(b->p, 1, b->n, f), b->n);
    assert_int_equal(fclose(f), 0);
}

static void hold(const char *path, const struct buf *now, bool existed, const struct buf *held)
{
    if (existed && held->n == now->n && memcmp(held->p, now->p, now->n) == 0)
        return;
    if (!updating())
        fail_msg("%s is %s%s", path, existed ? "not what is declared now" : "missing", HOW_TO);
    write_file(path, now);
}

/* What an older program wrote must be read, and mean the same: re-encoded it is the same bytes. */
static void still_readable(const struct wire_desc *desc, const char *path, const struct buf *held)
{
    struct arena a;
    struct wire_alloc mem = arena_wire(&a);
    struct buf again;
    struct err err = {0};
    void *msg;

    arena_init(&a, FILE_MAX);
    buf_init(&again, FILE_MAX);
    msg = fill_alloc(&a, desc->size);
    if (held->n < 2 || (uint16_t)((uint8_t)held->p[0] << 8 | (uint8_t)held->p[1]) != desc->type)
        fail_msg("%s: another type number: peers of the version before would not understand", path);
    if (wire_decode(desc, held->p + 2, held->n - 2, msg, &mem, &err) != ST_OK)
        fail_msg("%s: what the version before wrote cannot be read: %s", path, err.text);
    assert_int_equal(wire_encode(desc, msg, &again, &err), ST_OK);
    if (again.n != held->n - 2 || memcmp(again.p, held->p + 2, again.n) != 0)
        fail_msg("%s: what the version before wrote now means something else", path);
    buf_fini(&again);
    arena_fini(&a);
}

static void every_message_keeps_its_bytes(void **state)
{
    struct buf now, held;
    struct arena a;
    size_t i;

    (void)state;
    arena_init(&a, FILE_MAX);
    buf_init(&now, FILE_MAX);
    buf_init(&held, FILE_MAX);
    for (i = 0; proto_messages[i]; i++) {
        const struct wire_desc *desc = proto_messages[i];
        const char type[2] = {(char)(desc->type >> 8), (char)(desc->type & 0xff)};
        void *msg = fill_alloc(&a, desc->size);
        char path[256];
        bool existed;

        (void)snprintf(path, sizeof(path), GOLDEN_DIR "/%s.bin", desc->name);
        existed = read_file(path, &held);
        if (existed)
            still_readable(desc, path, &held);
        now.n = 0;
        assert_int_equal(buf_add(&now, type, sizeof(type)), ST_OK);
        fill_message(desc, msg, &a, FILL_SMALL);
        assert_int_equal(wire_encode(desc, msg, &now, NULL), ST_OK);
        hold(path, &now, existed, &held);
        arena_reset(&a);
    }
    buf_fini(&now);
    buf_fini(&held);
    arena_fini(&a);
}

/* --- the declarations themselves
 * --------------------------------------------------------------------------------------- */

static void check_field(const struct wire_desc *desc, const struct wire_field *f)
{
    size_t n = strlen(f->name);
    char text[JSON_NAME_MAX];

    if (f->tag < 1 || f->tag > WIRE_TAG_MAX || (f > desc->fields && f[-1].tag >= f->tag))
        fail_msg("%s.%s: tags rise from 1 to %d", desc->name, f->name, WIRE_TAG_MAX);
    if (f->limit == 0 || f->limit > INT64_MAX)
        fail_msg("%s.%s: a limit is due", desc->name, f->name);
    if (f->kind == WIRE_LIST && f->need != WIRE_OPT)
        fail_msg("%s.%s: a list is optional", desc->name, f->name);
    if (f->kind == WIRE_NANO && (n < 6 || strcmp(f->name + n - 5, "_nano") != 0))
        fail_msg("%s.%s: the name of an amount ends in _nano", desc->name, f->name);
    if (f->kind == WIRE_PICO && (n < 6 || strcmp(f->name + n - 5, "_pico") != 0))
        fail_msg("%s.%s: the name of a price ends in _pico", desc->name, f->name);
    if (f->doc[0] == '\0')
        fail_msg("%s.%s: say what it is", desc->name, f->name);
    if (json_field_public(f) && json_field_named(desc, json_field_name(f, text)) != f)
        fail_msg("%s.%s: its name in JSON is taken", desc->name, f->name);
    if (wire_field_named(desc, slice_of(f->name)) != f)
        fail_msg("%s.%s: stands there twice", desc->name, f->name);
}

static void every_declaration_keeps_the_rules(void **state)
{
    size_t i;
    uint32_t k;

    (void)state;
    for (i = 0; proto_messages[i]; i++) {
        const struct wire_desc *desc = proto_messages[i];

        if (desc->type == 0 || proto_message_by_type(desc->type) != desc)
            fail_msg("%s: its number %04x is another's", desc->name, desc->type);
        for (k = 0; k < desc->n_fields; k++)
            check_field(desc, &desc->fields[k]);
    }
    assert_null(proto_message_by_type(0));
    assert_null(proto_message_by_type(0xffff));
}

/* --- docs/proto.md
 * ------------------------------------------------------------------------------------------------------ */

static const char *const kind_names[] = {
    [WIRE_BOOL] = "bool",     [WIRE_U64] = "u64",   [WIRE_I64] = "i64",         [WIRE_NANO] = "nano-USD",
    [WIRE_PICO] = "pico-USD", [WIRE_STR] = "str",   [WIRE_SECRET] = "secret",   [WIRE_BIN] = "bin",
    [WIRE_STRS] = "strs",     [WIRE_LIST] = "list", [WIRE_SECRETS] = "secrets",
};

static void doc_field(struct buf *out, const struct wire_field *f)
{
    const char *kind = kind_names[f->kind];
    enum status st;

    if (f->kind == WIRE_LIST)
        st = buf_addf(out, "| %u | `%s` | list of [%s](#%s) | %s | %llu | %s |\n", f->tag, f->name, f->item->name,
                      f->item->name, f->need == WIRE_REQ ? "yes" : "", (unsigned long long)f->limit, f->doc);
    else
        st = buf_addf(out, "| %u | `%s` | %s | %s | %llu | %s |\n", f->tag, f->name, kind,
                      f->need == WIRE_REQ ? "yes" : "", (unsigned long long)f->limit, f->doc);
    assert_int_equal(st, ST_OK);
}

static void doc_message(struct buf *out, const struct wire_desc *desc)
{
    uint32_t k;

    assert_int_equal(buf_addf(out,
                              "\n### %s\n\n`0x%04x`: %s\n\n| tag | field | kind | required | limit | what |\n"
                              "| --- | --- | --- | --- | --- | --- |\n",
                              desc->name, desc->type, desc->doc),
                     ST_OK);
    for (k = 0; k < desc->n_fields; k++)
        doc_field(out, &desc->fields[k]);
}

static void docs_say_what_is_declared(void **state)
{
    struct buf now, held;
    bool existed;
    size_t i;

    (void)state;
    buf_init(&now, FILE_MAX);
    buf_init(&held, FILE_MAX);
    assert_int_equal(
        buf_addf(
            &now, "%s",
            "# Messages\n\nMade from `proto/messages.h` by `UPDATE_GOLDEN=1 make check-unit T=golden`; a test fails "
            "when "
            "this page is not what is declared.\n\nOn the wire a message is a msgpack map from tag to value. Unknown "
            "tags are skipped, an absent optional field is zero. The limit of a str, secret or bin is in bytes, of a "
            "number its largest magnitude, of strs and lists the number of items. In JSON a `…_nano` field is the "
            "decimal string `…_usd`, a `…_pico` field is a decimal string of USD per 1,000,000 tokens.\n\n"
            "Numbers: `0x00xx` any service, `0x01xx` authsvc, `0x02xx` providersvc, `0x03xx` meterd, `0x04xx` feed "
            "records, `0x05xx` parts of others.\n\n| number | message | what |\n| --- | --- | --- |\n"),
        ST_OK);
    for (i = 0; proto_messages[i]; i++)
        assert_int_equal(buf_addf(&now, "| `0x%04x` | [%s](#%s) | %s |\n", proto_messages[i]->type,
                                  proto_messages[i]->name, proto_messages[i]->name, proto_messages[i]->doc),
                         ST_OK);
    for (i = 0; proto_messages[i]; i++)
        doc_message(&now, proto_messages[i]);
    existed = read_file(DOCS_PATH, &held);
    hold(DOCS_PATH, &now, existed, &held);
    buf_fini(&now);
    buf_fini(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_declaration_keeps_the_rules),
        cmocka_unit_test(every_message_keeps_its_bytes),
        cmocka_unit_test(docs_say_what_is_declared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
