/* Closed loop: each connection has one call under way until all calls were made. With --rate a call begins when its
 * time has come and a connection is free, and its latency counts from that time. */
#include "loadgen.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BODY_KEEP 16384 /* of a body, its end: usage stands there */
#define STATUS_MAX 600
#define LOOK_MS 100
#define REFUSED_MAX 1000 /* connections refused in a row before giving up */

struct calls;

struct call {
    struct calls *all;
    uint64_t number;
    uint64_t begun_us; /* with --rate: when it was due */
    bool under_way;
    bool timed_out;
    char user[96];
    size_t body_n;
    char body[BODY_KEEP];
};

struct calls {
    struct run run;
    const struct options *o;
    FILE *journal;
    struct link *links;
    struct call *calls;
    char *requests; /* one per link */
    uint64_t most; /* calls to make */
    uint64_t begun; /* calls begun */
    uint64_t done;
    uint64_t ok;
    uint64_t lost;
    uint64_t timeouts;
    uint64_t no_usage;
    uint64_t refused;
    uint64_t prompt_tokens;
    uint64_t completion_tokens;
    uint64_t begun_us;
    uint64_t end_us; /* no call begins after it; 0 = no limit */
    uint64_t status[STATUS_MAX];
    struct hist latency;
    char prompt[TEXT_MAX]; /* scratch */
};

static void on_body(void *arg, const char *p, size_t n)
{
    struct call *k = ((struct link *)arg)->owner;

    if (n >= BODY_KEEP / 2) {
        p += n - BODY_KEEP / 2;
        n = BODY_KEEP / 2;
    }
    if (k->body_n + n > BODY_KEEP) {
        size_t keep = BODY_KEEP / 2;

        memmove(k->body, k->body + k->body_n - keep, keep);
        k->body_n = keep;
    }
    memcpy(k->body + k->body_n, p, n);
    k->body_n += n;
}

/* The number after the last `"name":`, or -1. */
static int64_t number_in(const struct call *k, const char *name)
{
    const char *p = k->body;
    const char *end = k->body + k->body_n;
    const char *at = NULL;
    int64_t v = 0;
    size_t n = strlen(name);

    while ((p = memmem(p, (size_t)(end - p), name, n)) != NULL) {
        p += n;
        at = p;
    }
    while (at && at < end && (*at == ' ' || *at == ':'))
        at++;
    if (!at || at == end || *at < '0' || *at > '9')
        return -1;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        v = v * 10 + (*at - '0');
    return v;
}

/* Replaces the first %d of the prompt by the number. */
static void prompt_for(const struct calls *c, uint64_t number, char to[TEXT_MAX])
{
    const char *mark = strstr(c->o->prompt, "%d");

    if (mark)
        snprintf(to, TEXT_MAX, "%.*s%" PRIu64 "%s", (int)(mark - c->o->prompt), c->o->prompt, number, mark + 2);
    else
        snprintf(to, TEXT_MAX, "%s", c->o->prompt);
}

static void record(struct calls *c, const struct link *l, bool ok)
{
    const struct call *k = l->owner;
    uint64_t us = now_us() - k->begun_us;
    int status = ok && l->answer.status < STATUS_MAX ? l->answer.status : 0;
    int64_t prompt = number_in(k, "\"prompt_tokens\"");
    int64_t completion = number_in(k, "\"completion_tokens\"");

    c->done++;
    c->status[status]++;
    c->timeouts += k->timed_out ? 1 : 0;
    c->lost += !ok && !k->timed_out ? 1 : 0;
    if (status >= 200 && status < 300) {
        c->ok++;
        hist_add(&c->latency, us);
        c->no_usage += prompt < 0 ? 1 : 0;
        c->prompt_tokens += prompt > 0 ? (uint64_t)prompt : 0;
        c->completion_tokens += completion > 0 ? (uint64_t)completion : 0;
    }
    if (c->journal)
        fprintf(c->journal, "%" PRIu64 "\t%s\t%s\t%d\t%" PRId64 "\t%" PRId64 "\t%" PRIu64 "\t%" PRIu64 "\n", k->number,
                k->user, l->answer.rid[0] ? l->answer.rid : "-", status, prompt, completion, us, k->begun_us);
}

/* When the next call is to begin; UINT64_MAX = there is none left. */
static uint64_t next_due(const struct calls *c)
{
    uint64_t due = now_us();

    if (c->o->rate > 0)
        due = c->begun_us + c->begun * 1000000 / (uint64_t)c->o->rate;
    return c->begun < c->most && (c->end_us == 0 || due < c->end_us) && c->refused <= REFUSED_MAX ? due : UINT64_MAX;
}

/* Begins the next call on this link, if one is due. */
static void next_call(struct calls *c, struct link *l)
{
    struct call *k = l->owner;
    uint64_t due;

    if (k == NULL) /* every link has one from its beginning */
        return;
    k->under_way = false;
    while ((due = next_due(c)) <= now_us()) {
        k->number = c->begun++;
        k->begun_us = due;
        k->under_way = true;
        k->body_n = 0;
        k->timed_out = false;
        snprintf(k->user, sizeof(k->user), "%.64s%" PRIu64, c->o->user, k->number);
        prompt_for(c, k->number, c->prompt);
        l->out_n = request_build(&c->run, l->out, c->prompt, k->user, c->o->stream, c->o->stream);
        if (l->out_n > 0 && link_send(&c->run, l))
            return;
        c->refused++;
        k->under_way = false;
        record(c, l, false);
    }
}

static void on_end(struct run *r, struct link *l, bool ok)
{
    struct calls *c = r->mode;

    c->refused = ok ? 0 : c->refused + 1;
    record(c, l, ok);
    next_call(c, l);
}

static void look_for_timeouts(struct calls *c)
{
    uint64_t now = now_us();
    uint64_t most = (uint64_t)(c->o->timeout_s > 0 ? c->o->timeout_s : 60) * 1000000;

    for (int64_t i = 0; i < c->o->connections; i++) {
        struct link *l = &c->links[i];

        if (l->state == LINK_CLOSED || l->state == LINK_IDLE || now - l->begun_us < most)
            continue;
        c->calls[i].timed_out = true;
        link_close(l);
        on_end(&c->run, l, false);
    }
}

/* With --rate: begins what is due and waits for the next one's time, or for an answer. */
static void pace(struct calls *c)
{
    uint64_t now, due, until = now_us() + LOOK_MS * 1000;
    int64_t i;

    for (i = 0; i < c->o->connections && next_due(c) <= now_us(); i++)
        if (!c->calls[i].under_way)
            next_call(c, &c->links[i]);
    due = i < c->o->connections ? next_due(c) : until; /* every connection is taken: an answer is waited for */
    if (due > until)
        due = until;
    now = now_us();
    if (due > now)
        run_wait(&c->run, due - now);
}

static void loop(struct calls *c)
{
    uint64_t looked = now_us();

    while (c->done < c->begun || (c->o->rate > 0 && next_due(c) != UINT64_MAX)) {
        if (c->o->rate > 0)
            pace(c);
        run_turn(&c->run, c->o->rate > 0 ? 0 : LOOK_MS);
        if (now_us() - looked > LOOK_MS * 1000) {
            look_for_timeouts(c);
            looked = now_us();
        }
    }
}

static void print_result(const struct calls *c, uint64_t us, uint64_t cpu)
{
    const char *comma = "";

    printf("{\"mode\":\"calls\",\"connections\":%" PRId64 ",\"calls\":%" PRIu64 ",\"ok\":%" PRIu64 ",\"errors\":{",
           c->o->connections, c->done, c->ok);
    for (int i = 1; i < STATUS_MAX; i++) {
        if ((i < 200 || i >= 300) && c->status[i] > 0) {
            printf("%s\"%d\":%" PRIu64, comma, i, c->status[i]);
            comma = ",";
        }
    }
    if (c->lost > 0)
        printf("%s\"lost\":%" PRIu64, comma, c->lost);
    if (c->timeouts > 0)
        printf("%s\"timeout\":%" PRIu64, c->lost > 0 ? "," : comma, c->timeouts);
    printf("},\"no_usage\":%" PRIu64 ",\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64
           ",\"seconds\":%.3f,\"rps\":%.1f,",
           c->no_usage, c->prompt_tokens, c->completion_tokens, (double)us / 1e6,
           (double)c->done * 1e6 / (double)(us > 0 ? us : 1));
    printf("\"p50_us\":%" PRIu64 ",\"p90_us\":%" PRIu64 ",\"p99_us\":%" PRIu64 ",\"max_us\":%" PRIu64
           ",\"cpu_us_per_call\":%.2f}\n",
           hist_at(&c->latency, 0.5), hist_at(&c->latency, 0.9), hist_at(&c->latency, 0.99), c->latency.max,
           (double)cpu / (double)(c->done > 0 ? c->done : 1));
}

static bool prepare(struct calls *c, const struct options *o)
{
    size_t n = (size_t)o->connections;

    c->o = o;
    c->most = o->requests > 0 ? (uint64_t)o->requests : o->duration_s > 0 ? UINT64_MAX : 1000;
    if (!run_open(&c->run, o))
        return false;
    c->run.mode = c;
    c->run.on_body = on_body;
    c->run.on_end = on_end;
    c->links = calloc(n, sizeof(*c->links));
    c->calls = calloc(n, sizeof(*c->calls));
    c->requests = calloc(n, REQUEST_MAX);
    if (!c->links || !c->calls || !c->requests)
        return false;
    for (size_t i = 0; i < n; i++) {
        c->calls[i].all = c;
        c->links[i].owner = &c->calls[i];
        c->links[i].out = c->requests + i * REQUEST_MAX;
    }
    if (o->journal) {
        c->journal = fopen(o->journal, "we");
        if (!c->journal)
            perror(o->journal);
    }
    return !o->journal || c->journal;
}

int calls_main(const struct options *o)
{
    struct calls *c = calloc(1, sizeof(*c));
    int code = 2;

    if (c && prepare(c, o)) {
        uint64_t cpu = cpu_us();

        c->begun_us = now_us();
        c->end_us = o->duration_s > 0 ? c->begun_us + (uint64_t)o->duration_s * 1000000 : 0;
        for (int64_t i = 0; i < o->connections; i++)
            next_call(c, &c->links[i]);
        loop(c);
        print_result(c, now_us() - c->begun_us, cpu_us() - cpu);
        code = c->ok == c->done && c->done > 0 ? 0 : 1;
    }
    if (c) {
        for (int64_t i = 0; c->links && i < o->connections; i++)
            link_close(&c->links[i]);
        if (c->journal)
            fclose(c->journal);
        run_close(&c->run);
        free(c->links);
        free(c->calls);
        free(c->requests);
    }
    free(c);
    return code;
}
