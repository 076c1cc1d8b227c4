/* Any bytes as a multipart body: the same result whole and cut in two anywhere; what is kept lies where it is said to.
 * The first byte says where it is cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define TYPE "multipart/form-data; boundary=b"

static enum status read_cut(struct multipart *m, struct slice s, size_t cut)
{
    enum status st = multipart_begin(m, slice_of(TYPE), true, NULL);

    if (st == ST_OK)
        st = multipart_feed(m, (struct slice){s.p, cut}, NULL);
    if (st == ST_OK)
        st = multipart_feed(m, (struct slice){s.p + cut, s.n - cut}, NULL);
    return st == ST_OK ? multipart_end(m, NULL) : st;
}

static void check_kept(const struct multipart *m, struct slice s)
{
    int i;

    if (m->form.bytes != s.n)
        abort();
    for (i = 0; i < FORM_PARTS_N; i++) {
        if (!m->form.part[i].seen)
            continue;
        if (m->form.part[i].at + m->form.part[i].bytes > s.n || m->form.part[i].kept.n > m->form.part[i].bytes)
            abort();
        if (m->form.part[i].kept.n &&
            memcmp(s.p + m->form.part[i].at, m->form.part[i].kept.p, m->form.part[i].kept.n) != 0)
            abort();
    }
}

static void check_same(const struct multipart *a, const struct multipart *b)
{
    int i;

    if (a->form.bytes != b->form.bytes || a->form.files != b->form.files || a->form.file_bytes != b->form.file_bytes)
        abort();
    for (i = 0; i < FORM_PARTS_N; i++)
        if (a->form.part[i].seen != b->form.part[i].seen || a->form.part[i].at != b->form.part[i].at ||
            !slice_eq(a->form.part[i].kept, b->form.part[i].kept))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct multipart *m = malloc(2 * sizeof(*m));
    char *copy = malloc(n ? n : 1);
    struct slice s = {copy, n ? n - 1 : 0};
    uint8_t digest[2][32];
    enum status st;
    size_t cut;

    if (!m || !copy)
        abort();
    if (n > 1)
        memcpy(copy, bytes + 1, n - 1);
    cut = n > 1 ? bytes[0] % n : 0;
    st = read_cut(&m[0], s, s.n);
    if (read_cut(&m[1], s, cut) != st)
        abort();
    if (st == ST_OK) {
        check_kept(&m[0], s);
        check_same(&m[0], &m[1]);
        multipart_digest(&m[0], digest[0]);
        multipart_digest(&m[1], digest[1]);
        if (memcmp(digest[0], digest[1], sizeof(digest[0])) != 0)
            abort();
    }
    /* a type from outside, too */
    if (multipart_is(s))
        (void)multipart_begin(&m[0], s, false, NULL);
    free(m);
    free(copy);
    return 0;
}
