#include "tests/unit/tiny_upstream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TINY_CONNECTIONS_MAX 512

struct tiny {
    int listener, port;
    tiny_script *script;
    void *ctx;
    pthread_t acceptor;
    pthread_mutex_t lock;
    unsigned requests, connections, busy, gone;
    char *last_body, *last_head;
    size_t last_body_n, last_head_n;
    int fds[TINY_CONNECTIONS_MAX];
    pthread_t threads[TINY_CONNECTIONS_MAX];
    bool stopping;
};

struct connection {
    struct tiny *t;
    int fd;
    unsigned place;
};

bool tiny_send(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

bool tiny_answer(int fd, int status, const char *content_type, const char *body)
{
    char head[512];
    int n = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", status,
                     content_type, strlen(body));

    return tiny_send(fd, head, (size_t)n) && tiny_send(fd, body, strlen(body));
}

bool tiny_sse_head(int fd)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

    return tiny_send(fd, head, sizeof(head) - 1);
}

bool tiny_sse(int fd, const char *bytes)
{
    char size[32];
    int n = snprintf(size, sizeof(size), "%zx\r\n", strlen(bytes));

    return tiny_send(fd, size, (size_t)n) && tiny_send(fd, bytes, strlen(bytes)) && tiny_send(fd, "\r\n", 2);
}

bool tiny_sse_end(int fd)
{
    return tiny_send(fd, "0\r\n\r\n", 5);
}

bool tiny_wait_gone(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};

    return poll(&p, 1, ms) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static size_t content_length(const char *head)
{
    const char *at = strcasestr(head, "content-length:");

    return at != NULL ? strtoul(at + 15, NULL, 10) : 0;
}

/* Reads one request into buf; false when the connection is over. */
static bool read_request(int fd, char *buf, struct tiny_request *r)
{
    size_t n = 0;
    char *end = NULL;

    while (end == NULL) {
        ssize_t got = n < TINY_REQUEST_MAX ? recv(fd, buf + n, TINY_REQUEST_MAX - n, 0) : 0;

        if (got <= 0)
            return false;
        n += (size_t)got;
        buf[n] = '\0';
        end = strstr(buf, "\r\n\r\n");
    }
    r->head = buf;
    r->head_n = (size_t)(end + 4 - buf);
    r->body = end + 4;
    r->body_n = content_length(buf);
    while (n < r->head_n + r->body_n) {
        ssize_t got = n < TINY_REQUEST_MAX ? recv(fd, buf + n, TINY_REQUEST_MAX - n, 0) : 0;

        if (got <= 0)
            return false;
        n += (size_t)got;
    }
    buf[r->head_n + r->body_n] = '\0';
    return true;
}

static void keep(char **to, size_t *to_n, const char *p, size_t n)
{
    free(*to);
    *to = malloc(n + 1);
    if (*to != NULL)
        memcpy(*to, p, n);
    *to_n = *to != NULL ? n : 0;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    struct tiny *t = c->t;
    char *buf = malloc(TINY_REQUEST_MAX + 1);
    enum tiny_next next = TINY_KEEP;
    struct tiny_request r;

    while (buf != NULL && next == TINY_KEEP) {
        if (!read_request(c->fd, buf, &r)) {
            pthread_mutex_lock(&t->lock);
            t->gone++;
            pthread_mutex_unlock(&t->lock);
            break;
        }
        pthread_mutex_lock(&t->lock);
        r.number = ++t->requests;
        t->busy++;
        keep(&t->last_body, &t->last_body_n, r.body, r.body_n);
        keep(&t->last_head, &t->last_head_n, r.head, r.head_n);
        pthread_mutex_unlock(&t->lock);
        next = t->script(c->fd, &r, t->ctx);
        pthread_mutex_lock(&t->lock);
        t->busy--;
        pthread_mutex_unlock(&t->lock);
    }
    if (next == TINY_RESET) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0};

        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    }
    pthread_mutex_lock(&t->lock);
    t->fds[c->place] = -1;
    close(c->fd);
    pthread_mutex_unlock(&t->lock);
    free(buf);
    free(c);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct tiny *t = arg;

    for (;;) {
        int fd = accept(t->listener, NULL, NULL), yes = 1;
        struct connection *c = malloc(sizeof(*c));

        pthread_mutex_lock(&t->lock);
        if (fd < 0 || c == NULL || t->stopping || t->connections == TINY_CONNECTIONS_MAX) {
            pthread_mutex_unlock(&t->lock);
            free(c);
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        *c = (struct connection){t, fd, t->connections};
        t->fds[c->place] = fd;
        pthread_create(&t->threads[c->place], NULL, serve, c);
        t->connections++;
        pthread_mutex_unlock(&t->lock);
    }
}

struct tiny *tiny_start(tiny_script *script, void *ctx)
{
    struct tiny *t = calloc(1, sizeof(*t));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);

    if (t == NULL)
        abort();
    t->script = script;
    t->ctx = ctx;
    pthread_mutex_init(&t->lock, NULL);
    t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(t->listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(t->listener, 512) != 0 ||
        getsockname(t->listener, (struct sockaddr *)&a, &n) != 0)
        abort();
    t->port = ntohs(a.sin_port);
    pthread_create(&t->acceptor, NULL, accept_all, t);
    return t;
}

int tiny_port(const struct tiny *t)
{
    return t->port;
}

static unsigned read_count(struct tiny *t, const unsigned *count)
{
    unsigned n;

    pthread_mutex_lock(&t->lock);
    n = *count;
    pthread_mutex_unlock(&t->lock);
    return n;
}

unsigned tiny_requests(struct tiny *t)
{
    return read_count(t, &t->requests);
}

unsigned tiny_connections(struct tiny *t)
{
    return read_count(t, &t->connections);
}

unsigned tiny_busy(struct tiny *t)
{
    return read_count(t, &t->busy);
}

unsigned tiny_gone(struct tiny *t)
{
    return read_count(t, &t->gone);
}

static size_t copy_last(struct tiny *t, char *const *from, const size_t *from_n, char *to, size_t size)
{
    size_t n;

    pthread_mutex_lock(&t->lock);
    n = *from_n < size - 1 ? *from_n : size - 1;
    if (n > 0)
        memcpy(to, *from, n);
    to[n] = '\0';
    pthread_mutex_unlock(&t->lock);
    return n;
}

size_t tiny_last_body(struct tiny *t, char *to, size_t size)
{
    return copy_last(t, &t->last_body, &t->last_body_n, to, size);
}

size_t tiny_last_head(struct tiny *t, char *to, size_t size)
{
    return copy_last(t, &t->last_head, &t->last_head_n, to, size);
}

void tiny_stop(struct tiny *t)
{
    unsigned n;

    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    shutdown(t->listener, SHUT_RDWR);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->acceptor, NULL);
    close(t->listener);
    pthread_mutex_lock(&t->lock);
    n = t->connections;
    for (unsigned i = 0; i < n; i++)
        if (t->fds[i] >= 0)
            shutdown(t->fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < n; i++)
        pthread_join(t->threads[i], NULL);
    free(t->last_body);
    free(t->last_head);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
