/* What relay*.c share among themselves. */
#ifndef PROVIDERSVC_RELAY_PRIVATE_H
#define PROVIDERSVC_RELAY_PRIVATE_H

#include "providersvc/completion.h"
#include "providersvc/http.h"
#include "providersvc/relay.h"
#include "providersvc/sse.h"

#define RELAY_KEPT_MAX (SSE_EVENT_MAX + 1024u * 1024u) /* events that came with the one that waits for the hold */
#define RELAY_EARLY_MAX (256u * 1024u) /* events before the first token; with more of them it counts as come */
#define RELAY_HOLD_MS                                                                                                  \
    UINT64_C(5000) /* held back so long, a stream begins at the client when nobody else could take over */

enum relay_mode {
    RELAY_UNDECIDED,
    RELAY_WHOLE, /* gathered, then read */
    RELAY_STREAM, /* events */
    RELAY_RAW, /* bytes that we do not read: audio, files */
};

struct relay {
    struct call_plan plan;
    struct http_transfer *transfer;
    struct provider_key *key;
    struct translate_call call; /* for the translators */
    void *steps[PLAN_STEPS_MAX]; /* their state */
    struct buf dropped;
    struct buf made[2]; /* bodies that differ from the client's; the translators take turns */
    struct slice body;
    void *local; /* the state of who answers in upstream's place */
    struct buf piece; /* of its answer, not taken yet */
    uint64_t local_due_ms; /* not before this comes the next one */
    bool local_last, local_over; /* piece is the last one; it has been taken */
    struct buf pushed; /* of an upload: what libcurl is sending */
    uint64_t wanted; /* of an upload: asked for so far */
    bool forced_usage;
    enum relay_mode mode;
    struct buf whole;
    struct sse sse;
    struct buf early; /* a stream before its first token */
    bool flowing; /* its head and everything so far is out */
    bool spoken; /* its first token has come */
    const struct http_answer *answer; /* of a stream, while it is held back: the transfer's */
    bool done; /* the last event was seen */
    bool errored; /* an error event went through to the client */
    bool length; /* a choice ended at its output limit */
    bool capped; /* we ended the stream: what it may cost is reached */
    bool tail; /* the stream has ended: what comes is its unfinished last event */
    bool over; /* the transfer has ended while events were kept … */
    enum http_end over_end; /* … in this way */
    const char *fault; /* why the transfer was given up by us */
    uint64_t seen, finished; /* choices */
    struct facts *failed; /* of an error that came instead of an answer */
    struct buf kept; /* events that wait until the hold bears them */
};
_Static_assert(sizeof(struct relay) <= RELAY_STATE_SIZE, "RELAY_STATE_SIZE");

/* relay.c */
void relay_send_head(struct completion *c, const struct http_answer *answer, unsigned status,
                     struct slice content_type);
bool relay_good(unsigned status);
bool relay_content_is(const struct http_answer *answer, const char *type);
enum http_take relay_take_data(struct completion *c, const struct http_answer *answer, struct slice bytes);
void relay_take_end(struct completion *c, const struct http_answer *answer, enum http_end end, const char *why);
/* What the client is told: upstream's report, or what the bill counts in its place. Known in any case. */
struct usage relay_usage(const struct completion *c);
/* The answer ended well or badly; nothing more is due from upstream. */
void relay_took(struct completion *c, enum attempt_outcome outcome);

/* relay_stream.c */
enum http_take relay_take_stream(struct completion *c, struct relay *s, const struct http_answer *answer,
                                 struct slice bytes);
void relay_end_stream(struct completion *c, struct relay *s, const struct http_answer *answer, enum http_end end);
void relay_let_go(struct completion *c, struct relay *s); /* held back for RELAY_HOLD_MS */
/* The hold has been asked about: passes on what was kept. false: some is kept still, or the call is over. */
bool relay_pass_kept(struct completion *c, struct relay *s);

/* relay_error.c */
void relay_take_error(struct completion *c, struct relay *s, const struct http_answer *answer); /* not 2xx */
/* An error in an answer that says 2xx, or in a stream's first event. */
void relay_answer_failed(struct completion *c, struct relay *s, const struct facts *facts);
/* No answer, or none that can be given on: another route, or the client hears of it. acted: upstream may have worked.
 */
void relay_lost(struct completion *c, enum attempt_outcome why, enum status st, bool acted, const char *text);

/* relay_local.c */
enum status relay_local_start(struct completion *c, struct relay *s);
void relay_local_go_on(struct completion *c, struct relay *s); /* harmless when it is over */
void relay_local_fini(struct relay *s);

#endif
