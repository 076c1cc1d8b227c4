/*
 * Sessions that are over: their access tokens would still be good for some minutes, so they are remembered for at
 * least so long. Those that end here are known at once, others when meterd tells of them. Bounded; when full the oldest
 * is forgotten. Any thread.
 */
#ifndef AUTHSVC_ENDED_H
#define AUTHSVC_ENDED_H

#include <pthread.h>

#include "authsvc/table.h"

#define ENDED_MAX 65536u

struct ended {
    pthread_mutex_t lock;
    struct table table;
    struct ended_session *first, *last;
};

void ended_init(struct ended *e);
void ended_fini(struct ended *e);
void ended_add(struct ended *e, struct slice session_id, uint64_t now_ms);
bool ended_has(struct ended *e, struct slice session_id);
void ended_expire(struct ended *e, uint64_t now_ms);

#endif
