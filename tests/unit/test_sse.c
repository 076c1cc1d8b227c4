/* The splitter of event streams: any cut gives the same events, and together they are the stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "providersvc/sse.h"

#define EVENTS_MAX 64

struct seen {
    struct buf raw; /* all events' bytes */
    struct buf story; /* one line an event */
    size_t n;
};

static enum status note(void *ctx, const struct sse_event *ev)
{
    struct seen *s = ctx;

    s->n++;
    assert_int_equal(buf_add(&s->raw, ev->raw.p, ev->raw.n), ST_OK);
    assert_int_equal(buf_addf(&s->story, "%zu field=%d one=%d data=" SLICE_FMT "|\n", ev->raw.n, ev->has_field,
                              ev->one_line, SLICE_ARG(ev->data)),
                     ST_OK);
    if (ev->one_line)
        assert_true(ev->data.p >= ev->raw.p && ev->data.p + ev->data.n <= ev->raw.p + ev->raw.n);
    return ST_OK;
}

static void seen_init(struct seen *s)
{
    memset(s, 0, sizeof(*s));
    buf_init(&s->raw, 1u << 24);
    buf_init(&s->story, 1u << 24);
}

static void seen_fini(struct seen *s)
{
    buf_fini(&s->raw);
    buf_fini(&s->story);
}

/* Feeds copies of exact size, so that a sanitizer sees one byte too far. */
static void feed(struct sse *sse, struct seen *s, const char *p, size_t n)
{
    char *copy = malloc(n + 1);

    assert_non_null(copy);
    memcpy(copy, p, n);
    copy = realloc(copy, n > 0 ? n : 1);
    assert_int_equal(sse_feed(sse, (struct slice){copy, n}, note, s), ST_OK);
    free(copy);
}

static void run(const char *p, size_t n, size_t cut1, size_t cut2, struct seen *s)
{
    struct sse sse;

    seen_init(s);
    sse_init(&sse);
    feed(&sse, s, p, cut1);
    feed(&sse, s, p + cut1, cut2 - cut1);
    feed(&sse, s, p + cut2, n - cut2);
    assert_int_equal(sse_end(&sse, note, s), ST_OK);
    sse_fini(&sse);
}

static const char *const streams[] = {
    "data: {\"a\":1}\n\ndata: [DONE]\n\n",
    "data:x\r\n\r\n: comment\r\n\r\nevent: e\r\ndata: y\r\n\r\n",
    "data: a\ndata: b\n\ndata\n\ndata:\n\n\n\n",
    "data: a\r\rdata: b\r\r",
    "data: a\n\r\ndata: b\r\n\ndata: c\r\r\n",
    "\357\273\277data: bom\n\n",
    "\xEF\xBB\xBF\n\n",
    "id: 7\nretry: 10\n\ndata: unfinished",
    "data: unfinished line\n",
    "data: two\rdata: lines\r",
    "\n\n\n",
    "",
    ":\n\n:x",
};

static void every_cut_gives_the_same_events(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(streams) / sizeof(streams[0]); k++) {
        size_t n = strlen(streams[k]);
        struct seen whole;

        run(streams[k], n, n, n, &whole);
        assert_int_equal(whole.raw.n, n);
        if (n > 0)
            assert_memory_equal(whole.raw.p, streams[k], n);
        for (size_t i = 0; i <= n; i++)
            for (size_t j = i; j <= n; j++) {
                struct seen s;

                run(streams[k], n, i, j, &s);
                assert_int_equal(s.story.n, whole.story.n);
                assert_int_equal(s.raw.n, n);
                if (s.story.n > 0)
                    assert_memory_equal(s.story.p, whole.story.p, s.story.n);
                seen_fini(&s);
            }
        seen_fini(&whole);
    }
}

static void tell(const char *stream, const char *story)
{
    struct seen s;

    run(stream, strlen(stream), strlen(stream), strlen(stream), &s);
    assert_int_equal(buf_add(&s.story, "", 1), ST_OK);
    assert_string_equal(s.story.p, story);
    seen_fini(&s);
}

static void fields_are_read_as_the_standard_says(void **state)
{
    (void)state;
    tell("data: x\n\n", "9 field=1 one=1 data=x|\n");
    tell("data:  x\n\n", "10 field=1 one=1 data= x|\n");
    tell("data:x\r\n\r\n", "10 field=1 one=1 data=x|\n");
    tell("data: a\ndata: b\n\n", "17 field=1 one=0 data=a\nb|\n");
    tell("data\n\n", "6 field=1 one=1 data=|\n");
    tell("datax: 1\n\n", "10 field=1 one=0 data=|\n");
    tell(": ping\n\n", "8 field=0 one=0 data=|\n");
    tell("\n", "1 field=0 one=0 data=|\n");
    tell("event: ping\n\n", "13 field=1 one=0 data=|\n");
    tell("\xEF\xBB\xBF"
         "data: x\n\n",
         "12 field=1 one=1 data=x|\n");
    tell("data: x\n", "8 field=1 one=1 data=x|\n");
}

static enum status refuse(void *ctx, const struct sse_event *ev)
{
    (void)ctx;
    (void)ev;
    return ST_CANCELLED;
}

static void a_refused_event_stops_it_for_good(void **state)
{
    struct sse sse;

    (void)state;
    sse_init(&sse);
    assert_int_equal(sse_feed(&sse, slice_of("data: x\n\ndata: y\n\n"), refuse, NULL), ST_CANCELLED);
    assert_int_equal(sse_feed(&sse, slice_of("data: x\n\n"), note, NULL), ST_TOO_LARGE);
    sse_fini(&sse);
}

static void an_event_without_end_is_refused(void **state)
{
    size_t n = 1u << 20;
    char *piece = malloc(n);
    enum status st = ST_OK;
    struct seen s;
    struct sse sse;
    size_t fed = 0;

    (void)state;
    assert_non_null(piece);
    memset(piece, 'x', n);
    seen_init(&s);
    sse_init(&sse);
    while (st == ST_OK && fed < 4u * SSE_EVENT_MAX) {
        st = sse_feed(&sse, (struct slice){piece, n}, note, &s);
        fed += n;
    }
    assert_int_equal(st, ST_TOO_LARGE);
    assert_true(fed <= SSE_EVENT_MAX + n);
    assert_int_equal(s.n, 0);
    sse_fini(&sse);
    seen_fini(&s);
    free(piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_same_events),
        cmocka_unit_test(fields_are_read_as_the_standard_says),
        cmocka_unit_test(a_refused_event_stops_it_for_good),
        cmocka_unit_test(an_event_without_end_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
