/*
 * A provider: somebody who answers calls, and how he is spoken to. Made from a record of the catalog or from the
 * settings, never changed afterwards, counted: a change of the catalog makes another one, and calls under way keep the
 * one that they began with. What has been learned about a provider (is he well, how fast is he) outlives such changes
 * and stands in his seat (upstreams.h).
 */
#ifndef PROVIDERSVC_UPSTREAM_H
#define PROVIDERSVC_UPSTREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "proto/messages.h"
#include "providersvc/breaker.h"
#include "services/address.h"
#include "services/arena.h"
#include "services/metrics.h"

#define UPSTREAMS_MAX LIMIT_SERVED
#define UPSTREAM_URL_MAX 1200
#define UPSTREAM_KEY_REFUSED_MS UINT64_C(60000) /* a refused key is the last choice for so long */
#define UPSTREAM_KEY_REST_MS UINT64_C(1000) /* a key over its limit rests so long when upstream does not say … */
#define UPSTREAM_KEY_REST_MAX_MS UINT64_C(60000) /* … and so long at most */

struct adapter;

/* A call made to a provider, and what became of it. */
enum attempt_outcome {
    ATTEMPT_OK,
    ATTEMPT_ERROR,
    ATTEMPT_CONNECT,
    ATTEMPT_TIMEOUT,
    ATTEMPT_BROKEN,
    ATTEMPT_CANCELLED,
    ATTEMPT_OUTCOMES
};
const char *attempt_outcome_name(enum attempt_outcome outcome);

/* Of a name, until there is no other for a new one: then a seat goes on to it whose provider is gone and was let go by
 * all who used it. */
struct upstream_seat {
    char name[LIMIT_NAME + 1];
    unsigned index;
    atomic_uint users; /* upstreams that stand on it */
    pthread_mutex_t lock; /* of what follows, up to the metrics */
    struct breaker breaker;
    uint64_t pace_us; /* moving average of the time to a good answer's first token; 0 = not known */
    uint64_t pace_ms, asked_ms; /* when that was last measured, when a call last went there */
    struct metric *attempts[ATTEMPT_OUTCOMES], *retries, *latency, *ttft, *open;
};

struct provider_key {
    const char *id, *secret;
    atomic_uint_fast64_t rests_until_ms; /* over its limit: not used before */
    atomic_uint_fast64_t refused_until_ms; /* upstream did not like it: only if there is no other */
};

struct upstream {
    atomic_uint refs;
    struct upstream_seat *seat;
    const struct adapter *adapter;
    struct arena text;
    const char *name; /* the seat's */
    const char *base_url; /* without a slash at the end; empty = no network */
    const char *api_version; /* azure; NULL = its v1 API */
    struct wire_strs drop_params;
    struct provider_key *keys;
    unsigned n_keys;
    atomic_uint turn; /* which key is next */
    bool https;
    bool drains; /* a client that leaves: read on to the true usage; else stop at once */
    enum address_reach reach; /* the widest that its addresses may have */
    uint64_t connect_ms, idle_ms;
    uint64_t first_byte_ms, answer_ms; /* to the first byte of a stream, of an answer that is none */
    uint64_t total_ms; /* 0 = the call's own deadline */
    bool chat_only; /* openai: a host that is only compatible, without a Responses API */
    atomic_bool no_stream_options; /* refused them once */
    atomic_bool gone; /* another one has its place, or none: nobody new comes */
};

/* What the settings say where a record says nothing. */
struct upstream_defaults {
    uint64_t connect_ms, first_byte_ms, answer_ms, idle_ms;
    bool drains;
};

/* secrets: one for each of def->keys, NULL = not to be had: such a key is left out. ST_BAD_REQUEST: kind, URL or a
 * secret that cannot stand in a header; err says which. One reference is the caller's. */
enum status upstream_new(const struct catalog_provider *def, const char *const *secrets,
                         const struct upstream_defaults *defaults, struct upstream **ret, struct err *err);
struct upstream *upstream_ref(struct upstream *u);
void upstream_unref(struct upstream *u); /* NULL is fine */

/* The key for the next attempt, in turn; NULL: all rest, or there is none that can be used. An upstream that needs none
 * has one with an empty secret. */
struct provider_key *upstream_pick_key(struct upstream *u, uint64_t now_ms);
/* Would that give one? false: *ret_wait_ms until the first rests no more, 0 = none ever will. Takes no turn. */
bool upstream_has_key(struct upstream *u, uint64_t now_ms, uint64_t *ret_wait_ms);
void upstream_key_rests(struct provider_key *key, uint64_t now_ms, uint64_t wait_ms); /* 0 = not said */
void upstream_key_refused(struct provider_key *key, uint64_t now_ms);
/* Is there a key that upstream has neither refused lately nor limited? */
bool upstream_has_good_key(struct upstream *u, uint64_t now_ms);

bool upstream_header_safe(struct slice value); /* no CR, LF or NUL */

#endif
