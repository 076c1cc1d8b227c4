/*
 * voids: admitted calls that no providersvc took, as a gateway knows them; holds that nobody settled in time, as
 * authsvc knows them. Each must still get its row (and lose its hold), so meterd is told, and told again until it has
 * answered. A void that was wrong does no harm: usage that comes after it corrects it (meterd/ledger_step.h). Kept in
 * memory: when the gateway dies first, authsvc says it when the hold's lease is over. Any thread may add.
 */
#ifndef SERVICES_VOIDS_H
#define SERVICES_VOIDS_H

#include "services/svc.h"

#define VOIDS_MAX 10000 /* waiting at once; beyond, the hold has to expire */
#define VOIDS_CALL_MS 5000
#define VOIDS_AGAIN_MS 900 /* after an attempt that failed; who ticks once a second tries once a second */
#define VOIDS_AGE_MS 1800000u /* after this the hold is long gone */

struct voids;

enum status voids_new(struct svc *svc, struct metric *total, struct metric *waiting, struct voids **ret,
                      struct err *err);
void voids_free(struct voids *v); /* NULL is fine */
void voids_add(struct voids *v, const struct usage_event *event);
/* The same with the next tick: for who holds a lock that the bus must not be called under. */
void voids_add_later(struct voids *v, const struct usage_event *event);
void voids_tick(struct voids *v); /* those that wait are sent, once a second each */
unsigned voids_waiting(struct voids *v);

#endif
