/*
 * What Anthropic's models take and refuse, by their names (contract, sections 4.1 and 4.2). A name that says neither
 * which family nor which version is taken for the newest; a name without "claude" is some other model that speaks the
 * same dialect, of which nothing is known: it is refused nothing. Pure.
 */
#ifndef PROVIDERSVC_DIALECTS_CLAUDE_H
#define PROVIDERSVC_DIALECTS_CLAUDE_H

#include <stdbool.h>

#include "proto/wire.h"

enum claude_thinking {
    CLAUDE_THINKS_NOT,
    CLAUDE_THINKS_BUDGET, /* as many tokens as it is told */
    CLAUDE_THINKS_ADAPTIVE, /* as much as it thinks right */
};

enum claude_effort { CLAUDE_EFFORT_NOT, CLAUDE_EFFORT_HIGH, CLAUDE_EFFORT_MAX, CLAUDE_EFFORT_XHIGH };

struct claude {
    enum claude_thinking thinking;
    enum claude_effort effort; /* is there output_config.effort, up to where: XHIGH = xhigh and max, MAX = not xhigh */
    bool thinks_always; /* thinking cannot be switched off */
    bool sampling; /* temperature, top_p, top_k may be chosen */
    bool one_sampler; /* but not temperature and top_p both */
    bool forced_tools; /* tool_choice any and tool */
    bool prefill; /* the last turn may be the assistant's */
    bool schemas; /* output_config.format, strict tools */
};

void claude_traits(struct slice model,
                   struct claude *ret); /* any upstream's spelling: anthropic.claude-…-v1:0, …@date */

#endif
