/* multipart/form-data as it passes: what is kept of it, at every cut; what is refused; and the spool that it lands in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/multipart.h"
#include "gateway/spool.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TYPE "multipart/form-data; boundary=xYz"
#define PART(name) "--xYz\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n"
#define END "--xYz--\r\n"

static struct multipart m; /* large */

/* In pieces that end at a and b. */
static enum status read_cut(const char *text, size_t n, size_t a, size_t b, struct err *err)
{
    const size_t ends[] = {a, b, n};
    enum status st = multipart_begin(&m, slice_of(TYPE), true, err);
    size_t i, from = 0;

    for (i = 0; i < COUNT(ends) && st == ST_OK; i++) {
        char *copy = malloc(ends[i] - from ? ends[i] - from : 1); /* exact, so that a byte too far is seen */

        assert_non_null(copy);
        memcpy(copy, text + from, ends[i] - from);
        st = multipart_feed(&m, (struct slice){copy, ends[i] - from}, err);
        free(copy);
        from = ends[i];
    }
    return st == ST_OK ? multipart_end(&m, err) : st;
}

static enum status read_text(const char *text, struct err *err)
{
    size_t n = strlen(text);

    *err = (struct err){.status = ST_OK};
    return read_cut(text, n, n, n, err);
}

static const char whole[] = "preamble\r\n" PART(
    "purpose") "assistants\r\n"
               "--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".bin\"\r\n"
               "Content-Type: audio/x\r\n\r\n\r\n--xY\r\r\n--xYy\r\n\n--x\r\n--\r\n"
               "--xYz \r\ncontent-disposition:form-data;name=model\r\n\r\nwhisper-1\r\n" PART("other") "\r\n" PART(
                   "prompt") "\r\n--xYz--\r\nepilogue --xYz\r\n";

static void a_form_is_read_at_every_cut(void **state)
{
    const size_t n = sizeof(whole) - 1;
    const char *at = strstr(whole, "whisper-1");
    uint8_t first[32], digest[32];
    size_t a, b;

    (void)state;
    for (a = 0; a <= n; a++)
        for (b = a; b <= n; b += a % 7 ? 13 : 1) {
            struct err err = {.status = ST_OK};

            if (read_cut(whole, n, a, b, &err) != ST_OK)
                fail_msg("cut at %zu and %zu: %s", a, b, err.text);
            assert_int_equal(m.form.bytes, n);
            assert_int_equal(m.form.files, 1);
            assert_int_equal(m.form.file_bytes, 24);
            assert_true(slice_is(m.form.part[FORM_PURPOSE].kept, "assistants"));
            assert_true(slice_is(m.form.part[FORM_MODEL].kept, "whisper-1"));
            assert_int_equal(m.form.part[FORM_MODEL].bytes, 9);
            assert_int_equal(m.form.part[FORM_MODEL].at, (uint64_t)(at - whole));
            assert_true(m.form.part[FORM_PROMPT].seen);
            assert_int_equal(m.form.part[FORM_PROMPT].bytes, 0);
            assert_false(m.form.part[FORM_N].seen);
            multipart_digest(&m, digest);
            if (a == 0 && b == 0)
                memcpy(first, digest, sizeof(first));
            assert_memory_equal(first, digest, sizeof(digest));
        }
}

static void the_digest_knows_no_boundary(void **state)
{
    static const struct {
        const char *type, *text;
    } forms[] = {
        {TYPE, PART("model") "m\r\n" END},
        {"Multipart/Form-Data;charset=UTF-8; boundary=\"a b\"",
         "--a b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--a b--"},
        {TYPE, PART("model") "n\r\n" END},
        {TYPE, PART("mode") "lm\r\n" END},
    };
    uint8_t digest[COUNT(forms)][32];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(forms); i++) {
        struct err err = {.status = ST_OK};

        assert_true(multipart_is(slice_of(forms[i].type)));
        assert_int_equal(multipart_begin(&m, slice_of(forms[i].type), true, &err), ST_OK);
        assert_int_equal(multipart_feed(&m, slice_of(forms[i].text), &err), ST_OK);
        assert_int_equal(multipart_end(&m, &err), ST_OK);
        multipart_digest(&m, digest[i]);
    }
    assert_memory_equal(digest[0], digest[1], 32);
    assert_memory_not_equal(digest[0], digest[2], 32);
    assert_memory_not_equal(digest[0], digest[3], 32);
}

static void types_without_a_boundary_are_refused(void **state)
{
    static const char *const types[] = {
        "multipart/form-data",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"x",
        "multipart/form-data; boundary=\"x \"",
        "multipart/form-data; boundary=x; boundary=y",
        "multipart/form-data; boundary=x; boundary*=utf-8''y",
        "multipart/form-data; boundary*0=x; boundary=y",
        "multipart/form-data; boundary=\"x\\y\"",
        "multipart/form-data; boundary=x; charset=utf-7",
        "multipart/form-data; charset*=utf-8''utf-16; boundary=x",
        "multipart/form-data; boundary=\"x\ty\"",
        "multipart/form-data boundary=x",
        "multipart/form-data; boundary=x; =y",
    };
    char longest[300] = "multipart/form-data; boundary=";
    struct err err;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(types); i++) {
        assert_true(multipart_is(slice_of(types[i])));
        err = (struct err){.status = ST_OK};
        if (multipart_begin(&m, slice_of(types[i]), false, &err) != ST_BAD_REQUEST)
            fail_msg("taken: %s", types[i]);
        assert_string_equal(err.param, "content-type");
    }
    memset(longest + strlen(longest), 'b', MULTIPART_BOUNDARY_MAX);
    assert_int_equal(multipart_begin(&m, slice_of(longest), false, &err), ST_OK);
    longest[strlen(longest)] = 'b';
    assert_int_equal(multipart_begin(&m, slice_of(longest), false, &err), ST_BAD_REQUEST);
    assert_false(multipart_is(slice_of("multipart/form-datax; boundary=x")));
    assert_false(multipart_is(slice_of("multipart/mixed; boundary=x")));
    assert_false(multipart_is(slice_of("")));
}

static void what_could_be_read_in_two_ways_is_refused(void **state)
{
    static const struct {
        const char *text, *why; /* in the error's text */
    } cases[] = {
        {"", "ends before"},
        {"--xYz", "ends before"},
        {PART("model") "m", "ends before"},
        {PART("model") "m\r\n--xYz-", "ends before"},
        {PART("model") "m\r\n--xYzz", "follows a boundary"},
        {PART("model") "m\r\n--xYz-x", "follows a boundary"},
        {PART("model") "m\r\n--xYz\rx", "follows a boundary"},
        {PART("model") "m\r\n" PART("model") "n\r\n" END, "more than once: 'model'"},
        {"--xYz\r\nContent-Disposition: form-data; name=\"model\"; filename=\"f\"\r\n\r\nm\r\n" END, "got a file"},
        {"--xYz\r\nContent-Disposition: form-data\r\n\r\nm\r\n" END, "no name"},
        {"--xYz\r\nContent-Type: x\r\n\r\nm\r\n" END, "no name"},
        {"--xYz\r\n\r\nm\r\n" END, "no name"},
        {"--xYz\r\nContent-Disposition: attachment; name=\"model\"\r\n\r\nm\r\n" END, "no form-data"},
        {"--xYz\r\nContent-Disposition: form-data; name=\"x\"; name=\"model\"\r\n\r\nm\r\n" END, "two names"},
        {"--xYz\r\nContent-Disposition: form-data; name*=utf-8''model\r\n\r\nm\r\n" END, "two names"},
        {PART("Model") "m\r\n" END, "Did you mean 'model'"},
        {PART("N") "9\r\n" END, "Did you mean 'n'"},
        {PART("n[]") "9\r\n" END, "Did you mean 'n'"},
        {PART("MODEL[0]") "m\r\n" END, "Did you mean 'model'"},
        {"--xYz\r\nContent-Disposition : form-data; name=\"x\"\r\nContent-Disposition: form-data; "
         "name=\"model\"\r\n\r\nm\r\n" END,
         "precedes the colon"},
        {"--xYz\r\nContent-Disposition: form-data; name=\"model\"; filename*0=\"f\"\r\n\r\nm\r\n" END, "got a file"},
        {"--xYz\r\nContent-Disposition: form-data; name=\"mo\\del\"\r\n\r\nm\r\n" END, "backslash"},
        {"--xYz\r\nContent-Disposition: form-data; name=\"x\"\r\nContent-Disposition: form-data; "
         "name=\"model\"\r\n\r\nm\r\n" END,
         "two Content-Dispositions"},
        {"--xYz\r\nContent-Disposition: form-data;\r\n name=\"model\"\r\n\r\nm\r\n" END, "two lines"},
        {"--xYz\r\nContent-Disposition: form-data; name=\"model\r\n\r\nm\r\n" END, "malformed"},
        {"--xYz\r\nContent-Disposition: form-data; name=\"x\"\n\nm\r\n" END, "CR LF"},
        {"--xYz\r\nContent-Disposition: form-data; name=\"x\"\r\r\n\r\nm\r\n" END, "CR LF"},
        {PART("x") "m\n" PART("model") "n\r\n" END, "LF alone"},
        {PART("x") "m\n--xYz--\r\n--xYz--", "LF alone"},
        {"\n" PART("model") "m\r\n" END, "LF alone"},
    };
    static const char nul[] = "--xYz\r\nContent-Disposition: form-data; name=\"model\"\0\r\n\r\nm\r\n" END;
    struct err err;
    size_t i, cut;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        size_t n = strlen(cases[i].text);

        for (cut = 0; cut <= n; cut++) {
            err = (struct err){.status = ST_OK};
            if (read_cut(cases[i].text, n, cut, cut, &err) != ST_BAD_REQUEST)
                fail_msg("taken, cut at %zu: %s", cut, cases[i].text);
            if (!strstr(err.text, cases[i].why))
                fail_msg("'%s' is not in '%s'", cases[i].why, err.text);
        }
    }
    assert_int_equal(read_cut(nul, sizeof(nul) - 1, 5, 9, &err), ST_BAD_REQUEST);
    assert_int_equal(read_text("--xYz--", &err), ST_OK); /* a form with nothing in it */
    assert_int_equal(read_text(PART("x") "a\nb\n-\n--xY\r\n" END, &err), ST_OK);
}

static char *add(char *to, const char *text)
{
    memcpy(to, text, strlen(text));
    return to + strlen(text);
}

static void everything_is_bounded(void **state)
{
    char *much = calloc(1, 100000), *p = much;
    struct err err;
    unsigned i;

    (void)state;
    assert_non_null(much);
    p = add(p, "--xYz\r\nContent-Disposition: form-data; name=\"a\"; x=\"");
    memset(p, 'x', MULTIPART_HEAD_MAX);
    assert_int_equal(read_text(much, &err), ST_BAD_REQUEST);
    assert_non_null(strstr(err.text, "too long"));
    memset(much, 0, 100000);
    p = much;
    for (i = 0; i <= MULTIPART_PARTS_MAX; i++)
        p = add(p, PART("a") "\r\n");
    assert_int_equal(read_text(much, &err), ST_BAD_REQUEST);
    assert_non_null(strstr(err.text, "too many"));
    memset(much, 0, 100000);
    p = add(much, PART("model"));
    memset(p, 'm', 5000);
    add(p + 5000, "\r\n" END);
    assert_int_equal(read_text(much, &err), ST_OK);
    assert_int_equal(m.form.part[FORM_MODEL].kept.n, 256);
    assert_int_equal(m.form.part[FORM_MODEL].bytes, 5000);
    free(much);
}

/* ---- the spool --------------------------------------------------------------------------------------------------- */

static void check_spool(struct spool *s, size_t total)
{
    struct err err = {.status = ST_OK};
    struct slice got = {NULL, 0};
    uint64_t from = 0;

    while (from < total) {
        size_t i;

        assert_int_equal(spool_read(s, from, total - from, &got, &err), ST_OK);
        assert_in_range(got.n, 1, SPOOL_PIECE);
        for (i = 0; i < got.n; i++)
            if (got.p[i] != (char)((from + i) * 31 % 251))
                fail_msg("byte %llu is another", (unsigned long long)(from + i));
        from += got.n;
    }
    assert_int_equal(spool_read(s, total, 1, &got, &err), ST_INTERNAL);
    assert_int_equal(spool_read(s, 0, 0, &got, &err), ST_INTERNAL);
    assert_int_equal(spool_read(s, UINT64_MAX, 1, &got, &err), ST_INTERNAL);
}

static void a_spool_gives_back_what_it_got(void **state)
{
    static const size_t sizes[] = {0, 1, SPOOL_MEMORY, SPOOL_MEMORY + 1, 3 * SPOOL_MEMORY + 77};
    _Atomic uint64_t all = 5;
    char piece[10000];
    size_t k;

    (void)state;
    for (k = 0; k < COUNT(sizes); k++) {
        struct err err = {.status = ST_OK};
        size_t at = 0, i;
        struct spool s;

        spool_init(&s, "/tmp", &all);
        while (at < sizes[k]) {
            size_t n = sizes[k] - at < sizeof(piece) ? sizes[k] - at : sizeof(piece);

            for (i = 0; i < n; i++)
                piece[i] = (char)((at + i) * 31 % 251);
            assert_int_equal(spool_add(&s, (struct slice){piece, n}, &err), ST_OK);
            at += n;
        }
        assert_int_equal(s.bytes, sizes[k]);
        assert_int_equal(all, 5 + sizes[k]);
        assert_int_equal(s.fd >= 0, sizes[k] > SPOOL_MEMORY);
        check_spool(&s, sizes[k]);
        spool_fini(&s);
        assert_int_equal(all, 5);
    }
}

static void a_spool_has_bounds(void **state)
{
    _Atomic uint64_t all = SPOOL_ALL_MAX - 10;
    struct err err = {.status = ST_OK};
    char much[SPOOL_MEMORY + 1] = {0};
    struct spool s;

    (void)state;
    spool_init(&s, "/nonexistent", &all);
    assert_int_equal(spool_add(&s, (struct slice){much, 11}, &err), ST_UNAVAILABLE);
    assert_int_equal(all, SPOOL_ALL_MAX - 10);
    assert_int_equal(spool_add(&s, (struct slice){much, 10}, &err), ST_OK);
    atomic_store(&all, 10);
    assert_int_equal(spool_add(&s, (struct slice){much, sizeof(much)}, &err), ST_UNAVAILABLE);
    assert_non_null(strstr(err.text, "No such file"));
    spool_fini(&s);
    assert_int_equal(all, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_is_read_at_every_cut),
        cmocka_unit_test(the_digest_knows_no_boundary),
        cmocka_unit_test(types_without_a_boundary_are_refused),
        cmocka_unit_test(what_could_be_read_in_two_ways_is_refused),
        cmocka_unit_test(everything_is_bounded),
        cmocka_unit_test(a_spool_gives_back_what_it_got),
        cmocka_unit_test(a_spool_has_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
