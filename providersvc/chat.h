/*
 * What the router needs to know of an answer in OpenAI's chat dialect, whole or one chunk of a stream: is it an error,
 * what usage does it report, how much text does it carry. Reads only; nothing of an answer is ever written again from
 * here. Pure.
 *
 * Upstream's numbers are not believed blindly: what is negative, fractional or beyond LIMIT_TOKENS counts as not said.
 * Parts that are more than their whole were counted beside it: the whole grows by them, so that a report that does not
 * agree with itself is never billed below what was used (proto/money.h, money_split).
 */
#ifndef PROVIDERSVC_CHAT_H
#define PROVIDERSVC_CHAT_H

#include "providersvc/tally.h"

#define CHAT_SCRATCH (128u * 1024u)
#define CHAT_CHOICES_TRACKED 64 /* choices whose end is watched one by one */

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
struct chat_scratch {
    _Alignas(16) char memory[CHAT_SCRATCH];
};

struct chat_facts {
    bool error; /* carries an error object */
    bool has_choices; /* choices is there and not empty */
    bool empty_choices; /* choices is [] */
    bool usage_key; /* there is a member "usage" */
    bool usage_object; /* and it is an object */
    uint64_t seen, finished; /* bit k: choice k appears, has a finish_reason */
    bool length; /* one of them: "length" */
    struct usage usage;
    struct tally text; /* what the model said: content, refusal, reasoning, tool calls */
    char message[ERR_TEXT_MAX]; /* of an error */
    char code[ERR_CODE_MAX];
};

/* ST_BAD_REQUEST: not a JSON object. scratch may be NULL. */
enum status chat_read(struct slice json, struct chat_scratch *scratch, struct chat_facts *ret);

/* An error body of an upstream: an error object of OpenAI's shape (*ret_shaped), or anything else in which a message is
 * looked for (flat errors, {"detail": …}, {"error": "text"}). false: not JSON, or nothing to be found. */
bool chat_read_error(struct slice json, bool *ret_shaped, char message[ERR_TEXT_MAX], char code[ERR_CODE_MAX]);

#endif
