/*
 * recent: calls that were settled a moment before the state that we loaded. Whoever asserts their holds may have said
 * so before he heard of it, and the settlement, which a snapshot leaves out, would never come: the hold would last
 * until its lease is over. So after the first load the newest settlements are read once; they end such holds, and are
 * remembered for assertions yet to come.
 */
#ifndef AUTHSVC_RECENT_H
#define AUTHSVC_RECENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "authsvc/admission.h"
#include "services/svc.h"

#define RECENT_REVISIONS 10000u /* so many of the newest changes are looked through; HOLDS_MEMORY remembers more */
#define RECENT_CALL_MS 2000u

struct recent {
    struct svc *svc;
    struct admission *admission;
    pthread_mutex_t lock; /* never destroyed: an answer may come until the bus is gone, after recent_close */
    bool begun, closed; /* under it */
    atomic_bool done; /* read, or not to be had */
    atomic_uint found; /* settlements seen */
};

void recent_init(struct recent *r, struct svc *svc, struct admission *admission);
void recent_begin(struct recent *r, uint64_t revision); /* of the state just loaded; harmless again */
void recent_close(struct recent *r); /* the admission is not touched any more */

#endif
