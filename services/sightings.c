#include "services/sightings.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "services/clock.h"
#include "services/net.h"

#define EVENTS_MAX (SECURITY_N * (SIGHTINGS_ROWS + 1u))
#define BATCH_MAX (1024u * 1024u)
#define V4_PREFIX 12 /* bytes of an IPv6 address that say it is an IPv4 one */
#define NETWORK_BITS 64 /* of an IPv6 client: it has all the addresses behind them */

struct row {
    char subject[LIMIT_EMAIL + 1], address[NET_TEXT_MAX];
    uint64_t hash, what, count;
    uint64_t first_ms; /* monotonic */
    uint64_t first_seen, last_seen;
};

struct sightings {
    struct svc *svc;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct row rows[SECURITY_N][SIGHTINGS_ROWS];
    size_t n[SECURITY_N];
    _Atomic uint64_t others[SECURITY_N]; /* for whom there was no row, or no time to wait for the lock */
    struct security_event events[EVENTS_MAX]; /* while a batch is made */
    struct buf batch; /* empty = there is none */
    uint64_t seq, tried_ms;
    bool open, closing; /* open: a call is on its way, the batch is its */
};

enum status sightings_new(struct svc *svc, struct sightings **ret, struct err *err)
{
    struct sightings *s = calloc(1, sizeof(*s));
    pthread_condattr_t monotonic;

    if (!s)
        return err_set(err, ST_NO_MEMORY, "no memory for what is seen of attacks");
    s->svc = svc;
    buf_init(&s->batch, BATCH_MAX);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret = s;
    return ST_OK;
}

/* ---- seeing --------------------------------------------------------------------------------------------------------
 */

static void network_of(struct slice text, char to[NET_TEXT_MAX])
{
    static const uint8_t v4[V4_PREFIX] = {[10] = 0xff, [11] = 0xff};
    struct net net = {.bits = NET_ADDRESS * 8};

    to[0] = '\0';
    if (!net_address(text, net.address))
        return;
    if (memcmp(net.address, v4, V4_PREFIX) != 0)
        net.bits = NETWORK_BITS;
    net_write(&net, to);
}

/* FNV-1a: only to compare fewer texts. Who makes two the same gains nothing, rows are compared whole. */
static uint64_t mix(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return (hash ^ 0xff) * UINT64_C(1099511628211);
}

static void begin_row(struct row *row, const struct sighting *seen)
{
    size_t n = seen->subject.n > LIMIT_EMAIL ? LIMIT_EMAIL : seen->subject.n;

    if (n)
        memcpy(row->subject, seen->subject.p, n);
    row->subject[n] = '\0';
    network_of(seen->address, row->address);
    row->hash = mix(mix(UINT64_C(14695981039346656037), row->subject), row->address);
    row->first_ms = clock_ms();
    row->first_seen = clock_wall_ms() / 1000;
    row->what = 0;
    row->count = 0;
}

/* The row of the same; NULL = there is none, and no room for one. */
static struct row *row_of(struct sightings *s, enum security_kind kind, const struct row *like)
{
    struct row *rows = s->rows[kind];
    size_t i;

    for (i = 0; i < s->n[kind]; i++)
        if (rows[i].hash == like->hash && !strcmp(rows[i].subject, like->subject) &&
            !strcmp(rows[i].address, like->address))
            return &rows[i];
    if (s->n[kind] == SIGHTINGS_ROWS)
        return NULL;
    rows[s->n[kind]] = *like;
    return &rows[s->n[kind]++];
}

void sightings_note(struct sightings *s, const struct sighting *seen)
{
    struct row like, *row;

    if (!s)
        return;
    begin_row(&like, seen);
    if (pthread_mutex_trylock(&s->lock) != 0) {
        atomic_fetch_add_explicit(&s->others[seen->kind], 1, memory_order_relaxed);
        return;
    }
    row = row_of(s, seen->kind, &like);
    if (!row) {
        atomic_fetch_add_explicit(&s->others[seen->kind], 1, memory_order_relaxed);
    } else if (!seen->what || row->what != seen->what) {
        row->what = seen->what;
        row->last_seen = like.first_seen;
        row->count++;
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- telling -------------------------------------------------------------------------------------------------------
 */

static bool enough(size_t kind, uint64_t count)
{
    return count >= (kind == SECURITY_KEY_GUESSING ? SIGHTINGS_GUESSES : 1);
}

/* Under the lock. What the row says lives as long as the row. */
static void add_event(struct sightings *s, size_t *n, size_t kind, const struct row *row)
{
    s->events[(*n)++] = (struct security_event){.kind = slice_of(security_names[kind]),
                                                .subject = slice_of(row->subject),
                                                .address = slice_of(row->address),
                                                .count = row->count,
                                                .first_seen = row->first_seen,
                                                .last_seen = row->last_seen};
}

/* Under the lock: what is told goes, and guesses that were too few. */
static void clear_rows(struct sightings *s, size_t kind, uint64_t now_ms)
{
    size_t i, kept = 0;

    for (i = 0; i < s->n[kind]; i++)
        if (!enough(kind, s->rows[kind][i].count) && now_ms - s->rows[kind][i].first_ms < SIGHTINGS_GUESSES_MS)
            s->rows[kind][kept++] = s->rows[kind][i];
    s->n[kind] = kept;
}

/* Under the lock: what of a kind is to be told, the others last. Returns how many of those are told. */
static uint64_t add_kind(struct sightings *s, size_t *n, size_t kind)
{
    uint64_t now = clock_wall_ms() / 1000, others = atomic_load(&s->others[kind]);
    size_t i;

    for (i = 0; i < s->n[kind]; i++)
        if (enough(kind, s->rows[kind][i].count))
            add_event(s, n, kind, &s->rows[kind][i]);
    if (!enough(kind, others))
        return 0;
    s->events[(*n)++] = (struct security_event){.kind = slice_of(security_names[kind]),
                                                .subject = slice_of(SECURITY_OTHERS),
                                                .count = others,
                                                .first_seen = now,
                                                .last_seen = now};
    return others;
}

/* Under the lock, with no batch there. Rows stay when there is no memory for one. */
static void make_batch(struct sightings *s, uint64_t now_ms)
{
    struct security_report_req req = {.source = slice_of(svc_instance(s->svc)), .seq = s->seq + 1};
    uint64_t others[SECURITY_N];
    size_t kind, n = 0;

    for (kind = 0; kind < SECURITY_N; kind++)
        others[kind] = add_kind(s, &n, kind);
    req.events.items = s->events;
    req.events.n = n;
    if (n > 0 && wire_encode(&security_report_req_desc, &req, &s->batch, NULL) != ST_OK) {
        buf_fini(&s->batch);
        buf_init(&s->batch, BATCH_MAX);
        return;
    }
    s->seq += n > 0;
    for (kind = 0; kind < SECURITY_N; kind++) {
        clear_rows(s, kind, now_ms);
        atomic_fetch_sub(&s->others[kind], others[kind]);
    }
}

static bool hopeless(enum status st)
{
    return st == ST_BAD_MESSAGE || st == ST_BAD_REQUEST;
}

static void on_end(void *ctx, enum status st, struct slice payload)
{
    struct sightings *s = ctx;

    (void)payload;
    if (hopeless(st))
        log_event(svc_log(s->svc), LOG_ERROR, LOG_NO_REQ, "sightings_refused", LOG_C("status", status_name(st)));
    pthread_mutex_lock(&s->lock);
    s->open = false;
    if (st == ST_OK || hopeless(st)) {
        buf_fini(&s->batch);
        buf_init(&s->batch, BATCH_MAX);
    }
    pthread_cond_broadcast(&s->ended);
    pthread_mutex_unlock(&s->lock);
}

static const struct xchg_events call_events = {.end = on_end};

static void send_batch(struct sightings *s, bool at_once)
{
    struct xchg_open open = {
        .method = security_report_req_desc.type, .deadline_ms = SIGHTINGS_CALL_MS, .events = &call_events, .ctx = s};
    uint64_t now_ms = clock_ms();
    struct xchg_id id;

    pthread_mutex_lock(&s->lock);
    if (!s->open && !s->closing && (at_once || now_ms - s->tried_ms >= SIGHTINGS_SEND_MS)) {
        if (s->batch.n == 0)
            make_batch(s, now_ms);
        s->open = s->batch.n > 0;
        s->tried_ms = now_ms;
        open.payload = (struct slice){s->batch.p, s->batch.n};
    }
    pthread_mutex_unlock(&s->lock);
    if (open.payload.n > 0 && xchg_open(svc_peer(s->svc, SVC_METERD), &open, &id) != ST_OK)
        on_end(s, ST_UNAVAILABLE, (struct slice){NULL, 0});
}

void sightings_tick(struct sightings *s)
{
    send_batch(s, false);
}

void sightings_flush(struct sightings *s, uint64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    send_batch(s, true);
    pthread_mutex_lock(&s->lock);
    while (s->open && pthread_cond_timedwait(&s->ended, &s->lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&s->lock);
}

void sightings_free(struct sightings *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    while (s->open) /* it ends within SIGHTINGS_CALL_MS */
        pthread_cond_wait(&s->ended, &s->lock);
    pthread_mutex_unlock(&s->lock);
    buf_fini(&s->batch);
    pthread_cond_destroy(&s->ended);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
