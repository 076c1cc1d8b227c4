#include "gateway/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PARTS_MAX 5

void stream_init(struct stream *s, int fd, bool chunked, size_t backlog_max)
{
    *s = (struct stream){.fd = fd, .chunked = chunked};
    buf_init(&s->backlog, backlog_max);
}

void stream_fini(struct stream *s)
{
    buf_fini(&s->backlog);
}

struct parts {
    struct iovec v[PARTS_MAX];
    int n;
    size_t bytes;
};

static void add_part(struct parts *parts, const char *p, size_t n)
{
    union {
        const char *in;
        void *out;
    } bytes = {.in = p};

    if (!n)
        return;
    parts->v[parts->n++] = (struct iovec){bytes.out, n}; /* sendmsg reads only */
    parts->bytes += n;
}

/* Returns how many bytes went; a broken socket takes everything and forgets it. */
static size_t send_now(struct stream *s, const struct parts *parts)
{
    union {
        const struct iovec *in;
        struct iovec *out;
    } v = {.in = parts->v};
    struct msghdr msg = {.msg_iov = v.out, .msg_iovlen = (size_t)parts->n};
    ssize_t sent;

    do {
        sent = sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        s->sent += (uint64_t)sent;
        return (size_t)sent;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    s->broken = true;
    return parts->bytes;
}

static void keep_rest(struct stream *s, const struct parts *parts, size_t sent)
{
    int i;

    for (i = 0; i < parts->n; i++) {
        size_t n = parts->v[i].iov_len;
        size_t skip = sent < n ? sent : n;

        sent -= skip;
        if (buf_add(&s->backlog, (const char *)parts->v[i].iov_base + skip, n - skip) != ST_OK)
            s->broken = true; /* more than the window allows: the stream cannot go on */
    }
}

bool stream_put(struct stream *s, struct slice head, struct slice data, bool last, bool counted)
{
    struct parts parts = {.n = 0};
    char size[20];
    int n = snprintf(size, sizeof(size), "%zx\r\n", data.n);
    size_t sent;

    if (counted)
        s->credit += data.n;
    if (s->broken)
        return true;
    add_part(&parts, head.p, head.n);
    if (data.n && s->chunked && n > 0)
        add_part(&parts, size, (size_t)n);
    add_part(&parts, data.p, data.n);
    if (s->chunked && data.n && last)
        add_part(&parts, "\r\n0\r\n\r\n", 7);
    else if (s->chunked && data.n)
        add_part(&parts, "\r\n", 2);
    else if (s->chunked && last)
        add_part(&parts, "0\r\n\r\n", 5);
    s->began = true;
    if (data.n)
        s->boundary = data.n >= 2 && !memcmp(data.p + data.n - 2, "\n\n", 2);
    sent = s->backlog.n ? 0 : send_now(s, &parts);
    if (sent >= parts.bytes)
        return true;
    keep_rest(s, &parts, sent);
    if (counted) { /* only when the socket has taken it */
        s->credit -= data.n;
        s->owed += data.n;
    }
    return s->broken;
}

bool stream_flush(struct stream *s)
{
    struct parts parts = {.n = 0};

    if (!s->broken && s->backlog.n) {
        add_part(&parts, s->backlog.p, s->backlog.n);
        buf_consume(&s->backlog, send_now(s, &parts));
    }
    if (s->backlog.n && !s->broken)
        return false;
    s->backlog.n = 0;
    s->credit += s->owed;
    s->owed = 0;
    if (s->backlog.cap > STREAM_CREDIT_STEP)
        buf_fini(&s->backlog); /* may be used again; a stream at rest is to be small */
    return true;
}

uint32_t stream_credit(struct stream *s)
{
    uint64_t credit = s->credit;

    if (credit < STREAM_CREDIT_STEP)
        return 0;
    s->credit = 0;
    return credit > UINT32_MAX ? UINT32_MAX : (uint32_t)credit;
}
