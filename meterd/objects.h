/*
 * objects: which provider keeps what a call made there, and whose it is. Written with the call's bill, in its
 * transaction, so an object is known exactly when its call is.
 */
#ifndef METERD_OBJECTS_H
#define METERD_OBJECTS_H

#include "meterd/store.h"

/* What a call that has ended made or told of. user_num 0 = of nobody: it is not kept. */
enum status objects_keep(struct work *w, const struct usage_event *e, int64_t user_num);

#endif
