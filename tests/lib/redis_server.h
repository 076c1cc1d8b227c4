/* A real redis-server for a test: empty, kept in memory only, in a folder of its own, and ended with the test. A call
 * of these that does not succeed fails the test, with a line that says why. */
#ifndef TESTS_LIB_REDIS_SERVER_H
#define TESTS_LIB_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#define REDIS_SERVER_URL_MAX 128
#define REDIS_SERVER_ARGS_MAX 16

struct redis_server {
    pid_t pid; /* 0: does not run */
    int port; /* 0: a unix socket only */
    char dir[32], socket[48], url[REDIS_SERVER_URL_MAX];
    const char *more[REDIS_SERVER_ARGS_MAX];
};

/* more: arguments of its own, NULL at the end; they live as long as the server. NULL: none. Returns when it answers.
 * tcp: on a free port of 127.0.0.1, besides its socket in `socket`. */
void redis_server_start(struct redis_server *s, bool tcp, const char *const *more);
void redis_server_kill(struct redis_server *s); /* SIGKILL: all is lost */
void redis_server_restart(struct redis_server *s); /* kills it, if it runs; the same address, another run_id */
void redis_server_stop(struct redis_server *s); /* SIGSTOP: neither gone nor there */
void redis_server_cont(struct redis_server *s);
void redis_server_free(struct redis_server *s); /* with its folder; harmless twice */

#endif
