/*
 * redis: the connection of authsvc to a Redis server, where replicas share limits and holds through one Lua script.
 * Knows nothing of what the script does.
 *
 * One thread owns the connection. Calls wait in a queue; the thread takes what waits, sends it at once and reads the
 * answers in order: batches form by themselves under load, and a call of its own waits for nothing. There is no
 * connection in the meantime when one is lost: calls fail at once until there is another one, and none is sent twice.
 * Calls of one batch may change places when somebody flushed the server's scripts between them.
 */
#ifndef AUTHSVC_REDIS_H
#define AUTHSVC_REDIS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/status.h"
#include "proto/wire.h"
#include "services/log.h"

#define REDIS_TIMEOUT_MS 1000u
#define REDIS_QUEUE_MAX 32768u /* calls that wait to be sent */
#define REDIS_BATCH_MAX 512u /* calls sent at once */

struct redis;
struct redisReply; /* hiredis */

/*
 * st ST_OK: reply is Redis' answer (no error reply), valid only during the call. ST_UNAVAILABLE: not done and never
 * will be: it was not sent, or Redis refused to begin it. ST_TIMEOUT: sent, and whether Redis did it, or will do it
 * when it goes on, is not known (connection lost, or no answer in time). ST_INTERNAL: Redis answered with an error (its
 * text was logged, bounded rate). On redis' own thread, without a lock; must not block; may call redis_eval.
 */
typedef void redis_done(void *ctx, enum status st, const struct redisReply *reply);

struct redis_options {
    const char *url; /* redis://[[user]:password@]host[:port][/db], or unix:///path[?db=N] */
    /* Lua, NUL-terminated; loaded on every connection (SCRIPT LOAD), called by EVALSHA with 0 keys. Outlives redis. */
    const char *script;
    unsigned timeout_ms; /* for an answer, and for connecting; 0 = REDIS_TIMEOUT_MS */
    const struct log *log; /* outlives redis */
    /* On the thread of redis, before any call is sent on a new connection. run_id: of the server's process (INFO
     * server), another one after each restart. Its own redis_eval is taken, and first; others' as soon as it returned.
     */
    void (*up)(void *ctx, const char *run_id);
    /* The connection is lost; all calls were told. Not for attempts that failed, and not for redis_close. */
    void (*down)(void *ctx);
    void *ctx;
};

/* ST_BAD_REQUEST with "REDIS_URL: ..." that says what is allowed and never shows the password. */
enum status redis_url_check(const char *url, struct err *err);

/* Starts the thread, which connects in the background, again and again: never fails because Redis is away. */
/* *ret is there before any callback is. */
enum status redis_new(const struct redis_options *options, struct redis **ret, struct err *err);
/* Ends all calls: what was sent is waited for, timeout_ms at most, the others get ST_UNAVAILABLE. Joins the thread, so
 * not from its callbacks; harmless twice and on NULL. */
void redis_close(struct redis *r);
void redis_free(struct redis *r); /* NULL is fine; closes first */
bool redis_is_up(struct redis *r);
/* Copies args. ST_OK: done is called exactly once. ST_UNAVAILABLE: no connection, no memory, or REDIS_QUEUE_MAX wait:
 * done is not called. Any thread; never blocks on the network. args[i] may hold any bytes. */
enum status redis_eval(struct redis *r, const struct slice *args, size_t n, redis_done *done, void *ctx);

#endif
