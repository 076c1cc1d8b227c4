#include "providersvc/dialects/claude.h"

#include <string.h>

#define NEWEST 9900
#define NUMBER_DIGITS 2 /* of a version; what is longer is a date */

enum family { OTHER, OPUS, SONNET, HAIKU, FABLE, MYTHOS };

/* 100 * major + minor */
struct name {
    enum family family;
    unsigned version;
};

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static enum family family_of(struct slice word)
{
    static const char *const names[] = {
        [OPUS] = "opus", [SONNET] = "sonnet", [HAIKU] = "haiku", [FABLE] = "fable", [MYTHOS] = "mythos"};

    for (enum family f = OPUS; f <= MYTHOS; f++)
        if (slice_is(word, names[f]))
            return f;
    return OTHER;
}

static bool number_of(struct slice word, unsigned *ret)
{
    *ret = 0;
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] < '0' || word.p[i] > '9')
            return false;
        *ret = *ret * 10 + (unsigned)(word.p[i] - '0');
    }
    return word.n > 0 && word.n <= NUMBER_DIGITS;
}

/* The first number is the major version, one right behind it the minor. */
static struct name read_name(struct slice text)
{
    struct name name = {OTHER, NEWEST};
    bool major = false, just_now = false;

    for (size_t at = 0; at < text.n;) {
        struct slice word = {text.p + at, 0};
        unsigned number = 0;

        while (at + word.n < text.n && word_char(word.p[word.n]))
            word.n++;
        at += word.n + 1;
        if (word.n == 0)
            continue;
        if (name.family == OTHER)
            name.family = family_of(word);
        if (word.n > NUMBER_DIGITS || !number_of(word, &number)) {
            just_now = false;
        } else if (!major) {
            name.version = number * 100;
            major = just_now = true;
        } else if (just_now) {
            name.version += number;
            just_now = false;
        }
    }
    return name;
}

static enum claude_thinking thinking_of(unsigned version)
{
    if (version < 307)
        return CLAUDE_THINKS_NOT;
    return version < 406 ? CLAUDE_THINKS_BUDGET : CLAUDE_THINKS_ADAPTIVE;
}

static enum claude_effort effort_of(const struct name *name)
{
    if (name->version == 405 && name->family == OPUS)
        return CLAUDE_EFFORT_HIGH;
    if (name->version < 406)
        return CLAUDE_EFFORT_NOT;
    return name->version < 407 ? CLAUDE_EFFORT_MAX : CLAUDE_EFFORT_XHIGH;
}

void claude_traits(struct slice model, struct claude *ret)
{
    const char *claude = model.n > 0 ? memmem(model.p, model.n, "claude", 6) : NULL;
    struct name name;
    unsigned v;

    *ret = (struct claude){
        .thinking = CLAUDE_THINKS_BUDGET, .sampling = true, .forced_tools = true, .prefill = true, .schemas = true};
    if (claude == NULL)
        return;
    name = read_name((struct slice){claude + 6, model.n - (size_t)(claude + 6 - model.p)});
    v = name.version;
    ret->thinking = thinking_of(v);
    ret->effort = effort_of(&name);
    ret->thinks_always = name.family == FABLE || name.family == MYTHOS || v > 505 || (v == 505 && name.family != HAIKU);
    ret->sampling = v < 407;
    ret->one_sampler = v >= 401;
    ret->forced_tools = v <= 500 || name.family == HAIKU || name.family == MYTHOS;
    ret->prefill = v < 406;
    ret->schemas = v >= 405;
}
