/*
 * A growing byte buffer with a maximum given when it is made. An addition that does not fit sets
 * `failed` and changes nothing else, so that a run of additions is checked once, at its end.
 */
#ifndef UPSTREAM_BUF_H
#define UPSTREAM_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *p;
    size_t n;
    size_t cap;
    size_t max;
    bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
bool buf_reserve(struct buf *b, size_t extra);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Removes n bytes from the front. */
void buf_drop(struct buf *b, size_t n);
/* Empties it; storage larger than keep bytes is given back. */
void buf_clear(struct buf *b, size_t keep);

#endif
