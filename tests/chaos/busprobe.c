/*
 * When does a service answer again? Asks each for its health over the bus, as any peer would, without a pause.
 *
 *   busprobe NAME=URL ...
 *
 * One line on stdout for each process that it meets: NAME INSTANCE ANSWERED READY, the times in ms of CLOCK_MONOTONIC.
 * Ends with its parent.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "services/call.h"
#include "services/clock.h"
#include "services/ids.h"

#define SERVICES_MAX 16
#define CALL_MS 1000
#define ASK_AGAIN_US 3000 /* of one that is not ready yet */
#define LOOK_AGAIN_US 15000 /* of one that is */
#define ARENA_MAX (1024u * 1024u)

struct watched {
    const char *name, *url;
    pthread_t thread;
};

struct met {
    char instance[32];
    uint64_t answered_ms;
    bool ready;
};

static void heard(const struct watched *w, struct met *m, const struct health_rep *rep)
{
    if (!slice_is(rep->instance, m->instance)) {
        *m = (struct met){.answered_ms = clock_ms()};
        (void)slice_copy(rep->instance, m->instance, sizeof(m->instance));
    }
    if (m->ready || !rep->ready)
        return;
    m->ready = true;
    printf("%s %s %llu %llu\n", w->name, m->instance, (unsigned long long)m->answered_ms,
           (unsigned long long)clock_ms());
    fflush(stdout);
}

static void *watch(void *ctx)
{
    const struct watched *w = ctx;
    struct xchg_client_options options = {.url = w->url, .instance = id_number()};
    struct xchg_client *client = NULL;
    struct met met = {.ready = false};
    struct err err = {.status = ST_OK};
    struct arena arena;

    if (xchg_client_new(&options, &client, &err) != ST_OK) {
        fprintf(stderr, "busprobe: %s: %s\n", w->url, err.text);
        return NULL;
    }
    arena_init(&arena, ARENA_MAX);
    for (;;) {
        struct health_req req = {.ready_only = true};
        struct health_rep rep;

        if (call_wait(client, &health_req_desc, &req, &health_rep_desc, &rep, &arena, CALL_MS, NULL) == ST_OK)
            heard(w, &met, &rep);
        arena_reset(&arena);
        usleep(met.ready ? LOOK_AGAIN_US : ASK_AGAIN_US);
    }
}

int main(int argc, char **argv)
{
    struct watched watched[SERVICES_MAX];
    int n = 0;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    for (int i = 1; i < argc && n < SERVICES_MAX; i++) {
        char *url = strchr(argv[i], '=');

        if (url == NULL) {
            fprintf(stderr, "busprobe NAME=URL ...\n");
            return 2;
        }
        *url = '\0';
        watched[n++] = (struct watched){.name = argv[i], .url = url + 1};
    }
    for (int i = 0; i < n; i++)
        if (pthread_create(&watched[i].thread, NULL, watch, &watched[i]) != 0)
            return 1;
    for (int i = 0; i < n; i++)
        pthread_join(watched[i].thread, NULL);
    return 0;
}
