/* Shared by the files of chat_to_messages: the state of a call, and its request while it is made. */
#ifndef PROVIDERSVC_DIALECTS_CHAT_TO_MESSAGES_PRIVATE_H
#define PROVIDERSVC_DIALECTS_CHAT_TO_MESSAGES_PRIVATE_H

#include "providersvc/dialects/claude.h"
#include "providersvc/dialects/put.h"
#include "providersvc/dialects/reshape.h"

#define UPSTREAM_NAME "Anthropic's Messages"
#define TOOL_ID_MAX 256 /* bytes of a tool call's id */
#define CALLS_MAX 256 /* tool calls of one turn */

/* ---- a call's state -----------------------------------------------------------------------------------------------
 */

/* The content block that is open in the stream. */
struct open_block {
    bool open, tool; /* tool: of the client's, not of the server's */
    bool written; /* some of its arguments went out */
    uint64_t index; /* upstream's, of all blocks */
    uint64_t number; /* the client's, of tool calls */
};

struct chat_to_messages {
    bool functions; /* the client speaks of functions, not of tools: it knows one call in an answer */
    bool begun;
    const char *finish; /* finish_reason; NULL = not known yet */
    uint64_t tools; /* tool calls begun */
    struct open_block block;
    struct buf id; /* "chatcmpl-…" */
    struct buf input; /* of the open block, in case that no delta says it */
    struct buf line; /* the chunk being written */
};

enum status c2m_answer(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                       struct err *err);
enum status c2m_event(void *state, const struct translate_call *call, struct slice data,
                      const struct translate_sink *to, struct err *err);
enum status c2m_end(void *state, const struct translate_call *call, enum translate_end how, const struct usage *usage,
                    const struct translate_sink *to, struct err *err);

/* ---- a request being made -----------------------------------------------------------------------------------------
 */

struct pending_call {
    struct slice id; /* the client's: of a function of old its name */
    struct slice upstream_id;
    bool answered;
};

/* Turns under construction: Anthropic wants them to alternate, and all results of a turn's calls at the head of the
 * next. */
struct turns {
    yyjson_mut_val *said; /* content of the last message when it is the assistant's */
    size_t said_at; /* which of the client's messages ended it */
    yyjson_mut_val *heard; /* of the last message when it is the user's */
    yyjson_mut_val *results, *rest; /* the user's turn that is not closed yet */
    bool asked; /* it has a message, be it empty */
    bool answers; /* the last user's turn that was closed has results */
    struct pending_call calls[CALLS_MAX]; /* of the last assistant's turn */
    size_t n_calls;
    size_t next; /* the call that is probably answered next */
};

/* The client's members that are read; NULL = absent or null. */
struct chat_fields {
    yyjson_val *messages, *max_tokens, *max_completion_tokens, *temperature, *top_p, *top_k, *stop, *n;
    yyjson_val *tools, *tool_choice, *parallel_tool_calls, *functions, *function_call;
    yyjson_val *response_format, *reasoning_effort, *thinking, *service_tier, *user, *safety_identifier, *modalities,
        *audio;
};

struct c2m {
    struct chat_to_messages *state;
    struct reshape r;
    struct claude can;
    struct chat_fields f;
    size_t turn; /* which of the client's messages is read */
    yyjson_mut_val *system, *messages, *output_config;
    struct turns turns;
    uint64_t budget; /* thinking tokens; 0 = no budget */
    bool thinks; /* thinking was asked for */
};

yyjson_mut_val *c2m_object(struct c2m *m, const char *type); /* with its member "type" */
void c2m_system_line(struct c2m *m, const char *text); /* one more block of the system prompt; borrows */
/* An object's member that must be a string; path: what it is called from where we are. Empty and ST_OK where it is
 * absent and not needed. */
enum status c2m_text(struct c2m *m, yyjson_val *object, const char *key, const char *path, bool needed,
                     struct slice *ret);
/* Copies cache_control of one of the client's objects to a block, which may have one already. */
enum status c2m_cache(struct c2m *m, yyjson_val *from, yyjson_mut_val *block);

enum status c2m_turns(struct c2m *m); /* chat_to_messages_turns.c: messages and system */
enum status c2m_tools(struct c2m *m); /* chat_to_messages_tools.c: tools and tool_choice */
/* Copies a JSON schema as structured outputs take it: objects closed, bounds left out. NULL: nested too deeply, or no
 * memory. */
yyjson_mut_val *c2m_schema(struct c2m *m, yyjson_val *schema, unsigned depth);

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL };

/* Appends a content part's block to `to`: none for blank text, which Anthropic refuses. */
enum status c2m_part(struct c2m *m, yyjson_val *part, enum chat_role role, yyjson_mut_val *to);
void c2m_text_block(struct c2m *m, struct slice text, yyjson_mut_val *to); /* likewise */

#endif
