/*
 * The fake upstream's state: one thread, one epoll set, connections that each serve one request at
 * a time. server.c moves bytes and decides when a request is over; request.c decides what to
 * answer; answer.c and stream.c write it. A connection that dies is buried at the end of the turn,
 * so that nobody holds a pointer to freed memory.
 */
#ifndef UPSTREAM_SERVER_H
#define UPSTREAM_SERVER_H

#include "buf.h"
#include "http.h"
#include "plan.h"
#include "timers.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NAME_LEN_MAX 256
#define TIMES_SLOTS 1024

/* A tool call in a stream: its name, then 15 bytes of arguments in three fragments. */
#define CHUNKS_PER_CALL 4

/* clang-format off */
#define OUTCOMES(O)                                                                                \
    O(OK, "ok") O(CUT, "cut") O(RESET, "reset") O(HANG, "hang") O(CLIENT_GONE, "client_gone")      \
    O(ERROR, "error") O(STOPPED, "stopped")
/* clang-format on */

#define OUTCOME_ENUM(name, text) OUTCOME_##name,
enum outcome { OUTCOMES(OUTCOME_ENUM) OUTCOME_COUNT };

enum request_kind { KIND_UNKNOWN, KIND_CHAT, KIND_COMPLETION, KIND_EMBEDDING };

/* What the connection's timer means. */
enum phase { PHASE_NONE, PHASE_FIRST, PHASE_STREAM, PHASE_PIECES, PHASE_IDLE };

enum conn_state {
    CONN_READING,
    CONN_BUSY, /* a request is being answered */
    CONN_FINISHING /* all was given to send; over when it has left */
};

struct request {
    uint64_t seq; /* 0 = not one that is written to the journal */
    uint64_t begun_ms;
    enum request_kind kind;
    enum outcome outcome;
    struct plan plan;
    int status; /* 0 = nothing answered yet */
    bool stream;
    bool streaming; /* its stream has begun */
    bool include_usage;
    bool chunked;
    bool hanging;
    bool base64;
    bool half_sent; /* slow-body: the second half of a chunk is waiting in held */
    int64_t choices;
    int64_t prompt;
    int64_t cached;
    int64_t reasoning;
    int64_t completion;
    int64_t tool_calls;
    int64_t inputs;
    int64_t dimensions;
    int64_t total; /* chunks of a whole stream */
    int64_t sent; /* of these, sent */
    uint64_t due_ms;
    size_t pieces_at;
    const char *finish;
    struct buf prefix; /* what every chunk begins with */
    struct buf held; /* bytes of the answer that leave later */
    char id[NAME_LEN_MAX];
    char user[NAME_LEN_MAX];
    char model[NAME_LEN_MAX];
    char tool[NAME_LEN_MAX];
};

struct conn {
    struct timer timer; /* first: a timer is its connection */
    struct server *server;
    struct conn *prev;
    struct conn *next;
    int fd;
    enum conn_state state;
    enum phase phase;
    bool readable;
    bool gone; /* the other side closed */
    bool dead;
    bool close_after;
    bool reset_after;
    bool told_continue;
    bool has_head;
    struct http_head head;
    struct http_chunks chunks;
    size_t body_to; /* end of the decoded body in `in` */
    size_t body_from; /* first byte not decoded yet */
    struct buf in;
    struct buf out; /* what the socket did not take */
    size_t out_at;
    struct request *request; /* NULL while idle */
};

struct times_slot {
    uint64_t key;
    uint64_t seen;
};

struct counters {
    uint64_t accepted;
    uint64_t requests;
    uint64_t gets;
    uint64_t streams;
    uint64_t chunks;
    uint64_t writes;
    uint64_t bytes_out;
    uint64_t open_connections;
    uint64_t open_requests;
    uint64_t open_streams;
    uint64_t peak_connections;
    uint64_t peak_streams;
    uint64_t outcomes[OUTCOME_COUNT];
};

struct server {
    int epoll;
    int listener;
    int signals;
    int journal; /* -1 = none */
    int spare; /* a descriptor to give up when there are no others */
    bool stop;
    uint64_t now_ms;
    uint64_t begun_ms;
    uint64_t idle_ms;
    const char *api_key; /* NULL = any */
    struct plan defaults;
    struct timers timers;
    struct conn *open;
    struct conn *dead;
    struct counters count;
    struct times_slot times[TIMES_SLOTS];
    struct buf last_head; /* of the last POST, as received */
    struct buf last_body;
};

/* --- server.c --- */
int server_run(struct server *s);
void conn_send(struct conn *c, const void *p, size_t n);
/* The answer is complete; its request ends when the last byte left. */
void conn_finish(struct conn *c, enum outcome outcome);
void conn_timer(struct conn *c, enum phase phase, uint64_t due_ms);

/* --- request.c --- */
/* A whole request stands in c->in. */
void request_begin(struct conn *c, struct span body);
/* The wait for the first byte is over. */
void request_act(struct conn *c);
void request_free(struct request *r);

/* --- answer.c --- */
void answer_error(struct conn *c, int status, const char *type, const char *code, const char *message);
void answer_plain(struct conn *c, int status, const char *content_type, const char *p, size_t n);
void answer_whole(struct conn *c);
void answer_piece(struct conn *c);
void answer_head(struct conn *c, struct buf *b, int status, const char *content_type);
void answer_usage(const struct request *r, struct buf *b);
void answer_arguments(int64_t call, char ret[16]);

/* --- stream.c --- */
void stream_begin(struct conn *c);
void stream_step(struct conn *c);

/* --- journal.c --- */
void journal_request(struct server *s, const struct request *r);
void journal_stats(const struct server *s, struct buf *b);

#endif
