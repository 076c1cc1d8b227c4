#include "scan.h"

#include <string.h>

#define IMAGE_TOKENS 85

struct walk {
    const char *p;
    const char *end;
};

static void skip_space(struct walk *w)
{
    while (w->p < w->end && (*w->p == ' ' || *w->p == '\n' || *w->p == '\r' || *w->p == '\t'))
        w->p++;
}

/* p stands on the opening quote. Returns the byte after the closing one, or NULL. */
static const char *skip_string(const char *p, const char *end)
{
    const char *start = p + 1;
    const char *quote = start;

    for (;;) {
        size_t slashes = 0;

        quote = quote < end ? memchr(quote, '"', (size_t)(end - quote)) : NULL;
        if (!quote)
            return NULL;
        while (quote - slashes > start && quote[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        quote++;
        if (slashes % 2 == 0)
            return quote;
    }
}

static const char *skip_nested(const char *p, const char *end)
{
    size_t depth = 0;

    while (p && p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        if (*p == '{' || *p == '[')
            depth++;
        if ((*p == '}' || *p == ']') && --depth == 0)
            return p + 1;
        p++;
    }
    return NULL;
}

static bool take_value(struct walk *w, struct span *ret)
{
    const char *start = NULL;
    const char *p = NULL;

    skip_space(w);
    start = w->p;
    if (start >= w->end)
        return false;
    if (*start == '"') {
        p = skip_string(start, w->end);
    } else if (*start == '{' || *start == '[') {
        p = skip_nested(start, w->end);
    } else {
        p = start;
        while (p < w->end && !strchr(",]} \n\r\t:\"", *p))
            p++;
        if (p == start)
            return false;
    }
    if (!p)
        return false;
    *ret = (struct span){start, (size_t)(p - start)};
    w->p = p;
    return true;
}

/* Steps over what stands between two members: 1 = another one follows, 0 = the end, -1 = bad. */
static int next_item(struct walk *w, char close, bool first)
{
    skip_space(w);
    if (w->p >= w->end)
        return -1;
    if (*w->p == close) {
        w->p++;
        return 0;
    }
    if (first)
        return 1;
    if (*w->p != ',')
        return -1;
    w->p++;
    return 1;
}

static struct span unquoted(struct span v)
{
    if (v.n >= 2 && *v.p == '"')
        return (struct span){v.p + 1, v.n - 2};
    return (struct span){0};
}

/* Reads one `"key": value`. */
static bool take_member(struct walk *w, struct span *key, struct span *value)
{
    skip_space(w);
    if (w->p >= w->end || *w->p != '"' || !take_value(w, key))
        return false;
    skip_space(w);
    if (w->p >= w->end || *w->p != ':')
        return false;
    w->p++;
    *key = unquoted(*key);
    return take_value(w, value);
}

static struct span find_member(struct span object, const char *name)
{
    struct walk w = {object.p, object.p + object.n};
    struct span found = {0};
    struct span key = {0};
    struct span value = {0};

    if (object.n == 0 || *w.p != '{')
        return found;
    w.p++;
    for (bool first = true; next_item(&w, '}', first) == 1; first = false) {
        if (!take_member(&w, &key, &value))
            break;
        if (span_is(key, name))
            found = value;
    }
    return found;
}

/* Counts the values of an array; the last and the first one are handed out. */
static int64_t array_items(struct span array, struct span *first_item, struct span *last_item)
{
    struct walk w = {array.p, array.p + array.n};
    struct span value = {0};
    int64_t count = 0;

    if (array.n == 0 || *w.p != '[')
        return 0;
    w.p++;
    for (bool first = true; next_item(&w, ']', first) == 1; first = false) {
        if (!take_value(&w, &value))
            break;
        if (count == 0)
            *first_item = value;
        *last_item = value;
        count++;
    }
    return count;
}

static int64_t number_of(struct span v, int64_t otherwise)
{
    int64_t sum = 0;

    if (v.n == 0 || v.n > 15)
        return otherwise;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return otherwise;
        sum = sum * 10 + (v.p[i] - '0');
    }
    return sum;
}

static bool is_key(const char *after, const char *end)
{
    struct walk w = {after, end};

    skip_space(&w);
    return w.p < end && *w.p == ':';
}

/* Every string counts a quarter of its bytes; a data: address counts nothing, an image its flat. */
static void estimate(struct span text, struct scan *s)
{
    const char *p = text.p;
    const char *end = text.p + text.n;
    size_t bytes = 0;

    while (p && p < end && (p = memchr(p, '"', (size_t)(end - p))) != NULL) {
        const char *after = skip_string(p, end);
        struct span str;

        if (!after)
            break;
        str = (struct span){p + 1, (size_t)(after - p) - 2};
        if (span_is(str, "image_url") && !is_key(after, end))
            s->images++;
        if (str.n < 5 || memcmp(str.p, "data:", 5) != 0)
            bytes += str.n;
        p = after;
    }
    s->estimate += 3 + (int64_t)(bytes / 4) + s->images * IMAGE_TOKENS;
}

static void take_messages(struct span v, struct scan *s)
{
    struct span first = {0};

    s->has_messages = array_items(v, &first, &s->said) > 0;
    s->last_is_tool = span_is(unquoted(find_member(s->said, "role")), "tool");
    estimate(v, s);
}

static void take_input(struct span v, struct scan *s)
{
    struct span first = {0};
    struct span last = {0};

    s->has_input = true;
    s->said = v;
    s->inputs = 1;
    if (*v.p == '[') {
        s->inputs = array_items(v, &first, &last);
        if (first.n > 0 && *first.p != '"' && *first.p != '[')
            s->inputs = 1; /* one text, given as tokens */
    }
    estimate(v, s);
}

static void take_tools(struct span tools, struct span choice, struct scan *s)
{
    struct span first = {0};
    struct span last = {0};
    struct span forced = {0};

    s->tools_allowed = array_items(tools, &first, &last) > 0 && !span_is(unquoted(choice), "none");
    s->tool = unquoted(find_member(find_member(first, "function"), "name"));
    if (choice.n > 0 && *choice.p == '{')
        forced = unquoted(find_member(find_member(choice, "function"), "name"));
    if (forced.n > 0)
        s->tool = forced;
}

static void take_top_member(struct span key, struct span v, struct scan *s)
{
    if (span_is(key, "model"))
        s->model = unquoted(v);
    else if (span_is(key, "user"))
        s->user = unquoted(v);
    else if (span_is(key, "messages"))
        take_messages(v, s);
    else if (span_is(key, "prompt") || span_is(key, "input"))
        take_input(v, s);
    else if (span_is(key, "stream"))
        s->stream = span_is(v, "true");
    else if (span_is(key, "stream_options"))
        s->include_usage = span_is(find_member(v, "include_usage"), "true");
    else if (span_is(key, "n"))
        s->n = number_of(v, 1);
    else if (span_is(key, "max_tokens") || span_is(key, "max_completion_tokens"))
        s->max_tokens = number_of(v, s->max_tokens);
    else if (span_is(key, "dimensions"))
        s->dimensions = number_of(v, -1);
    else if (span_is(key, "encoding_format"))
        s->base64 = span_is(unquoted(v), "base64");
}

bool scan_body(const char *p, size_t n, struct scan *ret)
{
    struct walk w = {p, p + n};
    struct span tools = {0};
    struct span choice = {0};
    int more;

    *ret = (struct scan){.n = 1, .max_tokens = -1, .dimensions = -1};
    skip_space(&w);
    if (n == 0 || w.p >= w.end || *w.p != '{')
        return false;
    w.p++;
    for (bool first = true; (more = next_item(&w, '}', first)) == 1; first = false) {
        struct span key = {0};
        struct span value = {0};

        if (!take_member(&w, &key, &value))
            return false;
        if (span_is(key, "tools"))
            tools = value;
        else if (span_is(key, "tool_choice"))
            choice = value;
        else
            take_top_member(key, value, ret);
    }
    skip_space(&w);
    if (more != 0 || w.p != w.end)
        return false;
    take_tools(tools, choice, ret);
    return true;
}

bool span_is(struct span s, const char *text)
{
    size_t n = strlen(text);

    return s.n == n && (n == 0 || memcmp(s.p, text, n) == 0);
}
