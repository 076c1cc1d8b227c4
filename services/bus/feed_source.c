#include "services/bus/feed_private.h"

#include <stdlib.h>

#include "services/clock.h"

#define READ_ARENA_MAX (32u * 1024u * 1024u)
#define DELIVER_MAX 500u /* events of one call; fewer when they do not fit into one message */

#define GATHER_EVENTS 500u /* a message leaves before its time when so many wait */
#define GATHER_ARENA_MAX (8u * 1024u * 1024u)

/* Events that leave in one message: each costs both ends a wake-up, so they wait FEED_GATHER_MS for each other. */
struct gather {
    struct usage_event events[GATHER_EVENTS];
    struct arena text; /* what their slices point to */
    uint64_t first_seq, due_ms;
    size_t n;
};

struct feed_source {
    struct feed_task task;
    struct feed_source_options options;
    struct feed_pub *pub;
    pthread_t thread;
    bool has_thread;
    /* under task.lock */
    uint64_t acked, told, newest; /* told: what options.acked has heard */
    uint64_t moved_ms; /* when acked last moved, or the first record after it came */
    bool deliver_now;
    struct gather *filling, *spare;
    pthread_mutex_t sending; /* taken before task.lock by whoever sends what was gathered: in order */
};

/* ---- publishing
 * --------------------------------------------------------------------------------------------------------- */

static enum status publish(struct feed_source *s, uint64_t first_seq, const struct usage_event *events, size_t n)
{
    struct usage_batch batch = {.source = slice_of(s->options.source), .first_seq = first_seq};
    struct buf b;
    enum status st;

    batch.events.items = events;
    batch.events.n = n;
    buf_init(&b, FEED_MESSAGE_MAX);
    st = wire_encode(&usage_batch_desc, &batch, &b, NULL);
    if (st == ST_OK)
        st = feed_publish(s->pub, (struct slice){b.p, b.n});
    buf_fini(&b);
    if (st == ST_TOO_LARGE && n > 1) {
        st = publish(s, first_seq, events, n / 2); /* at most ten levels: n is LIMIT_EVENTS or less */
        if (st == ST_OK)
            st = publish(s, first_seq + n / 2, events + n / 2, n - n / 2);
    }
    return st;
}

static void send_gathered(struct feed_source *s)
{
    struct gather *g;

    pthread_mutex_lock(&s->sending);
    pthread_mutex_lock(&s->task.lock);
    g = s->filling;
    s->filling = s->spare;
    s->spare = g;
    pthread_mutex_unlock(&s->task.lock);
    if (g->n)
        (void)publish(s, g->first_seq, g->events, g->n); /* what it cannot send is delivered by a call */
    g->n = 0;
    arena_reset(&g->text);
    pthread_mutex_unlock(&s->sending);
}

/* The event outlives its giver's memory. */
static enum status keep(struct gather *g, const struct usage_event *e)
{
    enum status st = arena_copy_message(&g->text, &usage_event_desc, e, &g->events[g->n]);

    if (st == ST_OK)
        g->n++;
    return st;
}

/* Locked. How many of the events were taken; fewer than n: send what is there first. */
static size_t gather(struct feed_source *s, uint64_t first_seq, const struct usage_event *events, size_t n)
{
    struct gather *g = s->filling;
    size_t taken = 0;

    if (g->n && first_seq != g->first_seq + g->n)
        return 0;
    if (!g->n) {
        g->first_seq = first_seq;
        g->due_ms = clock_ms() + FEED_GATHER_MS;
    }
    while (taken < n && g->n < GATHER_EVENTS && keep(g, &events[taken]) == ST_OK)
        taken++;
    return taken;
}

enum status feed_source_publish(struct feed_source *s, uint64_t first_seq, const struct usage_event *events, size_t n)
{
    bool wake;

    if (n == 0)
        return ST_OK;
    pthread_mutex_lock(&s->task.lock);
    if (s->acked >= s->newest)
        s->moved_ms = clock_ms();
    if (first_seq + n - 1 > s->newest)
        s->newest = first_seq + n - 1;
    wake = s->filling->n == 0; /* the thread sleeps without an end, or until something else is due */
    for (;;) {
        size_t taken = gather(s, first_seq, events, n);
        bool stuck = taken == 0 && s->filling->n == 0;

        first_seq += taken;
        events += taken;
        n -= taken;
        if (n == 0 || stuck)
            break;
        pthread_mutex_unlock(&s->task.lock);
        send_gathered(s);
        pthread_mutex_lock(&s->task.lock);
    }
    pthread_mutex_unlock(&s->task.lock);
    if (wake)
        feed_wake(&s->task);
    return n ? ST_NO_MEMORY : ST_OK; /* whatever it is: what is not acknowledged is delivered by a call */
}

/* ---- acknowledgements
 * --------------------------------------------------------------------------------------------------- */

/* Locked. Returns whether it moved. */
static bool advance(struct feed_source *s, uint64_t acked)
{
    if (acked > s->newest)
        acked = s->newest; /* a position that we never gave out */
    if (acked <= s->acked)
        return false;
    s->acked = acked;
    s->moved_ms = clock_ms();
    return true;
}

/* Locked. meterd's database was restored from a backup. A position that is only late, from before the last answer, does
 * no harm: what it has already it does not take again, and says so. */
static bool set_back(struct feed_source *s, uint64_t seq)
{
    if (seq >= s->acked)
        return false;
    s->acked = seq;
    s->deliver_now = true;
    return true;
}

void feed_source_position(struct feed_source *s, uint64_t seq)
{
    bool work;

    pthread_mutex_lock(&s->task.lock);
    work = set_back(s, seq) || advance(s, seq);
    pthread_mutex_unlock(&s->task.lock);
    if (work)
        feed_wake(&s->task);
}

void feed_source_ack(struct feed_source *s, const struct ack *ack)
{
    bool work;

    if (!slice_is(ack->source, s->options.source))
        return;
    pthread_mutex_lock(&s->task.lock);
    work = advance(s, ack->acked_seq) || (ack->gap && set_back(s, ack->acked_seq));
    if (ack->gap && s->acked < s->newest) {
        s->deliver_now = true;
        work = true;
    }
    pthread_mutex_unlock(&s->task.lock);
    if (work)
        feed_wake(&s->task);
}

/* ---- delivering by calls
 * ------------------------------------------------------------------------------------------------ */

/* ST_OK with *ret_n = 0: nothing is there. */
static enum status deliver(struct feed_source *s, uint64_t first_seq, struct arena *a, size_t *ret_n)
{
    struct usage_deliver_req req = {.source = slice_of(s->options.source)};
    struct usage_deliver_rep rep = {.acked_seq = 0};
    struct usage_event *events = NULL;
    size_t n = 0;
    enum status st;

    if (s->options.oldest)
        req.oldest_seq = s->options.oldest(s->options.ctx);
    if (first_seq < req.oldest_seq)
        first_seq = req.oldest_seq; /* what is missing before it, meterd does not wait for */
    req.first_seq = first_seq;
    st = s->options.read(s->options.ctx, first_seq, DELIVER_MAX, a, &events, &n);

    *ret_n = n;
    if (st != ST_OK || n == 0)
        return st;
    do {
        req.events.items = events;
        req.events.n = n;
        st = feed_ask(&s->task, &usage_deliver_req_desc, &req, &usage_deliver_rep_desc, &rep, a);
        n /= 2;
    } while (st == ST_TOO_LARGE && n > 0);
    if (st != ST_OK)
        return st;
    pthread_mutex_lock(&s->task.lock);
    if (!advance(s, rep.acked_seq) && !(rep.acked_seq + 1 < first_seq && set_back(s, rep.acked_seq)) &&
        s->acked < first_seq)
        st = ST_CONFLICT; /* meterd took nothing: no use to go on at once */
    pthread_mutex_unlock(&s->task.lock);
    if (st == ST_OK)
        feed_progress(&s->task);
    return st;
}

/* Delivers what was unacknowledged when it began. false: meterd could not be reached, or took nothing. */
static bool deliver_all(struct feed_source *s)
{
    enum status st = ST_OK;
    uint64_t acked, until;
    struct arena a;
    size_t n = 1;

    pthread_mutex_lock(&s->task.lock);
    s->deliver_now = false;
    acked = s->acked;
    until = s->newest;
    pthread_mutex_unlock(&s->task.lock);
    arena_init(&a, READ_ARENA_MAX);
    while (st == ST_OK && n > 0 && acked < until && !feed_task_stopped(&s->task)) {
        st = deliver(s, acked + 1, &a, &n);
        arena_reset(&a);
        pthread_mutex_lock(&s->task.lock);
        acked = s->acked;
        pthread_mutex_unlock(&s->task.lock);
    }
    arena_fini(&a);
    return st == ST_OK;
}

/* Locked. UINT64_MAX: nothing to wait for. */
static uint64_t deliver_at(const struct feed_source *s)
{
    if (s->acked >= s->newest)
        return UINT64_MAX;
    return s->deliver_now ? 0 : s->moved_ms + FEED_REDELIVER_MS;
}

/* Locked. */
static uint64_t send_at(const struct feed_source *s)
{
    return s->filling->n ? s->filling->due_ms : UINT64_MAX;
}

static void tell(struct feed_source *s)
{
    uint64_t acked, told;

    pthread_mutex_lock(&s->task.lock);
    acked = s->acked;
    told = s->told;
    s->told = acked;
    pthread_mutex_unlock(&s->task.lock);
    if (acked > told && s->options.acked)
        s->options.acked(s->options.ctx, acked);
    if (acked < told && s->options.set_back)
        s->options.set_back(s->options.ctx, acked);
}

static void *run(void *arg)
{
    struct feed_source *s = arg;

    while (!feed_task_stopped(&s->task)) {
        uint64_t at, send;

        tell(s);
        pthread_mutex_lock(&s->task.lock);
        at = deliver_at(s);
        send = send_at(s);
        pthread_mutex_unlock(&s->task.lock);
        if (send <= clock_ms()) {
            send_gathered(s);
            continue;
        }
        if (at > clock_ms()) {
            feed_sleep(&s->task, at < send ? at : send);
            continue;
        }
        if (!deliver_all(s)) {
            tell(s);
            feed_back_off(&s->task);
            continue;
        }
        pthread_mutex_lock(&s->task.lock);
        s->moved_ms = clock_ms(); /* what the outbox does not give out any more is not asked for without pause */
        pthread_mutex_unlock(&s->task.lock);
    }
    send_gathered(s);
    tell(s);
    return NULL;
}

/* ---- coming and going
 * --------------------------------------------------------------------------------------------------- */

enum status feed_source_new(const struct feed_source_options *options, uint64_t last_acked, uint64_t last_seq,
                            struct feed_source **ret, struct err *err)
{
    struct feed_at at = {.url = options->events_url, .topic = CIPHER_USAGE, .trust = options->trust};
    struct feed_source *s = calloc(1, sizeof(*s));
    enum status st;

    if (!s)
        return err_set(err, ST_NO_MEMORY, "no memory for a usage feed");
    s->filling = calloc(1, sizeof(*s->filling));
    s->spare = calloc(1, sizeof(*s->spare));
    pthread_mutex_init(&s->sending, NULL);
    feed_task_init(&s->task, options->meterd);
    if (!s->filling || !s->spare) {
        feed_source_free(s);
        return err_set(err, ST_NO_MEMORY, "no memory for a usage feed");
    }
    arena_init(&s->filling->text, GATHER_ARENA_MAX);
    arena_init(&s->spare->text, GATHER_ARENA_MAX);
    s->options = *options;
    s->acked = last_acked;
    s->told = last_acked;
    s->newest = last_seq > last_acked ? last_seq : last_acked;
    s->deliver_now = last_seq > last_acked;
    st = feed_pub_new(&at, &s->pub, err);
    if (st == ST_OK) {
        st = transport_thread(&s->thread, run, s);
        s->has_thread = st == ST_OK;
        if (st != ST_OK)
            err_set(err, st, "no thread for a usage feed");
    }
    if (st != ST_OK) {
        feed_source_free(s);
        return st;
    }
    *ret = s;
    return ST_OK;
}

static void gather_free(struct gather *g)
{
    if (!g)
        return;
    arena_fini(&g->text);
    free(g);
}

void feed_source_free(struct feed_source *s)
{
    if (!s)
        return;
    feed_task_stop(&s->task);
    if (s->has_thread)
        pthread_join(s->thread, NULL);
    feed_pub_free(s->pub);
    gather_free(s->filling);
    gather_free(s->spare);
    pthread_mutex_destroy(&s->sending);
    feed_task_fini(&s->task);
    free(s);
}
