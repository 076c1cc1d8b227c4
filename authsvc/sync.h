/*
 * Calls that wait until the projection shows a revision, so that whoever was told that a write succeeded also finds it
 * in force. Bounded in number and time; never blocks a thread. Any thread.
 */
#ifndef AUTHSVC_SYNC_H
#define AUTHSVC_SYNC_H

#include <pthread.h>

#include "services/svc.h"

#define SYNC_MAX 512u /* calls parked */
#define SYNC_WAIT_MS 2000u /* then ST_TIMEOUT */

struct sync_parked {
    struct svc_call *call;
    uint64_t revision, until_ms;
};

struct sync {
    pthread_mutex_t lock;
    uint64_t revision;
    size_t n;
    bool closed;
    struct sync_parked parked[SYNC_MAX];
};

void sync_init(struct sync *s);
void sync_fini(struct sync *s); /* parked calls are dropped: close before the bus is gone */
/* ST_OK: it is there. ST_PENDING: the call is ours and will be finished. Else a refusal. */
enum status sync_wait(struct sync *s, struct svc_call *call, uint64_t revision, uint64_t now_ms);
void sync_reached(struct sync *s, uint64_t revision);
void sync_expire(struct sync *s, uint64_t now_ms);
void sync_close(struct sync *s); /* ends all with ST_DRAINING, takes no more */

#endif
