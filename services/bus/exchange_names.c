#include "services/bus/exchange_client.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "services/clock.h"

#define NAME_MAX_HOST 256
#define NAME_MAX_PORT 16

/* tcp://name:port, where the name has to be looked up. */
struct name {
    char host[NAME_MAX_HOST];
    char port[NAME_MAX_PORT];
};

static bool literal(const char *host)
{
    unsigned char to[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, to) == 1 || host[0] == '[' || strchr(host, ':') != NULL;
}

/* Is url a tcp:// url with a name in it? Addresses and other transports have one instance each. */
static bool read_name(const char *url, struct name *ret)
{
    const char *host = url + 6, *port;
    size_t n;

    if (strncmp(url, "tcp://", 6) != 0)
        return false;
    port = strrchr(host, ':');
    if (!port)
        return false;
    n = (size_t)(port - host);
    if (n == 0 || n >= sizeof(ret->host) || strlen(port + 1) >= sizeof(ret->port))
        return false;
    memcpy(ret->host, host, n);
    ret->host[n] = '\0';
    snprintf(ret->port, sizeof(ret->port), "%s", port + 1);
    return !literal(ret->host);
}

static enum status add_link(struct xchg_client *c, const char *url, struct err *err)
{
    unsigned n = atomic_load(&c->n_links), i;
    struct xlink *l = NULL;
    enum status st;

    for (i = 0; i < n; i++)
        if (!atomic_load(&c->links[i])->open)
            return link_open(atomic_load(&c->links[i]), url, err);
    if (n == XCHG_INSTANCES_MAX)
        return err_set(err, ST_UNAVAILABLE, "more than %d instances", XCHG_INSTANCES_MAX);
    st = link_new(c, &l, err);
    if (st != ST_OK)
        return st;
    st = link_open(l, url, err);
    if (st != ST_OK) {
        link_free(l);
        return st;
    }
    atomic_store(&c->links[n], l);
    atomic_store(&c->n_links, n + 1);
    client_wake(c); /* a connection may have been there before the worker could see the link */
    return ST_OK;
}

/* ---- names
 * -------------------------------------------------------------------------------------------------------------- */

struct addresses {
    char url[XCHG_INSTANCES_MAX][TRANSPORT_URL_MAX];
    unsigned n;
};

static void add_address(struct addresses *to, const char *url)
{
    unsigned i;

    for (i = 0; i < to->n; i++)
        if (strcmp(to->url[i], url) == 0)
            return;
    if (to->n < XCHG_INSTANCES_MAX)
        snprintf(to->url[to->n++], TRANSPORT_URL_MAX, "%s", url);
}

/* false: the name server did not answer; what is known stays in use. */
static bool look_up(const struct name *name, struct addresses *to)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL, *a;
    char host[NI_MAXHOST], port[NI_MAXSERV], url[TRANSPORT_URL_MAX];

    if (getaddrinfo(name->host, name->port, &hints, &list) != 0)
        return false;
    for (a = list; a; a = a->ai_next) {
        if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), port, sizeof(port),
                        NI_NUMERICHOST | NI_NUMERICSERV) != 0)
            continue;
        snprintf(url, sizeof(url), a->ai_family == AF_INET6 ? "tcp://[%.256s]:%.32s" : "tcp://%.256s:%.32s", host,
                 port);
        add_address(to, url);
    }
    freeaddrinfo(list);
    return to->n > 0;
}

static bool has_link(struct xchg_client *c, const char *url)
{
    unsigned i, n = atomic_load(&c->n_links);

    for (i = 0; i < n; i++) {
        struct xlink *l = atomic_load(&c->links[i]);

        if (l->open && strcmp(l->url, url) == 0) {
            pthread_mutex_lock(&l->lock);
            atomic_store(&l->wanted, true); /* it may have been gone for a moment */
            link_set_ready(l);
            pthread_mutex_unlock(&l->lock);
            return true;
        }
    }
    return false;
}

static void retire_others(struct xchg_client *c, const struct addresses *now)
{
    unsigned i, k, n = atomic_load(&c->n_links);

    for (i = 0; i < n; i++) {
        struct xlink *l = atomic_load(&c->links[i]);
        bool listed = !l->open;

        for (k = 0; k < now->n && !listed; k++)
            listed = strcmp(l->url, now->url[k]) == 0;
        if (listed || !link_retire(l))
            continue;
        link_close(l);
        link_end_all(l, ST_UNAVAILABLE);
    }
}

static void reconcile(struct xchg_client *c, const struct addresses *now)
{
    unsigned i;

    for (i = 0; i < now->n; i++)
        if (!has_link(c, now->url[i]))
            (void)add_link(c, now->url[i], NULL); /* tried again with the next answer */
    retire_others(c, now);
}

struct urls {
    const char *next;
    char url[TRANSPORT_URL_MAX];
};

/* The next of a comma-separated list. false: no more, or (*ret_bad) one that is empty or too long. */
static bool next_url(struct urls *u, bool *ret_bad)
{
    size_t n = strcspn(u->next, ",");

    *ret_bad = false;
    if (*u->next == '\0')
        return false;
    if (n == 0 || n >= sizeof(u->url)) {
        *ret_bad = true;
        return false;
    }
    memcpy(u->url, u->next, n);
    u->url[n] = '\0';
    u->next += n;
    if (*u->next == ',')
        u->next++;
    return true;
}

/* All addresses of the whole list; false when some name could not be looked up. */
static bool collect(const char *list, struct addresses *to)
{
    struct urls u = {.next = list};
    bool bad, all = true;

    to->n = 0;
    while (next_url(&u, &bad)) {
        struct name name;

        if (!read_name(u.url, &name))
            add_address(to, u.url);
        else if (!look_up(&name, to))
            all = false;
    }
    return all;
}

static void *resolve(void *arg)
{
    struct xchg_client *c = arg;
    struct addresses now; /* 32 KB; the thread has TRANSPORT_STACK */

    for (;;) {
        uint64_t next = clock_ms() + XCHG_RESOLVE_MS;

        if (collect(c->url, &now))
            reconcile(c, &now);
        pthread_mutex_lock(&c->lock);
        while (!atomic_load(&c->closing) && clock_ms() < next)
            transport_cond_wait_until(&c->resolver_wake, &c->lock, next);
        pthread_mutex_unlock(&c->lock);
        if (atomic_load(&c->closing))
            return NULL;
    }
}

enum status names_start(struct xchg_client *c, struct err *err)
{
    struct urls u = {.next = c->url};
    bool bad = false, names = false;
    enum status st = ST_OK;

    while (st == ST_OK && next_url(&u, &bad)) {
        struct name name;

        if (read_name(u.url, &name))
            names = true;
        else
            st = add_link(c, u.url, err);
    }
    if (st != ST_OK)
        return st;
    if (bad || *c->url == '\0')
        return err_set(err, ST_BAD_REQUEST, "'%s' is not a bus address or a list of them", c->url);
    if (!names)
        return ST_OK;
    st = transport_thread(&c->resolver, resolve, c);
    if (st != ST_OK)
        return err_set(err, st, "no thread to look up names");
    c->has_resolver = true;
    return ST_OK;
}
