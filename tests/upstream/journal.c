/* The journal, one line per request, and the counters as JSON. README.md explains the columns. */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define OUTCOME_TEXT(name, text) text,
static const char *const outcome_texts[] = {OUTCOMES(OUTCOME_TEXT)};

static uint64_t unix_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Names come from outside: what could break a line becomes '?', nothing becomes '-'. */
static void add_name(struct buf *b, const char *name)
{
    size_t at = b->n;

    buf_str(b, *name ? name : "-");
    for (size_t i = at; i < b->n; i++) {
        if ((unsigned char)b->p[i] < 0x20 || b->p[i] == 0x7f)
            b->p[i] = '?';
    }
    buf_str(b, "\t");
}

/* What the client was told, or would have been told had the answer come to its end. */
static int64_t completion_told(const struct request *r)
{
    if (r->outcome == OUTCOME_OK)
        return r->completion;
    return r->sent;
}

void journal_request(struct server *s, const struct request *r)
{
    char room[1280];
    struct buf b = {.p = room, .cap = sizeof(room), .max = sizeof(room)};
    bool answered = r->outcome != OUTCOME_ERROR || r->streaming;

    if (s->journal < 0)
        return;
    buf_fmt(&b, "%" PRIu64 "\t", r->seq);
    add_name(&b, r->id);
    add_name(&b, r->user);
    add_name(&b, r->model);
    buf_fmt(&b,
            "%d\t%d\t%s\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRIu64 "\t%" PRIu64
            "\t%" PRId64 "\n",
            r->stream ? 1 : 0, r->status, outcome_texts[r->outcome], answered ? r->prompt : 0, answered ? r->cached : 0,
            completion_told(r), r->outcome == OUTCOME_OK ? r->reasoning : 0, r->sent, s->now_ms - r->begun_ms,
            unix_ms(), answered ? r->plan.cache_write : 0);
    if (write(s->journal, b.p, b.n) != (ssize_t)b.n)
        perror("fake-upstream: journal");
}

static uint64_t cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

void journal_stats(const struct server *s, struct buf *b)
{
    const struct counters *n = &s->count;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"requests", n->requests},
        {"gets", n->gets},
        {"open_connections", n->open_connections},
        {"open_requests", n->open_requests},
        {"open_streams", n->open_streams},
        {"peak_connections", n->peak_connections},
        {"peak_streams", n->peak_streams},
        {"accepted", n->accepted},
        {"streams", n->streams},
        {"completed", n->outcomes[OUTCOME_OK]},
        {"cancelled", n->outcomes[OUTCOME_CLIENT_GONE]},
        {"errors", n->outcomes[OUTCOME_ERROR]},
        {"cut", n->outcomes[OUTCOME_CUT]},
        {"reset", n->outcomes[OUTCOME_RESET]},
        {"hung", n->outcomes[OUTCOME_HANG]},
        {"chunks", n->chunks},
        {"writes", n->writes},
        {"bytes_out", n->bytes_out},
        {"cpu_us", cpu_us()},
        {"uptime_ms", s->now_ms - s->begun_ms},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        buf_fmt(b, "%s\"%s\":%" PRIu64, i == 0 ? "{" : ",", rows[i].name, rows[i].value);
    buf_str(b, "}\n");
}
