#include "tests/lib/translating.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

#include "providersvc/sse.h"

static const struct translate_call plain = {.model = {"m", 1},
                                            .upstream_model = {"u", 1},
                                            .request_id = {"req_test", 8},
                                            .created = 1700000000,
                                            .stream = true,
                                            .usage_asked = true};

void translating_begin(struct translating *t, const struct translator *translator, const struct translate_call *call)
{
    memset(t, 0, sizeof(*t));
    t->translator = translator;
    t->call = call != NULL ? *call : plain;
    t->state = calloc(1, translator->state_size + 1);
    if (t->state == NULL)
        abort();
    buf_init(&t->dropped, TRANSLATE_DROPPED_MAX);
    buf_init(&t->out, TRANSLATING_OUT_MAX);
    t->call.dropped = &t->dropped;
}

void translating_end(struct translating *t)
{
    t->translator->fini(t->state);
    free(t->state);
    buf_fini(&t->dropped);
    buf_fini(&t->out);
}

/* A NUL behind it, which does not count, for tests that search it as a text. */
static enum status as_text(struct translating *t, enum status st)
{
    if (buf_reserve(&t->out, 1) == ST_OK)
        t->out.p[t->out.n] = '\0';
    return st;
}

enum status translating_request(struct translating *t, struct slice body)
{
    t->out.n = 0;
    return as_text(t, t->translator->request(t->state, &t->call, body, &t->out, &t->err));
}

enum status translating_answer(struct translating *t, struct slice body)
{
    t->out.n = 0;
    return as_text(t, t->translator->answer(t->state, &t->call, body, &t->out, &t->err));
}

static enum status write_event(void *ctx, struct slice name, struct slice data)
{
    struct translating *t = ctx;
    enum status st = ST_OK;

    if (name.n > 0)
        st = buf_addf(&t->out, "event: " SLICE_FMT "\n", SLICE_ARG(name));
    if (st == ST_OK)
        st = buf_add(&t->out, "data: ", 6);
    if (st == ST_OK)
        st = buf_add(&t->out, data.p, data.n);
    return st == ST_OK ? buf_add(&t->out, "\n\n", 2) : st;
}

struct streaming {
    struct translating *t;
    struct facts facts;
    bool final;
};

static enum status take_event(void *ctx, const struct sse_event *ev)
{
    struct streaming *s = ctx;
    struct translating *t = s->t;
    struct translate_sink sink = {write_event, t};

    if (ev->data.n == 0)
        return ST_OK;
    if (slice_is(ev->data, "[DONE]")) {
        s->final = true;
        return ST_OK;
    }
    if (t->translator->upstream->read(ev->data, &t->usage, NULL, &s->facts) != ST_OK)
        return ST_UPSTREAM;
    if (s->facts.failed)
        return err_set(&t->err, ST_UPSTREAM, "%s", s->facts.error.message);
    t->usage = s->facts.usage;
    t->text.ascii += s->facts.text.ascii;
    t->text.other += s->facts.text.other;
    s->final |= s->facts.final;
    return t->translator->event(t->state, &t->call, ev->data, &sink, &t->err);
}

enum status translating_stream(struct translating *t, struct slice bytes, size_t step)
{
    struct translate_sink sink = {write_event, t};
    struct streaming s = {.t = t};
    enum status st = ST_OK;
    struct sse sse;

    t->out.n = 0;
    sse_init(&sse);
    for (size_t at = 0; at < bytes.n && st == ST_OK; at += step) {
        size_t n = bytes.n - at < step ? bytes.n - at : step;
        char *copy = malloc(n);

        if (copy == NULL)
            abort();
        memcpy(copy, bytes.p + at, n);
        st = sse_feed(&sse, (struct slice){copy, n}, take_event, &s);
        free(copy);
    }
    if (st == ST_OK)
        st = sse_end(&sse, take_event, &s);
    sse_fini(&sse);
    if (st == ST_OK && !s.final)
        return err_set(&t->err, ST_UPSTREAM, "truncated");
    if (st == ST_OK)
        st = t->translator->end(t->state, &t->call, TRANSLATE_WHOLE, &t->usage, &sink, &t->err);
    return as_text(t, st);
}

/* ---- comparing ----------------------------------------------------------------------------------------------------
 */

struct slice fixture(const char *path)
{
    char name[512];
    char *text;
    long n;
    FILE *f;

    snprintf(name, sizeof(name), "tests/fixtures/%s", path);
    f = fopen(name, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0) {
        fprintf(stderr, "no fixture %s\n", name);
        abort();
    }
    rewind(f);
    text = malloc((size_t)n + 1);
    if (text == NULL || fread(text, 1, (size_t)n, f) != (size_t)n)
        abort();
    text[n] = '\0';
    fclose(f);
    return (struct slice){text, (size_t)n};
}

struct slice quoted(const char *text)
{
    size_t n = strlen(text);
    char *copy = malloc(n + 1);

    if (copy == NULL)
        abort();
    for (size_t i = 0; i <= n; i++)
        copy[i] = text[i];
    for (size_t i = 0; i < n; i++)
        if (copy[i] == '\'')
            copy[i] = '"';
    return (struct slice){copy, n};
}

static bool alike(yyjson_val *a, yyjson_val *b);

static bool same_text(yyjson_val *a, yyjson_val *b)
{
    bool same = yyjson_equals_strn(a, yyjson_get_str(b), yyjson_get_len(b));

    if (!same && yyjson_get_len(a) > 0 && yyjson_get_str(a)[0] == '{')
        return json_alike((struct slice){yyjson_get_str(a), yyjson_get_len(a)},
                          (struct slice){yyjson_get_str(b), yyjson_get_len(b)});
    return same;
}

static bool same_object(yyjson_val *a, yyjson_val *b)
{
    yyjson_val *key, *value;
    size_t i, n;

    if (yyjson_obj_size(a) != yyjson_obj_size(b))
        return false;
    yyjson_obj_foreach(a, i, n, key, value)
    {
        if (!alike(value, yyjson_obj_getn(b, yyjson_get_str(key), yyjson_get_len(key))))
            return false;
    }
    return true;
}

static bool alike(yyjson_val *a, yyjson_val *b)
{
    yyjson_val *item;
    size_t i, n;

    if (b == NULL)
        return false;
    if (yyjson_is_num(a) && yyjson_is_num(b)) {
        double x = yyjson_get_num(a), y = yyjson_get_num(b);

        return !(x < y) && !(x > y);
    }
    if (yyjson_get_type(a) != yyjson_get_type(b))
        return false;
    if (yyjson_is_obj(a))
        return same_object(a, b);
    if (yyjson_is_str(a))
        return same_text(a, b);
    if (!yyjson_is_arr(a))
        return yyjson_equals(a, b);
    if (yyjson_arr_size(a) != yyjson_arr_size(b))
        return false;
    yyjson_arr_foreach(a, i, n, item)
    {
        if (!alike(item, yyjson_arr_get(b, i)))
            return false;
    }
    return true;
}

bool json_alike(struct slice a, struct slice b)
{
    yyjson_doc *x = yyjson_read(a.p, a.n, 0), *y = yyjson_read(b.p, b.n, 0);
    bool same = x != NULL && y != NULL && alike(yyjson_doc_get_root(x), yyjson_doc_get_root(y));

    yyjson_doc_free(x);
    yyjson_doc_free(y);
    return same;
}

/* The next event of a well-formed stream (LF only): its name and its data, which is one line. */
static bool next_event(struct slice *rest, struct slice *name, struct slice *data)
{
    *name = *data = (struct slice){NULL, 0};
    while (rest->n > 0) {
        const char *end = memchr(rest->p, '\n', rest->n);
        size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n;
        struct slice line = {rest->p, n};

        rest->p += n < rest->n ? n + 1 : n;
        rest->n -= n < rest->n ? n + 1 : n;
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n == 0 && data->n > 0)
            return true;
        if (line.n > 7 && memcmp(line.p, "event: ", 7) == 0)
            *name = (struct slice){line.p + 7, line.n - 7};
        if (line.n > 6 && memcmp(line.p, "data: ", 6) == 0)
            *data = (struct slice){line.p + 6, line.n - 6};
    }
    return data->n > 0;
}

bool sse_alike(struct slice a, struct slice b, size_t *ret_first)
{
    struct slice name_a, data_a, name_b, data_b;

    for (*ret_first = 0;; (*ret_first)++) {
        bool more_a = next_event(&a, &name_a, &data_a), more_b = next_event(&b, &name_b, &data_b);

        if (!more_a || !more_b)
            return more_a == more_b;
        if (!slice_eq(name_a, name_b))
            return false;
        if (!slice_eq(data_a, data_b) && !json_alike(data_a, data_b))
            return false;
    }
}
