/* Streams: each event is one HTTP chunk, built in place and given to the socket in one write. */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EVENT_MAX 4096
#define FRAME_ROOM 16 /* for the chunk size before the event */
#define BACKLOG_MAX ((size_t)64 * 1024)
#define STEPS_PER_TURN 32
#define PREFIX_MAX 2048
#define FRAGMENT_BYTES 5

/* An event under construction: what stands before it is filled in when it is sent. */
struct event {
    char room[FRAME_ROOM + EVENT_MAX + 2];
    size_t n;
};

static void add(struct event *e, const void *p, size_t n)
{
    if (n > EVENT_MAX - e->n)
        n = EVENT_MAX - e->n;
    memcpy(e->room + FRAME_ROOM + e->n, p, n);
    e->n += n;
}

static void add_str(struct event *e, const char *s)
{
    add(e, s, strlen(s));
}

static void add_number(struct event *e, int64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    add(e, digits + at, sizeof(digits) - at);
}

/* Frames bytes as an HTTP chunk, where the request's version has chunks. */
static void send_event(struct conn *c, struct event *e)
{
    static const char hex[] = "0123456789abcdef";
    char *p = e->room + FRAME_ROOM;
    size_t n = e->n;

    if (c->request->chunked) {
        *--p = '\n';
        *--p = '\r';
        for (size_t v = n; v > 0; v /= 16)
            *--p = hex[v % 16];
        memcpy(e->room + FRAME_ROOM + n, "\r\n", 2);
        n = (size_t)(e->room + FRAME_ROOM - p) + n + 2;
    }
    conn_send(c, p, n);
}

static void open_choice(const struct request *r, struct event *e, int64_t index)
{
    add(e, r->prefix.p, r->prefix.n);
    add_number(e, index);
    add_str(e, r->kind == KIND_CHAT ? ",\"delta\":" : ",\"text\":");
}

static void close_choice(const struct request *r, struct event *e, const char *finish)
{
    add_str(e, ",\"logprobs\":null,\"finish_reason\":");
    if (finish) {
        add_str(e, "\"");
        add_str(e, finish);
        add_str(e, "\"");
    } else {
        add_str(e, "null");
    }
    add_str(e, r->include_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

static void add_fragment(const struct request *r, struct event *e, int64_t call, int64_t part)
{
    char arguments[16];
    const char *p = NULL;

    answer_arguments(call, arguments);
    add_str(e, "{\"tool_calls\":[{\"index\":");
    add_number(e, call);
    if (part == 0) {
        add_str(e, ",\"id\":\"call_up");
        add_number(e, (int64_t)r->seq);
        add_str(e, "x");
        add_number(e, call);
        add_str(e, "\",\"type\":\"function\",\"function\":{\"name\":\"");
        add_str(e, r->tool);
        add_str(e, "\",\"arguments\":\"\"}}]}");
        return;
    }
    p = arguments + (part - 1) * FRAGMENT_BYTES;
    add_str(e, ",\"function\":{\"arguments\":\"");
    for (size_t i = 0; i < FRAGMENT_BYTES; i++) {
        if (p[i] == '"')
            add_str(e, "\\");
        add(e, p + i, 1);
    }
    add_str(e, "\"}}]}");
}

static void build_chunk(const struct request *r, struct event *e)
{
    int64_t word = r->sent / r->choices;
    bool chat = r->kind == KIND_CHAT;

    e->n = 0;
    if (r->plan.bad_json && r->sent == 1) {
        add_str(e, "data: {\"id\":\"chatcmpl-broken\",\"choices\":[{\"index\":0,\"delta\":{\"con\n\n");
        return;
    }
    open_choice(r, e, r->tool_calls > 0 ? 0 : r->sent % r->choices);
    if (r->tool_calls > 0) {
        add_fragment(r, e, r->sent / CHUNKS_PER_CALL, r->sent % CHUNKS_PER_CALL);
    } else {
        add_str(e, chat ? "{\"content\":\"" : "\"");
        add_str(e, word > 0 ? " t" : "t");
        add_number(e, word);
        add_str(e, chat ? "\"}" : "\"");
    }
    close_choice(r, e, NULL);
}

/* slow-body: an event leaves as two chunks, half the delay apart. */
static void send_slowly(struct conn *c, struct event *e)
{
    struct request *r = c->request;
    struct event half = {.n = 0};

    add(&half, e->room + FRAME_ROOM, e->n / 2);
    buf_add(&r->held, e->room + FRAME_ROOM + half.n, e->n - half.n);
    r->half_sent = true;
    send_event(c, &half);
}

static void send_second_half(struct conn *c)
{
    struct request *r = c->request;
    struct event half = {.n = 0};

    add(&half, r->held.p, r->held.n);
    buf_clear(&r->held, EVENT_MAX);
    r->half_sent = false;
    r->sent++;
    send_event(c, &half);
}

static void send_chunk(struct conn *c)
{
    struct request *r = c->request;
    struct event e;

    if (r->half_sent) {
        send_second_half(c);
        return;
    }
    build_chunk(r, &e);
    c->server->count.chunks++;
    if (r->plan.slow_body) {
        send_slowly(c, &e);
        return;
    }
    r->sent++;
    send_event(c, &e);
}

static void add_usage_event(const struct request *r, struct event *e)
{
    char room[640];
    struct buf b = {.p = room, .cap = sizeof(room), .max = sizeof(room)};

    if (!r->include_usage)
        return;
    answer_usage(r, &b);
    /* The prefix ends in `"choices":[{"index":`; this chunk has no choices. */
    add(e, r->prefix.p, r->prefix.n - strlen("{\"index\":"));
    add_str(e, "],");
    add(e, b.p, b.n);
    add_str(e, "}\n\n");
}

/* The finish chunks, usage and [DONE], then the end of the body, in one write as providers do. */
static void send_tail(struct conn *c)
{
    struct request *r = c->request;
    struct buf out;
    struct event e = {.n = 0};

    buf_init(&out, (size_t)1 << 20);
    for (int64_t i = 0; i < r->choices; i++) {
        open_choice(r, &e, i);
        add_str(&e, r->kind == KIND_CHAT ? "{}" : "\"\"");
        close_choice(r, &e, r->finish);
        if (r->chunked)
            buf_fmt(&out, "%zx\r\n", e.n);
        buf_add(&out, e.room + FRAME_ROOM, e.n);
        buf_str(&out, r->chunked ? "\r\n" : "");
        e.n = 0;
    }
    add_usage_event(r, &e);
    add_str(&e, "data: [DONE]\n\n");
    if (r->chunked)
        buf_fmt(&out, "%zx\r\n", e.n);
    buf_add(&out, e.room + FRAME_ROOM, e.n);
    buf_str(&out, r->chunked ? "\r\n0\r\n\r\n" : "");
    if (out.failed)
        c->gone = true;
    else
        conn_send(c, out.p, out.n);
    buf_fini(&out);
    conn_finish(c, OUTCOME_OK);
}

static void send_error_event(struct conn *c)
{
    struct event e = {.n = 0};

    add_str(&e, "data: {\"error\":{\"message\":\"The fake upstream broke off as it was told.\","
                "\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_stream_error\"}}\n\n");
    send_event(c, &e);
    if (c->request->chunked)
        conn_send(c, "0\r\n\r\n", 5);
    conn_finish(c, OUTCOME_ERROR);
}

/* Does what the plan wants done after the chunks sent so far. Returns true when that was the end.
 */
static bool at_an_end(struct conn *c)
{
    struct request *r = c->request;
    const struct plan *p = &r->plan;

    if (r->half_sent)
        return false;
    if (p->cut == r->sent || p->reset == r->sent) {
        c->close_after = true;
        c->reset_after = p->reset == r->sent;
        conn_finish(c, c->reset_after ? OUTCOME_RESET : OUTCOME_CUT);
    } else if (p->hang == PLAN_STREAM && p->at == r->sent) {
        r->hanging = true;
    } else if (p->error_event == r->sent) {
        send_error_event(c);
    } else if (r->sent >= r->total) {
        send_tail(c);
    } else {
        return false;
    }
    return true;
}

void stream_step(struct conn *c)
{
    struct request *r = c->request;
    uint64_t delay = (uint64_t)r->plan.delay_ms;

    if (r->plan.slow_body)
        delay = delay / 2;
    for (int i = 0; i < STEPS_PER_TURN; i++) {
        if (c->out.n - c->out_at > BACKLOG_MAX)
            break; /* a slow reader: look again later */
        send_chunk(c);
        if (c->gone || at_an_end(c))
            return;
        if (delay > 0)
            break;
    }
    r->due_ms += delay;
    if (r->due_ms <= c->server->now_ms && delay > 0)
        r->due_ms = c->server->now_ms + delay; /* late: keep the pace, do not catch up */
    if (delay == 0)
        r->due_ms = c->server->now_ms + (c->out.n > c->out_at ? 1 : 0);
    conn_timer(c, PHASE_STREAM, r->due_ms);
}

static void make_prefix(struct request *r)
{
    bool chat = r->kind == KIND_CHAT;

    buf_init(&r->prefix, PREFIX_MAX);
    buf_init(&r->held, EVENT_MAX);
    buf_fmt(&r->prefix,
            "data: {\"id\":\"%s-up%016" PRIx64 "\",\"object\":\"%s\",\"created\":1795400000,"
            "\"model\":\"%s\",",
            chat ? "chatcmpl" : "cmpl", r->seq, chat ? "chat.completion.chunk" : "text_completion", r->model);
    if (chat)
        buf_fmt(&r->prefix, "\"service_tier\":\"%s\",", r->plan.tier[0] ? r->plan.tier : "default");
    buf_str(&r->prefix, "\"choices\":[{\"index\":");
}

/* The head and the role chunks leave in one write. */
static void send_opening(struct conn *c)
{
    struct request *r = c->request;
    struct buf b;

    buf_init(&b, (size_t)1 << 20);
    answer_head(c, &b, 200, "text/event-stream");
    buf_str(&b, "Cache-Control: no-cache\r\n");
    buf_str(&b, r->chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
    for (int64_t i = 0; i < r->choices && r->kind == KIND_CHAT; i++) {
        struct event e = {.n = 0};

        open_choice(r, &e, i);
        add_str(&e, "{\"role\":\"assistant\",\"content\":");
        add_str(&e, r->tool_calls > 0 ? "null,\"refusal\":null}" : "\"\",\"refusal\":null}");
        close_choice(r, &e, NULL);
        if (r->chunked)
            buf_fmt(&b, "%zx\r\n", e.n);
        buf_add(&b, e.room + FRAME_ROOM, e.n);
        buf_str(&b, r->chunked ? "\r\n" : "");
    }
    if (b.failed)
        c->gone = true;
    else
        conn_send(c, b.p, b.n);
    buf_fini(&b);
}

void stream_begin(struct conn *c)
{
    struct request *r = c->request;
    struct counters *n = &c->server->count;

    r->status = 200;
    r->streaming = true;
    r->chunked = c->head.minor > 0;
    if (!r->chunked)
        c->close_after = true;
    r->total = r->tool_calls > 0 ? r->tool_calls * CHUNKS_PER_CALL : r->plan.tokens * r->choices;
    n->streams++;
    n->open_streams++;
    if (n->open_streams > n->peak_streams)
        n->peak_streams = n->open_streams;
    make_prefix(r);
    send_opening(c);
    r->due_ms = c->server->now_ms;
    if (!c->gone && !at_an_end(c))
        stream_step(c);
}
