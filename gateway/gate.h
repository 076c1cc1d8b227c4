/* gate: lets so much through at once; what does not fit waits. For work that takes much memory and no time to speak of:
 * whoever is inside waits for nothing. Any thread, but no callback of the bus. */
#ifndef GATEWAY_GATE_H
#define GATEWAY_GATE_H

#include <pthread.h>
#include <stddef.h>

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t left; /* somebody has */
    size_t room, inside;
};

void gate_init(struct gate *g, size_t room);
void gate_fini(struct gate *g);
void gate_enter(struct gate *g, size_t n); /* what is more than all the room goes through alone */
void gate_leave(struct gate *g, size_t n); /* the same n */

#endif
