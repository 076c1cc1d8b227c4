#include "authsvc/authsvc.h"

#include <string.h>
#include <time.h>

#include <sodium.h>

#include "authsvc/redis.h"
#include "authsvc/tokens.h"
#include "services/clock.h"
#include "services/voids.h"

#define TICK_MS 100
#define TICK_WINDOW_MS 10 /* while calls may be parked */
#define AUTHSVC_CURRENT_MS (3u * FEED_HEARTBEAT_MS) /* a state that is older is not current */
#define TICK_SLOTS 8192u /* places of the table of holds looked at in each tick */
#define SCRATCH_MAX (4u * LIMIT_RECORD)
#define SIGNUP_CREDIT_LOOPBACK (5 * MONEY_NANO_PER_USD)

/* Outcomes of admission that are counted by name; the last stands for all others. */
static const enum status outcomes[AUTHSVC_OUTCOMES] = {
    ST_OK,          ST_UNAUTHENTICATED, ST_FORBIDDEN, ST_NOT_FOUND,   ST_RATE_REQUESTS,
    ST_RATE_TOKENS, ST_RATE_CONCURRENT, ST_NO_FUNDS,  ST_UNAVAILABLE, ST_INTERNAL,
};
static const double admit_bounds[] = {1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 0};

struct authsvc *authsvc_of(struct svc_call *call)
{
    return svc_state(call->svc);
}

void authsvc_finish(struct svc_call *call, enum status st)
{
    if (!atomic_load(&authsvc_of(call)->stopped))
        svc_finish(call, st);
}

void authsvc_saw(struct svc_call *call, enum security_kind kind, struct slice subject, struct slice client_ip)
{
    sightings_note(authsvc_of(call)->sightings, &(struct sighting){kind, subject, client_ip, 0});
}

/* ---- questions to meterd ------------------------------------------------------------------------------------------
 */

struct asked {
    struct svc_call *call;
    struct authsvc *self;
    struct authsvc_ask ask;
    void *reply;
};

static void answered(void *ctx, enum status st, struct slice payload)
{
    struct asked *a = ctx;
    struct wire_alloc mem;

    if (atomic_load(&a->self->stopped))
        return;
    mem = arena_wire(a->call->arena);
    st = call_result(st, payload, a->ask.rep, a->reply, &mem, &a->call->err, NULL);
    st = a->ask.done(a->call, st, st == ST_OK ? a->reply : NULL, a->ask.ctx);
    if (st != ST_PENDING)
        authsvc_finish(a->call, st);
}

enum status authsvc_ask(struct svc_call *call, const struct authsvc_ask *ask)
{
    static const struct xchg_events events = {.end = answered};
    struct asked *a = arena_alloc(call->arena, sizeof(*a));
    void *reply = arena_alloc(call->arena, ask->rep->size);
    struct xchg_open open = {.deadline_ms = AUTHSVC_METERD_MS, .events = &events, .ctx = a};
    struct xchg_id id;
    enum status st;

    if (!a || !reply)
        return ST_NO_MEMORY;
    *a = (struct asked){call, authsvc_of(call), *ask, reply};
    a->ask.in = NULL; /* the request is the caller's, gone when he returns */
    st = call_open(svc_peer(call->svc, SVC_METERD), ask->req, ask->in, &open, &id, &call->err);
    return st == ST_OK ? ST_PENDING : st;
}

/* ---- admission ----------------------------------------------------------------------------------------------------
 */

static void count_admission(struct authsvc *self, enum status st, uint64_t began_ns)
{
    size_t i = 0;

    while (i < AUTHSVC_OUTCOMES - 1 && outcomes[i] != st)
        i++;
    metric_add(self->admissions[i], 1);
    metric_observe_ns(self->admit_seconds, clock_ns() - began_ns);
}

/* A key that may be somebody else's, or a guess; counted, and told to the log where a good key came from elsewhere. */
static void note_suspect(struct svc_call *call, const struct suspect_key *key, struct slice digest,
                         struct slice client_ip, struct slice request_id)
{
    struct sighting seen = {.address = client_ip};

    if (!key->found)
        return;
    seen.kind = key->kind;
    seen.subject = slice_of(key->id);
    if (key->kind == SECURITY_KEY_GUESSING && digest.n >= sizeof(seen.what))
        memcpy(&seen.what, digest.p, sizeof(seen.what)); /* a mistake that is repeated is no guessing */
    sightings_note(authsvc_of(call)->sightings, &seen);
    if (key->kind == SECURITY_IP_NOT_ALLOWED)
        log_event(svc_log(call->svc), LOG_WARN, request_id, "ip_not_allowed", LOG_C("key_id", key->id),
                  LOG_S("client_ip", client_ip));
}

void authsvc_note_suspect(struct svc_call *call, const struct suspect_key *key, const struct admit_req *req)
{
    note_suspect(call, key, req->key_digest, req->client_ip, req->request_id);
}

static enum status decide_alone(struct svc_call *call, const struct admit_req *req, uint64_t began_ns)
{
    struct suspect_key suspect = {.found = false};
    struct admission_env env = {.now_ms = began_ns / 1000000,
                                .wall_s = clock_wall_ms() / 1000,
                                .arena = call->arena,
                                .limits = &call->limits,
                                .suspect = &suspect};
    enum status st = admission_admit(&authsvc_of(call)->admission, &env, req, svc_out(call), &call->err);

    authsvc_note_suspect(call, &suspect, req);
    return st;
}

static enum status decide(struct svc_call *call, const void *in, void *out)
{
    uint64_t began_ns = clock_ns();
    enum status st = authsvc_decide(call, in, began_ns);

    (void)out;
    if (st != ST_PENDING)
        count_admission(authsvc_of(call), st, began_ns);
    return st;
}

/* Which way it goes may change while it is looked at: then it is looked at again. */
enum status authsvc_decide(struct svc_call *call, const struct admit_req *req, uint64_t began_ns)
{
    struct authsvc *self = authsvc_of(call);
    enum status st = ST_OK;

    while (st == ST_OK) {
        switch (authsvc_sharing(self)) {
        case SHARING_NOT: return decide_alone(call, req, began_ns);
        case SHARING_ON: return authsvc_admit_shared(call, req, began_ns);
        case SHARING_AWAY: return authsvc_away(call);
        case SHARING_SOON: st = window_park(&self->filling, call, req, decide); break;
        }
    }
    return st;
}

void authsvc_admitted(struct svc_call *call, enum status st, uint64_t began_ns)
{
    count_admission(authsvc_of(call), st, began_ns);
    authsvc_finish(call, st);
}

static enum status admit(struct svc_call *call, const void *in, void *out)
{
    enum status st = window_park(&authsvc_of(call)->window, call, in, decide);

    return st == ST_OK ? decide(call, in, out) : st;
}

static enum status admit_done(struct svc_call *call, const void *in, void *out)
{
    const struct admit_done_req *req = in;

    (void)out;
    admission_done(&authsvc_of(call)->admission, req->request_id);
    if (authsvc_of(call)->shared)
        shared_done(authsvc_of(call)->shared, req->request_id);
    return ST_OK;
}

static enum status models(struct svc_call *call, const void *in, void *out)
{
    const struct models_req *req = in;
    struct suspect_key suspect = {.found = false};
    struct admission_env env = {
        .now_ms = clock_ms(), .wall_s = clock_wall_ms() / 1000, .arena = call->arena, .suspect = &suspect};
    enum status st;

    st = admission_models(&authsvc_of(call)->admission, &env, req, out, &call->err);
    note_suspect(call, &suspect, req->key_digest, req->client_ip, LOG_NO_REQ);
    return st;
}

static enum status state_sync(struct svc_call *call, const void *in, void *out)
{
    const struct state_sync_req *req = in;

    (void)out;
    return sync_wait(&authsvc_of(call)->sync, call, req->revision, clock_ms());
}

/* ---- the state feed -----------------------------------------------------------------------------------------------
 */

static void on_reset(void *ctx)
{
    struct authsvc *self = svc_state(ctx);

    admission_reset(&self->admission);
}

/* Ended by another of us, or before we were restarted. */
static enum status session_ended(struct authsvc *self, const struct state_change *change, struct err *err)
{
    struct wire_alloc mem = arena_wire(&self->scratch);
    struct session_ended over;
    enum status st = wire_decode(&session_ended_desc, change->record.p, change->record.n, &over, &mem, err);

    if (st == ST_OK)
        ended_add(&self->ended, over.session_id, clock_ms());
    return st;
}

static void on_change(void *ctx, const struct state_change *change)
{
    struct authsvc *self = svc_state(ctx);
    struct err err = {.status = ST_OK};
    enum status st;

    arena_reset(&self->scratch);
    if (change->kind == session_ended_desc.type)
        st = session_ended(self, change, &err);
    else
        st = admission_change(&self->admission, clock_ms(), change, &self->scratch, &err);
    if (st != ST_OK)
        log_event(svc_log(ctx), LOG_ERROR, LOG_NO_REQ, "state_record_lost", LOG_N("kind", change->kind),
                  LOG_N("revision", change->revision), LOG_C("why", err.text));
}

static void on_applied(void *ctx, uint64_t revision)
{
    struct authsvc *self = svc_state(ctx);

    admission_applied(&self->admission);
    atomic_store(&self->current_ms, clock_ms());
    if (atomic_load(&self->window.open))
        recent_begin(&self->recent, revision);
    sync_reached(&self->sync, revision);
}

static const struct feed_follow_events follow = {on_reset, on_change, on_applied};

/* ---- the ticker ---------------------------------------------------------------------------------------------------
 */

static void watch_window(struct authsvc *self, uint64_t now_ms)
{
    bool loaded = admission_loaded(&self->admission);
    size_t parked;

    window_late(&self->window, now_ms, loaded);
    if (!window_due(&self->window, now_ms, loaded && atomic_load(&self->recent.done)))
        return;
    parked = window_close(&self->window, ST_OK);
    log_event(svc_log(self->svc), LOG_INFO, LOG_NO_REQ, "holds_known", LOG_N("parked", parked),
              LOG_N("after_ms", now_ms - self->window.began_ms), LOG_N("recent", atomic_load(&self->recent.found)));
}

static void tick(struct authsvc *self, uint64_t now_ms)
{
    struct admission_figures f;
    size_t expired = 0;

    /* What is not asserted any more may have been billed, and we not yet told: then its credit must not be free. */
    if (now_ms < atomic_load(&self->current_ms) + AUTHSVC_CURRENT_MS)
        expired = admission_expire(&self->admission, now_ms, TICK_SLOTS);
    if (self->shared && now_ms < atomic_load(&self->current_ms) + AUTHSVC_CURRENT_MS)
        authsvc_expire_shared(self);

    if (expired)
        log_event(svc_log(self->svc), LOG_WARN, LOG_NO_REQ, "holds_expired", LOG_N("holds", expired));
    voids_tick(self->lapsed);
    sightings_tick(self->sightings);
    sync_expire(&self->sync, now_ms);
    ended_expire(&self->ended, now_ms);
    admission_figures(&self->admission, now_ms, &f);
    metric_set(self->holds_open, (int64_t)f.holds);
    metric_set(self->held_nano, f.held_nano);
    metric_set(self->hold_oldest, (int64_t)(f.oldest_ms / 1000));
}

static void watch_shared(struct authsvc *self, uint64_t now_ms)
{
    if (self->shared)
        shared_tick(self->shared, now_ms);
}

static void *tick_thread(void *ctx)
{
    struct authsvc *self = ctx;
    uint64_t now_ms, ticked_ms = 0;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    pthread_mutex_lock(&self->tick_lock);
    while (!self->tick_stop) {
        until.tv_nsec += (atomic_load(&self->window.open) ? TICK_WINDOW_MS : TICK_MS) * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_nsec -= 1000000000L;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&self->tick, &self->tick_lock, &until);
        if (self->tick_stop)
            break;
        pthread_mutex_unlock(&self->tick_lock);
        now_ms = clock_ms();
        watch_window(self, now_ms);
        watch_shared(self, now_ms);
        if (now_ms >= ticked_ms + TICK_MS / 2) { /* half: no tick is left out for a millisecond */
            tick(self, now_ms);
            ticked_ms = now_ms;
        }
        pthread_mutex_lock(&self->tick_lock);
    }
    pthread_mutex_unlock(&self->tick_lock);
    return NULL;
}

static enum status start_ticker(struct authsvc *self, struct err *err)
{
    if (pthread_create(&self->ticker, NULL, tick_thread, self))
        return err_set(err, ST_INTERNAL, "cannot start a thread");
    self->tick_running = true;
    return ST_OK;
}

static void stop_ticker(struct authsvc *self)
{
    if (!self->tick_running)
        return;
    pthread_mutex_lock(&self->tick_lock);
    self->tick_stop = true;
    pthread_cond_signal(&self->tick);
    pthread_mutex_unlock(&self->tick_lock);
    pthread_join(self->ticker, NULL);
    self->tick_running = false;
}

/* ---- life ---------------------------------------------------------------------------------------------------------
 */

static bool is_loopback(const char *host)
{
    return !strncmp(host, "127.", 4) || !strcmp(host, "::1") || !strcmp(host, "[::1]") || !strcmp(host, "localhost");
}

static void read_settings(struct authsvc *self, const struct settings *s)
{
    bool local = is_loopback(s->host);

    self->signup_invite = !strcmp(s->signup, "invite");
    self->signup_open = self->signup_invite || !strcmp(s->signup, "open") || (!strcmp(s->signup, "auto") && local);
    self->signup_credit_nano = s->signup_credits;
    if (s->signup_credits == SETTINGS_USD_AUTO)
        self->signup_credit_nano = local ? SIGNUP_CREDIT_LOOPBACK : 0;
}

static void make_metrics(struct authsvc *self, struct metrics *m)
{
    static const char *const login_labels[LOGIN_OUTCOMES] = {"outcome=\"ok\"", "outcome=\"refused\"",
                                                             "outcome=\"throttled\""};
    char label[METRIC_LABELS_MAX];
    size_t i;

    for (i = 0; i < AUTHSVC_OUTCOMES; i++) {
        snprintf(label, sizeof(label), "outcome=\"%s\"", status_name(outcomes[i]));
        self->admissions[i] = metric_counter(m, "router_admissions_total", "Calls asked for, by decision.", label);
    }
    for (i = 0; i < LOGIN_OUTCOMES; i++)
        self->logins[i] = metric_counter(m, "router_logins_total",
                                         "Sign-ins, by outcome; tries at a current password that were refused, too.",
                                         login_labels[i]);
    self->admit_seconds =
        metric_histogram(m, "router_admit_seconds", "Time of an admission decision.", NULL, admit_bounds);
    self->holds_open = metric_gauge(m, "router_holds_open", "Calls admitted and not settled.", NULL);
    self->held_nano = metric_gauge(m, "router_held_nano_usd", "Credit held for them, in nano-USD.", NULL);
    self->hold_oldest = metric_gauge(m, "router_hold_oldest_age_seconds", "Age of the oldest hold.", NULL);
    self->holds_asserted =
        metric_counter(m, "router_holds_asserted_total", "Holds that gateways and providersvcs told us of.", NULL);
    self->holds_expired = metric_counter(m, "router_holds_expired_total", "Holds that nobody settled in time.", NULL);
    self->lapsed_waiting =
        metric_gauge(m, "router_holds_expired_waiting", "Of them not yet acknowledged by meterd.", NULL);
}

/* Peers in our own process began with it: they have nothing to assert. */
static bool of_this_process(const char *url)
{
    return !strncmp(url, "inproc:", 7);
}

static void init_parts(struct authsvc *self, const struct settings *s)
{
    pthread_condattr_t attr;

    admission_init(&self->admission, !strcmp(s->unpriced, "free"), (uint64_t)s->hold_grace_ms);
    self->admission.batch_percent = (uint64_t)s->batch_percent;
    window_init(&self->window, !of_this_process(s->authsvc_url));
    window_init(&self->filling, s->redis_url != NULL);
    throttle_init(&self->throttle);
    ended_init(&self->ended);
    sync_init(&self->sync);
    arena_init(&self->scratch, SCRATCH_MAX);
    pthread_mutex_init(&self->tick_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&self->tick, &attr);
    pthread_condattr_destroy(&attr);
}

static enum status init(struct svc *svc, struct err *err)
{
    struct authsvc *self = svc_state(svc);
    const struct settings *s = svc_settings(svc);
    enum status st;

    if (!s->jwt_secret || strlen(s->jwt_secret) < TOKENS_SECRET_MIN)
        return err_set(err, ST_BAD_REQUEST, "JWT_SECRET: not set; expected %u characters or more, kept secret",
                       TOKENS_SECRET_MIN);
    if (s->redis_url && redis_url_check(s->redis_url, err) != ST_OK)
        return ST_BAD_REQUEST;
    if (sodium_init() < 0)
        return err_set(err, ST_INTERNAL, "libsodium cannot be used");
    init_parts(self, s);
    recent_init(&self->recent, svc, &self->admission);
    self->svc = svc;
    read_settings(self, s);
    make_metrics(self, svc_metrics(svc));
    st = worker_new(metric_gauge(svc_metrics(svc), "router_hash_queue_depth", "Password hashes waiting.", NULL),
                    &self->worker, err);
    if (st == ST_OK)
        st = voids_new(svc, self->holds_expired, self->lapsed_waiting, &self->lapsed, err);
    if (st == ST_OK)
        st = sightings_new(svc, &self->sightings, err);
    self->admission.ears = (struct admission_ears){.lapsed = authsvc_hold_lapsed, .ctx = self};
    self->alone_when_away = !strcmp(s->redis_failure, "local");
    if (st == ST_OK && s->redis_url)
        st = authsvc_share(self, s->redis_url, err);
    return st == ST_OK ? start_ticker(self, err) : st;
}

static enum status start(struct svc *svc, struct err *err)
{
    struct authsvc *self = svc_state(svc);

    (void)err;
    window_begin(&self->window, clock_ms());
    return ST_OK;
}

/* Whoever waits is sent to another instance; the hash at work is finished. */
static void drain(struct svc *svc, uint64_t deadline_ms)
{
    struct authsvc *self = svc_state(svc);

    (void)window_close(&self->window, ST_DRAINING);
    (void)window_close(&self->filling, ST_DRAINING);
    sync_close(&self->sync);
    worker_close(self->worker);
    sightings_flush(self->sightings, deadline_ms < SIGHTINGS_CALL_MS ? deadline_ms : SIGHTINGS_CALL_MS);
}

static void fini(struct svc *svc)
{
    struct authsvc *self = svc_state(svc);

    if (!self->svc)
        return; /* init refused before it made anything */
    (void)window_close(&self->window, ST_DRAINING); /* its calls are whole even when the bus is gone */
    (void)window_close(&self->filling, ST_DRAINING);
    stop_ticker(self);
    shared_close(self->shared);
    atomic_store(&self->stopped, true);
    voids_free(self->lapsed);
    sightings_free(self->sightings);
    recent_close(&self->recent);
    worker_free(self->worker);
    arena_fini(&self->scratch);
    sync_fini(&self->sync);
    ended_fini(&self->ended);
    throttle_fini(&self->throttle);
    window_fini(&self->window);
    window_fini(&self->filling);
    shared_free(self->shared);
    admission_fini(&self->admission);
    pthread_cond_destroy(&self->tick);
    pthread_mutex_destroy(&self->tick_lock);
}

static void health(struct svc *svc, void (*add)(void *ctx, const char *name, bool ok, const char *detail), void *ctx)
{
    struct authsvc *self = svc_state(svc);
    struct admission_figures f;
    char text[LIMIT_NAME];

    admission_figures(&self->admission, clock_ms(), &f);
    snprintf(text, sizeof(text), "%zu users, %zu keys, %zu prices, %zu models, %zu providers", f.users, f.keys,
             f.prices, f.models, f.providers);
    add(ctx, "projection", !f.broken, text);
    snprintf(text, sizeof(text), "%zu open, the oldest for %llu s", f.holds, (unsigned long long)(f.oldest_ms / 1000));
    add(ctx, "holds", true, text);
    if (self->shared)
        add(ctx, "redis", shared_state(self->shared) == SHARED_ON, authsvc_sharing_text(self));
}

static const struct svc_route routes[] = {
    {&admit_req_desc, &admit_rep_desc, admit},
    {&admit_done_req_desc, &empty_desc, admit_done},
    {&holds_assert_req_desc, &empty_desc, authsvc_holds_assert},
    {&hold_extend_req_desc, &hold_extend_rep_desc, authsvc_hold_extend},
    {&holds_list_req_desc, &holds_list_rep_desc, authsvc_holds_list},
    {&models_req_desc, &models_rep_desc, models},
    {&session_check_req_desc, &session_check_rep_desc, authsvc_session_check},
    {&register_req_desc, &session_rep_desc, authsvc_register},
    {&login_req_desc, &session_rep_desc, authsvc_login},
    {&refresh_req_desc, &session_rep_desc, authsvc_refresh},
    {&logout_req_desc, &empty_desc, authsvc_logout},
    {&key_create_req_desc, &key_created_rep_desc, authsvc_key_create},
    {&key_update_req_desc, &key_rep_desc, authsvc_key_update},
    {&key_rotate_req_desc, &key_created_rep_desc, authsvc_key_rotate},
    {&credits_req_desc, &credits_rep_desc, authsvc_credits},
    {&admin_user_create_req_desc, &user_rep_desc, authsvc_admin_user_create},
    {&password_change_req_desc, &empty_desc, authsvc_password_change},
    {&admin_password_req_desc, &empty_desc, authsvc_admin_password},
    {&state_sync_req_desc, &empty_desc, state_sync},
};

const struct svc_def authsvc_def = {
    .name = "authsvc",
    .settings = SET_A,
    .state_size = sizeof(struct authsvc),
    .self = SVC_AUTHSVC,
    .peers = 1u << SVC_METERD,
    .routes = routes,
    .n_routes = sizeof(routes) / sizeof(routes[0]),
    .init = init,
    .start = start,
    .drain = drain,
    .fini = fini,
    .follow = &follow,
    .health = health,
};
