#include <string.h>
#include <strings.h>

#include "gateway/answer.h"
#include "gateway/call.h"
#include "services/clock.h"

static const char events_type[] = "text/event-stream";

/* ---- the head ---------------------------------------------------------------------------------------------------- */

static bool type_is(struct slice type, const char *wanted)
{
    size_t n = strlen(wanted);

    return type.n >= n && !strncasecmp(type.p, wanted, n) &&
           (type.n == n || type.p[n] == ';' || type.p[n] == ' ' || type.p[n] == '\t');
}

static enum call_mode mode_of(const struct response_head *h)
{
    if (h->http_status == 204 || h->http_status >= 300 || !h->content_type.n ||
        type_is(h->content_type, "application/json"))
        return CALL_WHOLE;
    return type_is(h->content_type, events_type) ? CALL_EVENTS : CALL_BYTES;
}

static void begin_stream(struct call *c, enum call_mode mode, size_t backlog_max)
{
    c->mode = mode;
    stream_init(&c->stream, c->conn->fd, !c->r->http10, backlog_max);
    c->stream.credit = c->window;
    c->window = 0;
}

void call_take_head(struct call *c, struct slice bytes)
{
    struct wire_alloc mem = arena_wire(c->r->arena);
    enum call_mode mode;
    enum status st;

    if (c->has_head)
        return;
    bytes = arena_copy(c->r->arena, bytes, &st);
    if (st != ST_OK || wire_decode(&response_head_desc, bytes.p, bytes.n, &c->head, &mem, NULL) != ST_OK)
        return; /* without a head there is no answer: the end will say so */
    c->has_head = true;
    request_forget_body(c->r); /* it is upstream's now: nobody tries again after a head */
    mode = mode_of(&c->head);
    if (c->early)
        c->folded = mode != CALL_EVENTS;
    else if (mode != CALL_WHOLE)
        begin_stream(c, mode, STREAM_BACKLOG_MAX);
}

/* The head of a stream, which leaves with its first bytes. */
static struct slice stream_head(struct call *c)
{
    struct buf *out = &c->conn->out;
    int status = c->has_head ? (int)c->head.http_status : 200;

    if (c->stream.began)
        return (struct slice){NULL, 0};
    if (c->r->http10)
        c->r->keep_alive = false;
    out->n = 0;
    answer_head(c->r, out, status, c->has_head ? c->head.content_type : slice_of(events_type), -1);
    buf_addc(out, c->mode == CALL_EVENTS ? "cache-control: no-cache\r\nx-accel-buffering: no\r\n"
                                         : "cache-control: no-store\r\n");
    if (c->has_head)
        call_answer_lines(c, out);
    else
        call_limit_lines(&c->limits, out);
    if (buf_addc(out, "\r\n") != ST_OK) {
        c->stream.broken = true;
        return (struct slice){NULL, 0};
    }
    c->r->status = status;
    return (struct slice){out->p, out->n};
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

/* Its closing event is held back until the call has ended, so that a client that has seen it may call again at once. */
static bool take_events(struct call *c, struct slice bytes)
{
    struct slice rest = bytes;
    bool clear = true;
    size_t held;

    idempotency_record(&c->keep, bytes);
    if (c->held.n) { /* something follows what looked like the end */
        clear = stream_put(&c->stream, stream_head(c), c->held, false, true);
        c->held.n = 0;
    }
    held = closing_take(&c->closing, c->surface, bytes);
    if (held) {
        c->held = held == 1 ? slice_of("\n") : slice_of("data: [DONE]\n\n");
        rest.n -= held;
    }
    if (rest.n)
        clear = stream_put(&c->stream, stream_head(c), rest, false, true) && clear;
    atomic_store_explicit(&c->conn->quiet_since_ms, clock_ms(), memory_order_relaxed);
    return clear;
}

static bool pass_on(struct call *c, struct slice bytes)
{
    idempotency_record(&c->keep, bytes);
    return stream_put(&c->stream, stream_head(c), bytes, false, true);
}

/* Too long to be gathered: what is there goes out now, the rest as it comes. */
static bool begin_passing(struct call *c)
{
    struct slice gathered = {c->answer.p, c->answer.n};
    bool clear;

    begin_stream(c, CALL_BYTES, STREAM_BACKLOG_MAX + CALL_GATHER_MAX);
    idempotency_record(&c->keep, gathered);
    clear = stream_put(&c->stream, stream_head(c), gathered, false, false);
    buf_fini(&c->answer);
    return clear;
}

static bool gather(struct call *c, struct slice bytes)
{
    bool clear;

    if (c->has_head && !c->folded && c->answer.n + bytes.n > CALL_GATHER_MAX) {
        clear = begin_passing(c);
        return pass_on(c, bytes) && clear;
    }
    if (buf_add(&c->answer, bytes.p, bytes.n) != ST_OK && c->st == ST_OK) {
        c->st = ST_UPSTREAM;
        err_set(&c->err, ST_UPSTREAM, "The provider's answer is larger than %u bytes.", CALL_GATHER_MAX);
    }
    c->window += bytes.n;
    return true;
}

bool call_take_bytes(struct call *c, struct slice bytes)
{
    if (!c->first_ms)
        c->first_ms = clock_ms();
    if (c->mode == CALL_WHOLE || c->folded)
        return gather(c, bytes);
    return c->mode == CALL_EVENTS ? take_events(c, bytes) : pass_on(c, bytes);
}

uint32_t call_credit(struct call *c)
{
    uint32_t credit = 0;

    if (c->mode != CALL_WHOLE && !c->folded)
        return stream_credit(&c->stream);
    if (c->window >= STREAM_CREDIT_STEP) {
        credit = (uint32_t)c->window;
        c->window = 0;
    }
    return credit;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* A body of any shape as the data of an event. */
static void add_data(struct buf *out, struct slice body)
{
    while (body.n && (body.p[body.n - 1] == '\n' || body.p[body.n - 1] == '\r'))
        body.n--;
    do {
        const char *end = body.n ? memchr(body.p, '\n', body.n) : NULL;
        size_t n = end ? (size_t)(end - body.p) : body.n;

        buf_addc(out, "data: ");
        buf_add(out, body.p, n);
        buf_addc(out, "\n");
        n += end != NULL;
        body.p = n ? body.p + n : body.p;
        body.n -= n;
    } while (body.n);
}

static void add_problem(struct call *c, struct buf *out)
{
    struct problem p = problem_of(&c->err);

    buf_addc(out, "data: ");
    if (c->r->anthropic || c->surface->flags & SURFACE_DONE) {
        answer_problem_body(c->r, &p, out);
    } else {
        buf_addc(out, "{\"type\":\"error\",");
        problem_member(&p, out);
        buf_addc(out, "}");
    }
    buf_addc(out, "\n");
}

/* The stream has begun: the head's buffer is free. */
static struct slice error_event(struct call *c)
{
    struct buf *out = &c->conn->out;

    if (c->folded && c->st == ST_OK && c->head.http_status < 400) {
        c->st = ST_UPSTREAM;
        err_set(&c->err, ST_UPSTREAM, "The provider did not stream its answer.");
    }
    c->r->keep_alive = false;
    out->n = 0;
    if (!c->stream.boundary)
        buf_addc(out, "\n\n");
    if (!(c->surface->flags & SURFACE_DONE))
        buf_addc(out, "event: error\n");
    if (c->st == ST_OK)
        add_data(out, (struct slice){c->answer.p, c->answer.n});
    else
        add_problem(c, out);
    if (buf_addc(out, "\n") != ST_OK)
        out->n = 0;
    return (struct slice){out->p, out->n};
}

/* Bytes that broke off are not ended: so the client sees that there should be more. */
static bool end_bytes(struct call *c)
{
    bool clear = true;

    if (c->st == ST_OK)
        clear = stream_put(&c->stream, stream_head(c), (struct slice){NULL, 0}, true, false);
    else
        c->r->keep_alive = false;
    c->gone |= c->stream.broken;
    return clear;
}

/* A stream of events that has begun ends with its closing event, or with an error event and without one. */
bool call_end_stream(struct call *c)
{
    struct slice tail = c->held, head;
    bool clear;

    if (c->gone || (c->st != ST_OK && !c->stream.began && !c->held.n))
        return true;
    if (c->mode == CALL_BYTES)
        return end_bytes(c);
    if (!c->held.n && (c->st != ST_OK || c->folded))
        tail = error_event(c);
    head = stream_head(c);
    clear = stream_put(&c->stream, head, tail, true, false);
    c->gone |= c->stream.broken;
    return clear;
}

/* ---- silence ----------------------------------------------------------------------------------------------------- */

/* Is there something to be said that does no harm? Before the provider has said anything, that it is being asked. */
static bool may_speak(const struct call *c)
{
    if (c->over || c->gone || !c->ask.stream || c->attempt == 0)
        return false;
    if (c->mode == CALL_EVENTS)
        return (!c->stream.began || c->stream.boundary) && !c->stream.backlog.n;
    return !c->has_head;
}

void call_keep_alive(struct conn *conn, uint64_t now_ms)
{
    static const char comment[] = ": keep-alive\n\n", ping[] = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    struct call *c;
    bool clear = true;

    pthread_mutex_lock(&conn->lock);
    c = conn->call;
    if (c && may_speak(c)) {
        if (c->mode != CALL_EVENTS) {
            c->early = true;
            begin_stream(c, CALL_EVENTS, STREAM_BACKLOG_MAX);
        }
        clear = stream_put(&c->stream, stream_head(c), slice_of(c->r->anthropic ? ping : comment), false, false);
        atomic_store_explicit(&conn->quiet_since_ms, now_ms, memory_order_relaxed);
    }
    if (!clear)
        conn_wake(conn);
    pthread_mutex_unlock(&conn->lock);
}
