#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "gateway/gateway.h"
#include "services/clock.h"

#define WRITE_GRACE_MS 15000u /* an answer may take this long at any speed … */
#define WRITE_RATE 4096u /* … and afterwards the client must take this many bytes a second */
#define LINGER_MS 500u
#define LINGER_BYTES (4u * 1024u * 1024u)
#define LINGER_LONG_MS 10000u /* while bytes keep coming: a pause of LINGER_MS ends it */
#define LINGER_LONG_BYTES (64u * 1024u * 1024u)
#define LINGER_PIECE 4096u
#define WAKE_SIGNAL (SIGRTMIN + 2) /* its handler does nothing: that it comes is all */

struct conn *conn_new(struct gateway *gw)
{
    struct conn *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->gw = gw;
    c->fd = -1;
    c->tap.fd = -1;
    pthread_mutex_init(&c->lock, NULL);
    arena_init(&c->arena, GATEWAY_ARENA_MAX);
    buf_init(&c->body, LIMIT_BODY + 1); /* one more shows that a chunked body is too long */
    buf_init(&c->out, WIRE_MESSAGE_MAX);
    return c;
}

void conn_free(struct conn *c)
{
    if (!c)
        return;
    arena_fini(&c->arena);
    buf_fini(&c->body);
    buf_fini(&c->out);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

bool conn_has_more(const struct conn *c)
{
    return c->tap.guard.verdict != GUARD_OK || c->tap.guard.whole != c->served;
}

/* ---- sleeping ---------------------------------------------------------------------------------------------------- */

static void on_wake(int number)
{
    (void)number;
}

bool conn_prepare_sleep(struct conn *c)
{
    struct sigaction action = {.sa_handler = on_wake};
    sigset_t wake;

    sigemptyset(&action.sa_mask);
    sigemptyset(&wake);
    sigaddset(&wake, WAKE_SIGNAL);
    c->thread = pthread_self();
    return sigaction(WAKE_SIGNAL, &action, NULL) == 0 && pthread_sigmask(SIG_BLOCK, &wake, &c->awake) == 0;
}

int conn_sleep(struct conn *c, short events, uint64_t ms)
{
    struct timespec limit = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    struct pollfd p = {.fd = events ? c->fd : -1, .events = events};
    int n = ppoll(&p, 1, &limit, &c->awake);

    if (n == 0)
        return -1;
    return n > 0 ? p.revents : 0;
}

void conn_wake(struct conn *c)
{
    pthread_kill(c->thread, WAKE_SIGNAL);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Drops what was sent from the front of the parts. */
static void advance(struct iovec **parts, int *n_parts, size_t sent)
{
    while (*n_parts && sent >= (*parts)->iov_len) {
        sent -= (*parts)->iov_len;
        (*parts)++;
        (*n_parts)--;
    }
    if (*n_parts) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + sent;
        (*parts)->iov_len -= sent;
    }
}

bool conn_write(struct conn *c, struct iovec *parts, int n_parts)
{
    uint64_t began = 0, total = 0;

    advance(&parts, &n_parts, 0);
    while (n_parts) {
        struct msghdr msg = {.msg_iov = parts, .msg_iovlen = (size_t)n_parts};
        ssize_t sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd wait = {.fd = c->fd, .events = POLLOUT};

        if (sent > 0) {
            total += (uint64_t)sent;
            advance(&parts, &n_parts, (size_t)sent);
            continue;
        }
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return false;
        if (!began)
            began = clock_ms();
        if (clock_ms() - began > WRITE_GRACE_MS + total * 1000 / WRITE_RATE)
            return false;
        poll(&wait, 1, 1000);
    }
    return true;
}

static void linger(struct conn *c, uint64_t ms, size_t bytes)
{
    uint64_t end = clock_ms() + ms, now;
    size_t total = 0;
    char piece[LINGER_PIECE];

    shutdown(c->fd, SHUT_WR);
    while ((now = clock_ms()) < end && total < bytes) {
        struct pollfd wait = {.fd = c->fd, .events = POLLIN};
        ssize_t got;

        if (poll(&wait, 1, (int)(end - now < LINGER_MS ? end - now : LINGER_MS)) <= 0)
            break;
        got = recvfrom(c->fd, piece, sizeof(piece), MSG_DONTWAIT, NULL, NULL);
        if (got <= 0)
            break;
        total += (size_t)got;
    }
}

void conn_linger(struct conn *c)
{
    linger(c, LINGER_MS, LINGER_BYTES);
}

void conn_linger_long(struct conn *c)
{
    linger(c, LINGER_LONG_MS, LINGER_LONG_BYTES);
}
