#include "gateway/answer.h"
#include "gateway/chat.h"
#include "services/clock.h"

bool chat_answer_plain(struct chat *c)
{
    struct buf *out = &c->conn->out;
    struct request *r = c->r;
    bool clear;

    out->n = 0;
    answer_head(r, out, (int)c->head.http_status, c->head.content_type, (int64_t)c->answer.n);
    buf_addf(out, "cache-control: no-store\r\n");
    chat_answer_lines(c, out);
    if (buf_addf(out, "\r\n") != ST_OK) {
        c->st = err_set(&c->err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
        return true; /* the thread says so */
    }
    r->status = (int)c->head.http_status;
    stream_init(&c->stream, c->conn->fd, false, out->n + c->answer.n);
    clear = stream_put(&c->stream, (struct slice){out->p, out->n}, (struct slice){c->answer.p, c->answer.n}, true, false);
    c->gone |= c->stream.broken;
    return clear;
}

/* What a sleeping thread holds on to should be small. */
bool chat_can_settle(const struct chat *c)
{
    return c->stream.began && c->st == ST_OK && !c->gone && c->r->keep_alive && c->r->body_read &&
           c->r->arena->used <= GATEWAY_KEEP_BYTES && !svc_draining(c->gw->svc);
}

static void log_call(const struct chat *c)
{
    uint64_t now = clock_ms(), first = c->first_ms ? c->first_ms - c->began_ms : 0;

    if (c->first_ms)
        metric_observe_ns(c->gw->metrics.first_byte, first * 1000000);
    log_event(svc_log(c->gw->svc), LOG_INFO, slice_of(c->r->id), "call", LOG_N("status", c->r->status),
              LOG_S("model", c->ask.model), LOG_B("stream", c->ask.stream), LOG_N("ms", now - c->began_ms),
              LOG_N("ttft_ms", first), LOG_N("bytes", c->r->sent_bytes), LOG_C("outcome", status_name(c->st)));
}

void chat_settle(struct chat *c)
{
    if (c->stream.began)
        c->r->sent_bytes = c->stream.sent;
    log_call(c);
    metric_move(c->gw->metrics.streams, -(int64_t)c->ask.stream);
    buf_fini(&c->answer);
    request_settle(c->r);
}
