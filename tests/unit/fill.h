/* Fills any declared message from its declaration, so that tests cover new messages unasked. */
#ifndef TESTS_UNIT_FILL_H
#define TESTS_UNIT_FILL_H

#include "proto/wire.h"
#include "services/arena.h"

#define FILL_ITEMS 2 /* of a list, unless its limit is less */

enum fill_how {
    FILL_SMALL, /* every field, a few bytes each: what the golden files hold. Never change it. */
    FILL_FULL, /* every field at its limit, lists with FILL_ITEMS full items */
};

/* msg: zeroed, desc->size bytes. Aborts when the arena is too small. */
void fill_message(const struct wire_desc *desc, void *msg, struct arena *a, enum fill_how how);
/* count zeroed items in the list or strings field f of msg. */
void fill_items(const struct wire_field *f, void *msg, size_t count, struct arena *a);
/* n bytes that end where their heap block ends, so that the address sanitizer sees one read too far, also of none. */
char *exact_copy(const char *bytes, size_t n);
void exact_free(char *copy);
void *fill_alloc(struct arena *a, size_t size); /* aborts instead of NULL */

#endif
