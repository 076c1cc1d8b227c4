#include "providersvc/upstreams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACE_WEIGHT 8 /* of the average; the newest counts one */
#define PACE_OLD_MS UINT64_C(30000) /* a pace of which nothing was heard for so long is found out again … */
#define PACE_ASK_MS UINT64_C(1000) /* … by one call in this time */

void upstreams_init(struct upstreams *s, struct metrics *metrics)
{
    pthread_mutex_init(&s->lock, NULL);
    s->metrics = metrics;
}

void upstreams_fini(struct upstreams *s)
{
    if (s->metrics == NULL)
        return;
    for (unsigned i = 0; i < s->n; i++) {
        upstream_unref(s->now[i]);
        pthread_mutex_destroy(&s->seats[i]->lock);
        free(s->seats[i]);
    }
    pthread_mutex_destroy(&s->lock);
}

static void outcome_labels(const struct upstream_seat *seat, int outcome, char to[METRIC_LABELS_MAX])
{
    snprintf(to, METRIC_LABELS_MAX, "provider=\"%s\",outcome=\"%s\"", seat->name,
             attempt_outcome_name((enum attempt_outcome)outcome));
}

static void make_metrics(struct upstream_seat *seat, struct metrics *m)
{
    char labels[METRIC_LABELS_MAX];

    for (int i = 0; i < ATTEMPT_OUTCOMES; i++) {
        outcome_labels(seat, i, labels);
        seat->attempts[i] = metric_counter(m, "router_upstream_attempts_total", "Calls made to providers.", labels);
    }
    snprintf(labels, sizeof(labels), "provider=\"%s\"", seat->name);
    seat->retries = metric_counter(m, "router_upstream_retries_total",
                                   "Attempts beyond a call's first that went to this provider.", labels);
    seat->open =
        metric_gauge(m, "router_upstream_open", "1 while no calls go to this provider because it fails.", labels);
    seat->latency = metric_histogram(m, "router_upstream_latency_seconds", "Whole calls, as providersvc sees them.",
                                     labels, METRIC_LATENCY_BOUNDS);
    seat->ttft = metric_histogram(m, "router_upstream_ttft_seconds", "To the first byte of a good answer.", labels,
                                  METRIC_LATENCY_BOUNDS);
}

static void take_metrics(struct upstream_seat *seat, struct metrics *m)
{
    struct metric *const others[] = {seat->retries, seat->open, seat->latency, seat->ttft};
    char labels[METRIC_LABELS_MAX];

    for (int i = 0; i < ATTEMPT_OUTCOMES; i++) {
        outcome_labels(seat, i, labels);
        metric_relabel(m, seat->attempts[i], labels);
    }
    snprintf(labels, sizeof(labels), "provider=\"%s\"", seat->name);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        metric_relabel(m, others[i], labels);
}

/* Under the lock. */
static struct upstream_seat *find_seat(struct upstreams *s, struct slice name)
{
    for (unsigned i = 0; i < s->n; i++)
        if (slice_is(name, s->seats[i]->name))
            return s->seats[i];
    return NULL;
}

/* All seats are made: one that nobody uses. What was learned of its provider does not hold for the next one. */
static struct upstream_seat *take_seat(struct upstreams *s, struct slice name)
{
    for (unsigned i = 0; i < s->n; i++) {
        struct upstream_seat *seat = s->seats[i];

        if (s->now[i] != NULL || atomic_load_explicit(&seat->users, memory_order_acquire) != 0)
            continue;
        if (!slice_copy(name, seat->name, sizeof(seat->name)))
            return NULL;
        seat->breaker = (struct breaker){.state = BREAKER_CLOSED};
        seat->pace_us = seat->pace_ms = seat->asked_ms = 0;
        take_metrics(seat, s->metrics);
        return seat;
    }
    return NULL;
}

static struct upstream_seat *make_seat(struct upstreams *s, struct slice name)
{
    struct upstream_seat *seat;

    if (s->n == UPSTREAMS_MAX)
        return take_seat(s, name);
    seat = calloc(1, sizeof(*seat));
    if (seat == NULL || !slice_copy(name, seat->name, sizeof(seat->name))) {
        free(seat);
        return NULL;
    }
    pthread_mutex_init(&seat->lock, NULL);
    make_metrics(seat, s->metrics);
    seat->index = s->n;
    s->seats[s->n++] = seat;
    return seat;
}

enum status upstreams_put(struct upstreams *s, struct slice name, struct upstream *u)
{
    struct upstream *old = NULL;
    struct upstream_seat *seat;

    pthread_mutex_lock(&s->lock);
    seat = find_seat(s, name);
    if (seat == NULL)
        seat = make_seat(s, name);
    if (seat != NULL) {
        u->seat = seat;
        u->name = seat->name;
        atomic_fetch_add_explicit(&seat->users, 1, memory_order_relaxed);
        old = s->now[seat->index];
        s->now[seat->index] = u;
    }
    if (old != NULL)
        atomic_store(&old->gone, true);
    pthread_mutex_unlock(&s->lock);
    upstream_unref(seat != NULL ? old : u);
    return seat != NULL ? ST_OK : ST_UNAVAILABLE;
}

void upstreams_remove(struct upstreams *s, struct slice name)
{
    struct upstream *old = NULL;
    struct upstream_seat *seat;

    pthread_mutex_lock(&s->lock);
    seat = find_seat(s, name);
    if (seat != NULL) {
        old = s->now[seat->index];
        s->now[seat->index] = NULL;
    }
    if (old != NULL)
        atomic_store(&old->gone, true);
    pthread_mutex_unlock(&s->lock);
    upstream_unref(old);
}

struct upstream *upstreams_find(struct upstreams *s, struct slice name)
{
    struct upstream *u = NULL;
    struct upstream_seat *seat;

    pthread_mutex_lock(&s->lock);
    seat = find_seat(s, name);
    if (seat != NULL && s->now[seat->index] != NULL)
        u = upstream_ref(s->now[seat->index]);
    pthread_mutex_unlock(&s->lock);
    return u;
}

unsigned upstreams_all(struct upstreams *s, struct upstream *ret[UPSTREAMS_MAX])
{
    unsigned n = 0;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->n; i++)
        if (s->now[i] != NULL)
            ret[n++] = upstream_ref(s->now[i]);
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- health --------------------------------------------------------------------------------------------------------
 */

bool seat_allows(struct upstream_seat *seat, uint64_t now_ms, uint64_t *ret_wait_ms, bool *ret_soft)
{
    pthread_mutex_lock(&seat->lock);
    *ret_wait_ms = breaker_wait_ms(&seat->breaker, now_ms);
    *ret_soft = breaker_soft(&seat->breaker);
    pthread_mutex_unlock(&seat->lock);
    return *ret_wait_ms == 0;
}

bool seat_poor(struct upstream_seat *seat, uint64_t now_ms)
{
    bool poor;

    pthread_mutex_lock(&seat->lock);
    poor = now_ms - seat->asked_ms < BREAKER_POOR_MS && breaker_poor(&seat->breaker, now_ms);
    pthread_mutex_unlock(&seat->lock);
    return poor;
}

bool seat_take(struct upstream_seat *seat, uint64_t now_ms)
{
    bool probe;

    pthread_mutex_lock(&seat->lock);
    probe = breaker_take(&seat->breaker, now_ms);
    seat->asked_ms = now_ms;
    pthread_mutex_unlock(&seat->lock);
    return probe;
}

void seat_release(struct upstream_seat *seat, uint64_t now_ms)
{
    pthread_mutex_lock(&seat->lock);
    breaker_release(&seat->breaker, now_ms);
    pthread_mutex_unlock(&seat->lock);
}

/* Under the seat's lock. */
static void note_pace(struct upstream_seat *seat, uint64_t now_ms, uint64_t us)
{
    if (us == 0)
        return;
    seat->pace_us = seat->pace_us == 0 ? us : (seat->pace_us * (PACE_WEIGHT - 1) + us) / PACE_WEIGHT;
    seat->pace_ms = now_ms;
}

void seat_alive(struct upstream_seat *seat, uint64_t now_ms, uint64_t first_token_us)
{
    pthread_mutex_lock(&seat->lock);
    breaker_alive(&seat->breaker);
    note_pace(seat, now_ms, first_token_us);
    pthread_mutex_unlock(&seat->lock);
    metric_set(seat->open, 0);
}

void seat_good(struct upstream_seat *seat, uint64_t now_ms, uint64_t first_token_us)
{
    pthread_mutex_lock(&seat->lock);
    breaker_good(&seat->breaker, now_ms);
    note_pace(seat, now_ms, first_token_us);
    pthread_mutex_unlock(&seat->lock);
    metric_set(seat->open, 0);
}

bool seat_bad(struct upstream_seat *seat, uint64_t now_ms, bool hard)
{
    bool opened;

    pthread_mutex_lock(&seat->lock);
    opened = breaker_bad(&seat->breaker, now_ms, hard);
    pthread_mutex_unlock(&seat->lock);
    if (opened)
        metric_set(seat->open, 1);
    return opened;
}

uint64_t seat_pace_us(struct upstream_seat *seat, uint64_t now_ms)
{
    uint64_t us;

    pthread_mutex_lock(&seat->lock);
    us = seat->pace_us != 0 ? seat->pace_us : UINT64_MAX;
    if ((seat->pace_us == 0 || now_ms - seat->pace_ms >= PACE_OLD_MS) &&
        (seat->asked_ms == 0 || now_ms - seat->asked_ms >= PACE_ASK_MS))
        us = 0;
    pthread_mutex_unlock(&seat->lock);
    return us;
}
