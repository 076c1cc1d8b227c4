#include "authsvc/redis_link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "services/clock.h"

#define CLIENT_NAME "openai-router-authsvc"
/* From here on what a script writes is replicated by its effects, so that it may ask for the time. */
#define VERSION_MAJOR 6u
#define VERSION_MINOR 2u
#define VERSION_WANTED "Redis 6.2 or newer"
#define DB_DIGITS_MAX 12

void redis_link_close(struct redis_link *link)
{
    if (link->c)
        redisFree(link->c);
    link->c = NULL;
}

static enum status lost(struct redis_link *link, const char *what, struct err *err)
{
    return err_set(err, ST_UNAVAILABLE, "%s: %s", what, link->c->err ? link->c->errstr : "no answer in time");
}

/* false: the time is over. What poll finds wrong the next read or write says in words. */
static bool wait_for(struct redis_link *link, short events, uint64_t due_ms)
{
    struct pollfd p = {.fd = link->c->fd, .events = events};

    for (;;) {
        uint64_t now = clock_ms();
        int n = poll(&p, 1, now < due_ms ? (int)(due_ms - now) : 0);

        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            return false;
    }
}

enum status redis_link_flush(struct redis_link *link, uint64_t due_ms, struct err *err)
{
    int done = 0;

    while (!done)
        if (!wait_for(link, POLLOUT, due_ms) || redisBufferWrite(link->c, &done) != REDIS_OK)
            return lost(link, "sending", err);
    return ST_OK;
}

enum status redis_link_read(struct redis_link *link, uint64_t due_ms, redisReply **ret, struct err *err)
{
    void *reply = NULL;

    for (;;) {
        if (redisGetReplyFromReader(link->c, &reply) != REDIS_OK)
            return lost(link, "reading", err);
        if (reply)
            break;
        if (!wait_for(link, POLLIN, due_ms) || redisBufferRead(link->c) != REDIS_OK)
            return lost(link, "reading", err);
    }
    *ret = reply;
    return ST_OK;
}

/* One command, NULL at the end. ST_FORBIDDEN: an error reply; it is in err. */
static enum status ask(struct redis_link *link, const char *const *words, redisReply **ret, struct err *err)
{
    const char *argv[4];
    uint64_t due_ms = clock_ms() + link->timeout_ms;
    int argc = 0;
    enum status st;

    while (words[argc]) {
        argv[argc] = words[argc];
        argc++;
    }
    if (redisAppendCommandArgv(link->c, argc, argv, NULL) != REDIS_OK)
        return lost(link, words[0], err);
    st = redis_link_flush(link, due_ms, err);
    if (st == ST_OK)
        st = redis_link_read(link, due_ms, ret, err);
    if (st == ST_OK && *ret && (*ret)->type == REDIS_REPLY_ERROR) {
        /* Errors of these kinds pass by themselves. */
        bool passes = strncmp((*ret)->str, "LOADING ", 8) == 0 || strncmp((*ret)->str, "BUSY ", 5) == 0 ||
                      strncmp((*ret)->str, "MASTERDOWN ", 11) == 0;

        st = err_set(err, passes ? ST_UNAVAILABLE : ST_FORBIDDEN, "%s: %s", words[0], (*ret)->str);
        freeReplyObject(*ret);
        *ret = NULL;
    }
    return st;
}

static enum status tell(struct redis_link *link, const char *const *words, struct err *err)
{
    redisReply *reply = NULL;
    enum status st = ask(link, words, &reply, err);

    if (st == ST_OK)
        freeReplyObject(reply);
    return st;
}

static enum status dial(struct redis_link *link, const struct redis_address *at, struct err *err)
{
    struct timeval limit = {.tv_sec = link->timeout_ms / 1000, .tv_usec = link->timeout_ms % 1000 * 1000};

    /* hiredis sets TCP_NODELAY itself. */
    link->c = at->host[0] ? redisConnectWithTimeout(at->host, (int)at->port, limit)
                          : redisConnectUnixWithTimeout(at->path, limit);
    if (!link->c)
        return err_set(err, ST_UNAVAILABLE, "connecting: no memory");
    /* redisSetTimeout: a peer that takes a part of what is written cannot hold up the write for ever. */
    if (link->c->err || redisSetTimeout(link->c, limit) != REDIS_OK ||
        (at->host[0] && redisEnableKeepAlive(link->c) != REDIS_OK))
        return lost(link, "connecting", err);
    return ST_OK;
}

static enum status sign_in(struct redis_link *link, const struct redis_address *at, struct err *err)
{
    const char *both[] = {"AUTH", at->user, at->password, NULL}, *one[] = {"AUTH", at->password, NULL};
    char db[DB_DIGITS_MAX];
    const char *choose[] = {"SELECT", db, NULL};
    const char *name[] = {"CLIENT", "SETNAME", CLIENT_NAME, NULL};
    enum status st = ST_OK;

    if (at->password[0])
        st = tell(link, at->user[0] ? both : one, err);
    snprintf(db, sizeof(db), "%u", at->db);
    if (st == ST_OK && at->db != 0)
        st = tell(link, choose, err);
    if (st != ST_OK)
        return st;
    st = tell(link, name, err);
    return st == ST_FORBIDDEN ? ST_OK : st; /* a name is for people who look; who may not give one goes without */
}

/* A line name:value of INFO's answer; an empty slice when there is none. */
static struct slice info_value(const redisReply *info, const char *name)
{
    const char *at = info->str, *end = info->str + info->len;
    size_t n = strlen(name);

    while (at && at < end) {
        const char *stop = memchr(at, '\r', (size_t)(end - at));

        if (!stop)
            stop = end;
        if ((size_t)(stop - at) > n && memcmp(at, name, n) == 0 && at[n] == ':')
            return (struct slice){at + n + 1, (size_t)(stop - at) - n - 1};
        at = memchr(stop, '\n', (size_t)(end - stop));
        at = at ? at + 1 : end;
    }
    return (struct slice){NULL, 0};
}

static bool new_enough(const char *version)
{
    char *end = NULL;
    unsigned long major = strtoul(version, &end, 10), minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

    return major > VERSION_MAJOR || (major == VERSION_MAJOR && minor >= VERSION_MINOR);
}

/* Is it a server that can keep what several replicas rely on? */
static enum status judge(struct redis_link *link, const redisReply *info, const struct log *log, struct err *err)
{
    struct slice memory = info_value(info, "maxmemory"), policy = info_value(info, "maxmemory_policy");

    if (!slice_copy(info_value(info, "run_id"), link->run_id, sizeof(link->run_id)) || !link->run_id[0] ||
        !slice_copy(info_value(info, "redis_version"), link->version, sizeof(link->version)))
        return err_set(err, ST_FORBIDDEN, "INFO says no run_id and redis_version: " VERSION_WANTED " is needed");
    if (!new_enough(link->version))
        return err_set(err, ST_FORBIDDEN, "the server is Redis %s: " VERSION_WANTED " is needed", link->version);
    if (slice_is(info_value(info, "redis_mode"), "cluster"))
        return err_set(err, ST_FORBIDDEN,
                       "the server is part of a Redis Cluster: one server that is not is needed, as all limits and "
                       "holds are changed by one script");
    if (slice_is(info_value(info, "role"), "slave"))
        return err_set(err, ST_FORBIDDEN, "the server is a replica: REDIS_URL has to name its primary");
    if (memory.n > 0 && !slice_is(memory, "0") && !slice_is(policy, "noeviction"))
        log_event(log, LOG_WARN, LOG_NO_REQ, "redis_evicts", LOG_S("maxmemory_policy", policy),
                  LOG_C("detail", "Redis may throw holds and limits away when its memory is full: set its "
                                  "maxmemory-policy to noeviction"));
    return ST_OK;
}

/* Without CONFIG, which hosted servers forbid: INFO says the same. */
static enum status look(struct redis_link *link, const struct log *log, struct err *err)
{
    static const char *const words[] = {"INFO", NULL};
    redisReply *info = NULL;
    enum status st = ask(link, words, &info, err);

    if (st == ST_OK && (!info || info->type != REDIS_REPLY_STRING))
        st = err_set(err, ST_FORBIDDEN, "INFO was not answered as Redis does");
    else if (st == ST_OK)
        st = judge(link, info, log, err);
    freeReplyObject(info);
    return st;
}

enum status redis_link_load(struct redis_link *link, const char *script, struct err *err)
{
    const char *words[] = {"SCRIPT", "LOAD", script, NULL};
    redisReply *sha = NULL;
    enum status st = ask(link, words, &sha, err);

    if (st == ST_OK && (!sha || sha->type != REDIS_REPLY_STRING || sha->len != REDIS_SHA))
        st = err_set(err, ST_FORBIDDEN, "SCRIPT LOAD was not answered as Redis does");
    else if (st == ST_OK)
        memcpy(link->sha, sha->str, REDIS_SHA + 1);
    freeReplyObject(sha);
    return st;
}

enum status redis_link_open(const struct redis_address *at, const char *script, const struct log *log,
                            struct redis_link *link, struct err *err)
{
    enum status st = dial(link, at, err);

    if (st == ST_OK)
        st = sign_in(link, at, err);
    if (st == ST_OK)
        st = look(link, log, err);
    if (st == ST_OK)
        st = redis_link_load(link, script, err);
    if (st != ST_OK)
        redis_link_close(link);
    return st;
}
