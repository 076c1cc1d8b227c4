/* The first byte says where the rest is cut. Whatever the cut: the same events, and together they are the stream. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "providersvc/dialects/dialect.h"
#include "providersvc/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash;
    size_t n, bytes;
};

static void mix(struct seen *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->hash = (s->hash ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
    s->hash = (s->hash ^ n) * UINT64_C(1099511628211);
}

static enum status note(void *ctx, const struct sse_event *ev)
{
    struct seen *s = ctx;
    struct facts facts;

    s->n++;
    s->bytes += ev->raw.n;
    mix(s, ev->raw.p, ev->raw.n);
    mix(s, ev->data.p, ev->data.n);
    mix(s, ev->has_field ? "f" : "n", 1);
    mix(s, ev->one_line ? "1" : "m", 1);
    (void)dialect_chat.read(ev->data, NULL, NULL, &facts);
    return ST_OK;
}

static struct seen run(const char *p, size_t n, size_t step)
{
    struct seen s = {0};
    struct sse sse;

    sse_init(&sse);
    for (size_t at = 0; at < n; at += step) {
        size_t m = n - at < step ? n - at : step;
        char *copy = malloc(m);

        if (copy == NULL)
            abort();
        memcpy(copy, p + at, m);
        if (sse_feed(&sse, (struct slice){copy, m}, note, &s) != ST_OK)
            abort();
        free(copy);
    }
    if (sse_end(&sse, note, &s) != ST_OK)
        abort();
    sse_fini(&sse);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data + 1;
    struct seen whole, cut;

    if (size < 2)
        return 0;
    whole = run(p, size - 1, size);
    cut = run(p, size - 1, (size_t)data[0] + 1);
    if (whole.hash != cut.hash || whole.n != cut.n || whole.bytes != size - 1)
        abort();
    return 0;
}
