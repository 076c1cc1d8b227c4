#include "tests/unit/gateway_world.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/clock.h"
#include "tests/lib/slow.h"
#include "tests/unit/answer_fake.h"
#include "tests/unit/upload_fake.h"

/* ---- the fakes --------------------------------------------------------------------------------------------------- */

struct script script = {.lock = PTHREAD_MUTEX_INITIALIZER};

const struct script *look(void)
{
    static struct script copy; /* the tests are one thread */

    pthread_mutex_lock(&script.lock);
    memcpy(&copy, &script, sizeof(copy));
    pthread_mutex_unlock(&script.lock);
    return &copy;
}

static unsigned look_delay_ms(void)
{
    unsigned ms;

    pthread_mutex_lock(&script.lock);
    ms = script.admit_delay_ms;
    pthread_mutex_unlock(&script.lock);
    return ms;
}

static void *admit_late(void *ctx)
{
    usleep(look_delay_ms() * 1000);
    svc_finish(ctx, ST_OK);
    return NULL;
}

static enum status admit(struct svc_call *call, const void *in, void *out)
{
    static const struct rate_limits limits = {
        .limit_requests = 60, .remaining_requests = 59, .reset_requests_ms = 1000};
    static const struct price price = {.id = 7, .input_pico = 1000000, .output_pico = 2000000};
    static const struct call_route route = {.provider = {"p", 1}, .upstream_model = {"up", 2}, .price = {&price, 1}};
    const struct admit_req *req = in;
    struct admit_rep *rep = out;
    enum status st;
    pthread_t t;

    pthread_mutex_lock(&script.lock);
    st = script.one_at_once && script.admitted != script.done ? ST_RATE_CONCURRENT : script.admit_with;
    script.admitted += st == ST_OK;
    script.admitted_early += script.lasts == 0;
    script.estimate = req->prompt_tokens_estimate;
    script.choices = req->choices;
    script.output_limit = req->max_output_tokens;
    script.free = req->free;
    script.context_tokens = req->context_tokens;
    slice_copy(req->context, script.context, sizeof(script.context));
    slice_copy(req->provider, script.provider, sizeof(script.provider));
    script.max_input_pico = WIRE_HAS(req, 10) ? req->max_input_pico : -1;
    script.max_output_pico = WIRE_HAS(req, 11) ? req->max_output_pico : -1;
    memcpy(script.digest, req->key_digest.p, sizeof(script.digest));
    slice_copy(req->request_id, script.request_id, sizeof(script.request_id));
    slice_copy(req->model, script.admit_model, sizeof(script.admit_model));
    script.admit_batch = req->batch.n ? req->batch.items[0] : (struct batch_worth){.requests = 0};
    assert_true(!req->batch.n || slice_eq(req->batch.items[0].model, req->model));
    pthread_mutex_unlock(&script.lock);
    if (st != ST_OK) {
        call->limits = limits;
        call->limits.has = 2;
        err_set(&call->err, st, "no");
        call->err.retry_after_ms = 1500;
        return st;
    }
    *rep = (struct admit_rep){.user_id = slice_of("usr_1"),
                              .key_id = slice_of("key_1"),
                              .routes = {&route, 1},
                              .hold_nano = 5,
                              .limits = {&limits, 1},
                              .prompt_tokens_held = look()->prompt_held,
                              .price_percent = req->batch.n ? 50 : 0,
                              .batch_output = req->batch.n ? 1234 : 0};
    if (!look_delay_ms())
        return ST_OK;
    assert_int_equal(pthread_create(&t, NULL, admit_late, call), 0);
    pthread_detach(t);
    return ST_PENDING;
}

static enum status admit_done(struct svc_call *call, const void *in, void *out)
{
    (void)call;
    (void)in;
    (void)out;
    pthread_mutex_lock(&script.lock);
    script.done++;
    pthread_mutex_unlock(&script.lock);
    return ST_OK;
}

static enum status asserted(struct svc_call *call, const void *in, void *out)
{
    const struct holds_assert_req *req = in;
    const struct hold_state *h = req->holds.n ? &req->holds.items[req->holds.n - 1] : NULL;

    (void)call;
    (void)out;
    pthread_mutex_lock(&script.lock);
    script.asserts++;
    script.lasts += req->last;
    script.holds += (unsigned)req->holds.n;
    slice_copy(req->instance, script.asserted_by, sizeof(script.asserted_by));
    if (h) {
        slice_copy(h->request_id, script.hold_id, sizeof(script.hold_id));
        slice_copy(h->user_id, script.hold_user, sizeof(script.hold_user));
        slice_copy(h->key_id, script.hold_key, sizeof(script.hold_key));
        assert_int_equal(h->key_digest.n, sizeof(script.hold_digest));
        memcpy(script.hold_digest, h->key_digest.p, sizeof(script.hold_digest));
        script.hold_nano = h->amount_nano;
        script.hold_lease_ms = h->lease_ms;
        script.hold_running = h->running;
    }
    pthread_mutex_unlock(&script.lock);
    return ST_OK;
}

static enum status session(struct svc_call *call, const void *in, void *out)
{
    const struct session_check_req *req = in;
    struct session_check_rep *rep = out;

    if (!slice_is(req->access_token, "user") && !slice_is(req->access_token, "admin"))
        return err_set(&call->err, ST_UNAUTHENTICATED, "no");
    rep->user_id = slice_of("usr_1");
    rep->role = slice_of(slice_is(req->access_token, "admin") ? "admin" : "user");
    rep->session_id = slice_of("ses_1");
    return ST_OK;
}

static enum status models(struct svc_call *call, const void *in, void *out)
{
    static const struct model_info all[] = {
        {.id = {"a/one", 5}, .object = {"model", 5}, .created = 86400, .owned_by = {"a", 1}},
        {.id = {"b/two", 5}, .object = {"model", 5}, .created = 0, .owned_by = {"b", 1}}};
    const struct models_req *req = in;
    struct models_rep *rep = out;

    if (req->key_only) {
        enum status st;

        pthread_mutex_lock(&script.lock);
        st = script.key_with;
        script.keys_asked++;
        pthread_mutex_unlock(&script.lock);
        return st == ST_OK ? ST_OK : err_set(&call->err, st, "who is that?");
    }
    rep->data.items = all;
    rep->data.n = req->model.n ? 1 : 2;
    if (slice_is(req->model, "none"))
        rep->data.n = 0;
    return ST_OK;
}

static enum status sync_state(struct svc_call *call, const void *in, void *out)
{
    const struct state_sync_req *req = in;

    (void)call;
    (void)out;
    pthread_mutex_lock(&script.lock);
    script.syncs += req->revision == 42;
    pthread_mutex_unlock(&script.lock);
    return ST_OK;
}

static void send_head(struct svc_call *call, unsigned status, const char *type)
{
    struct response_head head = {.http_status = status,
                                 .content_type = slice_of(type),
                                 .provider = slice_of("p"),
                                 .instance = slice_of("i"),
                                 .attempts = 1};

    svc_send_message(call, &response_head_desc, &head, NULL);
}

void finish(struct svc_call *call, enum status st)
{
    struct completion_rep *rep = svc_out(call);

    *rep =
        (struct completion_rep){.prompt_tokens = 10, .completion_tokens = 5, .outcome = slice_of("ok"), .attempts = 1};
    if (st != ST_OK)
        err_set(&call->err, st, "it failed");
    svc_finish(call, st);
}

/* Under the lock. NULL = it has ended. */
static struct svc_call *take_newest(void)
{
    struct svc_call *call = script.call;

    script.call = NULL;
    if (call)
        script.hung[script.n_hung % HUNG_MAX] = NULL;
    return call;
}

struct svc_call *take_hung(void)
{
    struct svc_call *call;

    pthread_mutex_lock(&script.lock);
    call = take_newest();
    pthread_mutex_unlock(&script.lock);
    return call;
}

/* Under the lock. Sends while there is room. */
static void send_much(void)
{
    static const char end[] = "\n\n" DONE;
    const size_t n = 4096;
    char piece[4096 + sizeof(end) - 1];
    int64_t room = 1;

    memset(piece, 'x', n);
    memcpy(piece + n, end, sizeof(end) - 1);
    while (script.call && room > 0 && script.much_sent < script.much_total) {
        bool last = script.act == MUCH && script.much_sent + n >= script.much_total;

        if (svc_send(script.call, (struct slice){piece, last ? sizeof(piece) : n}, &room) != ST_OK)
            break;
        script.much_sent += n;
    }
    if (script.call && script.much_sent >= script.much_total)
        finish(take_newest(), ST_OK);
}

static void on_room(void *ctx, uint64_t tag)
{
    (void)ctx;
    (void)tag;
    pthread_mutex_lock(&script.lock);
    send_much();
    pthread_mutex_unlock(&script.lock);
}

static void on_cancel(void *ctx, uint64_t tag)
{
    struct svc_call *call;

    (void)ctx;
    pthread_mutex_lock(&script.lock);
    call = script.hung[tag % HUNG_MAX]; /* unless a test has taken it */
    script.hung[tag % HUNG_MAX] = NULL;
    if (tag == script.n_hung)
        script.call = NULL;
    script.cancelled++;
    script.cancelled_ms = clock_ms();
    pthread_mutex_unlock(&script.lock);
    if (call)
        finish(call, ST_CANCELLED);
}

static const struct xchg_call_events call_events = {.cancel = on_cancel, .window = on_room};

/* A test sees the call, by script.call or by what the client hears, only when it is watched and may be ended. */
static enum status hang(struct svc_call *call, const char *says)
{
    uint64_t tag;

    pthread_mutex_lock(&script.lock);
    script.much_sent = 0;
    tag = ++script.n_hung;
    script.call = NULL;
    script.hung[tag % HUNG_MAX] = call;
    pthread_mutex_unlock(&script.lock);
    svc_watch(call, &call_events, NULL, tag); /* may cancel it at once */
    pthread_mutex_lock(&script.lock);
    if (script.hung[tag % HUNG_MAX] == call) {
        script.call = call;
        if (says)
            svc_send(call, slice_of(says), NULL);
    }
    pthread_mutex_unlock(&script.lock);
    return ST_PENDING;
}

/* Under the lock. */
static void note_request(const struct completion_req *req)
{
    size_t i, n = 0;

    script.body_bytes = req->body.n;
    slice_copy(req->body, script.body, sizeof(script.body));
    slice_copy(req->endpoint, script.endpoint, sizeof(script.endpoint));
    slice_copy(req->model, script.model, sizeof(script.model));
    slice_copy(req->path, script.path, sizeof(script.path));
    slice_copy(req->method, script.method, sizeof(script.method));
    slice_copy(req->content_type, script.type, sizeof(script.type));
    script.stream = req->stream;
    script.prompt_tokens = req->prompt_tokens_estimate;
    script.price_percent = req->price_percent;
    script.provider_held = req->prompt_tokens_held;
    script.provider_output_limit = req->output_limit;
    script.batch = req->batch.n ? req->batch.items[0] : (struct batch_worth){.requests = 0};
    slice_copy(script.batch.model, script.batch_model, sizeof(script.batch_model));
    script.headers[0] = '\0';
    for (i = 0; i < req->headers.n; i++)
        n += (size_t)snprintf(script.headers + n, sizeof(script.headers) - n, SLICE_FMT "=" SLICE_FMT ";",
                              SLICE_ARG(req->headers.items[i].name), SLICE_ARG(req->headers.items[i].value));
}

/* The test may go on to its next call before this one is through. */
static enum status say_all(struct svc_call *call)
{
    const char *type, *say[SAY_MAX];
    enum status end;
    unsigned i, status;

    pthread_mutex_lock(&script.lock);
    status = script.say_status ? script.say_status : 200;
    type = script.say_type;
    end = script.say_end;
    memcpy(say, script.say, sizeof(say));
    pthread_mutex_unlock(&script.lock);
    send_head(call, status, type);
    for (i = 0; i < SAY_MAX && say[i]; i++)
        svc_send(call, slice_of(say[i]), NULL);
    finish(call, end);
    return ST_PENDING;
}

static enum status complete(struct svc_call *call, const void *in, void *out)
{
    const struct completion_req *req = in;
    unsigned attempt;
    enum act act;

    (void)out;
    pthread_mutex_lock(&script.lock);
    attempt = ++script.begun;
    act = script.act;
    note_request(req);
    pthread_mutex_unlock(&script.lock);
    switch (act) {
    case REFUSE: return err_set(&call->err, ST_DRAINING, "not here");
    case REFUSE_ONCE:
        if (attempt == 1)
            return err_set(&call->err, ST_DRAINING, "not here");
        __attribute__((fallthrough));
    case PLAIN:
        send_head(call, 200, "application/json");
        svc_send(call, slice_of("{\"a\":"), NULL);
        svc_send(call, slice_of("1}"), NULL);
        break;
    case ERROR_404:
        send_head(call, 404, "application/json");
        svc_send(call, slice_of("{\"error\":{}}"), NULL);
        break;
    case STREAMED:
        send_head(call, 200, "text/event-stream; charset=utf-8");
        svc_send(call, slice_of(EVENT EVENT), NULL);
        svc_send(call, slice_of(EVENT DONE), NULL);
        break;
    case FAIL: finish(call, ST_UPSTREAM); return ST_PENDING;
    case BREAK:
        send_head(call, 200, "text/event-stream");
        svc_send(call, slice_of(EVENT), NULL);
        finish(call, ST_UPSTREAM);
        return ST_PENDING;
    case HANG: send_head(call, 200, "text/event-stream"); return hang(call, EVENT);
    case MUCH:
        send_head(call, 200, "text/event-stream");
        hang(call, NULL);
        on_room(NULL, 1);
        return ST_PENDING;
    case HUGE_ANSWER:
        send_head(call, 200, "application/json");
        hang(call, NULL);
        on_room(NULL, 1);
        return ST_PENDING;
    case SAY: return say_all(call);
    case SILENT: return hang(call, NULL);
    case UPLOAD: return upload_fake_begin(call, req);
    }
    finish(call, ST_OK);
    return ST_PENDING;
}

static enum status void_call(struct svc_call *call, const void *in, void *out)
{
    const struct usage_void_req *req = in;
    bool first;

    (void)out;
    if (req->event.n != 1)
        return err_set(&call->err, ST_BAD_MESSAGE, "one event");
    pthread_mutex_lock(&script.lock);
    first = script.voids++ == 0;
    script.void_status = req->event.items[0].http_status;
    slice_copy(req->event.items[0].request_id, script.void_id, sizeof(script.void_id));
    pthread_mutex_unlock(&script.lock);
    if (first) /* the first time meterd is not well: it must be told again */
        return err_set(&call->err, ST_UNAVAILABLE, "later");
    return ST_OK;
}

/* What ends with "mine" is kept by "keeper", what ends with "else" by another. */
static enum status find_object(struct svc_call *call, const void *in, void *out)
{
    const struct object_find_req *req = in;
    struct object_find_rep *rep = out;
    static struct batch_worth worth; /* the tests ask one by one */
    uint64_t tokens;
    bool known, down;

    pthread_mutex_lock(&script.lock);
    worth = script.worth;
    known = ++script.objects_asked > script.objects_late;
    down = script.objects_down;
    tokens = script.object_tokens;
    memcpy(script.digest, req->key_digest.p, sizeof(script.digest));
    pthread_mutex_unlock(&script.lock);
    if (down)
        return err_set(&call->err, ST_INTERNAL, "broken");
    if (req->object_id.n < 4 || !known)
        return err_set(&call->err, ST_NOT_FOUND, "no");
    if (!memcmp(req->object_id.p + req->object_id.n - 4, "mine", 4))
        rep->provider = slice_of("keeper");
    else if (!memcmp(req->object_id.p + req->object_id.n - 4, "else", 4))
        rep->provider = slice_of("another");
    else
        return err_set(&call->err, ST_NOT_FOUND, "no");
    rep->tokens = tokens;
    rep->worth.items = &worth;
    rep->worth.n = worth.requests > 0;
    return ST_OK;
}

static enum status list_keys(struct svc_call *call, const void *in, void *out)
{
    static const struct api_key key = {
        .id = {"key_1", 5}, .user_id = {"usr_1", 5}, .name = {"n", 1}, .prefix = {"sk", 2}, .status = {"active", 6}};
    const struct key_list_req *req = in;
    struct key_list_rep *rep = out;

    if (!slice_is(req->actor_id, "usr_1"))
        return err_set(&call->err, ST_INTERNAL, "whose?");
    rep->data.items = &key;
    rep->data.n = 1;
    rep->next = req->limit == 1 ? slice_of("next\"page") : (struct slice){NULL, 0};
    return ST_OK;
}

static enum status revoke_key(struct svc_call *call, const void *in, void *out)
{
    const struct key_revoke_req *req = in;
    struct empty *rep = out;

    rep->revision = 42;
    return slice_is(req->id, "key/1") ? ST_OK : err_set(&call->err, ST_NOT_FOUND, "no such key");
}

static const struct svc_route auth_routes[] = {
    {&admit_req_desc, &admit_rep_desc, admit},       {&admit_done_req_desc, &empty_desc, admit_done},
    {&holds_assert_req_desc, &empty_desc, asserted}, {&session_check_req_desc, &session_check_rep_desc, session},
    {&state_sync_req_desc, &empty_desc, sync_state}, {&models_req_desc, &models_rep_desc, models},
};
static const struct svc_route provider_routes[] = {{&completion_req_desc, &completion_rep_desc, complete}};
static const struct svc_route meter_routes[] = {
    {&usage_void_req_desc, &empty_desc, void_call},
    {&answer_begin_req_desc, &answer_begin_rep_desc, answer_fake_begin},
    {&answer_put_req_desc, &empty_desc, answer_fake_put},
    {&key_list_req_desc, &key_list_rep_desc, list_keys},
    {&object_find_req_desc, &object_find_rep_desc, find_object},
    {&key_revoke_req_desc, &empty_desc, revoke_key},
};

#define FAKE(service, address, table)                                                                                  \
    static const struct svc_def service = {.name = #service,                                                           \
                                           .settings = SET_G,                                                          \
                                           .self = address,                                                            \
                                           .routes = table,                                                            \
                                           .n_routes = sizeof(table) / sizeof((table)[0])}
FAKE(fake_auth, SVC_AUTHSVC, auth_routes);
FAKE(fake_provider, SVC_PROVIDERSVC, provider_routes);
FAKE(fake_meter, SVC_METERD, meter_routes);

/* ---- the world --------------------------------------------------------------------------------------------------- */

static char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

/* Calls wait for them, but not for as long as a busy machine may need. */
static void wait_for_peers(struct svc *gateway)
{
    uint64_t end = clock_ms() + slow_ms(WAIT_MS);
    unsigned p, found = 0;

    while (found < SVC_PEERS && clock_ms() < end) {
        for (p = found = 0; p < SVC_PEERS; p++)
            found += xchg_client_ready(svc_peer(gateway, p)) == 1;
        if (found < SVC_PEERS)
            usleep(500);
    }
    assert_int_equal(found, SVC_PEERS);
}

int gateway_world_start(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct settings *s = &w->settings;
    struct err err = {.status = ST_OK};

    assert_non_null(w);
    *state = w;
    w->answer = malloc(ANSWER_MAX + 1);
    assert_non_null(w->answer);
    assert_int_equal(settings_load(s, SET_G, no_env, NULL), ST_OK);
    settings_set(&s->authsvc_url, "inproc://gw-auth");
    settings_set(&s->providersvc_url, "inproc://gw-provider");
    settings_set(&s->meterd_url, "inproc://gw-meter");
    settings_set(&s->log_level, "error");
    s->port = 0;
    s->max_connections = 16;
    s->max_body_bytes = 100000;
    script = (struct script){.lock = PTHREAD_MUTEX_INITIALIZER};
    answer_fake_reset();
    assert_int_equal(svc_start(&fake_auth, s, &w->auth, &err), ST_OK);
    assert_int_equal(svc_start(&fake_provider, s, &w->provider, &err), ST_OK);
    assert_int_equal(svc_start(&fake_meter, s, &w->meter, &err), ST_OK);
    if (svc_start(&gateway_def, s, &w->gateway, &err) != ST_OK)
        fail_msg("%s", err.text);
    wait_for_peers(w->gateway);
    return 0;
}

int gateway_world_stop(void **state)
{
    struct world *w = *state;

    svc_drain(w->gateway, 1000);
    svc_stop(w->gateway);
    svc_stop(w->provider);
    svc_stop(w->auth);
    svc_stop(w->meter);
    settings_fini(&w->settings);
    free(w->answer);
    free(w);
    return 0;
}

void stop_auth(struct world *w)
{
    svc_stop(w->auth);
    w->auth = NULL;
    pthread_mutex_lock(&script.lock);
    script.asserts = script.lasts = script.holds = script.admitted_early = 0;
    pthread_mutex_unlock(&script.lock);
}

void start_auth(struct world *w)
{
    assert_int_equal(svc_start(&fake_auth, &w->settings, &w->auth, NULL), ST_OK);
}

int connect_to(const struct world *w, int receive_buffer)
{
    const struct gateway *gw = svc_state(w->gateway);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)gw->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = (time_t)slow_ms(WAIT_MS) / 1000};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    union {
        struct sockaddr_in *in;
        struct sockaddr *any;
    } address = {.in = &to};

    assert_true(fd >= 0);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, address.any, sizeof(to)), 0);
    return fd;
}

void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

void post(int fd, const char *path, const char *body, const char *more)
{
    char text[4096];

    snprintf(text, sizeof(text),
             "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " KEY "\r\n%sContent-Length: %zu\r\n\r\n%s", path,
             more, strlen(body), body);
    say(fd, text);
}

size_t header_end(const struct world *w)
{
    const char *end = memmem(w->answer, w->n, "\r\n\r\n", 4);

    return end ? (size_t)(end - w->answer) + 4 : 0;
}

void must_have(const struct world *w, const char *text, const char *file, int line)
{
    if (strstr(w->answer, text))
        return;
    print_error("'%s' is not in: %.2000s\n", text, w->answer);
    _fail(file, line);
}

bool ended(const struct world *w)
{
    size_t head = header_end(w);
    const char *length;

    if (!head)
        return false;
    if (memmem(w->answer, head, "transfer-encoding: chunked", 26))
        return w->n >= head + 5 && !memcmp(w->answer + w->n - 5, "0\r\n\r\n", 5);
    length = memmem(w->answer, head, "content-length: ", 16);
    return !length || w->n >= head + strtoul(length + 16, NULL, 10);
}

/* Reads one answer, or until `until` is in it, or to the end of the connection. */
const char *hear(struct world *w, int fd, const char *until)
{
    size_t from = 0, overlap = until ? strlen(until) : 0; /* what was searched before is not searched again */
    ssize_t got;

    w->n = 0;
    w->answer[0] = '\0';
    while (until ? !strstr(w->answer + from, until) : !ended(w)) {
        from = w->n > overlap ? w->n - overlap : 0;
        got = recv(fd, w->answer + w->n, ANSWER_MAX - w->n, 0);
        if (got <= 0)
            break;
        w->n += (size_t)got;
        w->answer[w->n] = '\0';
    }
    return w->answer;
}

bool reached(const unsigned *counter, unsigned value)
{
    uint64_t end = clock_ms() + slow_ms(WAIT_MS);
    unsigned now;

    do {
        pthread_mutex_lock(&script.lock);
        now = *counter;
        pthread_mutex_unlock(&script.lock);
        if (now >= value)
            return true;
        usleep(1000);
    } while (clock_ms() < end);
    return false;
}
