/* sessions: housekeeping, for the writer, and their end with a password. The operations stand in meterd/ops.h. */
#ifndef METERD_SESSIONS_H
#define METERD_SESSIONS_H

#include "meterd/store.h"

#define SESSIONS_KEPT_S (24 * 3600) /* an expired session is remembered so long, so that theft still shows */
#define SESSIONS_FORGET_MAX 500 /* at one time: the writer has other work */

enum status sessions_forget(struct work *w);
/* Ends the user's open sessions but `keep` (empty = all). *ret: their ids, those that were renewed last before the
 * others; LIMIT_LIST at most are named. */
enum status sessions_end_others(struct work *w, int64_t user_num, struct slice keep, struct wire_strs *ret);

#endif
