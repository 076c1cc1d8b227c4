#undef _FORTIFY_SOURCE /* its inline recv() would stand in the way of ours */
#include "gateway/interpose.h"

#include <sys/socket.h>
#include <sys/types.h>

#include "services/clock.h"

static _Thread_local struct tap *this_thread; /* lint: allow(state) recv() gets no context; one pointer per thread */

void interpose_set(struct tap *tap)
{
    this_thread = tap;
}

void tap_connect(struct tap *tap)
{
    guard_init(&tap->guard);
    tap->fd = -1;
    tap->refused = tap->ended = tap->slow = false;
    tap->body_began_ms = 0;
}

void tap_body_begin(struct tap *tap)
{
    tap->body_began_ms = clock_ms();
    tap->body_bytes = 0;
}

void tap_body_end(struct tap *tap)
{
    tap->body_began_ms = 0;
}

/* The library waits for each piece anew, so a trickle would hold its thread for ever. */
static bool too_slow(const struct tap *tap)
{
    uint64_t took, may;

    if (!tap->body_began_ms)
        return false;
    took = clock_ms() - tap->body_began_ms;
    may = TAP_BODY_GRACE_MS + tap->body_bytes * 1000 / TAP_BODY_RATE;
    return took > may || took > TAP_BODY_MAX_MS;
}

static ssize_t tap_read(struct tap *tap, void *to, size_t n, int flags)
{
    ssize_t got;
    size_t pass;

    if (tap->refused || tap->slow)
        return 0;
    got = recvfrom(tap->fd, to, n, flags, NULL, NULL);
    if (got <= 0) {
        tap->ended = true;
        return got;
    }
    tap->body_bytes += (uint64_t)got;
    if (too_slow(tap)) {
        tap->slow = true;
        return 0;
    }
    pass = guard_feed(&tap->guard, to, (size_t)got);
    if (pass == 0) {
        tap->refused = true;
        tap->refuse(tap->ctx, &tap->guard);
    }
    return (
        ssize_t)pass; /* whole requests before a refused one are still answered; their answer closes the connection */
}

ssize_t recv(int fd, void *to, size_t n, int flags)
{
    struct tap *tap = this_thread;

    if (tap && tap->fd < 0)
        tap->fd = fd; /* between connecting and the first request only the library runs in this thread */
    if (!tap || tap->fd != fd)
        return recvfrom(fd, to, n, flags, NULL, NULL);
    return tap_read(tap, to, n, flags);
}
