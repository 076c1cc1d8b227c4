#include "authsvc/holds.h"

#include <stdlib.h>
#include <string.h>

void holds_init(struct holds *h)
{
    memset(h, 0, sizeof(*h));
    table_init(&h->open, HOLDS_MAX);
    table_init(&h->ended, HOLDS_MEMORY);
}

static void forget_first(struct holds *h)
{
    struct hold_memory *m = h->first;

    h->first = m->next;
    if (!h->first)
        h->last = NULL;
    table_remove(&h->ended, &m->node);
    free(m);
}

void holds_fini(struct holds *h)
{
    while (h->oldest)
        holds_remove(h, h->oldest);
    while (h->first)
        forget_first(h);
    table_fini(&h->open);
    table_fini(&h->ended);
}

static struct slice put(char **at, struct slice s)
{
    struct slice kept = {*at, s.n};

    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return kept;
}

static size_t hold_size(struct slice request_id, const struct hold *from)
{
    size_t n = sizeof(*from) + from->n_routes * sizeof(*from->routes), i;

    for (i = 0; i < from->n_routes && !from->model; i++)
        n += from->routes[i].provider.n + from->routes[i].model.n;
    return n + request_id.n + from->user_id.n + from->key_id.n + from->endpoint.n;
}

static void keep_routes(struct hold *hold, const struct hold *from, char **at)
{
    size_t i;

    if (hold->model)
        hold->model->refs++;
    for (i = 0; i < hold->n_routes; i++) {
        struct proj_route *to = &hold->routes[i];

        *to = from->routes[i];
        if (!hold->model) {
            to->provider = put(at, to->provider);
            to->model = put(at, to->model);
        }
        if (to->price)
            to->price->refs++;
    }
}

struct hold *hold_new(struct slice request_id, const struct hold *from)
{
    struct hold *hold = malloc(hold_size(request_id, from));
    char *at;

    if (!hold)
        return NULL;
    *hold = *from;
    hold->routes = (struct proj_route *)(void *)(hold + 1);
    at = (char *)(hold->routes + hold->n_routes);
    hold->node.key = put(&at, request_id);
    hold->user_id = put(&at, from->user_id);
    hold->key_id = put(&at, from->key_id);
    hold->endpoint = put(&at, from->endpoint);
    keep_routes(hold, from, &at);
    return hold;
}

void hold_free(struct hold *hold)
{
    size_t i;

    if (!hold)
        return;
    for (i = 0; i < hold->n_routes; i++)
        proj_price_unref(hold->routes[i].price);
    proj_model_unref(hold->model);
    free(hold);
}

static void count(struct holds *h, const struct hold *hold, int64_t nano)
{
    h->total_nano += nano;
    if (hold->asserted)
        h->asserted_nano += nano;
}

enum status holds_join(struct holds *h, struct hold *hold)
{
    enum status st = table_add(&h->open, &hold->node);

    if (st != ST_OK) {
        hold_free(hold);
        return st;
    }
    hold->older = h->newest;
    hold->newer = NULL;
    if (h->newest)
        h->newest->newer = hold;
    else
        h->oldest = hold;
    h->newest = hold;
    h->asserted += hold->asserted;
    count(h, hold, hold->amount_nano);
    return ST_OK;
}

enum status holds_add(struct holds *h, struct slice request_id, const struct hold *from)
{
    struct hold *hold = hold_new(request_id, from);

    return hold ? holds_join(h, hold) : ST_NO_MEMORY;
}

struct hold *holds_find(const struct holds *h, struct slice request_id)
{
    return (struct hold *)(void *)table_find(&h->open, request_id);
}

void holds_remove(struct holds *h, struct hold *hold)
{
    table_remove(&h->open, &hold->node);
    if (hold->older)
        hold->older->newer = hold->newer;
    else
        h->oldest = hold->newer;
    if (hold->newer)
        hold->newer->older = hold->older;
    else
        h->newest = hold->older;
    h->asserted -= hold->asserted;
    count(h, hold, -hold->amount_nano);
    hold_free(hold);
}

void holds_grow(struct holds *h, struct hold *hold, int64_t by_nano)
{
    hold->amount_nano += by_nano;
    count(h, hold, by_nano);
}

struct hold *holds_expired(struct holds *h, uint64_t now_ms, size_t *budget)
{
    while (*budget > 0 && h->open.n) {
        size_t before = h->cursor;
        struct hold *hold = (struct hold *)(void *)table_next(&h->open, &h->cursor);
        size_t seen = h->cursor - before + 1;

        *budget -= seen < *budget ? seen : *budget;
        if (!hold) {
            h->cursor = 0;
            return NULL;
        }
        if (hold->expires_ms <= now_ms) {
            h->cursor--; /* removing it moves another one here */
            return hold;
        }
    }
    return NULL;
}

void holds_remember(struct holds *h, struct slice request_id, const struct err *err, const struct rate_limits *limits)
{
    struct hold_refusal *refusal;
    struct hold_memory *m;
    char *at;

    if (table_find(&h->ended, request_id))
        return;
    if (h->ended.n >= HOLDS_MEMORY)
        forget_first(h);
    m = calloc(1, sizeof(*m) + (err ? sizeof(*refusal) : 0) + request_id.n);
    if (!m)
        return;
    at = (char *)(m + 1);
    if (err) {
        refusal = (struct hold_refusal *)(void *)at;
        refusal->err = *err;
        if (limits)
            refusal->limits = *limits;
        m->refusal = refusal;
        at += sizeof(*refusal);
    }
    m->node.key = put(&at, request_id);
    if (table_add(&h->ended, &m->node) != ST_OK) {
        free(m);
        return;
    }
    if (h->last)
        h->last->next = m;
    else
        h->first = m;
    h->last = m;
}

const struct hold_memory *holds_ended(const struct holds *h, struct slice request_id)
{
    return (const struct hold_memory *)(const void *)table_find(&h->ended, request_id);
}
