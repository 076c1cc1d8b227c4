/*
 * What one request asks the upstream to do: the words of a `[[name=value name …]]` block in its
 * last message, over the program's defaults. PLAN_WORDS is the only list of the words; README.md
 * and `fake-upstream --directives` say the same.
 */
#ifndef UPSTREAM_PLAN_H
#define UPSTREAM_PLAN_H

#include "scan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PLAN_NEVER = -1,
    PLAN_HEADERS = -2, /* before the first byte of the answer */
    PLAN_STREAM = -3 /* hang=stream: after `at` chunks */
};

/* clang-format off */
/* W(name, member, kind, least, most, doc); kinds: NUM, FLAG (alone or =0/1), WORD, POINT (a count,
   or the word headers; for hang also the word stream). */
#define PLAN_WORDS(W)                                                                              \
    W("tokens",         tokens,          NUM,   0, 10000000, "content tokens, one chunk each")     \
    W("delay",          delay_ms,        NUM,   0, 3600000,  "ms between the chunks of a stream")  \
    W("first",          first_ms,        NUM,   0, 86400000, "ms before the first byte")           \
    W("status",         status,          NUM,   300, 599,    "answer this error")                  \
    W("code",           code,            WORD,  0, 0,        "error.code of that error")           \
    W("type",           type,            WORD,  0, 0,        "error.type of that error")           \
    W("retry-after",    retry_after,     NUM,   0, 1000000,  "retry-after header, seconds")        \
    W("retry-after-ms", retry_after_ms,  NUM,   0, 1000000,  "retry-after-ms header")              \
    W("times",          times,           NUM,   0, 1000000,  "fail only the first N with this id") \
    W("id",             id,              WORD,  0, 0,        "name under which times= counts")     \
    W("hang",           hang,            POINT, 0, 0,        "headers|stream: go silent")          \
    W("at",             at,              NUM,   0, 10000000, "hang=stream after K chunks")         \
    W("cut",            cut,             POINT, 0, 10000000, "FIN after K chunks, or headers")     \
    W("reset",          reset,           POINT, 0, 10000000, "RST after K chunks, or headers")     \
    W("error-event",    error_event,     POINT, 0, 10000000, "error event after K chunks")         \
    W("slow-body",      slow_body,       FLAG,  0, 1,        "body in pieces, delay apart")        \
    W("badjson",        bad_json,        FLAG,  0, 1,        "a body or chunk that is not JSON")   \
    W("html",           html,            FLAG,  0, 1,        "an HTML page instead of JSON")       \
    W("no-usage",       no_usage,        FLAG,  0, 1,        "leave usage out")                    \
    W("tools",          tools,           NUM,   0, 16,       "N tool calls; 0 = none")             \
    W("prompt",         prompt,          NUM,   0, 1000000000, "prompt_tokens to report")          \
    W("cached",         cached,          NUM,   0, 1000000000, "cached_tokens to report")          \
    W("write",          cache_write,     NUM,   0, 1000000000, "cache_write_tokens to report")     \
    W("completion",     completion,      NUM,   0, 1000000000, "completion_tokens to report")      \
    W("reasoning",      reasoning,       NUM,   0, 1000000000, "reasoning_tokens, added to them")  \
    W("audio-in",       audio_in,        NUM,   0, 1000000000, "audio_tokens of the prompt")       \
    W("image-in",       image_in,        NUM,   0, 1000000000, "image_tokens of the prompt")       \
    W("audio-out",      audio_out,       NUM,   0, 1000000000, "audio_tokens of the completion")   \
    W("image-out",      image_out,       NUM,   0, 1000000000, "image_tokens of the completion")   \
    W("tier",           tier,            WORD,  0, 0,        "service_tier to report")             \
    W("finish",         finish,          WORD,  0, 0,        "finish_reason")                      \
    W("nolimit",        no_limit,        FLAG,  0, 1,        "do not stop at max_tokens")          \
    W("image",          images,          NUM,   0, 1000,     "400 unless so many image parts")     \
    W("headers",        headers,         FLAG,  0, 1,        "a real provider's extra headers")    \
    W("close",          close,           FLAG,  0, 1,        "Connection: close")                  \
    W("drop",           drop,            FLAG,  0, 1,        "FIN after the answer, unannounced")
/* clang-format on */

#define PLAN_WORD_MAX 64

struct plan {
    int64_t tokens;
    int64_t delay_ms;
    int64_t first_ms;
    int64_t status; /* PLAN_NEVER = answer properly; so for all counts below */
    int64_t retry_after;
    int64_t retry_after_ms;
    int64_t times;
    int64_t hang;
    int64_t at;
    int64_t cut;
    int64_t reset;
    int64_t error_event;
    int64_t slow_body;
    int64_t bad_json;
    int64_t html;
    int64_t no_usage;
    int64_t tools;
    int64_t prompt;
    int64_t cached;
    int64_t cache_write;
    int64_t completion;
    int64_t reasoning;
    int64_t audio_in;
    int64_t image_in;
    int64_t audio_out;
    int64_t image_out;
    int64_t no_limit;
    int64_t images;
    int64_t headers;
    int64_t close;
    int64_t drop;
    char code[PLAN_WORD_MAX];
    char type[PLAN_WORD_MAX];
    char id[PLAN_WORD_MAX];
    char tier[PLAN_WORD_MAX]; /* empty = default */
    char finish[PLAN_WORD_MAX];
};

void plan_init(struct plan *p);

/*
 * Applies the first `[[…]]` block of text, if there is one; a block must begin with a small letter,
 * so that nested JSON arrays are not taken for one. Returns false, with the offending word in
 * ret_bad, when a word is unknown or its value is out of bounds.
 */
bool plan_read(struct plan *p, struct span text, char ret_bad[PLAN_WORD_MAX]);

/* Prints the list of words. */
void plan_print(void);

#endif
