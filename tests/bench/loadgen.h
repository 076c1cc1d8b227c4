/*
 * loadgen: closed-loop calls, paced streams and idle streams against a loopback address, from one
 * thread. loadgen_link.c moves bytes, loadgen_http.c takes answers apart, loadgen_calls.c and
 * loadgen_streams.c are the modes. Links are allocated once, before the first connection; a link
 * belongs to the mode that runs. A broken connection is a result to count, never an error exit.
 */
#ifndef BENCH_LOADGEN_H
#define BENCH_LOADGEN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_MAX 65536
#define REQUEST_MAX (TEXT_MAX + 4096)
#define RID_MAX 128

struct options {
    const char *mode;
    const char *url;
    const char *key;
    const char *model;
    const char *prompt;
    const char *extra; /* members added to the body, as JSON */
    const char *user; /* prefix of the user ids */
    const char *journal;
    int64_t connections;
    int64_t requests;
    int64_t duration_s;
    int64_t rate; /* calls: begun per second at fixed times, latency counted from them; 0 = as fast as they end */
    int64_t streams;
    int64_t tokens;
    int64_t delay_ms;
    int64_t first_ms;
    int64_t ramp_ms;
    int64_t hold_s;
    int64_t timeout_s; /* 0 = chosen by the mode */
    int64_t max_tokens;
    bool stream; /* calls: ask for streams and read them whole */
    bool usage; /* streams: ask for the usage chunk */
    bool begun; /* idle: streams that have begun, instead of unanswered ones */
};

/* --- loadgen_stats.c: counts by value, within 0.8% --- */
#define HIST_SUB 128
#define HIST_ROWS 48

struct hist {
    uint64_t n;
    uint64_t max;
    uint64_t count[HIST_ROWS * HIST_SUB];
};

void hist_add(struct hist *h, uint64_t v);
uint64_t hist_at(const struct hist *h, double quantile);
uint64_t now_us(void);
uint64_t cpu_us(void);

/* --- loadgen_http.c: one answer, byte by byte --- */
enum answer_state {
    ANSWER_HEAD,
    ANSWER_LENGTH,
    ANSWER_SIZE,
    ANSWER_CHUNK,
    ANSWER_CHUNK_END,
    ANSWER_TRAILER,
    ANSWER_TO_CLOSE,
    ANSWER_DONE,
    ANSWER_BAD
};

typedef void body_fn(void *arg, const char *p, size_t n);

struct answer {
    enum answer_state state;
    int status;
    bool keep_alive;
    uint64_t left;
    size_t line_n; /* bytes of the current trailer or size line */
    size_t head_n;
    char rid[RID_MAX];
    char head[8192];
};

void answer_reset(struct answer *a);
/* Takes n bytes; body bytes go to fn. Returns how many were taken: fewer than n only at the end. */
size_t answer_take(struct answer *a, const char *p, size_t n, body_fn *fn, void *arg);

/* --- loadgen_link.c: connections --- */
enum link_state { LINK_CLOSED, LINK_CONNECTING, LINK_SENDING, LINK_WAITING, LINK_IDLE };

struct link {
    enum link_state state;
    int fd;
    bool peer_gone;
    void *owner; /* what the mode keeps for it */
    char *out; /* the request; owned by the mode */
    size_t out_n;
    size_t out_at;
    uint64_t begun_us;
    uint64_t sent_us; /* when the last byte of the request left */
    struct answer answer;
};

struct run {
    const struct options *o;
    struct sockaddr_in address;
    char host[64];
    char path[512];
    int epoll;
    char *room; /* what was read last */
    void *mode;
    bool stop;
    body_fn *on_body; /* arg = the link */
    void (*on_end)(struct run *, struct link *, bool ok); /* answer complete, or link lost */
};

bool run_open(struct run *r, const struct options *o);
void run_close(struct run *r);
/* Sends link->out on the open connection, or on a new one. False = could not even start. */
bool link_send(struct run *r, struct link *l);
void link_close(struct link *l);
/* Waits at most wait_ms and serves what happened. */
void run_turn(struct run *r, int wait_ms);
/* Waits until something happened, at most so long: for times that a millisecond is too coarse for. */
void run_wait(struct run *r, uint64_t us);
/* Builds the request text; prompt is plain text. Returns its length, 0 = too large. */
size_t request_build(const struct run *r, char *to, const char *prompt, const char *user, bool stream, bool usage);

/* --- the modes; each returns the exit code --- */
int calls_main(const struct options *o);
int streams_main(const struct options *o);
int idle_main(const struct options *o);

#endif
