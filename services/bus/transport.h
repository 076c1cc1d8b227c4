/*
 * What exchange and feed share of nng: starting it with few threads, the options of every socket, its errors as ours,
 * and a condition variable on the monotonic clock. nng is used in services/bus only.
 */
#ifndef SERVICES_BUS_TRANSPORT_H
#define SERVICES_BUS_TRANSPORT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <nng/nng.h>

#include "proto/status.h"

#define TRANSPORT_RECONNECT_MIN_MS 50
#define TRANSPORT_RECONNECT_MAX_MS 250 /* a service that restarts waits for its peers: not for long */
#define TRANSPORT_STACK (256u * 1024u) /* of our own threads: getaddrinfo wants more than 64 KB */
#define TRANSPORT_URL_MAX 512

void transport_start(void); /* before the first use of nng; any number of times, from any thread */
enum status transport_options(nng_socket s, size_t receive_max);
/* Keeps trying for ever, without blocking. */
enum status transport_dial(nng_socket s, const char *url, struct err *err);
enum status transport_listen(nng_socket s, const char *url, struct err *err);
enum status transport_status(int nng_error);

#define TRANSPORT_PEER_TEXT 128
void transport_peer(nng_pipe p, char to[TRANSPORT_PEER_TEXT]); /* the address of the other end, without its port */

void transport_cond_init(pthread_cond_t *c);
void transport_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t clock_ms); /* UINT64_MAX = for ever */
enum status transport_thread(pthread_t *t, void *(*run)(void *), void *arg);

#endif
