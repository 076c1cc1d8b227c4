#include "authsvc/redis.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "authsvc/redis_link.h"
#include "services/clock.h"

#define STACK (512u * 1024u)
#define BACKOFF_MIN_MS 50u
#define BACKOFF_MAX_MS 1000u
#define STEADY_MS 1000u /* a connection that held so long: the next attempt comes soon again */
#define LOG_EVERY_MS 1000u /* errors of the script: one line in so long */
#define LOG_SAME_MS 60000u /* attempts that fail as before: one line in so long */
#define LOADS_MAX 3u /* somebody who flushes scripts all the time is not followed for ever */
#define COMMAND_WORDS 3u /* EVALSHA sha 0 */
#define RUN_ID_SHOWN 8

struct call {
    struct call *next;
    redis_done *done;
    void *ctx;
    uint64_t due_ms; /* to be sent until then */
    size_t n; /* words of the command; their lengths are behind them, and their bytes behind those */
    const char *words[];
};

struct calls {
    struct call *first, *last;
};

struct redis {
    struct redis_address at;
    struct redis_options o;
    struct redis_link link; /* of the thread */
    int bell; /* eventfd: rings when the queue was empty, and to close */
    pthread_t thread;
    pthread_mutex_t lock;
    /* under the lock */
    struct calls queue;
    unsigned waiting;
    bool up, rising, closed, joined;
    /* of the thread */
    uint64_t error_logged_ms, unlogged;
    uint64_t failure_logged_ms;
    struct err failure; /* of the last attempt to connect that was logged */
};

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static void add(struct calls *list, struct call *call)
{
    call->next = NULL;
    if (list->last)
        list->last->next = call;
    else
        list->first = call;
    list->last = call;
}

static struct call *take(struct calls *list)
{
    struct call *call = list->first;

    if (call) {
        list->first = call->next;
        if (!list->first)
            list->last = NULL;
    }
    return call;
}

static void end(struct call *call, enum status st, const redisReply *reply)
{
    call->done(call->ctx, st, reply);
    free(call);
}

static void end_all(struct calls *list, enum status st)
{
    struct call *call;

    while ((call = take(list)) != NULL)
        end(call, st, NULL);
}

static size_t *lengths(struct call *call)
{
    return (size_t *)(void *)(call->words + call->n);
}

/* The command as hiredis wants it. The name of the script is what the server said when it was loaded, which it did
 * before a call can be made. */
static struct call *call_new(struct redis *r, const struct slice *args, size_t n)
{
    size_t words = n + COMMAND_WORDS, bytes = 0, i;
    struct call *call;
    size_t *length;
    char *to;

    for (i = 0; i < n; i++)
        bytes += args[i].n;
    call = malloc(sizeof(*call) + words * (sizeof(call->words[0]) + sizeof(size_t)) + bytes);
    if (!call)
        return NULL;
    *call = (struct call){.n = words};
    length = lengths(call);
    to = (char *)(length + words);
    call->words[0] = "EVALSHA";
    call->words[1] = r->link.sha;
    call->words[2] = "0";
    for (i = 0; i < COMMAND_WORDS; i++)
        length[i] = i == 1 ? REDIS_SHA : strlen(call->words[i]);
    for (i = 0; i < n; i++) {
        call->words[COMMAND_WORDS + i] = to;
        length[COMMAND_WORDS + i] = args[i].n;
        if (args[i].n > 0)
            memcpy(to, args[i].p, args[i].n);
        to += args[i].n;
    }
    return call;
}

static void ring(struct redis *r)
{
    uint64_t one = 1;

    (void)!write(r->bell, &one, sizeof(one));
}

enum status redis_eval(struct redis *r, const struct slice *args, size_t n, redis_done *done, void *ctx)
{
    struct call *call;
    bool taken, first = false;

    if (!redis_is_up(r)) /* before the work; what counts is looked at below */
        return ST_UNAVAILABLE;
    call = call_new(r, args, n);
    if (!call)
        return ST_UNAVAILABLE;
    call->done = done;
    call->ctx = ctx;
    call->due_ms = clock_ms() + r->link.timeout_ms;
    pthread_mutex_lock(&r->lock);
    taken = (r->up || (r->rising && pthread_equal(pthread_self(), r->thread))) && r->waiting < REDIS_QUEUE_MAX;
    if (taken) {
        first = r->waiting++ == 0;
        add(&r->queue, call);
    }
    pthread_mutex_unlock(&r->lock);
    if (first)
        ring(r);
    if (!taken)
        free(call);
    return taken ? ST_OK : ST_UNAVAILABLE;
}

bool redis_is_up(struct redis *r)
{
    bool up;

    pthread_mutex_lock(&r->lock);
    up = r->up || (r->rising && pthread_equal(pthread_self(), r->thread));
    pthread_mutex_unlock(&r->lock);
    return up;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

enum meaning { MEANS_FAILED, MEANS_LOAD, MEANS_REFUSED, MEANS_LOST };

/*
 * What the server answers instead of doing anything. The script's first write is where most of these come up, and none
 * comes up at a later one, as nothing else runs beside a script. Redis before 7 puts the error of a script's command
 * into one of its own, behind a '-'.
 */
static enum meaning meaning_of(const char *text)
{
    static const struct {
        const char *word;
        enum meaning meaning;
    } known[] = {
        {"NOSCRIPT", MEANS_LOAD},      {"OOM", MEANS_REFUSED},     {"MISCONF", MEANS_REFUSED},
        {"NOREPLICAS", MEANS_REFUSED}, {"BUSY", MEANS_LOST},       {"READONLY", MEANS_LOST},
        {"LOADING", MEANS_LOST},       {"MASTERDOWN", MEANS_LOST}, {"NOAUTH", MEANS_LOST},
    };
    static const char wrapped[] = "ERR Error running script ";
    size_t i;

    if (strncmp(text, wrapped, sizeof(wrapped) - 1) == 0) {
        text = strstr(text, " -");
        if (!text)
            return MEANS_FAILED;
        text += 2;
    }
    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t n = strlen(known[i].word);

        if (strncmp(text, known[i].word, n) == 0 && text[n] == ' ')
            return known[i].meaning;
    }
    return MEANS_FAILED;
}

static void log_error(struct redis *r, const char *text)
{
    uint64_t now = clock_ms();

    if (r->error_logged_ms && now - r->error_logged_ms < LOG_EVERY_MS) {
        r->unlogged++;
        return;
    }
    log_event(r->o.log, LOG_ERROR, LOG_NO_REQ, "redis_error", LOG_C("detail", text), LOG_N("unlogged", r->unlogged));
    r->error_logged_ms = now;
    r->unlogged = 0;
}

/* One answer. Returns false when the call is not ended: it goes again, as the script is not there. */
static bool answered(struct redis *r, struct call *call, const redisReply *reply, struct err *why)
{
    enum meaning meaning;

    if (reply->type != REDIS_REPLY_ERROR) {
        end(call, ST_OK, reply);
        return true;
    }
    meaning = meaning_of(reply->str);
    if (meaning == MEANS_LOAD)
        return false;
    if (meaning == MEANS_LOST && why->status == ST_OK)
        err_set(why, ST_UNAVAILABLE, "%s", reply->str);
    if (meaning != MEANS_LOST)
        log_error(r, reply->str);
    end(call, meaning == MEANS_FAILED ? ST_INTERNAL : ST_UNAVAILABLE, NULL);
    return true;
}

/* Sends all of batch and reads the answers. What is left in it was not answered; in again are those for another try.
 * why->status: the connection is no good any more. */
static void exchange(struct redis *r, struct calls *batch, struct calls *again, struct err *why)
{
    uint64_t due_ms = clock_ms() + r->link.timeout_ms;
    struct call *call;
    enum status st;

    for (call = batch->first; call; call = call->next)
        if (redisAppendCommandArgv(r->link.c, (int)call->n, call->words, lengths(call)) != REDIS_OK) {
            err_set(why, ST_NO_MEMORY, "no memory to send");
            return;
        }
    st = redis_link_flush(&r->link, due_ms, why);
    while (st == ST_OK && batch->first) {
        redisReply *reply = NULL;

        st = redis_link_read(&r->link, due_ms, &reply, why);
        if (st != ST_OK)
            break;
        call = take(batch);
        if (!answered(r, call, reply, why))
            add(again, call);
        freeReplyObject(reply);
    }
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static bool set_up(struct redis *r, bool up, bool rising)
{
    bool closed;

    pthread_mutex_lock(&r->lock);
    r->up = up && !r->closed;
    r->rising = rising && !r->closed;
    closed = r->closed;
    pthread_mutex_unlock(&r->lock);
    return !closed;
}

/* The next batch, without the calls that waited too long: those are ended. Empty when nothing waits. */
static struct calls next_batch(struct redis *r)
{
    struct calls batch = {NULL, NULL}, late = {NULL, NULL};
    uint64_t now = clock_ms();
    unsigned n = 0;

    pthread_mutex_lock(&r->lock);
    while (!r->closed && r->queue.first && n < REDIS_BATCH_MAX) {
        struct call *call = take(&r->queue);

        r->waiting--;
        if (call->due_ms > now) {
            add(&batch, call);
            n++;
        } else {
            add(&late, call);
        }
    }
    pthread_mutex_unlock(&r->lock);
    end_all(&late, ST_UNAVAILABLE);
    return batch;
}

/* Sleeps until the bell, ms at most (-1: for ever); with a connection also until it is lost: the server has nothing to
 * say of its own. Returns false when it is. */
static bool rest(struct redis *r, int ms)
{
    struct pollfd p[] = {{.fd = r->bell, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    uint64_t rung;

    if (r->link.c)
        p[1].fd = r->link.c->fd;
    while (poll(p, 2, ms) < 0 && errno == EINTR)
        ;
    if (p[0].revents)
        (void)!read(r->bell, &rung, sizeof(rung));
    return !p[1].revents;
}

/* The batch, to its end. Calls that were sent and not answered are left in it when the connection is lost. */
static void run_batch(struct redis *r, struct calls *batch, struct err *why)
{
    struct calls again = {NULL, NULL};
    unsigned loads = 0;

    for (;;) {
        exchange(r, batch, &again, why);
        if (!again.first)
            return;
        /* Not run, so safe to send once more, but only on a connection that works. */
        if (why->status != ST_OK || loads++ == LOADS_MAX || redis_link_load(&r->link, r->o.script, why) != ST_OK) {
            end_all(&again, ST_UNAVAILABLE);
            return;
        }
        *batch = again;
        again = (struct calls){NULL, NULL};
    }
}

/* Until the connection is lost (why says it) or the end. */
static void serve(struct redis *r, struct calls *unanswered, struct err *why)
{
    while (why->status == ST_OK) {
        struct calls batch = next_batch(r);
        bool closed;

        if (batch.first) {
            run_batch(r, &batch, why);
            *unanswered = batch;
            continue;
        }
        pthread_mutex_lock(&r->lock);
        closed = r->closed;
        pthread_mutex_unlock(&r->lock);
        if (closed)
            return;
        if (!rest(r, -1))
            err_set(why, ST_UNAVAILABLE, "the server closed the connection");
    }
}

static void log_down(struct redis *r, const char *event, enum log_level level, const struct err *why)
{
    log_event(r->o.log, level, LOG_NO_REQ, event, LOG_C("detail", why->text),
              LOG_C("server", r->at.host[0] ? r->at.host : r->at.path));
}

/* An attempt that failed. The same again and again is said once a minute. */
static void attempt_failed(struct redis *r, const struct err *why)
{
    uint64_t now = clock_ms();

    if (r->failure.status == why->status && strcmp(r->failure.text, why->text) == 0 &&
        now - r->failure_logged_ms < LOG_SAME_MS)
        return;
    r->failure = *why;
    r->failure_logged_ms = now;
    if (why->status == ST_FORBIDDEN)
        log_down(r, "redis_refused", LOG_ERROR, why);
    else
        log_down(r, "redis_away", LOG_WARN, why);
}

/* With a connection, from its start to its end. */
static void stay(struct redis *r)
{
    struct calls unanswered = {NULL, NULL}, unsent;
    struct err why = {.status = ST_OK};
    struct slice run_id = {r->link.run_id, strnlen(r->link.run_id, RUN_ID_SHOWN)};

    r->failure = (struct err){.status = ST_OK};
    log_event(r->o.log, LOG_INFO, LOG_NO_REQ, "redis_up", LOG_C("version", r->link.version), LOG_S("run_id", run_id));
    if (set_up(r, false, true)) {
        r->o.up(r->o.ctx, r->link.run_id);
        if (set_up(r, true, false))
            serve(r, &unanswered, &why);
    }
    redis_link_close(&r->link);
    pthread_mutex_lock(&r->lock);
    r->up = r->rising = false;
    unsent = r->queue;
    r->queue = (struct calls){NULL, NULL};
    r->waiting = 0;
    pthread_mutex_unlock(&r->lock);
    if (why.status != ST_OK)
        log_down(r, "redis_down", LOG_WARN, &why);
    end_all(&unanswered, ST_TIMEOUT);
    end_all(&unsent, ST_UNAVAILABLE);
    if (why.status != ST_OK)
        r->o.down(r->o.ctx);
}

static void *run(void *ctx)
{
    struct redis *r = ctx;
    unsigned pause_ms = BACKOFF_MIN_MS;
    sigset_t pipe;

    sigemptyset(&pipe); /* hiredis writes without MSG_NOSIGNAL */
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    while (set_up(r, false, false)) {
        struct err err = {.status = ST_OK};
        uint64_t began = clock_ms();
        enum status st = redis_link_open(&r->at, r->o.script, r->o.log, &r->link, &err);

        if (st == ST_OK)
            stay(r);
        else
            attempt_failed(r, &err);
        if (st == ST_OK && clock_ms() - began >= STEADY_MS)
            pause_ms = BACKOFF_MIN_MS;
        if (st == ST_FORBIDDEN)
            pause_ms = BACKOFF_MAX_MS;
        if (!set_up(r, false, false))
            break;
        rest(r, (int)pause_ms);
        pause_ms = pause_ms * 2 < BACKOFF_MAX_MS ? pause_ms * 2 : BACKOFF_MAX_MS;
    }
    return NULL;
}

static enum status start(struct redis *r, struct err *err)
{
    pthread_attr_t attr;
    int failed;

    r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->bell < 0)
        return err_set(err, ST_INTERNAL, "no eventfd for redis: %s", strerror(errno));
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    failed = pthread_create(&r->thread, &attr, run, r);
    pthread_attr_destroy(&attr);
    if (failed)
        return err_set(err, ST_INTERNAL, "no thread for redis");
    r->joined = false;
    return ST_OK;
}

enum status redis_new(const struct redis_options *options, struct redis **ret, struct err *err)
{
    struct redis *r = calloc(1, sizeof(*r));
    enum status st;

    if (!r)
        return err_set(err, ST_NO_MEMORY, "no memory for redis");
    r->o = *options;
    r->o.url = NULL; /* the caller's */
    r->link.timeout_ms = options->timeout_ms ? options->timeout_ms : REDIS_TIMEOUT_MS;
    r->bell = -1;
    r->joined = true;
    pthread_mutex_init(&r->lock, NULL);
    *ret = r; /* before the thread begins: `up` may want it */
    st = redis_address_parse(options->url, &r->at, err);
    if (st == ST_OK)
        st = start(r, err);
    if (st != ST_OK) {
        *ret = NULL;
        redis_free(r);
    }
    return st;
}

void redis_close(struct redis *r)
{
    bool join;

    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closed = true;
    r->up = r->rising = false;
    join = !r->joined;
    r->joined = true;
    pthread_mutex_unlock(&r->lock);
    if (!join)
        return;
    ring(r);
    pthread_join(r->thread, NULL);
}

void redis_free(struct redis *r)
{
    if (!r)
        return;
    redis_close(r);
    if (r->bell >= 0)
        close(r->bell);
    pthread_mutex_destroy(&r->lock);
    sodium_memzero(&r->at, sizeof(r->at));
    free(r);
}
