/* A providersvc whose catalog a test writes: providers a to d at small upstreams that do what they are told. */
#ifndef TESTS_UNIT_ROUTING_WORLD_H
#define TESTS_UNIT_ROUTING_WORLD_H

#include <stdatomic.h>

#include "tests/unit/provider_world.h"
#include "tests/unit/tiny_upstream.h"

#define ROUTING_SIDES 4
#define ROUTING_KEYS 4
#define ROUTING_MASTER "0123456789abcdef0123456789abcdef"

enum does {
    DOES_ANSWER, /* after delay_ms: "from a"; streams: its role, then that */
    DOES_STATUS, /* status, with the header lines of `lines` and the body `text` */
    DOES_HANG, /* before a byte */
    DOES_SLOW_TOKEN, /* streams: the role at once, the first token after delay_ms */
    DOES_STALL, /* streams: the first token, then silence */
    DOES_RAW, /* the bytes of `text`, then it closes */
    DOES_EVENTS, /* streams: `text`, an orderly end of the body */
};

struct side {
    struct tiny *tiny;
    char name[2];
    atomic_int does, status, delay_ms;
    _Atomic(const char *) lines, text; /* NULL = none */
    _Atomic(const char *) post_text; /* DOES_STATUS: a POST has post_status and this; NULL = as all */
    atomic_int post_status;
    _Atomic(const char *) bad_key; /* a request with this key gets `status`, whatever it does */
    atomic_uint by_key[ROUTING_KEYS + 1]; /* requests with sk-1 …; 0: others */
};

struct routing {
    struct provider_world w;
    struct side sides[ROUTING_SIDES];
    struct call_route routes[LIMIT_ROUTES];
};

int routing_setup(void **state); /* a struct routing, without providers */
int routing_teardown(void **state);

/* Puts provider a (sides[0]) … into the catalog and waits until it is served so; n_keys of ${ROUTING_KEY_n} = sk-n.
 * more: what else is to be said of it, or NULL; its base_url wins. */
void routing_put(struct routing *r, unsigned side, unsigned n_keys, const struct catalog_provider *more);
void routing_put_state(struct routing *r, const struct provider_state *state);
void routing_drop(struct routing *r, unsigned side);
void routing_wait(struct routing *r, uint64_t revision); /* until providersvc knows the state */

/* A chat, with routes to the providers of `names` ("ab"), all of tier 1 and weight 1. The tests change r->routes. */
void routing_request(struct routing *r, struct completion_req *req, const char *names, bool stream);
/* A call and its event; an event that there is none of stays zero (a call that was refused). */
void routing_call(struct routing *r, struct completion_req *req, struct answered *a, struct meter_fake_event *ev);
/* A call with routes to these, the first one first, that must be answered by `who`. */
void routing_good(struct routing *r, const char *names, bool stream, const char *who);
unsigned routing_seen(struct routing *r, unsigned side); /* requests that it got */

#endif
