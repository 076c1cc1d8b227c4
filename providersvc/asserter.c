#include "providersvc/asserter.h"

#include <stdio.h>
#include <string.h>

#include "services/call.h"
#include "services/clock.h"

#define AT_ONCE 250u /* holds of one message, and events read at once */
#define ARENA_MAX (4u * 1024u * 1024u)
#define STACK_BYTES (512u * 1024u)
#define INSTANCE_PREFIX "providersvc:" /* authsvc tells by it that a providersvc has been heard */

/* One telling of all that is owed. */
struct round {
    struct asserter *a;
    struct arena arena; /* what holds point into */
    struct hold_state holds[AT_ONCE];
    size_t n, all;
    bool hurry; /* an authsvc waits for it */
    enum status st; /* of the first message that failed */
};

/* Under the lock. */
static void wait_until(struct asserter *a, uint64_t due_ms)
{
    while (!a->sleeper.closing && !a->joined && clock_ms() < due_ms)
        sleeper_wait(&a->sleeper, due_ms);
}

/* Not any more when an authsvc waits to hear all. */
static void rest(struct asserter *a)
{
    pthread_mutex_lock(&a->sleeper.lock);
    wait_until(a, clock_ms() + ASSERTER_REST_MS);
    pthread_mutex_unlock(&a->sleeper.lock);
}

static void send(struct round *r, bool last)
{
    struct holds_assert_req req = {.instance = slice_of(r->a->instance), .last = last};

    req.holds.items = r->holds;
    req.holds.n = r->n;
    if (r->st == ST_OK && (r->n || last))
        r->st = call_tell(r->a->authsvc, &holds_assert_req_desc, &req);
    r->all += r->n;
    r->n = 0;
    arena_reset(&r->arena);
    if (!r->hurry && !last)
        rest(r->a);
}

/* event lives in the round's arena. */
static void add(struct round *r, const struct usage_event *event, bool running)
{
    if (event->hold_nano <= 0)
        return;
    r->holds[r->n++] = (struct hold_state){.request_id = event->request_id,
                                           .user_id = event->user_id,
                                           .key_id = event->key_id,
                                           .amount_nano = event->hold_nano,
                                           .lease_ms = ASSERTER_LEASE_MS,
                                           .running = running};
}

static void add_open(void *ctx, const struct usage_event *event)
{
    struct round *r = ctx;

    add(r, event, true);
    if (r->n == AT_ONCE)
        send(r, false);
}

/* What meterd has committed by now is left out: its hold has ended. */
static void add_unacked(struct round *r, uint64_t upto)
{
    struct outbox *o = r->a->outbox;
    uint64_t seq = outbox_acked(o) + 1;
    size_t i, n = 1;

    send(r, false);
    while (seq <= upto && n > 0 && r->st == ST_OK && r->all < ASSERTER_MAX) {
        struct usage_event *events = NULL;
        uint64_t acked;

        if (outbox_read(o, seq, AT_ONCE, &r->arena, &events, &n) != ST_OK)
            return;
        acked = outbox_acked(o);
        for (i = 0; i < n && seq + i <= upto; i++)
            if (seq + i > acked)
                add(r, &events[i], slice_is(events[i].status, "running") && !events[i].parked);
        send(r, false);
        seq = seq + n > acked + 1 ? seq + n : acked + 1;
    }
}

/* Open calls first: one that ends meanwhile is an event by the time the events are read, so none is missed. */
static enum status tell(struct asserter *a, bool all, size_t *ret_holds)
{
    struct round r = {.a = a, .hurry = all, .st = ST_OK};
    uint64_t last = outbox_last(a->outbox);
    enum status st;

    arena_init(&r.arena, ARENA_MAX);
    st = outbox_each_open(a->outbox, &r.arena, add_open, &r);
    if (st == ST_OK && (all || a->seen > outbox_acked(a->outbox)))
        add_unacked(&r, all ? outbox_last(a->outbox) : a->seen);
    if (st == ST_OK && (all || r.n || r.all))
        send(&r, true);
    arena_fini(&r.arena);
    a->seen = last;
    *ret_holds = r.all;
    return st == ST_OK ? r.st : st;
}

/* Under the lock, which it lets go while it reads and tells. Returns how long to wait for the next. */
static uint64_t one_round(struct asserter *a)
{
    bool all = a->joined;
    enum status st;
    size_t holds = 0;

    a->joined = false;
    pthread_mutex_unlock(&a->sleeper.lock);
    st = tell(a, all, &holds);
    if (holds || all)
        log_event(a->log, st == ST_OK ? LOG_INFO : LOG_WARN, LOG_NO_REQ, "holds_asserted", LOG_N("holds", holds),
                  LOG_B("all", all), LOG_C("status", status_name(st)));
    pthread_mutex_lock(&a->sleeper.lock);
    if (st == ST_OK || st == ST_UNAVAILABLE) /* with nobody to hear it, the next one that is reached hears all */
        return a->again_ms;
    a->joined |= all;
    return ASSERTER_RETRY_MS;
}

static void *asserter(void *ctx)
{
    struct asserter *a = ctx;

    pthread_mutex_lock(&a->sleeper.lock);
    wait_until(a, clock_ms() + a->again_ms);
    while (!a->sleeper.closing) {
        uint64_t pause_ms = one_round(a);

        if (pause_ms == ASSERTER_RETRY_MS) {
            pthread_mutex_unlock(&a->sleeper.lock);
            sleeper_rest(&a->sleeper, ASSERTER_RETRY_MS);
            pthread_mutex_lock(&a->sleeper.lock);
        } else {
            wait_until(a, clock_ms() + pause_ms);
        }
    }
    pthread_mutex_unlock(&a->sleeper.lock);
    return NULL;
}

enum status asserter_start(struct asserter *a, const char *instance, struct err *err)
{
    if (a->again_ms == 0)
        a->again_ms = ASSERTER_AGAIN_MS;
    snprintf(a->instance, sizeof(a->instance), INSTANCE_PREFIX "%s", instance);
    return sleeper_start(&a->sleeper, "assertions", asserter, a, STACK_BYTES, err);
}

bool asserter_joined(struct asserter *a, struct xchg_join *to)
{
    struct holds_assert_req begin = {.instance = slice_of(a->instance)};

    if (!sleeper_runs(&a->sleeper) || call_join_tell(to, &holds_assert_req_desc, &begin) != ST_OK)
        return false;
    pthread_mutex_lock(&a->sleeper.lock);
    a->joined = true;
    sleeper_ring(&a->sleeper);
    pthread_mutex_unlock(&a->sleeper.lock);
    return true;
}

void asserter_stop(struct asserter *a)
{
    sleeper_stop(&a->sleeper);
}
