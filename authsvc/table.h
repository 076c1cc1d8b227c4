/*
 * An open-addressing hash table of objects that begin with a table_node and are found by bytes. It grows by itself up
 * to a maximum given at the start. Hashing is keyed (SipHash, a random key per table), because e-mail addresses and
 * client addresses are chosen by strangers; keys are compared in constant time, because API key digests are among them.
 * The table owns its slots, never the objects. No locks: the owner has one.
 */
#ifndef AUTHSVC_TABLE_H
#define AUTHSVC_TABLE_H

#include "proto/status.h"
#include "proto/wire.h"

#define TABLE_SEED 16

/* First member of what is stored. key must live as long as the object is in the table. */
struct table_node {
    struct slice key;
    uint64_t hash; /* the table's */
};

struct table {
    struct table_node **slots;
    size_t n, cap, max;
    unsigned char seed[TABLE_SEED];
};

void table_init(struct table *t, size_t max); /* allocates nothing yet */
void table_fini(struct table *t); /* frees the slots; the objects must be gone or belong elsewhere */
struct table_node *table_find(const struct table *t, struct slice key);
/* The key must not be there yet. ST_UNAVAILABLE when max are in, ST_NO_MEMORY. */
enum status table_add(struct table *t, struct table_node *node);
void table_remove(struct table *t, struct table_node *node); /* must be in */
/* Puts node where old, of an equal key, is. Cannot fail. */
void table_replace(struct table *t, struct table_node *old, struct table_node *node);
int table_order(struct slice a, struct slice b); /* of keys, by their bytes: below, at or above 0 */
/* The next object from slot *cursor on, which is moved past it; NULL at the end. Removing the object just returned
 * while going through may show another object twice or, at the wrap, once a round later; none is lost. */
struct table_node *table_next(const struct table *t, size_t *cursor);

#endif
