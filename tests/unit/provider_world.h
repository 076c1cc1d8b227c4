/* The world of a providersvc under test: a fake meterd and authsvc, the service itself, a bus client that makes calls.
 * Over inproc. */
#ifndef TESTS_UNIT_PROVIDER_WORLD_H
#define TESTS_UNIT_PROVIDER_WORLD_H

#include <pthread.h>

#include "services/svc.h"
#include "tests/unit/meter_fake.h"

#define PROVIDER_WORLD_ROUTES 256u

struct provider_world {
    struct settings settings;
    struct meter_fake *meter;
    struct svc *svc;
    struct xchg_client *client;
    char url[5][64];
    struct xchg_server *auth;
    pthread_mutex_t auth_lock; /* of the three below */
    int64_t bears_nano; /* a hold may grow to this; -1 = authsvc does not answer */
    unsigned asked; /* how often */
    unsigned lose; /* so many of the next questions are lost with authsvc */
    char spool[64];
    unsigned calls;
    struct call_route routes[PROVIDER_WORLD_ROUTES]; /* of the requests made lately */
    unsigned n_routes;
};

/* def: providersvc_def, handed in so that this file links without it. base_url NULL: no openai provider. */
void provider_world_start(struct provider_world *w, const struct svc_def *def, const char *base_url);
void provider_world_service(struct provider_world *w, const struct svc_def *def); /* starts it (again) */
void provider_world_service_stop(struct provider_world *w);
void provider_world_stop(struct provider_world *w);

void provider_world_credit(struct provider_world *w, int64_t bears_nano);
void provider_world_lose(struct provider_world *w, unsigned questions);
unsigned provider_world_asked(struct provider_world *w);

struct answered {
    struct xchg_client *client; /* that made the call: the world's may be another one by now */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct xchg_id id;
    char request_id[80];
    bool hold_window; /* do not give back the window */
    struct slice upload; /* what is sent when it is asked for, … */
    size_t upload_piece; /* … in pieces of so many bytes */
    unsigned asked; /* for some of it */
    bool has_head, ended;
    unsigned http_status;
    char content_type[64], provider[64], headers[512];
    uint64_t attempts, retry_after_ms;
    struct buf bytes;
    unsigned pieces;
    enum status status;
    struct completion_rep rep; /* for ST_OK; its outcome is in outcome */
    char outcome[32];
    struct err err;
};

/* Fills in what every request needs; the caller sets the rest. */
/* Its one route, at price 7. */
void provider_world_route(struct provider_world *w, struct completion_req *req, const char *provider,
                          const char *upstream_model);
void provider_world_price(struct completion_req *req, const struct price *price); /* NULL = free of charge */
void provider_world_request(struct provider_world *w, struct completion_req *req, const char *provider,
                            const char *body);
void provider_world_open(struct provider_world *w, struct completion_req *req, uint64_t deadline_ms,
                         struct answered *a);
bool answered_wait(struct answered *a, unsigned ms); /* true: ended */
bool answered_wait_bytes(struct answered *a, size_t n, unsigned ms); /* so many bytes are there */
void answered_fini(struct answered *a);
/* open, wait, and the event at meterd. */
void provider_world_call(struct provider_world *w, struct completion_req *req, struct answered *a,
                         struct meter_fake_event *ret);
bool answered_has(const struct answered *a, const char *text);

#endif
