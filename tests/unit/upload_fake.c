#include "tests/unit/upload_fake.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/gateway_world.h"

struct upload_fake upload_fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

void upload_fake_reset(void)
{
    pthread_mutex_lock(&upload_fake.lock);
    free(upload_fake.bytes);
    upload_fake.bytes = NULL;
    upload_fake.fault = UPLOAD_FINE;
    upload_fake.step = 65536;
    upload_fake.n = upload_fake.largest = 0;
    upload_fake.total = upload_fake.asked = 0;
    upload_fake.stretches = 0;
    upload_fake.over = upload_fake.cancelled = false;
    upload_fake.call = NULL;
    pthread_mutex_unlock(&upload_fake.lock);
}

static void answer(struct svc_call *call, unsigned status)
{
    struct response_head head = {
        .http_status = status, .content_type = slice_of("application/json"), .provider = slice_of("p")};

    svc_send_message(call, &response_head_desc, &head, NULL);
    svc_send(call, slice_of("{\"ok\":1}"), NULL);
    finish(call, ST_OK);
}

/* Under the lock. */
static void want(uint64_t from, uint64_t bytes)
{
    struct upload_want ask = {.from = from, .bytes = bytes};

    upload_fake.asked = from + bytes;
    upload_fake.stretches++;
    svc_send_message(upload_fake.call, &upload_want_desc, &ask, NULL);
}

/* Under the lock. */
static void want_next(void)
{
    uint64_t left = upload_fake.total - upload_fake.n;

    want(upload_fake.n, left < upload_fake.step ? left : upload_fake.step);
}

static void on_pushed(void *ctx, uint64_t tag, uint16_t type, struct slice bytes)
{
    struct upload_fake *u = &upload_fake;
    struct svc_call *over = NULL;
    bool refuses;

    (void)ctx;
    (void)tag;
    pthread_mutex_lock(&u->lock);
    refuses = u->fault == UPLOAD_REFUSES;
    if (u->call && type == 0 && u->n + bytes.n <= u->total) {
        memcpy(u->bytes + u->n, bytes.p, bytes.n);
        u->n += bytes.n;
        u->largest = bytes.n > u->largest ? bytes.n : u->largest;
    }
    if (u->call && u->n == u->asked) {
        if (u->fault == UPLOAD_TWICE && u->stretches == 1) {
            u->n = 0;
            want_next();
        } else if (u->n == u->total || refuses) {
            over = u->call;
            u->call = NULL;
            u->over = true;
        } else if (u->fault != UPLOAD_WAITS) {
            want_next();
        }
    }
    pthread_mutex_unlock(&u->lock);
    if (over)
        answer(over, refuses ? 400 : 200);
}

static void on_cancelled(void *ctx, uint64_t tag)
{
    struct svc_call *call;

    (void)ctx;
    (void)tag;
    pthread_mutex_lock(&upload_fake.lock);
    call = upload_fake.call;
    upload_fake.call = NULL;
    upload_fake.cancelled = true;
    pthread_mutex_unlock(&upload_fake.lock);
    if (call)
        finish(call, ST_CANCELLED);
}

static const struct xchg_call_events events = {.cancel = on_cancelled, .data = on_pushed};

enum status upload_fake_begin(struct svc_call *call, const struct completion_req *req)
{
    struct upload_fake *u = &upload_fake;

    if (!req->upload_bytes) {
        answer(call, 200);
        return ST_PENDING;
    }
    pthread_mutex_lock(&u->lock);
    u->call = call;
    u->total = req->upload_bytes;
    u->model_at = req->model_at;
    u->model_bytes = req->model_bytes;
    u->bytes = malloc(u->total);
    svc_watch(call, &events, NULL, 0);
    if (u->fault == UPLOAD_GREEDY)
        want(0, 256u * 1024u + 1u);
    else if (u->fault == UPLOAD_BEYOND)
        want(u->total, 1);
    else
        want_next();
    pthread_mutex_unlock(&u->lock);
    return ST_PENDING;
}
