/* Sockets, the event loop, and the one place where a request ends (conn_settle). */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_TURN 512
#define ACCEPTS_PER_TURN 128
#define HEAD_MAX ((size_t)64 * 1024)
#define BODY_MAX ((size_t)64 * 1024 * 1024)
#define READ_MIN 4096
#define KEEP_IDLE 8192 /* buffer a quiet connection may keep */

static uint64_t clock_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void conn_timer(struct conn *c, enum phase phase, uint64_t due_ms)
{
    c->phase = phase;
    timers_set(&c->server->timers, &c->timer, due_ms);
}

static void unlink_conn(struct conn *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        c->server->open = c->next;
    if (c->next)
        c->next->prev = c->prev;
}

static void conn_close(struct conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (c->dead)
        return;
    c->dead = true;
    timers_unset(&c->server->timers, &c->timer);
    if (c->reset_after)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(c->fd);
    c->server->count.open_connections--;
    unlink_conn(c);
    c->next = c->server->dead;
    c->server->dead = c;
}

static void bury(struct server *s)
{
    while (s->dead) {
        struct conn *c = s->dead;

        s->dead = c->next;
        request_free(c->request);
        buf_fini(&c->in);
        buf_fini(&c->out);
        free(c);
    }
}

/* Writes what the socket takes; the rest waits in c->out for EPOLLOUT. */
void conn_send(struct conn *c, const void *p, size_t n)
{
    ssize_t sent = 0;

    if (c->gone || n == 0)
        return;
    if (c->out.n == 0) {
        sent = send(c->fd, p, n, MSG_NOSIGNAL);
        c->server->count.writes++;
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            c->gone = true;
            return;
        }
        sent = sent < 0 ? 0 : sent;
        c->server->count.bytes_out += (uint64_t)sent;
    }
    if (c->out_at > KEEP_IDLE) {
        buf_drop(&c->out, c->out_at);
        c->out_at = 0;
    }
    buf_add(&c->out, (const char *)p + sent, n - (size_t)sent);
    if (c->out.failed)
        c->gone = true;
}

static void flush(struct conn *c)
{
    while (c->out_at < c->out.n) {
        ssize_t sent = send(c->fd, c->out.p + c->out_at, c->out.n - c->out_at, MSG_NOSIGNAL);

        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent < 0) {
            c->gone = true;
            return;
        }
        c->out_at += (size_t)sent;
        c->server->count.bytes_out += (uint64_t)sent;
        c->server->count.writes++;
    }
    buf_clear(&c->out, KEEP_IDLE);
    c->out_at = 0;
}

void conn_finish(struct conn *c, enum outcome outcome)
{
    if (c->request)
        c->request->outcome = outcome;
    c->state = CONN_FINISHING;
}

static void end_request(struct conn *c, enum outcome outcome)
{
    struct request *r = c->request;
    struct server *s = c->server;

    timers_unset(&s->timers, &c->timer);
    c->phase = PHASE_NONE;
    c->state = CONN_READING;
    c->request = NULL;
    if (r && r->seq > 0) {
        r->outcome = outcome;
        s->count.outcomes[outcome]++;
        s->count.open_requests--;
        if (r->streaming)
            s->count.open_streams--;
        if (r->plan.drop)
            c->close_after = true;
        journal_request(s, r);
    }
    request_free(r);
}

/* Reads once. Returns false when nothing came. */
static bool receive(struct conn *c)
{
    size_t room;
    ssize_t n;

    if (!c->readable)
        return false;
    if (c->in.cap - c->in.n < READ_MIN && !buf_reserve(&c->in, READ_MIN)) {
        c->gone = true;
        return false;
    }
    room = c->in.cap - c->in.n;
    n = recv(c->fd, c->in.p + c->in.n, room, 0);
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0) {
        c->readable = false;
        c->gone = c->gone || n == 0 || errno != EAGAIN;
        return false;
    }
    c->readable = (size_t)n == room || c->gone;
    c->in.n += (size_t)n;
    return true;
}

static void refuse_bytes(struct conn *c)
{
    c->close_after = true;
    c->state = CONN_BUSY;
    answer_error(c, 400, "invalid_request_error", "bad_http", "This is not proper HTTP.");
}

/* Returns 1 when the whole body stands in c->in[head_n..body_to), 0 when not yet, -1 when bad. */
static int take_body(struct conn *c)
{
    const struct http_head *h = &c->head;
    int done;

    if (h->chunked) {
        done = http_dechunk(&c->chunks, c->in.p, c->in.n, &c->body_from, &c->body_to);
        if (c->body_to > h->head_n + BODY_MAX)
            return -1;
        if (done == 0) { /* what was decoded leaves no gap behind it */
            c->in.n = c->body_to;
            c->body_from = c->body_to;
        }
        return done;
    }
    if (h->content_n > (int64_t)BODY_MAX)
        return -1;
    c->body_to = h->head_n + (h->content_n > 0 ? (size_t)h->content_n : 0);
    c->body_from = c->body_to;
    return c->in.n >= c->body_to ? 1 : 0;
}

/* Same results as take_body, for head and body. */
static int take_request(struct conn *c)
{
    int done = 0;

    if (!c->has_head) {
        done = http_parse_head(c->in.p, c->in.n, &c->head);
        if (done == 0 && c->in.n > HEAD_MAX)
            return -1;
        if (done <= 0)
            return done;
        c->has_head = true;
        c->told_continue = false;
        c->chunks = (struct http_chunks){.state = HTTP_CHUNK_SIZE};
        c->body_from = c->head.head_n;
        c->body_to = c->head.head_n;
    }
    done = take_body(c);
    if (done == 0 && c->head.expects_continue && !c->told_continue) {
        c->told_continue = true;
        conn_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    return done;
}

static void begin(struct conn *c)
{
    timers_unset(&c->server->timers, &c->timer);
    c->phase = PHASE_NONE;
    request_begin(c, (struct span){c->in.p + c->head.head_n, c->body_to - c->head.head_n});
    c->has_head = false;
    buf_drop(&c->in, c->body_from);
    if (c->in.n == 0)
        buf_clear(&c->in, KEEP_IDLE);
}

/* Reads on. Returns false when the connection has to wait. */
static bool read_on(struct conn *c)
{
    int done = take_request(c);

    if (done == 1) {
        begin(c);
        return true;
    }
    if (done < 0) {
        refuse_bytes(c);
        return true;
    }
    if (receive(c))
        return true;
    if (c->gone)
        conn_close(c);
    else if (c->server->idle_ms > 0 && c->in.n == 0 && c->phase == PHASE_NONE)
        conn_timer(c, PHASE_IDLE, c->server->now_ms + c->server->idle_ms);
    return false;
}

/* Called after anything happened to a connection: carries it as far as it goes now. */
static void conn_settle(struct conn *c)
{
    while (!c->dead) {
        if (c->state == CONN_FINISHING && c->out.n == 0 && !c->gone) {
            end_request(c, c->request ? c->request->outcome : OUTCOME_OK);
            if (c->close_after)
                conn_close(c);
        } else if (c->state != CONN_READING && c->gone) {
            end_request(c, c->request && c->request->hanging ? OUTCOME_HANG : OUTCOME_CLIENT_GONE);
            conn_close(c);
        } else if (c->state != CONN_READING || !read_on(c)) {
            return;
        }
    }
}

static void conn_event(struct conn *c, uint32_t events)
{
    if (c->dead)
        return;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->gone = true;
    if (events & (EPOLLIN | EPOLLRDHUP))
        c->readable = true;
    if (events & EPOLLOUT && c->out.n > 0)
        flush(c);
    conn_settle(c);
}

static void conn_due(struct conn *c)
{
    enum phase phase = c->phase;

    c->phase = PHASE_NONE;
    switch (phase) {
    case PHASE_FIRST: request_act(c); break;
    case PHASE_STREAM: stream_step(c); break;
    case PHASE_PIECES: answer_piece(c); break;
    case PHASE_IDLE: c->gone = true; break;
    case PHASE_NONE: break;
    }
    conn_settle(c);
}

static struct conn *new_conn(struct server *s, int fd)
{
    struct conn *c = calloc(1, sizeof(*c));
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    int on = 1;

    if (!c)
        return NULL;
    ev.data.ptr = c;
    c->server = s;
    c->fd = fd;
    buf_init(&c->in, HEAD_MAX + 2 * BODY_MAX);
    buf_init(&c->out, (size_t)1 << 30);
    if (!timers_reserve(&s->timers, s->count.open_connections + 1) ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
        free(c);
        return NULL;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->next = s->open;
    if (s->open)
        s->open->prev = c;
    s->open = c;
    s->count.accepted++;
    s->count.open_connections++;
    if (s->count.open_connections > s->count.peak_connections)
        s->count.peak_connections = s->count.open_connections;
    return c;
}

/* Out of descriptors: gives up the spare one to close the caller, or epoll would report it forever.
 */
static void turn_away(struct server *s)
{
    int fd;

    close(s->spare);
    fd = accept(s->listener, NULL, NULL);
    if (fd >= 0)
        close(fd);
    s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_some(struct server *s)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            turn_away(s);
        if (fd < 0)
            return;
        if (!new_conn(s, fd))
            close(fd);
    }
}

static void run_timers(struct server *s)
{
    size_t most = s->timers.n;
    struct timer *t = NULL;

    while (most-- > 0 && (t = timers_take_due(&s->timers, s->now_ms)) != NULL)
        conn_due((struct conn *)t);
}

static void end_all(struct server *s)
{
    while (s->open) {
        struct conn *c = s->open;

        if (c->state != CONN_READING)
            end_request(c, c->request && c->request->hanging ? OUTCOME_HANG : OUTCOME_STOPPED);
        conn_close(c);
    }
    bury(s);
}

int server_run(struct server *s)
{
    struct epoll_event events[EVENTS_PER_TURN];

    s->begun_ms = clock_ms();
    s->now_ms = s->begun_ms;
    while (!s->stop) {
        int n = epoll_wait(s->epoll, events, EVENTS_PER_TURN, timers_wait_ms(&s->timers, s->now_ms));

        if (n < 0 && errno != EINTR) {
            perror("fake-upstream: epoll_wait");
            return 1;
        }
        s->now_ms = clock_ms();
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &s->listener)
                accept_some(s);
            else if (events[i].data.ptr == &s->signals)
                s->stop = true;
            else
                conn_event(events[i].data.ptr, events[i].events);
        }
        run_timers(s);
        bury(s);
    }
    end_all(s);
    return 0;
}
