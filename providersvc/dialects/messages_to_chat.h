/*
 * Shared by the files of the translator messages_to_chat, and messages_count.c, only. The client speaks Anthropic's
 * Messages (Claude Code, the Anthropic SDKs), upstream OpenAI's chat completions.
 *
 *     messages_to_chat.c          the request's members, and the row of the translator
 *     messages_to_chat_turns.c    system and messages: blocks become parts, calls and tool messages
 *     messages_to_chat_fields.c   reading a member and naming it as Anthropic does; names of tools
 *     messages_to_chat_answer.c   an answer, a stream
 */
#ifndef PROVIDERSVC_DIALECTS_MESSAGES_TO_CHAT_H
#define PROVIDERSVC_DIALECTS_MESSAGES_TO_CHAT_H

#include <yyjson.h>

#include "providersvc/dialects/translate.h"

#define M2C_UPSTREAM_NAME "the chat completions API"
#define M2C_TEXT_MAX (2u * LIMIT_BODY) /* bytes of one text that is put together from several */

/* ---- names of tools: Anthropic lets them be longer than OpenAI does ------------------------------------------------
 */

#define M2C_NAME_MAX 200 /* bytes, as Anthropic checks tool_use.name */
#define M2C_NAME_SENT_MAX 64 /* OpenAI, function.name */
#define M2C_LONG_NAMES_MAX 1024 /* tools with a name longer than that in one request */

struct m2c_long_name {
    char given[M2C_NAME_MAX + 1];
    char sent[M2C_NAME_SENT_MAX + 1];
};

struct m2c_names {
    struct m2c_long_name *items;
    size_t n;
};

/* What upstream is told: name itself, or its beginning and a digest of the whole. to: at least M2C_NAME_SENT_MAX + 1.
 */
struct slice m2c_sent_name(struct slice name, char *to);
/* What the client called the tool that upstream calls so. */
struct slice m2c_given_name(const struct m2c_names *names, struct slice sent);

/* ---- a request on its way ------------------------------------------------------------------------------------------
 */

struct m2c {
    struct translate_call *call;
    struct m2c_names *names;
    struct err *err;
    yyjson_mut_doc *doc; /* upstream's body; strings in it may borrow from the client's */
    yyjson_mut_val *root;
    bool lost; /* memory ran out: something is missing in doc */
};

/* Where we are: on the stack of who reads it. name NULL = an item of a list. */
struct m2c_at {
    const struct m2c_at *up;
    const char *name;
    size_t index;
};

enum m2c_kind { /* what a member may be */
                M2C_STRING = 1,
                M2C_BOOL = 2,
                M2C_NUMBER = 4,
                M2C_OBJECT = 8,
                M2C_ARRAY = 16,
                M2C_REQUIRED = 128, /* it must be there, and not null */
};

/* ST_BAD_REQUEST naming the member `name` (NULL: the thing itself) of what is at `at`: "messages.0.role: TEXT". */
enum status m2c_fail(const struct m2c *t, const struct m2c_at *at, const char *name, const char *code,
                     const char *text);
/* translate_unsupported of that member. */
enum status m2c_unsupported(const struct m2c *t, const struct m2c_at *at, const char *name);
/* Is v, which stands at `at`, one of these kinds? */
enum status m2c_check(const struct m2c *t, const struct m2c_at *at, yyjson_val *v, unsigned kinds);
/* *ret: the member, NULL when it is absent or null. ST_BAD_REQUEST: missing, or of another kind. */
enum status m2c_member(const struct m2c *t, const struct m2c_at *at, yyjson_val *object, const char *name,
                       unsigned kinds, yyjson_val **ret);
/* A whole number, as it stood; need: M2C_REQUIRED or 0. ST_BAD_REQUEST: none, or less than least. */
enum status m2c_count(const struct m2c *t, const struct m2c_at *at, yyjson_val *object, const char *name, unsigned need,
                      uint64_t least, yyjson_val **ret);
uint64_t m2c_uint(yyjson_val *count); /* its value */
/* Members that are not in known (ends with NULL): unsupported, by name. What is null has no effect; object may be NULL.
 */
enum status m2c_only(const struct m2c *t, const struct m2c_at *at, yyjson_val *object, const char *const *known);
/* A tool's name: checked, and as upstream is told. ret->p may be `to` (as m2c_sent_name). */
enum status m2c_tool_name(const struct m2c *t, const struct m2c_at *at, yyjson_val *object, char *to,
                          struct slice *ret);

/* Building. A failure is remembered in lost. The strings of m2c_str are borrowed, those of m2c_copy not. */
yyjson_mut_val *m2c_str(struct m2c *t, struct slice text);
yyjson_mut_val *m2c_copy(struct m2c *t, struct slice text);
yyjson_mut_val *m2c_obj(struct m2c *t);
yyjson_mut_val *m2c_arr(struct m2c *t);
yyjson_mut_val *m2c_val(struct m2c *t, yyjson_val *v); /* exactly as it stood */
void m2c_put(struct m2c *t, yyjson_mut_val *object, const char *key, yyjson_mut_val *v);
void m2c_add(struct m2c *t, yyjson_mut_val *array, yyjson_mut_val *v);

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
