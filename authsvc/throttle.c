#include "authsvc/throttle.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define NETWORK_BYTES 8
#define KEY_MAX (NETWORK_BYTES + LIMIT_EMAIL)

struct throttle_entry {
    struct table_node node;
    struct throttle_entry *older, *newer;
    uint64_t began_ms;
    unsigned failures;
    char key[KEY_MAX];
};

void throttle_init(struct throttle *t)
{
    memset(t, 0, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    table_init(&t->table, THROTTLE_ENTRIES);
}

static void drop(struct throttle *t, struct throttle_entry *e)
{
    if (e->older)
        e->older->newer = e->newer;
    else
        t->first = e->newer;
    if (e->newer)
        e->newer->older = e->older;
    else
        t->last = e->older;
    table_remove(&t->table, &e->node);
    free(e);
}

void throttle_fini(struct throttle *t)
{
    while (t->first)
        drop(t, t->first);
    table_fini(&t->table);
    pthread_mutex_destroy(&t->lock);
}

/* IPv4 as its four bytes, also when mapped into IPv6; IPv6 as the first eight; anything else shares one network. */
static void network_of(struct slice ip, char to[NETWORK_BYTES])
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    struct in_addr v4;

    memset(to, 0, NETWORK_BYTES);
    if (!slice_copy(ip, text, sizeof(text)))
        return;
    if (inet_pton(AF_INET, text, &v4) == 1)
        memcpy(to, &v4, sizeof(v4));
    else if (inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_V4MAPPED(&v6))
        memcpy(to, &v6.s6_addr[12], 4);
    else if (inet_pton(AF_INET6, text, &v6) == 1)
        memcpy(to, &v6, NETWORK_BYTES);
}

/* account empty = the network over all accounts */
static struct slice key_of(struct slice account, struct slice ip, char buf[KEY_MAX])
{
    size_t n = account.n > LIMIT_EMAIL ? LIMIT_EMAIL : account.n;

    network_of(ip, buf);
    if (n)
        memcpy(buf + NETWORK_BYTES, account.p, n);
    return (struct slice){buf, NETWORK_BYTES + n};
}

static struct throttle_entry *find(struct throttle *t, struct slice key, uint64_t now_ms)
{
    struct throttle_entry *e = (struct throttle_entry *)(void *)table_find(&t->table, key);

    if (e && now_ms - e->began_ms >= THROTTLE_WINDOW_MS) {
        drop(t, e);
        e = NULL;
    }
    return e;
}

static enum status check_one(struct throttle *t, struct slice key, unsigned limit, uint64_t now_ms, struct err *err)
{
    const struct throttle_entry *e = find(t, key, now_ms);
    uint64_t left_ms;

    if (!e || e->failures < limit)
        return ST_OK;
    left_ms = THROTTLE_WINDOW_MS - (now_ms - e->began_ms);
    err_set(err, ST_SLOW_DOWN, "Too many failed sign-ins. Try again in %llu minutes.",
            (unsigned long long)((left_ms + 59999) / 60000));
    if (err)
        err->retry_after_ms = left_ms;
    return ST_SLOW_DOWN;
}

enum status throttle_check(struct throttle *t, struct slice account, struct slice ip, uint64_t now_ms, struct err *err)
{
    char buf[KEY_MAX];
    enum status st;

    pthread_mutex_lock(&t->lock);
    st = check_one(t, key_of(account, ip, buf), THROTTLE_FAILURES, now_ms, err);
    if (st == ST_OK)
        st = check_one(t, key_of((struct slice){NULL, 0}, ip, buf), THROTTLE_NETWORK_FAILURES, now_ms, err);
    pthread_mutex_unlock(&t->lock);
    return st;
}

static void count(struct throttle *t, struct slice key, uint64_t now_ms)
{
    struct throttle_entry *e = find(t, key, now_ms);

    if (!e) {
        if (t->table.n >= THROTTLE_ENTRIES)
            drop(t, t->first);
        e = calloc(1, sizeof(*e));
        if (!e)
            return;
        memcpy(e->key, key.p, key.n);
        e->node.key = (struct slice){e->key, key.n};
        e->began_ms = now_ms;
        if (table_add(&t->table, &e->node) != ST_OK) {
            free(e);
            return;
        }
        e->older = t->last;
        if (t->last)
            t->last->newer = e;
        else
            t->first = e;
        t->last = e;
    }
    e->failures++;
}

void throttle_failed(struct throttle *t, struct slice account, struct slice ip, uint64_t now_ms)
{
    char buf[KEY_MAX];

    pthread_mutex_lock(&t->lock);
    count(t, key_of(account, ip, buf), now_ms);
    count(t, key_of((struct slice){NULL, 0}, ip, buf), now_ms);
    pthread_mutex_unlock(&t->lock);
}

void throttle_passed(struct throttle *t, struct slice account, struct slice ip)
{
    struct throttle_entry *e;
    char buf[KEY_MAX];

    pthread_mutex_lock(&t->lock);
    e = (struct throttle_entry *)(void *)table_find(&t->table, key_of(account, ip, buf));
    if (e)
        drop(t, e);
    pthread_mutex_unlock(&t->lock);
}
