/* Many streams at once: paced ones, whose every token is checked, and idle ones. */
#include "loadgen.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096
#define STREAM_REQUEST 2048
#define WAIT_MS 50

struct stream {
    struct streams *all;
    bool started;
    bool ended;
    bool ok; /* the answer came to its end */
    bool done; /* [DONE] was seen */
    bool finished; /* a finish_reason was seen */
    bool malformed; /* an event that is not what a stream may hold */
    bool has_usage;
    uint64_t first_us; /* arrival of the first token; 0 = none yet */
    uint64_t last_us;
    int64_t expected; /* number of the next token */
    int64_t tokens;
    int64_t lost;
    int64_t reordered;
    size_t line_n;
    char line[LINE_MAX_BYTES];
};

struct streams {
    struct run run;
    const struct options *o;
    struct link *links;
    struct stream *streams;
    char *requests;
    char prompt[256]; /* the directives; each stream adds its number */
    int64_t n;
    int64_t started;
    int64_t ended;
    uint64_t begun_us;
    struct hist ttft;
    struct hist gap;
};

static void take_word(struct stream *s, int64_t number)
{
    s->tokens++;
    if (number < s->expected) {
        s->reordered++;
        return;
    }
    s->lost += number - s->expected;
    s->expected = number + 1;
}

/* The words of one content delta: "t0", " t1", … up to the closing quote. */
static void take_content(struct stream *s, const char *p, const char *end)
{
    int64_t before = s->tokens;
    uint64_t now;

    while (p < end && *p != '"') {
        int64_t v = 0;
        const char *digits = NULL;

        if (*p == ' ') {
            p++;
            continue;
        }
        digits = *p == 't' ? p + 1 : end;
        for (p = digits; p < end && *p >= '0' && *p <= '9'; p++)
            v = v * 10 + (*p - '0');
        if (p == digits || p - digits > 12) {
            s->malformed = true;
            return;
        }
        take_word(s, v);
    }
    if (s->tokens == before)
        return;
    now = now_us();
    if (s->first_us == 0)
        s->first_us = now;
    else
        hist_add(&s->all->gap, now - s->last_us);
    s->last_us = now;
}

static const char *after(const char *p, size_t n, const char *what)
{
    size_t k = strlen(what);
    const char *at = memmem(p, n, what, k);

    return at ? at + k : NULL;
}

static void take_line(struct stream *s, const char *p, size_t n)
{
    const char *content = NULL;

    if (n > 0 && p[n - 1] == '\r')
        n--;
    if (n == 0 || *p == ':')
        return;
    if (n < 6 || memcmp(p, "data: ", 6) != 0) {
        s->malformed = true;
        return;
    }
    if (n == 12 && memcmp(p, "data: [DONE]", 12) == 0) {
        s->done = true;
        return;
    }
    if (s->done || n < 8 || p[6] != '{' || p[n - 1] != '}') {
        s->malformed = true;
        return;
    }
    content = after(p, n, "\"content\":\"");
    if (content) {
        take_content(s, content, p + n);
        return;
    }
    if (after(p, n, "\"finish_reason\":\""))
        s->finished = true;
    else if (after(p, n, "\"prompt_tokens\":"))
        s->has_usage = true;
    else if (after(p, n, "\"error\":"))
        s->malformed = true;
}

static void on_body(void *arg, const char *p, size_t n)
{
    struct link *l = arg;
    struct stream *s = l->owner;
    const char *end = p + n;

    if (l->answer.status != 200)
        return;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        size_t k = (size_t)((eol ? eol : end) - p);

        if (eol && s->line_n == 0) {
            take_line(s, p, k);
        } else if (s->line_n + k > sizeof(s->line)) {
            s->malformed = true;
            s->line_n = 0;
        } else {
            memcpy(s->line + s->line_n, p, k);
            s->line_n += k;
            if (eol) {
                take_line(s, s->line, s->line_n);
                s->line_n = 0;
            }
        }
        p += k + (eol ? 1 : 0);
    }
}

static void on_end(struct run *r, struct link *l, bool ok)
{
    struct streams *t = r->mode;
    struct stream *s = l->owner;

    s->ended = true;
    s->ok = ok && l->answer.status == 200;
    t->ended++;
    link_close(l);
}

static void start(struct streams *t, int64_t i)
{
    struct link *l = &t->links[i];
    char prompt[320];
    char user[96];

    t->started++;
    t->streams[i].started = true;
    snprintf(prompt, sizeof(prompt), "%s stream %" PRId64, t->prompt, i);
    snprintf(user, sizeof(user), "%.64s%" PRId64, t->o->user, i);
    l->out_n = request_build(&t->run, t->requests, prompt, user, true, t->o->usage);
    if (l->out_n == 0 || l->out_n > STREAM_REQUEST) {
        on_end(&t->run, l, false);
        return;
    }
    l->out = malloc(l->out_n);
    if (l->out)
        memcpy(l->out, t->requests, l->out_n);
    if (!l->out || !link_send(&t->run, l))
        on_end(&t->run, l, false);
}

/* Starts what the ramp has reached. Returns the milliseconds until the next start, at most WAIT_MS.
 */
static int start_due(struct streams *t)
{
    uint64_t ramp_us = (uint64_t)t->o->ramp_ms * 1000;

    while (t->started < t->n) {
        uint64_t due = t->begun_us + ramp_us * (uint64_t)t->started / (uint64_t)t->n;
        uint64_t now = now_us();

        if (due > now)
            return due - now > WAIT_MS * 1000 ? WAIT_MS : (int)((due - now + 999) / 1000);
        start(t, t->started);
    }
    return WAIT_MS;
}

static bool prepare(struct streams *t, const struct options *o)
{
    size_t n = (size_t)o->streams;

    t->o = o;
    t->n = o->streams;
    if (!run_open(&t->run, o))
        return false;
    t->run.mode = t;
    t->run.on_body = on_body;
    t->run.on_end = on_end;
    t->links = calloc(n, sizeof(*t->links));
    t->streams = calloc(n, sizeof(*t->streams));
    t->requests = malloc(REQUEST_MAX);
    if (!t->links || !t->streams || !t->requests)
        return false;
    for (size_t i = 0; i < n; i++) {
        t->streams[i].all = t;
        t->links[i].owner = &t->streams[i];
    }
    t->begun_us = now_us();
    return true;
}

static void release(struct streams *t)
{
    for (int64_t i = 0; t && t->links && i < t->n; i++) {
        link_close(&t->links[i]);
        free(t->links[i].out);
    }
    if (t) {
        run_close(&t->run);
        free(t->links);
        free(t->streams);
        free(t->requests);
    }
    free(t);
}

struct sum {
    int64_t broken;
    int64_t refused; /* of the broken: answered with another status */
    int64_t cut; /* ended early, connection lost, or too late */
    int64_t no_done;
    int64_t tokens;
    int64_t lost;
    int64_t reordered;
    int64_t with_usage;
};

static void sum_up(struct streams *t, struct sum *sum)
{
    for (int64_t i = 0; i < t->n; i++) {
        struct stream *s = &t->streams[i];
        const struct link *l = &t->links[i];
        bool whole = s->ok && s->done && s->finished && !s->malformed;

        if (s->expected < t->o->tokens)
            s->lost += t->o->tokens - s->expected;
        sum->tokens += s->tokens;
        sum->lost += s->lost;
        sum->reordered += s->reordered;
        sum->with_usage += s->has_usage ? 1 : 0;
        sum->refused += l->answer.status != 200 && l->answer.status != 0 ? 1 : 0;
        sum->cut += !s->ok && (l->answer.status == 200 || l->answer.status == 0) ? 1 : 0;
        sum->no_done += s->done ? 0 : 1;
        if (!whole || s->lost > 0 || s->reordered > 0 || s->tokens != t->o->tokens)
            sum->broken++;
        if (s->first_us > 0)
            hist_add(&t->ttft, s->first_us - l->sent_us);
    }
}

static void print_hist(const char *name, const struct hist *h)
{
    printf("\"%s_p50_ms\":%.3f,\"%s_p99_ms\":%.3f,\"%s_max_ms\":%.3f,", name, (double)hist_at(h, 0.5) / 1e3, name,
           (double)hist_at(h, 0.99) / 1e3, name, (double)h->max / 1e3);
}

static int64_t print_result(struct streams *t, uint64_t us, uint64_t cpu)
{
    struct sum sum = {0};

    sum_up(t, &sum);
    printf("{\"mode\":\"streams\",\"streams\":%" PRId64 ",\"broken\":%" PRId64 ",\"refused\":%" PRId64
           ",\"cut\":%" PRId64 ",\"no_done\":%" PRId64 ",",
           t->n, sum.broken, sum.refused, sum.cut, sum.no_done);
    printf("\"tokens\":%" PRId64 ",\"lost\":%" PRId64 ",\"reordered\":%" PRId64 ",\"with_usage\":%" PRId64 ",",
           sum.tokens, sum.lost, sum.reordered, sum.with_usage);
    print_hist("ttft", &t->ttft);
    print_hist("gap", &t->gap);
    printf("\"seconds\":%.3f,\"cpu_us_per_token\":%.2f}\n", (double)us / 1e6,
           (double)cpu / (double)(sum.tokens > 0 ? sum.tokens : 1));
    return sum.broken;
}

int streams_main(const struct options *o)
{
    struct streams *t = calloc(1, sizeof(*t));
    int64_t timeout_s =
        o->timeout_s > 0 ? o->timeout_s : 30 + (o->ramp_ms + o->first_ms + 3 * o->tokens * o->delay_ms) / 1000;
    uint64_t cpu = cpu_us();
    uint64_t us;
    int code = 2;

    if (t && prepare(t, o)) {
        snprintf(t->prompt, sizeof(t->prompt), "[[tokens=%" PRId64 " delay=%" PRId64 " first=%" PRId64 "]]", o->tokens,
                 o->delay_ms, o->first_ms);
        while (t->ended < t->n && now_us() - t->begun_us < (uint64_t)timeout_s * 1000000)
            run_turn(&t->run, start_due(t));
        us = now_us() - t->begun_us;
        code = print_result(t, us, cpu_us() - cpu) == 0 ? 0 : 1;
    }
    release(t);
    return code;
}

/* How many streams are in the state to be held: asked and unanswered, or begun. */
static int64_t held(const struct streams *t)
{
    int64_t n = 0;

    for (int64_t i = 0; i < t->n; i++) {
        const struct stream *s = &t->streams[i];

        if (!s->ended && t->links[i].state == LINK_WAITING && (!t->o->begun || s->tokens > 0))
            n++;
    }
    return n;
}

static void print_held(const struct streams *t, const char *when)
{
    printf("{\"mode\":\"idle\",\"when\":\"%s\",\"streams\":%" PRId64 ",\"held\":%" PRId64 ",\"ended\":%" PRId64
           ",\"seconds\":%.3f}\n",
           when, t->n, held(t), t->ended, (double)(now_us() - t->begun_us) / 1e6);
    fflush(stdout);
}

int idle_main(const struct options *o)
{
    struct streams *t = calloc(1, sizeof(*t));
    uint64_t timeout_us = (uint64_t)(o->timeout_s > 0 ? o->timeout_s : 60) * 1000000;
    uint64_t until;
    int code = 2;

    if (t && prepare(t, o)) {
        if (o->begun)
            snprintf(t->prompt, sizeof(t->prompt), "[[tokens=2 hang=stream at=1]]");
        else
            snprintf(t->prompt, sizeof(t->prompt), "[[tokens=1 first=%" PRId64 "]]", (o->hold_s + 600) * 1000);
        while (held(t) + t->ended < t->n && now_us() - t->begun_us < timeout_us)
            run_turn(&t->run, start_due(t));
        print_held(t, "open");
        until = now_us() + (uint64_t)o->hold_s * 1000000;
        while (now_us() < until)
            run_turn(&t->run, WAIT_MS);
        print_held(t, "end");
        code = held(t) == t->n ? 0 : 1;
    }
    release(t);
    return code;
}
