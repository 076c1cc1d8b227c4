/* A meterd for unit tests of who bills through it: takes usage events by feed and by call, acknowledges them, remembers
 * them. */
#ifndef TESTS_UNIT_METER_FAKE_H
#define TESTS_UNIT_METER_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/messages.h"

#define METER_FAKE_EVENTS 65536
#define METER_FAKE_PROVIDERS 64

struct meter_fake_event {
    char request_id[80], status[16], provider[32];
    uint64_t http_status, prompt, cached, write, completion, reasoning, attempts, created_ms, latency_ms, ttft_ms,
        price_id;
    int64_t hold_nano;
    bool estimated, stream;
    bool parked; /* an end, though its status is `running` */
    uint64_t lease_ms, price_percent, seen;
    char object[80]; /* the first that it keeps */
    char worth_model[32]; /* of a file; empty = it is worth nothing */
    uint64_t worth_requests, worth_output;
    unsigned n_ends;
    struct meter_fake_end {
        char object[80], status[16];
        bool known;
        uint64_t requests, completed, prompt, cached, write, completion, reasoning;
    } end; /* the first batch or response that something is said of */
    unsigned n_log; /* its list of attempts */
    struct meter_fake_attempt {
        char outcome[16];
        uint64_t number, http_status, prompt, completion;
        bool answered;
    } log[4];
};

struct meter_fake;
struct meter_fake *meter_fake_start(const char *url, const char *feed_url, const char *events_url);
void meter_fake_stop(struct meter_fake *m);
unsigned meter_fake_announced(struct meter_fake *m); /* how often */
unsigned meter_fake_providers(struct meter_fake *m); /* in the last announcement */
unsigned meter_fake_count(struct meter_fake *m); /* events, each counted once */
unsigned meter_fake_repeats(struct meter_fake *m); /* request ids seen again under another number */
bool meter_fake_find(struct meter_fake *m, const char *request_id, unsigned wait_ms, struct meter_fake_event *ret);
/* Progress of a call (status `running`): how often, the last of it in *ret if there is any. */
unsigned meter_fake_progress(struct meter_fake *m, const char *request_id, struct meter_fake_event *ret);
uint64_t meter_fake_lease(struct meter_fake *m); /* of the last progress of all */
/* A provider of the catalog, or a change of one; kind empty: it is gone. Returns the state's revision with it. */
uint64_t meter_fake_provider(struct meter_fake *m, const struct provider_state *state);
/* The same for one that is gone, but nobody is told of the change: a gap, and a snapshot without it. */
uint64_t meter_fake_forget(struct meter_fake *m, const char *name);
void meter_fake_deaf(struct meter_fake *m, bool deaf); /* deaf: takes and acknowledges nothing */

#endif
