#include "services/bus/feed_private.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "services/clock.h"

#define SILENCE_MS (3u * FEED_HEARTBEAT_MS) /* without a word from meterd: ask */
#define PAGES_MAX 10000u /* of one answer: 100 million records */
#define PAGE_ARENA_MAX (256u * 1024u * 1024u)
#define BATCH_ARENA_MAX (64u * 1024u * 1024u)

struct feed_follow {
    struct feed_task task;
    struct feed_ear ear;
    struct cipher_place heard; /* of a sealed feed: the message taken last */
    struct feed_follow_events events;
    void *ctx;
    pthread_t thread;
    _Atomic uint64_t revision;
    uint64_t heard_ms;
    bool caught_up; /* nothing of what the queue held at the last read is left: what comes now is new */
    struct arena batch;
};

/* ---- asking
 * ------------------------------------------------------------------------------------------------------------- */

/* All pages are fetched before the first is applied: a projection must not stay half forgotten when meterd goes away
 * meanwhile. */
struct page {
    struct page *next;
    struct arena arena;
    struct state_read_rep rep;
};

static void free_pages(struct page *p)
{
    while (p) {
        struct page *next = p->next;

        arena_fini(&p->arena);
        free(p);
        p = next;
    }
}

static enum status fetch(struct feed_follow *f, uint64_t after, struct page **ret)
{
    struct page *first = NULL, **tail = &first;
    struct slice cursor = {NULL, 0};
    enum status st = ST_OK;
    unsigned n;

    for (n = 0; n < PAGES_MAX; n++) {
        struct state_read_req req = {.after_revision = after, .cursor = cursor};
        struct page *p = calloc(1, sizeof(*p));

        if (!p) {
            st = ST_NO_MEMORY;
            break;
        }
        *tail = p;
        tail = &p->next;
        arena_init(&p->arena, PAGE_ARENA_MAX);
        st = feed_ask(&f->task, &state_read_req_desc, &req, &state_read_rep_desc, &p->rep, &p->arena);
        if (st != ST_OK || p->rep.cursor.n == 0)
            break;
        cursor = p->rep.cursor;
    }
    if (st == ST_OK && n == PAGES_MAX)
        st = ST_TOO_LARGE;
    if (st != ST_OK) {
        free_pages(first);
        return st;
    }
    *ret = first;
    return ST_OK;
}

static void applied(struct feed_follow *f, uint64_t revision)
{
    atomic_store(&f->revision, revision);
    if (f->events.applied)
        f->events.applied(f->ctx, revision);
}

/* Records are states of objects, so applying one again does no harm: of pages that were read while meterd went on, the
 * lowest revision counts. */
static void apply_pages(struct feed_follow *f, const struct page *p)
{
    uint64_t revision = p->rep.revision;
    size_t i;

    if (p->rep.snapshot && f->events.reset)
        f->events.reset(f->ctx);
    for (; p; p = p->next) {
        for (i = 0; i < p->rep.changes.n; i++)
            f->events.change(f->ctx, &p->rep.changes.items[i]);
        if (p->rep.revision < revision)
            revision = p->rep.revision;
    }
    applied(f, revision);
}

static bool catch_up(struct feed_follow *f)
{
    struct page *pages = NULL;

    if (fetch(f, atomic_load(&f->revision), &pages) != ST_OK)
        return false;
    apply_pages(f, pages);
    free_pages(pages);
    f->heard_ms = clock_ms();
    f->caught_up = false;
    feed_progress(&f->task);
    return true;
}

/* ---- listening
 * ---------------------------------------------------------------------------------------------------------- */

static void apply_batch(struct feed_follow *f, const struct state_batch *b, uint64_t ours)
{
    size_t i;

    for (i = 0; i < b->changes.n; i++)
        if (b->changes.items[i].revision > ours)
            f->events.change(f->ctx, &b->changes.items[i]);
    applied(f, b->revision);
}

/* false: meterd must be asked. */
static bool take_batch(struct feed_follow *f, const struct state_batch *b)
{
    uint64_t ours = atomic_load(&f->revision);

    f->heard_ms = clock_ms();
    if (b->revision > ours && b->previous_revision <= ours) {
        apply_batch(f, b, ours);
        return true;
    }
    if (b->revision > ours)
        return false; /* a gap */
    if (b->revision == ours) /* a heartbeat: nothing is missing */
        applied(f, ours);
    /* From before our last read, or of a meterd whose database was set back: that one goes on sending it. */
    return b->revision == ours || !f->caught_up;
}

/* The next message, or NULL when none came in time. */
static nng_msg *listen_for(struct feed_follow *f, uint64_t until_ms)
{
    nng_msg *msg = NULL;
    uint64_t now;

    if (nng_recvmsg(f->ear.sock, &msg, NNG_FLAG_NONBLOCK) == 0)
        return msg;
    f->caught_up = true;
    now = clock_ms();
    if (now >= until_ms)
        return NULL;
    (void)nng_socket_set_ms(f->ear.sock, NNG_OPT_RECVTIMEO, (nng_duration)(until_ms - now));
    return nng_recvmsg(f->ear.sock, &msg, 0) == 0 ? msg : NULL;
}

/* What meterd has published before its restart, and what was taken already, may come again from somebody who recorded
 * it. */
static bool is_new(struct feed_follow *f, const struct cipher_place *place)
{
    if (!f->ear.cipher)
        return true;
    if (!xchg_client_knows(f->task.meterd, place->boot))
        return false;
    if (place->boot == f->heard.boot && (place->stream != f->heard.stream || place->number <= f->heard.number))
        return false;
    f->heard = *place;
    return true;
}

/* false: meterd must be asked. What is not for us is as if it had not come, so that nobody makes us ask by sending it.
 */
static bool take_message(struct feed_follow *f, nng_msg *msg)
{
    struct wire_alloc mem = arena_wire(&f->batch);
    struct cipher_place place = {.boot = 0};
    struct state_batch b;
    struct slice bytes;
    bool fine;

    if (!feed_ear_read(&f->ear, msg, &bytes, &place) || !is_new(f, &place))
        return clock_ms() < f->heard_ms + SILENCE_MS;
    fine = wire_decode(&state_batch_desc, bytes.p, bytes.n, &b, &mem, NULL) == ST_OK && take_batch(f, &b);
    arena_reset(&f->batch);
    return fine;
}

/* false: meterd must be asked. */
static bool hear(struct feed_follow *f)
{
    nng_msg *msg = listen_for(f, f->heard_ms + SILENCE_MS);
    bool fine;

    if (!msg)
        return clock_ms() < f->heard_ms + SILENCE_MS;
    fine = take_message(f, msg);
    nng_msg_free(msg);
    return fine;
}

static void *follow(void *arg)
{
    struct feed_follow *f = arg;

    while (!feed_task_stopped(&f->task)) {
        if (!catch_up(f)) {
            feed_back_off(&f->task);
            continue;
        }
        while (hear(f))
            if (feed_task_stopped(&f->task))
                break;
    }
    return NULL;
}

/* ---- coming and going
 * ------------------------------------------------------------------------------------------------ */

enum status feed_follow_new(const struct feed_follow_options *options, struct feed_follow **ret, struct err *err)
{
    struct feed_at at = {.url = options->feed_url, .topic = CIPHER_STATE, .trust = options->trust};
    struct feed_follow *f = calloc(1, sizeof(*f));
    enum status st;

    if (!f)
        return err_set(err, ST_NO_MEMORY, "no memory to follow the state");
    f->events = *options->events;
    f->ctx = options->ctx;
    feed_task_init(&f->task, options->meterd);
    arena_init(&f->batch, BATCH_ARENA_MAX);
    st = feed_ear_open(&at, &f->ear, err);
    if (st == ST_OK) {
        st = transport_thread(&f->thread, follow, f);
        if (st != ST_OK) {
            nng_close(f->ear.sock);
            err_set(err, st, "no thread to follow the state");
        }
    }
    if (st != ST_OK) {
        feed_task_fini(&f->task);
        free(f);
        return st;
    }
    *ret = f;
    return ST_OK;
}

void feed_follow_free(struct feed_follow *f)
{
    if (!f)
        return;
    feed_task_stop(&f->task);
    nng_close(f->ear.sock);
    pthread_join(f->thread, NULL);
    arena_fini(&f->batch);
    feed_task_fini(&f->task);
    free(f);
}

uint64_t feed_follow_revision(struct feed_follow *f)
{
    return atomic_load(&f->revision);
}
