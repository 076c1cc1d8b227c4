#include "providersvc/dialects/translate.h"

#include <string.h>
#include <strings.h>

#include <sodium.h>
#include <yyjson.h>

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

struct slice translate_short_name(struct slice name, char *to)
{
    unsigned char digest[crypto_generichash_BYTES];

    if (name.n <= TRANSLATE_NAME_MAX)
        return name;
    (void)crypto_generichash(digest, sizeof(digest), (const unsigned char *)name.p, name.n, NULL, 0);
    memcpy(to, name.p, NAME_KEPT);
    to[NAME_KEPT] = '_';
    (void)sodium_bin2hex(to + NAME_KEPT + 1, 2 * NAME_DIGEST + 1, digest, NAME_DIGEST);
    return (struct slice){to, TRANSLATE_NAME_MAX};
}

/*
 * By the beginning of the model's name, behind the path that some hosts put before it ("moonshotai/kimi-k2.6"); the
 * first row that fits counts.
 *
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
    struct slice name = call->upstream_model;

    for (size_t i = name.n; i > 0; i--) {
        if (name.p[i - 1] != '/')
            continue;
        name.p += i;
        name.n -= i;
        break;
    }
    for (size_t i = 0; i < sizeof(reasoners) / sizeof(reasoners[0]); i++) {
        size_t n = strlen(reasoners[i].begins);

        if (name.n >= n && strncasecmp(name.p, reasoners[i].begins, n) == 0)
            return reasoners[i].wants;
    }
    return false;
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
