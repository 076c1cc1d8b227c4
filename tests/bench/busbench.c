/*
 * The bus alone: what a call and a streamed frame cost in CPU, both ends together, in two processes.
 *
 *   busbench calls   [-u URL] [-t THREADS] [-s SECONDS] [-b BYTES]      blocking callers
 *   busbench streams [-u URL] [-t STREAMS] [-s SECONDS] [-b BYTES] [-r PER_SECOND]   frames of every stream
 *
 * It runs itself a second time as the server. Numbers are printed as one line of name=value.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "services/bus/exchange.h"
#include "services/clock.h"
#include "services/ids.h"

#define METHOD_ECHO 1
#define METHOD_STREAM 2
#define METHOD_USAGE 3
#define BYTES_MAX 65536
#define THREADS_MAX 1024
#define STREAMS_MAX 20000
#define TICK_US 1000

struct options {
    const char *mode, *url;
    unsigned threads, seconds, bytes, rate;
};

static uint64_t cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* ---- the server
 * --------------------------------------------------------------------------------------------------------- */

/* Streams: one thread sends a frame to each that is due, as an upstream would. */
struct stream {
    struct xchg_call *call;
    uint64_t next_us, step_us, tag;
    bool cancelled;
};

struct bench_server {
    struct xchg_server *server;
    pthread_mutex_t lock;
    struct stream streams[STREAMS_MAX];
    unsigned n;
    uint64_t tags, frames;
};

static void stream_cancel(void *ctx, uint64_t tag)
{
    struct bench_server *b = ctx;
    unsigned i;

    pthread_mutex_lock(&b->lock);
    for (i = 0; i < b->n; i++)
        if (b->streams[i].tag == tag)
            b->streams[i].cancelled = true;
    pthread_mutex_unlock(&b->lock);
}

static void begin_stream(struct bench_server *b, struct xchg_call *call, struct slice payload)
{
    static const struct xchg_call_events events = {.cancel = stream_cancel};
    uint64_t step_us = 0, tag = 0;

    if (payload.n == sizeof(step_us))
        memcpy(&step_us, payload.p, sizeof(step_us));
    pthread_mutex_lock(&b->lock);
    if (b->n < STREAMS_MAX && step_us) {
        tag = ++b->tags;
        /* spread over the interval, as real streams are */
        b->streams[b->n++] = (struct stream){
            .call = call, .next_us = clock_ns() / 1000 + tag * 7919 % step_us, .step_us = step_us, .tag = tag};
    }
    pthread_mutex_unlock(&b->lock);
    if (tag)
        xchg_watch(call, &events, b, tag);
    else
        xchg_end(call, ST_BAD_REQUEST, (struct slice){NULL, 0});
}

static void serve(void *ctx, struct xchg_call *call, uint16_t method, struct slice payload)
{
    struct bench_server *b = ctx;
    uint64_t usage[3] = {cpu_us(), 0, 0};
    struct xchg_stats stats;

    if (method == METHOD_STREAM) {
        begin_stream(b, call, payload);
        return;
    }
    if (method == METHOD_ECHO) {
        xchg_end(call, ST_OK, payload);
        return;
    }
    xchg_server_stats(b->server, &stats);
    usage[1] = stats.batches_sent;
    usage[2] = stats.frames_sent;
    xchg_end(call, ST_OK, (struct slice){(const char *)usage, sizeof(usage)});
}

static void send_due(struct bench_server *b, const char *bytes, size_t n)
{
    uint64_t now = clock_ns() / 1000;
    unsigned i = 0;

    while (i < b->n) {
        struct stream *s = &b->streams[i];

        if (s->cancelled) {
            xchg_end(s->call, ST_CANCELLED, (struct slice){NULL, 0});
            *s = b->streams[--b->n];
            continue;
        }
        if (now >= s->next_us) {
            (void)xchg_send(s->call, 0, (struct slice){bytes, n}, NULL);
            s->next_us += s->step_us;
        }
        i++;
    }
}

/* With BUS_SECRET in the environment everything on the bus is sealed. NULL: no secret, or a wrong one. */
static struct trust *admit(void)
{
    struct trust_options options = {.secret = getenv("BUS_SECRET"), .boot = id_number()};
    struct err err = {.status = ST_OK};
    struct trust *a = NULL;

    if (options.secret && trust_new(&options, &a, &err) != ST_OK)
        fprintf(stderr, "busbench: %s\n", err.text);
    return a;
}

static int run_server(const struct options *o)
{
    struct bench_server *b = calloc(1, sizeof(*b));
    struct xchg_server_options options = {
        .url = o->url, .instance = id_number(), .boot = id_number(), .handler = serve, .ctx = b, .trust = admit()};
    char *bytes = calloc(1, BYTES_MAX);
    struct err err = {.status = ST_OK};
    pid_t parent = getppid();

    if (b)
        pthread_mutex_init(&b->lock, NULL);
    if (!b || !bytes || xchg_server_new(&options, &b->server, &err) != ST_OK) {
        fprintf(stderr, "busbench: %s\n", err.text);
        free(bytes);
        free(b);
        return 1;
    }
    while (getppid() == parent) {
        pthread_mutex_lock(&b->lock);
        send_due(b, bytes, o->bytes);
        pthread_mutex_unlock(&b->lock);
        usleep(b->n ? TICK_US : 20 * TICK_US);
    }
    free(bytes); /* b stays: the server still runs */
    return 0;
}

/* ---- the client
 * --------------------------------------------------------------------------------------------------------- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    enum status st;
    char payload[64];
    size_t n;
};

static void on_end(void *ctx, enum status st, struct slice payload)
{
    struct waiter *w = ctx;

    pthread_mutex_lock(&w->lock);
    w->st = st;
    w->n = payload.n < sizeof(w->payload) ? payload.n : sizeof(w->payload);
    if (w->n)
        memcpy(w->payload, payload.p, w->n);
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static const struct xchg_events waiter_events = {.end = on_end};

static enum status call(struct xchg_client *c, struct waiter *w, uint16_t method, struct slice payload)
{
    struct xchg_open open = {
        .method = method, .payload = payload, .deadline_ms = 10000, .events = &waiter_events, .ctx = w};
    struct xchg_id id;
    enum status st;

    w->done = false;
    st = xchg_open(c, &open, &id);
    if (st != ST_OK)
        return st;
    pthread_mutex_lock(&w->lock);
    while (!w->done)
        pthread_cond_wait(&w->cond, &w->lock);
    pthread_mutex_unlock(&w->lock);
    return w->st;
}

struct caller {
    pthread_t thread;
    struct xchg_client *client;
    const struct options *options;
    uint64_t calls, failed, until_ms;
    struct waiter waiter;
};

static void *run_caller(void *arg)
{
    struct caller *c = arg;
    char bytes[BYTES_MAX] = {0};

    while (clock_ms() < c->until_ms) {
        if (call(c->client, &c->waiter, METHOD_ECHO, (struct slice){bytes, c->options->bytes}) == ST_OK)
            c->calls++;
        else
            c->failed++;
    }
    return NULL;
}

struct snapshot {
    uint64_t own_us, server_us, server_batches, server_frames, ns;
};

static bool take_snapshot(struct xchg_client *c, struct snapshot *s)
{
    struct waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    uint64_t usage[3];

    if (call(c, &w, METHOD_USAGE, (struct slice){NULL, 0}) != ST_OK || w.n != sizeof(usage))
        return false;
    memcpy(usage, w.payload, sizeof(usage));
    *s = (struct snapshot){.own_us = cpu_us(),
                           .server_us = usage[0],
                           .server_batches = usage[1],
                           .server_frames = usage[2],
                           .ns = clock_ns()};
    return true;
}

static void print(const struct options *o, uint64_t n, uint64_t failed, const struct snapshot *a,
                  const struct snapshot *b)
{
    double seconds = (double)(b->ns - a->ns) / 1e9, count = n ? (double)n : 1;
    double batches = (double)(b->server_batches - a->server_batches);

    printf("bus=%s url=%s callers=%u bytes=%u per_second=%.0f cpu_us_each=%.1f client_us=%.1f server_us=%.1f "
           "frames_per_batch=%.1f failed=%llu\n",
           o->mode, o->url, o->threads, o->bytes, (double)n / seconds,
           (double)(b->own_us - a->own_us + b->server_us - a->server_us) / count,
           (double)(b->own_us - a->own_us) / count, (double)(b->server_us - a->server_us) / count,
           (double)(b->server_frames - a->server_frames) / (batches > 0 ? batches : 1), (unsigned long long)failed);
}

static int run_calls(const struct options *o, struct xchg_client *c)
{
    struct caller *callers = calloc(o->threads, sizeof(*callers));
    struct snapshot before, after;
    uint64_t calls = 0, failed = 0;
    pthread_attr_t attr;
    unsigned i;

    if (!callers || !take_snapshot(c, &before)) {
        free(callers);
        return 1;
    }
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 4 * BYTES_MAX);
    for (i = 0; i < o->threads; i++) {
        callers[i] = (struct caller){.client = c, .options = o, .until_ms = clock_ms() + o->seconds * 1000};
        pthread_mutex_init(&callers[i].waiter.lock, NULL);
        pthread_cond_init(&callers[i].waiter.cond, NULL);
        pthread_create(&callers[i].thread, &attr, run_caller, &callers[i]);
    }
    for (i = 0; i < o->threads; i++) {
        pthread_join(callers[i].thread, NULL);
        calls += callers[i].calls;
        failed += callers[i].failed;
    }
    free(callers);
    if (!take_snapshot(c, &after))
        return 1;
    print(o, calls, failed, &before, &after);
    return failed ? 1 : 0;
}

struct reader {
    struct xchg_client *client;
    struct xchg_id id;
    _Atomic uint64_t *frames, *ended;
};

static void on_data(void *ctx, uint16_t type, struct slice bytes)
{
    struct reader *r = ctx;

    (void)type;
    atomic_fetch_add_explicit(r->frames, 1, memory_order_relaxed);
    xchg_window(r->client, r->id, (uint32_t)bytes.n);
}

static void on_stream_end(void *ctx, enum status st, struct slice payload)
{
    struct reader *r = ctx;

    (void)st;
    (void)payload;
    atomic_fetch_add(r->ended, 1);
}

static int run_streams(const struct options *o, struct xchg_client *c)
{
    static const struct xchg_events events = {.data = on_data, .end = on_stream_end};
    struct reader *readers = calloc(o->threads, sizeof(*readers));
    _Atomic uint64_t frames = 0, ended = 0;
    uint64_t step_us = 1000000 / o->rate, n, early;
    struct snapshot before, after;
    unsigned i;

    if (!readers)
        return 1;
    for (i = 0; i < o->threads; i++) {
        struct xchg_open open = {.method = METHOD_STREAM,
                                 .payload = {(const char *)&step_us, sizeof(step_us)},
                                 .deadline_ms = 600000,
                                 .events = &events,
                                 .ctx = &readers[i]};

        readers[i] = (struct reader){.client = c, .frames = &frames, .ended = &ended};
        if (xchg_open(c, &open, &readers[i].id) != ST_OK)
            return 1;
    }
    usleep(1000000);
    early = atomic_load(&ended);
    n = atomic_load(&frames);
    if (!take_snapshot(c, &before))
        return 1;
    usleep(o->seconds * 1000000);
    n = atomic_load(&frames) - n;
    if (!take_snapshot(c, &after))
        return 1;
    early += atomic_load(&ended);
    print(o, n, early, &before, &after);
    for (i = 0; i < o->threads; i++)
        xchg_cancel(c, readers[i].id);
    while (atomic_load(&ended) < o->threads)
        usleep(1000);
    free(readers);
    return early ? 1 : 0;
}

/* ---- */

static bool read_options(int argc, char **argv, struct options *o)
{
    int k;

    if (argc < 2)
        return false;
    o->mode = argv[1];
    for (k = 2; k + 1 < argc; k += 2) {
        unsigned value = (unsigned)strtoul(argv[k + 1], NULL, 10);

        if (strcmp(argv[k], "-u") == 0)
            o->url = argv[k + 1];
        else if (strcmp(argv[k], "-t") == 0)
            o->threads = value;
        else if (strcmp(argv[k], "-s") == 0)
            o->seconds = value;
        else if (strcmp(argv[k], "-b") == 0)
            o->bytes = value;
        else if (strcmp(argv[k], "-r") == 0)
            o->rate = value;
        else
            return false;
    }
    if (k != argc || o->bytes > BYTES_MAX || o->threads == 0 || o->seconds == 0 || o->rate == 0)
        return false;
    return o->threads <= (strcmp(o->mode, "calls") == 0 ? THREADS_MAX : STREAMS_MAX);
}

static pid_t start_server(const char *self, const struct options *o)
{
    char bytes[16];
    pid_t pid;

    snprintf(bytes, sizeof(bytes), "%u", o->bytes);
    pid = fork();
    if (pid == 0) {
        execl(self, self, "server", "-u", o->url, "-b", bytes, (char *)NULL);
        _exit(127);
    }
    return pid;
}

int main(int argc, char **argv)
{
    char url[64];
    struct options o = {.url = url, .threads = 64, .seconds = 5, .bytes = 100, .rate = 50};
    struct xchg_client_options options = {.instance = id_number()};
    struct xchg_client *c = NULL;
    struct err err = {.status = ST_OK};
    pid_t server;
    int code;

    snprintf(url, sizeof(url), "ipc:///tmp/busbench.%d", (int)getpid());
    if (!read_options(argc, argv, &o)) {
        fprintf(stderr, "usage: busbench calls|streams [-u URL] [-t N] [-s SECONDS] [-b BYTES] [-r PER_SECOND]\n");
        return 2;
    }
    if (strcmp(o.mode, "server") == 0)
        return run_server(&o);
    server = start_server(argv[0], &o); /* before the first use of nng: it does not survive fork */
    options.url = o.url;
    options.trust = admit();
    if (getenv("BUS_SECRET") && !options.trust)
        return 1;
    if (server < 0 || xchg_client_new(&options, &c, &err) != ST_OK) {
        fprintf(stderr, "busbench: %s\n", err.text);
        return 1;
    }
    code = strcmp(o.mode, "calls") == 0 ? run_calls(&o, c) : run_streams(&o, c);
    xchg_client_free(c);
    trust_free(options.trust);
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
    if (strncmp(o.url, "ipc://", 6) == 0)
        unlink(o.url + 6); /* a server that is killed leaves it behind */
    return code;
}
