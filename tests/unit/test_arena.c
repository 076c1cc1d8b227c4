/* The small things everything stands on: arena, buffer, slices, UTF-8, clocks, identifiers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/utf8.h"
#include "proto/wire.h"
#include "services/arena.h"
#include "services/clock.h"
#include "services/ids.h"

/* --- arena -----------------------------------------------------------------------------------------------------------
 */

static bool all_zero(const char *p, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

static void memory_is_zeroed_aligned_and_apart(void **state)
{
    struct arena a;
    char *last = NULL;
    size_t n, round;

    (void)state;
    arena_init(&a, 1024 * 1024);
    for (round = 0; round < 3; round++) {
        for (n = 0; n < 300; n++) {
            char *p = arena_alloc(&a, n);

            assert_non_null(p);
            assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
            assert_true(all_zero(p, n));
            assert_ptr_not_equal(p, last);
            memset(p, 0xa5, n);
            last = p;
        }
        arena_reset(&a); /* what comes next gets the same memory, zeroed again */
    }
    arena_fini(&a);
    arena_fini(&a);
}

static void what_was_given_stays_as_it_was(void **state)
{
    enum { COUNT = 2000 };
    struct arena a;
    unsigned char *p[COUNT];
    size_t i, k;

    (void)state;
    arena_init(&a, 64 * 1024 * 1024);
    for (i = 0; i < COUNT; i++) {
        p[i] = arena_alloc(&a, i * 13 % 9000);
        assert_non_null(p[i]);
        memset(p[i], (int)(i % 251), i * 13 % 9000);
    }
    for (i = 0; i < COUNT; i++)
        for (k = 0; k < i * 13 % 9000; k++)
            assert_int_equal(p[i][k], i % 251);
    arena_fini(&a);
}

static void the_ceiling_holds(void **state)
{
    struct arena a;
    size_t n = 0;

    (void)state;
    arena_init(&a, 100000);
    while (arena_alloc(&a, 100))
        n++;
    assert_int_equal(n, 100000 / 112); /* rounded up to the alignment */
    assert_null(arena_alloc(&a, 200));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 8));
    assert_null(arena_strndup(&a, "x", SIZE_MAX));
    arena_reset(&a);
    assert_null(arena_alloc(&a, 100001));
    assert_non_null(arena_alloc(&a, 99000));
    arena_fini(&a);
    arena_init(&a, 0);
    assert_null(arena_alloc(&a, 1));
    arena_fini(&a);
    memset(&a, 0, sizeof(a));
    arena_fini(&a);
    arena_reset(&a);
}

static void copies_are_copies(void **state)
{
    char text[] = "hello";
    struct arena a;
    struct slice s;
    enum status st = ST_INTERNAL;
    char *p;

    (void)state;
    arena_init(&a, 64);
    p = arena_strndup(&a, text, 4);
    s = arena_copy(&a, (struct slice){text, 5}, &st);
    assert_int_equal(st, ST_OK);
    memset(text, 'x', 5);
    assert_string_equal(p, "hell");
    assert_true(slice_is(s, "hello"));
    s = arena_copy(&a, (struct slice){NULL, 0}, &st);
    assert_int_equal(st, ST_OK);
    assert_int_equal(s.n, 0);
    (void)arena_copy(&a, (struct slice){"0123456789012345678901234567890123456789012345678", 49}, &st);
    assert_int_equal(st, ST_NO_MEMORY);
    arena_fini(&a);
}

/* --- buffer ----------------------------------------------------------------------------------------------------------
 */

static void a_buffer_grows_to_its_ceiling(void **state)
{
    struct buf b;
    size_t i;

    (void)state;
    buf_init(&b, 1000);
    for (i = 0; i < 1000; i++)
        assert_int_equal(buf_add(&b, &(char){(char)i}, 1), ST_OK);
    assert_int_equal(buf_add(&b, "x", 1), ST_TOO_LARGE);
    assert_int_equal(buf_addf(&b, "%d", 1), ST_TOO_LARGE);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ST_TOO_LARGE);
    assert_int_equal(buf_add(&b, NULL, 0), ST_OK);
    assert_true(b.n == 1000 && b.cap <= 1000);
    for (i = 0; i < 1000; i++)
        assert_int_equal(b.p[i], (char)i);
    buf_consume(&b, 999);
    assert_true(b.n == 1 && b.p[0] == (char)999);
    buf_consume(&b, 5);
    buf_consume(&b, 5);
    assert_int_equal(b.n, 0);
    buf_fini(&b);
    assert_int_equal(buf_add(&b, "again", 5), ST_OK);
    buf_fini(&b);
}

static void formatted_text_of_any_length_is_whole(void **state)
{
    char text[3000];
    struct buf b;
    size_t n;

    (void)state;
    memset(text, 'y', sizeof(text));
    for (n = 0; n < sizeof(text); n += n < 300 ? 1 : 97) {
        buf_init(&b, n + 3); /* not a byte more than needed */
        assert_int_equal(buf_addf(&b, "<%.*s>", (int)n, text), ST_OK);
        assert_int_equal(b.n, n + 2);
        assert_true(b.p[0] == '<' && b.p[n + 1] == '>');
        assert_memory_equal(b.p + 1, text, n);
        buf_fini(&b);
    }
}

static void slices_compare_and_copy(void **state)
{
    char to[4] = "zzz";

    (void)state;
    assert_true(slice_is(slice_of(NULL), ""));
    assert_true(slice_is(slice_of("ab"), "ab"));
    assert_false(slice_is(slice_of("ab"), "abc"));
    assert_false(slice_is(slice_of("abc"), "ab"));
    assert_false(slice_is((struct slice){"a\0b", 3}, "a"));
    assert_true(slice_copy(slice_of("abc"), to, sizeof(to)));
    assert_string_equal(to, "abc");
    assert_false(slice_copy(slice_of("abcd"), to, sizeof(to)));
    assert_string_equal(to, "");
    assert_false(slice_copy((struct slice){"a\0b", 3}, to, sizeof(to)));
    assert_string_equal(to, "");
    assert_false(slice_copy(slice_of(""), to, 0));
    assert_true(slice_copy(slice_of(NULL), to, 1));
}

/* --- UTF-8 -----------------------------------------------------------------------------------------------------------
 */

/* RFC 3629 by the book: decode, then look at the number. */
static bool valid_by_the_book(const unsigned char *p, size_t n)
{
    while (n > 0) {
        size_t len = p[0] < 0x80             ? 1
                     : (p[0] & 0xe0) == 0xc0 ? 2
                     : (p[0] & 0xf0) == 0xe0 ? 3
                     : (p[0] & 0xf8) == 0xf0 ? 4
                                             : 0;
        static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
        uint32_t c;
        size_t i;

        if (len == 0 || len > n)
            return false;
        c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
        for (i = 1; i < len; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return false;
            c = c << 6 | (p[i] & 0x3fu);
        }
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return false;
        p += len;
        n -= len;
    }
    return true;
}

/* Every sequence of three bytes, and of four with the interesting first ones, alone and at every place of a word. */
static void utf8_is_decided_as_by_the_book(void **state)
{
    char text[24];
    uint32_t i, at;

    (void)state;
    for (i = 0; i < 0x1000000; i++) {
        const unsigned char c[4] = {(unsigned char)(i >> 16), (unsigned char)(i >> 8), (unsigned char)i, 0x80};
        size_t n = i % 3 == 0 ? 4 : 3;

        if (utf8_valid((const char *)c, n) != valid_by_the_book(c, n))
            fail_msg("%06x", i);
    }
    for (i = 0; i < 0x10000; i++) {
        const unsigned char c[2] = {(unsigned char)(i >> 8), (unsigned char)i};

        at = i % 21;
        memset(text, 'a', sizeof(text));
        memcpy(text + at, c, 2);
        if (utf8_valid(text, sizeof(text)) != valid_by_the_book((const unsigned char *)text, sizeof(text)))
            fail_msg("%04x at %u", i, at);
    }
    assert_int_equal(utf8_span("ab\xc3", 3), 2);
    assert_int_equal(utf8_span("", 0), 0);
}

/* --- clocks and identifiers ------------------------------------------------------------------------------------------
 */

static void clocks_run(void **state)
{
    uint64_t ns = clock_ns(), ms = clock_ms(), i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        uint64_t now = clock_ns();

        assert_true(now >= ns);
        ns = now;
    }
    assert_true(clock_ms() >= ms && clock_ms() - ns / 1000000 < 10000);
    assert_true(clock_wall_ms() > UINT64_C(1700000000000));
}

static void identifiers_are_random_and_well_formed(void **state)
{
    char seen[1000][ID_TEXT_SIZE], longest[ID_TEXT_SIZE];
    size_t i, k;

    (void)state;
    for (i = 0; i < 1000; i++) {
        id_make(seen[i], "req_", 16);
        assert_int_equal(strlen(seen[i]), 36);
        assert_int_equal(strspn(seen[i] + 4, "0123456789abcdef"), 32);
        for (k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
        assert_true(id_number() != 0 && id_number() != id_number());
    }
    id_make(longest, "", 32);
    assert_int_equal(strlen(longest), ID_TEXT_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(what_was_given_stays_as_it_was),
        cmocka_unit_test(the_ceiling_holds),
        cmocka_unit_test(copies_are_copies),
        cmocka_unit_test(a_buffer_grows_to_its_ceiling),
        cmocka_unit_test(formatted_text_of_any_length_is_whole),
        cmocka_unit_test(slices_compare_and_copy),
        cmocka_unit_test(utf8_is_decided_as_by_the_book),
        cmocka_unit_test(clocks_run),
        cmocka_unit_test(identifiers_are_random_and_well_formed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
