#include "services/bus/exchange_client.h"

#include <stdlib.h>

void calls_init(struct calls *t)
{
    unsigned i;

    for (i = 0; i < CALLS_SHARDS; i++)
        pthread_mutex_init(&t->shard[i].lock, NULL);
    pthread_mutex_init(&t->grow_lock, NULL);
}

void calls_fini(struct calls *t)
{
    unsigned i;

    for (i = 0; i < t->n_chunks; i++)
        free(atomic_load(&t->chunks[i]));
    for (i = 0; i < CALLS_SHARDS; i++)
        pthread_mutex_destroy(&t->shard[i].lock);
    pthread_mutex_destroy(&t->grow_lock);
}

static struct xcall *pop(struct calls *t, unsigned shard)
{
    struct xcall *x;

    pthread_mutex_lock(&t->shard[shard].lock);
    x = t->shard[shard].free;
    if (x)
        t->shard[shard].free = x->next;
    pthread_mutex_unlock(&t->shard[shard].lock);
    return x;
}

static void push(struct calls *t, struct xcall *x)
{
    pthread_mutex_lock(&t->shard[x->shard].lock);
    x->next = t->shard[x->shard].free;
    t->shard[x->shard].free = x;
    pthread_mutex_unlock(&t->shard[x->shard].lock);
}

static bool grow(struct calls *t, unsigned shard)
{
    struct xcall *chunk = NULL;
    uint32_t i;

    pthread_mutex_lock(&t->grow_lock);
    if (t->n_chunks < XCHG_CALLS_MAX / CALLS_CHUNK)
        chunk = calloc(CALLS_CHUNK, sizeof(*chunk));
    for (i = 0; chunk && i < CALLS_CHUNK; i++) {
        chunk[i].slot = t->n_chunks * CALLS_CHUNK + i;
        chunk[i].shard = shard;
    }
    if (chunk)
        atomic_store(&t->chunks[t->n_chunks++], chunk);
    pthread_mutex_unlock(&t->grow_lock);
    for (i = 0; chunk && i < CALLS_CHUNK; i++)
        push(t, &chunk[i]);
    return chunk != NULL;
}

struct xcall *calls_get(struct calls *t)
{
    unsigned shard = atomic_fetch_add_explicit(&t->turn, 1, memory_order_relaxed) % CALLS_SHARDS;
    struct xcall *x = pop(t, shard);
    unsigned i;

    if (!x && grow(t, shard))
        x = pop(t, shard);
    for (i = 1; !x && i < CALLS_SHARDS; i++)
        x = pop(t, (shard + i) % CALLS_SHARDS);
    if (x)
        x->generation++;
    return x;
}

void calls_put(struct calls *t, struct xcall *x)
{
    push(t, x);
}

/* The slot is in the lower half, so calls that are open at the same time differ there: the server hashes by it. */
uint64_t calls_id(const struct xcall *x)
{
    return (uint64_t)x->generation << 32 | (x->slot + 1u);
}

struct xcall *calls_find(struct calls *t, uint64_t id)
{
    uint64_t slot = (id & 0xffffffffu) - 1;
    struct xcall *chunk;

    if (id == 0 || slot >= XCHG_CALLS_MAX)
        return NULL;
    chunk = atomic_load(&t->chunks[slot / CALLS_CHUNK]);
    if (!chunk || atomic_load(&chunk[slot % CALLS_CHUNK].id) != id)
        return NULL;
    return &chunk[slot % CALLS_CHUNK];
}
