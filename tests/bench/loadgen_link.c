#include "loadgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM_SIZE 65536
#define EVENTS_PER_TURN 512

/* Takes http://ADDRESS:PORT/PATH apart; anything but loopback is refused. */
static bool parse_url(struct run *r, const char *url)
{
    static const char scheme[] = "http://";
    const char *host = url + sizeof(scheme) - 1;
    const char *slash = NULL;
    char *colon = NULL;
    char *end = NULL;
    long port = 80;

    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    slash = strchr(host, '/');
    if (!slash || (size_t)(slash - host) >= sizeof(r->host) || strlen(slash) >= sizeof(r->path))
        return false;
    memcpy(r->host, host, (size_t)(slash - host));
    memcpy(r->path, slash, strlen(slash) + 1);
    colon = strchr(r->host, ':');
    if (colon) {
        *colon = '\0';
        port = strtol(colon + 1, &end, 10);
        if (*end || port < 1 || port > 65535)
            return false;
    }
    r->address.sin_family = AF_INET;
    r->address.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, strcmp(r->host, "localhost") == 0 ? "127.0.0.1" : r->host, &r->address.sin_addr) != 1)
        return false;
    return ntohl(r->address.sin_addr.s_addr) >> 24 == 127;
}

bool run_open(struct run *r, const struct options *o)
{
    struct rlimit files;

    *r = (struct run){.o = o, .epoll = -1};
    if (!parse_url(r, o->url)) {
        fprintf(stderr, "loadgen: '%s' is not http://LOOPBACK-ADDRESS:PORT/PATH\n", o->url);
        return false;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    r->room = malloc(ROOM_SIZE);
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!r->room || r->epoll < 0) {
        perror("loadgen");
        run_close(r);
        return false;
    }
    return true;
}

void run_close(struct run *r)
{
    free(r->room);
    r->room = NULL;
    if (r->epoll >= 0)
        close(r->epoll);
    r->epoll = -1;
}

void link_close(struct link *l)
{
    if (l->state != LINK_CLOSED)
        close(l->fd);
    l->state = LINK_CLOSED;
}

static void link_end(struct run *r, struct link *l, bool ok)
{
    if (!ok || !l->answer.keep_alive || l->peer_gone)
        link_close(l);
    else
        l->state = LINK_IDLE;
    r->on_end(r, l, ok);
}

/* Returns false when the connection is lost. */
static bool send_on(struct link *l)
{
    while (l->out_at < l->out_n) {
        ssize_t n = send(l->fd, l->out + l->out_at, l->out_n - l->out_at, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n < 0)
            return false;
        l->out_at += (size_t)n;
    }
    l->state = LINK_WAITING;
    l->sent_us = now_us();
    return true;
}

static bool link_connect(struct run *r, struct link *l)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    int on = 1;

    ev.data.ptr = l;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return false;
    l->state = LINK_CONNECTING;
    l->peer_gone = false;
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, l->fd, &ev) != 0 ||
        (connect(l->fd, (const struct sockaddr *)&r->address, sizeof(r->address)) != 0 && errno != EINPROGRESS)) {
        link_close(l);
        return false;
    }
    return true;
}

bool link_send(struct run *r, struct link *l)
{
    answer_reset(&l->answer);
    l->out_at = 0;
    l->begun_us = now_us();
    if (l->state == LINK_CLOSED)
        return link_connect(r, l);
    l->state = LINK_SENDING;
    if (send_on(l))
        return true;
    link_close(l);
    return false;
}

static void link_receive(struct run *r, struct link *l)
{
    while (l->state == LINK_WAITING || l->state == LINK_SENDING) {
        ssize_t n = recv(l->fd, r->room, ROOM_SIZE, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            link_end(r, l, n == 0 && l->answer.state == ANSWER_TO_CLOSE);
            return;
        }
        if (answer_take(&l->answer, r->room, (size_t)n, r->on_body, l) < (size_t)n || l->answer.state == ANSWER_BAD) {
            link_end(r, l, false);
            return;
        }
        if (l->answer.state == ANSWER_DONE) {
            link_end(r, l, true);
            return;
        }
        if (n < ROOM_SIZE)
            return;
    }
}

static void link_event(struct run *r, struct link *l, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        l->peer_gone = true;
    if (l->state == LINK_CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        l->state = LINK_SENDING;
    if (l->state == LINK_SENDING && !send_on(l)) {
        link_end(r, l, false);
        return;
    }
    if (events & EPOLLIN)
        link_receive(r, l);
    if (l->peer_gone && l->state == LINK_IDLE)
        link_close(l);
    else if (l->peer_gone)
        link_receive(r, l); /* up to the end, which a short read may have left */
}

void run_turn(struct run *r, int wait_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(r->epoll, events, EVENTS_PER_TURN, wait_ms);

    for (int i = 0; i < n && !r->stop; i++)
        link_event(r, events[i].data.ptr, events[i].events);
}

void run_wait(struct run *r, uint64_t us)
{
    struct pollfd p = {.fd = r->epoll, .events = POLLIN};
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

    (void)ppoll(&p, 1, &t, NULL);
}

/* Adds text as the inside of a JSON string. Returns the new length, or 0 when it does not fit. */
static size_t add_json(char *to, size_t n, size_t max, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (n + 8 > max)
            return 0;
        if (c == '"' || c == '\\') {
            to[n++] = '\\';
            to[n++] = (char)c;
        } else if (c < 0x20) {
            n += (size_t)snprintf(to + n, 8, "\\u%04x", c);
        } else {
            to[n++] = (char)c;
        }
    }
    return n;
}

static size_t body_build(const struct run *r, char *to, size_t max, const char *prompt, const char *user, bool stream,
                         bool usage)
{
    const struct options *o = r->o;
    size_t n;
    int k;

    n = (size_t)snprintf(to, max, "{\"model\":\"%.200s\",\"messages\":[{\"role\":\"user\",\"content\":\"", o->model);
    n = add_json(to, n, max, prompt);
    if (n == 0)
        return 0;
    k = snprintf(to + n, max - n, "\"}],\"user\":\"%s\"%s%s", user, stream ? ",\"stream\":true" : "",
                 usage ? ",\"stream_options\":{\"include_usage\":true}" : "");
    n += (size_t)k;
    if (n < max && o->max_tokens > 0)
        n += (size_t)snprintf(to + n, max - n, ",\"max_tokens\":%lld", (long long)o->max_tokens);
    if (n < max)
        n += (size_t)snprintf(to + n, max - n, "%s%s}", o->extra ? "," : "", o->extra ? o->extra : "");
    return n < max ? n : 0;
}

size_t request_build(const struct run *r, char *to, const char *prompt, const char *user, bool stream, bool usage)
{
    char head[1024];
    size_t body_n = body_build(r, to + sizeof(head), REQUEST_MAX - sizeof(head), prompt, user, stream, usage);
    int n;

    if (body_n == 0)
        return 0;
    n = snprintf(head, sizeof(head),
                 "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                 r->path, r->host, r->o->key, body_n);
    if (n < 0 || (size_t)n >= sizeof(head))
        return 0;
    memcpy(to, head, (size_t)n);
    memmove(to + n, to + sizeof(head), body_n);
    return (size_t)n + body_n;
}
