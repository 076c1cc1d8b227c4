/*
 * An event loop: a thread with epoll, libcurl's multi interface and timers, and the completions that live on it. The
 * bus hands it work through a mailbox that never allocates: a lock held for the time of a few stores, and a wake-up
 * only when the loop sleeps.
 *
 * One turn: sockets, mail, timers; then everything that the turn has produced leaves together: bytes to clients, one
 * write to the outbox for all that begins and ends, then the beginnings and the ends themselves, then one batch for the
 * usage feed.
 */
#ifndef PROVIDERSVC_LOOP_H
#define PROVIDERSVC_LOOP_H

#include <pthread.h>

#include "providersvc/budget.h"
#include "providersvc/completion.h"

struct providersvc;
struct http;

#define LOOP_CALLS_MAX 32768u /* of one loop */
#define LOOP_JOBS_MAX 8u
#define LOOP_TIMERS (2u + LOOP_JOBS_MAX) /* beside one a call: libcurl's, the outbox', one a job */
#define LOOP_EVENTS 256 /* of one epoll_wait */
#define LOOP_HOLD_MS 2000 /* an end waits so long for a disk that cannot take its record */
#define LOOP_HOLD_TRY_MS 50
#define LOOP_PACE_CALLS 16u /* with so many calls open … */
#define LOOP_PACE_NS_CALL 8000u /* … a turn begins no sooner than so long for each of them after the last one … */
#define LOOP_PACE_NS_MAX 300000u /* … and this at most */
#define LOOP_STACK (512u * 1024u)
#define LOOP_TEXT_MAX (64u * 1024u * 1024u)

enum loop_note { LOOP_CANCEL = 1, LOOP_WINDOW = 2, LOOP_GRANT = 4, LOOP_PUSH = 8 };

/* A call's place. A tag is its index and the generation of its use, so that one that is gone is simply not found. */
struct loop_slot {
    struct completion *call;
    uint32_t generation;
    uint32_t next_free; /* index + 1 */
    uint32_t next_noted; /* index + 1 */
    unsigned notes; /* enum loop_note bits */
    bool noted; /* in the list of noted ones */
    int64_t granted_nano; /* of LOOP_GRANT: as completion_granted takes it */
    struct buf pushed; /* of LOOP_PUSH */
};

/* Something else that is to run on the loop's thread. */
struct loop_job {
    struct loop_job *next;
    void (*run)(struct loop *l, struct loop_job *job); /* loop_job_done is due, then or later, on the same thread */
    void (*abort)(struct loop *l, struct loop_job *job); /* the same is due now: we are shutting down */
};

struct loop_queue {
    struct completion *first, **last;
};

/* Events of the batch's numbered records, until they are published. Their texts are the loop's event_text. */
struct loop_events {
    struct usage_event *items;
    size_t n, cap;
};

struct loop {
    struct providersvc *self;
    unsigned index;
    int epoll, wake;
    pthread_t thread;
    bool threaded;

    pthread_mutex_t
        lock; /* of what follows, up to the slots' memory, generations and notes; slot.call is the thread's own */
    pthread_cond_t idle;
    struct loop_queue arrived;
    struct loop_job *jobs; /* newest first */
    unsigned n_jobs; /* of them and of those that run */
    uint32_t noted; /* index + 1 */
    bool sleeping, aborting, stopping, sweeping;
    unsigned open; /* calls taken and not ended */
    unsigned asking; /* answers about holds that are due */
    struct loop_slot *slots;
    uint32_t n_slots;

    /* the thread's own from here on */
    uint32_t free_slot; /* index + 1 */
    uint64_t now_ms, began_ns; /* of the turn */
    unsigned seated; /* calls that have a slot */
    struct loop_job *working; /* jobs that run */
    unsigned left; /* calls ended in this turn; they count as open until what they said has gone out */
    struct timers timers;
    struct http *http;
    struct loop_queue starting, ending;
    struct completion *dirty;
    struct outbox_batch batch;
    struct loop_events running, ended;
    struct arena event_text;
    struct timer hold;
    uint64_t held_since_ms; /* 0 = the outbox takes what it is given */
    struct budget budget;
    uint64_t random;
    struct facts_scratch scratch;
};

enum status loop_new(struct providersvc *self, unsigned index, struct loop **ret, struct err *err);
void loop_free(struct loop *l); /* ends what is open, stops the thread; NULL is fine */

/* Any thread. */
enum status loop_take(struct loop *l, struct completion *c); /* ST_UNAVAILABLE: not taken */
enum status loop_post(struct loop *l, struct loop_job *job); /* ST_UNAVAILABLE: LOOP_JOBS_MAX, or stopping */
void loop_job_done(struct loop *l, struct loop_job *job); /* the loop's thread; before the job's memory goes */
void loop_note(struct loop *l, uint64_t tag, enum loop_note note);
void loop_push(struct loop *l, uint64_t tag, struct slice bytes); /* of its upload, as asked for; copied */
void loop_granted(struct loop *l, uint64_t tag, int64_t amount_nano); /* answers a loop_asks */
void loop_abort_all(struct loop *l);
void loop_sweep(struct loop *l); /* providers have gone: what is kept for them is let go soon */
bool loop_wait_idle(struct loop *l, uint64_t until_ms); /* true: no call is open */

/* The thread's own. */
enum status loop_seat(struct loop *l, struct completion *c); /* a slot, a tag and room for its timer */
void loop_later(struct loop *l, struct completion *c); /* has something to send */
void loop_start(struct loop *l, struct completion *c); /* with the next write to the outbox */
void loop_end(struct loop *l, struct completion *c); /* with the next write to the outbox */
void loop_forget(struct loop *l, struct completion *c); /* gone */
enum status loop_add_event(struct loop *l, const struct usage_event *event, struct outbox_mark *mark, struct err *err);
/* What a call owes so far, for the outbox; told: for meterd, too. */
enum status loop_add_progress(struct loop *l, const struct usage_event *event, struct outbox_mark *mark, bool told);
void loop_asks(struct loop *l); /* loop_granted is due from another thread: the loop is not freed before */

#endif
