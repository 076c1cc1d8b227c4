/* Answers that are made here take the way of those from upstream, piece by piece, as fast as the client takes them. */
#include <stdio.h>

#include "providersvc/loop.h"
#include "providersvc/relay_private.h"

enum status relay_local_start(struct completion *c, struct relay *s)
{
    enum status st;

    s->local = arena_alloc(c->call->arena, s->plan.local->state_size);
    if (s->local == NULL)
        return err_set(&c->call->err, ST_INTERNAL, "No memory for the answer.");
    st = s->plan.local->begin(c, s->local, s->body, &c->call->err);
    if (st != ST_OK)
        return st;
    completion_quiet_off(c); /* nobody is waited for */
    relay_local_go_on(c, s);
    return ST_OK;
}

void relay_local_fini(struct relay *s)
{
    if (s->local != NULL)
        s->plan.local->fini(s->local);
    s->local = NULL;
}

static void end(struct completion *c, struct relay *s, const struct http_answer *answer, enum http_end how)
{
    s->local_over = true;
    if (how == HTTP_BROKEN && s->fault == NULL)
        s->fault = "The answer became too large.";
    relay_take_end(c, answer, how, NULL);
}

/* The next piece is due and none is left of the one before. */
static enum status make(struct completion *c, struct relay *s)
{
    struct local_piece piece = {.wait_ms = 0};
    enum status st = s->plan.local->next(s->local, &s->piece, &piece);

    s->local_last = piece.last;
    s->local_due_ms = c->loop->now_ms + piece.wait_ms;
    return st;
}

void relay_local_go_on(struct completion *c, struct relay *s)
{
    struct http_answer answer = {.status = 200};
    enum http_take take;

    snprintf(answer.content_type, sizeof(answer.content_type), "%s",
             c->req->stream ? "text/event-stream; charset=utf-8" : "application/json");
    while (!s->local_over) {
        if (s->piece.n == 0 && s->local_due_ms > c->loop->now_ms) {
            completion_wake_at(c, s->local_due_ms); /* after whatever the last piece wanted to be woken for */
            return;
        }
        if (s->piece.n == 0 && make(c, s) != ST_OK) {
            end(c, s, &answer, HTTP_BROKEN);
            return;
        }
        if (s->piece.n > 0) {
            take = relay_take_data(c, &answer, (struct slice){s->piece.p, s->piece.n});
            completion_quiet_off(c);
            if (take == HTTP_PAUSE)
                return;
            s->piece.n = 0;
            if (take == HTTP_ABORT) {
                end(c, s, &answer, HTTP_BROKEN);
                return;
            }
        }
        if (s->local_last)
            end(c, s, &answer, HTTP_WHOLE);
    }
}
