/*
 * What the files of chat_to_gemini share: chat_to_gemini.c turns the request's options, chat_to_gemini_messages.c its
 * messages, chat_to_gemini_tools.c its tools, chat_to_gemini_answer.c answers and streams. The source of every rule is
 * the contract, section 5.1, and Google's reference of generateContent (v1beta).
 */
#ifndef PROVIDERSVC_DIALECTS_CHAT_TO_GEMINI_PRIVATE_H
#define PROVIDERSVC_DIALECTS_CHAT_TO_GEMINI_PRIVATE_H

#include "providersvc/dialects/reshape.h"

#define GEMINI_NAME "Gemini"
#define GEMINI_CANDIDATES_MAX 8 /* candidateCount, and so an index: 0 … 7 */
#define GEMINI_ID_MAX 128 /* bytes of an upstream's id that is passed on */
/* What stands for a signature that the client has lost: without one Gemini 3 refuses a call or image of the history. */
#define GEMINI_LOST_SIGNATURE "skip_thought_signature_validator"

/* ---- the request -------------------------------------------------------------------------------------------------
 */

enum gemini_family {
    GEMINI_PLAIN, /* does not think */
    GEMINI_BUDGET, /* 2.5: thinks, told by a number of tokens */
    GEMINI_LEVEL, /* 3 and later, told by a word; names that say nothing are taken for the newest */
};

struct asking {
    struct reshape r;
    enum gemini_family family;
    unsigned version; /* 100 * major + minor; 0 = the name says none */
};

/* Sets systemInstruction and contents. */
enum status gemini_messages(struct asking *a, yyjson_val *messages);
/* Sets tools and toolConfig. choice: "tool_choice", or the older "function_call". NULL = absent. */
enum status gemini_tools(struct asking *a, yyjson_val *tools, yyjson_val *functions, yyjson_val *choice,
                         const char *choice_path);

/* ---- the answer --------------------------------------------------------------------------------------------------
 */

struct gemini_choice {
    bool started;
    const char *finish; /* of a candidate that has ended, OpenAI's word; NULL = it has not */
    uint64_t calls, images;
};

/* One call. Holds no memory. */
struct gemini_state {
    bool legacy; /* the client speaks of functions, not of tools */
    /* The client takes one call at a time. Gemini cannot be asked for that; of those it makes at once the first is the
     * one that it would have made, and the only one with its signature. It makes the others when it has the result. */
    bool one_call;
    char id[GEMINI_ID_MAX + 1]; /* of a stream: what chunks are called; empty = none yet */
    uint64_t made_ids;
    struct gemini_choice choices[GEMINI_CANDIDATES_MAX];
};

enum status gemini_answer(void *state, const struct translate_call *call, struct slice body, struct buf *out,
                          struct err *err);
enum status gemini_event(void *state, const struct translate_call *call, struct slice data,
                         const struct translate_sink *to, struct err *err);
enum status gemini_end(void *state, const struct translate_call *call, enum translate_end how,
                       const struct usage *usage, const struct translate_sink *to, struct err *err);

#endif
