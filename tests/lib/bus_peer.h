/*
 * A small server on the bus for the tests of exchange, and calls that wait. Methods say what it does with a call.
 */
#ifndef TESTS_LIB_BUS_PEER_H
#define TESTS_LIB_BUS_PEER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "services/bus/exchange.h"
#include "tests/lib/slow.h"

enum bus_peer_method {
    PEER_ECHO = 1, /* ends at once with the payload */
    PEER_FAIL = 2, /* ends at once with ST_NO_FUNDS and the payload */
    PEER_HOLD = 3, /* stays open until it is cancelled or bus_peer_end_held */
    PEER_SLOW = 4, /* ends with the payload delay_ms later, by a thread of its own */
    PEER_TAKE = 6, /* as PEER_HOLD, and keeps what is pushed */
    PEER_COUNT = 5, /* payload: a uint32_t; counts that it ran, then as PEER_ECHO */
};

#define BUS_PEER_HELD 4096

struct bus_peer {
    struct xchg_server *server;
    uint64_t instance, boot;
    unsigned delay_ms;
    _Atomic uint32_t *counts; /* of PEER_COUNT */
    uint32_t n_counts;
    atomic_uint handled, one_way, cancels, windows, pushes;
    _Atomic uint64_t cancelled_ns; /* when the last cancel event came */
    char last_told[64]; /* payload of the last one-way call, under lock */
    char pushed[65536]; /* under lock: what came, and the sum of its types */
    size_t n_pushed;
    unsigned pushed_types;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct {
        struct xchg_call *call;
        uint64_t tag;
        bool watched; /* before that it is not to be ended */
    } held[BUS_PEER_HELD];
    unsigned n_held;
    uint64_t tags;
};

struct bus_peer *bus_peer_new(const char *url, uint64_t instance); /* NULL = could not listen */
struct bus_peer *bus_peer_counting(const char *url, _Atomic uint32_t *counts, uint32_t n);
struct bus_peer *bus_peer_trusting(const char *url, struct trust *trust);
void bus_peer_free(struct bus_peer *p);
struct xchg_call *
bus_peer_take_held(struct bus_peer *p); /* waits up to 10 s for one, which is the caller's to end then */
unsigned bus_peer_held(struct bus_peer *p); /* so many are held now */
void bus_peer_end_held(struct bus_peer *p, enum status st);

/* One call and what came of it. data is gathered when room is given. */
struct bus_wait {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct xchg_client *client;
    struct xchg_id id;
    enum status st;
    unsigned ended, frames;
    atomic_int inside; /* callbacks of this call that run now */
    bool overlapped; /* two did at once */
    bool take; /* give the window back */
    bool no_check; /* data is not counted numbers */
    bool disordered;
    uint64_t ended_ns;
    size_t n; /* bytes of the end's payload */
    char payload[256];
    uint64_t data_bytes;
};

void bus_wait_init(struct bus_wait *w, struct xchg_client *c);
void bus_wait_fini(struct bus_wait *w);
enum status bus_open(struct bus_wait *w, uint16_t method, struct slice payload, uint64_t deadline_ms, uint32_t window);
enum status bus_wait(struct bus_wait *w); /* until it has ended */
bool bus_wait_frames(struct bus_wait *w, unsigned frames, unsigned ms);
enum status bus_call(struct xchg_client *c, uint16_t method, struct slice payload, uint64_t deadline_ms,
                     struct bus_wait *ret);

struct xchg_client *bus_client(const char *url);
struct xchg_client *bus_client_trusting(const char *url, struct trust *trust);
bool bus_ready(struct xchg_client *c, unsigned instances, unsigned ms); /* waits for exactly so many */

/* Waits until condition holds, at most ms. */
#define BUS_UNTIL(condition, ms)                                                                                       \
    do {                                                                                                               \
        uint64_t until_ = clock_ms() + slow_ms(ms);                                                                    \
        while (!(condition) && clock_ms() < until_)                                                                    \
            usleep(500);                                                                                               \
    } while (0)

#endif
