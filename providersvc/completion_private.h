/* What completion*.c share among themselves. Nobody else includes this. */
#ifndef PROVIDERSVC_COMPLETION_PRIVATE_H
#define PROVIDERSVC_COMPLETION_PRIVATE_H

#include "providersvc/completion.h"

/* completion_route.c */
enum status route_first(struct completion *c); /* ST_UNAVAILABLE with the call's err set: none at the moment */

/* completion.c */
void completion_attempt_at(struct completion *c, uint64_t due_ms); /* now, or then */

/* completion_bill.c */
enum status bill_start(struct completion *c); /* the record that it has begun */
void bill_note(struct completion *c); /* for the outbox only: tokens have flowed */
void bill_progress(struct completion *c); /* what it owes so far, if that is due */
uint64_t bill_next_look(uint64_t now_ms); /* when to call it */
void bill_end(struct completion *c); /* the record that ends it; the loop does the rest */
void bill_of(const struct completion *c, struct usage *ret, bool *ret_estimated);
void bill_so_far(const struct completion *c, struct usage *ret, bool *ret_estimated);
uint64_t bill_percent(const struct completion *c);
void bill_put_usage(struct usage_event *ev, const struct usage *u);
void bill_next_attempt(struct completion *c); /* remembers the one before */
bool bill_parks(const struct completion *c); /* of a call that has ended: what it costs is known later */

/* completion_route.c */
/* Of a response that is streamed once more and was not seen over: what the client has got of it. NULL: nothing. */
const struct object_end *completion_shown(const struct completion *c);

/* completion_cap.c */
uint64_t cap_output(const struct completion *c); /* tokens of output that the hold bears behind the prompt's estimate */

static inline bool completion_flowed(const struct completion *c)
{
    return c->text.ascii + c->text.other > 0;
}

#endif
