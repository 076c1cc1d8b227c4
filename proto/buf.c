#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

#define BUF_DIGITS_MAX 20 /* of a 64-bit number */
#define BUF_FIRST 256 /* bytes of the first allocation, if the ceiling is not lower */

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

static enum status grow(struct buf *b, size_t need)
{
    size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
    char *p;

    while (cap < need)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    if (cap > b->max)
        cap = b->max;
    p = realloc(b->p, cap);
    if (!p)
        return ST_NO_MEMORY;
    b->p = p;
    b->cap = cap;
    return ST_OK;
}

enum status buf_reserve(struct buf *b, size_t n)
{
    if (n > b->max || b->n > b->max - n)
        return ST_TOO_LARGE;
    if (b->n + n <= b->cap)
        return ST_OK;
    return grow(b, b->n + n);
}

enum status buf_add(struct buf *b, const void *p, size_t n)
{
    enum status st;

    if (n == 0)
        return ST_OK;
    st = buf_reserve(b, n);
    if (st != ST_OK)
        return st;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return ST_OK;
}

enum status buf_addc(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

enum status buf_addu(struct buf *b, uint64_t number)
{
    char text[BUF_DIGITS_MAX];
    size_t at = sizeof(text);

    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return buf_add(b, text + at, sizeof(text) - at);
}

enum status buf_addf(struct buf *b, const char *format, ...)
{
    char small[256];
    va_list args, again;
    enum status st;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (n < 0) {
        st = ST_INTERNAL;
    } else if ((size_t)n < sizeof(small)) {
        st = buf_add(b, small, (size_t)n);
    } else {
        char *whole =
            malloc((size_t)n + 1); /* vsnprintf wants room for a NUL that the buffer's ceiling need not have */

        st = whole ? ST_OK : ST_NO_MEMORY;
        if (whole) {
            (void)vsnprintf(whole, (size_t)n + 1, format, again);
            st = buf_add(b, whole, (size_t)n);
        }
        free(whole);
    }
    va_end(again);
    return st;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->n) {
        b->n = 0;
        return;
    }
    if (n > 0)
        memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}
