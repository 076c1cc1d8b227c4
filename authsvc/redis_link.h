/*
 * redis_link: one connection to a Redis server, from its URL to a server that is fit and has the script. Blocking, for
 * the one thread that owns it. Every step has its deadline, however slowly bytes come.
 */
#ifndef AUTHSVC_REDIS_LINK_H
#define AUTHSVC_REDIS_LINK_H

#include <hiredis/hiredis.h>
#include <stdint.h>
#include <sys/un.h>

#include "proto/status.h"
#include "proto/wire.h"
#include "services/log.h"

#define REDIS_URL_MAX 1024
#define REDIS_PORT 6379
#define REDIS_DB_MAX 65535u
#define REDIS_HOST_MAX 255
#define REDIS_SHA 40 /* hex digits: of a script's SHA-1, and of a server's run_id */
#define REDIS_VERSION_MAX 31

struct redis_address {
    char host[REDIS_HOST_MAX + 1]; /* empty: path */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    unsigned port, db;
    char user[REDIS_URL_MAX + 1], password[REDIS_URL_MAX + 1]; /* empty: none */
};

/* Errors as of redis_url_check. */
enum status redis_address_parse(const char *url, struct redis_address *to, struct err *err);

struct redis_link {
    redisContext *c;
    unsigned timeout_ms;
    char sha[REDIS_SHA + 1]; /* of the script */
    char run_id[REDIS_SHA + 1], version[REDIS_VERSION_MAX + 1];
};

/* Connects, signs in, looks what server it is and loads the script. ST_UNAVAILABLE: it may be there the next time.
 * ST_FORBIDDEN: somebody must change something first. */
enum status redis_link_open(const struct redis_address *at, const char *script, const struct log *log,
                            struct redis_link *link, struct err *err);
void redis_link_close(struct redis_link *link); /* harmless twice */
/* SCRIPT LOAD, again after somebody flushed the scripts. */
enum status redis_link_load(struct redis_link *link, const char *script, struct err *err);
/* Sends what was appended to link->c. */
enum status redis_link_flush(struct redis_link *link, uint64_t due_ms, struct err *err);
/* The next answer, which may be an error reply. Whoever called frees it. ST_UNAVAILABLE: lost, or none in time. */
enum status redis_link_read(struct redis_link *link, uint64_t due_ms, redisReply **ret, struct err *err);

#endif
