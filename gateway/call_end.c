#include <string.h>

#include "gateway/answer.h"
#include "gateway/call.h"
#include "services/clock.h"

bool call_answer_plain(struct call *c)
{
    struct buf *out = &c->conn->out;
    struct request *r = c->r;
    bool clear;

    out->n = 0;
    answer_head(r, out, (int)c->head.http_status, c->head.content_type, (int64_t)c->answer.n);
    buf_addf(out, "cache-control: no-store\r\n");
    call_answer_lines(c, out);
    if (buf_addf(out, "\r\n") != ST_OK) {
        c->st = err_set(&c->err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
        return true; /* the thread says so */
    }
    r->status = (int)c->head.http_status;
    stream_init(&c->stream, c->conn->fd, false, out->n + c->answer.n);
    clear =
        stream_put(&c->stream, (struct slice){out->p, out->n}, (struct slice){c->answer.p, c->answer.n}, true, false);
    c->gone |= c->stream.broken;
    return clear;
}

/* What a sleeping thread holds on to should be small; a failure is logged with what only the thread knows. */
bool call_can_settle(const struct call *c)
{
    const struct request *r = c->r;

    return c->stream.began && c->st == ST_OK && !c->upload && !c->gone && !c->keep.key.n && r->status < 500 &&
           r->keep_alive && r->body_read && r->arena->used <= GATEWAY_KEEP_BYTES && !svc_draining(c->gw->svc);
}

void call_take_note(struct call *c, struct call_note *n)
{
    struct request *r = c->r;
    uint64_t now = clock_ms();

    if (c->stream.began)
        r->sent_bytes = c->stream.sent;
    n->gw = c->gw;
    n->route = r->route;
    n->endpoint = c->surface->endpoint;
    memcpy(n->id, r->id, sizeof(n->id));
    slice_copy(c->ask.model, n->model, sizeof(n->model));
    n->stream = c->ask.stream;
    n->status = r->status;
    n->outcome = c->st;
    n->began_ns = r->began_ns;
    n->ms = now - c->began_ms;
    n->answered = c->first_ms != 0;
    n->first_ms = n->answered ? c->first_ms - c->began_ms : 0;
    n->bytes = r->sent_bytes;
}

void call_log(const struct call_note *n)
{
    if (n->answered)
        metric_observe_ns(n->gw->metrics.first_byte, n->first_ms * 1000000);
    metric_move(n->gw->metrics.streams, -(int64_t)n->stream);
    log_event(svc_log(n->gw->svc), LOG_INFO, slice_of(n->id), "call", LOG_N("status", n->status),
              LOG_C("endpoint", n->endpoint), LOG_C("model", n->model), LOG_B("stream", n->stream), LOG_N("ms", n->ms),
              LOG_N("ttft_ms", n->first_ms), LOG_N("bytes", n->bytes), LOG_C("outcome", status_name(n->outcome)));
}
