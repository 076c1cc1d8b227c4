#include "tests/unit/meter_fake.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/bus/feed.h"
#include "services/call.h"
#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/slow.h"

#define SOURCES 32

struct source {
    char name[LIMIT_NAME];
    uint64_t acked;
};

struct record {
    char name[LIMIT_NAME + 1];
    uint64_t revision;
    struct buf bytes; /* empty = it is gone */
};

struct meter_fake {
    struct xchg_server *server;
    struct feed_pub *pub;
    struct feed_sub *sub;
    pthread_mutex_t lock;
    struct source sources[SOURCES];
    struct meter_fake_event *events, *running;
    unsigned n, n_running, announced, providers, repeats;
    uint64_t lease_ms;
    uint64_t revision;
    struct record records[METER_FAKE_PROVIDERS];
    unsigned n_records;
    bool deaf;
};

static struct source *source_of(struct meter_fake *m, struct slice name)
{
    for (int i = 0; i < SOURCES; i++) {
        if (m->sources[i].name[0] == '\0')
            (void)slice_copy(name, m->sources[i].name, sizeof(m->sources[i].name));
        if (slice_is(name, m->sources[i].name))
            return &m->sources[i];
    }
    abort();
}

static void describe_parked(const struct usage_event *e, struct meter_fake_event *to)
{
    to->parked = e->parked;
    to->lease_ms = e->lease_ms;
    to->price_percent = e->price_percent;
    to->seen = e->seen_tokens;
    if (e->object_ids.n > 0)
        (void)slice_copy(e->object_ids.items[0], to->object, sizeof(to->object));
    if (e->worth.n > 0) {
        (void)slice_copy(e->worth.items->model, to->worth_model, sizeof(to->worth_model));
        to->worth_requests = e->worth.items->requests;
        to->worth_output = e->worth.items->output_tokens;
    }
    to->n_ends = (unsigned)e->object_ends.n;
    if (to->n_ends > 0) {
        const struct object_end *end = e->object_ends.items;

        (void)slice_copy(end->object_id, to->end.object, sizeof(to->end.object));
        (void)slice_copy(end->status, to->end.status, sizeof(to->end.status));
        to->end.known = end->known;
        to->end.requests = end->requests;
        to->end.completed = end->completed;
        to->end.prompt = end->prompt_tokens;
        to->end.cached = end->cached_tokens;
        to->end.write = end->cache_write_tokens;
        to->end.completion = end->completion_tokens;
        to->end.reasoning = end->reasoning_tokens;
    }
}

static void describe(const struct usage_event *e, struct meter_fake_event *to)
{
    (void)slice_copy(e->request_id, to->request_id, sizeof(to->request_id));
    (void)slice_copy(e->status, to->status, sizeof(to->status));
    (void)slice_copy(e->provider, to->provider, sizeof(to->provider));
    to->http_status = e->http_status;
    to->prompt = e->prompt_tokens;
    to->cached = e->cached_tokens;
    to->write = e->cache_write_tokens;
    to->completion = e->completion_tokens;
    to->reasoning = e->reasoning_tokens;
    to->attempts = e->attempts;
    to->created_ms = e->created_ms;
    to->latency_ms = e->latency_ms;
    to->ttft_ms = e->ttft_ms;
    to->price_id = e->price_id;
    to->hold_nano = e->hold_nano;
    to->estimated = e->estimated;
    to->stream = e->stream;
    describe_parked(e, to);
    to->n_log = (unsigned)e->attempt_log.n;
    for (unsigned i = 0; i < to->n_log && i < 4; i++) {
        const struct usage_attempt *a = &e->attempt_log.items[i];

        (void)slice_copy(a->outcome, to->log[i].outcome, sizeof(to->log[i].outcome));
        to->log[i].number = a->number;
        to->log[i].http_status = a->http_status;
        to->log[i].prompt = a->prompt_tokens;
        to->log[i].completion = a->completion_tokens;
        to->log[i].answered = a->answered;
    }
}

static void add_event(struct meter_fake *m, const struct usage_event *e)
{
    char id[80];

    (void)slice_copy(e->request_id, id, sizeof(id));
    if (slice_is(e->status, "running") && !e->parked) {
        if (m->n_running == METER_FAKE_EVENTS)
            abort();
        m->lease_ms = e->lease_ms;
        describe(e, &m->running[m->n_running++]);
        return;
    }
    for (unsigned i = m->n > 256 ? m->n - 256 : 0; i < m->n; i++)
        if (strcmp(m->events[i].request_id, id) == 0) {
            m->repeats++;
            return;
        }
    if (m->n == METER_FAKE_EVENTS)
        abort();
    describe(e, &m->events[m->n++]);
}

static uint64_t take(struct meter_fake *m, struct slice name, uint64_t first, const struct usage_event *events,
                     size_t n)
{
    struct source *s = source_of(m, name);

    if (first > s->acked + 1)
        return s->acked; /* a gap: the repair will come */
    for (size_t i = 0; i < n; i++)
        if (first + i > s->acked) {
            add_event(m, &events[i]);
            s->acked = first + i;
        }
    return s->acked;
}

static void tell(struct meter_fake *m, uint16_t kind, struct slice record)
{
    struct state_change change = {.revision = m->revision + 1, .kind = kind, .record = record};
    struct state_batch batch = {.previous_revision = m->revision, .revision = m->revision + 1, .changes = {&change, 1}};
    struct buf bytes;

    buf_init(&bytes, FEED_MESSAGE_MAX);
    if (wire_encode(&state_batch_desc, &batch, &bytes, NULL) != ST_OK)
        abort();
    m->revision++;
    (void)feed_publish(m->pub, (struct slice){bytes.p, bytes.n});
    buf_fini(&bytes);
}

static void tell_ack(struct meter_fake *m, struct slice name, uint64_t acked)
{
    struct ack ack = {.source = name, .acked_seq = acked};
    struct buf record;

    buf_init(&record, LIMIT_RECORD);
    if (wire_encode(&ack_desc, &ack, &record, NULL) != ST_OK)
        abort();
    tell(m, ack_desc.type, (struct slice){record.p, record.n});
    buf_fini(&record);
}

/* ---- providers -----------------------------------------------------------------------------------------------------
 */

static struct record *record_of(struct meter_fake *m, struct slice name)
{
    struct record *r = NULL;

    for (unsigned i = 0; i < m->n_records; i++) {
        if (slice_is(name, m->records[i].name))
            return &m->records[i];
        if (m->records[i].bytes.n == 0) /* of one that is gone */
            r = &m->records[i];
    }
    if (r == NULL) {
        if (m->n_records == METER_FAKE_PROVIDERS)
            abort();
        r = &m->records[m->n_records++];
        buf_init(&r->bytes, LIMIT_RECORD);
    }
    (void)slice_copy(name, r->name, sizeof(r->name));
    return r;
}

uint64_t meter_fake_provider(struct meter_fake *m, const struct provider_state *state)
{
    struct buf bytes;
    struct record *r;
    uint64_t revision;

    buf_init(&bytes, LIMIT_RECORD);
    if (wire_encode(&provider_state_desc, state, &bytes, NULL) != ST_OK)
        abort();
    pthread_mutex_lock(&m->lock);
    r = record_of(m, state->provider.items[0].name);
    r->bytes.n = 0;
    r->revision = m->revision + 1;
    if (state->provider.items[0].kind.n > 0 && buf_add(&r->bytes, bytes.p, bytes.n) != ST_OK)
        abort();
    tell(m, provider_state_desc.type, (struct slice){bytes.p, bytes.n});
    revision = m->revision;
    pthread_mutex_unlock(&m->lock);
    buf_fini(&bytes);
    return revision;
}

uint64_t meter_fake_forget(struct meter_fake *m, const char *name)
{
    uint64_t revision;

    pthread_mutex_lock(&m->lock);
    record_of(m, slice_of(name))->bytes.n = 0;
    m->revision++;
    tell(m, empty_desc.type, (struct slice){NULL, 0});
    revision = m->revision;
    pthread_mutex_unlock(&m->lock);
    return revision;
}

static void snapshot(struct meter_fake *m, struct state_read_rep *rep, struct state_change changes[])
{
    size_t n = 0;

    for (unsigned i = 0; i < m->n_records; i++)
        if (m->records[i].bytes.n > 0)
            changes[n++] = (struct state_change){.revision = m->records[i].revision,
                                                 .kind = provider_state_desc.type,
                                                 .record = {m->records[i].bytes.p, m->records[i].bytes.n}};
    *rep = (struct state_read_rep){.revision = m->revision, .snapshot = true, .changes = {changes, n}};
}

static void on_batch(void *ctx, struct slice bytes)
{
    struct meter_fake *m = ctx;
    struct usage_batch batch;
    struct wire_alloc mem;
    struct arena a;

    arena_init(&a, 64u * 1024u * 1024u);
    mem = arena_wire(&a);
    pthread_mutex_lock(&m->lock);
    if (!m->deaf && wire_decode(&usage_batch_desc, bytes.p, bytes.n, &batch, &mem, NULL) == ST_OK)
        tell_ack(m, batch.source, take(m, batch.source, batch.first_seq, batch.events.items, batch.events.n));
    pthread_mutex_unlock(&m->lock);
    arena_fini(&a);
}

static void answer(struct xchg_call *x, const struct wire_desc *desc, const void *msg)
{
    struct buf b;

    buf_init(&b, WIRE_MESSAGE_MAX);
    if (wire_encode(desc, msg, &b, NULL) != ST_OK)
        abort();
    xchg_end(x, ST_OK, (struct slice){b.p, b.n});
    buf_fini(&b);
}

static void deliver(struct meter_fake *m, struct xchg_call *x, struct slice payload, const struct wire_alloc *mem)
{
    struct usage_deliver_req req;
    struct usage_deliver_rep rep = {0};

    if (m->deaf || wire_decode(&usage_deliver_req_desc, payload.p, payload.n, &req, mem, NULL) != ST_OK) {
        xchg_end(x, ST_UNAVAILABLE, (struct slice){NULL, 0});
        return;
    }
    rep.acked_seq = take(m, req.source, req.first_seq, req.events.items, req.events.n);
    answer(x, &usage_deliver_rep_desc, &rep);
}

static void on_call(void *ctx, struct xchg_call *x, uint16_t method, struct slice payload)
{
    struct meter_fake *m = ctx;
    struct wire_alloc mem;
    struct arena a;

    arena_init(&a, 64u * 1024u * 1024u);
    mem = arena_wire(&a);
    pthread_mutex_lock(&m->lock);
    if (method == provider_announce_req_desc.type) {
        struct provider_announce_req req;
        struct empty rep = {0};

        if (wire_decode(&provider_announce_req_desc, payload.p, payload.n, &req, &mem, NULL) != ST_OK)
            abort();
        m->announced++;
        m->providers = (unsigned)req.providers.n;
        answer(x, &empty_desc, &rep);
    } else if (method == state_read_req_desc.type) {
        struct state_change changes[METER_FAKE_PROVIDERS];
        struct state_read_rep rep;

        snapshot(m, &rep, changes);
        answer(x, &state_read_rep_desc, &rep);
    } else if (method == usage_deliver_req_desc.type) {
        deliver(m, x, payload, &mem);
    } else {
        xchg_end(x, ST_BAD_MESSAGE, (struct slice){NULL, 0});
    }
    pthread_mutex_unlock(&m->lock);
    arena_fini(&a);
}

struct meter_fake *meter_fake_start(const char *url, const char *feed_url, const char *events_url)
{
    struct meter_fake *m = calloc(1, sizeof(*m));
    struct xchg_server_options options = {
        .url = url, .instance = id_number(), .boot = id_number(), .handler = on_call, .ctx = m};

    if (m == NULL)
        abort();
    m->revision = 1;
    m->events = calloc(METER_FAKE_EVENTS, sizeof(*m->events));
    m->running = calloc(METER_FAKE_EVENTS, sizeof(*m->running));
    pthread_mutex_init(&m->lock, NULL);
    if (m->events == NULL || m->running == NULL ||
        feed_pub_new(&(struct feed_at){.url = feed_url, .listen = true}, &m->pub, NULL) != ST_OK ||
        feed_sub_new(&(struct feed_at){.url = events_url, .listen = true}, on_batch, m, &m->sub, NULL) != ST_OK ||
        xchg_server_new(&options, &m->server, NULL) != ST_OK)
        abort();
    return m;
}

void meter_fake_stop(struct meter_fake *m)
{
    xchg_server_free(m->server);
    feed_sub_free(m->sub);
    feed_pub_free(m->pub);
    pthread_mutex_destroy(&m->lock);
    for (unsigned i = 0; i < m->n_records; i++)
        buf_fini(&m->records[i].bytes);
    free(m->events);
    free(m->running);
    free(m);
}

static unsigned read_count(struct meter_fake *m, const unsigned *count)
{
    unsigned n;

    pthread_mutex_lock(&m->lock);
    n = *count;
    pthread_mutex_unlock(&m->lock);
    return n;
}

unsigned meter_fake_announced(struct meter_fake *m)
{
    return read_count(m, &m->announced);
}

unsigned meter_fake_providers(struct meter_fake *m)
{
    return read_count(m, &m->providers);
}

unsigned meter_fake_count(struct meter_fake *m)
{
    return read_count(m, &m->n);
}

unsigned meter_fake_repeats(struct meter_fake *m)
{
    return read_count(m, &m->repeats);
}

unsigned meter_fake_progress(struct meter_fake *m, const char *request_id, struct meter_fake_event *ret)
{
    unsigned n = 0;

    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < m->n_running; i++)
        if (strcmp(m->running[i].request_id, request_id) == 0) {
            *ret = m->running[i];
            n++;
        }
    pthread_mutex_unlock(&m->lock);
    return n;
}

uint64_t meter_fake_lease(struct meter_fake *m)
{
    uint64_t ms;

    pthread_mutex_lock(&m->lock);
    ms = m->lease_ms;
    pthread_mutex_unlock(&m->lock);
    return ms;
}

bool meter_fake_find(struct meter_fake *m, const char *request_id, unsigned wait_ms, struct meter_fake_event *ret)
{
    uint64_t until = clock_ms() + slow_ms(wait_ms);

    do {
        pthread_mutex_lock(&m->lock);
        for (unsigned i = 0; i < m->n; i++)
            if (strcmp(m->events[i].request_id, request_id) == 0) {
                *ret = m->events[i];
                pthread_mutex_unlock(&m->lock);
                return true;
            }
        pthread_mutex_unlock(&m->lock);
        usleep(2000);
    } while (clock_ms() < until);
    return false;
}

void meter_fake_deaf(struct meter_fake *m, bool deaf)
{
    pthread_mutex_lock(&m->lock);
    m->deaf = deaf;
    pthread_mutex_unlock(&m->lock);
}
