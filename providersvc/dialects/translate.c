#include "providersvc/dialects/translate.h"

#include <string.h>

#include <sodium.h>
#include <yyjson.h>

#include "providersvc/dialects/data_url.h"

#define NAME_DIGEST 8 /* bytes: enough to tell the tools of one client apart */
#define NAME_KEPT (TRANSLATE_NAME_MAX - 2 * NAME_DIGEST - 1) /* of its beginning */

/* Is path one of the names in "a, b"? */
static bool noted(const struct buf *names, const char *path)
{
    size_t at = 0, n = strlen(path);

    while (at < names->n) {
        const char *comma = memchr(names->p + at, ',', names->n - at);
        size_t end = comma != NULL ? (size_t)(comma - names->p) : names->n;

        if (end - at == n && memcmp(names->p + at, path, n) == 0)
            return true;
        at = end + 2; /* ", " */
    }
    return false;
}

enum status translate_unsupported(struct translate_call *call, const char *path, const char *upstream_name,
                                  struct err *err)
{
    if (!call->drop_unsupported)
        return err_set_field(
            err, ST_BAD_REQUEST, "unsupported_parameter", path,
            "Unsupported parameter: '%s' cannot be used with this model: %s has nothing like it. (With "
            "DROP_UNSUPPORTED=on the router leaves such parameters out.)",
            path, upstream_name);
    if (!noted(call->dropped, path) && call->dropped->n + strlen(path) + 2 <= TRANSLATE_DROPPED_MAX)
        (void)buf_addf(call->dropped, "%s%s", call->dropped->n > 0 ? ", " : "", path);
    return ST_OK;
}

enum status translate_nonsense(struct err *err, const char *what)
{
    return err_set(err, ST_UPSTREAM, "The provider's answer makes no sense: %s.", what);
}

enum status translate_no_memory(struct err *err)
{
    return err_set(err, ST_NO_MEMORY, "%s", status_text(ST_NO_MEMORY));
}

uint64_t translate_limit(const struct translate_call *call, uint64_t wanted)
{
    uint64_t limit = call->output_limit > 0 ? call->output_limit : wanted;

    return call->max_output > 0 && limit > call->max_output ? call->max_output : limit;
}

const char *translate_limit_name(const struct translate_call *call)
{
    return call->old_limit ? "max_tokens" : "max_completion_tokens";
}

struct slice translate_distinct_name(struct slice name, struct slice whole, char *to)
{
    unsigned char digest[crypto_generichash_BYTES];
    size_t n = name.n < NAME_KEPT ? name.n : NAME_KEPT;

    (void)crypto_generichash(digest, sizeof(digest), (const unsigned char *)whole.p, whole.n, NULL, 0);
    memcpy(to, name.p, n);
    to[n] = '_';
    (void)sodium_bin2hex(to + n + 1, 2 * NAME_DIGEST + 1, digest, NAME_DIGEST);
    return (struct slice){to, n + 1 + 2 * NAME_DIGEST};
}

struct slice translate_short_name(struct slice name, char *to)
{
    return name.n <= TRANSLATE_NAME_MAX ? name : translate_distinct_name(name, name, to);
}

/* ---- what models are known to take, by the beginning of their names: the first row that fits counts ---------------
 */

/* Without the path that some hosts put before it: "kimi-k2.6" of "moonshotai/kimi-k2.6". */
static struct slice bare_name(const struct translate_call *call)
{
    struct slice name = call->upstream_model;

    for (size_t i = name.n; i > 0; i--)
        if (name.p[i - 1] == '/')
            return (struct slice){name.p + i, name.n - i};
    return name;
}

/*
 * DeepSeek (api-docs.deepseek.com/guides/thinking_mode): thinking is on by default; what a turn with tool calls thought
 * must come back in all later requests, else 400; of other turns it is ignored. Its R1 refuses the member
 * (guides/reasoning_model). Moonshot (platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model): likewise, 400
 * "thinking is enabled but reasoning_content is missing in assistant tool call message". kimi-k2-instruct does not
 * think, and Groq, which serves it, takes no member that it does not know.
 */
static const struct {
    const char *begins;
    bool wants;
} reasoners[] = {{"deepseek-r1", false}, {"deepseek", true}, {"kimi-k2-instruct", false}, {"kimi", true}};

bool translate_wants_reasoning(const struct translate_call *call)
{
    struct slice name = bare_name(call);

    for (size_t i = 0; i < sizeof(reasoners) / sizeof(reasoners[0]); i++)
        if (slice_starts(name, reasoners[i].begins))
            return reasoners[i].wants;
    return false;
}

/*
 * OpenAI's reference of reasoning_effort: none came with gpt-5.1, which with it lost minimal that gpt-5 has; gpt-6.1
 * and what follows cannot but reason. xhigh is for all models after gpt-5.1-codex-max, that one included; max came with
 * gpt-5.6. Models that do not reason answer 400 "Unrecognized request argument supplied: reasoning_effort", the first
 * two of o1 likewise; those of ChatGPT have one effort. DeepSeek V4 has low, high and max
 * (api-docs.deepseek.com/guides/thinking_mode). Most hosts of open weights know no more than three: "Input should be
 * 'low', 'medium' or 'high'"; some know none beside.
 */
#define NOTHING NULL, NULL, NULL, NULL
static const struct efforts {
    const char *begins;
    const char *none, *minimal, *xhigh, *max; /* what they are there; NULL = no effort may be said at all */
} efforts[] = {
    {"gpt-3", NOTHING},
    {"gpt-4", NOTHING},
    {"ft:gpt-3", NOTHING},
    {"ft:gpt-4", NOTHING},
    {"chatgpt-", NOTHING},
    {"o1-mini", NOTHING},
    {"o1-preview", NOTHING},
    {"o1", "low", "low", "high", "high"},
    {"o3", "low", "low", "high", "high"},
    {"o4", "low", "low", "high", "high"},
    {"gpt-5-chat", NOTHING},
    {"gpt-5.1-chat", NOTHING},
    {"gpt-5.2-chat", NOTHING},
    {"gpt-5.3-chat", NOTHING},
    {"gpt-5.1-codex-max", "none", "low", "xhigh", "xhigh"},
    {"gpt-5.1", "none", "low", "high", "high"},
    {"gpt-5.2", "none", "low", "xhigh", "xhigh"},
    {"gpt-5.3", "none", "low", "xhigh", "xhigh"},
    {"gpt-5.4", "none", "low", "xhigh", "xhigh"},
    {"gpt-5.5", "none", "low", "xhigh", "xhigh"},
    {"gpt-5.", "none", "low", "xhigh", "max"},
    {"gpt-5", "minimal", "minimal", "high", "high"},
    {"gpt-6.", "low", "low", "xhigh", "max"},
    {"gpt-6", "none", "low", "xhigh", "max"},
    {"deepseek-v4", "none", "low", "high", "max"},
    /* what chat_to_gemini knows better */
    {"gemma", NOTHING},
    {"learnlm", NOTHING},
    {"gemini-1", NOTHING},
    {"gemini-2.0", NOTHING},
    {"gemini", "none", "minimal", "high", "high"},
};

const char *translate_effort(const struct translate_call *call, const char *effort)
{
    static const struct efforts unknown = {"", "none", "low", "high", "high"};
    static const struct efforts claude = {"", "none", "minimal", "xhigh", "max"}; /* chat_to_messages knows better */
    const struct efforts *row = &unknown;
    struct slice name = bare_name(call);

    if (name.n > 0 &&
        memmem(name.p, name.n, "claude", strlen("claude")) != NULL) /* anthropic.claude-…, us.anthropic.claude-… */
        row = &claude;
    for (size_t i = 0; i < sizeof(efforts) / sizeof(efforts[0]) && row == &unknown; i++)
        if (slice_starts(name, efforts[i].begins))
            row = &efforts[i];
    if (row->max == NULL)
        return NULL;
    if (strcmp(effort, "none") == 0)
        return row->none;
    if (strcmp(effort, "minimal") == 0)
        return row->minimal;
    if (strcmp(effort, "max") == 0)
        return row->max;
    return strcmp(effort, "xhigh") == 0 ? row->xhigh : effort;
}

struct slice translate_reasoning_of(yyjson_val *message)
{
    struct slice text = facts_text(yyjson_obj_get(message, "reasoning_content"));

    return text.n > 0 ? text : facts_text(yyjson_obj_get(message, "reasoning"));
}

struct slice translate_bare_id(struct slice request_id)
{
    static const char prefix[] = "req_";
    const size_t n = sizeof(prefix) - 1;

    if (request_id.n > n && memcmp(request_id.p, prefix, n) == 0)
        return (struct slice){request_id.p + n, request_id.n - n};
    return request_id;
}
