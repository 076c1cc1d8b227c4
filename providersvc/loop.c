#include "providersvc/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "providersvc/http.h"
#include "providersvc/providersvc.h"
#include "services/bus/feed.h"
#include "services/clock.h"

#define WAIT_MAX_MS 10000
#define SLOTS_FIRST 64u

static struct loop *loop_of_hold(struct timer *t)
{
    return (struct loop *)(void *)((char *)t - offsetof(struct loop, hold));
}

/* ---- queues --------------------------------------------------------------------------------------------------------
 */

static void queue_init(struct loop_queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static void queue_add(struct loop_queue *q, struct completion *c)
{
    c->next = NULL;
    *q->last = c;
    q->last = &c->next;
}

static struct completion *queue_take_all(struct loop_queue *q)
{
    struct completion *first = q->first;

    queue_init(q);
    return first;
}

/* ---- the mailbox ---------------------------------------------------------------------------------------------------
 */

/* Under the lock, which is let go: the eventfd is written outside of it and only for a loop that sleeps. */
static void unlock_and_wake(struct loop *l)
{
    bool sleeping = l->sleeping;
    uint64_t one = 1;

    l->sleeping = false;
    pthread_mutex_unlock(&l->lock);
    if (sleeping)
        (void)!write(l->wake, &one, sizeof(one));
}

enum status loop_take(struct loop *l, struct completion *c)
{
    pthread_mutex_lock(&l->lock);
    if (l->open >= LOOP_CALLS_MAX || l->stopping) {
        pthread_mutex_unlock(&l->lock);
        return ST_UNAVAILABLE;
    }
    l->open++;
    queue_add(&l->arrived, c);
    unlock_and_wake(l);
    return ST_OK;
}

/* Jobs count as open calls: whoever waits for an idle loop waits for them. */
enum status loop_post(struct loop *l, struct loop_job *job)
{
    pthread_mutex_lock(&l->lock);
    if (l->n_jobs >= LOOP_JOBS_MAX || l->stopping || l->aborting) {
        pthread_mutex_unlock(&l->lock);
        return ST_UNAVAILABLE;
    }
    l->n_jobs++;
    l->open++;
    job->next = l->jobs;
    l->jobs = job;
    unlock_and_wake(l);
    return ST_OK;
}

void loop_job_done(struct loop *l, struct loop_job *job)
{
    struct loop_job **at = &l->working;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    pthread_mutex_lock(&l->lock);
    l->n_jobs--;
    pthread_mutex_unlock(&l->lock);
    l->left++;
}

/* Under the lock. NULL: its call is gone. */
static struct loop_slot *note(struct loop *l, uint64_t tag, enum loop_note what)
{
    uint32_t i = (uint32_t)tag;
    struct loop_slot *s;

    if (i >= l->n_slots || l->slots[i].generation != (uint32_t)(tag >> 32))
        return NULL;
    s = &l->slots[i];
    if (!s->noted) {
        s->noted = true;
        s->next_noted = l->noted;
        l->noted = i + 1;
    }
    s->notes |= what;
    return s;
}

void loop_note(struct loop *l, uint64_t tag, enum loop_note what)
{
    pthread_mutex_lock(&l->lock);
    if (note(l, tag, what) != NULL)
        unlock_and_wake(l);
    else
        pthread_mutex_unlock(&l->lock);
}

/* What nobody asked for, or there is no memory for, is not taken; the call then ends by its time. */
void loop_push(struct loop *l, uint64_t tag, struct slice bytes)
{
    struct loop_slot *s;

    pthread_mutex_lock(&l->lock);
    s = note(l, tag, LOOP_PUSH);
    if (s != NULL && s->pushed.max == 0)
        buf_init(&s->pushed, COMPLETION_PUSHED_MAX);
    if (s != NULL)
        (void)buf_add(&s->pushed, bytes.p, bytes.n);
    unlock_and_wake(l);
}

void loop_asks(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    l->asking++;
    pthread_mutex_unlock(&l->lock);
}

void loop_granted(struct loop *l, uint64_t tag, int64_t amount_nano)
{
    struct loop_slot *s;

    pthread_mutex_lock(&l->lock);
    s = note(l, tag, LOOP_GRANT);
    if (s != NULL)
        s->granted_nano = amount_nano;
    l->asking--;
    pthread_cond_broadcast(&l->idle);
    unlock_and_wake(l);
}

/* Bounded: every such question has a deadline. */
static void wait_for_answers(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    while (l->asking > 0)
        pthread_cond_wait(&l->idle, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

void loop_sweep(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    l->sweeping = true;
    unlock_and_wake(l);
}

void loop_abort_all(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    l->aborting = true;
    unlock_and_wake(l);
}

bool loop_wait_idle(struct loop *l, uint64_t until_ms)
{
    struct timespec t = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    bool idle;

    pthread_mutex_lock(&l->lock);
    while (l->open > 0 && clock_ms() < until_ms)
        pthread_cond_timedwait(&l->idle, &l->lock, &t);
    idle = l->open == 0;
    pthread_mutex_unlock(&l->lock);
    return idle;
}

/* ---- seats ---------------------------------------------------------------------------------------------------------
 */

static enum status more_slots(struct loop *l)
{
    uint32_t n = l->n_slots == 0 ? SLOTS_FIRST : l->n_slots * 2;
    struct loop_slot *slots;

    pthread_mutex_lock(&l->lock);
    slots = realloc(l->slots, n * sizeof(*slots));
    if (slots != NULL) {
        memset(slots + l->n_slots, 0, (n - l->n_slots) * sizeof(*slots));
        for (uint32_t i = l->n_slots; i < n; i++) {
            slots[i].generation = 1;
            slots[i].next_free = i + 1 < n ? i + 2 : 0;
        }
        l->free_slot = l->n_slots + 1;
        l->slots = slots;
        l->n_slots = n;
    }
    pthread_mutex_unlock(&l->lock);
    return slots != NULL ? ST_OK : ST_NO_MEMORY;
}

enum status loop_seat(struct loop *l, struct completion *c)
{
    struct loop_slot *s;

    if (l->free_slot == 0 && more_slots(l) != ST_OK)
        return ST_NO_MEMORY;
    if (timers_reserve(&l->timers, (size_t)l->n_slots + LOOP_TIMERS) != ST_OK)
        return ST_NO_MEMORY;
    s = &l->slots[l->free_slot - 1];
    c->tag = (uint64_t)s->generation << 32 | (l->free_slot - 1);
    l->free_slot = s->next_free;
    s->call = c;
    l->seated++;
    return ST_OK;
}

void loop_forget(struct loop *l, struct completion *c)
{
    uint32_t i = (uint32_t)c->tag;

    pthread_mutex_lock(&l->lock);
    if (c->tag != 0) {
        l->slots[i].generation++;
        if (l->slots[i].generation == 0)
            l->slots[i].generation = 1; /* no tag is 0 */
        l->slots[i].call = NULL;
        l->slots[i].notes = 0; /* not for its successor */
        buf_fini(&l->slots[i].pushed);
        l->slots[i].next_free = l->free_slot;
        l->free_slot = i + 1;
        l->seated--;
    }
    pthread_mutex_unlock(&l->lock);
    l->left++;
}

/* Whoever waits for an idle loop frees the bus next: nothing may be on its way to it then. */
static void count_left(struct loop *l)
{
    if (l->left == 0)
        return;
    pthread_mutex_lock(&l->lock);
    l->open -= l->left;
    if (l->open == 0)
        pthread_cond_broadcast(&l->idle);
    pthread_mutex_unlock(&l->lock);
    l->left = 0;
}

/* ---- what a turn gathers -------------------------------------------------------------------------------------------
 */

void loop_later(struct loop *l, struct completion *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    c->next_dirty = l->dirty;
    l->dirty = c;
}

void loop_start(struct loop *l, struct completion *c)
{
    queue_add(&l->starting, c);
}

void loop_end(struct loop *l, struct completion *c)
{
    queue_add(&l->ending, c);
}

/* A copy behind the last event of the list; counted by whoever has put its record into the batch, too. */
static enum status copy_event(struct loop *l, struct loop_events *list, const struct usage_event *event)
{
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? 64 : list->cap * 2;
        struct usage_event *items = realloc(list->items, cap * sizeof(*items));

        if (items == NULL)
            return ST_NO_MEMORY;
        list->items = items;
        list->cap = cap;
    }
    return arena_copy_message(&l->event_text, &usage_event_desc, event, &list->items[list->n]);
}

enum status loop_add_event(struct loop *l, const struct usage_event *event, struct outbox_mark *mark, struct err *err)
{
    enum status st = copy_event(l, &l->ended, event);

    if (st != ST_OK)
        return err_set(err, st, "no memory for a usage event");
    st = outbox_add_finished(&l->batch, event, mark, err);
    l->ended.n += st == ST_OK;
    return st;
}

enum status loop_add_progress(struct loop *l, const struct usage_event *event, struct outbox_mark *mark, bool told)
{
    enum status st = told ? copy_event(l, &l->running, event) : ST_OK;

    if (st == ST_OK)
        st = outbox_add_progress(&l->batch, event, mark, told, NULL);
    l->running.n += told && st == ST_OK;
    return st;
}

/* ---- what leaves with a turn
 * ----------------------------------------------------------------------------------------- */

static void flush_dirty(struct loop *l)
{
    while (l->dirty != NULL) {
        struct completion *c = l->dirty;

        l->dirty = c->next_dirty;
        c->dirty = false;
        completion_flush(c);
    }
}

static void start_all(struct loop *l, enum status st)
{
    struct completion *c = queue_take_all(&l->starting);

    while (c != NULL) {
        struct completion *next = c->next;

        if (st == ST_OK)
            completion_start(c);
        else
            completion_refuse(c, ST_UNAVAILABLE, "The call cannot be recorded: the usage outbox takes no more.");
        c = next;
    }
}

static void finish_all(struct loop *l)
{
    struct completion *c = queue_take_all(&l->ending);

    while (c != NULL) {
        struct completion *next = c->next;

        completion_finish(c);
        c = next;
    }
}

static void publish(struct loop *l, const struct outbox_wrote *wrote)
{
    uint64_t ended = wrote->first_seq + wrote->n_progress;

    l->running.n = 0; /* what the outbox had no room for is not told */
    if (wrote->n_progress + wrote->n_finished == 0)
        return;
    outbox_turn_begin(l->self->outbox, wrote->first_seq);
    if (l->self->feed != NULL) { /* what it cannot send it delivers later */
        (void)feed_source_publish(l->self->feed, wrote->first_seq, l->running.items, wrote->n_progress);
        (void)feed_source_publish(l->self->feed, ended, l->ended.items, wrote->n_finished);
    }
    outbox_turn_end(l->self->outbox, ended + wrote->n_finished);
    l->ended.n = 0;
    arena_reset(&l->event_text);
}

static void hold_fired(struct timer *t)
{
    loop_of_hold(t)->hold.due_ms = 0; /* its turn's settling tries again */
}

/* The disk does not take what has ended: its ends wait, for a while. */
static void hold_ends(struct loop *l)
{
    if (l->held_since_ms == 0) {
        l->held_since_ms = l->now_ms > 0 ? l->now_ms : 1;
        log_event(svc_log(l->self->svc), LOG_ERROR, LOG_NO_REQ, "outbox_write_failed",
                  LOG_N("records", l->batch.n_finished));
    }
    if (l->now_ms - l->held_since_ms >= LOOP_HOLD_MS)
        finish_all(l); /* the records stay in memory and are tried on */
    timers_set(&l->timers, &l->hold, l->now_ms + LOOP_HOLD_TRY_MS);
}

/* true: something has been started, so that there may be more to settle. */
static bool write_outbox(struct loop *l)
{
    struct outbox_wrote wrote;
    bool starts = l->starting.first != NULL;

    if (!starts && l->batch.n_finished == 0 && l->batch.progressing == NULL) {
        finish_all(l); /* only those whose records could not be made */
        return false;
    }
    if (!starts && l->hold.place != 0)
        return false;
    outbox_write(l->self->outbox, &l->batch, &wrote);
    start_all(l, wrote.started);
    if (wrote.finished != ST_OK) {
        l->running.n = 0;
        hold_ends(l);
        return starts;
    }
    l->held_since_ms = 0;
    timers_clear(&l->timers, &l->hold);
    finish_all(l);
    publish(l, &wrote);
    return starts;
}

static void settle(struct loop *l)
{
    bool more;

    do {
        flush_dirty(l);
        more = write_outbox(l);
        if (more)
            http_kick(l->http);
        http_reap(l->http);
    } while (more || l->dirty != NULL || (l->ending.first != NULL && l->hold.place == 0));
    http_settle(l->http);
}

/* ---- a turn --------------------------------------------------------------------------------------------------------
 */

static void abort_all(struct loop *l)
{
    for (uint32_t i = 0; i < l->n_slots; i++)
        if (l->slots[i].call != NULL)
            completion_abort(l->slots[i].call);
    while (l->working != NULL)
        l->working->abort(l, l->working);
}

static void read_notes(struct loop *l, uint32_t noted)
{
    while (noted != 0) {
        uint32_t i = noted - 1;
        struct completion *c;
        int64_t granted_nano;
        struct buf pushed;
        unsigned notes;

        pthread_mutex_lock(&l->lock);
        notes = l->slots[i].notes;
        granted_nano = l->slots[i].granted_nano;
        pushed = l->slots[i].pushed;
        l->slots[i].pushed = (struct buf){0};
        noted = l->slots[i].next_noted;
        l->slots[i].notes = 0;
        l->slots[i].noted = false;
        pthread_mutex_unlock(&l->lock);
        c = l->slots[i].call;
        if (c == NULL) {
            buf_fini(&pushed);
            continue;
        }
        if ((notes & LOOP_PUSH) != 0)
            completion_pushed(c, (struct slice){pushed.p, pushed.n});
        buf_fini(&pushed);
        if ((notes & LOOP_WINDOW) != 0)
            completion_window(c);
        if ((notes & LOOP_GRANT) != 0)
            completion_granted(c, granted_nano);
        if ((notes & LOOP_CANCEL) != 0)
            completion_cancel(c);
    }
}

static void read_mail(struct loop *l, bool *ret_stopping)
{
    struct completion *c;
    struct loop_job *jobs;
    uint32_t noted;
    bool aborting, sweeping;

    pthread_mutex_lock(&l->lock);
    l->sleeping = false;
    c = queue_take_all(&l->arrived);
    noted = l->noted;
    l->noted = 0;
    jobs = l->jobs;
    l->jobs = NULL;
    aborting = l->aborting;
    sweeping = l->sweeping;
    l->aborting = l->sweeping = false;
    *ret_stopping = l->stopping;
    pthread_mutex_unlock(&l->lock);
    read_notes(l, noted);
    while (c != NULL) {
        struct completion *next = c->next;

        completion_begin(c);
        c = next;
    }
    while (jobs != NULL) {
        struct loop_job *next = jobs->next;

        jobs->next = l->working;
        l->working = jobs;
        jobs->run(l, jobs); /* it may be gone afterwards */
        jobs = next;
    }
    if (aborting)
        abort_all(l);
    if (sweeping)
        http_sweep(l->http);
}

static int wait_ms(struct loop *l)
{
    uint64_t due = 0, now = clock_ms();

    if (!timers_next(&l->timers, &due))
        return WAIT_MAX_MS;
    if (due <= now)
        return 0;
    return due - now < WAIT_MAX_MS ? (int)(due - now) : WAIT_MAX_MS;
}

/* Goes to sleep only when no mail has come meanwhile. */
static int sleep_until_needed(struct loop *l, struct epoll_event *events)
{
    int ms = wait_ms(l);

    if (ms > 0) {
        pthread_mutex_lock(&l->lock);
        if (l->arrived.first != NULL || l->noted != 0 || l->jobs != NULL || l->aborting || l->stopping || l->sweeping)
            ms = 0;
        else
            l->sleeping = true;
        pthread_mutex_unlock(&l->lock);
    }
    return epoll_wait(l->epoll, events, LOOP_EVENTS, ms);
}

/* With many calls open, what becomes ready within a moment is handled in one turn: a batch for each gateway and a
 * write to the outbox then serve many calls, where each alone would cost as much. Few calls are not kept waiting. */
static void pace(struct loop *l)
{
    uint64_t pause = (uint64_t)l->seated * LOOP_PACE_NS_CALL, now = clock_ns(), due;

    due = l->began_ns + (pause < LOOP_PACE_NS_MAX ? pause : LOOP_PACE_NS_MAX);
    if (l->seated >= LOOP_PACE_CALLS && now < due) {
        struct timespec t = {.tv_nsec = (long)(due - now)};

        nanosleep(&t, NULL);
        now = clock_ns();
    }
    l->began_ns = now;
}

static void *run(void *ctx)
{
    struct loop *l = ctx;
    struct epoll_event events[LOOP_EVENTS];
    bool stopping = false;

    while (!stopping) {
        int n;

        pace(l);
        n = sleep_until_needed(l, events);
        l->now_ms = clock_ms();
        xchg_gather_begin();
        for (int i = 0; i < n; i++) {
            uint64_t count;

            if (events[i].data.fd == l->wake)
                (void)!read(l->wake, &count, sizeof(count));
            else
                http_socket_event(l->http, events[i].data.fd, events[i].events);
        }
        read_mail(l, &stopping); /* behind the sockets: what has come is counted before a cancel stops more */
        timers_run(&l->timers, l->now_ms);
        http_reap(l->http);
        settle(l);
        xchg_gather_end();
        count_left(l);
    }
    finish_all(l); /* those that the outbox has not taken */
    return NULL;
}

/* ---- making and ending
 * ------------------------------------------------------------------------------------------------ */

static void destroy(struct loop *l)
{
    http_free(l->http);
    timers_fini(&l->timers);
    outbox_batch_fini(&l->batch);
    arena_fini(&l->event_text);
    free(l->running.items);
    free(l->ended.items);
    for (uint32_t i = 0; i < l->n_slots; i++)
        buf_fini(&l->slots[i].pushed);
    free(l->slots);
    if (l->epoll >= 0)
        close(l->epoll);
    if (l->wake >= 0)
        close(l->wake);
    pthread_cond_destroy(&l->idle);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static enum status start_thread(struct loop *l, struct err *err)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, LOOP_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&l->thread, &attr, run, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (failed != 0)
        return err_set(err, ST_NO_MEMORY, "no thread for upstream calls");
    l->threaded = true;
    return ST_OK;
}

static enum status open_fds(struct loop *l, struct err *err)
{
    struct epoll_event ev = {.events = EPOLLIN};

    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ev.data.fd = l->wake;
    if (l->epoll < 0 || l->wake < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &ev) != 0)
        return err_set(err, ST_UNAVAILABLE, "no file descriptors for upstream calls: errno %d", errno);
    return ST_OK;
}

static void init(struct loop *l, struct providersvc *self, unsigned index)
{
    pthread_condattr_t monotonic;

    l->self = self;
    l->index = index;
    l->epoll = l->wake = -1;
    l->hold.fire = hold_fired;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    queue_init(&l->arrived);
    queue_init(&l->starting);
    queue_init(&l->ending);
    timers_init(&l->timers);
    outbox_batch_init(&l->batch);
    arena_init(&l->event_text, LOOP_TEXT_MAX);
    l->now_ms = clock_ms();
    l->random = clock_ns() | 1;
}

enum status loop_new(struct providersvc *self, unsigned index, struct loop **ret, struct err *err)
{
    struct loop *l = calloc(1, sizeof(*l));
    struct http_options options;
    enum status st;

    if (l == NULL)
        return err_set(err, ST_NO_MEMORY, "no memory for upstream calls");
    init(l, self, index);
    st = timers_reserve(&l->timers, LOOP_TIMERS);
    if (st == ST_OK)
        st = open_fds(l, err);
    options = (struct http_options){.epoll = l->epoll, .timers = &l->timers, .now_ms = &l->now_ms};
    if (st == ST_OK)
        st = http_new(&options, &l->http, err);
    if (st == ST_OK)
        st = start_thread(l, err);
    if (st != ST_OK) {
        destroy(l);
        return st;
    }
    *ret = l;
    return ST_OK;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    if (l->threaded) {
        pthread_mutex_lock(&l->lock);
        l->aborting = true;
        l->stopping = true;
        unlock_and_wake(l);
        pthread_join(l->thread, NULL);
        wait_for_answers(l);
    }
    destroy(l);
}
