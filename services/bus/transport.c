#include "services/bus/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define TASK_THREADS_MIN 2
#define TASK_THREADS_MAX 4

/* nng would take two threads a core of the host, whatever the container was given. */
static void set_threads(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t tasks = cores < TASK_THREADS_MIN ? TASK_THREADS_MIN : (uint64_t)cores;

    if (tasks > TASK_THREADS_MAX)
        tasks = TASK_THREADS_MAX;
    nng_init_set_parameter(NNG_INIT_NUM_TASK_THREADS, tasks);
    nng_init_set_parameter(NNG_INIT_NUM_EXPIRE_THREADS, 1);
    nng_init_set_parameter(NNG_INIT_NUM_RESOLVER_THREADS, 1);
    nng_init_set_parameter(NNG_INIT_NUM_POLLER_THREADS, 1);
}

void transport_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT; /* lint: allow(state) nng's own is one for the process */

    pthread_once(&once, set_threads);
}

enum status transport_status(int nng_error)
{
    switch (nng_error) {
    case 0: return ST_OK;
    case NNG_ENOMEM: return ST_NO_MEMORY;
    case NNG_ETIMEDOUT: return ST_TIMEOUT;
    case NNG_EMSGSIZE: return ST_TOO_LARGE;
    default: return ST_UNAVAILABLE;
    }
}

enum status transport_options(nng_socket s, size_t receive_max)
{
    int rv = nng_socket_set_size(s, NNG_OPT_RECVMAXSZ, receive_max);

    if (rv == 0)
        rv = nng_socket_set_ms(s, NNG_OPT_RECONNMINT, TRANSPORT_RECONNECT_MIN_MS);
    if (rv == 0)
        rv = nng_socket_set_ms(s, NNG_OPT_RECONNMAXT, TRANSPORT_RECONNECT_MAX_MS);
    return transport_status(rv);
}

/* The other transports do not know the option; a peer that vanished without a word is noticed by our own clock as well.
 */
static void set_keepalive_dialer(nng_dialer d)
{
    (void)nng_dialer_set_bool(d, NNG_OPT_TCP_KEEPALIVE, true);
}

static void set_keepalive_listener(nng_listener l)
{
    (void)nng_listener_set_bool(l, NNG_OPT_TCP_KEEPALIVE, true);
}

enum status transport_dial(nng_socket s, const char *url, struct err *err)
{
    nng_dialer d;
    int rv = nng_dialer_create(&d, s, url);

    if (rv == 0) {
        set_keepalive_dialer(d);
        rv = nng_dialer_start(d, NNG_FLAG_NONBLOCK);
    }
    if (rv != 0)
        return err_set(err, transport_status(rv), "cannot dial %s: %s", url, nng_strerror(rv));
    return ST_OK;
}

enum status transport_listen(nng_socket s, const char *url, struct err *err)
{
    nng_listener l;
    int rv = nng_listener_create(&l, s, url);

    if (rv == 0) {
        set_keepalive_listener(l);
        rv = nng_listener_start(l, 0);
    }
    if (rv != 0)
        return err_set(err, transport_status(rv), "cannot listen on %s: %s", url, nng_strerror(rv));
    return ST_OK;
}

void transport_peer(nng_pipe p, char to[TRANSPORT_PEER_TEXT])
{
    nng_sockaddr a;

    snprintf(to, TRANSPORT_PEER_TEXT, "a process of this host");
    if (nng_pipe_get_addr(p, NNG_OPT_REMADDR, &a) != 0)
        return;
    if (a.s_family == NNG_AF_INET)
        (void)inet_ntop(AF_INET, &a.s_in.sa_addr, to, TRANSPORT_PEER_TEXT);
    else if (a.s_family == NNG_AF_INET6)
        (void)inet_ntop(AF_INET6, a.s_in6.sa_addr, to, TRANSPORT_PEER_TEXT);
}

void transport_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

void transport_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t clock_ms)
{
    struct timespec t = {.tv_sec = (time_t)(clock_ms / 1000), .tv_nsec = (long)(clock_ms % 1000) * 1000000};

    if (clock_ms == UINT64_MAX)
        (void)pthread_cond_wait(c, m);
    else
        (void)pthread_cond_timedwait(c, m, &t);
}

/* Signals are the business of the program's main thread. */
enum status transport_thread(pthread_t *t, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int rv;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, TRANSPORT_STACK);
    rv = pthread_create(t, &attr, run, arg);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv == 0 ? ST_OK : ST_NO_MEMORY;
}
