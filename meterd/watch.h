/*
 * watch: the thread of alerts, with a connection that only reads. Every WATCH_LOOK_MS it looks at the rules, every
 * WATCH_ANOMALIES_MS for anomalous use; and it posts what waits to the webhook, the oldest first and again until it was
 * taken, so what is posted is in order and is delivered at least once. It writes nothing itself: what it found and what
 * became of a post is handed to the writer (watch_take), which never waits for it; until that has been written nothing
 * more is looked at or posted.
 */
#ifndef METERD_WATCH_H
#define METERD_WATCH_H

#include "meterd/alert_rules.h"
#include "services/log.h"
#include "services/metrics.h"
#include "services/settings.h"

#define WATCH_LOOK_MS 5000
#define WATCH_ANOMALIES_MS 60000 /* keys that do far more than ever are looked for this often */
#define WATCH_STEP_MS 500 /* whether the writer has taken it, and whether a post is due */
#define WATCH_QUERY_MS 2000 /* longest time of one look */
#define WATCH_BYTES (2u * 1024u * 1024u) /* of memory of one look */

struct watch;

struct watch_options {
    const struct settings *settings;
    struct log *log;
    struct metrics *metrics;
    void (*facts)(void *ctx, struct alert_facts *facts); /* adds what it knows; on the thread */
    void *ctx;
};

enum status watch_new(const struct watch_options *options, struct watch **ret, struct err *err);
enum status watch_start(struct watch *w, struct err *err); /* once all that facts() asks is there */
void watch_stop(struct watch *w); /* its thread ends, and a post with it; NULL is fine */
void watch_free(struct watch *w); /* stopped, and nobody takes any more; NULL is fine */

/* What is to be written; NULL = nothing. The writer's thread. It is the writer's until watch_done. */
const struct alerts_report *watch_take(struct watch *w);
void watch_done(struct watch *w);

#endif
