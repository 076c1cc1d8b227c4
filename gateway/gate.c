#include "gateway/gate.h"

void gate_init(struct gate *g, size_t room)
{
    *g = (struct gate){.room = room};
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->left, NULL);
}

void gate_fini(struct gate *g)
{
    pthread_cond_destroy(&g->left);
    pthread_mutex_destroy(&g->lock);
}

void gate_enter(struct gate *g, size_t n)
{
    pthread_mutex_lock(&g->lock);
    while (g->inside && (n > g->room || g->inside > g->room - n))
        pthread_cond_wait(&g->left, &g->lock);
    g->inside += n;
    pthread_mutex_unlock(&g->lock);
}

void gate_leave(struct gate *g, size_t n)
{
    pthread_mutex_lock(&g->lock);
    g->inside -= n;
    pthread_cond_broadcast(&g->left);
    pthread_mutex_unlock(&g->lock);
}
