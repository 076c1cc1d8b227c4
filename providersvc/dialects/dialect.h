/*
 * A dialect is the JSON that one kind of API speaks: chat completions, Responses, Anthropic's messages, Gemini. What
 * the router must know of an answer in it, whole or one event of a stream: is it an error, what usage does it report,
 * how much text does it carry, is it the last. Reads only; pure. A dialect is one file in dialects/ and one row in
 * dialect.c; what turns one into another is a translator (translate.h).
 *
 * Upstream's numbers are not believed blindly: what is negative, fractional or beyond LIMIT_TOKENS counts as not said.
 * Parts that are more than their whole were counted beside it: the whole grows by them, so that a report that does not
 * agree with itself is never billed below what was used (proto/money.h, money_split).
 */
#ifndef PROVIDERSVC_DIALECTS_DIALECT_H
#define PROVIDERSVC_DIALECTS_DIALECT_H

#include "proto/limits.h"
#include "proto/status.h"
#include "providersvc/tally.h"

#define FACTS_SCRATCH (128u * 1024u)
#define FACTS_CHOICES_TRACKED 64 /* choices whose end is watched one by one */
#define FACTS_TYPE_MAX 64 /* of an error's type, closing NUL included */

struct usage {
    bool known;
    uint64_t prompt; /* all input */
    uint64_t cached; /* of it from a cache */
    uint64_t write; /* of it into a short-lived cache */
    uint64_t write_long; /* of it into a long-lived one */
    uint64_t audio_in, image_in; /* of it audio, images */
    uint64_t completion; /* all output */
    uint64_t reasoning; /* of it reasoning */
    uint64_t audio_out, image_out; /* of it audio, images */
};

/* Memory for parsing small texts, one per thread. */
struct facts_scratch {
    _Alignas(16) char memory[FACTS_SCRATCH];
};

/* An error of an upstream, as OpenAI's clients know errors. */
struct upstream_error {
    unsigned status; /* HTTP, for the client; 0 = as upstream's own */
    char type[FACTS_TYPE_MAX]; /* empty = follows from the status */
    char code[ERR_CODE_MAX]; /* empty = null */
    char param[ERR_PARAM_MAX]; /* empty = null */
    char message[ERR_TEXT_MAX]; /* empty = nothing found */
    uint64_t retry_after_ms; /* of the body, not of a header; 0 = none */
    bool bad_key; /* it is the operator's credentials that upstream refuses, whatever its status says */
    bool no_credit; /* or the operator's account */
    bool shaped; /* the body is already an error of OpenAI's shape and may pass as it is */
};

struct facts {
    bool failed; /* carries an error: see error */
    bool has_answer; /* carries (a piece of) an answer: choices, output, content, candidates … */
    bool final; /* a stream is complete with it (chat's [DONE] is not JSON: its reader knows finish_reason only) */
    bool length; /* (a choice of) the answer ended at its output limit */
    bool empty_choices; /* chat: choices is [] */
    bool usage_key; /* chat: there is a member "usage" */
    bool usage_object; /* chat: and it is an object */
    uint64_t seen, finished; /* bit k: choice k appears, has ended; dialects with one answer use bit 0 */
    struct usage usage; /* what is known with this event: cumulative, `before` merged in */
    struct tally text; /* what the model said in it: text, refusal, reasoning, tool calls */
    uint64_t price_percent; /* of the prices: what the tier, or the speed, costs that served it; 0 = it says none */
    char object_id[LIMIT_OBJECT_ID + 1]; /* of an object that upstream keeps (resp_…, file-…, batch_…); else empty */
    /* Responses: how far upstream says it is, one of its words or "deleted", a constant; NULL = it does not say */
    const char *state;
    bool background; /* and it goes on with it, whoever listens */
    struct upstream_error error;
};

bool facts_pending(const struct facts *f); /* a response that upstream has yet to work on */

struct dialect {
    const char *name;
    bool trails; /* events may follow the final one: a stream is over when the answer is */
    /* A whole answer or one event's data. before: usage of the events before it, NULL = none. scratch may be NULL.
     * ST_BAD_REQUEST: not a JSON object. */
    enum status (*read)(struct slice json, const struct usage *before, struct facts_scratch *scratch,
                        struct facts *ret);
    /* The body of an answer that is not 2xx; json may be anything. *ret is filled as far as something is found. */
    void (*read_error)(unsigned status, struct slice json, struct upstream_error *ret);
    /* Appends an error body of this dialect; status, type and message are set. */
    enum status (*write_error)(const struct upstream_error *error, struct slice request_id, struct buf *out);
};

extern const struct dialect dialect_chat, dialect_responses, dialect_messages, dialect_gemini;

struct yyjson_doc;
struct yyjson_val;

/* ---- for the files in dialects/ -----------------------------------------------------------------------------------
 */

struct slice facts_text(struct yyjson_val *v); /* of a string; else empty */
bool facts_count_of(struct yyjson_val *v, uint64_t *ret); /* a count that is believed */
uint64_t facts_count(struct yyjson_val *v); /* 0 = not said */
uint64_t facts_whole(uint64_t whole, uint64_t parts); /* parts of which no token can be in two */
uint64_t facts_tier(struct yyjson_val *v); /* of a service_tier; 0 = not said */
void facts_tally(struct tally *t, struct yyjson_val *object, const char *key); /* of a string member */
void facts_copy(struct yyjson_val *v, char *to, size_t size); /* a string or an unsigned number as text, cut to size */
/* Parses with the scratch memory where it is enough; NULL: not a JSON object. Free with yyjson_doc_free. */
struct yyjson_doc *facts_parse(struct slice json, struct facts_scratch *scratch);

#endif
