/* Any bytes as a file for a batch: the same result whole and cut in two anywhere; what it is worth lies within what the
 * wire takes. The first byte says where it is cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/batch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define MEMORY (1u << 20)
#define LINE_MAX 1000u

struct file {
    struct arena arena;
    struct batch_file b;
};

static void read_cut(struct file *f, struct slice s, size_t cut)
{
    static _Atomic uint64_t held;

    arena_init(&f->arena, MEMORY);
    batch_file_begin(&f->b, &f->arena, LINE_MAX, &held);
    batch_file_feed(&f->b, (struct slice){s.p, cut});
    batch_file_feed(&f->b, (struct slice){s.p + cut, s.n - cut});
    batch_file_end(&f->b);
    if (held)
        abort();
}

static void check(const struct batch_file *b)
{
    const struct batch_worth *w = &b->worth;
    struct buf out;

    if (b->err.status != ST_OK) {
        if (w->requests || b->named.n_objects || strcmp(b->err.param, "file") != 0 || !b->err.text[0])
            abort(); /* an error says what is wrong */
        return;
    }
    if (!w->requests || w->requests > BATCH_LINES_MAX || b->named.n_objects > CALL_OBJECTS_MAX)
        abort();
    buf_init(&out, MEMORY);
    if (wire_encode(&batch_worth_desc, w, &out, NULL) != ST_OK)
        abort();
    buf_fini(&out);
}

static void check_same(const struct batch_file *a, const struct batch_file *b)
{
    if (a->err.status != b->err.status || strcmp(a->err.text, b->err.text) != 0)
        abort();
    if (a->worth.requests != b->worth.requests || a->worth.prompt_tokens != b->worth.prompt_tokens ||
        a->worth.output_tokens != b->worth.output_tokens || a->worth.unlimited != b->worth.unlimited ||
        a->worth.contexts != b->worth.contexts || a->named.n_objects != b->named.n_objects ||
        !slice_eq(a->worth.model, b->worth.model))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *copy = malloc(n ? n : 1);
    struct slice s = {copy, n ? n - 1 : 0};
    struct file whole, cut;

    if (!copy)
        abort();
    if (n > 1)
        memcpy(copy, bytes + 1, n - 1);
    read_cut(&whole, s, s.n);
    read_cut(&cut, s, n > 1 ? bytes[0] % n : 0);
    check(&whole.b);
    check_same(&whole.b, &cut.b);
    arena_fini(&whole.arena);
    arena_fini(&cut.arena);
    free(copy);
    return 0;
}
