/*
 * Shared by the files of the translator messages_to_chat only. The client speaks Anthropic's
 * Messages (Claude Code, the Anthropic SDKs), upstream OpenAI's chat completions.
 *
 *     messages_to_chat.c          the request's members, and the row of the translator
 *     messages_to_chat_turns.c    system and messages: blocks become parts, calls and tool messages
 *     messages_to_chat_names.c    names of tools
 *     messages_to_chat_answer.c   an answer, a stream
 */
#ifndef PROVIDERSVC_DIALECTS_MESSAGES_TO_CHAT_H
#define PROVIDERSVC_DIALECTS_MESSAGES_TO_CHAT_H

#include "providersvc/dialects/put.h"
#include "providersvc/dialects/reshape.h"

#define M2C_UPSTREAM_NAME "the chat completions API"
#define M2C_TEXT_MAX (2u * LIMIT_BODY) /* bytes of one text that is put together from several */

/* ---- names of tools: Anthropic lets them be longer than OpenAI does ------------------------------------------------
 */

#define M2C_NAME_MAX 200 /* bytes, as Anthropic checks tool_use.name */
#define M2C_LONG_NAMES_MAX 1024 /* tools with a name longer than that in one request */

struct m2c_long_name {
    char given[M2C_NAME_MAX + 1];
    char sent[TRANSLATE_NAME_MAX + 1];
};

struct m2c_names {
    struct m2c_long_name *items;
    size_t n;
};

/* What the client called the tool that upstream calls so. */
struct slice m2c_given_name(const struct m2c_names *names, struct slice sent);

/* ---- a request on its way ------------------------------------------------------------------------------------------
 */

struct m2c {
    struct reshape r;
    struct m2c_names *names;
};

/* A tool's name: checked, and as upstream is told. ret->p may be `to` (as translate_short_name). */
enum status m2c_tool_name(struct m2c *t, yyjson_val *object, char *to, struct slice *ret);

/* system and messages of the client's body as root.messages. */
enum status m2c_turns(struct m2c *t, yyjson_val *in);

/* ---- answers -------------------------------------------------------------------------------------------------------
 */

struct m2c_block;

/* Of one call. Zeroed = nothing happened. */
struct m2c_state {
    struct m2c_names names;
    /* The answer's blocks in the order in which upstream began them. The client gets them one after the other: of those
     * behind the open one (head) what came is held. */
    struct m2c_block *blocks;
    size_t n, cap, head;
    size_t held; /* bytes, in all blocks */
    uint64_t places; /* blocks that the client knows */
    bool begun, answered, refused, called; /* message_start is out; upstream chose, refused, called a tool */
    char finish[32]; /* upstream's finish_reason, cut; empty = none yet */
    struct buf images; /* what there is to say of them */
    struct buf event; /* the one being written */
};

enum status m2c_answer(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                       struct err *err);
enum status m2c_event(void *state, const struct translate_call *call, struct slice data,
                      const struct translate_sink *to, struct err *err);
enum status m2c_end(void *state, const struct translate_call *call, enum translate_end how, const struct usage *usage,
                    const struct translate_sink *to, struct err *err);
void m2c_fini(void *state);

#endif
