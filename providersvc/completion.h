/*
 * A completion: one call in the hands of providersvc, from the bus to its last byte and its record in the outbox.
 *
 * It owns the order of things: `started` is in the outbox before an adapter begins, bytes go to the client only as fast
 * as it takes them, the usage event is written before the call ends, the call ends exactly once. While it runs it says
 * what it owes so far, and watches that this stays within its hold. How an upstream is spoken to is the adapter's
 * business. Lives in its call's arena, on one loop's thread; of a client that left it may outlive the call's answer. A
 * call that was never begun (no room in the outbox, unknown provider) ends with ST_UNAVAILABLE and leaves no record;
 * every other one leaves exactly one that ends it.
 *
 * A batch is made by a call that is over long before it, and so may a response be that upstream works on in the
 * background: such a call's record says `running` and `parked`, and what is held for it stays held. What the batch or
 * the response used is told by the call that first sees it over.
 *
 *   completion.c       its life; what adapters and the loop say to it
 *   completion_bill.c  its records: started, progress, the end, its attempts
 *   completion_cap.c   the hold: what the call may owe, and asking for more
 */
#ifndef PROVIDERSVC_COMPLETION_H
#define PROVIDERSVC_COMPLETION_H

#include <stdbool.h>

#include "providersvc/dialects/dialect.h"
#include "providersvc/outbox.h"
#include "providersvc/timers.h"
#include "providersvc/upstreams.h"
#include "services/svc.h"

#define COMPLETION_TRIES_MAX 3 /* attempts on one route that may be made because nothing came of them */
#define COMPLETION_BACKOFF_MS UINT64_C(25) /* before the second; doubles */
#define COMPLETION_SLACK_MS 50 /* a cancel this shortly before the deadline is the deadline itself */
#define COMPLETION_SEND_MAX (64u * 1024u) /* bytes of one message to the client */
#define COMPLETION_AHEAD_MAX (256u * 1024u) /* an adapter stops to produce when so much waits for the client */
#define COMPLETION_OUT_MAX (48u * 1024u * 1024u) /* a whole answer that is not streamed */
#define COMPLETION_ATTEMPTS_MAX 8 /* in all: other keys, other routes */
#define COMPLETION_WAIT_MAX_MS                                                                                         \
    UINT64_C(2000) /* upstream's Retry-After is waited for when it is no longer than this                              \
                    */
#define COMPLETION_PUSHED_MAX (256u * 1024u) /* bytes of an upload that are asked for at once */
#define COMPLETION_TELL_MS UINT64_C(1000) /* a call that runs so long says what it owes; again while tokens flow */
#define COMPLETION_TELL_IDLE_MS UINT64_C(10000) /* and so often when none do */
#define COMPLETION_TELL_GRID_MS UINT64_C(64) /* calls speak at the same moments, so that one write takes many */
#define COMPLETION_ASK_MS UINT64_C(1000) /* an answer about the hold may take so long, and is asked for again then */

struct loop;

enum outcome { OUTCOME_OK, OUTCOME_ERROR, OUTCOME_CANCELLED, OUTCOME_TRUNCATED };
const char *outcome_name(enum outcome o);

/* One call upstream. */
struct attempt {
    const struct call_route *route;
    uint64_t begun_ms, ended_ms; /* ended 0 = under way */
    unsigned http_status; /* upstream's; 0 = it said nothing */
    enum attempt_outcome outcome;
    bool answered; /* the client has something of its answer */
    struct usage usage; /* of an answer that is of no use: the operator's */
};

/* What the call may owe. */
struct cap {
    int64_t hold_nano;
    int64_t asked_nano; /* the last question's */
    unsigned lost; /* questions in a row that were lost with their authsvc */
    uint64_t asked_ms; /* when; 0 = never */
    bool asking; /* its answer is due */
    bool refused; /* it was not answered with all that was asked for */
    bool waiting; /* the adapter keeps text back until the answer */
    bool reached; /* the answer ended by it */
};

struct completion {
    struct loop *loop;
    struct svc_call *call;
    const struct completion_req *req;
    const struct call_route *route; /* of the attempt at hand */
    struct upstream *upstream; /* a reference, of that route; NULL = none yet */
    struct provider_key *key; /* the upstream's */
    uint32_t tried; /* bit k: route k is out of the question */
    unsigned tries; /* attempts on this route */
    bool probe; /* this attempt finds out whether the provider is well again */
    const struct adapter *adapter; /* whose … */
    void *state; /* … this is */
    uint64_t tag;
    struct completion *next; /* starting, or ending */
    struct completion *next_dirty; /* has something to send */
    bool dirty;
    bool running; /* an attempt is under way */
    bool starved; /* the adapter waits for room */
    bool started; /* its `started` record is written */
    bool cancelled; /* before that */
    bool held; /* its record is written or being written; only the end is due */
    bool left; /* the client is gone and has its end; upstream is read on to know what it costs */

    struct timer timer;
    bool waiting; /* between two attempts */
    uint64_t attempt_due_ms; /* this attempt may take until then; 0 = as long as the call */
    uint64_t deadline_ms, quiet_ms, wake_ms; /* quiet: upstream must have said something by then; 0 = not set */
    uint64_t created_ms, begun_ms, first_ms; /* Unix; monotonic; first good byte, 0 = none */
    uint64_t tell_ms, told_ms; /* when to look what it owes; when it was last told, 0 = never */
    uint64_t told_tokens; /* what was told then */
    unsigned attempts;
    struct attempt attempt; /* the last */
    struct attempt *past; /* those before it */
    struct cap cap;

    struct buf pushed; /* of an upload: what the client's side has sent and the adapter not taken */
    uint64_t owed; /* of an upload: bytes that were asked for and are not here yet … */
    uint64_t stale; /* … of which so many were asked for by an attempt before */
    struct slice objects[LIMIT_OBJECTS]; /* ids of what upstream keeps for the user from now on; in the call's arena */
    size_t n_objects;
    bool goes_on; /* upstream works on the response when this answer is over */
    const struct object_end *object_over; /* what the answer says of a batch or a response; NULL = of none */

    struct outbox_mark *mark;
    struct usage usage;
    struct tally text;
    uint64_t tier_percent; /* of the prices: what the tier costs that serves it; 0 = not told */
    unsigned http_status; /* what the client saw, 0 = nothing */

    struct buf out; /* for the client */
    size_t out_at;
    int64_t room;
    bool head_sent, noted, ended; /* noted: the outbox knows that tokens flowed */
    enum outcome outcome;
    enum status end_status;
};

/* ---- for adapters -------------------------------------------------------------------------------------------------
 */

struct answer_head {
    unsigned status;
    struct slice content_type;
    uint64_t retry_after_ms;
    const struct http_header *headers;
    size_t n_headers;
    struct slice dropped; /* names of fields that were left out */
};

/* What can be done about an attempt that came to nothing. */
enum remedy {
    REMEDY_NONE, /* nothing: every provider would say the same */
    REMEDY_ELSEWHERE, /* another route; this one may have worked already */
    REMEDY_AGAIN, /* another route, or this one once more: it has done nothing */
    REMEDY_KEY, /* another key of the same provider, or another route */
    REMEDY_LIMIT, /* the same; this key has reached a limit for wait_ms */
};

struct failure {
    enum attempt_outcome why;
    enum remedy remedy;
    bool unwell; /* it says something about the provider's health */
    bool unsent; /* upstream has seen nothing of it: another route is no load that was not there before */
    uint64_t wait_ms; /* what upstream asked to wait; 0 = it did not say */
    const char *text; /* for the log */
};

/* At most once and before the first byte. */
void completion_head(struct completion *c, const struct answer_head *head);
enum status completion_write(struct completion *c, struct slice bytes);
void completion_write_all(struct completion *c,
                          struct buf *whole); /* exchanges the buffers; nothing was written before */
bool completion_full(const struct completion *c); /* stop producing and set c->starved; resume comes */
void completion_alive(struct completion *c,
                      bool good_byte); /* upstream said something; good: of an answer, not of an error */
void completion_asked(struct completion *c); /* now upstream has all that it needs for its first byte */
void completion_quiet_off(struct completion *c); /* it need not say anything while it is we who wait */
void completion_wake_at(struct completion *c, uint64_t due_ms);
/* The attempt came to nothing, and the client has seen nothing: another one, if there is a route and time and budget
 * allow it. true: the adapter is through with this attempt, c->state may be another adapter's already. false: it says
 * how the call ends. */
bool completion_elsewhere(struct completion *c, const struct failure *failure);
/* Is there a route that could still take over from this one? */
bool completion_has_other(const struct completion *c);
void completion_answering(struct completion *c); /* a stream's first token is here */
void completion_healthy(struct completion *c); /* the provider did what it should */
void completion_unwell(struct completion *c, const char *text); /* it failed after its answer had begun */
void completion_keep_object(struct completion *c, struct slice id); /* upstream keeps it for the user; empty is fine */
bool completion_keeps_objects(const struct completion *c); /* the endpoint makes an object that upstream keeps */
bool completion_makes_batch(const struct completion *c);
bool completion_uses_later(const struct completion *c); /* what it makes uses tokens after it has ended */
bool completion_about_batch(const struct completion *c); /* its answer is a batch's object, or a list of them */
void completion_see_batch(struct completion *c, struct slice json); /* an answer about a batch: is that over? */
/* An answer, or an event of one, about a response: how far is it? shown: its text that the client gets. */
void completion_see_response(struct completion *c, const struct facts *facts, const struct tally *shown);
bool completion_counts(const struct completion *c); /* what an answer says was used is this call's */
bool completion_wants(struct completion *c,
                      const struct upload_want *want); /* bytes of the upload; false: nobody reads */
void completion_restart(
    struct completion *c); /* upstream refused the attempt in a way that we can mend: at once, once */
/* The attempt and with it the call is over. st other than ST_OK: c->call->err is set. What is written still goes out
 * first. */
void completion_end(struct completion *c, enum outcome outcome, enum status st);
/* completion_end after a fault of the upstream; what became of it follows from what the client has got already. */
void completion_fail(struct completion *c, enum attempt_outcome why, enum status st, const char *text);
void completion_count(struct completion *c, enum attempt_outcome outcome); /* of the attempt, which is over */
void completion_tier(struct completion *c, uint64_t percent); /* what an answer says of it; 0 = nothing */
void completion_wasted(struct completion *c, const struct usage *usage); /* of an answer that cannot be given on */
/* Fills in what upstream cannot mean: no call has no input, none that gave text has no output. true: something was. */
bool completion_fill(const struct completion *c, struct usage *u);

enum bearing { CAP_BEARS, CAP_ASKS, CAP_REACHED };
/* May the call owe so much text more? A larger hold is asked for in time. CAP_ASKS: keep it; resume comes with the
 * answer. CAP_REACHED: never; stop upstream, end what the client sees, call completion_capped. */
enum bearing completion_bears(struct completion *c, const struct tally *more);
void completion_capped(struct completion *c);
/* The client is told that its credit ended the answer, not the model. Before the closing event of a stream. */
enum status completion_tell_limit(struct completion *c, uint64_t tokens);

/* ---- for the loop -------------------------------------------------------------------------------------------------
 */

void completion_begin(struct completion *c); /* arrived */
void completion_start(struct completion *c); /* `started` is written: the first attempt */
void completion_refuse(struct completion *c, enum status st, const char *text); /* never begun; c is gone afterwards */
void completion_cancel(struct completion *c); /* the client went away */
#define COMPLETION_GRANT_LOST (-1) /* for completion_granted: the question was lost with its authsvc */
/* amount_nano: what its hold is now; 0 = nobody could say. */
void completion_granted(struct completion *c, int64_t amount_nano);
void completion_pushed(struct completion *c, struct slice bytes); /* of its upload */
void completion_window(struct completion *c); /* the client has taken something */
void completion_flush(struct completion *c); /* sends what waits */
void completion_abort(struct completion *c); /* we are shutting down */
void completion_finish(
    struct completion *c); /* its record is written: the last word to the client; c is gone afterwards */

#endif
