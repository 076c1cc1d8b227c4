#include "plan.h"

#include <stdio.h>
#include <string.h>

enum kind { KIND_NUM, KIND_FLAG, KIND_WORD, KIND_POINT };

struct word {
    const char *name;
    size_t offset;
    enum kind kind;
    int64_t least;
    int64_t most;
    const char *doc;
};

#define ROW(name, member, kind, least, most, doc) {name, offsetof(struct plan, member), KIND_##kind, least, most, doc},

static const struct word words[] = {PLAN_WORDS(ROW)};

#define N_WORDS (sizeof(words) / sizeof(words[0]))

void plan_init(struct plan *p)
{
    *p = (struct plan){.status = PLAN_NEVER,
                       .retry_after = PLAN_NEVER,
                       .retry_after_ms = PLAN_NEVER,
                       .times = PLAN_NEVER,
                       .hang = PLAN_NEVER,
                       .cut = PLAN_NEVER,
                       .reset = PLAN_NEVER,
                       .error_event = PLAN_NEVER,
                       .tools = PLAN_NEVER,
                       .prompt = PLAN_NEVER,
                       .completion = PLAN_NEVER,
                       .images = PLAN_NEVER};
}

static const struct word *find_word(struct span name)
{
    for (size_t i = 0; i < N_WORDS; i++) {
        if (span_is(name, words[i].name))
            return &words[i];
    }
    return NULL;
}

static bool parse_number(struct span v, int64_t *ret)
{
    int64_t sum = 0;

    if (v.n == 0 || v.n > 12)
        return false;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return false;
        sum = sum * 10 + (v.p[i] - '0');
    }
    *ret = sum;
    return true;
}

static bool set_word(struct plan *p, const struct word *w, struct span v, bool has_value)
{
    char *at = (char *)p + w->offset;
    int64_t number = 1;

    if (w->kind == KIND_WORD) {
        if (v.n == 0 || v.n >= PLAN_WORD_MAX || memchr(v.p, '"', v.n) || memchr(v.p, '\\', v.n))
            return false;
        memcpy(at, v.p, v.n);
        at[v.n] = '\0';
        return true;
    }
    if (w->kind == KIND_POINT && span_is(v, "headers"))
        number = PLAN_HEADERS;
    else if (w->offset == offsetof(struct plan, hang) && span_is(v, "stream"))
        number = PLAN_STREAM;
    else if (!has_value && w->kind != KIND_FLAG)
        return false;
    else if (has_value && (!parse_number(v, &number) || number < w->least || number > w->most))
        return false;
    memcpy(at, &number, sizeof(number));
    return true;
}

static bool apply(struct plan *p, struct span item)
{
    const char *eq = memchr(item.p, '=', item.n);
    struct span name = item;
    struct span value = {0};
    const struct word *w = NULL;

    if (eq) {
        name.n = (size_t)(eq - item.p);
        value = (struct span){eq + 1, item.n - name.n - 1};
    }
    w = find_word(name);
    return w && set_word(p, w, value, eq != NULL);
}

static bool find_block(struct span text, struct span *ret)
{
    const char *p = text.p;
    const char *end = text.p + text.n;

    while (text.n > 0 && (p = memmem(p, (size_t)(end - p), "[[", 2)) != NULL) {
        const char *close = NULL;

        p += 2;
        if (p >= end || *p < 'a' || *p > 'z')
            continue;
        close = memmem(p, (size_t)(end - p), "]]", 2);
        if (!close)
            return false;
        *ret = (struct span){p, (size_t)(close - p)};
        return true;
    }
    return false;
}

bool plan_read(struct plan *p, struct span text, char ret_bad[PLAN_WORD_MAX])
{
    struct span block = {0};
    const char *at = NULL;
    const char *end = NULL;

    if (!find_block(text, &block))
        return true;
    end = block.p + block.n;
    for (at = block.p; at < end;) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        struct span item = {at, (size_t)((space ? space : end) - at)};

        if (item.n > 0 && !apply(p, item)) {
            snprintf(ret_bad, PLAN_WORD_MAX, "%.*s", (int)(item.n < 60 ? item.n : 60), item.p);
            return false;
        }
        at = item.p + item.n + 1;
    }
    return true;
}

void plan_print(void)
{
    static const char *const shapes[] = {"=N", "", "=WORD", "=K"};

    for (size_t i = 0; i < N_WORDS; i++) {
        char shown[32];

        snprintf(shown, sizeof(shown), "%s%s", words[i].name, shapes[words[i].kind]);
        printf("  %-18s %s\n", shown, words[i].doc);
    }
}
