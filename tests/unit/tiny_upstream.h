/* An HTTP server for unit tests of who calls it: one thread a connection, and a script that says what goes back, byte
 * for byte. */
#ifndef TESTS_UNIT_TINY_UPSTREAM_H
#define TESTS_UNIT_TINY_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

#define TINY_REQUEST_MAX (1024 * 1024)

struct tiny_request {
    char *head;
    size_t head_n;
    char *body;
    size_t body_n;
    unsigned number; /* of all requests, from 1 */
};

enum tiny_next { TINY_KEEP, TINY_CLOSE, TINY_RESET };
typedef enum tiny_next tiny_script(int fd, const struct tiny_request *request, void *ctx);

struct tiny;
struct tiny *tiny_start(tiny_script *script, void *ctx);
int tiny_port(const struct tiny *t);
unsigned tiny_requests(struct tiny *t);
unsigned tiny_connections(struct tiny *t);
unsigned tiny_busy(struct tiny *t); /* connections whose script runs now */
unsigned tiny_gone(struct tiny *t); /* connections that the other end has closed */
size_t tiny_last_body(struct tiny *t, char *to, size_t size);
size_t tiny_last_head(struct tiny *t, char *to, size_t size);
void tiny_stop(struct tiny *t);

/* For scripts. */
bool tiny_send(int fd, const char *bytes, size_t n);
bool tiny_answer(int fd, int status, const char *content_type, const char *body); /* with a length */
bool tiny_sse_head(int fd); /* chunked */
bool tiny_sse(int fd, const char *bytes); /* one chunk */
bool tiny_sse_end(int fd);
bool tiny_wait_gone(int fd, int ms); /* true: the other end has closed */

#endif
