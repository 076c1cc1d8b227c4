/*
 * voids: admitted calls that no providersvc took. Each must still get its row and lose its hold, so meterd is told, and
 * told again until it has answered. Kept in memory: when the gateway dies first, the hold ends by itself at the call's
 * deadline. Any thread may add.
 */
#ifndef GATEWAY_VOIDS_H
#define GATEWAY_VOIDS_H

#include "services/svc.h"

#define VOIDS_MAX 10000 /* waiting at once; beyond, the hold has to expire */
#define VOIDS_CALL_MS 5000
#define VOIDS_AGE_MS 1800000u /* after this the hold is long gone */

struct voids;

enum status voids_new(struct svc *svc, struct metric *total, struct metric *waiting, struct voids **ret,
                      struct err *err);
void voids_free(struct voids *v); /* NULL is fine */
void voids_add(struct voids *v, const struct usage_event *event);
void voids_tick(struct voids *v); /* once a second: those that failed are sent again */
unsigned voids_waiting(struct voids *v);

#endif
