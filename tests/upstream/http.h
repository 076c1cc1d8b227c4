/*
 * The receiving half of HTTP/1.x: one request head and one body. Strict where a proxy bug would
 * hide (two lengths, length with chunks, bad digits are refused); knows nothing of sockets.
 */
#ifndef UPSTREAM_HTTP_H
#define UPSTREAM_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Places in the head, as offsets: the buffer may move while the body arrives. */
struct http_place {
    size_t at;
    size_t n;
};

struct http_head {
    size_t head_n; /* bytes, with the empty line */
    struct http_place method;
    struct http_place path; /* without the query */
    struct http_place authorization;
    struct http_place client_request_id;
    int minor;
    int64_t content_n; /* -1 = not given */
    bool chunked;
    bool keep_alive;
    bool expects_continue;
};

enum http_chunk_state {
    HTTP_CHUNK_SIZE,
    HTTP_CHUNK_EXTENSION,
    HTTP_CHUNK_BYTES,
    HTTP_CHUNK_END,
    HTTP_CHUNK_TRAILER,
    HTTP_CHUNK_TRAILER_LINE
};

struct http_chunks {
    enum http_chunk_state state;
    size_t left;
    int digits;
};

/* Returns 1 and fills h when the head is whole, 0 when more bytes are needed, -1 when malformed. */
int http_parse_head(const char *p, size_t n, struct http_head *h);

/*
 * Decodes chunks in place: reads p[*from..n), appends body bytes at p[*to] (to <= from). Same
 * results as above; after 1, *from is the first byte after the body.
 */
int http_dechunk(struct http_chunks *d, char *p, size_t n, size_t *from, size_t *to);

#endif
