/*
 * A translator turns one call between two dialects: the client's body into upstream's, upstream's answer or events back
 * into the client's. Pure: no sockets, no clock, no randomness; the same input gives the same output. A translator is
 * one file in dialects/; which call needs which is the adapter's business.
 *
 *     client ── request ──────────────► upstream
 *     client ◄── answer | event…, end ─ upstream
 *
 * Everything that comes in is hostile: upstream's bodies as well as the client's. The client's body is a JSON object
 * that the gateway has parsed once (depth, members that it understands); everything below is checked here. Bodies may
 * be LIMIT_BODY long: no recursion deeper than JSON_DEPTH_MAX, nothing quadratic in the number of items.
 */
#ifndef PROVIDERSVC_DIALECTS_TRANSLATE_H
#define PROVIDERSVC_DIALECTS_TRANSLATE_H

#include <stdbool.h>

#include "providersvc/dialects/dialect.h"

#define TRANSLATE_DROPPED_MAX 512 /* bytes of the list of dropped fields */
#define TRANSLATE_NAME_MAX 64 /* bytes of a tool's name in chat completions, as OpenAI checks it */
#define TRANSLATE_EMPTY_TURN "." /* what a turn says that upstream demands and the client has not */
#define TRANSLATE_STATE_MAX (8u * 1024u * 1024u) /* what one call's state may hold of unfinished pieces */

/* Constant for the call, except for dropped and counted. Borrowed. */
struct translate_call {
    struct slice model; /* the client's name for it: what answers say */
    struct slice upstream_model;
    struct slice request_id; /* "req_…", unique: what ids that must be made are made of */
    uint64_t created; /* Unix seconds: `created` of answers that have none */
    uint64_t output_limit; /* set this limit in place of the client's; 0 = leave it */
    uint64_t max_output; /* the model's longest answer; 0 = not known */
    struct usage counted; /* what an answer without usage is said to have used; not known = its client is told none */
    bool old_limit; /* in chat completions for upstream the limit is called max_tokens, not max_completion_tokens */
    bool own_pictures; /* upstream takes pictures that its model made: in chat `images` of an assistant's message */
    bool stream;
    bool usage_asked; /* the client wants usage in its stream */
    bool drop_unsupported; /* leave out what cannot be said upstream; else it is refused by name */
    struct buf *dropped; /* the names left out so far, "a, b": for a response header */
};

/* Takes the client's events. name is empty where the client's dialect has no event names (chat). */
struct translate_sink {
    enum status (*event)(void *ctx, struct slice name, struct slice data);
    void *ctx;
};

/* How a stream ends. */
enum translate_end {
    TRANSLATE_WHOLE, /* upstream said that it is complete */
    TRANSLATE_LIMIT, /* we stopped it: the client sees an answer that reached its output limit, with `usage` */
};

struct translator {
    const char *name; /* "chat_to_messages" */
    const struct dialect *client, *upstream;
    size_t state_size; /* of one call, zeroed by the caller; every function but request may find what request left */
    /* Appends upstream's body. ST_BAD_REQUEST: err names the field (code unsupported_parameter, unsupported_value,
     * invalid_value …, param = its path). */
    enum status (*request)(void *state, struct translate_call *call, struct slice body, struct buf *out,
                           struct err *err);
    /* Appends the client's body for a whole good answer. ST_UPSTREAM: it is none. */
    enum status (*answer)(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                          struct err *err);
    /* One event of upstream's stream (data is JSON already read by its dialect: no error, not "[DONE]"; dialects with
     * event names say the name in the member "type", too); gives none, one or several of the client's. ST_UPSTREAM: it
     * makes no sense. Whatever the sink returns other than ST_OK is returned at once. */
    enum status (*event)(void *state, const struct translate_call *call, struct slice data,
                         const struct translate_sink *to, struct err *err);
    /* The stream is over: what is still open is closed, usage is given where the client expects it (NULL, or not known:
     * nobody can say). Chat's [DONE] is
     * not an event of a sink: the caller writes it. ST_UPSTREAM: from here it looks truncated; nothing was given. */
    enum status (*end)(void *state, const struct translate_call *call, enum translate_end how,
                       const struct usage *usage, const struct translate_sink *to, struct err *err);
    void (*fini)(void *state); /* frees what state holds; safe on a zeroed one */
};

extern const struct translator chat_to_messages, chat_to_gemini, chat_to_responses, messages_to_chat, responses_to_chat;

/* ---- for translators ----------------------------------------------------------------------------------------------
 */

/* The field at this path cannot be said upstream. ST_OK: it is to be left out, and noted; ST_BAD_REQUEST with
 * unsupported_parameter and err set otherwise. */
enum status translate_unsupported(struct translate_call *call, const char *path, const char *upstream_name,
                                  struct err *err);
enum status translate_nonsense(struct err *err, const char *what); /* ST_UPSTREAM, of an answer */
enum status translate_no_memory(struct err *err); /* ST_NO_MEMORY */
/* The limit to send for a client's `wanted` tokens: the call's own where it has one, and never more than the model can
 * say, which upstreams refuse: a client of another API sets it for other models. */
uint64_t translate_limit(const struct translate_call *call, uint64_t wanted);
const char *translate_limit_name(const struct translate_call *call);
/* A tool's name as chat completions take it: itself, or its beginning and a digest of the whole, so that the same name
 * is always sent as the same. to: at least TRANSLATE_NAME_MAX + 1 bytes, which the answer may be in. */
struct slice translate_short_name(struct slice name, char *to);
/* The beginning of a name, which is not empty, and a digest of the whole that tells it from others that begin so. */
struct slice translate_distinct_name(struct slice name, struct slice whole, char *to);
/* Does the model want its own reasoning back, as `reasoning_content` of its messages, and refuse a turn without it? Its
 * name says so. Other upstreams refuse the member. */
bool translate_wants_reasoning(const struct translate_call *call);
/* How hard the model is to be told to think where the client wants `effort` (none, minimal … high, xhigh, max): that,
 * or what its name says that it has in its place: less, or the least. NULL: it refuses to be told. Borrows. */
const char *translate_effort(const struct translate_call *call, const char *effort);
/* What a message, or a delta, of chat completions says of its reasoning under either name that hosts give it; empty =
 * nothing. */
struct slice translate_reasoning_of(struct yyjson_val *message);
struct slice translate_bare_id(struct slice request_id); /* without its "req_": what other ids are made of */

#endif
