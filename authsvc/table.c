#include "authsvc/table.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define TABLE_CAP_MIN 64
_Static_assert(TABLE_SEED == crypto_shorthash_KEYBYTES, "the seed is a shorthash key");

void table_init(struct table *t, size_t max)
{
    memset(t, 0, sizeof(*t));
    t->max = max;
    randombytes_buf(t->seed, sizeof(t->seed));
}

void table_fini(struct table *t)
{
    free(t->slots);
    t->slots = NULL;
    t->n = t->cap = 0;
}

static uint64_t hash_of(const struct table *t, struct slice key)
{
    unsigned char out[crypto_shorthash_BYTES];
    uint64_t h;

    crypto_shorthash(out, (const unsigned char *)(key.p ? key.p : ""), key.n, t->seed);
    memcpy(&h, out, sizeof(h));
    return h;
}

static struct table_node **slot_of(const struct table *t, struct slice key, uint64_t hash)
{
    size_t i = hash & (t->cap - 1);

    while (t->slots[i]) {
        const struct table_node *node = t->slots[i];

        if (node->hash == hash && node->key.n == key.n && !sodium_memcmp(node->key.p, key.p, key.n))
            break;
        i = (i + 1) & (t->cap - 1);
    }
    return &t->slots[i];
}

struct table_node *table_find(const struct table *t, struct slice key)
{
    return t->n ? *slot_of(t, key, hash_of(t, key)) : NULL;
}

/* At most two thirds full, so that a search ends soon. */
static enum status grow(struct table *t)
{
    struct table bigger = *t;
    size_t i;

    if (t->cap && (t->n + 1) * 3 <= t->cap * 2)
        return ST_OK;
    bigger.cap = t->cap ? t->cap * 2 : TABLE_CAP_MIN;
    bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
    if (!bigger.slots)
        return ST_NO_MEMORY;
    for (i = 0; i < t->cap; i++)
        if (t->slots[i])
            *slot_of(&bigger, t->slots[i]->key, t->slots[i]->hash) = t->slots[i];
    free(t->slots);
    *t = bigger;
    return ST_OK;
}

enum status table_add(struct table *t, struct table_node *node)
{
    enum status st;

    if (t->n >= t->max)
        return ST_UNAVAILABLE;
    st = grow(t);
    if (st != ST_OK)
        return st;
    node->hash = hash_of(t, node->key);
    *slot_of(t, node->key, node->hash) = node;
    t->n++;
    return ST_OK;
}

/* Closes the hole: everything after it that would not be found any more moves back. No tombstones, so no decay. */
void table_remove(struct table *t, struct table_node *node)
{
    size_t mask = t->cap - 1;
    size_t hole = (size_t)(slot_of(t, node->key, node->hash) - t->slots);
    size_t i = hole;

    for (;;) {
        size_t home;

        i = (i + 1) & mask;
        if (!t->slots[i])
            break;
        home = t->slots[i]->hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole] = NULL;
    t->n--;
}

void table_replace(struct table *t, struct table_node *old, struct table_node *node)
{
    struct table_node **slot = slot_of(t, old->key, old->hash);

    node->hash = old->hash;
    *slot = node;
}

int table_order(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    if (order)
        return order;
    return a.n < b.n ? -1 : a.n > b.n;
}

struct table_node *table_next(const struct table *t, size_t *cursor)
{
    while (*cursor < t->cap) {
        struct table_node *node = t->slots[(*cursor)++];

        if (node)
            return node;
    }
    return NULL;
}
