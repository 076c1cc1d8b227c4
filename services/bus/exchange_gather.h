/*
 * What a thread sends on the bus while it gathers waits for the end of the gathering, and then travels together: a
 * batch for each peer instead of one for each frame. A thread gathers while it runs the callbacks or handlers of a
 * batch that came in, and between xchg_gather_begin and xchg_gather_end. Nobody outside services/bus includes this.
 */
#ifndef SERVICES_BUS_EXCHANGE_GATHER_H
#define SERVICES_BUS_EXCHANGE_GATHER_H

#include <stdbool.h>

struct session;
struct xlink;

#define GATHER_FRAMES 32u /* so many for one peer leave at once, so that the first does not wait too long */

/* Locked (the session's lock, the link's). true: this thread gathers, and sends at the end of it. */
bool gather_session(struct session *s);
bool gather_link(struct xlink *l);

#endif
