/*
 * Memory for one piece of work, given back all at once. Not thread-safe: one owner at a time.
 * An arena has a ceiling; beyond it, and when the system has no memory, arena_alloc returns NULL.
 */
#ifndef SERVICES_ARENA_H
#define SERVICES_ARENA_H

#include <stddef.h>

#include "proto/wire.h"

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t used, max;
};

void arena_init(struct arena *a, size_t max_bytes); /* allocates nothing yet */
void arena_fini(struct arena *a); /* frees everything; safe on a zeroed arena */
void arena_reset(struct arena *a); /* forgets everything, keeps one small chunk for the next piece of work */
void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned for any type; NULL when there is none */
char *arena_strndup(struct arena *a, const char *p, size_t n); /* with a closing NUL */
struct slice arena_copy(struct arena *a, struct slice s, enum status *ret_st); /* ret_st: ST_OK or ST_NO_MEMORY */
struct wire_alloc arena_wire(struct arena *a); /* for wire_decode */
/* *to, a struct of desc, becomes a copy of *from that borrows nothing: its texts and lists are the arena's. ST_OK or
 * ST_NO_MEMORY. */
enum status arena_copy_message(struct arena *a, const struct wire_desc *desc, const void *from, void *to);

#endif
