#include "services/bus/trust.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/clock.h"

struct told {
    char peer[TRUST_PEER_TEXT];
    enum frame_refusal why;
    uint64_t at_ms; /* 0 = free */
};

struct trust {
    struct trust_options options;
    struct cipher cipher;
    pthread_mutex_t lock;
    struct told told[TRUST_PEERS_MAX];
};

enum status trust_new(const struct trust_options *options, struct trust **ret, struct err *err)
{
    struct trust *a = calloc(1, sizeof(*a));
    enum status st = ST_OK;

    if (!a)
        return err_set(err, ST_NO_MEMORY, "no memory for the bus's keys");
    a->options = *options;
    a->options.secret = NULL; /* the cipher has what is needed of it */
    pthread_mutex_init(&a->lock, NULL);
    if (options->secret)
        st = cipher_init(&a->cipher, options->secret, err);
    if (st != ST_OK) {
        trust_free(a);
        return st;
    }
    *ret = a;
    return ST_OK;
}

void trust_free(struct trust *a)
{
    if (!a)
        return;
    cipher_fini(&a->cipher);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

const struct cipher *trust_cipher(const struct trust *a, const char *url)
{
    return a && a->cipher.n && strncmp(url, "inproc://", 9) != 0 ? &a->cipher : NULL;
}

uint64_t trust_boot(const struct trust *a)
{
    return a ? a->options.boot : 0;
}

/* Locked. Is it time to say so? With no room for a further peer nothing is said, so that many addresses are not many
 * lines. */
static bool time_to_tell(struct trust *a, const char *peer, enum frame_refusal why)
{
    uint64_t now = clock_ms();
    struct told *room = NULL;
    unsigned i;

    for (i = 0; i < TRUST_PEERS_MAX; i++) {
        struct told *t = &a->told[i];
        bool old = t->at_ms == 0 || now - t->at_ms >= TRUST_TELL_MS;

        if (!old && t->why == why && strncmp(t->peer, peer, sizeof(t->peer) - 1) == 0)
            return false;
        if (old && !room)
            room = t;
    }
    if (!room)
        return false;
    snprintf(room->peer, sizeof(room->peer), "%s", peer);
    room->why = why;
    room->at_ms = now;
    return true;
}

void trust_refuse(struct trust *a, const char *peer, enum frame_refusal why)
{
    bool tell;

    if (!a || !a->options.refused)
        return;
    pthread_mutex_lock(&a->lock);
    tell = time_to_tell(a, peer, why);
    pthread_mutex_unlock(&a->lock);
    a->options.refused(a->options.ctx, peer, why, tell);
}

const char *trust_word(enum frame_refusal why)
{
    switch (why) {
    case FRAME_REFUSED_PLAIN: return "plain";
    case FRAME_REFUSED_SEALED: return "sealed";
    case FRAME_REFUSED_SECRET: return "secret";
    case FRAME_REFUSED_VERSION: return "version";
    case FRAME_ACCEPTED:
    case FRAME_REFUSALS: break;
    }
    return "";
}

const char *trust_advice(enum frame_refusal why)
{
    switch (why) {
    case FRAME_REFUSED_PLAIN: return "BUS_SECRET differs: this service has one, the peer has none; set the same in all";
    case FRAME_REFUSED_SEALED:
        return "BUS_SECRET differs: the peer has one, this service has none; set the same in all";
    case FRAME_REFUSED_SECRET: return "BUS_SECRET differs: set the same in every service and restart them";
    case FRAME_REFUSED_VERSION: return "another version of the bus: run the same release in every service";
    case FRAME_ACCEPTED:
    case FRAME_REFUSALS: break;
    }
    return "";
}
