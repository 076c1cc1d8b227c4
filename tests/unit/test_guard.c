/* The framing guard: every refusal by name, every good request unchanged but for tabs in values, and the same verdict
 * however the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/guard.h"

#define POST "POST /v1/chat/completions HTTP/1.1\r\n"
#define HOST "Host: x\r\n"
#define NEXT "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct sample {
    const char *name, *bytes;
    size_t n; /* 0 = strlen */
};

static size_t length(const struct sample *s)
{
    return s->n ? s->n : strlen(s->bytes);
}

static const struct sample bad[] = {
    {"CL and TE", POST HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"TE and CL", POST HOST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"two lengths", POST HOST "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" NEXT, 0},
    {"the same length twice", POST HOST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n" NEXT, 0},
    {"two lengths in other case", POST HOST "Content-Length: 0\r\ncontent-LENGTH: 0\r\n\r\n" NEXT, 0},
    {"+ length", POST HOST "Content-Length: +5\r\n\r\nhello" NEXT, 0},
    {"- length", POST HOST "Content-Length: -5\r\n\r\nhello" NEXT, 0},
    {"length with junk", POST HOST "Content-Length: 5abc\r\n\r\nhello" NEXT, 0},
    {"list of lengths", POST HOST "Content-Length: 5, 5\r\n\r\nhello" NEXT, 0},
    {"list of other lengths", POST HOST "Content-Length: 5,6\r\n\r\nhello" NEXT, 0},
    {"length in two words", POST HOST "Content-Length: 5 6\r\n\r\nhello" NEXT, 0},
    {"empty length", POST HOST "Content-Length:\r\n\r\n" NEXT, 0},
    {"blank length", POST HOST "Content-Length:   \r\n\r\n" NEXT, 0},
    {"hex length", POST HOST "Content-Length: 0x5\r\n\r\nhello" NEXT, 0},
    {"decimal length", POST HOST "Content-Length: 5.0\r\n\r\nhello" NEXT, 0},
    {"length beyond int64", POST HOST "Content-Length: 99999999999999999999\r\n\r\n" NEXT, 0},
    {"length that wraps", POST HOST "Content-Length: 18446744073709551617\r\n\r\nx" NEXT, 0},
    {"space before colon, CL", POST HOST "Content-Length : 5\r\n\r\nhello" NEXT, 0},
    {"space before colon, TE", POST HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"tab before colon", POST HOST "Content-Length\t: 5\r\n\r\nhello" NEXT, 0},
    {"TE identity", POST HOST "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello" NEXT, 0},
    {"TE identity, chunked", POST HOST "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"TE gzip, chunked", POST HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"TE chunked, chunked", POST HOST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"TE chunked twice", POST HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"TE xchunked", POST HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"TE chunked;q=1", POST HOST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"TE quoted", POST HOST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"TE empty", POST HOST "Transfer-Encoding:\r\nContent-Length: 0\r\n\r\n" NEXT, 0},
    {"TE with a control",
     POST HOST "Transfer-Encoding: \x0b"
               "chunked\r\n\r\n0\r\n\r\n" NEXT,
     0},
    {"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 0},
    {"folded header", POST HOST "X-A: b\r\n c: d\r\nContent-Length: 0\r\n\r\n" NEXT, 0},
    {"header folded with a tab", POST HOST "X-A: b\r\n\tc\r\nContent-Length: 0\r\n\r\n" NEXT, 0},
    {"folded length", POST HOST "Content-Length:\r\n 5\r\n\r\nhello" NEXT, 0},
    {"space before the first header", POST " Host: x\r\n\r\n" NEXT, 0},
    {"bare LF everywhere", "POST / HTTP/1.1\nHost: x\nContent-Length: 0\n\n" NEXT, 0},
    {"bare LF after the request line", "POST / HTTP/1.1\nHost: x\r\n\r\n" NEXT, 0},
    {"bare LF in a header", POST HOST "X-A: b\nContent-Length: 0\r\n\r\n" NEXT, 0},
    {"bare LF at the end", POST HOST "Content-Length: 0\r\n\n" NEXT, 0},
    {"bare CR in a value", POST HOST "X-A: b\rc\r\n\r\n" NEXT, 0},
    {"bare CR in the request line", "POST /\r HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"two CR", POST HOST "X-A: b\r\r\n\r\n" NEXT, 0},
    {"NUL in a value", POST HOST "X-A: a\0b\r\n\r\n", sizeof(POST HOST "X-A: a\0b\r\n\r\n") - 1},
    {"NUL in a name", POST HOST "X\0A: b\r\n\r\n", sizeof(POST HOST "X\0A: b\r\n\r\n") - 1},
    {"NUL in the target", "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", sizeof("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n") - 1},
    {"control in a value", POST HOST "X-A: a\x01\r\n\r\n" NEXT, 0},
    {"DEL in a value", POST HOST "X-A: a\x7f\r\n\r\n" NEXT, 0},
    {"non-ASCII in a name", POST HOST "X-\xc3\xa9: a\r\n\r\n" NEXT, 0},
    {"name with a slash", POST HOST "X/A: a\r\n\r\n" NEXT, 0},
    {"empty name", POST HOST ": a\r\n\r\n" NEXT, 0},
    {"no colon", POST HOST "nothing\r\n\r\n" NEXT, 0},
    {"no Host", POST "Content-Length: 0\r\n\r\n" NEXT, 0},
    {"two Hosts", POST HOST "Host: y\r\nContent-Length: 0\r\n\r\n" NEXT, 0},
    {"two equal Hosts", POST HOST HOST "Content-Length: 0\r\n\r\n" NEXT, 0},
    {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n" NEXT, 0},
    {"Host with two names", POST "Host: a b\r\n\r\n" NEXT, 0},
    {"Host with a comma", POST "Host: a, b\r\n\r\n" NEXT, 0},
    {"Host with a path", POST "Host: a/b\r\n\r\n" NEXT, 0},
    {"Host with a user", POST "Host: a@b\r\n\r\n" NEXT, 0},
    {"two spaces in the request line", "POST  / HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"two spaces before the version", "POST /  HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"space after the version", "POST / HTTP/1.1 \r\nHost: x\r\n\r\n" NEXT, 0},
    {"tab in the request line", "POST\t/\tHTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"no version", "GET /\r\nHost: x\r\n\r\n" NEXT, 0},
    {"no target", "GET HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"HTTP/9.9", "GET / HTTP/9.9\r\nHost: x\r\n\r\n" NEXT, 0},
    {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n" NEXT, 0},
    {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n" NEXT, 0},
    {"HTTP/1.11", "GET / HTTP/1.11\r\nHost: x\r\n\r\n" NEXT, 0},
    {"http/1.1", "GET / http/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"HTTP/ 1.1", "GET / HTTP/ 1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"method with a bracket", "GE[T / HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"method too long", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"absolute target", "GET http://evil/ HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"authority", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"non-ASCII target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n" NEXT, 0},
    {"two empty lines first", "\r\n\r\n" NEXT, 0},
    {"LF first", "\n" NEXT, 0},
    {"space first", " " NEXT, 0},
    {"TLS", "\x16\x03\x01\x02", 0},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
};

#define CHUNKED POST HOST "Transfer-Encoding: chunked\r\n\r\n"
static const struct sample bad_chunks[] = {
    {"not hex", CHUNKED "zz\r\n" NEXT, 0},
    {"no size", CHUNKED "\r\nhello\r\n0\r\n\r\n", 0},
    {"signed", CHUNKED "+5\r\nhello\r\n0\r\n\r\n", 0},
    {"0x", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", 0},
    {"space before the size", CHUNKED " 5\r\nhello\r\n0\r\n\r\n", 0},
    {"space after the size", CHUNKED "5 \r\nhello\r\n0\r\n\r\n", 0},
    {"size too long", CHUNKED "000000005\r\nhello\r\n0\r\n\r\n", 0},
    {"size that wraps", CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n", 0},
    {"extension", CHUNKED "5;a=b\r\nhello\r\n0\r\n\r\n", 0},
    {"bare LF after the size", CHUNKED "5\nhello\r\n0\r\n\r\n", 0},
    {"bare CR after the size", CHUNKED "5\rhello\r\n0\r\n\r\n", 0},
    {"data longer than said", CHUNKED "4\r\nhello\r\n0\r\n\r\n", 0},
    {"bare LF after the data", CHUNKED "5\r\nhello\n0\r\n\r\n", 0},
    {"trailer", CHUNKED "0\r\nX-A: b\r\n\r\n" NEXT, 0},
    {"bare LF at the end", CHUNKED "0\r\n\n" NEXT, 0},
};

static const struct sample good[] = {
    {"GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0},
    {"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 0},
    {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
    {"IPv6 Host", "GET / HTTP/1.1\r\nHost: [::1]:3000\r\n\r\n", 0},
    {"Host with white space around", "GET / HTTP/1.1\r\nHost: \t a.example:80 \t\r\n\r\n", 0},
    {"no white space", "GET / HTTP/1.1\r\nHost:x\r\nA:b\r\n\r\n", 0},
    {"empty value", "GET / HTTP/1.1\r\nHost: x\r\nA:\r\n\r\n", 0},
    {"UTF-8 in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: \xc3\xa9\r\n\r\n", 0},
    {"tab in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\tc\r\n\r\n", 0},
    {"colons in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b: c: d\r\n\r\n", 0},
    {"an empty line first", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 0},
    {"query and escapes", "GET /v1/models/a%2Fb?x=%00&y=/../ HTTP/1.1\r\nHost: x\r\n\r\n", 0},
    {"body", POST HOST "Content-Length: 5\r\n\r\nhello", 0},
    {"body with hostile bytes", POST HOST "Content-Length: 9\r\n\r\n\r\n\r\n\0\n\n\n\n",
     sizeof(POST HOST "Content-Length: 9\r\n\r\n") - 1 + 9},
    {"length with white space", POST HOST "Content-Length:   5 \t \r\n\r\nhello", 0},
    {"length with zeros", POST HOST "Content-Length: 0005\r\n\r\nhello", 0},
    {"length 0", POST HOST "Content-Length: 0\r\n\r\n", 0},
    {"GET with a body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", 0},
    {"chunked", CHUNKED "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", 0},
    {"chunked in capitals", POST HOST "TRANSFER-ENCODING: CHUNKED\r\n\r\n00\r\n\r\n", 0},
    {"pipelined", POST HOST "Content-Length: 5\r\n\r\nhello" NEXT CHUNKED "1\r\nx\r\n0\r\n\r\n" NEXT, 0},
    {"header that only looks like a length",
     POST HOST "X-Content-Length: 9\r\nContent-Lengthy: 9\r\nContent-Lengt: 9\r\n\r\n", 0},
};

/* Feeds in pieces of `first` bytes and then `step` at a time. Returns the bytes that passed. */
static size_t feed(struct guard *g, const char *bytes, size_t n, size_t first, size_t step)
{
    size_t at = 0, passed = 0, piece = first ? first : step;

    guard_init(g);
    while (at < n) {
        char *copy;

        if (piece > n - at)
            piece = n - at;
        copy = malloc(piece); /* exact, so that a byte too far is seen */
        assert_non_null(copy);
        memcpy(copy, bytes + at, piece);
        passed += guard_feed(g, copy, piece);
        free(copy);
        at += piece;
        piece = step;
    }
    return passed;
}

/* The end of the header that is refused must not get through, or it would run. */
static void check_refused(const struct sample *s, const char *block_end)
{
    size_t n = length(s), cut;
    struct guard whole, g;

    assert_int_equal(feed(&whole, s->bytes, n, 0, n), 0);
    if (whole.verdict == GUARD_OK)
        fail_msg("passed: %s", s->name);
    assert_non_null(whole.why);
    for (cut = 0; cut <= n; cut++) {
        size_t passed = feed(&g, s->bytes, n, cut, cut ? n : 1);

        if (g.verdict != whole.verdict || g.why != whole.why)
            fail_msg("%s: another verdict when cut at %zu", s->name, cut);
        if (block_end && passed >= (size_t)(block_end - s->bytes))
            fail_msg("%s: the header got through when cut at %zu", s->name, cut);
    }
}

static void hostile_headers_are_refused_in_any_cut(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++) {
        const char *end = bad[i].n ? NULL : strstr(bad[i].bytes + 4, "\r\n\r\n");

        check_refused(&bad[i], end ? end + 4 : NULL);
    }
}

static void hostile_chunks_are_refused_in_any_cut(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad_chunks); i++)
        check_refused(&bad_chunks[i], NULL);
}

static void good_requests_pass_in_any_cut(void **state)
{
    size_t i, cut;

    (void)state;
    for (i = 0; i < COUNT(good); i++) {
        size_t n = length(&good[i]);
        struct guard g;

        for (cut = 0; cut <= n; cut++) {
            if (feed(&g, good[i].bytes, n, cut, cut ? n : 1) != n || g.verdict != GUARD_OK)
                fail_msg("%s: refused when cut at %zu: %s", good[i].name, cut, g.why);
            if (!guard_between(&g))
                fail_msg("%s: not at its end when cut at %zu", good[i].name, cut);
        }
    }
}

/* The HTTP library refuses a tab, which is white space like any other within a value. */
static void a_tab_in_a_value_becomes_a_space(void **state)
{
#define BODIES(tab)                                                                                                    \
    POST "Host:" tab "x" tab "\r\nX-A:" tab tab "b" tab "c" tab "\r\nContent-Length:" tab "5" tab                      \
         "\r\n\r\n\ta\tb\t" POST HOST "X-B:" tab "\r\nTransfer-Encoding:" tab                                          \
         "chunked\r\n\r\n5\r\n\tc\td\t\r\n0\r\n\r\n" POST HOST "X-C: " tab "e\r\n\r\n"
    static const char came[] = BODIES("\t"), goes[] = BODIES(" ");
    char text[sizeof(came)];
    size_t n = sizeof(came) - 1, cut;

    (void)state;
    for (cut = 0; cut <= n; cut++) {
        struct guard g;
        size_t at;

        guard_init(&g);
        memcpy(text, came, sizeof(came));
        if (cut) {
            assert_int_equal(guard_feed(&g, text, cut), cut);
            assert_int_equal(guard_feed(&g, text + cut, n - cut), n - cut);
        } else {
            for (at = 0; at < n; at++)
                assert_int_equal(guard_feed(&g, text + at, 1), 1);
        }
        assert_true(guard_between(&g));
        assert_memory_equal(text, goes, n);
    }
#undef BODIES
}

static void a_refusal_lasts(void **state)
{
    struct guard g;
    char newline[] = "\n", next[] = NEXT;

    (void)state;
    guard_init(&g);
    assert_int_equal(guard_feed(&g, newline, 1), 0);
    assert_int_equal(guard_feed(&g, next, strlen(next)), 0);
    assert_int_equal(g.verdict, GUARD_BAD);
}

static void whole_requests_before_a_bad_one_pass(void **state)
{
    static const char first[] = POST HOST "Content-Length: 5\r\n\r\nhello";
    char both[512], next[] = NEXT;
    struct guard g;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++) {
        size_t n = sizeof(first) - 1 + length(&bad[i]);

        assert_true(n < sizeof(both));
        memcpy(both, first, sizeof(first) - 1);
        memcpy(both + sizeof(first) - 1, bad[i].bytes, length(&bad[i]));
        guard_init(&g);
        assert_int_equal(guard_feed(&g, both, n), sizeof(first) - 1);
        assert_int_not_equal(g.verdict, GUARD_OK);
        assert_int_equal(guard_feed(&g, next, strlen(next)), 0);
    }
}

static size_t with_headers(char *to, size_t size, unsigned headers)
{
    size_t n = (size_t)snprintf(to, size, "GET / HTTP/1.1\r\nHost: x\r\n");
    unsigned i;

    for (i = 1; i < headers; i++)
        n += (size_t)snprintf(to + n, size - n, "X-%u: 1\r\n", i);
    return n + (size_t)snprintf(to + n, size - n, "\r\n");
}

static void the_number_of_headers_is_bounded(void **state)
{
    char text[4096];
    struct guard g;
    size_t n;

    (void)state;
    n = with_headers(text, sizeof(text), GUARD_HEADERS_MAX);
    assert_int_equal(feed(&g, text, n, 0, n), n);
    n = with_headers(text, sizeof(text), GUARD_HEADERS_MAX + 1);
    assert_int_equal(feed(&g, text, n, 0, n), 0);
    assert_int_equal(g.verdict, GUARD_LARGE);
    n = with_headers(text, sizeof(text), GUARD_HEADERS_MAX); /* counted anew for each request */
    guard_init(&g);
    assert_int_equal(guard_feed(&g, text, n), n);
    assert_int_equal(guard_feed(&g, text, n), n);
}

static void the_size_of_a_header_is_bounded(void **state)
{
    static const char begin[] = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
    size_t n = GUARD_BLOCK_MAX;
    char *text = malloc(n + 1);
    struct guard g;

    (void)state;
    assert_non_null(text);
    memset(text, 'a', n + 1);
    memcpy(text, begin, sizeof(begin) - 1);
    memcpy(text + n - 4, "\r\n\r\n", 4);
    assert_int_equal(feed(&g, text, n, 0, 1000), n);
    assert_true(guard_between(&g));
    memcpy(text + n - 4, "a\r\n\r\n", 5);
    feed(&g, text, n + 1, 0, 1000);
    assert_int_equal(g.verdict, GUARD_LARGE);
    memset(text, 'a', n + 1); /* a request line without end */
    text[3] = ' ';
    text[4] = '/';
    feed(&g, text, n + 1, 0, 1000);
    assert_int_equal(g.verdict, GUARD_LARGE);
    free(text);
}

static void a_large_body_is_only_counted(void **state)
{
    char piece[1000];
    struct guard g;
    unsigned i;
    char head[] = POST HOST "Content-Length: 100000\r\n\r\n";

    (void)state;
    memset(piece, '\n', sizeof(piece));
    guard_init(&g);
    assert_int_equal(guard_feed(&g, head, sizeof(head) - 1), sizeof(head) - 1);
    for (i = 0; i < 100; i++) {
        assert_false(guard_between(&g));
        assert_int_equal(guard_feed(&g, piece, sizeof(piece)), sizeof(piece));
    }
    assert_true(guard_between(&g));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_headers_are_refused_in_any_cut),
        cmocka_unit_test(hostile_chunks_are_refused_in_any_cut),
        cmocka_unit_test(good_requests_pass_in_any_cut),
        cmocka_unit_test(a_tab_in_a_value_becomes_a_space),
        cmocka_unit_test(a_refusal_lasts),
        cmocka_unit_test(whole_requests_before_a_bad_one_pass),
        cmocka_unit_test(the_number_of_headers_is_bounded),
        cmocka_unit_test(the_size_of_a_header_is_bounded),
        cmocka_unit_test(a_large_body_is_only_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
