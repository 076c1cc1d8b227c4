#include "services/bus/feed_private.h"

#include <stdlib.h>

#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

/* ---- PUB
 * ---------------------------------------------------------------------------------------------------------------- */

struct feed_pub {
    nng_socket sock;
};

static enum status attach(nng_socket s, const char *url, bool listen, struct err *err)
{
    return listen ? transport_listen(s, url, err) : transport_dial(s, url, err);
}

enum status feed_pub_new(const char *url, bool listen, struct feed_pub **ret, struct err *err)
{
    struct feed_pub *p = calloc(1, sizeof(*p));
    enum status st;
    int rv;

    if (!p)
        return err_set(err, ST_NO_MEMORY, "no memory for a feed");
    transport_start();
    rv = nng_pub0_open(&p->sock);
    if (rv != 0) {
        free(p);
        return err_set(err, transport_status(rv), "cannot open a feed socket: %s", nng_strerror(rv));
    }
    st = transport_options(p->sock, FEED_MESSAGE_MAX);
    if (st == ST_OK)
        st = transport_status(nng_socket_set_int(p->sock, NNG_OPT_SENDBUF, FEED_QUEUE));
    st = st == ST_OK ? attach(p->sock, url, listen, err) : err_set(err, st, "cannot set up a feed socket");
    if (st != ST_OK) {
        feed_pub_free(p);
        return st;
    }
    *ret = p;
    return ST_OK;
}

void feed_pub_free(struct feed_pub *p)
{
    if (!p)
        return;
    nng_close(p->sock);
    free(p);
}

enum status feed_publish(struct feed_pub *p, struct slice bytes)
{
    nng_msg *msg = NULL;
    int rv;

    if (bytes.n > FEED_MESSAGE_MAX)
        return ST_TOO_LARGE;
    rv = nng_msg_alloc(&msg, 0);
    if (rv == 0)
        rv = nng_msg_append(msg, bytes.p, bytes.n);
    if (rv == 0)
        rv = nng_sendmsg(p->sock, msg, NNG_FLAG_NONBLOCK);
    if (rv != 0)
        nng_msg_free(msg);
    return transport_status(rv);
}

/* ---- SUB
 * ---------------------------------------------------------------------------------------------------------------- */

struct feed_sub {
    nng_socket sock;
    pthread_t thread;
    void (*message)(void *ctx, struct slice bytes);
    void *ctx;
};

enum status feed_sub_open(const char *url, bool listen, nng_socket *ret, struct err *err)
{
    nng_socket sock;
    enum status st;
    int rv;

    transport_start();
    rv = nng_sub0_open(&sock);
    if (rv != 0)
        return err_set(err, transport_status(rv), "cannot open a feed socket: %s", nng_strerror(rv));
    st = transport_options(sock, FEED_MESSAGE_MAX);
    if (st == ST_OK)
        st = transport_status(nng_socket_set_int(sock, NNG_OPT_RECVBUF, FEED_QUEUE));
    if (st == ST_OK)
        st = transport_status(nng_sub0_socket_subscribe(sock, "", 0));
    st = st == ST_OK ? attach(sock, url, listen, err) : err_set(err, st, "cannot set up a feed socket");
    if (st != ST_OK) {
        nng_close(sock);
        return st;
    }
    *ret = sock;
    return ST_OK;
}

static void *receive(void *arg)
{
    struct feed_sub *s = arg;
    nng_msg *msg = NULL;
    int rv;

    while ((rv = nng_recvmsg(s->sock, &msg, 0)) != NNG_ECLOSED) {
        if (rv != 0) {
            nng_msleep(1); /* no memory: what is lost meanwhile is a gap, and repaired */
            continue;
        }
        if (nng_msg_len(msg) <= FEED_MESSAGE_MAX)
            s->message(s->ctx, (struct slice){nng_msg_body(msg), nng_msg_len(msg)});
        nng_msg_free(msg);
    }
    return NULL;
}

enum status feed_sub_new(const char *url, bool listen, void (*message)(void *ctx, struct slice bytes), void *ctx,
                         struct feed_sub **ret, struct err *err)
{
    struct feed_sub *s = calloc(1, sizeof(*s));
    enum status st;

    if (!s)
        return err_set(err, ST_NO_MEMORY, "no memory for a feed");
    s->message = message;
    s->ctx = ctx;
    st = feed_sub_open(url, listen, &s->sock, err);
    if (st != ST_OK) {
        free(s);
        return st;
    }
    st = transport_thread(&s->thread, receive, s);
    if (st != ST_OK) {
        nng_close(s->sock);
        free(s);
        return err_set(err, st, "no thread for a feed");
    }
    *ret = s;
    return ST_OK;
}

void feed_sub_free(struct feed_sub *s)
{
    if (!s)
        return;
    nng_close(s->sock);
    pthread_join(s->thread, NULL);
    free(s);
}
