/*
 * The web console: what stands in console/, made into a table by gateway/console.py when the gateway is built. Whatever
 * a client asks for is looked up there by its name and nowhere else.
 */
#ifndef GATEWAY_CONSOLE_H
#define GATEWAY_CONSOLE_H

#include <stddef.h>

/* One representation of a file. */
struct console_bytes {
    const unsigned char *bytes; /* NULL = there is none */
    size_t size;
    const char *etag; /* quoted; of these very bytes */
};

struct console_file {
    const char *name; /* from console/ on */
    const char *type; /* as Content-Type has it */
    struct console_bytes plain, gzip; /* gzip: where it is smaller */
};

extern const struct console_file console_files[];
extern const size_t n_console_files;

#endif
