/*
 * A tolerant look at a request body: finds the few members the upstream acts on, as spans of the
 * raw bytes, and keeps nothing of its own. Not a validator: it only refuses bodies whose members
 * cannot be walked.
 */
#ifndef UPSTREAM_SCAN_H
#define UPSTREAM_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    const char *p;
    size_t n;
};

struct scan {
    struct span model; /* without the quotes, escapes kept, as all strings here */
    struct span user;
    struct span said; /* where a directive may stand: last message, prompt or input */
    struct span tool; /* function name: the one tool_choice forces, else the first */
    bool has_messages;
    bool has_input; /* prompt or input */
    bool last_is_tool;
    bool stream;
    bool include_usage;
    bool tools_allowed;
    bool base64;
    int64_t n;
    int64_t max_tokens; /* -1 = not given */
    int64_t dimensions; /* -1 = not given */
    int64_t images; /* image_url parts */
    int64_t inputs; /* texts to embed */
    int64_t estimate; /* prompt tokens, roughly */
};

bool scan_body(const char *p, size_t n, struct scan *ret);
bool span_is(struct span s, const char *text);

#endif
