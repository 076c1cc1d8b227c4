/* sessions: housekeeping, for the writer. The operations stand in meterd/ops.h. */
#ifndef METERD_SESSIONS_H
#define METERD_SESSIONS_H

#include "meterd/store.h"

#define SESSIONS_KEPT_S (24 * 3600) /* an expired session is remembered so long, so that theft still shows */
#define SESSIONS_FORGET_MAX 500 /* at one time: the writer has other work */

enum status sessions_forget(struct work *w);

#endif
