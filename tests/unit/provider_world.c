#include "tests/unit/provider_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/slow.h"

#define CALL_MS 20000

static void must(bool yes, const char *what)
{
    if (yes)
        return;
    fprintf(stderr, "provider_world: %s\n", what);
    abort();
}

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static void make_urls(struct provider_world *w)
{
    static const char *const names[] = {"meterd", "feed", "events", "providersvc", "authsvc"};

    for (int i = 0; i < 5; i++)
        snprintf(w->url[i], sizeof(w->url[i]), "inproc://%s-%llx", names[i], (unsigned long long)id_number());
}

void provider_world_service(struct provider_world *w, const struct svc_def *def)
{
    struct xchg_client_options options = {.url = w->url[3], .instance = id_number()};
    struct err err = {0};

    if (svc_start(def, &w->settings, &w->svc, &err) != ST_OK)
        must(false, err.text);
    must(xchg_client_new(&options, &w->client, &err) == ST_OK, err.text);
}

/* ---- authsvc: says how far a hold may grow -------------------------------------------------------------------------
 */

static void on_auth_call(void *ctx, struct xchg_call *x, uint16_t method, struct slice payload)
{
    struct provider_world *w = ctx;
    struct hold_extend_req req;
    struct hold_extend_rep rep;
    struct buf out;
    int64_t bears;
    bool lost;

    pthread_mutex_lock(&w->auth_lock);
    bears = w->bears_nano;
    w->asked += method == hold_extend_req_desc.type;
    lost = w->lose > 0;
    w->lose -= lost;
    pthread_mutex_unlock(&w->auth_lock);
    if (lost) {
        xchg_end(x, ST_DRAINING, (struct slice){NULL, 0});
        return;
    }
    if (method != hold_extend_req_desc.type || bears < 0 ||
        wire_decode(&hold_extend_req_desc, payload.p, payload.n, &req, NULL, NULL) != ST_OK) {
        xchg_end(x, ST_UNAVAILABLE, (struct slice){NULL, 0});
        return;
    }
    buf_init(&out, WIRE_MESSAGE_MAX);
    rep = (struct hold_extend_rep){.amount_nano = req.amount_nano < bears ? req.amount_nano : bears};
    must(wire_encode(&hold_extend_rep_desc, &rep, &out, NULL) == ST_OK, "memory");
    xchg_end(x, ST_OK, (struct slice){out.p, out.n});
    buf_fini(&out);
}

static void start_auth(struct provider_world *w)
{
    struct xchg_server_options options = {
        .url = w->url[4], .instance = id_number(), .boot = id_number(), .handler = on_auth_call, .ctx = w};

    w->bears_nano = -1;
    pthread_mutex_init(&w->auth_lock, NULL);
    must(xchg_server_new(&options, &w->auth, NULL) == ST_OK, "no authsvc");
}

void provider_world_credit(struct provider_world *w, int64_t bears_nano)
{
    pthread_mutex_lock(&w->auth_lock);
    w->bears_nano = bears_nano;
    pthread_mutex_unlock(&w->auth_lock);
}

void provider_world_lose(struct provider_world *w, unsigned questions)
{
    pthread_mutex_lock(&w->auth_lock);
    w->lose = questions;
    pthread_mutex_unlock(&w->auth_lock);
}

unsigned provider_world_asked(struct provider_world *w)
{
    unsigned n;

    pthread_mutex_lock(&w->auth_lock);
    n = w->asked;
    pthread_mutex_unlock(&w->auth_lock);
    return n;
}

void provider_world_start(struct provider_world *w, const struct svc_def *def, const char *base_url)
{
    struct err err = {0};

    memset(w, 0, sizeof(*w));
    make_urls(w);
    must(settings_load(&w->settings, SET_P, no_environment, &err) == ST_OK, err.text);
    snprintf(w->spool, sizeof(w->spool), "/tmp/router-spool-XXXXXX");
    must(mkdtemp(w->spool) != NULL, "no folder");
    must(settings_set(&w->settings.meterd_url, w->url[0]) == ST_OK, "memory");
    must(settings_set(&w->settings.meterd_feed_url, w->url[1]) == ST_OK, "memory");
    must(settings_set(&w->settings.meterd_events_url, w->url[2]) == ST_OK, "memory");
    must(settings_set(&w->settings.providersvc_url, w->url[3]) == ST_OK, "memory");
    must(settings_set(&w->settings.authsvc_url, w->url[4]) == ST_OK, "memory");
    must(settings_set(&w->settings.spool_dir, w->spool) == ST_OK, "memory");
    must(settings_set(&w->settings.log_level, getenv("TEST_LOG") != NULL ? "debug" : "error") == ST_OK, "memory");
    if (base_url != NULL) {
        must(settings_set(&w->settings.openai_api_key, "sk-upstream") == ST_OK, "memory");
        must(settings_set(&w->settings.openai_base_url, base_url) == ST_OK, "memory");
    }
    start_auth(w);
    w->meter = meter_fake_start(w->url[0], w->url[1], w->url[2]);
    if (def != NULL)
        provider_world_service(w, def);
}

void provider_world_service_stop(struct provider_world *w)
{
    if (w->svc != NULL)
        svc_drain(w->svc, 3000);
    svc_stop(w->svc);
    xchg_client_free(w->client);
    w->svc = NULL;
    w->client = NULL;
}

void provider_world_stop(struct provider_world *w)
{
    char command[128];

    provider_world_service_stop(w);
    meter_fake_stop(w->meter);
    xchg_server_free(w->auth);
    pthread_mutex_destroy(&w->auth_lock);
    settings_fini(&w->settings);
    snprintf(command, sizeof(command), "rm -rf '%s'", w->spool);
    must(system(command) == 0, "cannot clean up");
}

void provider_world_route(struct provider_world *w, struct completion_req *req, const char *provider,
                          const char *upstream_model)
{
    static const struct price price = {.id = 7};
    struct call_route *route = &w->routes[w->n_routes++ % PROVIDER_WORLD_ROUTES];

    *route = (struct call_route){
        .provider = slice_of(provider), .upstream_model = slice_of(upstream_model), .price = {&price, 1}};
    req->routes.items = route;
    req->routes.n = 1;
}

void provider_world_price(struct completion_req *req, const struct price *price)
{
    struct call_route *route = (struct call_route *)(uintptr_t)req->routes.items; /* the world's own */

    route->price.items = price;
    route->price.n = price != NULL;
}

void provider_world_request(struct provider_world *w, struct completion_req *req, const char *provider,
                            const char *body)
{
    memset(req, 0, sizeof(*req));
    req->user_id = slice_of("usr_1");
    req->key_id = slice_of("key_1");
    req->model = slice_of("gpt-4o-mini");
    req->endpoint = slice_of("chat.completions");
    provider_world_route(w, req, provider, "gpt-4o-mini");
    req->hold_nano = 1000;
    req->prompt_tokens_estimate = 11;
    req->body = slice_of(body);
    w->calls++;
}

static void send_upload(struct answered *a, struct slice bytes)
{
    struct upload_want want;

    must(wire_decode(&upload_want_desc, bytes.p, bytes.n, &want, NULL, NULL) == ST_OK, "bad want");
    must(want.from <= a->upload.n && want.bytes <= a->upload.n - want.from, "more than the upload has");
    while (want.bytes > 0) {
        size_t n = want.bytes < a->upload_piece ? want.bytes : a->upload_piece;
        enum status st = xchg_push(a->client, a->id, 0, (struct slice){a->upload.p + want.from, n});

        must(st == ST_OK || st == ST_CANCELLED, "push");
        want.from += n;
        want.bytes -= n;
    }
}

static void on_data(void *ctx, uint16_t type, struct slice bytes)
{
    struct answered *a = ctx;
    struct arena arena;
    bool hold;

    arena_init(&arena, 65536);
    pthread_mutex_lock(&a->lock);
    if (type == response_head_desc.type) {
        struct wire_alloc mem = arena_wire(&arena);
        struct response_head head;

        must(!a->has_head, "two heads");
        must(wire_decode(&response_head_desc, bytes.p, bytes.n, &head, &mem, NULL) == ST_OK, "bad head");
        a->has_head = true;
        a->http_status = (unsigned)head.http_status;
        a->attempts = head.attempts;
        a->retry_after_ms = head.retry_after_ms;
        (void)slice_copy(head.content_type, a->content_type, sizeof(a->content_type));
        (void)slice_copy(head.provider, a->provider, sizeof(a->provider));
        for (size_t i = 0; i < head.headers.n; i++)
            snprintf(a->headers + strlen(a->headers), sizeof(a->headers) - strlen(a->headers), "%.*s=%.*s\n",
                     SLICE_ARG(head.headers.items[i].name), SLICE_ARG(head.headers.items[i].value));
    } else if (type == upload_want_desc.type) {
        a->asked++;
        send_upload(a, bytes);
    } else {
        must(a->has_head, "bytes before the head");
        must(buf_add(&a->bytes, bytes.p, bytes.n) == ST_OK, "memory");
        a->pieces++;
    }
    hold = a->hold_window;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    if (!hold)
        xchg_window(a->client, a->id, (uint32_t)bytes.n);
    arena_fini(&arena);
}

static void on_end(void *ctx, enum status st, struct slice payload)
{
    struct answered *a = ctx;

    pthread_mutex_lock(&a->lock);
    a->status = call_result(st, payload, &completion_rep_desc, &a->rep, NULL, &a->err, NULL);
    if (a->status == ST_OK)
        (void)slice_copy(a->rep.outcome, a->outcome, sizeof(a->outcome));
    a->ended = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static const struct xchg_events events = {.data = on_data, .end = on_end};

void provider_world_open(struct provider_world *w, struct completion_req *req, uint64_t deadline_ms, struct answered *a)
{
    struct xchg_open open = {.deadline_ms = deadline_ms, .events = &events, .ctx = a};
    bool hold = a->hold_window;
    struct slice upload = a->upload;
    size_t piece = a->upload_piece;
    struct err err = {0};

    memset(a, 0, sizeof(*a));
    a->hold_window = hold;
    a->upload = upload;
    a->upload_piece = piece;
    a->client = w->client;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    buf_init(&a->bytes, 256u * 1024u * 1024u);
    id_make(a->request_id, "req_", 16);
    req->request_id = slice_of(a->request_id);
    must(call_open(w->client, &completion_req_desc, req, &open, &a->id, &err) == ST_OK, "call_open");
}

static void wait_changed(struct answered *a)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 20 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    pthread_cond_timedwait(&a->changed, &a->lock, &t);
}

bool answered_wait(struct answered *a, unsigned ms)
{
    uint64_t until = clock_ms() + slow_ms(ms);
    bool ended;

    pthread_mutex_lock(&a->lock);
    while (!a->ended && clock_ms() < until)
        wait_changed(a);
    ended = a->ended;
    pthread_mutex_unlock(&a->lock);
    return ended;
}

bool answered_wait_bytes(struct answered *a, size_t n, unsigned ms)
{
    uint64_t until = clock_ms() + slow_ms(ms);
    bool there;

    pthread_mutex_lock(&a->lock);
    while (a->bytes.n < n && clock_ms() < until)
        wait_changed(a);
    there = a->bytes.n >= n;
    pthread_mutex_unlock(&a->lock);
    return there;
}

void answered_fini(struct answered *a)
{
    buf_fini(&a->bytes);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
}

void provider_world_call(struct provider_world *w, struct completion_req *req, struct answered *a,
                         struct meter_fake_event *ret)
{
    memset(ret, 0, sizeof(*ret));
    a->hold_window = false;
    provider_world_open(w, req, CALL_MS, a);
    must(answered_wait(a, CALL_MS + 2000), "the call did not end");
    must(meter_fake_find(w->meter, a->request_id, 15000, ret), "no usage event");
}

bool answered_has(const struct answered *a, const char *text)
{
    return a->bytes.n > 0 && memmem(a->bytes.p, a->bytes.n, text, strlen(text)) != NULL;
}
