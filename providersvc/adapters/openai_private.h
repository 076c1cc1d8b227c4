/* What openai*.c share among themselves: openai.c speaks to upstream, openai_stream.c passes streams on. */
#ifndef PROVIDERSVC_ADAPTERS_OPENAI_PRIVATE_H
#define PROVIDERSVC_ADAPTERS_OPENAI_PRIVATE_H

#include "providersvc/adapter.h"
#include "providersvc/completion.h"
#include "providersvc/http.h"
#include "providersvc/sse.h"

#define OPENAI_KEPT_MAX (SSE_EVENT_MAX + 1024u * 1024u) /* events that came with the one that waits for the hold */

enum mode { UNDECIDED, WHOLE, STREAM };

struct openai {
    struct http_transfer *transfer;
    struct buf cut_body;
    struct slice body;
    bool made, forced_usage;
    enum mode mode;
    struct buf whole;
    struct sse sse;
    bool done; /* [DONE] was seen */
    bool errored; /* an error event went through to the client */
    bool length; /* a choice ended at its output limit */
    bool capped; /* we ended the stream: what it may cost is reached */
    bool tail; /* the stream has ended: what comes is its unfinished last event */
    bool over; /* the transfer has ended while events were kept … */
    enum http_end over_end; /* … in this way */
    const char *fault; /* why the transfer was given up by us */
    uint64_t seen, finished; /* choices */
    struct facts *facts; /* of an error that came instead of an answer */
    struct buf kept; /* events that wait until the hold bears them */
};

/* openai.c */
void openai_send_head(struct completion *c, const struct http_answer *answer, unsigned status,
                      const char *content_type);
void openai_stop(struct completion *c);

/* openai_stream.c */
enum http_take openai_take_stream(struct completion *c, struct openai *s, const struct http_answer *answer,
                                  struct slice bytes);
void openai_end_stream(struct completion *c, struct openai *s, const struct http_answer *answer, enum http_end end);
/* The hold has been asked about: passes on what was kept. false: some is kept still, or the call is over. */
bool openai_pass_kept(struct completion *c, struct openai *s);

#endif
