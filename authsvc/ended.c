#include "authsvc/ended.h"

#include <stdlib.h>
#include <string.h>

#include "authsvc/tokens.h"

struct ended_session {
    struct table_node node;
    struct ended_session *next; /* ended later */
    uint64_t until_ms;
    char id[];
};

void ended_init(struct ended *e)
{
    memset(e, 0, sizeof(*e));
    pthread_mutex_init(&e->lock, NULL);
    table_init(&e->table, ENDED_MAX);
}

static void drop_first(struct ended *e)
{
    struct ended_session *s = e->first;

    e->first = s->next;
    if (!e->first)
        e->last = NULL;
    table_remove(&e->table, &s->node);
    free(s);
}

void ended_fini(struct ended *e)
{
    while (e->first)
        drop_first(e);
    table_fini(&e->table);
    pthread_mutex_destroy(&e->lock);
}

static void add(struct ended *e, struct slice id, uint64_t now_ms)
{
    struct ended_session *s;

    if (id.n == 0 || table_find(&e->table, id))
        return;
    if (e->table.n >= ENDED_MAX)
        drop_first(e);
    s = calloc(1, sizeof(*s) + id.n);
    if (!s)
        return;
    memcpy(s->id, id.p, id.n);
    s->node.key = (struct slice){s->id, id.n};
    s->until_ms = now_ms + TOKENS_ACCESS_S * 1000;
    if (table_add(&e->table, &s->node) != ST_OK) {
        free(s);
        return;
    }
    if (e->last)
        e->last->next = s;
    else
        e->first = s;
    e->last = s;
}

void ended_add(struct ended *e, struct slice session_id, uint64_t now_ms)
{
    pthread_mutex_lock(&e->lock);
    add(e, session_id, now_ms);
    pthread_mutex_unlock(&e->lock);
}

bool ended_has(struct ended *e, struct slice session_id)
{
    bool has;

    pthread_mutex_lock(&e->lock);
    has = table_find(&e->table, session_id) != NULL;
    pthread_mutex_unlock(&e->lock);
    return has;
}

void ended_expire(struct ended *e, uint64_t now_ms)
{
    pthread_mutex_lock(&e->lock);
    while (e->first && e->first->until_ms <= now_ms)
        drop_first(e);
    pthread_mutex_unlock(&e->lock);
}
