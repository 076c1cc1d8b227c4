/*
 * Tells authsvc what is held for calls that are not on the bill yet: those that have begun, and those whose events
 * meterd has not committed. All of it at once when an authsvc was reached, because it may have restarted and know
 * nothing; then every ASSERTER_AGAIN_MS what is older than that, so that credit stays held however long meterd is away:
 * that may be a lot, so it is told with rests in between.
 * A thread of its own reads the outbox; never in the way of a call.
 */
#ifndef PROVIDERSVC_ASSERTER_H
#define PROVIDERSVC_ASSERTER_H

#include "providersvc/outbox.h"
#include "services/bus/exchange.h"
#include "services/sleeper.h"

#define ASSERTER_AGAIN_MS 15000
#define ASSERTER_LEASE_MS 45000 /* three times that: one that is lost does no harm */
#define ASSERTER_RETRY_MS 250
#define ASSERTER_REST_MS 2 /* after each message of a round that nobody waits for: live calls go first */
#define ASSERTER_MAX 262144u /* events not committed that are asserted: as many holds as authsvc keeps */

struct asserter {
    struct outbox *outbox;
    struct xchg_client *authsvc;
    const struct log *log;
    uint64_t again_ms; /* 0 = ASSERTER_AGAIN_MS */
    char instance[LIMIT_NAME];
    struct sleeper sleeper;
    bool joined; /* under the sleeper's lock: an authsvc waits to hear all */
    uint64_t seen; /* newest record at the last round; the thread's only */
};

/* instance: of the svc, to be told apart by; outbox, authsvc and log are set. */
enum status asserter_start(struct asserter *a, const char *instance, struct err *err);
bool asserter_joined(struct asserter *a, struct xchg_join *to); /* says that more follows, and wakes the thread */
void asserter_stop(struct asserter *a); /* harmless when it never started */

#endif
