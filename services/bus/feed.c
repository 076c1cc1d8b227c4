#include "services/bus/feed_private.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

#include "services/ids.h"

#define FEED_SOCKET_MAX (FEED_MESSAGE_MAX + CIPHER_FEED_OVERHEAD)

/* ---- PUB
 * ---------------------------------------------------------------------------------------------------------------- */

struct feed_pub {
    nng_socket sock;
    const struct cipher *cipher; /* NULL = in the clear */
    enum cipher_topic topic;
    uint64_t boot, stream;
    _Atomic uint64_t number;
};

static enum status attach(nng_socket s, const struct feed_at *at, struct err *err)
{
    return at->listen ? transport_listen(s, at->url, err) : transport_dial(s, at->url, err);
}

enum status feed_pub_new(const struct feed_at *at, struct feed_pub **ret, struct err *err)
{
    struct feed_pub *p = calloc(1, sizeof(*p));
    enum status st;
    int rv;

    if (!p)
        return err_set(err, ST_NO_MEMORY, "no memory for a feed");
    p->cipher = trust_cipher(at->trust, at->url);
    p->topic = at->topic;
    p->boot = trust_boot(at->trust);
    p->stream = id_number();
    transport_start();
    rv = nng_pub0_open(&p->sock);
    if (rv != 0) {
        free(p);
        return err_set(err, transport_status(rv), "cannot open a feed socket: %s", nng_strerror(rv));
    }
    st = transport_options(p->sock, FEED_SOCKET_MAX);
    if (st == ST_OK)
        st = transport_status(nng_socket_set_int(p->sock, NNG_OPT_SENDBUF, FEED_QUEUE));
    st = st == ST_OK ? attach(p->sock, at, err) : err_set(err, st, "cannot set up a feed socket");
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

/* The bytes are copied to where they are sealed. */
static int compose(struct feed_pub *p, struct slice bytes, nng_msg **ret)
{
    struct cipher_place place = {.boot = p->boot, .stream = p->stream};
    size_t before = p->cipher ? CIPHER_FEED_HEAD : 0, after = p->cipher ? CIPHER_TAG : 0;
    int rv = nng_msg_alloc(ret, before + bytes.n + after);

    if (rv != 0)
        return rv;
    if (bytes.n)
        memcpy((char *)nng_msg_body(*ret) + before, bytes.p, bytes.n);
    if (!p->cipher)
        return 0;
    place.number = atomic_fetch_add(&p->number, 1) + 1;
    cipher_feed_seal(p->cipher, p->topic, &place, nng_msg_body(*ret), bytes.n);
    return 0;
}

enum status feed_publish(struct feed_pub *p, struct slice bytes)
{
    nng_msg *msg = NULL;
    int rv;

    if (bytes.n > FEED_MESSAGE_MAX)
        return ST_TOO_LARGE;
    rv = compose(p, bytes, &msg);
    if (rv == 0)
        rv = nng_sendmsg(p->sock, msg, NNG_FLAG_NONBLOCK);
    if (rv != 0)
        nng_msg_free(msg);
    return transport_status(rv);
}

/* ---- SUB
 * ---------------------------------------------------------------------------------------------------------------- */

struct feed_sub {
    struct feed_ear ear;
    pthread_t thread;
    void (*message)(void *ctx, struct slice bytes);
    void *ctx;
};

enum status feed_ear_open(const struct feed_at *at, struct feed_ear *ret, struct err *err)
{
    nng_socket sock;
    enum status st;
    int rv;

    transport_start();
    rv = nng_sub0_open(&sock);
    if (rv != 0)
        return err_set(err, transport_status(rv), "cannot open a feed socket: %s", nng_strerror(rv));
    st = transport_options(sock, FEED_SOCKET_MAX);
    if (st == ST_OK)
        st = transport_status(nng_socket_set_int(sock, NNG_OPT_RECVBUF, FEED_QUEUE));
    if (st == ST_OK)
        st = transport_status(nng_sub0_socket_subscribe(sock, "", 0));
    st = st == ST_OK ? attach(sock, at, err) : err_set(err, st, "cannot set up a feed socket");
    if (st != ST_OK) {
        nng_close(sock);
        return st;
    }
    *ret = (struct feed_ear){
        .sock = sock, .cipher = trust_cipher(at->trust, at->url), .topic = at->topic, .trust = at->trust};
    return ST_OK;
}

static bool refuse(struct feed_ear *e, nng_msg *msg, enum frame_refusal why)
{
    char peer[TRANSPORT_PEER_TEXT];

    transport_peer(nng_msg_get_pipe(msg), peer);
    trust_refuse(e->trust, peer, why);
    return false;
}

bool feed_ear_read(struct feed_ear *e, nng_msg *msg, struct slice *ret, struct cipher_place *ret_place)
{
    unsigned char *bytes = nng_msg_body(msg);
    size_t n = nng_msg_len(msg);

    if (e->cipher) {
        if (!cipher_is_feed(bytes, n))
            return refuse(e, msg, FRAME_REFUSED_PLAIN);
        if (!cipher_feed_open(e->cipher, e->topic, bytes, n, ret_place))
            return refuse(e, msg, FRAME_REFUSED_SECRET);
        *ret = (struct slice){(const char *)bytes + CIPHER_FEED_HEAD, n - CIPHER_FEED_OVERHEAD};
    } else {
        if (cipher_is_feed(bytes, n))
            return refuse(e, msg, FRAME_REFUSED_SEALED);
        *ret = (struct slice){(const char *)bytes, n};
    }
    return ret->n <= FEED_MESSAGE_MAX;
}

static void *receive(void *arg)
{
    struct feed_sub *s = arg;
    struct cipher_place place;
    struct slice bytes;
    nng_msg *msg = NULL;
    int rv;

    while ((rv = nng_recvmsg(s->ear.sock, &msg, 0)) != NNG_ECLOSED) {
        if (rv != 0) {
            nng_msleep(1); /* no memory: what is lost meanwhile is a gap, and repaired */
            continue;
        }
        if (feed_ear_read(&s->ear, msg, &bytes, &place))
            s->message(s->ctx, bytes);
        nng_msg_free(msg);
    }
    return NULL;
}

enum status feed_sub_new(const struct feed_at *at, void (*message)(void *ctx, struct slice bytes), void *ctx,
                         struct feed_sub **ret, struct err *err)
{
    struct feed_sub *s = calloc(1, sizeof(*s));
    enum status st;

    if (!s)
        return err_set(err, ST_NO_MEMORY, "no memory for a feed");
    s->message = message;
    s->ctx = ctx;
    st = feed_ear_open(at, &s->ear, err);
    if (st != ST_OK) {
        free(s);
        return st;
    }
    st = transport_thread(&s->thread, receive, s);
    if (st != ST_OK) {
        nng_close(s->ear.sock);
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
    nng_close(s->ear.sock);
    pthread_join(s->thread, NULL);
    free(s);
}
