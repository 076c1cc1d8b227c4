/*
 * An adapter speaks one kind of provider. A provider of another kind is one file in adapters/ and one row in adapter.c.
 *
 * All functions run on the thread of the completion's loop and never block. An attempt begins with start and is over
 * when the adapter calls completion_end or completion_again, or when stop is called; afterwards it does nothing more to
 * the completion.
 */
#ifndef PROVIDERSVC_ADAPTER_H
#define PROVIDERSVC_ADAPTER_H

#include <stddef.h>

#include "proto/status.h"

struct completion;

struct adapter {
    const char *kind;
    size_t state_size; /* bytes of c->state, zeroed before the first attempt */
    /* Begins an attempt; a failure (c->call->err is set) ends the call. */
    enum status (*start)(struct completion *c);
    void (*stop)(struct completion *c); /* the attempt is of no use any more; harmless when there is none */
    void (*resume)(struct completion *c); /* the client has taken enough: go on */
    void (*wake)(struct completion *c); /* the time of completion_wake_at has come; optional */
    void (*fini)(struct completion *c); /* the call is over: free what state holds; optional */
};

extern const struct adapter adapter_openai, adapter_echo;
const struct adapter *adapter_find(const char *kind); /* NULL = none */

#endif
